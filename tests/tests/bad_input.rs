//! Bad input, over two shards: the one who sent it gets its error, the log says who and why, the others notice nothing.
//!
//! Hostile clients in general are in `hostile`; here the shard a client is served by is known.

use std::net::SocketAddr;
use std::time::Duration;

use pinion_tests::server::{Kind, Program, Server};
use pinion_tests::wire::{Event, Wire, PATIENCE};

const CONNECT: &str = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true}"#;

/// A server of two shards; none where it cannot run, or where the peer stands in.
fn start(config: &str) -> Option<Server> {
    let program = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?;
    (program.kind == Kind::Pinion).then(|| program.with_shards(2).start(config))
}

/// A client that has said nothing yet, and the shard that serves it.
fn connect(server: &Server) -> (Wire, u64) {
    let mut wire = server.connect();
    let info = wire.expect_frame().line;
    let info = info.strip_prefix("INFO ").expect("INFO comes first");
    let info: serde_json::Value = serde_json::from_str(info).expect("INFO is JSON");
    let shard = info.get("pinion_shard").and_then(serde_json::Value::as_u64);
    (wire, shard.expect("INFO names the shard"))
}

/// A connected client on this shard. Connections go where there are fewest: one of two in a row is there, as long as
/// the other is kept, in `spare`.
fn connect_on(server: &Server, shard: u64, spare: &mut Vec<Wire>) -> Wire {
    for _ in 0..16 {
        let (mut wire, on) = connect(server);
        wire.line(CONNECT);
        wire.barrier();
        if on == shard {
            return wire;
        }
        spare.push(wire);
    }
    panic!("16 connections in a row were not given to shard {shard}");
}

fn address(wire: &Wire) -> SocketAddr {
    wire.stream().local_addr().expect("a connected socket")
}

/// A publisher and a subscriber on each shard.
struct Witness {
    publishers: Vec<Wire>,
    subscribers: Vec<Wire>,
    count: usize,
}

impl Witness {
    fn new(server: &Server, spare: &mut Vec<Wire>) -> Self {
        let mut on_both = || {
            (0..2)
                .map(|shard| connect_on(server, shard, spare))
                .collect::<Vec<_>>()
        };
        let (publishers, mut subscribers) = (on_both(), on_both());
        for subscriber in &mut subscribers {
            subscriber.line("SUB witness.* 1");
            subscriber.barrier();
        }
        Self {
            publishers,
            subscribers,
            count: 0,
        }
    }

    /// A message of each publisher reaches each subscriber, and nothing else had come.
    fn check(&mut self) {
        for (shard, publisher) in self.publishers.iter_mut().enumerate() {
            self.count += 1;
            let text = self.count.to_string();
            let size = text.len();
            publisher.line(&format!("PUB witness.{shard} {size}\r\n{text}"));
            for subscriber in &mut self.subscribers {
                subscriber.expect(&format!("MSG witness.{shard} 1 {size} | {text}"));
            }
        }
    }
}

/// What the server says until it closes.
fn answers_until_closed(wire: &mut Wire) -> Vec<String> {
    let mut answers = Vec::new();
    loop {
        match wire.next_said(PATIENCE) {
            Event::Frame(frame) => answers.push(frame.to_text()),
            Event::Closed => return answers,
            Event::Silence => panic!("the server neither answers nor closes; it said {answers:?}"),
        }
    }
}

/// Each kind of bad input on each shard: its error, the end of its connection, and a log line with the client's address
/// and the reason. Witnesses on both shards notice nothing.
#[test]
fn bad_input_is_answered_and_logged() {
    let Some(mut server) = start("max_payload: 1024\nmax_control_line: 512\nmax_pending: 65536\n") else {
        return;
    };
    let no_end = [b"SUB ".as_slice(), &[b'x'; 2_000]].concat();
    let unknown = "-ERR 'Unknown Protocol Operation'";
    let cases: [(&[u8], &[&str], &str); 13] = [
        (b"NONSENSE\r\n", &[unknown], "unknown protocol operation"),
        (b"\0\r\n", &[unknown], "unknown protocol operation"),
        (b"PING\r\n\0", &["PONG", unknown], "unknown protocol operation"),
        (
            b"PUB x 2\r\nhi\n\rPING\r\n",
            &[unknown],
            "unknown protocol operation",
        ),
        (b"PUB x 2\rX\nhi\r\n", &[], "PUB with"),
        (b"PUB x two\r\n", &[], "PUB with"),
        (b"SUB a b c d\r\n", &[], "SUB with"),
        (b"HPUB x 14 2\r\n", &[], "HPUB with"),
        (
            b"PUB x 1025\r\n",
            &["-ERR 'Maximum Payload Violation'"],
            "maximum payload exceeded: 1025 vs 1024",
        ),
        (
            b"PUB x 999999999\r\n",
            &["-ERR 'Maximum Payload Violation'"],
            "maximum payload exceeded: 999999999 vs 1024",
        ),
        (
            &no_end,
            &["-ERR 'maximum control line exceeded'"],
            "maximum control line exceeded: SUB with more than 512 bytes",
        ),
        (
            b"CONNECT {\"verbose\":false,\"protocol\":7}\r\n",
            &["-ERR 'invalid client protocol'"],
            "invalid client protocol",
        ),
        (b"CONNECT {\"verbose\":\r\n", &[], "CONNECT: "),
    ];
    let mut spare = Vec::new();
    let mut witness = Witness::new(&server, &mut spare);
    for (bytes, expected, reason) in cases {
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        for shard in 0..2 {
            let mut wire = connect_on(&server, shard, &mut spare);
            let who = address(&wire);
            // The server may close while we still send.
            wire.send(bytes).unwrap_or_default();
            assert_eq!(
                answers_until_closed(&mut wire),
                expected,
                "{name:?} on shard {shard}"
            );
            let line = server.wait_for_log(&format!("{who} - cid:"));
            assert!(line.contains("[ERR]"), "{name:?}: {line}");
            assert!(line.contains(reason), "{name:?}: {line}");
            witness.check();
        }
    }
    assert!(server.is_running());
}

