//! The log on real files, sockets and processes.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use crossbeam_channel::bounded;

use super::flood::{LIKE_LINES_MAX, WINDOW_US};
use super::writer::QUEUED_LINES_MAX;
use super::*;

/// 2026-11-21 13:44:01.000002 UTC
const NOW_US: i64 = 1_795_268_641_000_002;

fn to_file(path: &Path, size_limit: u64, max_files: usize) -> LogOptions {
    LogOptions {
        destination: Destination::File(FileOptions {
            path: path.to_owned(),
            size_limit,
            max_files,
        }),
        time: false,
        ..LogOptions::default()
    }
}

fn start(options: &LogOptions) -> Log {
    Log::start(options, Clock::Set(Arc::new(AtomicI64::new(NOW_US)))).unwrap()
}

/// The file's lines without the `[pid] ` in front.
fn lines(path: &Path) -> Vec<String> {
    let prefix = format!("[{}] ", std::process::id());
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            line.strip_prefix(&prefix)
                .expect("every line has the pid")
                .to_owned()
        })
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `tracing` events become lines of the right level, with their fields, and only the wanted ones.
#[test]
fn events_become_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&to_file(&path, 0, 0));
    tracing::subscriber::with_default(log.subscriber(), || {
        let emit = |round: u32| {
            tracing::info!("Server is ready");
            tracing::warn!(client = 7, reason = "slow", "round {round}");
            tracing::error!(fatal = false, "bad");
            crate::fatal!("worse");
            tracing::debug!("chatty");
            tracing::trace!("->> [PING]");
            tracing::trace!(target: "glommio::sys", "not ours");
            let span = tracing::info_span!("span");
            span.in_scope(|| tracing::info!("in a span"));
        };
        emit(1);
        log.handle().set_levels(true, false);
        emit(2);
        log.handle().set_levels(false, true);
        emit(3);
    });
    assert!(log.handle().flush());
    let common = |round: u32| {
        vec![
            "[INF] Server is ready".to_owned(),
            format!("[WRN] round {round} client=7 reason=slow"),
            "[ERR] bad".to_owned(),
            "[FTL] worse".to_owned(),
        ]
    };
    let mut expected = common(1);
    expected.push("[INF] in a span".to_owned());
    expected.extend(common(2));
    expected.extend(["[DBG] chatty".to_owned(), "[INF] in a span".to_owned()]);
    expected.extend(common(3));
    expected.extend(["[TRC] ->> [PING]".to_owned(), "[INF] in a span".to_owned()]);
    assert_eq!(lines(&path), expected);
}

/// The time is in the line as the Go server puts it, in UTC when asked.
#[test]
fn time_of_the_event() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&LogOptions {
        time: true,
        time_utc: true,
        ..to_file(&path, 0, 0)
    });
    log.handle().log(Level::Info, "text");
    drop(log);
    assert_eq!(lines(&path), ["2026/11/21 13:44:01.000002 [INF] text"]);
}

/// JSON lines as an option of ours.
#[test]
fn json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&LogOptions {
        format: Format::Json,
        ..to_file(&path, 0, 0)
    });
    log.handle().log(Level::Error, "two\nlines");
    drop(log);
    let text = std::fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"level": "ERR", "pid": std::process::id(), "text": "two\nlines"})
    );
}

