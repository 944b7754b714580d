//! What goes into the log: entries, checkpoints, truncations, states, and the bounds of what may wait.
//!
//! Owns: indexes, admission. Not here: commits (`writer`).

use super::pending::parts;
use super::{AppendError, CommitLog, LogId, Position, Progress, Shared, State, Stopped};
use crate::format::{record_size, RecordHeader, RecordKind};
use crate::limits::ENTRY_SIZE_MAX;

fn header(kind: RecordKind, log: LogId, index: u64) -> RecordHeader {
    RecordHeader {
        kind,
        more: false,
        continues: false,
        carried: false,
        log: log.0,
        index,
    }
}

impl State {
    fn progress(&mut self, log: LogId) -> &mut Progress {
        let places = &self.places;
        self.progress.entry(log.0).or_insert_with(|| {
            let last = places.range(log).map_or(0, |(_, last)| last);
            Progress {
                next_index: last + 1,
                durable_index: last,
                ..Progress::default()
            }
        })
    }

    /// Nothing is taken any more once the log is stopped or closing.
    fn takes_records(&self) -> Result<(), AppendError> {
        match &self.stopped {
            Some(stopped) => Err(AppendError::Stopped(stopped.clone())),
            None if self.is_closing => Err(AppendError::Stopped(Stopped::closed())),
            None => Ok(()),
        }
    }

    fn push(&mut self, header: RecordHeader, payload: &[u8]) -> u64 {
        let size = record_size(payload.len());
        self.pending.push(header, payload, self.salt);
        self.waiting_size += size;
        let progress = self.progress(LogId(header.log));
        progress.waiting_size += size;
        progress.appended += 1;
        progress.appended
    }
}

impl Shared {
    /// Bytes the records of an entry take in the log.
    fn entry_size(&self, size: usize) -> usize {
        let payload_size_max = self.options.payload_size_max();
        let whole = size / payload_size_max * record_size(payload_size_max);
        whole + record_size(size % payload_size_max)
    }

    /// Whether `size` bytes of records may be appended to a log now.
    fn admit(&self, log: LogId, size: usize) -> Result<(), AppendError> {
        let mut state = self.state.borrow_mut();
        state.takes_records()?;
        if !self.options.can_hold(size) {
            return Err(AppendError::TooLarge);
        }
        let waiting = state.progress(log).waiting_size;
        if waiting > 0 && waiting + size > self.options.log_pending_size_max {
            self.io.hit("log_pending_full");
            return Err(AppendError::NoRoom);
        }
        if state.waiting_size > 0 && state.waiting_size + size > self.options.pending_size_max {
            self.io.hit("pending_full");
            return Err(AppendError::NoRoom);
        }
        let wanted = state.pending.size() + size;
        if state.segments.reserve(&self.options, wanted) {
            return Ok(());
        }
        self.preparer.wake();
        if state.segments.no_space() {
            self.io.hit("no_space");
            return Err(AppendError::NoSpace);
        }
        self.io.hit("no_segment_ready");
        Err(AppendError::NoRoom)
    }

    fn push_entry(&self, log: LogId, index: u64, carried: bool, bytes: &[u8]) -> Position {
        let mut state = self.state.borrow_mut();
        let mut ticket = 0;
        for (part, continues, more) in parts(bytes, self.options.payload_size_max()) {
            let header = RecordHeader {
                more,
                continues,
                carried,
                ..header(RecordKind::Entry, log, index)
            };
            ticket = state.push(header, part);
        }
        let progress = state.progress(log);
        progress.next_index = if carried {
            progress.next_index.max(index + 1)
        } else {
            index + 1
        };
        drop(state);
        self.writers.wake();
        Position { log, index, ticket }
    }
}

impl CommitLog {
    /// Appends an entry at the end of a log.
    ///
    /// # Errors
    /// There is no room now, the disk is full, the entry is too long, or the log is stopped.
    pub fn append(&self, log: LogId, bytes: &[u8]) -> Result<Position, AppendError> {
        let next = self.next_index(log);
        self.append_at(log, next, bytes)
    }

