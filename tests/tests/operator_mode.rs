//! Operator mode: users come in by the tokens that reference tools made, on the peer and on ours alike.
//!
//! Owns: tables of configurations, users and what they hear. What is expected stands in the table, so ours is checked
//! where there is no peer; where there is one it is held to the same lines. Not here: what tokens say
//! (`server/src/auth/jwt`).

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use pinion::auth::jwt::claims::ClaimsData;
use pinion::auth::jwt::{creds, encode, Kind};
use pinion_tests::notice::pass_over;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, PATIENCE};
use serde_json::json;

const TOKENS: &str = include_str!("../fixtures/jwt/tokens.tsv");
const KEYS: &str = include_str!("../fixtures/jwt/keys.tsv");

/// The accounts that are there: their keys and tokens.
const ACCOUNTS: [(&str, &str); 12] = [
    ("A system", "account system"),
    ("A", "account A"),
    ("A importer", "account importer"),
    ("A limits", "account with limits"),
    ("A defaults", "account with default permissions"),
    ("A revocations", "account with revocations"),
    ("A all revoked", "account with all revoked"),
    ("A expired", "account expired"),
    ("A own key", "account by the operator's own key"),
    ("A self", "account by itself"),
    ("A other", "account by another operator"),
    ("A old", "account version 1"),
];

fn column(text: &'static str, name: &str, index: usize) -> &'static str {
    let row = text.lines().find(|line| line.split('\t').next() == Some(name));
    let row = row.unwrap_or_else(|| panic!("no {name:?} among the fixtures"));
    row.split('\t').nth(index).expect("three columns")
}

fn token(name: &str) -> &'static str {
    column(TOKENS, name, 1)
}

fn public(name: &str) -> &'static str {
    column(KEYS, name, 1)
}

fn pair(name: &str) -> KeyPair {
    KeyPair::from_seed(column(KEYS, name, 2)).expect("fixtures are seeds")
}

fn creds_text(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/jwt/creds");
    std::fs::read_to_string(format!("{folder}/{name}.creds")).expect(name)
}

/// A file of operator mode: the operator's token, `more`, and all accounts.
fn config(operator: &str, more: &str) -> String {
    let operator = token(operator);
    format!("operator: {operator}\n{more}\n{}", memory(&ACCOUNTS))
}

fn memory(accounts: &[(&str, &str)]) -> String {
    let mut text = "resolver: MEMORY\nresolver_preload: {\n".to_owned();
    for (key, name) in accounts {
        text.push_str(&format!("  {}: {}\n", public(key), token(name)));
    }
    text + "}\n"
}

/// What a client brings.
#[derive(Clone)]
struct Login {
    jwt: String,
    /// What signs the nonce; none: nothing does.
    key: Option<String>,
}

impl Login {
    fn of_creds(name: &str) -> Self {
        let read = creds::parse(&creds_text(name)).expect(name);
        Self {
            jwt: read.jwt,
            key: Some(read.key.seed().expect("a seed")),
        }
    }
}

/// What a client hears that connects, says these lines (`|` is a line break) and PING: frames joined by ` / `.
fn hears(server: &Server, login: &Login, then: &str) -> String {
    let mut wire = server.connect();
    let info = wire.expect_frame().line;
    let info: serde_json::Value =
        serde_json::from_str(info.strip_prefix("INFO ").expect("INFO comes first")).expect("INFO is JSON");
    assert_eq!(info["auth_required"], true);
    let nonce = info["nonce"].as_str().expect("a nonce");
    let mut connect = json!({"verbose": false, "jwt": login.jwt});
    if let Some(seed) = &login.key {
        let signed = KeyPair::from_seed(seed).expect("a seed").sign(nonce.as_bytes());
        connect["sig"] = data_encoding::BASE64URL_NOPAD
            .encode(&signed.expect("a seed signs"))
            .into();
    }
    let mut said = format!("CONNECT {connect}\r\n");
    for line in then.split('|').filter(|_| !then.is_empty()) {
        said.push_str(&format!("{line}\r\n"));
    }
    said.push_str("PING\r\n");
    // A server that has closed reads no more.
    wire.send(said.as_bytes()).unwrap_or_default();
    let mut heard = Vec::new();
    loop {
        match wire.next_said(PATIENCE) {
            Event::Frame(frame) if frame.line.starts_with("INFO ") || frame.line == "+OK" => {}
            Event::Frame(frame) => {
                heard.push(frame.to_text());
                if heard.last().is_some_and(|last| last == "PONG") {
                    return heard.join(" / ");
                }
            }
            Event::Closed => {
                heard.push("closed".to_owned());
                return heard.join(" / ");
            }
            Event::Silence => panic!("nothing more after {heard:?}"),
        }
    }
}

