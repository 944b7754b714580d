//! The log's clock.
//!
//! Lines are stamped by whoever logs, before they are queued. It is the wall clock, and nothing is decided by
//! it, so it stands outside the seams of `pinion_shard::io`; a simulated server has a subscriber of its own.
//! Units: microseconds since 1970, UTC.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time of a line comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine.
    System,
    /// A test.
    Set(Arc<AtomicI64>),
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a stamp on paper: off the shards, and nothing depends on it"
    )]
    pub(super) fn now_us(&self) -> i64 {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            }
            Clock::Set(time_us) => time_us.load(Ordering::Relaxed),
        }
    }
}
