//! The commit log of a shard: opaque entries of many logs, made durable together.
//!
//! Owns: what was appended and when it is durable. Not here: what entries mean, what they are applied to, where they
//! go when their log is checkpointed. Layout: docs/formats/commit-log.md.
//!
//! The road of an entry: [`CommitLog::append`] gives it an index in its log and queues it; as soon as the last
//! commit ended the next one takes what is queued, each log in turn, in one durable write; then
//! [`CommitLog::next_durable`] says so, in order, and whatever depends on it may leave.
//!
//! Invariants
//!   a log is durable up to an index only when the write that holds it, and every write before it, has returned
//!   a block is written once between two recyclings of its segment, and never after it was acknowledged
//!   after a failed write nothing becomes durable any more: the log is stopped

mod append;
mod open;
mod pending;
pub(crate) mod places;
mod read;
mod segments;
#[cfg(test)]
pub(crate) mod tests;
mod waiters;
mod writer;

pub use open::{OpenError, Opened};
pub(crate) use read::read_record;
pub use segments::Pressure;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use pinion_shard::io::disk::{Disk, PIECE_SIZE};
use pinion_shard::io::{Gate, Io};

use crate::format::SEGMENT_HEADER_SIZE;
use crate::limits;
use pending::Pending;
use places::Places;
use segments::Segments;
use waiters::Waiters;
use writer::InFlight;

/// A log of a shard: a stream, a raft group, the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its log.
    pub log: LogId,
    /// Its index there, from 1.
    pub index: u64,
    /// Counts everything appended to the log since the start, so that an entry can be told from the one it
    /// supersedes.
    ticket: u64,
}

/// A log that is durable further than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Which log.
    pub log: LogId,
    /// Its last entry in the commit that became durable.
    pub index: u64,
}

/// Sizes of a log; the defaults are those of [`limits`].
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Bytes of a segment file.
    pub segment_size: u64,
    /// Segments, at most.
    pub segments_max: usize,
    /// Segments from which on small state of the oldest one is written again.
    pub segments_before_carrying: usize,
    /// Bytes of a commit, at most.
    pub commit_size_max: usize,
    /// Bytes of one log a commit takes in a row.
    pub quantum_size: usize,
    /// Bytes that must wait before a second write joins the one in flight.
    pub second_write_size_min: usize,
    /// Bytes of one log that are not durable yet, at most.
    pub log_pending_size_max: usize,
    /// Bytes of all logs that are not durable yet, at most.
    pub pending_size_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_size: limits::SEGMENT_SIZE,
            segments_max: limits::SEGMENTS_MAX,
            segments_before_carrying: limits::SEGMENTS_BEFORE_CARRYING,
            commit_size_max: limits::COMMIT_SIZE_MAX,
            quantum_size: limits::QUANTUM_SIZE,
            second_write_size_min: limits::SECOND_WRITE_SIZE_MIN,
            log_pending_size_max: limits::LOG_PENDING_SIZE_MAX,
            pending_size_max: limits::PENDING_SIZE_MAX,
        }
    }
}

impl LogOptions {
    fn check(&self) {
        assert!(
            self.commit_size_max <= limits::COMMIT_SIZE_MAX,
            "a commit is read back whole"
        );
        assert!(
            self.commit_size_max.is_multiple_of(PIECE_SIZE),
            "commits are whole pieces"
        );
        assert!(
            self.commit_size_max >= 2 * PIECE_SIZE,
            "a commit holds more than its padding"
        );
        assert!(
            self.segment_size.is_multiple_of(PIECE_SIZE as u64),
            "segments are whole pieces"
        );
        let least = 3 * self.commit_size_max + SEGMENT_HEADER_SIZE;
        assert!(self.segment_size >= least as u64, "a segment holds a few commits");
        assert!(
            u32::try_from(self.segment_size).is_ok(),
            "offsets in a segment are 32 bits wide"
        );
        assert!(self.segments_max >= 3, "one is written, one is ready, one is old");
    }

    /// Bytes of a record's payload, at most: a quarter of a commit.
    fn payload_size_max(&self) -> usize {
        limits::RECORD_PAYLOAD_SIZE_MAX.min(self.commit_size_max / 4)
    }
}

/// Why nothing can be appended any more: a write failed, or the log was closed.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// What failed, where.
    pub reason: Arc<str>,
}

