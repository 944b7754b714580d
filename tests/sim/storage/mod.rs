//! Simulation of the commit log: shards that append, disks that fail, crashes at every step.
//!
//! Owns: what is appended, when the host crashes, what must hold afterwards. Not here: the disk and its faults
//! (`shard/src/io/simulated`).
//! The claim: after any number of crashes each log is what a prefix of its steps makes of it, and everything that was
//! acknowledged is in that prefix; what was cut once never comes back.

mod appender;
mod model;
mod run;

pub(crate) use run::run;

/// Hits a long run must have seen.
pub(crate) const MUST_HIT: [&str; 31] = [
    "acknowledged",
    "checkpoint_carried",
    "close",
    "crash_while_opening",
    "cut",
    "disk_error",
    "disk_full",
    "disk_full_met",
    "disk_rot",
    "disk_slow",
    "disk_torn",
    "disk_unsynced_kept",
    "disk_unsynced_lost",
    "disk_unsynced_name_kept",
    "disk_unsynced_name_lost",
    "entry_in_parts",
    "former_shard_moved",
    "kill",
    "log_goes_on",
    "log_new_segment",
    "log_pending_full",
    "log_stopped",
    "no_segment_ready",
    "possibly_acknowledged",
    "power_cut",
    "rot_reported",
    "second_write",
    "segment_begun",
    "segment_recycled",
    "segments_max",
    "state_carried",
];