    /// Appends an entry at an index of a log: the next one, or an earlier one, which supersedes the entry there and
    /// all after it.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    pub fn append_at(&self, log: LogId, index: u64, bytes: &[u8]) -> Result<Position, AppendError> {
        assert!(index > 0, "indexes start at 1");
        assert!(index <= self.next_index(log), "a log has no gaps");
        if bytes.len() > ENTRY_SIZE_MAX {
            return Err(AppendError::TooLarge);
        }
        self.0.admit(log, self.0.entry_size(bytes.len()))?;
        Ok(self.0.push_entry(log, index, false, bytes))
    }

    /// Appends the copy of an entry that this or another shard's log holds. Where the index is known, nothing
    /// changes but its place.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    pub(crate) fn append_copy(&self, log: LogId, index: u64, bytes: &[u8]) -> Result<Position, AppendError> {
        self.0.admit(log, self.0.entry_size(bytes.len()))?;
        Ok(self.0.push_entry(log, index, true, bytes))
    }

    /// The index the next entry of a log gets.
    pub fn next_index(&self, log: LogId) -> u64 {
        self.0.state.borrow_mut().progress(log).next_index
    }

    /// Index of the last entry of a log that is durable, 0 when there is none.
    pub fn durable_index(&self, log: LogId) -> u64 {
        self.0.state.borrow_mut().progress(log).durable_index
    }

    /// Waits until an entry of `size` bytes can be appended to a log.
    ///
    /// # Errors
    /// Waiting is of no use: the disk is full, the entry too long, or the log stopped.
    pub async fn room(&self, log: LogId, size: usize) -> Result<(), AppendError> {
        if size > ENTRY_SIZE_MAX {
            return Err(AppendError::TooLarge);
        }
        let size = self.0.entry_size(size);
        self.0
            .appenders
            .until(|| match self.0.admit(log, size) {
                Err(AppendError::NoRoom) => None,
                admitted => Some(admitted),
            })
            .await
    }

    fn control(&self, header: RecordHeader, payload: &[u8]) -> Result<Position, AppendError> {
        let mut state = self.0.state.borrow_mut();
        state.takes_records()?;
        let log = LogId(header.log);
        let ticket = state.push(header, payload);
        drop(state);
        self.0.writers.wake();
        Ok(Position {
            log,
            index: header.index,
            ticket,
        })
    }

    /// Everything of a log from `from` on is void; the next entry gets that index.
    ///
    /// # Errors
    /// The log is stopped.
    pub fn truncate(&self, log: LogId, from: u64) -> Result<Position, AppendError> {
        assert!(from > 0, "indexes start at 1");
        let position = self.control(header(RecordKind::Truncate, log, from), &[])?;
        let mut state = self.0.state.borrow_mut();
        let progress = state.progress(log);
        progress.next_index = progress.next_index.min(from);
        Ok(position)
    }

    /// Everything of a log up to `through` is not needed any more: it is elsewhere, durable. Segments are recycled
    /// once this record is durable.
    ///
    /// # Errors
    /// The log is stopped.
    pub fn checkpoint(&self, log: LogId, through: u64) -> Result<Position, AppendError> {
        let position = self.control(header(RecordKind::Checkpoint, log, through), &[])?;
        let mut state = self.0.state.borrow_mut();
        let progress = state.progress(log);
        progress.next_index = progress.next_index.max(through + 1);
        Ok(position)
    }

    /// A log is gone: its entries and states are not needed, and its indexes start again at 1.
    ///
    /// # Errors
    /// The log is stopped.
    pub fn forget(&self, log: LogId) -> Result<Position, AppendError> {
        let position = self.control(header(RecordKind::Forget, log, 0), &[])?;
        self.0.state.borrow_mut().progress(log).next_index = 1;
        Ok(position)
    }

    /// Sets a slot of a log: the newest value is kept, in whatever segment, until another takes its place; an empty
    /// one removes it. For small state that changes often: a vote, an acknowledgement floor.
    ///
    /// # Errors
    /// As [`CommitLog::append`]; a value longer than a record is too long.
    pub fn set_state(&self, log: LogId, slot: u64, bytes: &[u8]) -> Result<Position, AppendError> {
        if bytes.len() > self.0.options.payload_size_max() {
            return Err(AppendError::TooLarge);
        }
        self.0.admit(log, record_size(bytes.len()))?;
        self.control(header(RecordKind::State, log, slot), bytes)
    }

    /// As [`CommitLog::set_state`] for a copy, which no bound holds back.
    pub(crate) fn copy_state(&self, log: LogId, slot: u64, bytes: &[u8]) -> Result<Position, AppendError> {
        self.control(header(RecordKind::State, log, slot), bytes)
    }
}
