//! Events of the system account: of clients on every shard, and against the peer's, leaf by leaf.
//! What may differ stands in `tests/fixtures/known-differences.txt`, each with its reason.

use pinion_tests::known_differences::KnownDifferences;
use pinion_tests::notice::pass_over;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::Wire;
use serde_json::Value;

const CONFIG: &str = "server_tags: [\"b:2\"]\nserver_metadata: { zone: east }\nsystem_account: SYS\n\
    accounts { SYS { users: [ { user: sys, password: s } ] }, A { users: [ { user: ann, password: s3cret } ] } }\n";
const WATCHER: &str = r#"{"verbose":false,"user":"sys","pass":"s"}"#;
const CLIENT: &str =
    r#"{"verbose":false,"user":"ann","pass":"s3cret","name":"n","lang":"rust","version":"1.0"}"#;
const STRANGER: &str = r#"{"verbose":false,"user":"ann","pass":"planted-s3cret","name":"n"}"#;

fn watcher(server: &Server) -> Wire {
    let mut watcher = Wire::open(server.address(), WATCHER);
    watcher.line("SUB $SYS.ACCOUNT.> 1");
    watcher.line("SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 2");
    watcher.barrier();
    watcher
}

/// The next event about a client called `n`: the last word of its subject, and its payload.
fn event(watcher: &mut Wire) -> (String, Value) {
    loop {
        let frame = watcher.expect_frame();
        let subject = frame.line.split(' ').nth(1).expect("a message").to_owned();
        let name = subject.rsplit('.').next().expect("a token").to_owned();
        // The peer's counts of connections come in between.
        if name == "CONNS" {
            continue;
        }
        let payload = frame.payload.expect("an event has a payload");
        let text = String::from_utf8(payload).expect("JSON is text");
        assert!(!text.contains("s3cret"), "a secret in an event: {text}");
        let payload: Value = serde_json::from_str(&text).expect("JSON");
        // The watcher may hear of itself, since the peer tells late, and of who looked whether the port is open.
        if payload["client"]["name"] == "n" {
            return (name, payload);
        }
    }
}

/// One client comes, publishes and goes; one is refused.
fn events(program: &Program) -> Vec<(String, Value)> {
    let server = program.start(CONFIG);
    let mut watcher = watcher(&server);
    let mut client = Wire::open(server.address(), CLIENT);
    client.line("SUB a 1");
    client.line("PUB a 2\r\nhi");
    client.expect("MSG a 1 2 | hi");
    client.barrier();
    let mut seen = vec![event(&mut watcher)];
    drop(client);
    seen.push(event(&mut watcher));
    let mut stranger = Wire::connect(server.address()).expect("the server listens");
    stranger.expect_frame();
    stranger.line(&format!("CONNECT {STRANGER}"));
    stranger.expect("-ERR 'Authorization Violation'");
    stranger.expect_closed();
    // The peer tells of its end and of the refusal in either order.
    let mut refused = [event(&mut watcher), event(&mut watcher)];
    refused.sort_by(|(name, _), (other, _)| name.cmp(other));
    seen.extend(refused);
    seen
}

/// Connect, disconnect and refusal have the peer's payloads.
/// Covers: TestSystemAccountNewConnection
#[test]
fn events_are_the_peers() {
    let Some(ours) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let ours = events(&ours);
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["CONNECT", "DISCONNECT", "DISCONNECT", "ERR"]);
    assert_eq!(ours[1].1["reason"], "Client Closed");
    assert_eq!(ours[1].1["sent"]["bytes"], 2);
    assert_eq!(ours[3].1["reason"], "Authentication Failure");
    let Some(peer) = Program::peer() else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
        return;
    };
    let known = KnownDifferences::load();
    for ((name, ours), (peers_name, peers)) in ours.iter().zip(&events(&peer)) {
        assert_eq!(name, peers_name);
        let unknown = known.compare("$SYS", peers, ours);
        assert!(
            unknown.is_empty(),
            "{name}: {unknown:#?}\npeer {peers}\nours {ours}"
        );
    }
}

/// Clients of every shard come and go: a watcher on one of them sees each once.
#[test]
fn events_of_all_shards_arrive() {
    const CLIENTS: usize = 50;
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let server = program.start(CONFIG);
    let mut watcher = watcher(&server);
    let clients: Vec<Wire> = (0..CLIENTS)
        .map(|_| Wire::open(server.address(), CLIENT))
        .collect();
    let ids = |watcher: &mut Wire, expected: &str| {
        let mut ids: Vec<u64> = (0..CLIENTS)
            .map(|_| {
                let (name, payload) = event(watcher);
                assert_eq!(name, expected);
                payload["client"]["id"].as_u64().expect("a number")
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let came = ids(&mut watcher, "CONNECT");
    drop(clients);
    let left = ids(&mut watcher, "DISCONNECT");
    assert_eq!(came.len(), CLIENTS);
    assert_eq!(came, left);
}