/// A header in a server without headers, and `no_responders` without them: closed, and logged.
#[test]
fn asking_for_headers_without_headers_is_logged() {
    let Some(mut server) = start("no_header_support: true\n") else {
        return;
    };
    let cases: [(&str, Vec<&str>, &str); 2] = [
        (
            "HPUB x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            vec![],
            "message headers not supported",
        ),
        (
            "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n",
            vec!["-ERR 'no responders requires headers support'"],
            "no responders requires headers support",
        ),
    ];
    for (text, expected, reason) in cases {
        let (mut wire, _) = connect(&server);
        let who = address(&wire);
        wire.line(r#"CONNECT {"verbose":false}"#);
        wire.send(text.as_bytes()).expect("the server reads");
        assert_eq!(answers_until_closed(&mut wire), expected);
        let line = server.wait_for_log(&format!("{who} - cid:"));
        assert!(line.contains("[ERR]") && line.contains(reason), "{line}");
    }
}

/// One connection too many, whichever shard it comes to: its error, and who it was in the log.
#[test]
fn connection_limit_is_answered_and_logged() {
    let Some(mut server) = start("max_connections: 3\n") else {
        return;
    };
    let mut clients: Vec<Wire> = Vec::new();
    // The server closes the connection that asked whether it listens when it sees its end.
    for _ in 0..10_000 {
        if clients.len() == 3 {
            break;
        }
        let mut wire = server.connect();
        wire.line(CONNECT);
        wire.line("PING");
        let is_in = loop {
            match wire.next_said(PATIENCE) {
                Event::Frame(frame) if frame.line == "PONG" => break true,
                Event::Frame(_) => {}
                _ => break false,
            }
        };
        if is_in {
            clients.push(wire);
        }
    }
    assert_eq!(clients.len(), 3, "the server takes three");
    for _ in 0..4 {
        let (mut wire, _) = connect(&server);
        let who = address(&wire);
        let answers = answers_until_closed(&mut wire);
        assert_eq!(answers, ["-ERR 'maximum connections exceeded'"]);
        let line = server.wait_for_log(&format!("{who} - cid:"));
        assert!(
            line.contains("[ERR]") && line.contains("maximum connections exceeded"),
            "{line}"
        );
    }
    for client in &mut clients {
        client.barrier();
    }
}

/// Half a line for ever, on both shards: it waits, costs nobody anything, and the server ends in order all the same.
#[test]
fn half_a_line_for_ever_holds_up_nobody() {
    let Some(mut server) = start("") else { return };
    let mut spare = Vec::new();
    let mut witness = Witness::new(&server, &mut spare);
    let mut halves = Vec::new();
    for shard in 0..2 {
        for half in [
            "S",
            "SUB foo",
            "PUB witness.0 5\r\nhe",
            "PUB witness.0 5\r\nhello\r",
            "CONNECT {",
        ] {
            let mut wire = connect_on(&server, shard, &mut spare);
            wire.send(half.as_bytes()).expect("the server reads");
            halves.push(wire);
            witness.check();
        }
    }
    for wire in &mut halves {
        assert_eq!(wire.next_said(Duration::from_millis(1)), Event::Silence);
    }
    server.signal("TERM");
    for wire in &mut halves {
        wire.expect_closed();
    }
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// A consumer that reads nothing is closed at max_pending; the log says who, the account and the busiest subject.
#[test]
fn slow_consumer_is_named_with_account_and_subject() {
    let Some(mut server) = start(
        "max_payload: 65536\nmax_pending: 65536\nwrite_deadline: \"60s\"\nno_fast_producer_stall: true\n",
    ) else {
        return;
    };
    let mut spare = Vec::new();
    let mut witness = Witness::new(&server, &mut spare);
    for shard in 0..2 {
        let mut lazy = connect_on(&server, shard, &mut spare);
        let who = address(&lazy);
        lazy.line("SUB quiet.subject 1\r\nSUB busy.* 2\r\nSUB other 3");
        lazy.barrier();
        let publisher = &mut witness.publishers[0];
        publisher.line("PUB other 0\r\n");
        let message = [b"PUB busy.flood 65000\r\n".as_slice(), &[b'x'; 65_000], b"\r\n"].concat();
        // More than the buffers of both sockets hold.
        for _ in 0..400 {
            publisher.send(&message).expect("the server reads on");
        }
        publisher.barrier();
        let line = server.wait_for_log(&format!("{who} - cid:"));
        for part in [
            "[INF]",
            "Slow Consumer Detected: MaxPending of 65536 Exceeded",
            "account \"$G\"",
            "busiest subscription \"busy.*\"",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        while lazy.next(PATIENCE) != Event::Closed {}
        witness.check();
    }
    assert!(server.is_running());
}
