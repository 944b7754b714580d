//! The blocks as read: every spelling, every default, and what is wrong with them.

use std::time::Duration;

use super::*;
use crate::config::apply::{apply, Applied};
use crate::config::parser::parse_text;
use crate::config::table::Table;
use crate::config::{Options, Severity};

/// Keys without an effect are read here too.
fn applied(text: &str) -> Applied {
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let map = parse_text("t.conf", text.as_bytes(), &no_file, &|_: &str| None)
        .unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"));
    apply(
        &map,
        &Table::with_effective(&["accounts.<account>.exports", "accounts.<account>.imports"]),
    )
}

fn options(text: &str) -> Options {
    let applied = applied(text);
    assert_eq!(applied.diagnostics, [], "{text}");
    applied
        .raw
        .resolve()
        .unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn access(text: &str) -> Access {
    options(text).access
}

/// Everything that is wrong, at once.
fn complaints(text: &str) -> Vec<String> {
    let Applied { raw, mut diagnostics } = applied(text);
    if diagnostics.iter().all(|found| found.severity != Severity::Error) {
        diagnostics.extend(raw.resolve().err().unwrap_or_default());
    }
    diagnostics.iter().map(ToString::to_string).collect()
}

fn only_user(text: &str) -> User {
    let [user] = &access(text).users[..] else {
        panic!("{text}: not one user")
    };
    user.clone()
}

const USER_KEY: &str = "UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK";
const ACCOUNT_KEY: &str = "ACGVCB7DP62QVKXEUS544HSDM7WRABDDWNQMD5BZIZUKJWAWMER55R3E";

/// The one login, and which of two counts.
#[test]
fn login_of_everybody() {
    let user = |text: &str| match access(text).login {
        Login::User { user, password } => format!("{user}/{}", password.reveal()),
        Login::Token(token) => format!("token {}", token.reveal()),
        Login::None => "none".to_owned(),
    };
    assert_eq!(user("authorization { user: a, password: b }"), "a/b");
    assert_eq!(user("authorization { username: a, pass: b }"), "a/b");
    assert_eq!(user("authorization { token: t }"), "token t");
    assert_eq!(user("authorization {}"), "none");
    assert_eq!(user("authorization { user: '', token: '' }"), "none");
    assert_eq!(
        options("authorization { timeout: 0.5 }").liveness.auth_timeout,
        Duration::from_millis(500)
    );
    assert_eq!(
        options("authorization { timeout: '3s' }").liveness.auth_timeout,
        Duration::from_secs(3)
    );
    assert_eq!(
        options("authorization { timeout: 0 }").liveness.auth_timeout,
        Duration::from_secs(2)
    );
}

/// Users of a file, with their accounts and what they inherit.
#[test]
fn users_and_their_accounts() {
    let text = format!(
        "authorization {{ users: [ {{ user: a, password: b }}, {{ nkey: {USER_KEY} }} ] }}\n\
         accounts {{ A {{ nkey: {ACCOUNT_KEY}, users: [ {{ user: c }} ] }}, B {{}} }}\nno_auth_user: c"
    );
    let access = access(&text);
    let shown: Vec<_> = access
        .users
        .iter()
        .map(|user| (&**user.id(), user.account.as_deref()))
        .collect();
    assert_eq!(shown, [("a", None), (USER_KEY, None), ("c", Some("A"))]);
    let names: Vec<_> = access.accounts.iter().map(|account| &*account.name).collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(access.accounts[0].nkey.as_deref(), Some(ACCOUNT_KEY));
    assert_eq!(access.no_auth_user.as_deref(), Some("c"));
    assert_eq!(access.system_account.as_deref(), Some("$SYS"));
}

/// Permissions in every spelling mean the same.
#[test]
fn permissions_in_every_spelling() {
    let one = |permissions: &str| {
        let text = format!("authorization {{ users: [ {{ user: a, permissions: {permissions} }} ] }}");
        only_user(&text).permissions.expect("there are some")
    };
    let allow = one("{ publish: foo }");
    for same in [
        "{ pub: [ foo ] }",
        "{ import: { allow: foo } }",
        "{ PUBLISH: { allow: [ \"foo\" ] } }",
    ] {
        assert_eq!(one(same), allow, "{same}");
    }
    let deny = one("{ subscribe: { deny: [ \"a.>\", \"b q\" ] } }");
    assert_eq!(one("{ sub: { deny: [ \"a.>\", \"b q\" ] } }"), deny);
    assert_eq!(deny.subscribe.as_ref().map(|rules| rules.deny.len()), Some(2));
    assert_eq!(
        deny.subscribe.as_ref().map(|rules| rules.allow.is_none()),
        Some(true)
    );
    // An empty list allows everything, unless answers are all that is allowed.
    assert_eq!(one("{ publish: [] }").publish, Some(AllowDeny::default()));
    let answers = one("{ allow_responses: true }");
    assert_eq!(
        answers.publish.as_ref().and_then(|rules| rules.allow.clone()),
        Some(Vec::new())
    );
    let response = |messages_max, seconds: Option<u64>| {
        let expires = seconds.map(Duration::from_secs);
        Some(ResponsePermission {
            messages_max,
            expires,
        })
    };
    assert_eq!(answers.responses, response(Some(1), Some(120)));
    assert_eq!(
        one("{ allow_responses: { max: 5, expires: '1m' } }").responses,
        response(Some(5), Some(60))
    );
    assert_eq!(
        one("{ publish_allow_responses: { max_msgs: -1, ttl: '-1s' } }").responses,
        response(None, None)
    );
    assert_eq!(
        one("{ allow_responses: { max: 0, expires: '0s' } }").responses,
        response(Some(1), Some(120))
    );
    assert_eq!(one("{ allow_responses: false }").responses, None);

    let inherited = "authorization { default_permissions: { publish: foo }, users: [ { user: a } ] }";
    assert_eq!(only_user(inherited).permissions.as_ref(), Some(&allow));
    let inherited = "accounts { A { users: [ { user: a } ], default_permissions: { publish: foo } } }";
    assert_eq!(only_user(inherited).permissions.as_ref(), Some(&allow));
}

/// Kinds of connection, in any case; none stands for all.
#[test]
fn connection_types_of_a_user() {
    let types = |list: &str| {
        only_user(&format!(
            "authorization {{ users: [ {{ user: a, allowed_connection_types: {list} }} ] }}"
        ))
        .connection_types
    };
    let websocket = types("[ WebSocket ]");
    assert!(websocket.allows(ConnectionType::WebSocket));
    assert!(!websocket.allows(ConnectionType::Standard));
    assert!(types("[ standard, MQTT_WS ]").allows(ConnectionType::MqttWebSocket));
    assert_eq!(types("[]"), ConnectionTypes::ALL);
}

/// Limits, mappings and names of accounts.
#[test]
fn accounts_by_name_and_by_block() {
    let account = |text: &str| access(text).accounts[0].clone();
    let limits =
        account("accounts { A { limits: { max_conn: 5, max_subs: -1, max_pay: 100, max_leafs: 0 } } }")
            .limits;
    assert_eq!(limits.connections, Some(5));
    assert_eq!((limits.subscriptions, limits.payload_size), (None, Some(100)));
    assert_eq!(limits.leaf_nodes, Some(0));
    assert_eq!(access("accounts [ A, B ]").accounts.len(), 2);
    let weighted =
        "{ \"a.*\": [ { dest: \"b.$1\", weight: 40% }, { destination: \"c.$1\", weight: 60 } ], d: e }";
    let mappings = account(&format!("accounts {{ A {{ maps: {weighted} }} }}")).mappings;
    assert_eq!(mappings.len(), 2);
    assert_eq!(mappings[0].destinations[0].weight, 40);
    assert_eq!(access(&format!("mappings: {weighted}")).mappings, mappings);
    let one = "mappings { a: { dest: b, weight: 10%, cluster: east } }";
    assert_eq!(access(one).mappings[0].destinations[0].cluster, b"east");
}

/// Users for the system account alone leave everybody else as without any user.
#[test]
fn users_of_the_system_account_only() {
    for (text, opens) in [
        ("accounts { $SYS { users: [ { user: a, password: b } ] } }", true),
        (
            "accounts { S { users: [ { user: a, password: b } ] } }, system_account: S",
            true,
        ),
        ("accounts { S { users: [ { user: a, password: b } ] } }", false),
        ("accounts { $SYS { users: [ { user: a } ] }, B {} }", false),
        (
            "accounts { $SYS { users: [ { user: a } ] } }, no_auth_user: a",
            false,
        ),
        (
            "accounts { $SYS { users: [ { user: a } ] } }, authorization { timeout: 1 }",
            false,
        ),
    ] {
        assert_eq!(access(text).opens_global, opens, "{text}");
    }
    assert_eq!(access("no_system_account: true").system_account, None);
    assert_eq!(
        access("accounts { S {} }, system: S").system_account.as_deref(),
        Some("S")
    );
}

/// Exports and imports, with their defaults.
#[test]
fn exports_and_imports() {
    let access = access(
        "accounts {\n A { exports: [ { service: \"q.*\", response: chunked, threshold: '5s', latency: { sampling: headers, \
         subject: l }, accounts: [ B ], account_token_position: 2 }, { stream: s } ] }\n B { imports: [ { service: { \
         account: A, subject: q.B }, to: q }, { stream: { account: A, subject: s }, prefix: p } ] } }",
    );
    let [service, stream] = &access.accounts[0].exports[..] else {
        panic!("two exports")
    };
    let ExportKind::Service {
        response,
        threshold,
        latency,
        ..
    } = &service.kind
    else {
        panic!("a service")
    };
    assert_eq!(
        (*response, *threshold),
        (ResponseType::Chunked, Some(Duration::from_secs(5)))
    );
    assert_eq!(
        latency.as_ref().map(|latency| &latency.sampling),
        Some(&Sampling::Headers)
    );
    assert_eq!(service.account_token_position, Some(2));
    assert_eq!((&stream.kind, &stream.accounts), (&ExportKind::Stream, &None));
    let [service, stream] = &access.accounts[1].imports[..] else {
        panic!("two imports")
    };
    assert_eq!(
        service.kind,
        ImportKind::Service {
            to: "q".into(),
            share: false
        }
    );
    assert_eq!(
        stream.kind,
        ImportKind::Stream {
            prefix: Some("p".into()),
            to: None,
            allow_trace: false
        }
    );
}

/// What is wrong is said in the peer's words, where it stands, all of it at once.
/// Covers: TestNoAuthUserFailPrincipals, TestAuthorizationPermissionConfigErrors
#[test]
fn mistakes_are_named_where_they_stand() {
    for (text, expected) in [
        ("authorization { user: a, token: t }", &["1:1: Cannot have a user/pass and token"][..]),
        (
            "authorization { user: a, users: [ { user: b } ] }",
            &["1:1: Can not have a single user/pass and a users array"],
        ),
        (
            "authorization { token: t }\naccounts { A { users: [ { user: b } ] } }",
            &["1:1: Can not have a token and a users array"],
        ),
        (
            "authorization { users: [ { user: a }\n { user: a } ] }\naccounts { A { users: [ { user: a } ] } }",
            &["2:2: Duplicate user \"a\" detected", "3:25: Duplicate user \"a\" detected"],
        ),
        (
            "authorization { users: [ { password: x }\n { nkey: UABC }\n 5, { user: b, passwd: x } ] }",
            &[
                "1:26: User entry requires a user",
                "2:2: Not a valid public nkey for a user",
                "3:2: an entry of users must be a map, not an integer",
                "3:16: unknown field \"passwd\"",
            ],
        ),
        (
            "authorization { users: [ { user: a, permissions: { publish: \"a b\", subscribe: [ \"a..b\", \"a b c\" ] } } ] }",
            &[
                "1:52: subject \"a b\" is not a valid subject",
                "1:81: subject \"a..b\" is not a valid subject",
                "1:89: subject \"a b c\" is not a valid subject",
            ],
        ),
        (
            "authorization { timeout: true }",
            &["1:17: error parsing authorization config, 'timeout' wrong type"],
        ),
        (
            "authorization { users: [ { user: a, allowed_connection_types: [ tcp ] } ] }",
            &["1:65: invalid connection types [\"TCP\"]"],
        ),
        (
            "accounts { A { nkey: x }, $G {}, B: 5 }",
            &[
                "1:16: Not a valid public nkey for an account: \"x\"",
                "1:27: \"$G\" is a Reserved Account",
                "1:34: Expected map entries for accounts",
            ],
        ),
        (
            "accounts [ A, \"$G\", A ]",
            &["1:15: \"$G\" is a Reserved Account", "1:21: Duplicate Account Entry: A"],
        ),
        (
            "mappings { a: { dest: b }, \"a..b\": c, d: [ { dest: e, weight: 101 } ], \"f.*\": \"g.$2\" }",
            &[
                "1:12: Missing weight for mapping destination \"b\"",
                "1:28: Subject \"a..b\" is not a valid subject",
                "1:55: Invalid weight 101 for mapping destination",
            ],
        ),
        ("no_auth_user: a", &["1:1: no_auth_user: \"a\" present, but users/nkeys are not defined"]),
        (
            "no_auth_user: a, authorization { users: [ { user: b } ] }",
            &["1:1: no_auth_user: \"a\" not present as user or nkey in authorization block or account configuration"],
        ),
        ("system_account: S", &["1:1: error resolving system account: account missing"]),
        (
            "accounts { A { imports: [ { stream: { account: B, subject: s } } ] } }",
            &["1:27: \"B\" account not defined for stream import"],
        ),
        (
            "accounts { A { exports: [ { stream: s, response: single }, {} ] } }",
            &[
                "1:40: Detected response directive on non-service",
                "1:60: an entry of exports needs a stream or a service",
            ],
        ),
    ] {
        let found = complaints(text);
        let found: Vec<&str> = found
            .iter()
            .map(|line| line.strip_prefix("t.conf:").unwrap_or(line))
            .collect();
        assert!(expected.iter().all(|line| found.contains(line)), "{text}: {found:#?}");
    }
    let high = complaints("authorization { timeout: 1m }");
    assert!(
        high[0].contains("is high, consider keeping it under 60 seconds"),
        "{high:?}"
    );
}

/// No secret is shown by accident.
#[test]
fn secrets_of_the_options_do_not_show() {
    let text = "authorization { users: [ { user: ann, password: s3cret } ] }";
    let shown = format!("{:?}", options(text));
    assert!(shown.contains("ann") && !shown.contains("s3cret"), "{shown}");
    let shown = format!("{:?}", options("authorization { token: s3cret }"));
    assert!(!shown.contains("s3cret"), "{shown}");
}
