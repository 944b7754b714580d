//! Simulations: a whole server with scripted clients, and (`storage`) the commit log under crashes; one thread, virtual
//! time, one seed.
//!
//! Owns: what clients do, what must hold, the long run. Not here: the world itself and its faults
//! (`shard/src/io/simulated`).
//! `scripts/sim` runs this: `--seed N` replays one seed, `--seeds N` runs many and prints how often each
//! fault and each bound was hit; `--storage` before either means the commit log. The tests here run some seeds on every
//! `cargo test`.

mod checks;
mod client;
mod history;
mod reload;
mod rules;
mod run;
#[cfg(sabotage)]
mod sabotage;
mod script;
mod server;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;

use pinion_shard::io::simulated::SimWorld;

/// Hits a long run must have seen: a fault or a bound that never happens is not tested.
const MUST_HIT: [&str; 49] = [
    "answered_by_service",
    "auto_unsubscribed",
    "bell_delay",
    "bell_rung",
    "bound_answer_overflow",
    "bound_connections",
    "bound_data_lane_full",
    "bound_interest_lane_full",
    "bound_open_requests",
    "bound_payload_size",
    "bound_pending_size",
    "bound_write_deadline",
    "came_by_service",
    "came_by_stream",
    "client_reset",
    "connect_refused",
    "connections_lost",
    "credit_exhausted",
    "denied",
    "hand_on",
    "hand_on_of_request",
    "held_by_partition",
    "interleave_announced_not_rung",
    "interleave_between_lanes",
    "interleave_flagged_not_parked",
    "interleave_lanes_not_flushed",
    "interleave_pushed_not_announced",
    "interleave_triggered_not_drained",
    "mesh_messages",
    "messages",
    "no_responders",
    "not_delivered",
    "not_delivered_parts",
    "partial_read",
    "partial_write",
    "partition",
    "pause",
    "producer_stalled",
    "received",
    "reset",
    "rules_applied",
    "seeds",
    "settings_changed",
    "shard_held",
    "stall_hint",
    "wall_jump",
    "write_would_block",
    "writer_held",
    "yield",
];

/// What is simulated.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    /// A whole server and its clients.
    Server,
    /// The commit log under crashes.
    Storage,
}

impl Subject {
    fn run(self, seed: u64, prepare: &dyn Fn(&SimWorld)) -> run::Outcome {
        match self {
            Subject::Server => run::run(seed, prepare),
            Subject::Storage => storage::run(seed, prepare),
        }
    }

    /// Runs a seed in a world prepared by `prepare`; a panic is one more thing that is wrong.
    pub(crate) fn run_caught(self, seed: u64, prepare: &dyn Fn(&SimWorld)) -> run::Outcome {
        catch_unwind(AssertUnwindSafe(|| self.run(seed, prepare))).unwrap_or_else(|payload| {
            let what = match payload.downcast::<String>() {
                Ok(text) => *text,
                Err(_) => "a panic".to_owned(),
            };
            run::Outcome {
                trace: 0,
                hits: BTreeMap::new(),
                wrong: vec![what],
            }
        })
    }

    fn must_hit(self) -> &'static [&'static str] {
        match self {
            Subject::Server => &MUST_HIT,
            Subject::Storage => &storage::MUST_HIT,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result is for who started it")]
fn report(seed: u64, outcome: &run::Outcome) {
    println!("seed {seed}: trace {:016x}", outcome.trace);
    for line in &outcome.wrong {
        println!("  WRONG {line}");
    }
}

#[expect(clippy::print_stdout, reason = "the result is for who started it")]
fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let subject = if arguments.first().is_some_and(|word| word == "--storage") {
        arguments.remove(0);
        Subject::Storage
    } else {
        Subject::Server
    };
    let numbers: Vec<u64> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    match (arguments.first().map(String::as_str), numbers[..].first()) {
        (Some("--seed"), Some(&seed)) => {
            let outcome = subject.run_caught(seed, &|_| {});
            report(seed, &outcome);
            for (name, count) in &outcome.hits {
                println!("  {count:>9} {name}");
            }
            if outcome.wrong.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        #[cfg(sabotage)]
        (Some("--sabotage"), _) => {
            if sabotage::missed().is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        (Some("--seeds"), Some(&count)) => long_run(subject, numbers.get(1).copied().unwrap_or(0), count),
        _ => {
            println!("usage: pinion-sim [--storage] --seed N | --seeds COUNT [FIRST]");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result is for who started it")]
fn long_run(subject: Subject, first: u64, count: u64) -> ExitCode {
    let must_hit = subject.must_hit();
    let mut hits: BTreeMap<&'static str, u64> = must_hit.iter().map(|name| (*name, 0)).collect();
    let mut failed = Vec::new();
    for seed in first..first + count {
        let outcome = subject.run_caught(seed, &|_| {});
        for (name, count) in &outcome.hits {
            *hits.entry(name).or_insert(0) += count;
        }
        *hits.entry("seeds").or_insert(0) += 1;
        if seed % 10 == 0 && subject.run_caught(seed, &|_| {}).trace != outcome.trace {
            println!("seed {seed} ran two ways");
            failed.push(seed);
        }
        if !outcome.wrong.is_empty() {
            report(seed, &outcome);
            failed.push(seed);
        }
    }
    for (name, count) in &hits {
        println!("{count:>12} {name}");
    }
    let never: Vec<_> = must_hit.iter().filter(|name| hits[*name] == 0).collect();
    println!("{count} seeds from {first}, failed: {failed:?}, never hit: {never:?}");
    if failed.is_empty() && never.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
