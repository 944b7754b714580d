//! What of a consumer survives: how far it is, what waits for an ack, what was delivered more than once.
//!
//! Owns: what an entry does. Not here: why it was made (`state`).
//!
//! Invariants
//!   floor.delivery_seq < next_delivery_seq, floor.stream_seq < next_stream_seq
//!   what is pending lies above the floor of the stream's sequences and below `next_stream_seq`
//!   the floors never go back, but by a reset

use std::collections::BTreeMap;

use pinion_shard::io::WallTime;
use pinion_storage::stream_store::{Load, StreamStore};

use super::config::AckPolicy;
use super::entry::{Change, Create, Delivery, Pin, Placement};

/// How far a consumer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The next message of the stream to look at.
    pub next_stream_seq: u64,
    /// The sequence of the next delivery.
    pub next_delivery_seq: u64,
    /// Up to here everything is done.
    pub floor: Floor,
    /// What was delivered and waits for an ack, by sequence in the stream.
    pub pending: BTreeMap<u64, Pending>,
    /// How often messages were delivered, of those that were delivered again or given up.
    pub redelivered: BTreeMap<u64, u64>,
    /// Up to here only the last message of each subject counts; 0 where all do.
    pub last_per_subject_until: u64,
    /// The client that gets everything.
    pub pin: Option<Pin>,
    /// Who keeps and serves the consumer.
    pub placement: Placement,
}

/// Up to where everything is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Of deliveries. JSON: `consumer_seq`.
    pub delivery_seq: u64,
    /// Of the stream's messages. JSON: `stream_seq`.
    pub stream_seq: u64,
}

/// A delivery that waits for its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The sequence of its first delivery.
    pub delivery_seq: u64,
    /// When the wait began.
    pub since: WallTime,
}

impl Progress {
    /// That of a consumer that begins.
    pub fn new(create: &Create) -> Self {
        assert!(create.next_seq > 0, "sequences begin at 1");
        Self {
            next_stream_seq: create.next_seq,
            next_delivery_seq: 1,
            floor: Floor {
                delivery_seq: 0,
                stream_seq: create.next_seq - 1,
            },
            last_per_subject_until: create.last_per_subject_until,
            placement: create.placement,
            ..Self::default()
        }
    }

    /// How often a message was delivered, if it was.
    pub fn delivery_count(&self, stream_seq: u64) -> u64 {
        self.redelivered.get(&stream_seq).map_or(1, |more| (*more).max(1))
    }

    /// Does what the change says; one of the configuration is the state's affair.
    pub fn apply(&mut self, change: &Change, policy: AckPolicy) {
        match change {
            Change::Create(_) | Change::Configure { .. } | Change::Delete => {}
            Change::Deliver(deliveries) => {
                for delivery in deliveries {
                    self.deliver(delivery, policy);
                }
            }
            Change::Ack {
                stream_seq,
                delivery_seq,
                next_seq,
            } => {
                self.skip_to(*next_seq);
                self.ack(*stream_seq, *delivery_seq, policy);
            }
            Change::Wait { stream_seq, since } => {
                if let Some(pending) = self.pending.get_mut(stream_seq) {
                    pending.since = *since;
                }
            }
            Change::GiveUp { stream_seq, next_seq } => {
                self.skip_to(*next_seq);
                let count = self.delivery_count(*stream_seq);
                if let Some(pending) = self.pending.remove(stream_seq) {
                    self.raise_floor(pending.delivery_seq, *stream_seq);
                }
                self.redelivered.insert(*stream_seq, count);
            }
            Change::Reset { next_seq } => {
                assert!(*next_seq > 0, "sequences begin at 1");
                self.pending.clear();
                self.redelivered.clear();
                self.next_stream_seq = *next_seq;
                self.next_delivery_seq = 1;
                self.floor = Floor {
                    delivery_seq: 0,
                    stream_seq: next_seq - 1,
                };
            }
            Change::Pin(pin) => self.pin.clone_from(pin),
            Change::Place(placement) => {
                if placement.fencing_epoch > self.placement.fencing_epoch {
                    self.placement = *placement;
                }
            }
        }
    }

    fn skip_to(&mut self, next_seq: u64) {
        self.next_stream_seq = self.next_stream_seq.max(next_seq);
    }

