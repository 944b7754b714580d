//! The monitoring port against the peer's: the same workload on both, then the same pages, compared leaf by leaf.
//! What may differ stands in `tests/fixtures/known-differences.txt`, each with its reason.

#![expect(clippy::disallowed_methods, reason = "deadlines of a test need the clock")]

use std::net::SocketAddr;
use std::time::Instant;

use pinion_tests::http::{exchange, get, monitor_address, Reply};
use pinion_tests::known_differences::KnownDifferences;
use pinion_tests::notice::pass_over;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, Wire, PATIENCE};
use serde_json::Value;

const CONFIG: &str =
    "http: \"127.0.0.1:-1\"\nserver_tags: [\"b:2\", \"a:1\"]\nserver_metadata: { zone: east }\n\
                      max_subscriptions: 100\nwrite_timeout: close\n\
                      max_closed_clients: 3\n";

fn programs() -> Option<(Program, Program)> {
    let ours = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"))?;
    let Some(peer) = Program::peer() else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
        return None;
    };
    Some((peer, ours))
}

/// A server with clients on it.
struct Busy {
    server: Server,
    monitor: SocketAddr,
    _clients: Vec<Wire>,
}

fn open(server: &Server, connect: &str) -> Wire {
    Wire::open(server.address(), connect)
}

