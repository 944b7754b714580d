//! The command line as a process: exit codes and first lines, side by side with the Go server's.
//!
//! The Go server is found by `PINION_PEER`, on PATH or in ~/go/bin; without it the comparison says so and the rest
//! runs. No line here starts a server, and signals go to processes of the test only.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PINION: &str = env!("CARGO_BIN_EXE_pinion");

/// What a caller sees of a process that ended.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    exit_code: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

fn run(program: &Path, args: &[&str]) -> Seen {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let lines = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    };
    Seen {
        exit_code: output.status.code(),
        stdout: lines(&output.stdout),
        stderr: lines(&output.stderr),
    }
}

/// The Go server, when it is installed.
fn peer() -> Option<PathBuf> {
    let named = std::env::var_os("PINION_PEER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("nats-server"));
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin/nats-server"));
    let found = named
        .into_iter()
        .chain(on_path)
        .chain(home)
        .find(|program| program.is_file());
    let is_right_one = |program: &PathBuf| {
        // Ours under the Go server's name has a second line.
        run(program, &["--version"]).stdout == ["nats-server: v2.14.5"]
    };
    let found = found.filter(is_right_one);
    if found.is_none() {
        let line =
            "skipped: no nats-server 2.14.5 here (go install github.com/nats-io/nats-server/v2@v2.14.5)";
        // Not through the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "{line}").expect("stderr is open");
    }
    found
}

/// The id of a process that was there and is gone.
fn dead_pid() -> String {
    let mut child = Command::new("true").spawn().expect("true is on PATH");
    child.wait().expect("it is our child");
    child.id().to_string()
}

/// Lines that end by themselves: same exit code, same words on stderr, same first lines on stdout.
///
/// Covers: TestProcessCommandLineArgs, TestProcessSignalInvalidPid
#[test]
fn same_exit_codes_and_first_lines_as_the_go_server() {
    let Some(peer) = peer() else { return };
    let directory = tempfile::tempdir().unwrap();
    let in_directory = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = in_directory("good.conf", "port: 4333\n");
    let bad = in_directory("bad.conf", "port: \"x\"\n");
    let unknown = in_directory("unknown.conf", "no_such_key: 1\n");
    let nonsense_pid = in_directory("nonsense.pid", "nonsense");
    let gone = dead_pid();
    let (gone_stop, gone_ldm) = (format!("stop={gone}"), format!("ldm={gone}"));
    let gone_bogus = format!("bogus={gone}");
    let nonsense = format!("quit={nonsense_pid}");
    let lines: &[&[&str]] = &[
        &["-v"],
        &["--version"],
        &["version"],
        &["VERSION", "more"],
        &["-v=false", "version"],
        &["-v", "-bogus"],
        &["-h"],
        &["--help"],
        &["help"],
        &["-h=true"],
        &["-help=x"],
        &["--help_tls"],
        &["-bogus"],
        &["--bogus"],
        &["--bogus=1"],
        &["-"],
        &["---p", "1"],
        &["-=x"],
        &["--=x"],
        &["-p"],
        &["-p="],
        &["-p", "abc"],
        &["-p", "08"],
        &["-p", "1__0"],
        &["-p", "0x", "-v"],
        &["-p", "0x10", "-v"],
        &["-p", "1_0", "-v"],
        &["-p", "-1", "-v"],
        &["-p", "99999999999999999999"],
        &["--port", "-99999999999999999999"],
        &["-log_size_limit", "5k"],
        &["-max_traced_msg_len", ""],
        &["-D=maybe"],
        &["-D=tRUE"],
        &["-D=T", "-D=TRUE", "-D=1", "-v"],
        &["-D", "true"],
        &["--debug=\u{7}\n\"\\é"],
        &["foo"],
        &["foo\tbar\"x\u{1}\u{7f}"],
        &[""],
        &["--", "version"],
        &["--", "-p"],
        &["-P"],
        &["-sl"],
        &["-sl", "a=b=c=d"],
        &["-sl", "stop=abc"],
        &["-sl", "stop=/no/such/file"],
        &["-sl", &nonsense],
        &["-sl", &gone_stop],
        &["--signal", &gone_ldm],
        &["-sl", &gone_bogus],
        &["-t"],
        &["-t", "-c", ""],
        &["-t", "-c", "/no/such/file"],
        &["-c", "/no/such/file"],
        &["-t", "-c", "/"],
        &["-t", "-c", &good],
        &["-c", &good, "-t", "-js"],
    ];
    let mut differences = Vec::new();
    for line in lines {
        let [theirs, ours] = [&peer, Path::new(PINION)].map(|program| {
            let mut seen = run(program, line);
            let is_version = seen
                .stdout
                .first()
                .is_some_and(|first| first.starts_with("nats-server: v"));
            seen.stdout.truncate(if is_version { 1 } else { 2 });
            seen
        });
        if theirs != ours {
            differences.push(format!(
                "{line:?}\n  the Go server {theirs:?}\n  ours          {ours:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // The words for what is wrong inside a file are looked at with the configuration.
    for line in [&["-t", "-c", &bad][..], &["-c", &bad], &["-t", "-c", &unknown]] {
        let [theirs, ours] = [&peer, Path::new(PINION)].map(|program| run(program, line).exit_code);
        assert_eq!((theirs, ours), (Some(1), Some(1)), "{line:?}");
    }
}

/// What scripts take apart, and that the name of the program changes nothing.
#[test]
fn version_and_name_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("nats-server");
    std::os::unix::fs::symlink(PINION, &link).unwrap();
    let version = run(&link, &["--version"]);
    assert_eq!(version.exit_code, Some(0));
    assert_eq!(
        version.stdout,
        [
            "nats-server: v2.14.5",
            &format!("pinion: v{}", env!("CARGO_PKG_VERSION"))
        ]
    );
    assert_eq!(version.stderr, Vec::<String>::new());
    for line in [
        &["-h"][..],
        &["-bogus"],
        &["foo"],
        &["-p", "x"],
        &["-t"],
        &["-js"],
        &["version"],
    ] {
        assert_eq!(run(&link, line), run(Path::new(PINION), line), "{line:?}");
    }
}

/// What is not built stops the start with one line that names it, and the value does not show.
#[test]
fn flags_that_are_not_built_are_refused() {
    for (line, name) in [
        (&["-js"][..], "--jetstream"),
        (&["--routes", "nats://u:s3cr3t@h:1"], "--routes"),
    ] {
        let seen = run(Path::new(PINION), line);
        assert_eq!(seen.exit_code, Some(1));
        assert_eq!(seen.stdout.len() + seen.stderr.len(), 1, "{seen:?}");
        assert!(
            seen.stderr[0].starts_with(&format!("nats-server: flag {name} is not built yet")),
            "{seen:?}"
        );
        assert!(!seen.stderr[0].contains("s3cr3t"));
    }
}

/// The doctor's exit code says the same as its table.
#[test]
fn doctor() {
    let seen = run(Path::new(PINION), &["doctor"]);
    let stops = seen.stdout.iter().any(|line| line.starts_with("STOP"));
    assert_eq!(seen.exit_code, Some(i32::from(stops)), "{seen:?}");
    for subject in ["kernel", "io_uring", "memlock", "files", "shards"] {
        assert!(
            seen.stdout
                .iter()
                .any(|line| line.split_whitespace().nth(1) == Some(subject)),
            "{seen:?}"
        );
    }
    // Options are looked at too: more shards than there can be.
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("a.conf");
    std::fs::write(&config, "pin: [4095]\n").unwrap();
    let seen = run(Path::new(PINION), &["-c", config.to_str().unwrap(), "doctor"]);
    assert_eq!(seen.exit_code, Some(1), "{seen:?}");
    assert!(
        seen.stdout
            .iter()
            .any(|line| line.starts_with("STOP  shards     core 4095")),
        "{seen:?}"
    );
}

/// With a store directory the doctor looks at that too, and leaves nothing behind.
#[test]
fn doctor_looks_at_the_store_directory() {
    let directory = tempfile::tempdir().unwrap();
    let stops = |seen: &Seen| seen.stdout.iter().any(|line| line.starts_with("STOP"));
    let line = |seen: &Seen, subject: &str| {
        let lines = seen
            .stdout
            .iter()
            .filter(|line| line.get(6..).unwrap_or_default().starts_with(subject));
        lines.cloned().collect::<Vec<String>>().concat()
    };
    if stops(&run(Path::new(PINION), &["doctor"])) {
        writeln!(std::io::stderr(), "skipped: no server can run here").expect("stderr is open");
        return;
    }
    for name in ["", "not/there"] {
        let store = directory.path().join(name);
        let seen = run(Path::new(PINION), &["-sd", store.to_str().unwrap(), "doctor"]);
        for subject in ["store", "direct I/O", "commit", "space"] {
            assert_ne!(line(&seen, subject), "", "{subject}: {seen:?}");
        }
        assert_eq!(
            line(&seen, "store").contains("not there yet"),
            !name.is_empty(),
            "{seen:?}"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let seen = run(Path::new(PINION), &["-sd", file.to_str().unwrap(), "doctor"]);
    assert_eq!(seen.exit_code, Some(1));
    assert!(line(&seen, "store").contains("is no directory"), "{seen:?}");
    let seen = run(Path::new(PINION), &["doctor"]);
    assert_eq!(line(&seen, "store"), "", "nobody asked for it");
}

/// A process that waits for signals, ended with the test.
struct Victim(Child);

impl Victim {
    fn start() -> Victim {
        // A signal this process was started to ignore (nohup, some CI) would be ignored by its children too.
        let child = Command::new("env")
            .args(["--default-signal", "sleep", "600"])
            .stdin(Stdio::null())
            .spawn()
            .expect("env is on PATH");
        let name = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&name).expect("the child runs").trim() != "sleep" {
            std::thread::yield_now();
        }
        Victim(child)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Each word sends its signal, by pid and by pid file; the Go server sends the same.
///
/// Covers: TestProcessSignalQuitProcess, TestProcessSignalReopenProcess, TestProcessSignalReloadProcess
#[test]
fn signal_words_send_signals() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("server.pid");
    let programs = [Some(PathBuf::from(PINION)), peer()];
    for program in programs.iter().flatten() {
        for (word, number) in [
            ("stop", 9),
            ("quit", 2),
            ("term", 15),
            ("reopen", 10),
            ("ldm", 12),
            ("reload", 1),
        ] {
            let mut victim = Victim::start();
            std::fs::write(&pid_file, victim.0.id().to_string()).unwrap();
            let target = if number % 2 == 0 {
                victim.0.id().to_string()
            } else {
                pid_file.display().to_string()
            };
            let seen = run(program, &["--signal", &format!("{word}={target}")]);
            assert_eq!(
                seen,
                Seen {
                    exit_code: Some(0),
                    stdout: vec![],
                    stderr: vec![]
                },
                "{word}"
            );
            assert_eq!(victim.0.wait().unwrap().signal(), Some(number), "{word}");
        }
    }
}
