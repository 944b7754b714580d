//! ServerProcess: one server under test, from start to end.
//!
//! Owns: finding the binaries, the config file, the child process, its port, waiting until it answers.
//! Not here: its CPU and memory (`measure`).
//!
//! The child inherits the affinity of the thread that starts it, so the pinning is set around the start and no code
//! runs between fork and exec.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

use crate::cores::CoreSet;
use crate::failure::Failure;
use crate::measure::Meter;

/// A server that runs; dropped, it ends.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

/// A binary and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBinary {
    /// The file.
    pub path: PathBuf,
    /// Whose it is.
    pub kind: ServerKind,
}

/// Whose server it is: the way to give it a number of cores differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// The Go nats-server: `GOMAXPROCS`.
    Go,
    /// Pinion: `shards` in its config file.
    Pinion,
}

impl ServerBinary {
    /// The binary at `path`. Its `--version` says whose it is.
    pub fn at(path: PathBuf) -> Self {
        let said = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
        let is_pinion = said
            .map(|output| [output.stdout, output.stderr].concat())
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains("pinion"))
            || path.file_name().is_some_and(|name| name == "pinion");
        let kind = if is_pinion {
            ServerKind::Pinion
        } else {
            ServerKind::Go
        };
        Self { path, kind }
    }

    /// The Go server: `nats-server` on PATH, or where `go install` puts it.
    pub fn find_peer() -> Result<Self, Failure> {
        let mut folders: Vec<PathBuf> = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        if let Ok(output) = Command::new("go").args(["env", "GOPATH"]).output() {
            folders.push(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin"));
        }
        if let Some(home) = env::var_os("HOME") {
            folders.push(Path::new(&home).join("go/bin"));
        }
        let found = folders
            .iter()
            .map(|folder| folder.join("nats-server"))
            .find(|path| path.is_file());
        found.map(Self::at).ok_or_else(|| {
            Failure::Setup(String::from(
                "no nats-server on PATH or in the Go bin folder; get it with: go install github.com/nats-io/nats-server/v2@v2.14.5",
            ))
        })
    }

    /// Pinion, beside this very executable.
    pub fn find_ours() -> Result<Self, Failure> {
        let own = env::current_exe().map_err(|e| Failure::io("find this executable", e))?;
        let path = own.with_file_name("pinion");
        if path.is_file() {
            return Ok(Self::at(path));
        }
        Err(Failure::Setup(format!(
            "{} is not there; build it with: cargo build --release -p pinion",
            path.display()
        )))
    }
}

impl ServerProcess {
    /// Starts the server with `shards` on `cores` and waits until it greets.
    pub fn start(binary: &ServerBinary, shards: u16, cores: &CoreSet) -> Result<Self, Failure> {
        let address = free_address()?;
        let folder = env::temp_dir().join(format!("pinion-perf-{}-{}", std::process::id(), address.port()));
        fs::create_dir_all(&folder).map_err(|e| Failure::io(format!("create {}", folder.display()), e))?;
        let mut config = format!("listen: \"{address}\"\n");
        if binary.kind == ServerKind::Pinion {
            config.push_str(&format!("shards: {shards}\n"));
        }
        let config_path = folder.join("server.conf");
        fs::write(&config_path, config)
            .map_err(|e| Failure::io(format!("write {}", config_path.display()), e))?;
        let log = File::create(folder.join("log")).map_err(|e| Failure::io("create the server's log", e))?;
        let log_twin = log
            .try_clone()
            .map_err(|e| Failure::io("share the server's log", e))?;
        let mut command = Command::new(&binary.path);
        command
            .arg("-c")
            .arg(&config_path)
            .env("GOMAXPROCS", shards.to_string());
        command.stdin(Stdio::null()).stdout(log).stderr(log_twin);
        let child = cores
            .while_pinned(|| command.spawn())?
            .map_err(|e| Failure::Server(format!("{} does not start: {e}", binary.path.display())))?;
        let mut server = Self {
            child,
            address,
            folder,
        };
        server.await_greeting(binary)?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For its CPU and memory.
    pub fn meter(&self) -> Meter {
        Meter::new(self.child.id())
    }

    fn await_greeting(&mut self, binary: &ServerBinary) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < START_TIME_MAX {
            let ended = self
                .child
                .try_wait()
                .map_err(|e| Failure::io("ask for the server's state", e))?;
            if let Some(status) = ended {
                let said = self.log_tail();
                return Err(Failure::Server(format!(
                    "{} ended at once, {status}{said}",
                    binary.path.display()
                )));
            }
            if greets(self.address) {
                return Ok(());
            }
            thread::sleep(START_POLL);
        }
        let said = self.log_tail();
        Err(Failure::Server(format!(
            "{} did not greet within {} s{said}",
            binary.path.display(),
            START_TIME_MAX.as_secs()
        )))
    }

    /// The last line of its log, as `; its log ends: line`; it often says why a load failed.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(|line| format!("; its log ends: {line}"))
            .unwrap_or_default()
    }

    fn stop(&mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has a pid");
        if kill_process(pid, Signal::TERM).is_ok() {
            let start = Instant::now();
            while start.elapsed() < STOP_TIME_MAX {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return Ok(());
                }
                thread::sleep(STOP_POLL);
            }
        }
        self.child.kill().map_err(|e| Failure::io("kill the server", e))?;
        self.child
            .wait()
            .map_err(|e| Failure::io("wait for the server's end", e))?;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A server that cannot be ended, or a folder that cannot be removed, must not hide the row's result.
        self.stop().unwrap_or_default();
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

/// Whether somebody answers there with INFO.
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, START_POLL) else {
        return false;
    };
    let mut head = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head == *b"INFO "
}

/// A loopback port that was free a moment ago.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|e| Failure::io("find a free port", e))
}

const START_TIME_MAX: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(5);
const STOP_TIME_MAX: Duration = Duration::from_secs(3);
const STOP_POLL: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is no server is reported with what it said, and leaves no folder behind.
    #[test]
    fn program_that_ends_is_reported() {
        let binary = ServerBinary {
            path: PathBuf::from("/bin/ls"),
            kind: ServerKind::Pinion,
        };
        let cores = CoreSet::current().unwrap();
        let failure = ServerProcess::start(&binary, 1, &cores).unwrap_err();
        assert!(failure.to_string().contains("/bin/ls ended at once"), "{failure}");
    }

    /// A missing program is reported by name.
    #[test]
    fn missing_program_is_reported() {
        let binary = ServerBinary::at(PathBuf::from("/nowhere/nats-server"));
        assert_eq!(binary.kind, ServerKind::Go);
        let failure = ServerProcess::start(&binary, 1, &CoreSet::current().unwrap()).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("/nowhere/nats-server does not start"),
            "{failure}"
        );
    }
}
