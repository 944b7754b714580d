//! Compare: both servers in turn, row by row.
//!
//! Owns: the alternation (theirs, ours, theirs, ours, ...), the Go server's maximum that fixes the offered rates.
//! Not here: judging (`goals`), printing (`table`, `report`).
//!
//! Each run of a row is a fresh server, so neither inherits the other's or its own past. The rates of paced loads come
//! from the Go server's first run of the row and stay the same for both servers in all runs.

use std::io::Write;

use crate::cores::{CorePlan, CoreSet};
use crate::failure::Failure;
use crate::figure::{spread, Figures, LoadPoint, Quantity, Spread};
use crate::row::Row;
use crate::server_process::{ServerBinary, ServerKind, ServerProcess};
use crate::trial::{self, Pace, Target, Trial};

/// What to compare and how.
#[derive(Debug)]
pub struct Comparison {
    /// Pinion, or why it is not there.
    pub ours: Result<ServerBinary, Failure>,
    /// The Go server, or why it is not there.
    pub theirs: Result<ServerBinary, Failure>,
    /// The rows, in order.
    pub rows: Vec<&'static Row>,
    /// Alternating runs per row.
    pub run_count: u32,
    /// How long things take.
    pub pace: Pace,
}

/// One row, both sides.
#[derive(Debug)]
pub struct RowResult {
    /// Which row.
    pub row: &'static Row,
    /// Pinion's side.
    pub ours: Side,
    /// The Go server's side.
    pub theirs: Side,
}

/// One server in one row.
#[derive(Debug, Default)]
pub struct Side {
    /// The numbers of each run.
    pub runs: Vec<Figures>,
    /// How busy its threads were in the last run, busiest first, percent of a core.
    pub threads: Vec<(String, f64)>,
    /// Why there are no numbers; then the row has none for this side, even when some runs went well.
    pub missing: Option<Missing>,
}

/// Why a side has no numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The server is not there or does not start.
    Absent(String),
    /// It ran, but not rightly.
    Failed(String),
}

impl Comparison {
    /// Runs all rows; says on `progress` which one it is at.
    pub fn run(&self, progress: &mut impl Write) -> Result<Vec<RowResult>, Failure> {
        let available = CoreSet::current()?;
        let mut results = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            let result = self.run_row(row, &available)?;
            writeln!(
                progress,
                "[{}/{}] {}",
                number + 1,
                self.rows.len(),
                result.summary()
            )
            .map_err(|e| Failure::io("print the progress", e))?;
            results.push(result);
        }
        Ok(results)
    }

    fn run_row(&self, row: &'static Row, available: &CoreSet) -> Result<RowResult, Failure> {
        let plan = CorePlan::new(row.cores, available);
        let mut result = RowResult {
            row,
            ours: Side::default(),
            theirs: Side::default(),
        };
        let mut peer_maximum = None;
        for _ in 0..self.run_count {
            self.run_side(row, &plan, &self.theirs, &mut result.theirs, peer_maximum)?;
            peer_maximum = result.theirs.maximum();
            self.run_side(row, &plan, &self.ours, &mut result.ours, peer_maximum)?;
        }
        Ok(result)
    }

    fn run_side(
        &self,
        row: &Row,
        plan: &CorePlan,
        binary: &Result<ServerBinary, Failure>,
        side: &mut Side,
        peer_maximum: Option<f64>,
    ) -> Result<(), Failure> {
        if side.missing.is_some() {
            return Ok(());
        }
        match binary {
            Ok(binary) => {
                side.add(
                    plan.generator
                        .while_pinned(|| self.run_once(row, binary, plan, peer_maximum))?,
                );
            }
            Err(failure) => side.missing = Some(Missing::Absent(failure.to_string())),
        }
        Ok(())
    }

    fn run_once(
        &self,
        row: &Row,
        binary: &ServerBinary,
        plan: &CorePlan,
        peer_maximum: Option<f64>,
    ) -> Result<Trial, Missing> {
        let server = ServerProcess::start(binary, row.shards, &plan.server)
            .map_err(|failure| Missing::Absent(failure.to_string()))?;
        let target = Target {
            address: server.address(),
            meter: Some(server.meter()),
            must_tell_shard: binary.kind == ServerKind::Pinion && row.shards > 1,
            spin: plan.generator_alone,
        };
        trial::run(row, target, self.pace, peer_maximum)
            .map_err(|failure| Missing::Failed(failure.to_string()))
    }
}

impl RowResult {
    /// How many times as much CPU per message theirs takes.
    pub fn cpu_ratio(&self) -> Option<f64> {
        let load = self.row.main_load();
        ratio(
            self.theirs.median(load, Quantity::CpuPerMessage),
            self.ours.median(load, Quantity::CpuPerMessage),
        )
    }

    /// Ours as a multiple of theirs.
    pub fn share_of_theirs(&self, load: LoadPoint, quantity: Quantity) -> Option<f64> {
        ratio(
            self.ours.median(load, quantity),
            self.theirs.median(load, quantity),
        )
    }

    /// Whether the generator was so busy at the row's main load, on either side, that it may have set the pace.
    pub fn generator_was_busy(&self) -> bool {
        [&self.ours, &self.theirs].iter().any(|side| {
            side.spread(self.row.main_load(), Quantity::Generator)
                .is_some_and(|busy| busy.max > GENERATOR_PERCENT_MAX)
        })
    }

    fn summary(&self) -> String {
        let said = |side: &Side| match &side.missing {
            Some(missing) => missing.to_string(),
            None => {
                let load = self.row.main_load();
                let number = |quantity| side.median(load, quantity).map(|value| format!("{value:.0}"));
                let percent = side
                    .median(load, Quantity::CpuPercent)
                    .map(|value| format!("{value:.2}"));
                [
                    (number(Quantity::Rate), "/s"),
                    (number(Quantity::CpuPerMessage), " ns"),
                    (percent, " % CPU"),
                    (number(Quantity::BytesPerConnection), " B/connection"),
                    (number(Quantity::BytesPerSubscription), " B/subscription"),
                ]
                .into_iter()
                .filter_map(|(number, unit)| Some(format!("{}{unit}", number?)))
                .collect::<Vec<_>>()
                .join(" ")
            }
        };
        format!(
            "{}: theirs {}; ours {}",
            self.row.name,
            said(&self.theirs),
            said(&self.ours)
        )
    }
}

impl Side {
    /// Median, smallest and largest of one number; `None` when the side has no numbers.
    pub fn spread(&self, load: LoadPoint, quantity: Quantity) -> Option<Spread> {
        if self.missing.is_some() {
            return None;
        }
        spread(&self.runs, load, quantity)
    }

    /// The median alone.
    pub fn median(&self, load: LoadPoint, quantity: Quantity) -> Option<f64> {
        self.spread(load, quantity).map(|spread| spread.median)
    }

    fn add(&mut self, outcome: Result<Trial, Missing>) {
        match outcome {
            Ok(trial) => {
                self.runs.push(trial.figures);
                self.threads = trial.threads;
            }
            Err(missing) => self.missing = Some(missing),
        }
    }

    fn maximum(&self) -> Option<f64> {
        self.runs
            .first()?
            .get(&(LoadPoint::Saturation, Quantity::Rate))
            .copied()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(why) => write!(f, "absent ({why})"),
            Self::Failed(why) => write!(f, "failed ({why})"),
        }
    }
}

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    let (above, below) = (above?, below?);
    (below > 0.0).then(|| above / below)
}

/// A generator busier than this share of its core marks the row.
pub const GENERATOR_PERCENT_MAX: f64 = 80.0;