/// Three clients that stay (one says nothing, one listens, one publishes) and three that go, each for another reason.
fn busy(program: &Program) -> Busy {
    let mut server = program.start(CONFIG);
    let monitor = monitor_address(&mut server);
    let mut silent = server.connect();
    silent.expect_frame();
    let mut listener = open(
        &server,
        r#"{"verbose":false,"name":"listener","lang":"rust","version":"1.0","user":"joe"}"#,
    );
    for line in [
        "SUB foo.* 1",
        "SUB bar q1 2",
        "UNSUB 2 10",
        "SUB gone 3",
        "UNSUB 3",
    ] {
        listener.line(line);
    }
    listener.barrier();
    let mut publisher = open(
        &server,
        r#"{"verbose":false,"name":"pub<lish>&er","lang":"go","auth_token":"s3cr3t"}"#,
    );
    publisher.line("PUB foo.x 5\r\nhello");
    publisher.line("PUB bar 2\r\nhi");
    listener.expect("MSG foo.x 1 5 | hello");
    listener.expect("MSG bar 2 2 | hi");
    // After the others: this one was active last.
    publisher.line("PUB nobody 3\r\nhey");
    publisher.barrier();
    // One after the other, so that the order of the closes is the same.
    let mut leaver = open(&server, r#"{"verbose":false,"name":"leaver","user":"joe"}"#);
    leaver.line("SUB a.> q 7");
    leaver.line("SUB b 8");
    leaver.line("UNSUB 8 5");
    leaver.barrier();
    drop(leaver);
    wait_for_name(monitor, "leaver");
    let mut wrong = open(&server, r#"{"verbose":false,"name":"wrong"}"#);
    wrong.line("NONSENSE");
    wrong.expect("-ERR 'Unknown Protocol Operation'");
    assert_eq!(wrong.next(PATIENCE), Event::Closed);
    wait_for_name(monitor, "wrong");
    let mut large = open(&server, r#"{"verbose":false,"name":"large"}"#);
    large.line("PUB foo 99999999");
    large.expect("-ERR 'Maximum Payload Violation'");
    assert_eq!(large.next(PATIENCE), Event::Closed);
    wait_for_name(monitor, "large");
    publisher.barrier();
    Busy {
        server,
        monitor,
        _clients: vec![silent, listener, publisher],
    }
}

/// Asks until a connection of this name is among the closed ones. They are three in the end, as many as are remembered:
/// the one by which the start looked whether the port is open is forgotten, and nobody knows how it was closed.
fn wait_for_name(monitor: SocketAddr, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    let is_there = || {
        let connz = get(monitor, "/connz?state=closed").json();
        let rows = connz["connections"].as_array().expect("a list").clone();
        rows.iter().any(|row| row["name"] == name)
    };
    while !is_there() {
        assert!(Instant::now() < deadline, "{name} did not show as closed");
    }
}

/// Asks until so many closed connections are remembered.
fn wait_for_closed(monitor: SocketAddr, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while get(monitor, "/connz?state=closed").json()["total"] != count {
        assert!(
            Instant::now() < deadline,
            "{count} closed connections did not show"
        );
    }
}

/// The number of a connection by its name.
fn number_of(monitor: SocketAddr, name: &str) -> u64 {
    let connz = get(monitor, "/connz?state=all").json();
    let connections = connz["connections"].as_array().expect("a list");
    let found = connections.iter().find(|connection| connection["name"] == name);
    found
        .and_then(|connection| connection["cid"].as_u64())
        .expect("the client is there")
}

/// The order of subscriptions and of accounts in a list is nobody's promise.
fn sort_subscriptions(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(sort_subscriptions);
            let name = |item: &Value| {
                let named = ["subject", "acc"].iter().find_map(|key| item.get(key));
                named.or(item.is_string().then_some(item)).map(Value::to_string)
            };
            if list.iter().all(|item| name(item).is_some()) {
                list.sort_by_key(|item| name(item));
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(sort_subscriptions),
        _ => {}
    }
}

fn compare(known: &KnownDifferences, path: &str, peer: &Reply, ours: &Reply) -> Vec<String> {
    let mut found = Vec::new();
    if peer.status != ours.status {
        found.push(format!("{path}: status {} and {}", peer.status, ours.status));
    }
    for name in [
        "content-type",
        "access-control-allow-origin",
        "x-content-type-options",
        "location",
    ] {
        if peer.header(name) != ours.header(name) {
            found.push(format!(
                "{path}: {name} {:?} and {:?}",
                peer.header(name),
                ours.header(name)
            ));
        }
    }
    if peer.header("content-type") == "application/json" && ours.header("content-type") == "application/json"
    {
        let document = path.split('?').next().unwrap_or_default();
        let document = if document == "/subscriptionsz" {
            "/subsz"
        } else {
            document
        };
        let (mut peer, mut ours) = (peer.json(), ours.json());
        sort_subscriptions(&mut peer);
        sort_subscriptions(&mut ours);
        let lines = known.compare(document, &peer, &ours);
        found.extend(lines.into_iter().map(|line| format!("{path}: {line}")));
    } else if peer.body != ours.body {
        found.push(format!("{path}: body {:?} and {:?}", peer.text(), ours.text()));
    }
    found
}

/// Pages, parameters, errors.
const PATHS: [&str; 63] = [
    "/varz",
    "/varz?callback=f",
    "/connz",
    "/connz?auth=1&subs=1",
    "/connz?auth=TRUE&subs=detail",
    "/connz?state=all&subs=detail&auth=true",
    "/connz?state=any&subs=1",
    "/connz?state=closed",
    "/connz?state=CLOSED&sort=stop",
    "/connz?state=closed&sort=reason",
    "/connz?state=closed&sort=cid&limit=1&offset=1",
    "/connz?state=closed&acc=$G",
    "/connz?state=closed&user=joe",
    "/connz?user=joe",
    "/connz?user=joe&state=all",
    "/connz?user=nobody",
    "/connz?user=[REDACTED]&auth=1",
    "/connz?acc=$G",
    "/connz?acc=%24G&state=all&limit=1&offset=1",
    "/connz?acc=$SYS",
    "/connz?acc=NOPE",
    "/connz?mqtt_client=x",
    "/connz?filter_subject=foo.x",
    "/connz?cid=99999",
    "/connz?cid=99999&state=closed",
    "/connz?offset=2",
    "/connz?offset=-2&limit=-2",
    "/connz?offset=9",
    "/connz?limit=1",
    "/connz?sort=start&limit=2",
    "/connz?sort=uptime&limit=1",
    "/connz?sort=msgs_to&limit=1",
    "/connz?sort=msgs_from&limit=1",
    "/connz?sort=bytes_to&limit=1",
    "/connz?sort=bytes_from&limit=1",
    "/connz?sort=subs&limit=1",
    "/connz?sort=idle&limit=1",
    "/connz?sort=last&limit=1",
    "/connz?sort=foo",
    "/connz?sort=stop",
    "/connz?sort=reason&state=all",
    "/connz?auth=foo",
    "/connz?subs=foo",
    "/connz?offset=foo",
    "/connz?limit=99999999999999999999",
    "/connz?cid=-1",
    "/connz?state=foo%22",
    "/connz/",
    "/subsz",
    "/subsz?acc=NOPE",
    "/subsz?acc=$G",
    "/subsz?subs=1&acc=$G&test=bar",
    "/subscriptionsz?subs=t&acc=$G&test=foo.any",
    "/subsz?subs=1&acc=$G&test=foo.any&offset=1",
    "/subsz?subs=1&test=nobody.wants.this",
    "/subsz?test=foo.*",
    "/subsz?subs=foo",
    "/healthz?account=A&consumer=C",
    "/healthz?stream=S&details=1",
    "/healthz?js-enabled-only=foo",
    "/nope",
    "/varz/",
    "//varz?a=b",
];

/// The same pages say the same, but for what the list knows.
/// Covers: TestMonitorHandler TestMonitorConnzWithStateForClosedConns TestMonitorClosedConnzWithSubsDetail
#[test]
fn pages_say_what_the_peers_say() {
    let Some((peer, ours)) = programs() else { return };
    let known = KnownDifferences::load();
    let (peer, ours) = (busy(&peer), busy(&ours));
    let mut found = Vec::new();
    for path in PATHS {
        found.extend(compare(
            &known,
            path,
            &get(peer.monitor, path),
            &get(ours.monitor, path),
        ));
    }
    for name in ["listener", "leaver"] {
        for rest in [
            "",
            "&state=closed",
            "&state=all&subs=detail&auth=1",
            "&acc=$SYS",
            "&user=nobody&state=all",
        ] {
            let page = |monitor| get(monitor, &format!("/connz?cid={}{rest}", number_of(monitor, name)));
            let path = format!("/connz?cid={name}{rest}");
            found.extend(compare(&known, &path, &page(peer.monitor), &page(ours.monitor)));
        }
    }
    found.extend(compare(
        &known,
        "/varz",
        &get(peer.monitor, "/varz"),
        &get(ours.monitor, "/varz"),
    ));
    found.extend(known.unmet(&["/varz", "/connz", "/subsz", "/healthz"]));
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
    drop((peer.server, ours.server));
}

const ACCOUNTS_CONFIG: &str = "http: \"127.0.0.1:-1\"\nno_auth_user: bob\nmax_closed_clients: 2\n\
    accounts { A { users: [ { user: ann, password: a } ] }, B { users: [ { user: bob, password: b }, { nkey: \
    UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK } ] }, C {} }";

/// A client of each of two accounts, one refused and one that left.
fn busy_accounts(program: &Program) -> Busy {
    let mut server = program.start(ACCOUNTS_CONFIG);
    let monitor = monitor_address(&mut server);
    let mut ann = open(
        &server,
        r#"{"verbose":false,"name":"ann","user":"ann","pass":"a"}"#,
    );
    ann.line("SUB x.* 1");
    ann.line("SUB x.y q 2");
    ann.line("PUB x.z 5\r\nhello");
    ann.expect("MSG x.z 1 5 | hello");
    ann.barrier();
    let mut bob = open(&server, r#"{"verbose":false,"name":"bob"}"#);
    bob.line("SUB x.* 1");
    bob.line("PUB y 2\r\nhi");
    bob.barrier();
    let mut wrong = server.connect();
    wrong.expect_frame();
    wrong.line(r#"CONNECT {"verbose":false,"name":"wrong","user":"ann","pass":"b"}"#);
    wrong.expect("-ERR 'Authorization Violation'");
    assert_eq!(wrong.next(PATIENCE), Event::Closed);
    wait_for_name(monitor, "wrong");
    let leaver = open(
        &server,
        r#"{"verbose":false,"name":"leaver","user":"ann","pass":"a"}"#,
    );
    drop(leaver);
    wait_for_name(monitor, "leaver");
    bob.barrier();
    Busy {
        server,
        monitor,
        _clients: vec![ann, bob],
    }
}

/// Users and accounts on the pages.
/// Covers: TestMonitorAccountz, TestMonitorAccountStatz, TestMonitorAuthorizedUsers
#[test]
fn pages_of_accounts_say_what_the_peers_say() {
    let Some((peer, ours)) = programs() else { return };
    let known = KnownDifferences::load();
    let (peer, ours) = (busy_accounts(&peer), busy_accounts(&ours));
    let mut found = Vec::new();
    for path in [
        "/accountz",
        "/accountz?acc=A",
        "/accountz?acc=C",
        "/accountz?acc=$G",
        "/accountz?acc=NOPE",
        "/accstatz",
        "/accstatz?unused=1",
        "/accstatz?unused=foo",
        "/connz",
        "/connz?auth=1",
        "/connz?auth=1&state=closed",
        "/connz?auth=1&acc=A&state=all",
        "/connz?auth=1&acc=C",
        "/connz?auth=1&user=ann&state=all",
        "/connz?auth=1&user=bob",
        "/connz?auth=1&subs=detail&acc=A",
        "/subsz?acc=A&subs=1&test=x.y",
        "/subsz?acc=B&subs=1&test=x.y",
        "/varz",
    ] {
        found.extend(compare(
            &known,
            path,
            &get(peer.monitor, path),
            &get(ours.monitor, path),
        ));
    }
    found.extend(known.unmet(&["/accountz", "/accstatz"]));
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
    drop((peer.server, ours.server));
}

/// Keys come in the peer's order and as far indented: people read these pages, and some scripts cut them.
#[test]
fn keys_stand_in_the_peers_order() {
    let Some((peer, ours)) = programs() else { return };
    let (peer, ours) = (busy(&peer), busy(&ours));
    let health = |monitor| get(monitor, "/healthz").body;
    assert_eq!(health(peer.monitor), health(ours.monitor));
    for path in [
        "/varz",
        "/connz?auth=1&state=all",
        "/subsz?subs=1&acc=$G&test=bar",
    ] {
        let keys = |monitor| {
            let text = get(monitor, path).text().to_owned();
            let own = ["\"pinion_version\"", "\"shards\""];
            let lines = text.lines().filter(|line| line.contains("\": "));
            lines
                .map(|line| line.split("\": ").next().unwrap_or_default().to_owned() + "\"")
                .filter(|key| !own.contains(&key.trim()) && !key.contains("\"git_commit"))
                .collect::<Vec<String>>()
        };
        assert_eq!(keys(peer.monitor), keys(ours.monitor), "{path}");
    }
}

/// The base path stands before every page, and in lame duck mode the server is not healthy.
/// Covers: TestMonitorHTTPBasePath TestMonitorHealthzStatusError
#[test]
fn base_path_and_lame_duck() {
    let Some((peer, ours)) = programs() else { return };
    let known = KnownDifferences::load();
    let config = "http: \"127.0.0.1:-1\"\nhttp_base_path: \"/nats\"\nlame_duck_grace_period: \"30s\"\nlame_duck_duration: \"60s\"\n";
    let mut started = [peer, ours].map(|program| {
        let mut server = program.start(config);
        let monitor = monitor_address(&mut server);
        let client = server.client();
        (server, monitor, client)
    });
    let paths = [
        "/healthz",
        "/nats/healthz",
        "/nats/healthz?details=1",
        "/nats/healthz?js-server-only=1",
        "/nats/",
        "/",
        "/nats/varz",
    ];
    let mut found = Vec::new();
    for in_lame_duck in [false, true] {
        if in_lame_duck {
            for (server, _, client) in &mut started {
                client.barrier();
                server.signal("USR2");
                server.wait_for_log("Entering lame duck mode");
            }
            let [peer, ours] = &started;
            for monitor in [peer.1, ours.1] {
                let deadline = Instant::now() + PATIENCE;
                while get(monitor, "/nats/healthz").status == 200 {
                    assert!(Instant::now() < deadline, "still healthy in lame duck mode");
                }
            }
        }
        let [peer, ours] = &started;
        for path in paths {
            let (peer, ours) = (get(peer.1, path), get(ours.1, path));
            let differences = compare(&known, path.trim_start_matches("/nats"), &peer, &ours);
            found.extend(
                differences
                    .into_iter()
                    .filter(|line| !line.contains("http_req_stats./healthz")),
            );
        }
        for (_, monitor, _) in &started {
            let index = get(*monitor, "/nats");
            assert_eq!(
                (index.status, index.header("content-type")),
                (200, "text/html; charset=utf-8")
            );
        }
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Requests that are none, or too large, get the peer's status.
#[test]
fn bad_http_has_the_peers_status() {
    let Some((peer, ours)) = programs() else { return };
    let addresses = [peer, ours].map(|program| {
        let mut server = program.start("http: \"127.0.0.1:-1\"\n");
        let monitor = monitor_address(&mut server);
        (server, monitor)
    });
    let large = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(1_200_000)
    );
    for request in [
        "GARBAGE\r\n\r\n",
        "POST /healthz HTTP/1.0\r\nHost: x\r\n\r\n",
        "HEAD /healthz HTTP/1.0\r\nHost: x\r\n\r\n",
        &large,
    ] {
        let [peer, ours] = [&addresses[0], &addresses[1]]
            .map(|(_, monitor)| Reply::parse(&exchange(*monitor, request.as_bytes())));
        assert_eq!(peer.status, ours.status, "{}", &request[..20.min(request.len())]);
    }
}

/// Name and reason of every closed connection but the first, by which the start looked whether the port is open: it is
/// gone before or after it was greeted.
fn reasons(monitor: SocketAddr) -> Vec<String> {
    let connz = get(monitor, "/connz?state=closed").json();
    let rows = connz["connections"].as_array().expect("a list").clone();
    rows.iter()
        .skip(1)
        .map(|row| format!("{} {}", row["name"], row["reason"]))
        .collect()
}

/// Why a connection was closed: the same text for the same misbehaviour.
/// Covers: TestMonitorConnzClosedConnsBadClient
#[test]
fn close_reasons_are_the_peers() {
    let Some((peer, ours)) = programs() else { return };
    let long_subject = "x".repeat(5_000);
    let crimes = [
        ("leaves".to_owned(), None),
        ("nonsense".to_owned(), Some("NONSENSE".to_owned())),
        ("large".to_owned(), Some("PUB foo 99999999".to_owned())),
        ("long".to_owned(), Some(format!("SUB {long_subject} 1"))),
        ("few".to_owned(), Some("SUB".to_owned())),
        (
            "protocol".to_owned(),
            Some(r#"CONNECT {"name":"protocol","protocol":9}"#.to_owned()),
        ),
        (
            "responders".to_owned(),
            Some(r#"CONNECT {"name":"responders","no_responders":true,"headers":false}"#.to_owned()),
        ),
        (
            "account".to_owned(),
            Some(r#"CONNECT {"name":"account","account":"A"}"#.to_owned()),
        ),
        ("json".to_owned(), Some("CONNECT {".to_owned())),
        ("header".to_owned(), Some("HPUB foo 12 5".to_owned())),
        ("server".to_owned(), Some("RS+ $G foo".to_owned())),
    ];
    let [peers, own] = [&peer, &ours].map(|program| {
        let mut server = program.start("http: \"127.0.0.1:-1\"\n");
        let monitor = monitor_address(&mut server);
        wait_for_closed(monitor, 1);
        for (number, (name, crime)) in (2..).zip(&crimes) {
            let connect = format!(r#"{{"verbose":false,"headers":true,"name":"{name}"}}"#);
            let mut client = open(&server, &connect);
            if let Some(crime) = crime {
                client.line(crime);
                while let Event::Frame(_) = client.next(PATIENCE) {}
            }
            drop(client);
            wait_for_closed(monitor, number);
        }
        reasons(monitor)
    });
    assert_eq!(peers.len(), crimes.len());
    assert_eq!(peers, own);
    let [peers, own] = [&peer, &ours].map(|program| {
        let config = "http: \"127.0.0.1:-1\"\nmax_connections: 1\nping_interval: \"200ms\"\nping_max: 1\n";
        let mut server = program.start(config);
        let monitor = monitor_address(&mut server);
        wait_for_closed(monitor, 1);
        let mut stale = open(&server, r#"{"verbose":false,"name":"stale"}"#);
        let mut second = server.connect();
        while let Event::Frame(_) = second.next(PATIENCE) {}
        wait_for_closed(monitor, 2);
        while let Event::Frame(_) = stale.next(PATIENCE) {}
        wait_for_closed(monitor, 3);
        reasons(monitor)
    });
    assert_eq!(peers, own);
    assert!(
        own.iter().any(|line| line.contains("Stale Connection")),
        "{own:?}"
    );
    assert!(
        own.iter()
            .any(|line| line.contains("Maximum Connections Exceeded")),
        "{own:?}"
    );
}