const IN: &str = "PONG";
const OUT: &str = "-ERR 'Authorization Violation' / closed";

/// Users of the operator's accounts by their credentials file, what they do and what they hear.
const USERS: &[(&str, &str, &str)] = &[
    ("plain", "SUB a 1|PUB a 0|", "MSG a 1 0 |  / PONG"),
    ("by_a_signing_key", "", IN),
    ("by_a_key_that_is_not_the_account's", "", OUT),
    ("of_an_account_that_is_not_there", "", OUT),
    ("of_an_account_by_another_operator", "", OUT),
    ("of_an_account_by_itself", "", OUT),
    ("of_an_account_by_the_operator's_own_key", "", IN),
    ("of_an_expired_account", "", OUT),
    ("of_the_system_account", "", IN),
    ("importer", "", IN),
    (
        "with_permissions",
        "PUB out.secret 0||PUB other 0||SUB in.x 1|SUB other 2|PUB out.x 0|",
        "-ERR 'Permissions Violation for Publish to \"out.secret\"' / -ERR 'Permissions Violation for Publish to \
         \"other\"' / -ERR 'Permissions Violation for Subscription to \"other\"' / PONG",
    ),
    ("with_permissions", "SUB in.1 1|SUB in.2 2|SUB in.3 3|SUB in.4 4", "-ERR 'maximum subscriptions exceeded' / PONG"),
    ("with_default_permissions", "PUB mine.x 0||PUB out.x 0|", "-ERR 'Permissions Violation for Publish to \"mine.x\"' / PONG"),
    ("with_own_and_default_permissions", "PUB mine.x 0|", IN),
    ("of_an_account_with_limits", "SUB a 1|SUB b 2|SUB c 3", "-ERR 'maximum subscriptions exceeded' / PONG"),
    ("of_an_account_with_limits", "PUB a 11|12345678901", "-ERR 'Maximum Payload Violation' / closed"),
    ("scoped", "SUB in.scoped.x 1|SUB dept.sales.high 2|SUB region.us 3|PUB out.scoped.x 0|", IN),
    ("scoped", "SUB in.other.x 1|PUB missing.x 0|", "-ERR 'Permissions Violation for Subscription to \"in.other.x\"' / -ERR \
      'Permissions Violation for Publish to \"missing.x\"' / PONG"),
    ("scoped", "SUB in.scoped.secret 1", "-ERR 'Permissions Violation for Subscription to \"in.scoped.secret\"' / PONG"),
    ("scoped_with_permissions", "", OUT),
    ("scoped_with_limits", "", OUT),
    ("scoped_deny_without_tag", "", OUT),
    ("scoped_deny_with_tag", "PUB not.here 0||PUB a 0|", "-ERR 'Permissions Violation for Publish to \"not.here\"' / PONG"),
    ("scoped_bearer", "PUB hello 0|", IN),
    ("scoped_with_nothing_left", "PUB only.x 0|", "-ERR 'Permissions Violation for Publish to \"only.x\"' / PONG"),
    ("scoped_by_an_unknown_function", "", OUT),
    ("bearer", "", IN),
    ("bearer_where_none_may_be", "", OUT),
    ("from_localhost", "", IN),
    ("from_elsewhere", "", OUT),
    ("from_nowhere", "", OUT),
    ("always_by_time", "", IN),
    ("by_a_bad_time", "", OUT),
    ("in_a_bad_time_zone", "", OUT),
    ("standard_connections", "", IN),
    ("websocket_connections", "", OUT),
    ("small_letters_and_unknown_connections", "", IN),
    ("unknown_connections", "", OUT),
    ("expired", "", OUT),
    ("not_yet_valid", "", OUT),
    ("good_until_2100", "", IN),
    ("revoked", "", OUT),
    ("revoked_before_it_was_issued", "", IN),
    ("not_revoked", "", IN),
    ("of_an_account_with_all_revoked", "", OUT),
    ("another's_key", "", OUT),
    ("with_a_queue_to_publish_to", "", OUT),
    ("version_1", "", IN),
];

