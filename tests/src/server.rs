//! A server under test: a child process on loopback ports of its own, with its config, its log and its end.
//!
//! Owns: the process, its folder, the lines of its log. Two programs can stand there: Pinion, built with the
//! tests, or the peer (the Go nats-server), found in `NATS_SERVER`, on `PATH` or in the folder `go install`
//! fills. Readiness is what the server says itself: the address in its log or its ports file.
//! The process is ended by its id when the value is dropped.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::notice::pass_over;
use crate::process::Process;
use crate::wire::{Wire, PATIENCE};

/// What the peer's log says, and ours in the same words, when the client port is open.
const LISTENING: &str = "Listening for client connections on ";
/// How often the ports file is looked at while the log says nothing.
const READY_POLL: Duration = Duration::from_millis(5);

/// Which server a test talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Pinion,
    /// The Go nats-server.
    Peer,
}

/// A server program that can be started.
#[derive(Debug, Clone)]
pub struct Program {
    /// Which server it is.
    pub kind: Kind,
    /// The executable.
    pub path: PathBuf,
    /// How many shards a Pinion runs; the peer has none.
    pub shards: usize,
}

impl Program {
    /// Pinion: `PINION_BIN`, or the binary that cargo built with this test.
    pub fn pinion(built: &str) -> Self {
        let path = std::env::var_os("PINION_BIN").map_or_else(|| PathBuf::from(built), PathBuf::from);
        Self {
            kind: Kind::Pinion,
            path,
            shards: 2,
        }
    }

    /// The peer, when this machine has it.
    pub fn peer() -> Option<Self> {
        let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
        let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
            let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
            folders.into_iter().map(|folder| folder.join("nats-server"))
        });
        let go_folder = std::env::var_os("GOPATH")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go")))
            .map(|go| go.join("bin/nats-server"));
        let path = named
            .into_iter()
            .chain(on_path)
            .chain(go_folder)
            .find(|path| path.is_file())?;
        Some(Self {
            kind: Kind::Peer,
            path,
            shards: 1,
        })
    }

    /// The program for process tests: ours, or the peer with `PINION_TEST_SERVER=peer`. None when it cannot
    /// run here; the reason is printed in one line, and the test passes over.
    pub fn under_test(built: &str) -> Option<Self> {
        if std::env::var_os("PINION_TEST_SERVER").is_some_and(|kind| kind == "peer") {
            return Some(Self::peer().expect("PINION_TEST_SERVER=peer needs nats-server on this machine"));
        }
        Self::pinion_or_reason(built)
    }

    /// Ours, unless this machine forbids io_uring; then says so in one line.
    pub fn pinion_or_reason(built: &str) -> Option<Self> {
        if let Some(reason) = io_uring_forbidden() {
            pass_over(&format!(
                "io_uring is forbidden here ({reason}), Pinion cannot start"
            ));
            return None;
        }
        Some(Self::pinion(built))
    }

    /// The same program with another number of shards.
    #[must_use]
    pub fn with_shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Starts it with these config lines (the listen address is added) and waits until it takes connections.
    pub fn start(&self, config: &str) -> Server {
        self.try_start(config)
            .unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// As `start`, but a server that ends before it is ready is a value.
    pub fn try_start(&self, config: &str) -> Result<Server, StartFailure> {
        let folder = TestFolder::create();
        let mut text = String::new();
        if !config
            .lines()
            .any(|line| line.trim_start().starts_with("listen") || line.trim_start().starts_with("port"))
        {
            text.push_str("listen: \"127.0.0.1:-1\"\n");
        }
        text.push_str(&format!(
            "ports_file_dir: {:?}\n",
            folder.path().display().to_string()
        ));
        if self.kind == Kind::Pinion {
            text.push_str(&format!("shards: {}\n", self.shards));
        }
        let given_lines = text.clone();
        text.push_str(config);
        let config_path = folder.path().join("server.conf");
        fs::write(&config_path, text).expect("the test folder takes a file");
        let mut command = Command::new(&self.path);
        command.arg("-c").arg(&config_path);
        let mut process = Process::spawn(command);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = process
                .take_log(READY_POLL)
                .into_iter()
                .find_map(|line| address_in(&line));
            let found = found.or_else(|| read_ports_file(folder.path()));
            if let Some(address) = found.filter(|&address| TcpStream::connect(address).is_ok()) {
                return Ok(Server {
                    kind: self.kind,
                    process,
                    address,
                    folder,
                    given_lines,
                });
            }
            if let Some(status) = process.try_exit() {
                return Err(StartFailure {
                    status: Some(status),
                    log: process.log(),
                });
            }
            if Instant::now() > deadline {
                return Err(StartFailure {
                    status: None,
                    log: process.log(),
                });
            }
        }
    }

    /// Runs it to its end with these arguments: a version, a help text, a config check.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(&self.path)
            .args(arguments)
            .output()
            .expect("the program can be started")
    }
}

