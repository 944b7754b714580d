//! What the rules let through, over several shards: permissions, decisions that take time, services and streams of other
//! accounts, new rules while clients are there.

use std::collections::BTreeSet;
use std::rc::Rc;

use pinion_shard::proto::CloseReason;
use pinion_shard::rules::{
    Access, AccountLimits, AccountSpec, AllowDeny, Exports, Imports, PermissionSpec, ResponsePermission,
    ResponseType, Rules, RulesSpec, ServiceExport, ServiceImport, StreamExport, StreamImport,
};
use pinion_shard::subject::mapping::{Destination, Mappings};

use super::stage::{Client, Stage, MOMENT};
use super::users::{rules, User};
use super::{ms, s};

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn allow_deny(allow: Option<&[&str]>, deny: &[&str]) -> Option<AllowDeny> {
    Some(AllowDeny {
        allow: allow.map(list),
        deny: list(deny),
    })
}

fn account(name: &str) -> AccountSpec {
    AccountSpec {
        name: name.to_owned(),
        ..AccountSpec::default()
    }
}

fn service(account: &str, subject: &str, local: &str) -> ServiceImport {
    ServiceImport {
        account: account.to_owned(),
        subject: subject.to_owned(),
        local: local.to_owned(),
        share: false,
        is_activated: false,
    }
}

fn stream(account: &str, subject: &str, local: &str) -> StreamImport {
    StreamImport {
        account: account.to_owned(),
        subject: subject.to_owned(),
        local: local.to_owned(),
        is_activated: false,
        allow_trace: false,
    }
}

fn public_stream(subject: &str) -> StreamExport {
    StreamExport {
        subject: subject.to_owned(),
        access: Access::Public,
    }
}

fn spec(accounts: Vec<AccountSpec>) -> RulesSpec {
    RulesSpec {
        accounts,
        ..RulesSpec::default()
    }
}

fn start(shards: usize, rules: Rules) -> Stage {
    Stage::start_with(Stage::plan(), shards, rules, |settings| {
        settings.auth_timeout = Some(s(2))
    })
}

/// What the client got since the last look, without empty lines.
fn news(stage: &Stage, client: &Client, seen: &mut usize) -> Vec<String> {
    stage.pass(MOMENT);
    let said = client.said();
    let new = said[*seen..]
        .iter()
        .filter(|line| !line.is_empty())
        .cloned()
        .collect();
    *seen = said.len();
    new
}

/// Two users of one account, the second with permissions.
fn with_permissions(permissions: PermissionSpec) -> (Stage, Rc<Client>, Rc<Client>) {
    let limited = User {
        permissions,
        ..User::of("A")
    };
    let stage = start(
        2,
        rules(
            None,
            spec(vec![account("A")]),
            &[("free", User::of("A")), ("limited", limited)],
        ),
    );
    let (free, limited) = (stage.user("free"), stage.user("limited"));
    (stage, free, limited)
}

/// Deny wins over allow; the client is told with the peer's text and stays.
#[test]
fn publish_permissions_hold() {
    let (stage, free, limited) = with_permissions(PermissionSpec {
        publish: allow_deny(Some(&["a.*", "b"]), &["a.secret"]),
        ..PermissionSpec::default()
    });
    free.send("SUB > 1\r\n");
    stage.pass(MOMENT);
    for subject in ["a.x", "a.secret", "b", "c", "a.x.y"] {
        limited.publish(subject, 1);
    }
    stage.pass(MOMENT);
    assert_eq!(
        limited.said(),
        [
            "-ERR 'Permissions Violation for Publish to \"a.secret\"'",
            "-ERR 'Permissions Violation for Publish to \"c\"'",
            "-ERR 'Permissions Violation for Publish to \"a.x.y\"'",
        ]
    );
    assert_eq!(free.said(), ["MSG a.x 1 1", "x", "MSG b 1 1", "x"]);
    assert_eq!(limited.ended(), None);
}

