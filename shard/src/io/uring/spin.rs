//! A short look at the ring before the shard sleeps: where the next event is near, to sleep and to be woken costs more.
//!
//! Owns: how long to look, and whether it is worth it. Not here: sleeping (`ring`).
//! A sleep and a wake cost a core some 20 us (a virtual machine's halted core more); who answers a request does so in
//! about that time. So a shard looks for at most [`SPIN_MAX`], and only while that has brought events lately: one that
//! has little to do, or shares its core with whom it waits for, finds nothing, and stops looking.

use std::cell::Cell;
use std::time::{Duration, Instant};

use io_uring::IoUring;

/// How long one look lasts at most.
const SPIN_MAX: Duration = Duration::from_micros(20);
/// Luck is at most so much: after so many looks in vain, at [`MISS`] each, a shard sleeps at once.
const LUCK_MAX: i32 = 16;
/// What a look in vain costs of the luck that one with an event brings.
const MISS: i32 = 2;
/// A shard without luck tries again after so many sleeps.
const SLEEPS_BETWEEN_TRIES: u32 = 256;
/// Between two looks at the clock.
const LOOKS_PER_TIME: u32 = 16;

/// Whether a shard's sleeps are short.
#[derive(Debug, Default)]
pub(super) struct Spin {
    luck: Cell<i32>,
    /// Sleeps since it was out of luck.
    sleeps: Cell<u32>,
}

impl Spin {
    /// Whether to look before this sleep.
    pub(super) fn is_worth_it(&self) -> bool {
        if self.luck.get() > 0 {
            return true;
        }
        let sleeps = self.sleeps.get() + 1;
        self.sleeps.set(sleeps % SLEEPS_BETWEEN_TRIES);
        sleeps == SLEEPS_BETWEEN_TRIES
    }

    /// Submits what is queued and looks for a completion; `false`: none came in time.
    pub(super) fn spin(&self, ring: &mut IoUring) -> bool {
        super::ring::submit_if_needed(ring);
        let is_lucky = look(ring);
        self.note(is_lucky);
        is_lucky
    }

    fn note(&self, is_lucky: bool) {
        let luck = self.luck.get();
        self.luck.set(if is_lucky {
            (luck + 1).min(LUCK_MAX)
        } else {
            (luck - MISS).max(0)
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "this is below the seam to the clock")]
fn look(ring: &mut IoUring) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS_PER_TIME {
            if !ring.completion().is_empty() || ring.submission().taskrun() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() >= SPIN_MAX {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks while it pays, stops after a run of bad luck, and tries again now and then.
    #[test]
    fn luck_decides() {
        let spin = Spin::default();
        let tries = (0..4 * SLEEPS_BETWEEN_TRIES)
            .filter(|_| spin.is_worth_it())
            .count();
        assert_eq!(tries, 4, "without luck: one try in so many sleeps");
        for _ in 0..100 {
            spin.note(true);
        }
        assert!(spin.is_worth_it());
        let mut misses = 0;
        while spin.is_worth_it() {
            spin.note(false);
            misses += 1;
        }
        assert_eq!(misses, LUCK_MAX / MISS, "a run of bad luck is short");
        spin.note(true);
        assert!(spin.is_worth_it(), "one event is enough to go on");
    }
}
