//! Starting a log: what it held is replayed, a higher epoch is taken, its tasks run.
//!
//! Owns: the order of a start. Not here: what counts (`recover`).
//!
//! The order: read everything and make it durable; take an epoch above every one seen, and make that durable - in a
//! commit of its own where the log ends cleanly, in the header of a new segment where something that was cut stands;
//! only then anything is appended. So nothing that was cut can follow what is written from here on.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use pinion_shard::io::disk::{Access, Disk, Opening, PIECE_SIZE};
use pinion_shard::io::{Gate, Io, Queue, Sabotage};

use super::pending::Pending;
use super::segments::{make_segment, Segments};
use super::waiters::Waiters;
use super::{CommitLog, LogCounts, LogOptions, Shared, State};
use crate::format::{seal_commit, CommitHeader, SegmentHeader, SEGMENT_HEADER_SIZE};
use crate::recover::{recover, segment_name, Finding, Missing, RecoverError, Replay};

/// Why a log cannot be opened.
pub type OpenError = RecoverError;

/// A log that was opened.
pub struct Opened {
    /// The log, ready for entries.
    pub log: CommitLog,
    /// Entries that are missing: acknowledged once, and damaged since.
    pub missing: Vec<Missing>,
    /// What an operator should know.
    pub findings: Vec<Finding>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("missing", &self.missing)
            .field("findings", &self.findings)
            .finish()
    }
}

impl CommitLog {
    /// Opens the log in `dir`, or makes one. What it holds goes to `sink` before this returns, in the order it was
    /// written. The tasks of the log end with [`CommitLog::close`] or when it stops.
    ///
    /// # Errors
    /// The disk failed or is full, or a newer server wrote the log.
    pub async fn open(
        io: &Io,
        disk: &Disk,
        dir: &Path,
        options: LogOptions,
        sink: &mut dyn FnMut(Replay<'_>),
    ) -> Result<Opened, OpenError> {
        options.check();
        disk.create_dir(dir).await?;
        disk.sync_dir(dir.parent().unwrap_or(Path::new(""))).await?;
        let recovered = recover(disk, dir, io, sink).await?;
        let salt = recovered.salt.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            io.fill_secret(&mut bytes);
            u64::from_le_bytes(bytes)
        });
        // The deliberate bug: to go on where the log ends, cut or not, as if nothing had been.
        let keeps_epoch = recovered.epoch > 0 && io.sabotaged(Sabotage::KeepTheEpoch);
        let epoch = recovered.epoch + u64::from(!keeps_epoch);
        let mut kept: VecDeque<u64> = recovered.segments.into();
        let mut spares = recovered.spares;
        let mut next_commit = recovered.cursor.number;
        let mut previous_checksum = recovered.cursor.checksum.unwrap_or(0);
        let has_room = recovered.end + (PIECE_SIZE + options.commit_size_max) as u64 <= options.segment_size;
        let may_go_on = recovered.cursor.checksum.is_some() && (recovered.is_clean || keeps_epoch);
        let goes_on = match kept.back() {
            Some(last) if has_room && may_go_on => {
                let path = dir.join(segment_name(*last));
                let file = disk.open_file(&path, Access::Durable, Opening::Existing).await?;
                (file.size()? == options.segment_size).then_some((file, recovered.end))
            }
            _ => None,
        };
        let (file, offset) = match goes_on {
            Some((file, end)) if keeps_epoch => (file, end),
            Some((file, end)) => {
                io.hit("log_goes_on");
                let mut piece = disk.buffer(PIECE_SIZE);
                let header = CommitHeader::new(next_commit, epoch, previous_checksum, next_commit - 1);
                let header = seal_commit(&mut piece, header, salt);
                file.write_durable(piece, end).await.0?;
                next_commit += 1;
                previous_checksum = header.checksum;
                (file, end + PIECE_SIZE as u64)
            }
            None => {
                io.hit("log_new_segment");
                let segment = kept.back().map_or(1, |last| last + 1);
                let spare = spares.pop();
                let file = make_segment(disk, dir, &options, segment, spare.as_deref()).await?;
                let header = SegmentHeader {
                    segment,
                    salt,
                    epoch,
                    first_commit: next_commit,
                    previous_checksum,
                };
                let mut piece = disk.buffer(SEGMENT_HEADER_SIZE);
                header.encode(&mut piece);
                file.write_durable(piece, 0).await.0?;
                kept.push_back(segment);
                (file, SEGMENT_HEADER_SIZE as u64)
            }
        };
        let state = State {
            salt,
            epoch,
            next_commit,
            previous_checksum,
            durable_commit: next_commit - 1,
            places: recovered.places,
            progress: BTreeMap::new(),
            pending: Pending::new(options.quantum_size),
            in_flight: VecDeque::new(),
            waiting_size: 0,
            segments: Segments::new(kept, Rc::new(file), offset, spares),
            news: Vec::new(),
            stopped: None,
            is_closing: false,
            counts: LogCounts::default(),
        };
        let shared = Rc::new(Shared {
            io: io.clone(),
            disk: disk.clone(),
            dir: dir.to_path_buf(),
            options,
            state: RefCell::new(state),
            gate: Gate::default(),
            writers: Waiters::default(),
            preparer: Waiters::default(),
            appenders: Waiters::default(),
            listeners: Waiters::default(),
        });
        for _ in 0..crate::limits::WRITES_IN_FLIGHT_MAX {
            io.spawn(Queue::Hot, &shared.gate, Rc::clone(&shared).write_commits());
        }
        io.spawn(
            Queue::Control,
            &shared.gate,
            Rc::clone(&shared).prepare_segments(),
        );
        Ok(Opened {
            log: CommitLog(shared),
            missing: recovered.missing,
            findings: recovered.findings,
        })
    }
}