/// A denied subscription is refused; of an allowed one with wildcards the denied messages do not come.
#[test]
fn subscribe_permissions_hold() {
    let (stage, free, limited) = with_permissions(PermissionSpec {
        subscribe: allow_deny(Some(&["a.>", "jobs v1.*"]), &["a.secret", "a.q bad"]),
        ..PermissionSpec::default()
    });
    for line in [
        "SUB a.secret 1",
        "SUB a.* 2",
        "SUB b 3",
        "SUB jobs 4",
        "SUB jobs v1.x 5",
        "SUB jobs v2 6",
        "SUB a.q bad 7",
        "SUB a.* bad 8",
    ] {
        limited.send(&format!("{line}\r\n"));
    }
    stage.pass(MOMENT);
    let violation = "-ERR 'Permissions Violation for Subscription to";
    assert_eq!(
        limited.said(),
        [
            format!("{violation} \"a.secret\"'"),
            format!("{violation} \"b\"'"),
            format!("{violation} \"jobs\"'"),
            format!("{violation} \"jobs\" using queue \"v2\"'"),
            format!("{violation} \"a.q\" using queue \"bad\"'"),
        ]
    );
    for subject in ["a.secret", "a.x", "jobs", "a.q"] {
        free.publish(subject, 1);
    }
    stage.pass(MOMENT);
    for (line, count) in [
        ("MSG a.x 2 1", 1),
        ("MSG a.x 8 1", 1),
        ("MSG jobs 5 1", 1),
        ("MSG a.q 2 1", 1),
        ("MSG a.q 8 1", 0),
        ("MSG a.secret", 0),
    ] {
        assert_eq!(limited.count(line), count, "{line}");
    }
}

/// Who may answer may do so as often as the rule says, and nothing else.
#[test]
fn responses_are_allowed_and_counted() {
    let (stage, free, limited) = with_permissions(PermissionSpec {
        responses: Some(ResponsePermission {
            messages_max: Some(2),
            expires: Some(s(1)),
        }),
        ..PermissionSpec::default()
    });
    limited.send("SUB req 1\r\n");
    free.send("SUB inbox.* 1\r\n");
    stage.pass(MOMENT);
    free.send("PUB req inbox.1 0\r\n\r\nPUB req inbox.2 0\r\n\r\n");
    stage.pass(MOMENT);
    for _ in 0..3 {
        limited.publish("inbox.1", 1);
    }
    limited.publish("other", 1);
    stage.pass(s(2));
    limited.publish("inbox.2", 1);
    stage.pass(MOMENT);
    assert_eq!(free.count("MSG inbox.1"), 2);
    assert_eq!(free.count("MSG inbox.2"), 0);
    for subject in ["inbox.1", "other", "inbox.2"] {
        let error = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'");
        assert_eq!(limited.count(&error), 1, "{subject}");
    }
}

/// A decision that takes time holds the connection and nobody else; what was sent meanwhile is done afterwards.
#[test]
fn connection_waits_for_its_decision() {
    let slow = User {
        delay: ms(500),
        ..User::of("A")
    };
    let too_slow = User {
        delay: s(10),
        ..User::of("A")
    };
    let users = [("fast", User::of("A")), ("slow", slow), ("too slow", too_slow)];
    let stage = start(1, rules(None, spec(vec![account("A")]), &users));
    let (slow, too_slow) = (stage.user("slow"), stage.user("too slow"));
    slow.send("SUB a 1\r\nPING\r\n");
    let fast = stage.user("fast");
    assert!(stage.round_trip(&fast) < MOMENT);
    stage.pass(ms(100));
    assert_eq!(slow.said(), [""; 0]);
    stage.pass(ms(500));
    assert_eq!(slow.said(), ["PONG"]);
    fast.publish("a", 1);
    stage.pass(s(3));
    assert_eq!(slow.count("MSG a 1 1"), 1);
    assert_eq!(too_slow.said(), ["-ERR 'Authentication Timeout'"]);
    assert_eq!(stage.close_reasons(), [CloseReason::AuthenticationTimeout]);
}

