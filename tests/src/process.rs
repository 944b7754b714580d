//! A child process: its output as lines, signals, its end. It is killed by its id when dropped.
//!
//! Not here: what it runs (`server`, the tests).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::wire::PATIENCE;

/// A child process whose output lines are collected; killed by its id when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    news: Receiver<String>,
    lines: Vec<String>,
}

impl Process {
    /// Starts it; its output goes to `take_log`.
    pub fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (sender, news) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let out_sender = sender.clone();
        std::thread::spawn(move || forward_lines(BufReader::new(stdout), &out_sender));
        std::thread::spawn(move || forward_lines(BufReader::new(stderr), &sender));
        Self {
            child,
            news,
            lines: Vec::new(),
        }
    }

    /// Lines that came since the last call; waits up to `patience` for the first.
    pub fn take_log(&mut self, patience: Duration) -> Vec<String> {
        let before = self.lines.len();
        match self.news.recv_timeout(patience) {
            Ok(line) => self.lines.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Vec::new(),
        }
        self.lines.extend(self.news.try_iter());
        self.lines[before..].to_vec()
    }

    /// All lines so far.
    pub fn log(&mut self) -> Vec<String> {
        self.lines.extend(self.news.try_iter());
        self.lines.clone()
    }

    /// Its status, when it has ended; then its log is whole, for its output ends with it.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("the child can be waited for")?;
        self.lines.extend(self.news.iter());
        Some(status)
    }

    /// Waits for its end; fails the test when it does not come.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let Some(status) = self.exit_within(PATIENCE) else {
            panic!(
                "the process did not end within {PATIENCE:?}; its output:\n{}",
                self.lines.join("\n")
            );
        };
        status
    }

    /// Its status, when it ends in that time.
    pub fn exit_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            // Its output ends when it does: waiting for lines is waiting for the end, without a timer.
            match self
                .news
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(self.child.wait().expect("the child can be waited for"));
                }
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, to this process only.
    pub fn signal(&self, name: &str) {
        use rustix::process::{kill_process, Pid, Signal};
        let signal = match name {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "HUP" => Signal::HUP,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "KILL" => Signal::KILL,
            other => panic!("no signal {other}"),
        };
        kill_process(Pid::from_child(&self.child), signal).expect("the child takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_exit().is_none() {
            self.child.kill().expect("a running child can be killed");
            self.child.wait().expect("a killed child ends");
        }
    }
}

fn forward_lines(mut reader: impl BufRead, sender: &std::sync::mpsc::Sender<String>) {
    let mut line = Vec::new();
    // Ends with the stream, or when the test has dropped the process.
    while reader.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if sender.send(text).is_err() {
            return;
        }
    }
}