/// Tokens that are damaged, signed by the user all the same.
const DAMAGED: [&str; 8] = [
    "damaged: changed claims",
    "damaged: cut within the signature",
    "damaged: without a signature",
    "damaged: another algorithm",
    "damaged: another's signature",
    "damaged: a user by a user",
    "damaged: a text for a time",
    "account A",
];

/// Other configurations: the file, a user, what it hears.
fn variants() -> Vec<(String, Login, &'static str)> {
    let strict = config("operator strict", "");
    let keys = format!(
        "trusted_keys: [{}, {}]\n{}",
        public("O"),
        public("O signing"),
        memory(&ACCOUNTS)
    );
    let wrong_keys = format!("trusted_keys: {}\n{}", public("O other"), memory(&ACCOUNTS));
    let pinned = config(
        "operator",
        &format!("resolver_pinned_accounts: {}", public("A limits")),
    );
    let sentinel = config("operator", &format!("default_sentinel: {}", token("user bearer")));
    let nobody = Login {
        jwt: String::new(),
        key: None,
    };
    let unsigned = |name: &str| Login {
        key: None,
        ..Login::of_creds(name)
    };
    vec![
        (strict.clone(), Login::of_creds("by_a_signing_key"), IN),
        (strict.clone(), Login::of_creds("plain"), OUT),
        (
            strict,
            Login::of_creds("of_an_account_by_the_operator's_own_key"),
            OUT,
        ),
        (keys.clone(), Login::of_creds("plain"), IN),
        (keys, Login::of_creds("of_an_account_by_another_operator"), OUT),
        (wrong_keys.clone(), Login::of_creds("plain"), OUT),
        (
            wrong_keys,
            Login::of_creds("of_an_account_by_another_operator"),
            IN,
        ),
        (pinned.clone(), Login::of_creds("plain"), OUT),
        (pinned.clone(), Login::of_creds("of_an_account_with_limits"), IN),
        (pinned, Login::of_creds("of_the_system_account"), IN),
        (sentinel.clone(), nobody.clone(), IN),
        (sentinel, Login::of_creds("expired"), OUT),
        (config("operator", ""), nobody, OUT),
        (config("operator", ""), unsigned("bearer"), IN),
        (config("operator", ""), unsigned("scoped_bearer"), IN),
        (config("operator", ""), unsigned("plain"), OUT),
        (
            config("operator", &format!("system_account: {}", public("A system"))),
            Login::of_creds("plain"),
            IN,
        ),
    ]
}

