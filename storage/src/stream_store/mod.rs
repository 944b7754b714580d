//! The store of one stream's messages: what every kind of it does, in the order of sequences.
//!
//! Owns: the contract. Not here: how a kind of store keeps its messages (`memory`), what a header means, who is told of
//! a removed message, whether a message may come in at all (the stream's checks decide that before the store sees it).
//!
//! Rules of the contract:
//!   `first_seq` is the first message's sequence, or `last_seq` + 1 when there is none
//!   sequences only grow; a removed one is never used again
//!   limits drop the oldest: first those of the subject, then by count, then by bytes
//!   nothing is dropped by age or TTL except by [`StreamStore::expired`]'s caller
//!   no operation but purge, a change of limits and the listings costs more in a longer stream

mod message;

pub use message::{Life, NewMessage, StoredMessage};

use std::rc::Rc;

use pinion_shard::io::WallTime;

use crate::index::Filter;
use crate::memory::MemoryStore;

/// Where a stream's messages are kept.
#[derive(Debug)]
pub enum StreamStore {
    /// In memory; gone with the process.
    Memory(MemoryStore),
}

/// What a store lets grow; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLimits {
    /// Messages in the stream.
    pub messages_max: Option<u64>,
    /// Bytes in the stream, as [`StoreState::bytes`] counts them.
    pub bytes_max: Option<u64>,
    /// Messages of each subject.
    pub messages_per_subject_max: Option<u64>,
    /// Age of a message in nanoseconds.
    pub age_max_ns: Option<u64>,
}

/// The figures of a store, as stream info shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Messages that can be read.
    pub messages: u64,
    /// What these messages take; each kind of store has its own overhead per message.
    pub bytes: u64,
    /// Sequence of the first message, or `last_seq` + 1.
    pub first_seq: u64,
    /// When the first message was stored; `None` without one.
    pub first_time: Option<WallTime>,
    /// The last sequence that was ever used; 0 before the first.
    pub last_seq: u64,
    /// When `last_seq` was used; `None` before the first.
    pub last_time: Option<WallTime>,
}

impl StoreState {
    /// Removed sequences between the first and the last.
    pub fn deleted(&self) -> u64 {
        if self.messages == 0 {
            return 0;
        }
        (self.last_seq + 1).saturating_sub(self.first_seq) - self.messages
    }
}

/// The figures of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectState {
    /// Messages of the subject.
    pub messages: u64,
    /// Sequence of the first of them.
    pub first_seq: u64,
    /// Sequence of the last of them.
    pub last_seq: u64,
}

/// A message that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Here it is.
    Found(Rc<StoredMessage>),
    /// There is no such message.
    Missing,
    /// It is on disk and not in the cache: bring it in, then ask again.
    Cold,
}

/// Which messages a purge takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Only those that match; `None` is all.
    pub filter: Option<Filter>,
    /// Only those below; 0 is no bound. 1 purges nothing.
    pub below_seq: u64,
    /// How many of those that match stay, the youngest; ignored where all subjects are purged below a sequence.
    pub keep: u64,
}

/// What a purge took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// More subjects match than the caller wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySubjects;

/// Is told of each message that limits dropped: its sequence and subject.
pub type OnDropped<'a> = &'a mut dyn FnMut(u64, &[u8]);

impl StreamStore {
    /// The figures.
    pub fn state(&self) -> StoreState {
        match self {
            Self::Memory(store) => store.state(),
        }
    }

    /// How many subjects have messages.
    pub fn subject_count(&self) -> usize {
        match self {
            Self::Memory(store) => store.subject_count(),
        }
    }

    /// What a message of these sizes adds to [`StoreState::bytes`].
    pub fn message_size(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        match self {
            Self::Memory(_) => MemoryStore::message_size(subject, headers, payload),
        }
    }

    /// Stores a message under the next sequence, which is returned, and drops what goes over the limits.
    pub fn append(&mut self, message: &NewMessage<'_>, on_dropped: OnDropped<'_>) -> u64 {
        match self {
            Self::Memory(store) => store.append(message, on_dropped),
        }
    }

