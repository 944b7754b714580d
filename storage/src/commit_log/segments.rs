//! The files of a log: the one that is written, those that are ready, those that are kept, spare ones.
//!
//! Owns: getting segments ready ahead of need, recycling the oldest, asking for space again on a full disk. Not
//! here: what stands in them.
//!
//! A segment is written zeros before it is used, so that a commit never meets a full disk and never waits for the
//! file system; after that it is recycled under the next number. Segments are recycled oldest first, so a record
//! that voids others outlives them.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use pinion_shard::io::disk::{Access, Disk, File, Opening, PIECE_SIZE};

use super::{CommitLog, LogId, LogOptions, Shared};
use crate::format::{COMMIT_HEADER_SIZE, SEGMENT_HEADER_SIZE};
use crate::limits::{NO_SPACE_PAUSE, SPARES_MAX};
use crate::recover::{segment_name, spare_name};

/// A segment that can be begun.
pub(super) struct Ready {
    pub(super) segment: u64,
    pub(super) file: Rc<File>,
}

/// The files of a log.
pub(super) struct Segments {
    /// Those that hold commits, oldest first; the last one is written.
    kept: VecDeque<u64>,
    file: Rc<File>,
    offset: u64,
    ready: VecDeque<Ready>,
    /// How many shall be ready.
    ready_wanted: usize,
    spares: Vec<PathBuf>,
    no_space: bool,
    /// The oldest segment whose small state was written again.
    carried: u64,
}

/// What keeps the oldest segments from being recycled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Segments in use.
    pub segments: usize,
    /// As many as there may be.
    pub segments_max: usize,
    /// Logs with entries in the oldest segment, each with the last index there: a checkpoint at it lets go.
    pub oldest: Vec<(LogId, u64)>,
}

impl LogOptions {
    /// Bytes of a segment that records of `size` bytes may take, whatever commits they are cut into, with one
    /// commit's room left for records that free others.
    fn size_needed(&self, size: usize) -> usize {
        let commits = size / (self.commit_size_max / 2) + 2;
        size + commits * (COMMIT_HEADER_SIZE + PIECE_SIZE) + self.commit_size_max
    }

    /// Empty segments that hold records of `size` bytes. The end of each is lost to a commit that does not fit.
    fn segments_needed(&self, size: usize) -> usize {
        let whole = usize::try_from(self.segment_size).expect("segments are small") - SEGMENT_HEADER_SIZE;
        self.size_needed(size).div_ceil(whole - self.commit_size_max)
    }

    /// Whether the log could ever hold records of `size` bytes.
    pub(super) fn can_hold(&self, size: usize) -> bool {
        self.segments_needed(size) < self.segments_max
    }
}

impl Segments {
    pub(super) fn new(kept: VecDeque<u64>, file: Rc<File>, offset: u64, spares: Vec<PathBuf>) -> Self {
        Self {
            kept,
            file,
            offset,
            ready: VecDeque::new(),
            ready_wanted: 1,
            spares,
            no_space: false,
            carried: 0,
        }
    }

