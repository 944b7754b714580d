//! What is to be delivered again, and when acks are overdue.
//!
//! Owns: two orders over what is pending. None of this survives: it is made anew from what is pending.

use std::collections::{BTreeMap, BTreeSet};

use pinion_shard::io::WallTime;

/// Messages to be delivered again, first come first served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redeliveries {
    by_order: BTreeMap<u64, u64>,
    order_of: BTreeMap<u64, u64>,
    next_order: u64,
}

impl Redeliveries {
    /// Adds a message; one that is there stays where it is.
    pub(super) fn add(&mut self, seq: u64) {
        if self.has(seq) {
            return;
        }
        self.by_order.insert(self.next_order, seq);
        self.order_of.insert(seq, self.next_order);
        self.next_order += 1;
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(order) = self.order_of.remove(&seq) {
            self.by_order.remove(&order);
        }
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.order_of.contains_key(&seq)
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.by_order.values().next().copied()
    }

    pub(super) fn len(&self) -> u64 {
        self.order_of.len() as u64
    }

    /// Forgets what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.order_of.retain(|seq, _| keep(*seq));
        self.by_order.retain(|_, seq| keep(*seq));
    }
}

/// When each pending ack is overdue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(WallTime, u64)>,
    time_of: BTreeMap<u64, WallTime>,
}

impl Deadlines {
    pub(super) fn set(&mut self, seq: u64, time: WallTime) {
        self.remove(seq);
        self.by_time.insert((time, seq));
        self.time_of.insert(seq, time);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(time) = self.time_of.remove(&seq) {
            self.by_time.remove(&(time, seq));
        }
    }

    pub(super) fn first(&self) -> Option<WallTime> {
        self.by_time.first().map(|(time, _)| *time)
    }

    /// When the last one is overdue.
    pub(super) fn last(&self) -> Option<WallTime> {
        self.by_time.last().map(|(time, _)| *time)
    }

    /// Takes those that are overdue, in order of their sequences.
    pub(super) fn take_due(&mut self, now: WallTime) -> Vec<u64> {
        let mut due = Vec::new();
        while let Some((time, seq)) = self.by_time.first().copied().filter(|(time, _)| *time <= now) {
            self.by_time.remove(&(time, seq));
            self.time_of.remove(&seq);
            due.push(seq);
        }
        due.sort_unstable();
        due
    }

    /// Forgets what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.time_of.retain(|seq, _| keep(*seq));
        self.by_time.retain(|(_, seq)| keep(*seq));
    }
}