/// The file is rotated once it is larger than the limit, no line is lost, and the oldest files go.
///
/// Covers: TestFileLoggerSizeLimit, TestLogMaxArchives
#[test]
fn rotation_by_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let time_us = Arc::new(AtomicI64::new(NOW_US));
    std::fs::write(directory.path().join("a.log.keep"), "not a backup").unwrap();
    let log = Log::start(&to_file(&path, 300, 3), Clock::Set(Arc::clone(&time_us))).unwrap();
    let text = "x".repeat(100);
    for number in 0..12 {
        time_us.fetch_add(1_000_000, Ordering::Relaxed);
        log.handle().log(Level::Info, format!("{number:02} {text}"));
        // The rotation's own time is taken when it happens.
        assert!(log.handle().flush());
    }
    drop(log);

    let names = names(directory.path());
    assert_eq!(names.len(), 4, "the file, two backups, the stranger: {names:?}");
    assert!(names.contains(&"a.log.keep".to_owned()));
    let backups: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("a.log.2026.11.21."))
        .collect();
    assert_eq!(backups.len(), 2);
    assert!(
        backups.iter().all(|name| name.ends_with(".000002000")),
        "{backups:?}"
    );

    let newest = lines(&path);
    assert!(
        newest[0].starts_with("[INF] Rotated log, backup saved as \"")
            && newest[0].contains(&format!("{}\"", backups[1])),
        "{newest:?}"
    );
    assert!(newest
        .iter()
        .any(|line| line.starts_with("[INF] Purged log file \"a.log.2026.11.21.")));
    // The last lines are all there, in order, over the files that were kept.
    let mut kept = Vec::new();
    for name in [backups[0].as_str(), backups[1], "a.log"] {
        let file = lines(&directory.path().join(name));
        kept.extend(file.into_iter().filter_map(|line| {
            line.strip_prefix("[INF] ")?
                .strip_suffix(&text)
                .map(str::to_owned)
        }));
    }
    let expected: Vec<String> = (12 - kept.len()..12)
        .map(|number| format!("{number:02} "))
        .collect();
    assert_eq!(kept, expected);
    assert!(kept.len() >= 4);
}

/// A burst within one write is cut at the limit as line by line would be, and names never collide.
#[test]
fn rotation_within_a_burst() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&to_file(&path, 400, 0));
    let (release, hold) = bounded::<()>(0);
    log.handle().hold(hold);
    for number in 0..20 {
        log.handle()
            .log(Level::Info, format!("{number:02} {}", "x".repeat(100)));
    }
    drop(release);
    drop(log);
    let mut seen = Vec::new();
    for name in names(directory.path()) {
        let size = std::fs::metadata(directory.path().join(&name)).unwrap().len();
        assert!(
            size <= 400 + 200,
            "{name} has {size} bytes: it passes the limit by one line at most"
        );
        let file = lines(&directory.path().join(&name));
        seen.extend(
            file.iter()
                .filter(|line| line.ends_with('x'))
                .map(|line| line[6..8].to_owned()),
        );
    }
    seen.sort();
    let expected: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    assert_eq!(seen, expected);
}

/// A file that is too large when it is opened is rotated before anything else.
#[test]
fn rotation_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    std::fs::write(&path, "y".repeat(500) + "\n").unwrap();
    let log = start(&to_file(&path, 400, 0));
    log.handle().log(Level::Info, "first");
    drop(log);
    let now = lines(&path);
    assert_eq!(now.len(), 2, "{now:?}");
    assert_eq!(now[1], "[INF] first");
    let backup = names(directory.path())
        .into_iter()
        .find(|name| name != "a.log")
        .unwrap();
    let old = std::fs::read_to_string(directory.path().join(backup)).unwrap();
    assert!(
        old.starts_with("yyy") && old.ends_with("[INF] Rotating logfile...\n"),
        "{old}"
    );
}

/// A rotation that fails loses no line and says so.
#[test]
fn rotation_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("a.log");
    let log = start(&to_file(&path, 150, 0));
    log.handle().log(Level::Info, "before");
    assert!(log.handle().flush());
    // The directory goes away under its old name: the open file stays writable, the name cannot be moved.
    let moved = directory.path().join("moved");
    std::fs::rename(&inner, &moved).unwrap();
    log.handle().log(Level::Info, "z".repeat(200));
    log.handle().log(Level::Info, "after");
    drop(log);
    let now = lines(&moved.join("a.log"));
    assert_eq!(now.len(), 4, "{now:?}");
    assert!(now[2].starts_with(
        "[ERR] Unable to rotate the logfile (no such file or directory), will attempt next rotation at size "
    ));
    assert_eq!(now[3], "[INF] after");
}

/// Somebody moves the file and asks to open it again; the lines before are in the old one.
///
/// Covers: TestReOpenLogFile
#[test]
fn reopen_after_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let moved = directory.path().join("a.log.1");
    let log = start(&to_file(&path, 0, 0));
    log.handle().log(Level::Info, "old");
    assert!(log.handle().flush());
    std::fs::rename(&path, &moved).unwrap();
    log.handle().log(Level::Info, "still old");
    log.handle().reopen();
    log.handle().log(Level::Info, "new");
    drop(log);
    assert_eq!(lines(&moved), ["[INF] old", "[INF] still old"]);
    assert_eq!(lines(&path), ["[INF] File log re-opened", "[INF] new"]);
}

