//! A server that may open no more files: it says so, waits longer and longer between tries, and goes on when it may.

use std::fs;

use pinion_tests::server::{Kind, Program};
use pinion_tests::wire::{Wire, PATIENCE};
use rustix::process::{getrlimit, prlimit, Pid, Resource, Rlimit};

/// Accepts that fail are tried again after 10 ms, then after twice as long each time, at most after a second; who is
/// connected notices nothing, who came in the meantime is served in the end.
#[test]
fn accept_backs_off_while_files_are_short() {
    let Some(program) = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    if program.kind != Kind::Pinion {
        return;
    }
    let mut server = program.start("");
    let mut early = server.client();
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    let limit_files = |current: Option<u64>, maximum: Option<u64>| {
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("a child's limit can be set")
    };
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the child runs");
    let count = u64::try_from(open.count()).expect("few files");
    // Fewer than it has open already: every accept fails.
    let before = limit_files(Some(1), getrlimit(Resource::Nofile).maximum);
    assert!(before.current.is_none_or(|current| current > count));
    let mut late = Wire::connect(server.address()).expect("the kernel takes the connection");
    for wait in ["10ms", "20ms", "40ms", "80ms", "160ms", "320ms", "640ms", "1s"] {
        let line = server.wait_for_log(&format!("next try in {wait}"));
        assert!(
            line.contains("[ERR]") && line.contains("Error trying to accept a client: "),
            "{line}"
        );
        early.barrier();
    }
    let tries = |log: Vec<String>| log.iter().filter(|line| line.contains("next try in")).count();
    assert!(tries(server.log()) < 12, "it does not spin");
    limit_files(before.current, before.maximum);
    let info = late.expect_frame().line;
    assert!(info.starts_with("INFO "), "{info} within {PATIENCE:?}");
    late.line(r#"CONNECT {"verbose":false}"#);
    late.barrier();
    early.barrier();
}
