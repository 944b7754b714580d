//! Commits: composing one from what waits, writing it, saying what became durable.
//!
//! Owns: the order of commits, the two tasks that write. Not here: what waits (`pending`), where it goes
//! (`segments`).
//!
//! A commit starts as soon as the last one ended; nothing lingers. A second one joins it only when much waits: small
//! ones would only share the disk. What is durable is told in the order of commits, whichever write ends first.

use std::rc::Rc;

use pinion_shard::io::disk::{DiskBuffer, File, PIECE_SIZE};
use pinion_shard::io::{Sabotage, Time};

use super::pending::Queued;
use super::places::Place;
use super::{Durable, LogId, Shared, State};
use crate::format::{
    seal_commit, CommitHeader, RecordKind, SegmentHeader, COMMIT_HEADER_SIZE, SEGMENT_HEADER_SIZE,
};
use crate::limits::WRITES_IN_FLIGHT_MAX;

/// A commit on its way.
pub(super) struct InFlight {
    number: u64,
    segment: u64,
    /// Of its records in the file, bytes.
    records_at: usize,
    size: usize,
    records: Vec<Queued>,
    started: Time,
    is_written: bool,
}

/// What a task has to write.
struct Write {
    number: u64,
    file: Rc<File>,
    offset: u64,
    buffer: DiskBuffer,
}

impl InFlight {
    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    /// Whether a record of a log is in it.
    pub(super) fn holds(&self, log: LogId) -> bool {
        self.records.iter().any(|record| record.header.log == log.0)
    }
}

impl Shared {
    /// Composes the next commit, if there is one to write now.
    fn compose(&self) -> Option<Write> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let waiting = state.pending.size();
        let in_flight = state.in_flight.len();
        if waiting == 0 || in_flight >= WRITES_IN_FLIGHT_MAX {
            return None;
        }
        if in_flight > 0 {
            if waiting < self.options.second_write_size_min {
                return None;
            }
            self.io.hit("second_write");
        }
        let wanted = (COMMIT_HEADER_SIZE + waiting)
            .next_multiple_of(PIECE_SIZE)
            .min(self.options.commit_size_max);
        let mut room = state.segments.room(&self.options);
        let mut head_size = 0;
        if wanted > room && state.segments.has_ready() {
            // The header of a segment says that all before it is durable.
            if in_flight > 0 {
                return None;
            }
            state.segments.begin_ready();
            state.counts.segments_begun += 1;
            self.io.hit("segment_begun");
            self.preparer.wake();
            head_size = SEGMENT_HEADER_SIZE;
            room = state.segments.room(&self.options);
        }
        let room = room
            .min(self.options.commit_size_max)
            .checked_sub(COMMIT_HEADER_SIZE)?;
        let mut records = Vec::new();
        let slices = state.pending.choose(room, &mut records);
        if records.is_empty() {
            return None;
        }
        let records_size = records.iter().map(Queued::size).sum::<usize>();
        let size = (COMMIT_HEADER_SIZE + records_size).next_multiple_of(PIECE_SIZE);
        let mut buffer = self.disk.buffer(head_size + size);
        let segment = state.segments.active();
        if head_size > 0 {
            let header = SegmentHeader {
                segment,
                salt: state.salt,
                epoch: state.epoch,
                first_commit: state.next_commit,
                previous_checksum: state.previous_checksum,
            };
            header.encode(&mut buffer[..head_size]);
        }
        let commit = &mut buffer[head_size..];
        state.pending.take(&slices, &mut commit[COMMIT_HEADER_SIZE..]);
        let mut header = CommitHeader::new(
            state.next_commit,
            state.epoch,
            state.previous_checksum,
            state.durable_commit,
        );
        header.records_size = u32::try_from(records_size).expect("a commit is small");
        header.record_count = u32::try_from(records.len()).expect("a commit is small");
        let header = seal_commit(commit, header, state.salt);
        state.next_commit += 1;
        state.previous_checksum = header.checksum;
        let (file, offset) = state.segments.take_room(size);
        let records_at = usize::try_from(offset).expect("segments are small") + COMMIT_HEADER_SIZE;
        state.in_flight.push_back(InFlight {
            number: header.number,
            segment,
            records_at,
            size,
            records,
            started: self.io.now(),
            is_written: false,
        });
        Some(Write {
            number: header.number,
            file,
            offset: offset - head_size as u64,
            buffer,
        })
    }

    /// A task that writes commits until the log is stopped or closed.
    pub(super) async fn write_commits(self: Rc<Self>) {
        loop {
            let next = self.writers.until(|| {
                if let Some(write) = self.compose() {
                    return Some(Some(write));
                }
                let state = self.state.borrow();
                let is_over = state.is_closing && state.pending.size() == 0;
                (is_over || state.stopped.is_some()).then_some(None)
            });
            let Some(write) = next.await else { return };
            if self.io.sabotaged(Sabotage::AckBeforeSync) {
                self.on_written(write.number);
            }
            let (written, _) = write.file.write_durable(write.buffer, write.offset).await;
            match written {
                Ok(()) => self.on_written(write.number),
                // Any part of it may be on the disk, now or later: it is neither written again nor acknowledged.
                Err(error) => self.stop(&error),
            }
        }
    }

    fn on_written(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        if state.stopped.is_some() {
            return;
        }
        let now = self.io.now();
        if let Some(commit) = state.in_flight.iter_mut().find(|commit| commit.number == number) {
            commit.is_written = true;
        }
        if state.in_flight.front().is_some_and(|first| !first.is_written) {
            self.io.hit("second_write_first");
        }
        while state.in_flight.front().is_some_and(|first| first.is_written) {
            let commit = state.in_flight.pop_front().expect("looked at above");
            state.counts.write_ns += u64::try_from(now.since(commit.started).as_nanos()).unwrap_or(u64::MAX);
            state.on_durable(commit);
        }
        let wants_segments = state.segments.wants_work() || state.is_closing;
        drop(state);
        if wants_segments {
            self.preparer.wake();
        }
        self.writers.wake();
        self.listeners.wake();
        self.appenders.wake();
    }
}