/// When the name cannot be opened any more, the old file goes on.
#[test]
fn reopen_that_fails_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let moved = directory.path().join("a.log.1");
    let log = start(&to_file(&path, 0, 0));
    log.handle().log(Level::Info, "old");
    assert!(log.handle().flush());
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    log.handle().reopen();
    drop(log);
    assert_eq!(
        lines(&moved),
        [
            "[INF] old",
            "[ERR] File log re-open failed, the old file stays open: is a directory"
        ]
    );
}

/// The Go server's words for a log file that cannot be opened.
#[test]
fn file_that_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no/a.log");
    let error = Log::start(&to_file(&path, 0, 0), Clock::System)
        .err()
        .expect("there is no directory");
    assert_eq!(
        error.to_string(),
        format!(
            "error opening file: open {}: no such file or directory",
            path.display()
        )
    );
}

/// New options take over between two lines; options that cannot work change nothing.
#[test]
fn reconfigure_switches_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("a.log"), directory.path().join("b.log"));
    let log = start(&to_file(&first, 0, 0));
    log.handle().log(Level::Info, "one");
    log.reconfigure(&to_file(&second, 0, 0)).unwrap();
    log.handle().log(Level::Info, "two");
    assert!(log
        .reconfigure(&to_file(&directory.path().join("no/c.log"), 0, 0))
        .is_err());
    log.handle().log(Level::Info, "three");
    drop(log);
    assert_eq!(lines(&first), ["[INF] one"]);
    assert_eq!(lines(&second), ["[INF] two", "[INF] three"]);
}

/// A writer that is stuck holds nobody up: lines are dropped, counted and reported, and an error still fits.
#[test]
fn full_queue_drops_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&to_file(&path, 0, 0));
    let (release, hold) = bounded::<()>(0);
    log.handle().hold(hold);
    for number in 0..QUEUED_LINES_MAX {
        log.handle().log(Level::Info, format!("{number}"));
    }
    let dropped = log.handle().dropped_total();
    assert!(dropped >= QUEUED_LINES_MAX as u64 / 8, "{dropped}");
    log.handle().log(Level::Error, "the reason");
    assert_eq!(
        log.handle().dropped_total(),
        dropped,
        "the last eighth is for errors"
    );
    drop(release);
    drop(log);
    let lines = lines(&path);
    assert_eq!(lines[0], "[INF] 0");
    assert_eq!(lines[lines.len() - 2], "[ERR] the reason");
    assert_eq!(
        lines[lines.len() - 1],
        format!("[WRN] Logging fell behind, {dropped} lines were dropped")
    );
    assert_eq!(lines.len() as u64, QUEUED_LINES_MAX as u64 - dropped + 2);
}

/// The queue is bounded in bytes too: a few huge lines do not fill the memory.
#[test]
fn full_queue_in_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let log = start(&to_file(&path, 0, 0));
    let (release, hold) = bounded::<()>(0);
    log.handle().hold(hold);
    for _ in 0..40 {
        log.handle().log(Level::Trace, "x".repeat(1024 * 1024));
    }
    assert_eq!(
        log.handle().dropped_total(),
        40 - 27,
        "28 MiB are for lines that are no warning"
    );
    drop(release);
    drop(log);
    assert_eq!(lines(&path).len(), 27 + 1);
}

/// What strangers cause is written so often in ten seconds, then counted; what the server says of itself always is.
#[test]
fn flood_is_counted() {
    const LINES: u64 = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let time_us = Arc::new(AtomicI64::new(NOW_US));
    let log = Log::start(&to_file(&path, 0, 0), Clock::Set(Arc::clone(&time_us))).unwrap();
    tracing::subscriber::with_default(log.subscriber(), || {
        for number in 0..LINES {
            tracing::error!(target: "pinion_shard::conn", "refused {number}");
            tracing::error!("own {number}");
        }
        assert!(log.handle().flush());
        let written = lines(&path);
        let count = |start: &str| written.iter().filter(|line| line.starts_with(start)).count() as u64;
        assert_eq!(count("[ERR] own"), LINES);
        assert_eq!(count("[ERR] refused"), LIKE_LINES_MAX);
        time_us.fetch_add(WINDOW_US, Ordering::Relaxed);
        assert!(log.handle().flush());
        let counted = format!(
            "[ERR] {} more like this in the last 10 s: refused {}",
            LINES - LIKE_LINES_MAX,
            LINES - 1
        );
        assert_eq!(lines(&path).last(), Some(&counted));
    });
    drop(log);
    assert_eq!(lines(&path).len() as u64, LINES + LIKE_LINES_MAX + 1);
}