/// Who does not say who it is in time is closed.
#[test]
fn late_connect_is_refused() {
    let stage = start(2, rules(None, spec(vec![account("A")]), &[("a", User::of("A"))]));
    let (silent, quick) = (stage.connect(), stage.user("a"));
    stage.pass(ms(1_900));
    assert_eq!(silent.said(), [""; 0]);
    stage.pass(ms(200));
    assert_eq!(silent.said(), ["-ERR 'Authentication Timeout'"]);
    assert_eq!(stage.close_reasons(), [CloseReason::AuthenticationTimeout]);
    assert!(stage.round_trip(&quick) < MOMENT);
}

/// Wrong credentials, none, and an end of what was granted.
#[test]
fn refused_clients_are_told() {
    let guest = User {
        stays: Some(s(5)),
        ..User::of("A")
    };
    let stage = start(2, rules(None, spec(vec![account("A")]), &[("guest", guest)]));
    let stranger = stage.user("stranger");
    assert_eq!(stranger.said(), ["-ERR 'Authorization Violation'"]);
    let silent = stage.connect();
    silent.send("SUB a 1\r\n");
    stage.pass(MOMENT);
    assert_eq!(silent.said(), ["-ERR 'Authorization Violation'"]);
    let guest = stage.user("guest");
    assert!(stage.round_trip(&guest) < MOMENT);
    stage.pass(s(6));
    assert_eq!(guest.count("-ERR 'User Authentication Expired'"), 1);
    let reasons: BTreeSet<_> = stage.close_reasons().into_iter().map(CloseReason::text).collect();
    let wanted = [
        CloseReason::AuthenticationFailure,
        CloseReason::AuthenticationExpired,
    ];
    assert_eq!(reasons, wanted.into_iter().map(CloseReason::text).collect());
}

/// Who sends no CONNECT is let in as the user the rules name for that.
#[test]
fn operation_before_connect_is_done_for_the_default_user() {
    let stage = start(
        2,
        rules(None, spec(vec![account("A")]), &[("nobody", User::of("A"))]),
    );
    let client = stage.connect();
    client.send("SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n");
    stage.pass(MOMENT);
    assert_eq!(client.said().last().map(String::as_str), Some("PONG"));
    assert_eq!(client.count("MSG a 1 1"), 1);
    assert_eq!(&*stage.connection(0).account().name, "A");
}

/// An account has so many connections on all shards together; one that leaves makes room.
#[test]
fn connections_of_an_account_are_counted_over_shards() {
    let mut limited = account("A");
    limited.limits = AccountLimits {
        connections: Some(3),
        ..AccountLimits::default()
    };
    let stage = start(2, rules(None, spec(vec![limited]), &[("a", User::of("A"))]));
    let clients: Vec<_> = (0..4).map(|_| stage.user("a")).collect();
    assert_eq!(
        clients[3].said(),
        ["-ERR 'maximum account active connections exceeded'"]
    );
    assert_eq!(
        stage.close_reasons(),
        [CloseReason::MaxAccountConnectionsExceeded]
    );
    clients[0].reset();
    stage.pass(MOMENT);
    let next = stage.user("a");
    assert!(stage.round_trip(&next) < MOMENT);
}