/// Everything that differs from the tables on one program.
fn differences(program: &Program) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |what: String, heard: String, expected: &str| {
        if heard != expected {
            found.push(format!("{what}\n  hears {heard}\n  table {expected}"));
        }
    };
    let server = program.start(&config("operator", ""));
    for (name, then, expected) in USERS {
        note(
            format!("{name}: {then}"),
            hears(&server, &Login::of_creds(name), then),
            expected,
        );
    }
    for name in DAMAGED {
        let login = Login {
            jwt: token(name).to_owned(),
            ..Login::of_creds("plain")
        };
        note(name.to_owned(), hears(&server, &login, ""), OUT);
    }
    drop(server);
    for (index, (config, login, expected)) in variants().into_iter().enumerate() {
        let server = program.start(&config);
        note(format!("variant {index}"), hears(&server, &login, ""), expected);
    }
    found
}

/// Files that keep a server from starting, by a word of the reason.
fn refused() -> Vec<(String, &'static str)> {
    let operator = token("operator");
    let with = |more: &str| config("operator", more);
    vec![
        (
            format!("operator: {}\nresolver: MEMORY", token("account A")),
            "operator",
        ),
        (format!("operator: {operator}x\nresolver: MEMORY"), "operator"),
        (
            "operator: /nowhere/at/all.jwt\nresolver: MEMORY".to_owned(),
            "operator",
        ),
        (
            format!("trusted_keys: {}\nresolver: MEMORY", public("A")),
            "operator",
        ),
        (format!("operator: {operator}\nresolver: nothing"), "resolver"),
        (
            format!("operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ A: x }}"),
            "JWT",
        ),
        (
            format!("operator: {operator}\nresolver: MEMORY"),
            "system account",
        ),
        (
            with("accounts: { A: { users: [ { user: a } ] } }"),
            "operators do not allow",
        ),
        (
            with("authorization: { users: [ { user: a, password: b } ] }"),
            "operators do not allow",
        ),
        (with("no_auth_user: a"), "no_auth_user"),
        (
            with(&format!("default_sentinel: {}", token("user plain"))),
            "sentinel",
        ),
        (
            with(&format!("system_account: {}", public("A"))),
            "system_account",
        ),
        (with("resolver_pinned_accounts: A"), "pinned account"),
        (with(&format!("trusted_keys: {}", public("O"))), "rusted"),
        (
            format!(
                "operator: {}\nresolver: MEMORY",
                token("operator wants a newer server")
            ),
            "operator",
        ),
        (format!("default_sentinel: {}", token("user bearer")), "sentinel"),
    ]
}

fn refuses(program: &Program) {
    for (config, word) in refused() {
        match program.try_start(&config) {
            Ok(_) => panic!("it starts with\n{config}"),
            Err(failure) => {
                let text = failure.to_string();
                assert!(text.contains(word), "{text}\nsays nothing of {word:?}\n{config}");
            }
        }
    }
}

fn ours() -> Option<Program> {
    Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"))
}

fn peer() -> Option<Program> {
    let peer = Program::peer();
    if peer.is_none() {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
    }
    peer
}

/// The tables tell the truth about the peer.
#[test]
fn peer_accepts_and_refuses_as_the_tables_say() {
    let Some(peer) = peer() else { return };
    let found = differences(&peer);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    refuses(&peer);
}

/// Covers: TestJWTUser, TestJWTUserPermissionClaims, TestJWTScopedSigningKeys
#[test]
fn pinion_accepts_and_refuses_as_the_tables_say() {
    let Some(ours) = ours() else { return };
    for shards in [1, 2] {
        let found = differences(&ours.clone().with_shards(shards));
        assert!(found.is_empty(), "{shards} shards\n{}", found.join("\n\n"));
    }
}

/// Covers: TestJWTUserBadTrusted, TestDefaultSentinel, TestResolverPinnedAccountsFail
#[test]
fn pinion_does_not_start_half_protected() {
    let Some(ours) = ours() else { return };
    refuses(&ours);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token of the test ends in the real time of the server"
)]
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a small number")
}

