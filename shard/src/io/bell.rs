//! The bell of a shard: others ring it, the shard's mesh task listens.
//!
//! A ring is never lost: one that comes while nobody listens ends the next wait at once. Rings may merge.

use std::task::{Context, Poll};

use super::{simulated, uring};

/// What other shards and threads hold: rings the bell of one shard.
#[derive(Clone)]
pub enum Bell {
    /// An eventfd.
    Uring(uring::UringBell),
    /// A flag the simulated scheduler looks at.
    Simulated(simulated::SimBell),
}

impl Bell {
    /// Wakes the shard, or makes its next wait end at once.
    pub fn ring(&self) {
        match self {
            Bell::Uring(bell) => bell.ring(),
            Bell::Simulated(bell) => bell.ring(),
        }
    }
}

/// What the shard itself holds.
pub enum BellEar {
    /// Reads the eventfd.
    Uring(uring::UringEar),
    /// Waits for the simulated scheduler.
    Simulated(simulated::SimEar),
}

impl BellEar {
    /// Ready once for each time the bell was rung (merged rings count once); then listens again.
    pub fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            BellEar::Uring(ear) => ear.poll_rung(cx),
            BellEar::Simulated(ear) => ear.poll_rung(cx),
        }
    }
}