    /// Number of the segment that is written.
    pub(super) fn active(&self) -> u64 {
        *self.kept.back().expect("one is written")
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn no_space(&self) -> bool {
        self.no_space
    }

    /// Bytes left in the segment that is written.
    pub(super) fn room(&self, options: &LogOptions) -> usize {
        usize::try_from(options.segment_size - self.offset).expect("segments are small")
    }

    /// Goes over to the next segment.
    pub(super) fn begin_ready(&mut self) {
        let ready = self.ready.pop_front().expect("the caller looked");
        self.kept.push_back(ready.segment);
        self.file = ready.file;
        self.offset = SEGMENT_HEADER_SIZE as u64;
    }

    /// Takes room for a commit: where it goes.
    pub(super) fn take_room(&mut self, size: usize) -> (Rc<File>, u64) {
        let offset = self.offset;
        self.offset += size as u64;
        (Rc::clone(&self.file), offset)
    }

    /// Whether records of `size` bytes, with all that wait, fit into the segments that are there.
    pub(super) fn reserve(&mut self, options: &LogOptions, size: usize) -> bool {
        if options.size_needed(size) <= self.room(options) {
            return true;
        }
        let segments = options.segments_needed(size);
        if segments <= self.ready.len() {
            self.ready_wanted = 1;
            return true;
        }
        self.ready_wanted = segments.min(options.segments_max - 1);
        false
    }

    fn used(&self) -> usize {
        self.kept.len() + self.ready.len()
    }

    fn wants_ready(&self) -> bool {
        self.ready.len() < self.ready_wanted
    }

    /// Whether the task that gets segments ready has something to look at.
    pub(super) fn wants_work(&self) -> bool {
        self.wants_ready()
    }
}

impl Shared {
    /// The task that gets segments ready, until the log is stopped or closed.
    pub(super) async fn prepare_segments(self: Rc<Self>) {
        // How much of which segment counted when the log was found full.
        let mut full_at = None;
        loop {
            let goes_on = self.preparer.until(|| {
                let state = self.state.borrow();
                let is_over = state.is_closing && state.pending.size() == 0;
                if is_over || state.stopped.is_some() {
                    return Some(false);
                }
                let oldest = state.segments.kept[0];
                let is_full = state.segments.used() >= self.options.segments_max;
                let at = is_full.then(|| (oldest, state.places.live(oldest)));
                let may_help = at.is_none() || at != full_at || state.is_closing;
                let may_work = state.segments.wants_ready() && may_help;
                full_at = at;
                may_work.then_some(true)
            });
            if !goes_on.await {
                return;
            }
            match self.prepare().await {
                Ok(()) => self.state.borrow_mut().segments.no_space = false,
                Err(error)
                    if error.kind() == io::ErrorKind::StorageFull && !self.state.borrow().is_closing =>
                {
                    self.io.hit("disk_full_met");
                    self.state.borrow_mut().segments.no_space = true;
                    self.appenders.wake();
                    self.io.sleep(NO_SPACE_PAUSE).await;
                }
                Err(error) => {
                    self.stop(&error);
                    return;
                }
            }
            let is_stuck = {
                let state = self.state.borrow();
                state.is_closing && state.pending.size() > 0 && !state.segments.has_ready()
            };
            if is_stuck {
                self.io.hit("closed_without_room");
                self.stop(&"closed while the log had no room for what waited");
            }
            self.writers.wake();
            self.appenders.wake();
        }
    }

    /// Recycles what is free and gets one segment ready if the bound allows it.
    async fn prepare(self: &Rc<Self>) -> io::Result<()> {
        self.recycle().await?;
        self.carry_small_state().await?;
        let (segment, spare) = {
            let mut state = self.state.borrow_mut();
            if state.segments.used() >= self.options.segments_max {
                self.io.hit("segments_max");
                return Ok(());
            }
            let segment = state
                .segments
                .ready
                .back()
                .map_or(state.segments.active(), |ready| ready.segment)
                + 1;
            (segment, state.segments.spares.pop())
        };
        let made = make_segment(&self.disk, &self.dir, &self.options, segment, spare.as_deref()).await;
        match made {
            Ok(file) => {
                let ready = Ready {
                    segment,
                    file: Rc::new(file),
                };
                self.state.borrow_mut().segments.ready.push_back(ready);
                Ok(())
            }
            Err(error) => {
                // A spare that could not be made whole is gone or still there under its name.
                if let Some(spare) = spare {
                    self.state.borrow_mut().segments.spares.push(spare);
                }
                Err(error)
            }
        }
    }

