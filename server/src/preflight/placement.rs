//! How many shards, and on which cores.
//!
//! Owns: the decision. Pure.
//!
//! The number: what was asked for; otherwise as many as the affinity mask has CPUs, at most what the CPU quota pays
//! for. A part of a CPU pays for no shard: a shard that is throttled holds up all others.
//! The place: fixed cores only on request, or when the mask was narrowed to this process and every CPU of it gets
//! a shard. A quota sets the number, never the place: which cores are free, only the kernel knows.

use super::{Facts, Finding, Wanted};

/// Most shards of a server: the mesh marks lanes in one 64-bit word. More are not started.
pub const SHARDS_MAX: usize = 64;

/// `pin`: whether shards stay on fixed cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Only when the affinity mask was narrowed.
    #[default]
    Auto,
    /// Yes, on the first cores of the mask.
    On,
    /// No.
    Off,
}

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
    let shards = wanted.shards.unwrap_or(fitting).clamp(1, SHARDS_MAX);

    let narrowed = facts.affinity.len() < facts.online_count;
    let enough_cores = shards <= facts.affinity.len();
    let pinned = match wanted.pin {
        Pin::On => enough_cores,
        Pin::Auto => narrowed && shards == facts.affinity.len(),
        Pin::Off => false,
    };
    let cores = pinned.then(|| facts.affinity.iter().copied().take(shards).collect());
    let placement = Placement { shards, cores };

    let found = describe(&placement, facts);
    let finding = if wanted.shards.is_some_and(|wanted| wanted > SHARDS_MAX) {
        Finding::warn(
            SUBJECT,
            format!("{found}; more than {SHARDS_MAX} are not started"),
            format!("set shards to {SHARDS_MAX} or less"),
        )
    } else if shards > fitting {
        Finding::warn(
            SUBJECT,
            format!("{found}; they will wait for each other's CPU"),
            format!("set shards to {fitting}, or give the process more CPUs"),
        )
    } else {
        Finding::fine(SUBJECT, found)
    };
    (placement, finding)
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
