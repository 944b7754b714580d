//! SIGHUP: a changed file is put in force as a whole while clients stay, or changes nothing.
//!
//! The same tests hold for the peer (`PINION_TEST_SERVER=peer`), so both do the same with the same pair of files.

use pinion_tests::server::{Program, Server};
use pinion_tests::wire::Wire;

/// Reloads while messages flow; `PINION_RELOADS` asks for more.
const RELOADS: usize = 200;
/// Published between two reloads.
const BURST: usize = 50;

fn start(config: &str) -> Option<Server> {
    let program = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?;
    Some(program.start(config))
}

fn user(server: &Server, name: &str, pass: &str) -> Wire {
    let connect = format!(r#"{{"verbose":false,"user":"{name}","pass":"{pass}"}}"#);
    Wire::open(server.address(), &connect)
}

fn assert_taken(said: &[String]) {
    let last = said.last().expect("a line ends it");
    assert!(last.contains("Reloaded server configuration"), "{said:?}");
}

/// Who is not concerned stays; whose password changed is told so; who lost a subscription is told which, and keeps the
/// others; an account that is left is left at once.
/// Covers: TestConfigReloadRotateUsersAuthentication
#[test]
fn users_that_changed_are_disconnected_and_no_others() {
    let Some(mut server) = start(
        "authorization { users: [ {user: ann, password: a}, {user: bob, password: b}, {user: cyd, password: c}\n\
         {user: dan, password: d, permissions: {subscribe: [x, y]}} ] }\n",
    ) else {
        return;
    };
    let mut ann = user(&server, "ann", "a");
    let mut bob = user(&server, "bob", "b");
    let mut cyd = user(&server, "cyd", "c");
    let mut dan = user(&server, "dan", "d");
    dan.line("SUB x 1");
    dan.line("SUB y 2");
    dan.line("SUB y group 3");
    for client in [&mut ann, &mut bob, &mut cyd, &mut dan] {
        client.barrier();
    }
    assert_taken(&server.reload(
        "authorization { users: [ {user: ann, password: a}, {user: bob, password: other}\n\
         {user: dan, password: d, permissions: {subscribe: [x]}}, {user: eve, password: e} ] }\n",
    ));
    bob.expect("-ERR 'Authorization Violation'");
    bob.expect_closed();
    cyd.expect_closed();
    let mut lost = [dan.expect_frame().to_text(), dan.expect_frame().to_text()];
    lost.sort();
    assert_eq!(
        lost,
        [
            "-ERR 'Permissions Violation for Subscription to \"y\" (sid \"2\")'",
            "-ERR 'Permissions Violation for Subscription to \"y\" using queue \"group\" (sid \"3\")'",
        ]
    );
    ann.line("PUB y 1\r\n1");
    ann.line("PUB x 1\r\n2");
    ann.barrier();
    dan.expect("MSG x 1 1 | 2");
    user(&server, "eve", "e").barrier();
}

/// Limits bind those who are connected already; a lower count of clients closes the surplus.
#[test]
fn limits_bind_at_once() {
    let Some(mut server) = start("") else { return };
    let mut first = server.client();
    let mut second = server.client();
    first.barrier();
    second.barrier();
    let said = server.reload("max_payload: 8\nmax_connections: 1\n");
    assert_taken(&said);
    for told in [
        "Reloaded: max_payload = 8",
        "Reloaded: max_connections = 1",
        "Closed 1 connections to fall within max_connections",
    ] {
        assert!(said.iter().any(|line| line.contains(told)), "{told}: {said:?}");
    }
    let connected = [first, second].into_iter().filter_map(|mut client| {
        client.send(b"PUB a 9\r\n123456789\r\n").ok()?;
        Some(client.expect_frame().to_text())
    });
    let mut heard: Vec<String> = connected.collect();
    heard.sort();
    assert_eq!(
        heard,
        [
            "-ERR 'Maximum Payload Violation'",
            "-ERR 'maximum connections exceeded'"
        ]
    );
}

/// A key that needs a restart keeps everything as it is, though another key in the file is hot; so does a broken file.
#[test]
fn refused_reloads_change_nothing() {
    let Some(mut server) = start("max_subscriptions: 5\n") else {
        return;
    };
    let mut client = server.client();
    client.barrier();
    let said = server.reload("max_subscriptions: 6\nmax_payload: 1\n").pop();
    let said = said.unwrap_or_default();
    let expected =
        "Failed to reload server configuration: config reload not supported for MaxSubs: old=5, new=6";
    assert!(said.ends_with(expected), "{said}");
    let said = server
        .reload("max_subscriptions: 5\nmax_payload: 1\nno_such_key: 1\n")
        .pop();
    let said = said.unwrap_or_default();
    assert!(
        said.contains("Failed to reload server configuration: ") && said.contains("server.conf:"),
        "{said}"
    );
    client.line("SUB a 1");
    client.line("PUB a 3\r\nabc");
    client.expect("MSG a 1 3 | abc");
    assert_taken(&server.reload("max_subscriptions: 5\nmax_payload: 1\n"));
    client.line("PUB a 3\r\nabc");
    client.expect("-ERR 'Maximum Payload Violation'");
}

/// Debug lines come from the reload on.
#[test]
fn log_levels_change() {
    let Some(mut server) = start("") else { return };
    server.client().barrier();
    assert!(!server.log().iter().any(|line| line.contains("[DBG]")));
    let said = server.reload("debug: true\n");
    assert_taken(&said);
    assert!(
        said.iter().any(|line| line.contains("Reloaded: debug = true")),
        "{said:?}"
    );
    server.client().barrier();
    server.wait_for_log("[DBG]");
}

/// Users come and go, and clients that are not concerned lose no message, on whatever shard they are.
#[expect(
    clippy::disallowed_methods,
    reason = "clients of a server beside this process need no shard"
)]
#[test]
fn reloads_under_load_lose_no_message() {
    let with = |other: usize| {
        format!(
            "max_payload: {}\nauthorization {{ users: [ {{user: ann, password: a}}, {{user: u{other}, password: b}} ] }}\n",
            1000 + other
        )
    };
    let Some(mut server) = start(&with(0)) else { return };
    let mut subscribers: Vec<Wire> = (0..4).map(|_| user(&server, "ann", "a")).collect();
    for subscriber in &mut subscribers {
        subscriber.line("SUB load 1");
        subscriber.barrier();
    }
    let mut publisher = user(&server, "ann", "a");
    publisher.barrier();
    let asked = std::env::var("PINION_RELOADS").ok();
    let reloads = asked.and_then(|count| count.parse().ok()).unwrap_or(RELOADS);
    let publishing = std::thread::spawn(move || {
        for number in 0..reloads * BURST {
            let payload = format!("{number:08}");
            publisher.line(&format!("PUB load 8\r\n{payload}"));
        }
        publisher.barrier();
    });
    let reading = std::thread::spawn(move || {
        for number in 0..reloads * BURST {
            for subscriber in &mut subscribers {
                subscriber.expect(&format!("MSG load 1 8 | {number:08}"));
            }
        }
    });
    for number in 1..=reloads {
        let gone = user(&server, &format!("u{}", (number - 1) % 2), "b");
        assert_taken(&server.reload(&with(number % 2)));
        drop(gone);
    }
    publishing.join().expect("all is published");
    reading.join().expect("all has come, in order");
}