/// A user whose token ends while it is connected.
fn ends(program: &Program) {
    let server = program.start(&config("operator", ""));
    let data = ClaimsData {
        subject: public("U").to_owned(),
        name: "short".to_owned(),
        expires: now_s() + 2,
        ..ClaimsData::default()
    };
    let limits = json!({"subs": -1, "data": -1, "payload": -1});
    let limits = limits.as_object().expect("an object").clone();
    let jwt = encode(data, Kind::User, limits, &pair("A"), now_s()).expect("a seed");
    let mut wire = server.connect();
    let info = wire.expect_frame().line;
    let info: serde_json::Value = serde_json::from_str(&info["INFO ".len()..]).expect("INFO is JSON");
    let nonce = info["nonce"].as_str().expect("a nonce");
    let signature = pair("U").sign(nonce.as_bytes()).expect("a seed");
    let connect =
        json!({"verbose": false, "jwt": jwt, "sig": data_encoding::BASE64URL_NOPAD.encode(&signature)});
    wire.send(format!("CONNECT {connect}\r\nPING\r\n").as_bytes())
        .expect("sent");
    let mut heard = Vec::new();
    loop {
        match wire.next_said(PATIENCE) {
            Event::Frame(frame) if frame.line.starts_with("INFO ") => {}
            Event::Frame(frame) => heard.push(frame.to_text()),
            Event::Closed => break,
            Event::Silence => panic!("nothing more after {heard:?}"),
        }
    }
    assert_eq!(heard, ["PONG", "-ERR 'User Authentication Expired'"]);
}

/// Covers: TestJWTUserExpiresAfterConnect
#[test]
fn a_token_ends_its_connection() {
    if let Some(ours) = ours() {
        ends(&ours);
    }
    if let Some(peer) = peer() {
        ends(&peer);
    }
}

/// Secrets are in no line of the log: neither a seed nor the signature of a token, whatever is refused.
#[test]
fn no_token_is_in_the_log() {
    let Some(ours) = ours() else { return };
    let mut server = ours.start(&config("operator", "debug: true"));
    let mut secrets = Vec::new();
    for (name, ..) in USERS {
        let login = Login::of_creds(name);
        hears(&server, &login, "");
        let (_, signature) = login.jwt.rsplit_once('.').expect("three parts");
        secrets.push(signature.to_owned());
        secrets.extend(login.key);
    }
    server.signal("TERM");
    server.wait_exit();
    let log = server.log().join("\n");
    assert!(
        log.contains("expired at 1577836800"),
        "the reason of a refusal is said:\n{log}"
    );
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}

/// Waits, but not for ever.
fn soon<T: Future>(work: T) -> tokio::time::Timeout<T> {
    tokio::time::timeout(PATIENCE, work)
}

/// An unmodified client with a credentials file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_nats_comes_in_by_creds() {
    let Some(ours) = ours() else { return };
    let server = ours.start(&config("operator", ""));
    let with = |name: &str| ConnectOptions::with_credentials(&creds_text(name)).expect("a credentials file");
    let client = soon(with("with_permissions").connect(server.url()))
        .await
        .expect("in time")
        .expect("it comes in");
    let other = soon(with("plain").connect(server.url()))
        .await
        .expect("in time")
        .expect("it comes in");
    let mut messages = client.subscribe("in.*").await.expect("subscribed");
    // A round trip: the subscription is active, and nobody listens to hello.
    let error = soon(client.request("hello", "x".into()))
        .await
        .expect("in time")
        .expect_err("nobody answers");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
    other.publish("in.x", "here".into()).await.expect("published");
    let message = soon(messages.next()).await.expect("in time").expect("a message");
    assert_eq!(&message.payload[..], b"here");
    for name in ["expired", "revoked", "another's_key", "scoped_with_permissions"] {
        let refused = soon(with(name).connect(server.url())).await.expect("in time");
        let error = refused.expect_err(name);
        assert_eq!(
            error.kind(),
            async_nats::ConnectErrorKind::AuthorizationViolation,
            "{name}"
        );
    }
}