    /// Makes spares of the oldest segments while nothing in them counts.
    async fn recycle(&self) -> io::Result<()> {
        loop {
            let (segment, spare) = {
                let mut state = self.state.borrow_mut();
                let state = &mut *state;
                let oldest = state.segments.kept.front().copied();
                let is_written = state.segments.kept.len() == 1
                    || state
                        .in_flight
                        .iter()
                        .any(|commit| Some(commit.segment()) == oldest);
                let Some(segment) = oldest.filter(|segment| !is_written && state.places.is_free(*segment))
                else {
                    return Ok(());
                };
                state.segments.kept.pop_front();
                state.counts.segments_recycled += 1;
                let spares = &state.segments.spares;
                let spare = (0..)
                    .map(spare_name)
                    .find(|name| !spares.contains(name))
                    .expect("numbers do not end");
                (segment, (spares.len() < SPARES_MAX).then_some(spare))
            };
            self.io.hit("segment_recycled");
            let path = self.dir.join(segment_name(segment));
            match &spare {
                Some(spare) => self.disk.rename(&path, &self.dir.join(spare)).await?,
                None => self.disk.remove(&path).await?,
            }
            self.disk.sync_dir(&self.dir).await?;
            self.state.borrow_mut().segments.spares.extend(spare);
        }
    }

    /// Writes the small state of the oldest segment again, where nothing else keeps it, or the log is about to be
    /// full. It is recycled when that is durable.
    async fn carry_small_state(self: &Rc<Self>) -> io::Result<()> {
        let held = {
            let state = self.state.borrow();
            let oldest = state.segments.kept[0];
            let is_due = !state.is_closing
                && state.segments.kept.len() >= self.options.segments_before_carrying.max(2)
                && state.segments.carried < oldest;
            if !is_due {
                return Ok(());
            }
            state.places.held(oldest)
        };
        if !held.entries.is_empty() {
            return Ok(());
        }
        let log = CommitLog(Rc::clone(self));
        for (id, slot, place) in held.states {
            let bytes = log.read_place(place).await?;
            let state = self.state.borrow();
            // A newer value may have come meanwhile, or wait for the disk.
            let is_newest = state.places.states(id).contains(&(slot, place)) && !state.pending.has(id.0);
            let is_in_flight = state.in_flight.iter().any(|commit| commit.holds(id));
            drop(state);
            if !is_newest || is_in_flight {
                return Ok(());
            }
            if let Some(bytes) = bytes {
                self.io.hit("state_carried");
                if log.copy_state(id, slot, &bytes).is_err() {
                    return Ok(());
                }
            }
        }
        for (id, through) in held.bases {
            self.io.hit("checkpoint_carried");
            if log.checkpoint(id, through).is_err() {
                return Ok(());
            }
        }
        let mut state = self.state.borrow_mut();
        state.segments.carried = state.segments.kept[0];
        Ok(())
    }
}

/// Makes the file of a segment: from a spare, or a new one; zeros up to its size, its name durable.
pub(super) async fn make_segment(
    disk: &Disk,
    dir: &std::path::Path,
    options: &LogOptions,
    segment: u64,
    spare: Option<&std::path::Path>,
) -> io::Result<File> {
    let temporary = dir.join(spare.map_or_else(|| spare_name(segment), std::path::Path::to_path_buf));
    let file = disk.open_file(&temporary, Access::Durable, Opening::Any).await?;
    if file.size()? > options.segment_size {
        file.truncate(options.segment_size).await?;
    }
    if let Err(error) = file.zero_fill(disk, options.segment_size).await {
        file.close().await?;
        if spare.is_none() {
            disk.remove(&temporary).await?;
        }
        return Err(error);
    }
    file.close().await?;
    let path = dir.join(segment_name(segment));
    disk.rename(&temporary, &path).await?;
    disk.sync_dir(dir).await?;
    disk.open_file(&path, Access::Durable, Opening::Existing).await
}

impl CommitLog {
    /// What keeps the oldest segments.
    pub fn pressure(&self) -> Pressure {
        let state = self.0.state.borrow();
        Pressure {
            segments: state.segments.used(),
            segments_max: self.0.options.segments_max,
            oldest: state.places.held(state.segments.kept[0]).entries,
        }
    }
}