/// Why a server did not become ready.
#[derive(Debug)]
pub struct StartFailure {
    /// Its exit status, when it ended.
    pub status: Option<ExitStatus>,
    /// What it had logged.
    pub log: Vec<String>,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(out, "the server ended before it was ready ({status})")?,
            None => write!(out, "the server was not ready within {PATIENCE:?}")?,
        }
        write!(out, "; its log:\n{}", self.log.join("\n"))
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Process,
    address: SocketAddr,
    folder: TestFolder,
    /// What stands before the test's own lines in its config file.
    given_lines: String,
}

impl Server {
    /// Which program it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its client address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its client address as client libraries take it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder with its config file, removed with the value.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connected raw client that has sent nothing.
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address).expect("the server accepts connections")
    }

    /// A raw client that is quiet (no `+OK`), with headers.
    pub fn client(&self) -> Wire {
        Wire::open(
            self.address,
            r#"{"verbose":false,"pedantic":false,"headers":true}"#,
        )
    }

    /// Sends a signal by name (`TERM`, `USR2`, `HUP`) to this process only.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            let log = self.process.log();
            if let Some(line) = log[seen..].iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            seen = log.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let news = self.process.take_log(left);
            assert!(
                !news.is_empty(),
                "no log line with {text:?} came; the log:\n{}",
                self.process.log().join("\n")
            );
        }
    }

    /// Writes other lines into its config file and has it read. The answer is what it logged of it, the last line
    /// whether it was taken.
    pub fn reload(&mut self, config: &str) -> Vec<String> {
        let before = self.process.log().len();
        let text = format!("{}{config}", self.given_lines);
        fs::write(self.folder.path().join("server.conf"), text).expect("the test folder takes a file");
        self.signal("HUP");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.process.log().split_off(before);
            let is_last = |line: &String| {
                line.contains("Reloaded server configuration") || line.contains("Failed to reload")
            };
            if let Some(end) = said.iter().position(is_last) {
                return said[..=end].to_vec();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !self.process.take_log(left).is_empty(),
                "no answer to the reload; the log:\n{}",
                said.join("\n")
            );
        }
    }

    /// All it has logged so far.
    pub fn log(&mut self) -> Vec<String> {
        self.process.log()
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit()
    }

    /// Its status, when it ends in that time.
    pub fn exit_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.process.exit_within(patience)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_exit().is_none()
    }

    /// Resident memory in bytes, from the kernel.
    pub fn resident_size(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("the kernel tells VmRSS");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("VmRSS is a number");
        kib * 1024
    }
}

/// The client address in a log line, when it holds one.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(LISTENING)?;
    Some(on_loopback(address.trim().parse().ok()?))
}

/// The client address in the ports file, once it is there and whole.
fn read_ports_file(folder: &Path) -> Option<SocketAddr> {
    let files = fs::read_dir(folder).ok()?;
    let path = files
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|e| e == "ports"))?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let url = ports.get("nats")?.get(0)?.as_str()?;
    Some(on_loopback(url.strip_prefix("nats://")?.parse().ok()?))
}

fn on_loopback(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

/// Why io_uring cannot be used here: the kernel is asked for a ring, as the server will.
fn io_uring_forbidden() -> Option<String> {
    match io_uring::IoUring::new(1) {
        Ok(_ring) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// A folder of one test, removed with the value.
#[derive(Debug)]
pub struct TestFolder {
    path: PathBuf,
}

impl TestFolder {
    /// A new, empty folder under the system's temporary one.
    pub fn create() -> Self {
        let base = std::env::temp_dir();
        let pid = std::process::id();
        let path = (0..u32::MAX)
            .map(|index| base.join(format!("pinion-test-{pid}-{index}")))
            .find(|path| fs::create_dir(path).is_ok())
            .expect("the temporary folder can be written");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            assert!(
                std::thread::panicking(),
                "cannot remove {}: {error}",
                self.path.display()
            );
        }
    }
}
