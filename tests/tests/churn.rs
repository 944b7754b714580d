//! Many connections: they come and go and the memory stays; half of them die at once and the rest lives.
//!
//! The churn here is small; `scripts/churn` runs the same tests on a release build, with a million connects by
//! `CHURN_CONNECTS`, and judges the memory of a connection, which a debug build does not.
#![expect(
    clippy::disallowed_methods,
    reason = "the rate is printed, nothing depends on the clock"
)]

use std::time::Instant;

use pinion_tests::notice::pass_over;
use pinion_tests::server::{Kind, Program, Server};
use pinion_tests::wire::Wire;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

/// Growth of a short run that is noise: caches, pools and the ring of closed connections fill late.
const GROWTH_MAX: u64 = 6 << 20;
/// Growth of a long run that is noise, in per cent of what there was after its first tenth.
const GROWTH_PER_CENT_MAX: u64 = 3;
/// Connects from which on a run is long.
const CONNECTS_LONG: usize = 100_000;
/// Clients that come and go at the same time.
const WORKERS: usize = 4;
/// Memory of an idle connection, and of one with a subscription that every shard knows (design, section 3).
const CONNECTION_SIZE_MAX: (u64, u64) = (6 << 10, 8 << 10);
/// Shards while that is judged.
const SHARDS: usize = 8;
const CONNECTIONS_TO_JUDGE: usize = 5_000;
/// Open files of a process beside its connections.
const OTHER_FILES: u64 = 500;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

fn program() -> Option<Program> {
    Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))
}

/// Clients that connect, subscribe, publish to themselves and leave: some orderly, some with a reset, some in the
/// middle of a message.
fn connect_and_leave(server: &Server, count: usize) {
    let address = server.address();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || {
                for index in (worker..count).step_by(WORKERS) {
                    let mut wire = Wire::open(address, r#"{"verbose":false}"#);
                    wire.line(&format!("SUB churn.{index} 1"));
                    wire.line(&format!("PUB churn.{index} 2\r\nhi"));
                    match index / WORKERS % 4 {
                        // What was not read when it leaves is answered with a reset.
                        0 => wire.line("PING"),
                        1 => wire.send(b"PUB churn.half 10\r\nhal").expect("the server reads"),
                        _ => wire.expect(&format!("MSG churn.{index} 1 2 | hi")),
                    }
                }
            });
        }
    });
}

/// Connections that come and go leave the resident memory as it was after the first tenth of them.
#[test]
fn churn_leaves_memory_flat() {
    let Some(program) = program() else { return };
    let server = program.start("");
    let count = number("CHURN_CONNECTS", 3_000);
    let tenth = count / 10;
    let began = Instant::now();
    let mut sizes = Vec::new();
    for part in 1..=10 {
        connect_and_leave(&server, tenth);
        sizes.push(server.resident_size());
        println!(
            "{:>8} connects: resident {:>6} KiB, {:.0} connects/s",
            part * tenth,
            sizes[part - 1] >> 10,
            (part * tenth) as f64 / began.elapsed().as_secs_f64()
        );
    }
    let (before, after) = (sizes[0], sizes[9]);
    let growth_max = if count >= CONNECTS_LONG {
        before * GROWTH_PER_CENT_MAX / 100
    } else {
        GROWTH_MAX
    };
    assert!(
        after <= before + growth_max,
        "{} connects grew the server from {before} to {after} bytes",
        tenth * 9
    );
}

/// Whether this process and its children may have as many files; raises the soft limit when it must.
fn may_open(files: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return true;
    }
    let raised = Rlimit {
        current: Some(files),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
}

/// Half of 10,000 connections with a subscription each die at once: the others get every message, once; each connection
/// took no more memory than it may.
#[test]
fn half_of_the_connections_die_at_once() {
    let Some(program) = program() else { return };
    let count = number("CHURN_CONNECTIONS", 10_000);
    let files = count as u64 + OTHER_FILES;
    if !may_open(files) {
        pass_over(&format!(
            "{files} open files are needed, the limit is lower (ulimit -n)"
        ));
        return;
    }
    let mut server = program.with_shards(SHARDS).start("");
    let before = server.resident_size();
    let mut clients: Vec<Wire> = (0..count).map(|_| server.client()).collect();
    let size_of_one = |after: u64| after.saturating_sub(before) / count as u64;
    let idle_size = size_of_one(server.resident_size());
    for (index, client) in clients.iter_mut().enumerate() {
        client.line(&format!("SUB each.{index} 1"));
    }
    clients.iter_mut().for_each(Wire::barrier);
    let size = size_of_one(server.resident_size());
    println!("{count} connections: {idle_size} bytes each, {size} with a subscription on {SHARDS} shards");
    if server.kind() == Kind::Pinion && count >= CONNECTIONS_TO_JUDGE && !cfg!(debug_assertions) {
        let (idle_max, subscribed_max) = CONNECTION_SIZE_MAX;
        assert!(
            idle_size <= idle_max,
            "an idle connection takes {idle_size} bytes"
        );
        assert!(
            size <= subscribed_max,
            "a connection with a subscription takes {size} bytes"
        );
    }
    let mut publisher = server.client();
    let mut publish_to_each = |text: &str| {
        let all: String = (0..count)
            .map(|index| format!("PUB each.{index} 3\r\n{text}\r\n"))
            .collect();
        publisher.send(all.as_bytes()).expect("the server reads");
        publisher.barrier();
    };
    publish_to_each("one");
    let dying = clients.split_off(count / 2);
    drop(dying);
    publish_to_each("two");
    for (index, client) in clients.iter_mut().enumerate() {
        client.expect(&format!("MSG each.{index} 1 3 | one"));
        client.expect(&format!("MSG each.{index} 1 3 | two"));
        client.barrier();
    }
    assert!(server.is_running());
}