/// A place that takes nothing is counted, not fatal.
#[test]
fn place_that_cannot_be_written() {
    let log = start(&to_file(Path::new("/dev/full"), 0, 0));
    log.handle().log(Level::Info, "one");
    log.handle().log(Level::Info, "two");
    assert!(log.handle().flush());
    assert!(log.handle().dropped_total() >= 2);
}

/// Secrets do not show in any format, whichever way they are logged.
#[test]
fn secrets_do_not_show() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its debug print is of interest")]
    struct Login {
        user: &'static str,
        pass: Redacted<String>,
        tokens: Vec<Redacted<&'static str>>,
    }
    let secret = Redacted::new("s3cr3t".to_owned());
    let login = Login {
        user: "bob",
        pass: secret.clone(),
        tokens: vec![Redacted::new("s3cr3t")],
    };
    for format in [Format::Text, Format::Json] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let log = start(&LogOptions {
            format,
            ..to_file(&path, 0, 0)
        });
        tracing::subscriber::with_default(log.subscriber(), || {
            tracing::info!("{secret} {secret:?} {login:?} {login:#?}");
            tracing::info!(%secret, ?login, again = ?secret, "fields");
        });
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("bob"));
        assert!(text.matches(MASK).count() >= 9, "{text}");
    }
}

fn to_syslog(url: &str) -> LogOptions {
    LogOptions {
        destination: Destination::Syslog(SyslogAddress::parse(url).unwrap()),
        tag: "tag".to_owned(),
        ..LogOptions::default()
    }
}

/// What a remote syslog gets for a line of this level; the host and the zone differ by machine.
fn assert_remote_message(message: &str, priority: u8, text: &str) {
    let rest = message
        .strip_prefix(&format!("<{priority}>2026-11-2"))
        .expect(message);
    let end = format!(" tag[{}]: {text}\n", std::process::id());
    assert!(rest.ends_with(&end), "{message:?} does not end with {end:?}");
    assert_eq!(
        rest.split(' ').count(),
        2 + end.trim().split(' ').count(),
        "time, host, then the end: {message:?}"
    );
}

/// Datagrams as the Go server sends them, one a line.
///
/// Covers: TestRemoteSysLogger, TestRemoteSysLoggerNotice, TestRemoteSysLoggerTrace
#[test]
fn syslog_over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let log = start(&to_syslog(&format!("udp://{}", server.local_addr().unwrap())));
    let cases = [
        (Level::Info, 5),
        (Level::Warn, 4),
        (Level::Error, 3),
        (Level::Fatal, 2),
        (Level::Debug, 7),
        (Level::Trace, 5),
    ];
    for (level, priority) in cases {
        log.handle().log(level, "foo\nbar");
        let mut buffer = [0; 1024];
        let size = server.recv(&mut buffer).unwrap();
        assert_remote_message(
            std::str::from_utf8(&buffer[..size]).unwrap(),
            priority,
            "foo\\nbar",
        );
    }
}

/// Lines over TCP; a connection that ends is made again.
#[test]
fn syslog_over_tcp() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = start(&to_syslog(&format!("tcp://{}", server.local_addr().unwrap())));
    let large = "x".repeat(100_000);
    log.handle().log(Level::Info, "first");
    log.handle().log(Level::Info, large.clone());
    let mut stream = BufReader::new(server.accept().unwrap().0);
    for text in ["first", &large] {
        let mut message = String::new();
        stream.read_line(&mut message).unwrap();
        assert_remote_message(&message, 5, text);
    }
    drop(stream);
    // The kernel tells the writer of the end only after it has sent into it, so some lines go first.
    server.set_nonblocking(true).unwrap();
    let second = loop {
        log.handle().log(Level::Error, "again");
        assert!(log.handle().flush());
        if let Ok((stream, _)) = server.accept() {
            break stream;
        }
    };
    second.set_nonblocking(false).unwrap();
    let mut message = String::new();
    BufReader::new(second).read_line(&mut message).unwrap();
    assert_remote_message(&message, 3, "again");
}

