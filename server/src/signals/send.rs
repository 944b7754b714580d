//! `--signal`: signalling a running server from the command line.
//!
//! Owns: the words, which process is meant, the messages (the Go server's). System calls come through
//! [`Processes`], so that tests kill nobody.
//!
//! `word`               the one running server
//! `word=123`           that process
//! `word=/run/n.pid`    the process whose id is in the file
//! `word=12*`           every running server whose id begins so; `*` alone for all
//!
//! Stricter than the Go server: a pid must be positive (kill(2) gives 0 and below another meaning), and
//! blanks around the number in a pid file are no error.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::cli::go_syntax::{os_error, quote};

/// The kind of process meant in messages.
const PROCESS_NAME: &str = "nats-server";

/// The machine's processes and files, as far as `--signal` needs them.
pub trait Processes {
    /// Ids of the running servers, this process left out, ascending.
    fn servers(&self) -> Result<Vec<i32>, String>;
    /// What is in the pid file, when there is one.
    fn pid_file(&self, path: &str) -> Option<String>;
    /// kill(2)
    fn kill(&self, pid: i32, signal: Signal) -> Result<(), Errno>;
}

/// Sends the signal that `command` stands for to what `target` means.
pub fn send(processes: &dyn Processes, command: &str, target: &str) -> Result<(), String> {
    let target = match processes.pid_file(target) {
        Some(content) => content.trim().to_owned(),
        None => target.to_owned(),
    };
    let (digits, is_prefix) = match target.strip_suffix('*') {
        Some(digits) => (digits, true),
        None => (target.as_str(), false),
    };
    let named = if digits.is_empty() {
        None
    } else {
        Some(parse_pid(digits)?)
    };
    let pids = match named {
        Some(pid) if !is_prefix => vec![pid],
        _ => processes.servers()?,
    };
    if pids.len() > 1 && !is_prefix {
        let list: String = pids.iter().map(|pid| format!("\n{pid}")).collect();
        return Err(format!("multiple {PROCESS_NAME} processes running:{list}"));
    }
    if pids.is_empty() {
        return Err(format!("no {PROCESS_NAME} processes running"));
    }
    let signal = signal_of(command)?;
    let mut failures = String::new();
    for pid in pids
        .into_iter()
        .filter(|pid| !is_prefix || pid.to_string().starts_with(digits))
    {
        if let Err(errno) = processes.kill(pid, signal) {
            let cause = os_error(&std::io::Error::from(errno));
            failures.push_str(&format!("\nsignal {} {pid}: {cause}", quote(command)));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

fn parse_pid(digits: &str) -> Result<i32, String> {
    digits
        .parse::<i32>()
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| format!("invalid pid: {digits}"))
}

fn signal_of(command: &str) -> Result<Signal, String> {
    Ok(match command {
        "stop" => Signal::SIGKILL,
        "quit" => Signal::SIGINT,
        "term" => Signal::SIGTERM,
        "reopen" => Signal::SIGUSR1,
        "ldm" => Signal::SIGUSR2,
        "reload" => Signal::SIGHUP,
        _ => return Err(format!("unknown signal {}", quote(command))),
    })
}

/// True for the name (`/proc/<pid>/comm`) of a server: anything with `nats-server` in it, as the Go server
/// looks for, and ours. Ours whole: `pinion-perf` is no server.
fn is_server(name: &str) -> bool {
    name.contains(PROCESS_NAME) || name == "pinion"
}

/// This machine.
pub struct Host;

impl Processes for Host {
    fn servers(&self) -> Result<Vec<i32>, String> {
        let unable = |_| "unable to resolve pid, try providing one".to_owned();
        let own = std::process::id();
        let mut pids = Vec::new();
        for entry in std::fs::read_dir("/proc").map_err(unable)? {
            let entry = entry.map_err(unable)?;
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            // A process that ends while we look is no server any more.
            let Ok(name) = std::fs::read_to_string(entry.path().join("comm")) else {
                continue;
            };
            if u32::try_from(pid).is_ok_and(|pid| pid != own) && is_server(name.trim_end()) {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }

    fn pid_file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn kill(&self, pid: i32, signal: Signal) -> Result<(), Errno> {
        nix::sys::signal::kill(Pid::from_raw(pid), signal)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    struct Table {
        servers: Vec<i32>,
        killed: RefCell<Vec<(i32, Signal)>>,
    }

    impl Processes for Table {
        fn servers(&self) -> Result<Vec<i32>, String> {
            Ok(self.servers.clone())
        }

        fn pid_file(&self, path: &str) -> Option<String> {
            match path {
                "/run/n.pid" => Some("77".to_owned()),
                "/run/blank.pid" => Some("78\n".to_owned()),
                "/run/empty.pid" => Some("nonsense".to_owned()),
                _ => None,
            }
        }

        fn kill(&self, pid: i32, signal: Signal) -> Result<(), Errno> {
            self.killed.borrow_mut().push((pid, signal));
            match pid {
                999 => Err(Errno::ESRCH),
                998 => Err(Errno::EPERM),
                _ => Ok(()),
            }
        }
    }

    /// Which processes get which signal, and what is said otherwise.
    #[test]
    fn words_and_targets() {
        use Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2};
        type Sent<'a> = (&'a [(i32, Signal)], Result<(), &'a str>);
        let cases: &[(&[i32], &str, &str, Sent<'_>)] = &[
            (&[], "quit", "", (&[], Err("no nats-server processes running"))),
            (&[], "bogus", "", (&[], Err("no nats-server processes running"))),
            (&[5], "bogus", "", (&[], Err("unknown signal \"bogus\""))),
            (&[], "bogus", "5", (&[], Err("unknown signal \"bogus\""))),
            (&[5], "quit", "", (&[(5, SIGINT)], Ok(()))),
            (&[5, 6], "quit", "", (&[], Err("multiple nats-server processes running:\n5\n6"))),
            (&[5, 6], "stop", "6", (&[(6, SIGKILL)], Ok(()))),
            (&[12, 120, 21], "term", "12*", (&[(12, SIGTERM), (120, SIGTERM)], Ok(()))),
            (&[12, 21], "ldm", "*", (&[(12, SIGUSR2), (21, SIGUSR2)], Ok(()))),
            (&[12, 21], "ldm", "3*", (&[], Ok(()))),
            (&[], "reopen", "/run/n.pid", (&[(77, SIGUSR1)], Ok(()))),
            (&[], "reload", "/run/blank.pid", (&[(78, SIGHUP)], Ok(()))),
            (&[], "reload", "/run/empty.pid", (&[], Err("invalid pid: nonsense"))),
            (&[5], "stop", "/run/none.pid", (&[], Err("invalid pid: /run/none.pid"))),
            (&[5], "stop", "0", (&[], Err("invalid pid: 0"))),
            (&[5], "stop", "-1", (&[], Err("invalid pid: -1"))),
            (&[5], "stop", "x*", (&[], Err("invalid pid: x"))),
            (&[5], "stop", "999", (&[(999, SIGKILL)], Err("\nsignal \"stop\" 999: no such process"))),
            (
                &[998, 999],
                "quit",
                "99*",
                (
                    &[(998, SIGINT), (999, SIGINT)],
                    Err("\nsignal \"quit\" 998: operation not permitted\nsignal \"quit\" 999: no such process"),
                ),
            ),
        ];
        for (servers, command, target, (killed, said)) in cases {
            let table = Table {
                servers: servers.to_vec(),
                killed: RefCell::default(),
            };
            let result = send(&table, command, target);
            assert_eq!(
                result.as_ref().map_err(String::as_str),
                said.as_ref().map_err(|text| *text),
                "{command}={target}"
            );
            assert_eq!(table.killed.into_inner(), *killed, "{command}={target}");
        }
    }

    /// Names that are a server and names that only look like one.
    #[test]
    fn server_names() {
        for name in ["nats-server", "nats-server-2.1", "pinion"] {
            assert!(is_server(name), "{name}");
        }
        for name in ["pinion-perf", "opinion", "nats", "bash"] {
            assert!(!is_server(name), "{name}");
        }
    }

    /// The scan of this machine leaves this process out and does not fail.
    #[test]
    fn own_process_is_left_out() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!Host.servers().unwrap().contains(&own));
    }
}
