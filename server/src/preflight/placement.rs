//! How many shards, and on which cores.
//!
//! Owns: the decision. Pure.
//!
//! The number: what was asked for; otherwise as many as the affinity mask has CPUs, at most what the CPU quota pays
//! for. A part of a CPU pays for no shard: a shard that is throttled holds up all others.
//! The place: fixed cores only on request, or when the mask was narrowed to this process and every CPU of it gets
//! a shard. A quota sets the number, never the place: which cores are free, only the kernel knows.

use pinion_shard::limits::SHARDS_MAX;

use super::{Facts, Finding, Wanted};
use crate::config::options::Pin;

/// How many shards, and on which cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// At least one.
    pub shards: usize,
    /// The core of each shard; `None`: the kernel moves them.
    pub cores: Option<Vec<usize>>,
}

const SUBJECT: &str = "shards";

/// Decides, and says why.
pub fn place(wanted: &Wanted, facts: &Facts) -> (Placement, Finding) {
    let cpu_count = facts.affinity.len().max(1);
    let quota_count = facts.quota.map(|quota| {
        usize::try_from(quota.millicpus / 1000)
            .unwrap_or(usize::MAX)
            .max(1)
    });
    let fitting = cpu_count.min(quota_count.unwrap_or(usize::MAX));
    let listed = match &wanted.pin {
        Pin::Cores(cores) => Some(cores.iter().map(|core| *core as usize).collect::<Vec<usize>>()),
        Pin::Auto | Pin::On | Pin::Off => None,
    };
    let asked = wanted.shards.or(listed.as_ref().map(Vec::len));
    let shards = asked.unwrap_or(fitting).clamp(1, SHARDS_MAX);

    let narrowed = facts.affinity.len() < facts.online_count;
    let first_cores = || -> Vec<usize> { facts.affinity.iter().copied().take(shards).collect() };
    let cores = match wanted.pin {
        Pin::On => (shards <= facts.affinity.len()).then(first_cores),
        Pin::Auto => (narrowed && shards == facts.affinity.len()).then(first_cores),
        Pin::Cores(_) => listed.filter(|cores| cores.len() == shards),
        Pin::Off => None,
    };
    let placement = Placement { shards, cores };
    let finding = judge(asked, fitting, &placement, facts);
    (placement, finding)
}

fn judge(asked: Option<usize>, fitting: usize, placement: &Placement, facts: &Facts) -> Finding {
    let found = describe(placement, facts);
    let foreign = placement
        .cores
        .iter()
        .flatten()
        .find(|core| !facts.affinity.contains(core));
    if let Some(asked) = asked.filter(|asked| *asked > SHARDS_MAX) {
        Finding::stop(
            SUBJECT,
            format!("{asked} are asked for, there can be {SHARDS_MAX}"),
            format!("set shards to {SHARDS_MAX} or less"),
        )
    } else if let Some(core) = foreign {
        Finding::stop(
            SUBJECT,
            format!("core {core} of pin is not among those this process may use"),
            "change pin, or the affinity mask of the process",
        )
    } else if placement.shards > fitting {
        Finding::warn(
            SUBJECT,
            format!("{found}; they will wait for each other's CPU"),
            format!("set shards to {fitting}, or give the process more CPUs"),
        )
    } else {
        Finding::fine(SUBJECT, found)
    }
}

fn describe(placement: &Placement, facts: &Facts) -> String {
    let place = match &placement.cores {
        Some(cores) => {
            let list: Vec<String> = cores.iter().map(usize::to_string).collect();
            format!("on cores {}", list.join(","))
        }
        None => "not pinned".to_owned(),
    };
    let quota = match facts.quota {
        Some(quota) => format!(
            ", CPU quota {}.{:03}",
            quota.millicpus / 1000,
            quota.millicpus % 1000
        ),
        None => String::new(),
    };
    format!(
        "{}, {place} ({} of {} CPUs{quota})",
        placement.shards,
        facts.affinity.len(),
        facts.online_count
    )
}