/// A socket of this machine by its path.
#[test]
fn syslog_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    let log = start(&to_syslog(&format!("unix://{}", path.display())));
    log.handle().log(Level::Info, "text");
    let mut buffer = [0; 1024];
    let size = server.recv(&mut buffer).unwrap();
    assert_remote_message(std::str::from_utf8(&buffer[..size]).unwrap(), 5, "text");
}

/// Urls as the Go server takes them.
///
/// Covers: TestGetNetworkAndAddrUDP, TestGetNetworkAndAddrTCP, TestGetNetworkAndAddrUnix
#[test]
fn syslog_urls() {
    use SyslogAddress::{Tcp, Udp, Unix};
    let cases = [
        ("udp://foo.com:1000", Ok(Udp("foo.com:1000".to_owned()))),
        ("tcp://[::1]:514/path?x", Ok(Tcp("[::1]:514".to_owned()))),
        ("unix:///foo.sock", Ok(Unix("/foo.sock".to_owned()))),
        ("foo://bar", Err("error invalid network type: \"foo\"".to_owned())),
        (
            "localhost:514",
            Err("error invalid network type: \"\"".to_owned()),
        ),
    ];
    for (url, expected) in cases {
        assert_eq!(SyslogAddress::parse(url), expected, "{url}");
    }
}

/// A panic in any thread is in the log file before the process ends. The second process is this test again.
#[test]
fn panic_is_logged_and_flushed() {
    const CHILD: &str = "PINION_TEST_PANIC_LOG";
    if let Some(path) = std::env::var_os(CHILD) {
        let log = Log::start(&to_file(Path::new(&path), 0, 0), Clock::System).unwrap();
        log.install();
        tracing::info!("before");
        ::log::warn!(target: "glommio", "a library warns");
        ::log::info!(target: "glommio", "a library chats");
        std::thread::Builder::new()
            .spawn(|| {
                std::panic::catch_unwind(|| panic!("broken invariant")).ok();
                // As with panic = "abort": nothing runs after the hook.
                std::process::abort();
            })
            .unwrap()
            .join()
            .unwrap();
        unreachable!("the process was aborted");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::tests::panic_is_logged_and_flushed"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(!child.status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("[INF] before\n"), "{text}");
    assert!(text.contains("[WRN] glommio: a library warns\n"), "{text}");
    assert!(!text.contains("chats"), "{text}");
    assert!(
        text.contains("[FTL] Panic: ") && text.contains("broken invariant"),
        "{text}"
    );
}

/// Which place wins when several are named, and the name in syslog.
///
/// Covers: TestSysLoggerTagGen
#[test]
fn options_name_the_place() {
    let mut options = crate::config::Options::default().log;
    let place = |options: &_| LogOptions::from_options(options, "/usr/bin/nats-server").unwrap();
    assert_eq!(
        place(&options),
        LogOptions {
            tag: "nats-server".to_owned(),
            ..LogOptions::default()
        }
    );
    options.syslog = true;
    assert_eq!(
        place(&options).destination,
        Destination::Syslog(SyslogAddress::Local)
    );
    options.remote_syslog = Some("udp://h:1".to_owned());
    let remote = Destination::Syslog(SyslogAddress::Udp("h:1".to_owned()));
    assert_eq!(place(&options).destination, remote);
    options.file = Some("a.log".into());
    options.file_size_max = 5;
    options.file_count_max = 2;
    let file = FileOptions {
        path: "a.log".into(),
        size_limit: 5,
        max_files: 2,
    };
    assert_eq!(place(&options).destination, Destination::File(file));
    options.file = None;
    options.remote_syslog = Some("foo://h".to_owned());
    assert!(LogOptions::from_options(&options, "pinion").is_err());
    for (program, tag) in [("pinion", "pinion"), ("./a/b//", "b"), ("", "pinion")] {
        let options = crate::config::Options::default().log;
        assert_eq!(LogOptions::from_options(&options, program).unwrap().tag, tag);
    }
}
