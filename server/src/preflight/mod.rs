//! Preflight: can this machine run the server, and how many shards on which cores.
//!
//! Owns: the checks that run before any executor starts, and the table of `pinion doctor`. Each finding is one
//! line with the mend. Facts are gathered in one place (`facts`); everything else is pure and decides on them.
//! Not here: starting shards; the store itself (its directory is looked at when one is named, `store`).
//!
//! Invariant: where preflight finds nothing that stops the server, starting an executor does not fail for a
//! reason that preflight knows of. (Glommio ends the process by itself when an operation is missing.)

mod cgroup;
mod facts;
mod limits;
mod placement;
mod store;
mod uring;

use std::fmt::Write;
use std::path::Path;

pub use cgroup::{cpu_quota, CpuQuota, ReadText};
pub use facts::{Facts, IoUring, Limit};
pub use placement::{place, Placement};
pub use store::{examine_store, judge_store, probe, StoreFacts, Written};

use crate::config::options::{Options, Pin};

/// What the options ask of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `shards`; `None` for as many as fit.
    pub shards: Option<usize>,
    /// `pin`
    pub pin: Pin,
    /// `max_connections`
    pub connections_max: u64,
    /// Bytes that each shard registers for disk I/O.
    pub shard_io_size: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        // The Go server's default number of connections; what a shard's executor registers.
        Wanted {
            shards: None,
            pin: Pin::Auto,
            connections_max: 64 * 1024,
            shard_io_size: pinion_shard::io::uring::IO_MEMORY_SIZE as u64,
        }
    }
}

impl Wanted {
    /// What these options ask for.
    pub fn from_options(options: &Options) -> Wanted {
        Wanted {
            shards: options.cores.shards.map(usize::from),
            pin: options.cores.pin.clone(),
            // Below zero there are none.
            connections_max: u64::try_from(options.limits.connections).unwrap_or(0),
            ..Wanted::default()
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// The server runs, less well.
    Warn,
    /// The server cannot run.
    Stop,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub subject: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, in one line.
    pub found: String,
    /// What to do about it; empty when it is fine.
    pub mend: String,
}

impl Finding {
    fn fine(subject: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Fine,
            found: found.into(),
            mend: String::new(),
        }
    }

    fn warn(subject: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Warn,
            found: found.into(),
            mend: mend.into(),
        }
    }

    fn stop(subject: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Stop,
            found: found.into(),
            mend: mend.into(),
        }
    }

    /// Finding and mend as one line for the log.
    pub fn line(&self) -> String {
        if self.mend.is_empty() {
            format!("{}: {}", self.subject, self.found)
        } else {
            format!("{}: {}; {}", self.subject, self.found, self.mend)
        }
    }
}

/// What came of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order of the table.
    pub findings: Vec<Finding>,
    /// How many shards, and where.
    pub placement: Placement,
}

impl Report {
    /// True when the server cannot run.
    pub fn stops_the_server(&self) -> bool {
        self.first_stop().is_some()
    }

    /// The first finding that stops the server: the one line it exits with.
    pub fn first_stop(&self) -> Option<&Finding> {
        self.with(Verdict::Stop).next()
    }

    /// Findings to log as warnings when the server starts.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.with(Verdict::Warn)
    }

    fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.verdict == verdict)
    }

    /// Looks at the store directory too. It takes an executor, so it comes last, and only where one can run.
    pub fn add_store(&mut self, directory: &Path) {
        let findings = if self.stops_the_server() {
            vec![Finding::warn(
                "store",
                "not looked at",
                "mend what stops the server first",
            )]
        } else {
            examine_store(directory)
        };
        self.findings.extend(findings);
    }

    /// The table of `pinion doctor`.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for finding in &self.findings {
            let verdict = match finding.verdict {
                Verdict::Fine => "ok",
                Verdict::Warn => "warn",
                Verdict::Stop => "STOP",
            };
            writeln!(table, "{verdict:<5} {:<10} {}", finding.subject, finding.found).expect(IN_MEMORY);
            if !finding.mend.is_empty() {
                writeln!(table, "{:<16} -> {}", "", finding.mend).expect(IN_MEMORY);
            }
        }
        let summary = if self.stops_the_server() {
            "The server cannot run on this machine as it is."
        } else {
            "The server can run on this machine."
        };
        writeln!(table, "{summary}").expect(IN_MEMORY);
        table
    }
}

const IN_MEMORY: &str = "a string takes everything";

/// Raises this process's soft limits, gathers the facts and judges them. Before any executor starts.
pub fn examine(wanted: &Wanted) -> Report {
    facts::raise_soft_limits();
    judge(&Facts::gather(), wanted)
}

/// What the facts mean. Pure.
pub fn judge(facts: &Facts, wanted: &Wanted) -> Report {
    let (placement, place_finding) = place(wanted, facts);
    let findings = vec![
        uring::judge_kernel(&facts.kernel_release),
        uring::judge_io_uring(facts),
        limits::judge_memlock(facts, wanted, placement.shards),
        limits::judge_files(facts.files, wanted, placement.shards),
        place_finding,
    ];
    Report { findings, placement }
}

#[cfg(test)]
mod tests;