/// Limits of the account bind its connections: subscriptions and payload.
#[test]
fn limits_of_an_account_bind_its_connections() {
    let mut limited = account("A");
    limited.limits = AccountLimits {
        subscriptions: Some(1),
        payload_size: Some(10),
        ..AccountLimits::default()
    };
    let stage = start(1, rules(None, spec(vec![limited]), &[("a", User::of("A"))]));
    let client = stage.user("a");
    client.send("SUB a 1\r\nSUB b 2\r\n");
    client.publish("a", 10);
    stage.pass(MOMENT);
    assert_eq!(client.said()[0], "-ERR 'maximum subscriptions exceeded'");
    assert_eq!(client.count("MSG a 1 10"), 1);
    client.publish("a", 11);
    stage.pass(MOMENT);
    assert_eq!(client.count("-ERR 'Maximum Payload Violation'"), 1);
}

/// Accounts do not hear each other, and CONNECT once more moves a client with nothing left behind.
#[test]
fn accounts_are_apart() {
    let users = [("a", User::of("A")), ("b", User::of("B"))];
    let stage = start(2, rules(None, spec(vec![account("A"), account("B")]), &users));
    let (a, b, other) = (stage.user("a"), stage.user("b"), stage.user("a"));
    a.send("SUB > 1\r\n");
    b.send("SUB > 1\r\n");
    stage.pass(MOMENT);
    other.publish("x", 1);
    stage.pass(MOMENT);
    assert_eq!((a.count("MSG"), b.count("MSG")), (1, 0));
    a.send("CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":\"b\",\"pass\":\"pw\"}\r\nSUB y 2\r\n");
    stage.pass(MOMENT);
    other.publish("y", 1);
    b.publish("y", 1);
    stage.pass(MOMENT);
    assert_eq!((a.count("MSG y 2"), a.count("MSG y")), (1, 1));
}

fn services(response: ResponseType) -> RulesSpec {
    let mut exporter = account("SVC");
    exporter.exports = Exports {
        services: vec![ServiceExport {
            response,
            threshold: Some(s(1)),
            ..ServiceExport::public("add.*.*")
        }],
        ..Exports::default()
    };
    let mut importer = account("APP");
    importer.imports.services = vec![service("SVC", "add.*.*", "sum.$2.$1")];
    spec(vec![exporter, importer])
}

