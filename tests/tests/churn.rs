//! Many connections: they come and go and the memory stays; half of them die at once and the rest lives.
//!
//! The numbers here are small; `scripts/churn` runs the same tests with a million connects and 10,000 connections by
//! `CHURN_CONNECTS` and `CHURN_CONNECTIONS`.

use pinion_tests::server::{Kind, Program, Server};
use pinion_tests::wire::Wire;

/// Growth that is noise: caches and pools of the allocator that fill late.
const GROWTH_MAX: u64 = 6 << 20;
/// Memory of a connection with a subscription (design: 8 KiB), judged from this many connections on.
const CONNECTION_SIZE_MAX: u64 = 8 << 10;
const CONNECTIONS_TO_JUDGE: usize = 5_000;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

fn start(config: &str) -> Option<Server> {
    Some(Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?.start(config))
}

fn connect_and_leave(server: &Server, count: usize) {
    for index in 0..count {
        let mut wire = server.client();
        wire.line(&format!("SUB churn.{index} 1"));
        wire.line(&format!("PUB churn.{index} 2\r\nhi"));
        wire.expect(&format!("MSG churn.{index} 1 2 | hi"));
    }
}

/// Connections that come and go leave the resident memory as it was.
#[test]
fn churn_leaves_memory_flat() {
    let Some(server) = start("") else { return };
    let count = number("CHURN_CONNECTS", 3_000);
    connect_and_leave(&server, count.min(20_000) / 2);
    let before = server.resident_size();
    connect_and_leave(&server, count);
    let after = server.resident_size();
    println!("{count} connects: resident {before} -> {after} bytes");
    assert!(
        after <= before + GROWTH_MAX,
        "{count} connects grew the server from {before} to {after} bytes"
    );
}

/// Half of many connections die at once: the others get every message, once.
#[test]
fn half_of_the_connections_die_at_once() {
    let Some(mut server) = start("") else { return };
    let count = number("CHURN_CONNECTIONS", 400);
    let before = server.resident_size();
    let mut clients: Vec<Wire> = (0..count).map(|_| server.client()).collect();
    for client in &mut clients {
        client.line("SUB all 1");
        client.barrier();
    }
    let size = server.resident_size().saturating_sub(before) / count as u64;
    println!("{count} connections with a subscription: {size} bytes each");
    if server.kind() == Kind::Pinion && count >= CONNECTIONS_TO_JUDGE {
        assert!(size <= CONNECTION_SIZE_MAX, "a connection takes {size} bytes");
    }
    let mut publisher = server.client();
    publisher.line("PUB all 3\r\none");
    let dying = clients.split_off(count / 2);
    drop(dying);
    publisher.line("PUB all 3\r\ntwo");
    publisher.barrier();
    for client in &mut clients {
        client.expect("MSG all 1 3 | one");
        client.expect("MSG all 1 3 | two");
        client.barrier();
    }
    assert!(server.is_running());
}
