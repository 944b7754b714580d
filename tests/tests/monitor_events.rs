//! What befalls clients, as the monitoring port counts it: slow and stale ones, broken connections, round trips.
//!
//! Every test asks Pinion and, where there is one, the Go server; both must say the same of the same event.

#![expect(
    clippy::disallowed_methods,
    reason = "deadlines and measured waits need the clock"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinion_tests::http::{get, monitor_address};
use pinion_tests::notice::pass_over;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, Frame, Wire, PATIENCE};
use serde_json::Value;

/// Runs `check` on each server that can run here, freshly started.
fn on_each(config: &str, check: impl Fn(&Server, SocketAddr)) {
    let ours = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"));
    let peer = Program::peer();
    if peer.is_none() {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
    }
    for program in [ours, peer].into_iter().flatten() {
        let mut server = program.start(&format!("http: \"127.0.0.1:-1\"\n{config}"));
        let monitor = monitor_address(&mut server);
        check(&server, monitor);
    }
}

/// Asks for a page until `found` finds what it looks for.
fn wait_for<T>(monitor: SocketAddr, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = get(monitor, path).json();
        if let Some(found) = found(&page) {
            return found;
        }
        assert!(Instant::now() < deadline, "{path} does not show it: {page:#}");
    }
}

/// A field of the connection of this name.
fn field(page: &Value, name: &str, key: &str) -> Option<String> {
    let rows = page["connections"].as_array()?;
    let row = rows.iter().find(|row| row["name"] == name)?;
    Some(row[key].as_str()?.to_owned())
}

fn wait_for_reason(monitor: SocketAddr, name: &str) -> String {
    wait_for(monitor, "/connz?state=closed", |page| field(page, name, "reason"))
}

fn open(server: &Server, name: &str) -> Wire {
    Wire::open(
        server.address(),
        &format!(r#"{{"verbose":false,"headers":true,"name":"{name}"}}"#),
    )
}

/// A consumer that reads nothing counts once, for its kind, and its close says why.
/// Covers: TestNoRaceClosedSlowConsumerPendingBytes
#[test]
fn slow_consumer_is_counted() {
    let config = "max_payload: 500000\nmax_pending: 1000000\nno_fast_producer_stall: true\n";
    on_each(config, |server, monitor| {
        let before = get(monitor, "/varz").json();
        assert_eq!(before["slow_consumers"], 0);
        let mut consumer = open(server, "consumer");
        consumer.line("SUB flood 1");
        consumer.barrier();
        let mut publisher = open(server, "publisher");
        let message = format!("PUB flood 500000\r\n{}", "x".repeat(500_000));
        let deadline = Instant::now() + PATIENCE;
        while field(&get(monitor, "/connz?state=closed").json(), "consumer", "reason").is_none() {
            assert!(
                Instant::now() < deadline,
                "{:?}: it takes everything",
                server.kind()
            );
            for _ in 0..4 {
                publisher.line(&message);
            }
            publisher.barrier();
        }
        assert_eq!(
            wait_for_reason(monitor, "consumer"),
            "Slow Consumer (Pending Bytes)"
        );
        let varz = get(monitor, "/varz").json();
        assert_eq!(varz["slow_consumers"], 1, "{:?}", server.kind());
        let stats = serde_json::json!({"clients": 1, "routes": 0, "gateways": 0, "leafs": 0});
        assert_eq!(varz["slow_consumer_stats"], stats, "{:?}", server.kind());
    });
}

/// A client that answers no PING counts as stale, for its kind.
#[test]
fn stale_connection_is_counted() {
    on_each("ping_interval: \"100ms\"\nping_max: 1\n", |server, monitor| {
        let mut silent = open(server, "silent");
        let said = loop {
            match silent.next(PATIENCE) {
                Event::Frame(frame) if frame.line == "PING" => {}
                Event::Frame(frame) => break frame.line,
                other => panic!("{other:?} before the reason"),
            }
        };
        assert_eq!(said, "-ERR 'Stale Connection'");
        assert_eq!(wait_for_reason(monitor, "silent"), "Stale Connection");
        let varz = get(monitor, "/varz").json();
        assert_eq!(varz["stale_connections"], 1, "{:?}", server.kind());
        let stats = serde_json::json!({"clients": 1, "routes": 0, "gateways": 0, "leafs": 0});
        assert_eq!(varz["stale_connection_stats"], stats, "{:?}", server.kind());
    });
}

/// A connection that is reset was not closed by its client in order: Read Error.
#[test]
fn reset_is_a_read_error() {
    on_each("", |server, monitor| {
        let mut client = open(server, "reset");
        client.line("PING");
        let mut byte = [0];
        let size = client.stream().peek(&mut byte).expect("the answer comes");
        assert_eq!(size, 1);
        // What is unread at the close makes it a reset.
        drop(client);
        assert_eq!(wait_for_reason(monitor, "reset"), "Read Error");
    });
}

/// A client that reports an error is closed, and what it said is the server's "Parse Error".
#[test]
fn error_from_the_client_is_a_parse_error() {
    on_each("", |server, monitor| {
        let mut client = open(server, "err");
        client.line("-ERR 'it hurts'");
        client.expect_closed();
        assert_eq!(wait_for_reason(monitor, "err"), "Parse Error");
    });
}

/// Go's way to write a duration below an hour: `1m2.5s`, `250.1ms`, `31µs`.
fn duration(text: &str) -> Duration {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let unit = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let number: f64 = rest[..digits].parse().expect("a number");
        seconds += number
            * match &rest[digits..unit] {
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "\u{b5}s" => 1e-6,
                "ns" => 1e-9,
                other => panic!("{other} in {text}"),
            };
        rest = &rest[unit..];
    }
    Duration::from_secs_f64(seconds)
}

/// The round trip is guessed from CONNECT, then measured from PING to PONG: not shorter than the client kept the PING,
/// not longer than the connection was there.
/// Covers: TestMonitorConnzRTT
#[test]
fn round_trip_is_measured_from_ping_to_pong() {
    // The first PING comes two seconds after CONNECT, the second two minutes later.
    on_each("", |server, monitor| {
        let opened = Instant::now();
        let mut client = open(server, "client");
        let guess = wait_for(monitor, "/connz", |page| field(page, "client", "rtt"));
        assert!(duration(&guess) > Duration::ZERO);
        assert!(duration(&guess) <= opened.elapsed());
        assert_eq!(
            client.next(PATIENCE),
            Event::Frame(Frame {
                line: "PING".to_owned(),
                payload: None
            })
        );
        let came = Instant::now();
        // Until what is measured differs from the guess for sure.
        while came.elapsed() <= duration(&guess) * 2 {
            get(monitor, "/healthz");
        }
        let kept = came.elapsed();
        client.line("PONG");
        client.barrier();
        let shown = field(&get(monitor, "/connz").json(), "client", "rtt").expect("it is there");
        // Shown in whole microseconds below a millisecond.
        let measured = duration(&shown) + Duration::from_micros(1);
        assert!(measured >= kept, "{:?}: {shown}, kept {kept:?}", server.kind());
        assert!(measured <= opened.elapsed(), "{:?}: {shown}", server.kind());
    });
}
