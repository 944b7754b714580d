//! Goals: what each row should reach, and whether it did.
//!
//! Owns: the one table of goals and their judgement. A row without a goal is fine when it has numbers for both sides.

use crate::compare::{Missing, RowResult};
use crate::figure::{LoadPoint, Quantity};

/// What a row should reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Server CPU per message lower than the Go server's by this factor.
    CpuLowerBy(f64),
    /// Server CPU per message at most this multiple of our own in the other row.
    CpuAtMostOfRow(f64, &'static str),
    /// Closed-loop p50 at most this multiple of the Go server's.
    P50AtMost(f64),
    /// Bytes of resident memory per idle connection.
    BytesPerConnectionAtMost(f64),
}

/// A row, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The row's name.
    pub row: &'static str,
    /// The goal in words; `None` for a row without one.
    pub goal: Option<String>,
    /// What came out, in the goal's unit.
    pub got: Option<f64>,
    /// Reached, or nothing to reach and the numbers are there.
    pub ok: bool,
    /// Why a side has no numbers.
    pub missing: Option<Missing>,
}

/// The goals, by row.
pub const GOALS: &[(&str, Goal)] = &[
    ("1to1-16", Goal::CpuLowerBy(4.0)),
    ("1to1-128", Goal::CpuLowerBy(3.0)),
    ("1to1-16k", Goal::CpuLowerBy(1.2)),
    ("fanout-10", Goal::CpuLowerBy(3.5)),
    ("fanout-1000", Goal::CpuLowerBy(3.5)),
    ("20x20", Goal::CpuLowerBy(3.5)),
    ("no-subscriber", Goal::CpuLowerBy(4.5)),
    ("queue-10", Goal::CpuLowerBy(3.0)),
    ("request-one-shard", Goal::P50AtMost(0.5)),
    ("request-across-shards", Goal::P50AtMost(1.5)),
    ("idle-10000", Goal::BytesPerConnectionAtMost(6.0 * 1024.0)),
    ("2c-1to1-16", Goal::CpuAtMostOfRow(1.25, "1to1-16")),
    ("2c-1to1-128", Goal::CpuAtMostOfRow(1.25, "1to1-128")),
    ("2c-1to1-1k", Goal::CpuAtMostOfRow(1.25, "1to1-1k")),
    ("2c-1to1-16k", Goal::CpuAtMostOfRow(1.25, "1to1-16k")),
    ("2c-fanout-10", Goal::CpuAtMostOfRow(1.25, "fanout-10")),
    ("2c-fanout-1000", Goal::CpuAtMostOfRow(1.25, "fanout-1000")),
    ("2c-20x20", Goal::CpuAtMostOfRow(1.25, "20x20")),
    ("2c-no-subscriber", Goal::CpuAtMostOfRow(1.25, "no-subscriber")),
    ("2c-20to1", Goal::CpuAtMostOfRow(1.25, "20to1")),
    ("2c-queue-10", Goal::CpuAtMostOfRow(1.25, "queue-10")),
    ("2c-wildcards", Goal::CpuAtMostOfRow(1.25, "wildcards")),
    ("2c-churn", Goal::CpuAtMostOfRow(1.25, "churn")),
];

/// The goal of a row.
pub fn goal_of(row: &str) -> Option<Goal> {
    GOALS.iter().find(|(name, _)| *name == row).map(|(_, goal)| *goal)
}

/// The row that a row's goal is measured against, if it is another one.
pub fn base_row(row: &str) -> Option<&'static str> {
    match goal_of(row)? {
        Goal::CpuAtMostOfRow(_, base) => Some(base),
        _ => None,
    }
}

/// Judges all rows.
pub fn judge(results: &[RowResult]) -> Vec<Verdict> {
    results.iter().map(|result| judge_row(result, results)).collect()
}

fn judge_row(result: &RowResult, results: &[RowResult]) -> Verdict {
    let missing = result
        .ours
        .missing
        .clone()
        .or_else(|| result.theirs.missing.clone());
    let goal = goal_of(result.row.name);
    let got = goal.and_then(|goal| goal.measured(result, results));
    let ok = missing.is_none()
        && match goal {
            None => true,
            Some(goal) => got.is_some_and(|got| goal.is_met_by(got)),
        };
    Verdict {
        row: result.row.name,
        goal: goal.map(|goal| goal.to_string()),
        got,
        ok,
        missing,
    }
}

