//! What the server says about who connects: warnings, reasons, times; and what it never says.
//!
//! Not here: who is let in (`auth_peer`).

use pinion_tests::http::{get, monitor_address};
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, PATIENCE};

/// Stands in every secret of these tests, in clear or hashed, and nowhere else.
const PLANTED: &str = "pl4nted";
/// The bcrypt hash of `pl4nted`, of the lowest cost.
const PLANTED_HASH: &str = "$2a$04$gDL5ajtzGJffc5w4rZ/9OOUafn1x.hZxM2dLO3ixlg17lqCfoW9Nq";

fn started(config: &str) -> Option<Server> {
    Some(Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?.start(config))
}

/// Says CONNECT with these fields, and what comes of it: the last frame before the end, or PONG.
fn connect(server: &Server, fields: &str) -> String {
    let mut wire = server.connect();
    wire.expect_frame();
    let said = format!("CONNECT {{\"verbose\":false,{fields}}}\r\nPING\r\n");
    wire.send(said.as_bytes()).unwrap_or_default();
    let mut last = String::new();
    loop {
        match wire.next_said(PATIENCE) {
            Event::Frame(frame) if frame.line.starts_with("INFO ") => {}
            Event::Frame(frame) if frame.line == "PONG" => return frame.line,
            Event::Frame(frame) => last = frame.line,
            Event::Closed => return last,
            Event::Silence => panic!("nothing more after {last:?}"),
        }
    }
}

/// Passwords, tokens and signatures are in no line of the log and on no page, whatever level is logged and whether the
/// client is let in.
#[test]
fn planted_secrets_show_nowhere() {
    let users = format!(
        "accounts {{ A {{ users: [ {{ user: ann, password: {PLANTED} }}, {{ user: bob, password: \"{PLANTED_HASH}\" }} ] }} }}"
    );
    let token = format!("authorization {{ token: {PLANTED} }}");
    let login = format!("authorization {{ user: ann, password: {PLANTED} }}");
    let pages = "http: \"127.0.0.1:-1\"\ndebug: true\ntrace: true\n";
    for config in [users, token, login] {
        let Some(mut server) = started(&format!("{pages}{config}")) else {
            return;
        };
        for fields in [
            format!("\"user\":\"ann\",\"pass\":\"{PLANTED}\""),
            format!("\"user\":\"ann\",\"pass\":\"{PLANTED}x\""),
            format!("\"user\":\"bob\",\"pass\":\"{PLANTED}\""),
            format!("\"user\":\"eve\",\"pass\":\"{PLANTED}\""),
            format!("\"auth_token\":\"{PLANTED}\""),
            format!("\"auth_token\":\"{PLANTED}x\""),
            format!(
                "\"nkey\":\"UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK\",\"sig\":\"{PLANTED}\""
            ),
            format!("\"jwt\":\"{PLANTED}\",\"proxy_sig\":\"{PLANTED}\""),
        ] {
            connect(&server, &fields);
        }
        let monitor = monitor_address(&mut server);
        for path in [
            "/varz",
            "/connz?state=all&auth=1&subs=detail",
            "/accountz?acc=A",
            "/accstatz?unused=1",
            "/metrics",
        ] {
            let page = get(monitor, path);
            assert!(!page.text().contains(PLANTED), "{path}: {}", page.text());
            assert!(!page.text().contains(PLANTED_HASH), "{path}: {}", page.text());
        }
        server.wait_for_log("authentication error");
        let log = server.log().join("\n");
        let found = log
            .lines()
            .find(|line| line.contains(PLANTED) || line.contains(PLANTED_HASH));
        assert_eq!(found, None, "{config}");
    }
}

/// Who does not say CONNECT in time is closed with a word; the time is that of the configuration.
#[test]
fn connect_must_come_in_time() {
    let Some(server) = started("authorization { token: t, timeout: 0.2 }") else {
        return;
    };
    let mut wire = server.connect();
    wire.expect_frame();
    wire.expect("-ERR 'Authentication Timeout'");
    wire.expect_closed();
    assert_eq!(connect(&server, r#""auth_token":"t""#), "PONG");
}

/// A password in clear draws a warning, a hash or an nkey does not.
#[test]
fn passwords_in_clear_draw_a_warning() {
    const WARNING: &str = "Plaintext passwords detected, use nkeys or bcrypt";
    for (config, warns) in [
        ("authorization { user: a, password: b }".to_owned(), true),
        (
            "accounts { A { users: [ { user: a, password: b } ] } }".to_owned(),
            true,
        ),
        (
            format!("authorization {{ user: a, password: \"{PLANTED_HASH}\" }}"),
            false,
        ),
        (
            format!("authorization {{ users: [ {{ user: a, password: \"{PLANTED_HASH}\" }} ] }}"),
            false,
        ),
        (String::new(), false),
    ] {
        let Some(mut server) = started(&config) else {
            return;
        };
        server.wait_for_log("Server is ready");
        let warned = server.log().iter().any(|line| line.contains(WARNING));
        assert_eq!(warned, warns, "{config}");
    }
}

/// The log says which rule refused a client; the client is told the same for all of them.
#[test]
fn refusals_are_explained_in_the_log() {
    let config = "authorization { users: [ { user: ann, password: a }, { user: ws, allowed_connection_types: [ WEBSOCKET ] }, \
                  { nkey: UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK } ] }";
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start(config);
    for (fields, reason) in [
        (r#""user":"eve","pass":"a""#, "there is no such user"),
        (r#""user":"ann","pass":"b""#, "the secret is wrong"),
        (r#""name":"nobody""#, "credentials are required"),
        (
            r#""user":"ws""#,
            "allowed_connection_types of the user does not hold STANDARD",
        ),
        (
            r#""nkey":"UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK""#,
            "the nonce was not signed",
        ),
        (r#""nkey":"UABC","sig":"x""#, "no user has this nkey"),
    ] {
        assert_eq!(connect(&server, fields), "-ERR 'Authorization Violation'");
        let line = server.wait_for_log(reason);
        assert!(line.contains("authentication error"), "{line}");
    }
}