    /// Uses up the next sequence, which is returned, without a message.
    pub fn skip(&mut self, time: WallTime) -> u64 {
        match self {
            Self::Memory(store) => store.skip(time),
        }
    }

    /// The message of this sequence.
    pub fn load(&self, seq: u64) -> Load {
        match self {
            Self::Memory(store) => store.load(seq),
        }
    }

    /// Sequence of the last message that matches. For a wildcard the cost is in the number of matching subjects.
    pub fn last(&self, filter: &Filter) -> Option<u64> {
        match self {
            Self::Memory(store) => store.last(filter),
        }
    }

    /// Sequences of the last message of each matching subject, none above `up_to`, in order of sequence. Refuses when
    /// there are more than `count_max`.
    pub fn last_per_subject(
        &self,
        filters: &[Filter],
        up_to: u64,
        count_max: usize,
    ) -> Result<Vec<u64>, TooManySubjects> {
        match self {
            Self::Memory(store) => store.last_per_subject(filters, up_to, count_max),
        }
    }

    /// Sequence of the first message from `from` on that matches one of the filters; no filter is all.
    pub fn next(&self, filters: &[Filter], from: u64) -> Option<u64> {
        match self {
            Self::Memory(store) => store.next(filters, from),
        }
    }

    /// How many messages from `from` on match one of the filters; no filter is all. Filters must not overlap.
    pub fn pending(&self, filters: &[Filter], from: u64) -> u64 {
        match self {
            Self::Memory(store) => store.pending(filters, from),
        }
    }

    /// How many matching subjects have their last message at `from` or later. Filters must not overlap.
    pub fn pending_last_per_subject(&self, filters: &[Filter], from: u64) -> u64 {
        match self {
            Self::Memory(store) => store.pending_last_per_subject(filters, from),
        }
    }

    /// The figures of one subject.
    pub fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        match self {
            Self::Memory(store) => store.subject(subject),
        }
    }

    /// Shows the subjects that match, in byte order, until `visit` says false.
    pub fn subjects(&self, filter: &Filter, visit: &mut dyn FnMut(&[u8], SubjectState) -> bool) {
        match self {
            Self::Memory(store) => store.subjects(filter, visit),
        }
    }

    /// Sequence of the first message stored at this time or later; `last_seq` + 1 when there is none.
    pub fn seq_at(&self, time: WallTime) -> u64 {
        match self {
            Self::Memory(store) => store.seq_at(time),
        }
    }

    /// Removes one message. With `erase` its bytes are overwritten as well. Returns whether it was there.
    pub fn remove(&mut self, seq: u64, erase: bool) -> bool {
        match self {
            Self::Memory(store) => store.remove(seq, erase),
        }
    }

    /// Removes many messages. Who counts messages counts again afterwards.
    pub fn purge(&mut self, purge: &Purge) -> Purged {
        match self {
            Self::Memory(store) => store.purge(purge),
        }
    }

    /// Removes everything; the next message gets the sequence `first_seq`.
    pub fn start_at(&mut self, first_seq: u64) -> Purged {
        match self {
            Self::Memory(store) => store.start_at(first_seq),
        }
    }

    /// Sets the limits, and drops what is over them.
    pub fn set_limits(&mut self, limits: StoreLimits, on_dropped: OnDropped<'_>) {
        match self {
            Self::Memory(store) => store.set_limits(limits, on_dropped),
        }
    }

    /// When the next message is too old or at the end of its TTL; `None` when none ever will.
    pub fn next_expiry(&self) -> Option<WallTime> {
        match self {
            Self::Memory(store) => store.next_expiry(),
        }
    }

    /// Sequences, in order, of at most `count_max` messages that are too old or at the end of their TTL. They are not
    /// removed: the caller removes each, or replaces it by a marker, before it asks again.
    pub fn expired(&self, now: WallTime, count_max: usize) -> Vec<u64> {
        match self {
            Self::Memory(store) => store.expired(now, count_max),
        }
    }

    /// Shows the removed sequences between first and last as ranges, both ends included, until `visit` says false.
    pub fn deleted_ranges(&self, visit: &mut dyn FnMut(u64, u64) -> bool) {
        match self {
            Self::Memory(store) => store.deleted_ranges(visit),
        }
    }
}
