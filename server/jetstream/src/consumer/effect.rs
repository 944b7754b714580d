//! What a consumer wants done: values for the one who has a log, sockets and a clock.

use std::rc::Rc;

use pinion_shard::io::WallTime;
use pinion_storage::stream_store::{StoredMessage, StreamStore};

use super::advisory::Advisory;
use super::entry::Change;

/// What a consumer sees of the world while it handles an event.
pub struct Around<'a> {
    /// The stream's messages, as far as they are committed.
    pub store: &'a StreamStore,
    /// The time.
    pub now: WallTime,
    /// Chance, new for every event.
    pub random: u64,
    /// Whether somebody listens on a subject.
    pub listens: &'a dyn Fn(&[u8]) -> bool,
}

/// Something to be done. The order counts: what must survive comes before what depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This goes into the log of the stream. The consumer has it already.
    Persist {
        /// What happened.
        change: Change,
        /// Whether it may wait for other entries; otherwise it goes with the next commit.
        is_lazy: bool,
    },
    /// A message is delivered. Its subject on the wire is its own.
    Deliver {
        /// Where to.
        to: Vec<u8>,
        /// Where its ack goes.
        reply: Vec<u8>,
        /// The message.
        message: Rc<StoredMessage>,
        /// Its headers, where they are others than the stored ones.
        headers: Option<Vec<u8>>,
        /// Whether the payload is left out.
        is_headers_only: bool,
    },
    /// A status line: a header block without a payload.
    Status {
        /// Where to.
        to: Vec<u8>,
        /// Where an answer goes; empty for none.
        reply: Vec<u8>,
        /// The header block.
        headers: Vec<u8>,
    },
    /// An empty message: what was asked is done.
    Reply {
        /// Where to.
        to: Vec<u8>,
        /// Whether it leaves only when everything before it is durable.
        is_after_commit: bool,
    },
    /// Those who listen are told.
    Advisory(Advisory),
    /// The consumer does not want these messages any more, both ends included: the stream may.
    Settled {
        /// The first.
        first_seq: u64,
        /// The last.
        last_seq: u64,
    },
    /// A message is on disk and not in the cache: bring it in, then call `Consumer::deliver`.
    Load(u64),
    /// There is more to do: call `Consumer::deliver` when others had their turn.
    Again,
    /// Nobody used the consumer for too long: delete it.
    Abandoned,
}