impl Stopped {
    fn closed() -> Self {
        Self {
            reason: "closed".into(),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log is stopped: {}", self.reason)
    }
}

impl std::error::Error for Stopped {}

/// Why an entry was not taken.
#[derive(Clone, Debug)]
pub enum AppendError {
    /// Too much waits for the disk, or the next segment is not ready: wait for [`CommitLog::room`].
    NoRoom,
    /// The disk is full. Nothing is lost; appends work again when there is space.
    NoSpace,
    /// Longer than [`limits::ENTRY_SIZE_MAX`], or than the log.
    TooLarge,
    /// A write failed.
    Stopped(Stopped),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::NoRoom => write!(f, "too much waits for the disk"),
            AppendError::NoSpace => write!(f, "no space left on the disk of the store"),
            AppendError::TooLarge => write!(f, "an entry is longer than the log can hold"),
            AppendError::Stopped(stopped) => write!(f, "{stopped}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// What is known of a log's progress.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The index the next entry gets.
    next_index: u64,
    /// Records appended since the start.
    appended: u64,
    /// Those of them that are durable.
    durable: u64,
    /// Index of the last durable entry.
    durable_index: u64,
    /// Bytes that are not durable.
    waiting_size: usize,
}

/// What happened so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Commits that became durable.
    pub commits: u64,
    /// Bytes they took on disk.
    pub commit_bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Time the writes took together, nanoseconds.
    pub write_ns: u64,
    /// Segments that were begun.
    pub segments_begun: u64,
    /// Segments that were used again.
    pub segments_recycled: u64,
}

struct State {
    salt: u64,
    epoch: u64,
    /// Number of the next commit.
    next_commit: u64,
    /// Checksum of the last one composed.
    previous_checksum: u64,
    /// The last commit that is durable, with all before it.
    durable_commit: u64,
    places: Places,
    progress: BTreeMap<u64, Progress>,
    pending: Pending,
    in_flight: VecDeque<InFlight>,
    /// Bytes that are not durable, of all logs.
    waiting_size: usize,
    segments: Segments,
    /// What [`CommitLog::next_durable`] has not told yet.
    news: Vec<Durable>,
    stopped: Option<Stopped>,
    is_closing: bool,
    counts: LogCounts,
}

struct Shared {
    io: Io,
    disk: Disk,
    dir: PathBuf,
    options: LogOptions,
    state: RefCell<State>,
    gate: Gate,
    /// The two tasks that write.
    writers: Waiters,
    /// The task that gets segments ready.
    preparer: Waiters,
    /// Who waits for room.
    appenders: Waiters,
    /// Who waits until something is durable.
    listeners: Waiters,
}

/// The commit log of a shard. Clones are the same log.
#[derive(Clone)]
pub struct CommitLog(Rc<Shared>);

impl Shared {
    /// Ends the log: nothing becomes durable from here on.
    fn stop(&self, reason: &dyn fmt::Display) {
        let mut state = self.state.borrow_mut();
        if state.stopped.is_none() {
            state.stopped = Some(Stopped {
                reason: reason.to_string().into(),
            });
        }
        drop(state);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.writers.wake();
        self.preparer.wake();
        self.appenders.wake();
        self.listeners.wake();
    }
}

impl CommitLog {
    /// The epoch of this start.
    pub fn epoch(&self) -> u64 {
        self.0.state.borrow().epoch
    }

    /// The logs that have anything durable here.
    pub fn logs(&self) -> Vec<LogId> {
        self.0.state.borrow().places.logs().collect()
    }

    /// Index up to which a log was checkpointed and its last durable one; `None`: there is no such log.
    pub fn range(&self, log: LogId) -> Option<(u64, u64)> {
        self.0.state.borrow().places.range(log)
    }

    /// What happened so far.
    pub fn counts(&self) -> LogCounts {
        self.0.state.borrow().counts
    }

    /// Why the log is stopped, if it is.
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.state.borrow().stopped.clone()
    }

    /// Whether what was appended there is durable.
    pub fn is_durable(&self, position: Position) -> bool {
        let state = self.0.state.borrow();
        let progress = state.progress.get(&position.log.0);
        progress.is_some_and(|progress| progress.durable >= position.ticket)
    }

    /// Waits until an entry is durable.
    ///
    /// # Errors
    /// The log stopped before; whether the entry is on the disk is not known.
    pub async fn durable(&self, position: Position) -> Result<(), Stopped> {
        self.0
            .listeners
            .until(|| {
                if self.is_durable(position) {
                    return Some(Ok(()));
                }
                self.stopped().map(Err)
            })
            .await
    }

    /// Waits until a commit became durable that no call told of yet, and says how far each log in it got, in the
    /// order of the log. One task asks.
    ///
    /// # Errors
    /// The log is stopped, and everything that became durable before was told.
    pub async fn next_durable(&self) -> Result<Vec<Durable>, Stopped> {
        self.0
            .listeners
            .until(|| {
                let mut state = self.0.state.borrow_mut();
                if !state.news.is_empty() {
                    return Some(Ok(std::mem::take(&mut state.news)));
                }
                if let Some(stopped) = &state.stopped {
                    return Some(Err(stopped.clone()));
                }
                let is_over = state.is_closing && state.pending.size() == 0 && state.in_flight.is_empty();
                is_over.then(|| Err(Stopped::closed()))
            })
            .await
    }

    /// Writes what waits and ends the tasks of the log.
    pub async fn close(&self) {
        self.0.state.borrow_mut().is_closing = true;
        self.0.wake_all();
        self.0.gate.wait_empty().await;
    }
}
