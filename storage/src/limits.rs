//! Every bound of the storage engine: name, unit, and what happens at the bound.

/// Bytes of one commit with its padding, at most. More waits for the next commit.
pub const COMMIT_SIZE_MAX: usize = 1024 * 1024;
/// Bytes of one record's payload, at most. A longer entry is written as several records.
pub const RECORD_PAYLOAD_SIZE_MAX: usize = 256 * 1024;
/// Bytes of one entry, at most: the largest payload a server may be configured for, and its headers. Longer ones
/// are refused.
pub const ENTRY_SIZE_MAX: usize = 66 * 1024 * 1024;
/// Bytes one log may take of a commit before the others had their turn.
pub const QUANTUM_SIZE: usize = 64 * 1024;
/// Bytes that wait for the disk before a second write may be in flight beside the first.
pub const SECOND_WRITE_SIZE_MIN: usize = 256 * 1024;
/// Commits in flight, at most.
pub const WRITES_IN_FLIGHT_MAX: usize = 2;
/// Bytes of one log that wait for the disk, at most. Beyond: its appends find no room until some are durable; one
/// entry may pass the bound.
pub const LOG_PENDING_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Bytes of all logs of a shard that wait for the disk, at most. Beyond: as above, for all.
pub const PENDING_SIZE_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one segment file.
pub const SEGMENT_SIZE: u64 = 16 * 1024 * 1024;
/// Segments of one shard's log, at most. Beyond: appends find no room until the oldest ones are split.
pub const SEGMENTS_MAX: usize = 64;
/// Segments from which on small state of the oldest one is written again, so that it can be recycled.
pub const SEGMENTS_BEFORE_CARRYING: usize = 8;
/// How long a full disk is left alone before space is asked for again.
pub const NO_SPACE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
/// Spare segments kept for later; more are removed.
pub const SPARES_MAX: usize = 4;
