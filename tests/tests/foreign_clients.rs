//! Unmodified Go, Python and Node clients against the server. The programs are in `tests/clients`; `scripts/peer-check`
//! installs what they need and says where: `PINION_CLIENT_GO`, `PINION_CLIENT_PYTHON` and `PINION_CLIENT_NODE` hold the command, words
//! separated by spaces. A language whose variable is not set is passed over.
//!
//! The programs say `ok NAME` for each check; on `want restart` the server is restarted on its port, on `want
//! lame_duck` it is sent into lame duck mode.

use std::process::Command;

use pinion_tests::notice::pass_over;
use pinion_tests::process::Process;
use pinion_tests::server::Program;
use pinion_tests::wire::PATIENCE;

const CHECKS: [&str; 9] = [
    "pubsub",
    "request",
    "queue",
    "headers",
    "no_responders",
    "drain",
    "large",
    "reconnect",
    "lame_duck",
];
const CONFIG: &str = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"50ms\"\n";

fn check(variable: &str) {
    let Ok(command_line) = std::env::var(variable) else {
        return pass_over(&format!("{variable} is not set (scripts/peer-check sets it)"));
    };
    let Some(program) = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start(CONFIG);
    let address = server.address();
    let mut words = command_line.split_whitespace();
    let mut command = Command::new(words.next().expect("the variable holds a command"));
    command.args(words).arg(server.url());
    let mut client = Process::spawn(command);
    let mut done = Vec::new();
    while done.len() < CHECKS.len() {
        let lines = client.take_log(PATIENCE);
        if lines.is_empty() {
            panic!(
                "the client says nothing more; it said:\n{}",
                client.log().join("\n")
            );
        }
        for line in lines {
            match line.split_once(' ') {
                Some(("ok", name)) => done.push(name.to_owned()),
                Some(("want", "restart")) => {
                    server.signal("TERM");
                    assert_eq!(server.wait_exit().code(), Some(0));
                    server = program.start(&format!("listen: \"{address}\"\n{CONFIG}"));
                }
                Some(("want", "lame_duck")) => server.signal("USR2"),
                // A warning of the client's runtime; it is shown when the client stops.
                _ => {}
            }
        }
    }
    assert_eq!(done, CHECKS);
    assert!(client.wait_exit().success());
    assert_eq!(
        server.wait_exit().code(),
        Some(0),
        "lame duck ends the server in order"
    );
}

/// nats.go
#[test]
fn go_client() {
    check("PINION_CLIENT_GO");
}

/// nats-py
#[test]
fn python_client() {
    check("PINION_CLIENT_PYTHON");
}

/// @nats-io/transport-node
#[test]
fn node_client() {
    check("PINION_CLIENT_NODE");
}