    fn deliver(&mut self, delivery: &Delivery, policy: AckPolicy) {
        let Delivery {
            stream_seq,
            delivery_seq,
            count,
            at,
        } = *delivery;
        self.next_delivery_seq = self.next_delivery_seq.max(delivery_seq + 1);
        self.skip_to(stream_seq + 1);
        if count > 1 {
            self.redelivered.insert(stream_seq, count);
        }
        if policy == AckPolicy::None {
            self.floor = Floor {
                delivery_seq,
                stream_seq,
            };
            return;
        }
        let pending = Pending {
            delivery_seq,
            since: at,
        };
        self.pending
            .entry(stream_seq)
            .and_modify(|pending| pending.since = at)
            .or_insert(pending);
    }

    fn ack(&mut self, stream_seq: u64, delivery_seq: u64, policy: AckPolicy) {
        match policy {
            AckPolicy::None => {}
            AckPolicy::Explicit => {
                if let Some(pending) = self.pending.remove(&stream_seq) {
                    self.raise_floor(pending.delivery_seq, stream_seq);
                }
                self.redelivered.remove(&stream_seq);
            }
            AckPolicy::All | AckPolicy::FlowControl => {
                if delivery_seq <= self.floor.delivery_seq || stream_seq <= self.floor.stream_seq {
                    return;
                }
                self.floor = Floor {
                    delivery_seq,
                    stream_seq,
                };
                self.pending = self.pending.split_off(&(stream_seq + 1));
                self.redelivered = self.redelivered.split_off(&(stream_seq + 1));
            }
        }
    }

    /// The floors behind a delivery that is done now.
    fn raise_floor(&mut self, delivery_seq: u64, stream_seq: u64) {
        match self.pending.range(stream_seq + 1..).next() {
            _ if self.pending.is_empty() => self.floor_below_next(),
            _ if delivery_seq != self.floor.delivery_seq + 1 => {}
            Some((next, pending)) => {
                self.floor = Floor {
                    delivery_seq: pending.delivery_seq - 1,
                    stream_seq: next - 1,
                };
            }
            None => {
                self.floor = Floor {
                    delivery_seq,
                    stream_seq,
                };
            }
        }
    }

    fn floor_below_next(&mut self) {
        self.floor = Floor {
            delivery_seq: self.next_delivery_seq - 1,
            stream_seq: self.next_stream_seq - 1,
        };
    }

    /// The stream lost this message: it counts as done. Says whether it waited for an ack.
    pub fn on_removed(&mut self, stream_seq: u64, policy: AckPolicy) -> Option<Pending> {
        let pending = self.pending.get(&stream_seq).copied();
        if let Some(pending) = pending {
            if policy == AckPolicy::Explicit {
                self.ack(stream_seq, pending.delivery_seq, policy);
            } else {
                self.pending.remove(&stream_seq);
                if self.pending.is_empty() {
                    self.floor_below_next();
                }
            }
        }
        self.redelivered.remove(&stream_seq);
        pending
    }

    /// The stream lost many messages: what is not there any more counts as done, and the consumer goes on at `next_seq` at
    /// least.
    pub fn on_purged(&mut self, store: &StreamStore, next_seq: u64) {
        self.skip_to(next_seq);
        let first_seq = store.state().first_seq;
        let gone = |seq: &u64| *seq < first_seq || store.load(*seq) == Load::Missing;
        let lost: Vec<u64> = self.pending.keys().copied().filter(gone).collect();
        for seq in lost {
            let pending = self.pending.remove(&seq).expect("its key was just seen");
            self.floor.delivery_seq = self.floor.delivery_seq.max(pending.delivery_seq);
        }
        self.redelivered.retain(|seq, _| !gone(seq));
        self.floor.stream_seq = self.floor.stream_seq.max(first_seq.saturating_sub(1));
        self.skip_to(self.floor.stream_seq + 1);
        if self.pending.is_empty() {
            self.floor_below_next();
        }
    }

    /// Whether the consumer still wants a message that passes its filters: the stream must not drop it by interest.
    pub fn needs(&self, stream_seq: u64, policy: AckPolicy) -> bool {
        let is_above = stream_seq > self.floor.stream_seq;
        let is_open = match policy {
            AckPolicy::Explicit => {
                is_above && (stream_seq >= self.next_stream_seq || self.pending.contains_key(&stream_seq))
            }
            _ => is_above,
        };
        is_open || self.redelivered.contains_key(&stream_seq)
    }
}
