//! The server as a process: version, config check, files it writes, signals, exit codes.

use std::fs;
use std::process::Command;

use pinion_tests::server::{Kind, Program, TestFolder};
use pinion_tests::wire::Wire;

fn program() -> Option<Program> {
    Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))
}

/// Scripts read the first line of `--version`; ours says its own version in a second.
#[test]
fn version_is_the_peers_line_first() {
    let Some(program) = program() else { return };
    for flag in ["--version", "-version", "-v"] {
        let output = program.run(&[flag]);
        let text = String::from_utf8(output.stdout).expect("the version is text");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("nats-server: v2.14.5"), "{flag}");
        if program.kind == Kind::Pinion {
            let own = lines.next().unwrap_or_default();
            assert!(own.starts_with("pinion: v"), "{flag}: {own}");
        }
        assert_eq!(lines.next(), None, "{flag}");
        assert_eq!(output.status.code(), Some(0), "{flag}");
    }
}

/// Started through a link of the peer's name, it is the same program.
#[test]
fn link_named_nats_server_behaves_the_same() {
    let Some(program) = program() else { return };
    let folder = TestFolder::create();
    let link = folder.path().join("nats-server");
    std::os::unix::fs::symlink(&program.path, &link).expect("a link can be made");
    let output = Command::new(&link)
        .arg("--version")
        .output()
        .expect("the link can be started");
    assert!(output.stdout.starts_with(b"nats-server: v2.14.5\n"));
}

/// `-t` says whether a config file is right, by its exit code and in one line that names the place.
#[test]
fn config_check_names_what_is_wrong() {
    let Some(program) = program() else { return };
    let folder = TestFolder::create();
    let (good, bad) = (folder.path().join("good.conf"), folder.path().join("bad.conf"));
    fs::write(&good, "port: 4999\nmax_payload: 1MB\n").expect("written");
    fs::write(&bad, "port: 4999\nno_such_key: true\n").expect("written");
    let output = program.run(&["-t", "-c", &good.display().to_string()]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("is valid"), "{said}");
    let output = program.run(&["-t", "-c", &bad.display().to_string()]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("bad.conf:2:1") && said.contains("no_such_key"),
        "{said}"
    );
}

/// A server that cannot start ends with code 1 and says why; it does not panic.
#[test]
fn failed_start_says_why_and_ends_with_one() {
    let Some(program) = program() else { return };
    let first = program.start("");
    let address = first.address();
    let Err(busy) = program.try_start(&format!("listen: \"{address}\"\n")) else {
        panic!("two servers listen on {address}");
    };
    assert_eq!(busy.status.and_then(|status| status.code()), Some(1), "{busy}");
    let log = busy.log.join("\n");
    assert!(log.contains("address already in use"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    let output = program.run(&["-c", "/no/such/file.conf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such file"));
    let output = program.run(&["--no_such_flag"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("flag provided but not defined: -no_such_flag"),
        "{said}"
    );
}

/// SIGTERM and SIGINT end the server in order, SIGUSR2 after a lame duck time, all with code 0.
#[test]
fn signals_end_the_server_with_zero() {
    let Some(program) = program() else { return };
    for signal in ["TERM", "INT", "USR2"] {
        let mut server = program.start("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10ms\"\n");
        let mut client = server.client();
        client.line("SUB foo 1");
        client.barrier();
        server.signal(signal);
        client.expect_closed();
        assert_eq!(server.wait_exit().code(), Some(0), "SIG{signal}");
    }
}

/// `--signal` speaks to a running server by its process id.
#[test]
fn signal_flag_reaches_a_server_by_pid() {
    let Some(program) = program() else { return };
    let mut server = program.start("");
    let mut client = server.client();
    let output = program.run(&["--signal", &format!("stop={}", server.pid())]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    client.expect_closed();
    // `stop` is a kill in the peer: it ends, with whatever code.
    server.wait_exit();
}

/// The pid file holds the process id, the ports file the address of the clients.
#[test]
fn pid_and_ports_files_are_written() {
    let Some(program) = program() else { return };
    let folder = TestFolder::create();
    let pid_file = folder.path().join("server.pid");
    let server = program.start(&format!("pid_file: {:?}\n", pid_file.display().to_string()));
    assert_eq!(
        fs::read_to_string(&pid_file)
            .expect("the pid file is there")
            .trim(),
        server.pid().to_string()
    );
    let mut wire = server.client();
    wire.barrier();
    let files = fs::read_dir(server.folder())
        .expect("the folder is there")
        .flatten();
    let suffix = format!("_{}.ports", server.pid());
    let ports = files
        .map(|file| file.path())
        .find(|path| path.to_string_lossy().ends_with(&suffix));
    let ports =
        fs::read_to_string(ports.expect("the ports file is named for program and pid")).expect("readable");
    assert!(ports.contains(&format!("nats://{}", server.address())), "{ports}");
}

/// SIGUSR1 opens the log file anew, so that it can be moved away.
#[test]
fn log_file_is_reopened() {
    let Some(program) = program() else { return };
    let folder = TestFolder::create();
    let log = folder.path().join("server.log");
    let server = program.start(&format!("log_file: {:?}\n", log.display().to_string()));
    let moved = folder.path().join("moved.log");
    fs::rename(&log, &moved).expect("the log file can be moved");
    server.signal("USR1");
    let mut wire = server.client();
    // The new file appears when the signal was handled; each round trip gives the server time for that.
    let appeared = (0..100_000).any(|_| {
        wire.barrier();
        log.exists()
    });
    assert!(appeared, "no new log file after SIGUSR1");
}

/// IPv6: the server listens there when told to.
#[test]
fn listens_on_ipv6() {
    let Some(program) = program() else { return };
    let probe = std::net::TcpListener::bind("[::1]:0");
    let Ok(probe) = probe else {
        println!("passed over: no IPv6 on this machine");
        return;
    };
    drop(probe);
    let server = program.start("listen: \"[::1]:-1\"\n");
    assert!(server.address().is_ipv6());
    let mut wire = Wire::open(server.address(), r#"{"verbose":false}"#);
    wire.barrier();
}