impl State {
    fn on_durable(&mut self, commit: InFlight) {
        assert!(
            commit.number == self.durable_commit + 1,
            "commits become durable in order"
        );
        self.durable_commit = commit.number;
        self.counts.commits += 1;
        self.counts.commit_bytes += commit.size as u64;
        self.counts.records += commit.records.len() as u64;
        let mut offset = commit.records_at;
        for record in &commit.records {
            let place = Place {
                segment: commit.segment,
                offset: u32::try_from(offset).expect("segments are small"),
                size: record.payload_size,
            };
            offset += record.size();
            self.places.apply(&record.header, place);
            self.waiting_size -= record.size();
            let header = &record.header;
            let progress = self
                .progress
                .get_mut(&header.log)
                .expect("made when it was appended");
            progress.waiting_size -= record.size();
            progress.durable += 1;
            match header.kind {
                RecordKind::Entry if !header.more && !header.carried => {
                    progress.durable_index = header.index;
                    let log = LogId(header.log);
                    match self.news.last_mut() {
                        Some(last) if last.log == log && last.index < header.index => {
                            last.index = header.index
                        }
                        _ => self.news.push(Durable {
                            log,
                            index: header.index,
                        }),
                    }
                }
                RecordKind::Entry if header.more => {}
                // A copy, from a log of a former shard or from an older segment.
                RecordKind::Entry => progress.durable_index = progress.durable_index.max(header.index),
                RecordKind::Truncate => progress.durable_index = progress.durable_index.min(header.index - 1),
                RecordKind::Checkpoint => progress.durable_index = progress.durable_index.max(header.index),
                RecordKind::Forget => progress.durable_index = 0,
                RecordKind::State => {}
            }
        }
    }
}