fn service_users() -> [(&'static str, User); 2] {
    [("app", User::of("APP")), ("svc", User::of("SVC"))]
}

/// A request goes to the service's account under its subject there, with who asks; the answer comes back, once.
#[test]
fn request_crosses_accounts_and_back() {
    for shards in [1, 3] {
        let stage = start(
            shards,
            rules(None, services(ResponseType::Singleton), &service_users()),
        );
        let (app, svc) = (stage.user("app"), stage.user("svc"));
        svc.send("SUB add.> 1\r\n");
        app.send("SUB inbox.* 9\r\n");
        stage.pass(MOMENT);
        app.send("PUB sum.3.4 inbox.1 2\r\nhi\r\n");
        stage.pass(MOMENT);
        let got = svc.said();
        let words: Vec<_> = got[0].split(' ').collect();
        assert_eq!(words[..3], ["HMSG", "add.4.3", "1"], "{got:?}");
        let reply = words[3];
        assert!(reply.starts_with("_R_."), "{reply}");
        assert!(
            got[2].starts_with("Nats-Request-Info: {\"acc\":\"APP\",\"rtt\":"),
            "{got:?}"
        );
        assert_eq!(got.last().map(String::as_str), Some("hi"));
        for _ in 0..2 {
            svc.publish(reply, 1);
            stage.pass(MOMENT);
        }
        assert_eq!(app.said(), ["MSG inbox.1 9 1", "x"]);
    }
}

/// Streamed answers come until the threshold has passed without one, chunked ones until an empty one.
#[test]
fn responses_may_be_many() {
    for (response, count) in [(ResponseType::Stream, 3), (ResponseType::Chunked, 2)] {
        let stage = start(2, rules(None, services(response), &service_users()));
        let (app, svc) = (stage.user("app"), stage.user("svc"));
        svc.send("SUB add.> 1\r\n");
        app.send("SUB inbox.* 9\r\n");
        stage.pass(MOMENT);
        app.send("PUB sum.3.4 inbox.1 2\r\nhi\r\n");
        stage.pass(MOMENT);
        let reply = svc.said()[0].split(' ').nth(3).expect("a reply").to_owned();
        svc.publish(&reply, 1);
        stage.pass(ms(900));
        svc.publish(&reply, 1);
        stage.pass(ms(900));
        if response == ResponseType::Chunked {
            svc.publish(&reply, 0);
            stage.pass(MOMENT);
        }
        svc.publish(&reply, 1);
        stage.pass(MOMENT);
        let extra = usize::from(response == ResponseType::Chunked);
        assert_eq!(app.count("MSG inbox.1 9"), count + extra, "{response:?}");
        stage.pass(s(3));
        svc.publish(&reply, 1);
        stage.pass(MOMENT);
        assert_eq!(app.count("MSG inbox.1 9"), count + extra, "{response:?}");
    }
}

/// Nobody serves: the requester gets the 503 under the subject it asked, from whatever shard.
#[test]
fn request_to_a_service_without_responders_is_told() {
    let stage = start(
        2,
        rules(None, services(ResponseType::Singleton), &service_users()),
    );
    let app = stage.user("app");
    app.send("SUB inbox.* 9\r\nPUB sum.3.4 inbox.1 2\r\nhi\r\n");
    let mut seen = 0;
    let told = ["HMSG inbox.1 9 47 47", "NATS/1.0 503", "Nats-Subject: sum.3.4"];
    let got = news(&stage, &app, &mut seen);
    assert_eq!(got[1..], told[1..], "{got:?}");
    // One that echoes nothing to itself on another shard, gone in the moment the request is on its way.
    let svc = stage.user("svc");
    svc.send("SUB add.> 1\r\n");
    stage.pass(MOMENT);
    app.send("PUB sum.3.4 inbox.1 2\r\nhi\r\n");
    svc.send("UNSUB 1\r\n");
    let got = news(&stage, &app, &mut seen);
    let was_served = svc.count("HMSG add.4.3") == 1;
    assert_eq!(got.contains(&told[1].to_owned()), !was_served, "{got:?}");
}

/// A request goes through three accounts; each is named to the service as the peer does.
#[test]
fn request_goes_through_a_chain_of_accounts() {
    let mut last = account("LAST");
    last.exports.services = vec![ServiceExport::public("deep")];
    let mut middle = account("MIDDLE");
    middle.exports.services = vec![ServiceExport::public("middle")];
    middle.imports.services = vec![service("LAST", "deep", "middle")];
    let mut first = account("FIRST");
    first.imports.services = vec![service("MIDDLE", "middle", "front")];
    let users = [
        ("asks", User::of("FIRST")),
        ("answers", User::of("LAST")),
        ("listens", User::of("MIDDLE")),
    ];
    let stage = start(3, rules(None, spec(vec![last, middle, first]), &users));
    let (asks, answers, listens) = (stage.user("asks"), stage.user("answers"), stage.user("listens"));
    answers.send("SUB deep 1\r\n");
    asks.send("SUB inbox 1\r\n");
    listens.send("SUB > 1\r\n");
    stage.pass(MOMENT);
    asks.send("PUB front inbox 2\r\nhi\r\n");
    stage.pass(MOMENT);
    let got = answers.said();
    assert!(got[2].contains("\"acc\":\"FIRST\",\"svc\":\"MIDDLE\""), "{got:?}");
    let reply = got[0].split(' ').nth(3).expect("a reply").to_owned();
    answers.publish(&reply, 1);
    stage.pass(MOMENT);
    assert_eq!(asks.said(), ["MSG inbox 1 1", "x"]);
    assert_eq!(listens.count("HMSG middle 1 _R_."), 1);
}

/// Messages of a stream come under the importer's subject, once a subscription, from every shard; interest is narrow.
#[test]
fn stream_comes_to_subscriptions_of_the_importer() {
    let mut exporter = account("OUT");
    exporter.exports.streams = vec![public_stream("prices.>"), public_stream("t.*.*")];
    let mut importer = account("IN");
    importer.imports = Imports {
        streams: vec![
            stream("OUT", "prices.>", "market.prices.>"),
            stream("OUT", "t.*.*", "turned.$2.$1"),
        ],
        ..Imports::default()
    };
    let users = [("out", User::of("OUT")), ("in", User::of("IN"))];
    let stage = start(3, rules(None, spec(vec![exporter, importer]), &users));
    let (out, wide, narrow) = (stage.user("out"), stage.user("in"), stage.user("in"));
    wide.send("SUB > 1\r\n");
    narrow.send("SUB market.prices.eu 1\r\nSUB turned.*.a q 2\r\nSUB other 3\r\nUNSUB 2 1\r\n");
    stage.pass(MOMENT);
    for subject in ["prices.eu", "prices.us", "t.a.b", "t.c.d", "t.a.z", "other"] {
        out.publish(subject, 1);
    }
    stage.pass(MOMENT);
    let lines = |client: &Client| -> Vec<String> {
        client
            .said()
            .into_iter()
            .filter(|line| line.starts_with("MSG"))
            .collect()
    };
    assert_eq!(
        lines(&wide),
        [
            "MSG market.prices.eu 1 1",
            "MSG market.prices.us 1 1",
            "MSG turned.b.a 1 1",
            "MSG turned.d.c 1 1",
            "MSG turned.z.a 1 1",
        ]
    );
    assert_eq!(lines(&narrow), ["MSG market.prices.eu 1 1", "MSG turned.b.a 2 1"]);
    wide.send("UNSUB 1\r\n");
    stage.pass(MOMENT);
    out.publish("prices.eu", 1);
    stage.pass(MOMENT);
    assert_eq!((lines(&wide).len(), lines(&narrow).len()), (5, 3));
}

/// Published subjects are mapped, by weight, before permissions are asked.
#[test]
fn published_subjects_are_mapped() {
    let mut mapped = account("A");
    let mut mappings = Mappings::default();
    mappings.add(b"old.*", &[Destination::whole(b"new.$1")]).unwrap();
    let half = Destination {
        weight: 50,
        ..Destination::whole(b"canary")
    };
    mappings.add(b"split", &[half]).unwrap();
    mapped.mappings = mappings;
    let limited = User {
        permissions: PermissionSpec {
            publish: allow_deny(Some(&["new.a", "split", "canary"]), &[]),
            ..PermissionSpec::default()
        },
        ..User::of("A")
    };
    let users = [("a", User::of("A")), ("limited", limited)];
    let stage = start(2, rules(None, spec(vec![mapped]), &users));
    let (a, limited) = (stage.user("a"), stage.user("limited"));
    a.send("SUB > 1\r\n");
    stage.pass(MOMENT);
    limited.publish("old.a", 1);
    limited.publish("old.b", 1);
    for _ in 0..200 {
        limited.publish("split", 1);
    }
    stage.pass(MOMENT);
    assert_eq!(a.count("MSG new.a 1 1"), 1);
    assert_eq!(
        limited.said(),
        ["-ERR 'Permissions Violation for Publish to \"new.b\"'"]
    );
    let (stayed, moved) = (a.count("MSG split"), a.count("MSG canary"));
    assert_eq!(stayed + moved, 200);
    assert!((60..140).contains(&moved), "{moved} of 200");
}

/// New rules: who may not stay is closed, a subscription that lost permission ends with the peer's text, a stream that
/// is no longer imported stops, and nobody else notices. When it is said that they are in force, they are on every shard.
#[test]
fn new_rules_change_what_they_must_and_nothing_else() {
    let limited = |allow: &[&str]| User {
        permissions: PermissionSpec {
            subscribe: allow_deny(Some(allow), &[]),
            publish: allow_deny(Some(allow), &[]),
            ..PermissionSpec::default()
        },
        ..User::of("A")
    };
    let accounts = |imports: bool| {
        let mut exporter = account("OUT");
        exporter.exports.streams = vec![public_stream("s")];
        let mut importer = account("A");
        if imports {
            importer.imports.streams = vec![stream("OUT", "s", "")];
        }
        spec(vec![exporter, importer, account("B")])
    };
    let before = [
        ("gone", User::of("A")),
        ("moved", User::of("A")),
        ("limited", limited(&["a", "b", "s"])),
        ("same", User::of("A")),
        ("out", User::of("OUT")),
    ];
    let old = rules(None, accounts(true), &before);
    let after = [
        ("moved", User::of("B")),
        ("limited", limited(&["a", "s"])),
        ("same", User::of("A")),
        ("out", User::of("OUT")),
    ];
    let new = rules(Some(&old), accounts(false), &after);
    let stage = start(3, old);
    let [gone, moved, limited, same, out] =
        ["gone", "moved", "limited", "same", "out"].map(|name| stage.user(name));
    limited.send("SUB a 1\r\nSUB b 2\r\nSUB s 3\r\n");
    same.send("SUB b 1\r\nSUB s 2\r\n");
    stage.pass(MOMENT);
    out.publish("s", 1);
    limited.publish("b", 1);
    stage.pass(MOMENT);
    assert_eq!(
        (
            limited.count("MSG s 3"),
            same.count("MSG s 2"),
            same.count("MSG b 1")
        ),
        (1, 1, 1)
    );
    stage.apply(new);
    // At this very moment, before anything else may run: every shard obeys.
    assert!(stage.shards.iter().all(|shard| shard.rules().version() == 2));
    out.publish("s", 1);
    limited.publish("b", 1);
    same.publish("a", 1);
    stage.pass(MOMENT);
    assert_eq!(gone.said(), ["-ERR 'Authorization Violation'"]);
    assert_eq!(moved.said(), [""; 0]);
    assert!(moved.ended().is_some());
    let revoked = "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'";
    assert_eq!(limited.count(revoked), 1);
    assert_eq!(
        limited.count("-ERR 'Permissions Violation for Publish to \"b\"'"),
        1
    );
    assert_eq!((limited.count("MSG s 3"), limited.count("MSG a 1")), (1, 1));
    assert_eq!(
        (same.count("MSG s 2"), same.count("MSG b 1"), same.count("-ERR")),
        (1, 1, 0)
    );
    assert_eq!((same.ended(), limited.ended()), (None, None));
}

/// An account that is gone leaves nothing on any shard; one of the same name later is another.
#[test]
fn account_numbers_are_never_used_again() {
    let users = [("a", User::of("A"))];
    let with = rules(None, spec(vec![account("A")]), &users);
    let first = with.account_named("A").expect("it is there").id;
    let without = rules(Some(&with), spec(vec![]), &[]);
    let again = rules(Some(&without), spec(vec![account("A")]), &users);
    let second = again.account_named("A").expect("it is there again").id;
    assert!(second > first);
    let stage = start(2, with);
    let client = stage.user("a");
    client.send("SUB x 1\r\n");
    stage.pass(MOMENT);
    stage.apply(without);
    stage.pass(MOMENT);
    assert_eq!(client.said(), ["-ERR 'Authorization Violation'"]);
    for shard in &stage.shards {
        assert!(shard.accounts().iter().all(|account| account.id != first));
    }
    stage.apply(again);
    let client = stage.user("a");
    assert_eq!(
        stage
            .shards
            .iter()
            .flat_map(|shard| shard.accounts())
            .filter(|account| account.id == second)
            .map(|account| account.connections())
            .sum::<u64>(),
        1
    );
    assert!(stage.round_trip(&client) < MOMENT);
}
