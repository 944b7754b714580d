//! Limits of the process: locked memory and open files.
//!
//! Owns: what the shards need of both. Pure. The soft limits were raised to the hard ones before.
//! Units: bytes of memory, number of files.

use super::{Facts, Finding, Limit, Wanted};

/// Below this an executor refuses to start (glommio 0.9 looks at the soft limit and adds nothing up).
const MEMLOCK_MIN: u64 = 512 * 1024;

/// An executor registers its I/O memory with each of its rings.
const RINGS_PER_SHARD: u64 = 3;

/// Files of a shard that are no connection: rings, event fds, timers, the log's segments.
const FILES_PER_SHARD: u64 = 32;

/// Files of the process that belong to no shard: listeners, log, monitoring, standard streams.
const FILES_OF_PROCESS: u64 = 64;

/// With fewer connections than this a server is of no use.
const CONNECTIONS_MIN: u64 = 16;

pub(super) fn judge_memlock(facts: &Facts, wanted: &Wanted, shards: usize) -> Finding {
    const SUBJECT: &str = "memlock";
    const MEND: &str = "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity, docker: --ulimit memlock=-1)";
    let limit = facts.memlock.soft;
    let shards = shards as u64;
    let registered = shards
        .saturating_mul(RINGS_PER_SHARD)
        .saturating_mul(wanted.shard_io_size);
    if limit < MEMLOCK_MIN {
        Finding::stop(
            SUBJECT,
            format!("{} KiB, {} KiB are needed", limit / 1024, MEMLOCK_MIN / 1024),
            MEND,
        )
    } else if limit == u64::MAX {
        Finding::fine(SUBJECT, "unlimited")
    } else if facts.may_lock_memory {
        Finding::fine(
            SUBJECT,
            format!("{} KiB, not counted for this user", limit / 1024),
        )
    } else if limit < registered {
        let found = format!(
            "{} KiB, {} KiB would let all shards register their I/O memory; without it disk I/O costs more CPU",
            limit / 1024,
            registered / 1024
        );
        Finding::warn(SUBJECT, found, MEND)
    } else {
        Finding::fine(SUBJECT, format!("{} KiB", limit / 1024))
    }
}

pub(super) fn judge_files(files: Limit, wanted: &Wanted, shards: usize) -> Finding {
    const SUBJECT: &str = "files";
    let overhead = FILES_OF_PROCESS + FILES_PER_SHARD.saturating_mul(shards as u64);
    let needed = wanted.connections_max.saturating_add(overhead);
    let mend = format!("ulimit -n {needed} (systemd: LimitNOFILE={needed}), or set max_connections");
    let connections = files.soft.saturating_sub(overhead);
    if files.soft >= needed {
        Finding::fine(SUBJECT, format!("{}, {needed} are needed", files.soft))
    } else if connections < CONNECTIONS_MIN {
        Finding::stop(SUBJECT, format!("{}, {needed} are needed", files.soft), mend)
    } else {
        let found = format!(
            "{}: about {connections} connections of the {} that max_connections allows",
            files.soft, wanted.connections_max
        );
        Finding::warn(SUBJECT, found, mend)
    }
}
