//! Clock: nanoseconds since the generator started.
//!
//! Owns: the only reading of time in this crate. Units: `*_ns` counts from the clock's own start; the stamps inside
//! payloads use it, so one clock serves sender and receiver.

use std::time::{Duration, Instant};

/// A monotonic clock with an epoch of its own.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that reads 1 ns or more from now on: 0 stands for "no stamp" in payloads.
    #[expect(
        clippy::new_without_default,
        reason = "a default clock would hide that creation reads the time"
    )]
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Nanoseconds since the clock was made, at least 1.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        duration_ns(self.epoch.elapsed()).max(1)
    }
}

/// A duration in whole nanoseconds.
pub fn duration_ns(duration: Duration) -> u64 {
    duration.as_secs() * NS_PER_SECOND + u64::from(duration.subsec_nanos())
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

/// Nanoseconds in a second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;