impl Goal {
    fn measured(self, result: &RowResult, results: &[RowResult]) -> Option<f64> {
        match self {
            Self::CpuLowerBy(_) => result.cpu_ratio(),
            Self::CpuAtMostOfRow(_, base) => {
                let base = results.iter().find(|result| result.row.name == base)?;
                let cpu = |result: &RowResult| {
                    result
                        .ours
                        .median(result.row.main_load(), Quantity::CpuPerMessage)
                };
                Some(cpu(result)? / cpu(base)?)
            }
            Self::P50AtMost(_) => result.share_of_theirs(LoadPoint::Saturation, Quantity::P50),
            Self::BytesPerConnectionAtMost(_) => result
                .ours
                .median(LoadPoint::Standing, Quantity::BytesPerConnection),
        }
    }

    fn is_met_by(self, got: f64) -> bool {
        match self {
            Self::CpuLowerBy(least) => got >= least,
            Self::CpuAtMostOfRow(most, _) | Self::P50AtMost(most) | Self::BytesPerConnectionAtMost(most) => {
                got <= most
            }
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CpuLowerBy(least) => write!(f, "CPU lower by {least}x"),
            Self::CpuAtMostOfRow(most, base) => write!(f, "CPU at most {most}x of {base}"),
            Self::P50AtMost(most) => write!(f, "p50 at most {most}x of Go's"),
            Self::BytesPerConnectionAtMost(most) => write!(f, "at most {most} B a connection"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::compare::Side;
    use crate::figure::Figures;
    use crate::row;

    /// A result with one run per side.
    pub(crate) fn result(
        name: &str,
        load: LoadPoint,
        quantity: Quantity,
        ours: f64,
        theirs: f64,
    ) -> RowResult {
        let side = |value| Side {
            runs: vec![Figures::from([((load, quantity), value)])],
            ..Side::default()
        };
        RowResult {
            row: row::find(name).unwrap(),
            ours: side(ours),
            theirs: side(theirs),
        }
    }

    /// Each goal names a row that exists, once, and base rows exist too.
    #[test]
    fn goals_name_rows() {
        let mut names = std::collections::BTreeSet::new();
        for (name, _) in GOALS {
            assert!(row::find(name).is_some(), "{name}");
            assert!(names.insert(name), "{name} twice");
            assert!(
                base_row(name).is_none_or(|base| row::find(base).is_some()),
                "{name}"
            );
        }
    }

    /// The CPU goal is met at its factor and missed just below it.
    #[test]
    fn cpu_goal_is_a_factor() {
        let at = |ours| {
            let result = result(
                "1to1-16",
                LoadPoint::Saturation,
                Quantity::CpuPerMessage,
                ours,
                400.0,
            );
            judge(&[result]).remove(0)
        };
        assert_eq!((at(100.0).ok, at(100.0).got), (true, Some(4.0)));
        assert!(!at(101.0).ok);
        assert_eq!(at(101.0).goal.as_deref(), Some("CPU lower by 4x"));
    }

    /// Two shards are compared with our own one-core row, not with the Go server.
    #[test]
    fn two_core_goal_needs_the_one_core_row() {
        let cpu = |name, ours| result(name, LoadPoint::Saturation, Quantity::CpuPerMessage, ours, 1.0);
        let verdicts = judge(&[cpu("20x20", 100.0), cpu("2c-20x20", 125.0)]);
        assert_eq!((verdicts[1].ok, verdicts[1].got), (true, Some(1.25)));
        assert!(!judge(&[cpu("20x20", 100.0), cpu("2c-20x20", 126.0)])[1].ok);
        assert!(!judge(&[cpu("2c-20x20", 1.0)])[0].ok);
    }

    /// Latency and memory goals are upper bounds.
    #[test]
    fn bounds_are_upper_bounds() {
        let p50 = |ours| {
            judge(&[result(
                "request-one-shard",
                LoadPoint::Saturation,
                Quantity::P50,
                ours,
                60.0,
            )])
            .remove(0)
        };
        assert!(p50(30.0).ok);
        assert!(!p50(31.0).ok);
        let bytes = |ours| {
            let quantity = Quantity::BytesPerConnection;
            judge(&[result(
                "idle-10000",
                LoadPoint::Standing,
                quantity,
                ours,
                43_000.0,
            )])
            .remove(0)
        };
        assert!(bytes(6144.0).ok);
        assert!(!bytes(6145.0).ok);
    }

    /// A side without numbers is never fine, goal or not, and its earlier runs do not count.
    #[test]
    fn missing_side_is_not_ok() {
        for name in ["1to1-1k", "1to1-16"] {
            let mut result = result(name, LoadPoint::Saturation, Quantity::CpuPerMessage, 1.0, 400.0);
            result.ours.missing = Some(Missing::Failed(String::from("lost")));
            let verdict = judge(&[result]).remove(0);
            assert!(!verdict.ok);
            assert_eq!(verdict.got, None);
            assert_eq!(verdict.missing, Some(Missing::Failed(String::from("lost"))));
        }
    }
}
