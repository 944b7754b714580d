//! The bell of a shard: others ring it, the shard's mesh task listens.
//!
//! A ring is never lost: one that comes while nobody listens ends the next wait at once. Rings may merge.

use std::task::{Context, Poll};

use super::{simulated, uring, Io};

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

    /// The listening side; made on the shard that listens, once.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn ear(&self, io: &Io) -> std::io::Result<BellEar> {
        match (self, io) {
            (Bell::Uring(bell), Io::Uring(io)) => Ok(BellEar::Uring(bell.ear(io)?)),
            (Bell::Simulated(bell), Io::Simulated(io)) => Ok(BellEar::Simulated(bell.ear(io))),
            _ => unreachable!("a bell never changes its world"),
        }
    }
}

/// What the shard itself holds.
pub enum BellEar {
    /// Waits for the eventfd.
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
