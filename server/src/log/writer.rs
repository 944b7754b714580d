//! The writer thread and the queue in front of it.
//!
//! Owns: the bounded queue, what happens when it is full, the one thread that waits for disks, terminals and
//! syslog servers, so that no shard ever does.
//!
//! Bounds: `QUEUED_LINES_MAX` lines and `QUEUED_BYTES_MAX` bytes wait at most. A line that does not fit is
//! dropped and counted, and the log says how many as soon as it can. The last eighth of both is kept for warnings
//! and worse, so that a flood of traced lines does not push the error out that explains it.
//!
//! Invariant: nobody but the writer thread touches the sink once the thread runs.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use crossbeam_channel::{bounded, Receiver, RecvTimeoutError, Sender, TryRecvError};

use tracing::callsite::Identifier;

use super::clock::Clock;
use super::flood::Flood;
use super::line::{Level, Line};
use super::sink::{Reopened, Sink};

/// Lines that may wait; more are dropped.
pub(super) const QUEUED_LINES_MAX: usize = 16 * 1024;

/// Bytes of text that may wait; more are dropped.
pub(super) const QUEUED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a flush waits for a writer that does not move, e.g. because its disk hangs.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// Between two looks whether the count of lines that were held back is due.
const COUNT_WAIT: Duration = Duration::from_secs(1);

/// What the writer is asked to do, in the order it was asked.
enum Item {
    Line(Line),
    /// One of a place in the code that strangers can reach as often as they like.
    LimitedLine(Line, Identifier),
    Reopen,
    Switch(Box<Sink>),
    Flush(Sender<()>),
    Stop,
    /// Tests hold the writer with it: it waits until the other end is dropped.
    #[cfg(test)]
    Hold(Receiver<()>),
}

/// The queue's end for those who log. Cheap to clone; usable from every thread.
#[derive(Clone)]
pub struct LogHandle {
    items: Sender<Item>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) debug: AtomicBool,
    pub(super) trace: AtomicBool,
    queued_bytes: AtomicUsize,
    /// Lines dropped since the log last said so.
    dropped_count: AtomicU64,
    /// Lines dropped since the start.
    dropped_total: AtomicU64,
    /// Items the writer has taken; tells a slow writer from a stuck one.
    taken_count: AtomicU64,
    writer: OnceLock<ThreadId>,
}

impl LogHandle {
    /// Queues a line; never waits.
    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.push(Line {
            level,
            time_us: self.shared.clock.now_us(),
            text: text.into(),
            fields: Vec::new(),
        });
    }

    pub(super) fn push(&self, line: Line) {
        self.push_item(line, Item::Line);
    }

    /// As [`LogHandle::push`]; of `place` only so many lines are written in a while.
    pub(super) fn push_limited(&self, line: Line, place: Identifier) {
        self.push_item(line, |line| Item::LimitedLine(line, place));
    }

    fn push_item(&self, line: Line, item: impl FnOnce(Line) -> Item) {
        let size = line.size();
        let share = if matches!(line.level, Level::Fatal | Level::Error | Level::Warn) {
            8
        } else {
            7
        };
        let bytes = self.shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
        let fits =
            bytes + size <= QUEUED_BYTES_MAX / 8 * share && self.items.len() < QUEUED_LINES_MAX / 8 * share;
        if !fits || self.items.try_send(item(line)).is_err() {
            self.shared.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            self.shared.count_dropped(1);
        }
    }

    /// Opens the log file again, after somebody moved it (SIGUSR1).
    pub fn reopen(&self) {
        self.send_late(Item::Reopen);
    }

    /// Writes to another place from here on (reload).
    pub(super) fn switch(&self, sink: Sink) {
        self.send_late(Item::Switch(Box::new(sink)));
    }

    /// Waits until everything logged so far is written, or until the writer has not moved for two seconds.
    /// True when all is written.
    pub fn flush(&self) -> bool {
        if self.shared.writer.get() == Some(&std::thread::current().id()) {
            return false;
        }
        let (done, wait) = bounded(1);
        self.items.send_timeout(Item::Flush(done), FLUSH_WAIT).is_ok() && self.shared.wait_for(&wait).is_ok()
    }

    /// Switches debug and traced lines on and off.
    pub fn set_levels(&self, debug: bool, trace: bool) {
        self.shared.debug.store(debug, Ordering::Relaxed);
        self.shared.trace.store(trace, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Lines that were dropped since the start: the queue was full or the place could not be written.
    pub fn dropped_total(&self) -> u64 {
        self.shared.dropped_total.load(Ordering::Relaxed)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// For rare orders; they wait for room, but not for ever.
    fn send_late(&self, item: Item) {
        if self.items.send_timeout(item, FLUSH_WAIT).is_err() {
            self.shared.count_dropped(1);
        }
    }

    /// Stops the writer from taking anything until the other end of `until` is dropped.
    #[cfg(test)]
    pub(super) fn hold(&self, until: Receiver<()>) {
        self.items.send(Item::Hold(until)).unwrap();
    }
}

impl Shared {
    /// Waits as long as the writer moves.
    fn wait_for(&self, news: &Receiver<()>) -> Result<(), RecvTimeoutError> {
        loop {
            let taken_count = self.taken_count.load(Ordering::Relaxed);
            let result = news.recv_timeout(FLUSH_WAIT);
            let stuck = taken_count == self.taken_count.load(Ordering::Relaxed);
            if stuck || result != Err(RecvTimeoutError::Timeout) {
                return result;
            }
        }
    }

    fn count_dropped(&self, count: u64) {
        self.dropped_count.fetch_add(count, Ordering::Relaxed);
        self.dropped_total.fetch_add(count, Ordering::Relaxed);
    }
}

/// The running thread. Dropping it writes what waits and ends it.
pub(super) struct Writer {
    handle: LogHandle,
    thread: Option<JoinHandle<()>>,
    /// Nothing is ever sent: the other end is dropped when the thread has written its last line.
    ended: Receiver<()>,
}

impl Writer {
    /// The one place where the log starts a thread. It is no shard: it may wait for a disk, and it has no
    /// state that a shard could see.
    pub(super) fn start(sink: Sink, clock: Clock, debug: bool, trace: bool) -> io::Result<Writer> {
        let (items, queue) = bounded(QUEUED_LINES_MAX);
        let shared = Arc::new(Shared {
            clock,
            debug: AtomicBool::new(debug),
            trace: AtomicBool::new(trace),
            queued_bytes: AtomicUsize::new(0),
            dropped_count: AtomicU64::new(0),
            dropped_total: AtomicU64::new(0),
            taken_count: AtomicU64::new(0),
            writer: OnceLock::new(),
        });
        let handle = LogHandle {
            items,
            shared: Arc::clone(&shared),
        };
        let (running, ended) = bounded(0);
        let thread = std::thread::Builder::new()
            .name("pinion-log".to_owned())
            .spawn(move || {
                let running: Sender<()> = running;
                shared
                    .writer
                    .set(std::thread::current().id())
                    .expect("one thread writes");
                let flood = Flood::default();
                Loop {
                    queue,
                    shared,
                    sink,
                    flood,
                }
                .run();
                drop(running);
            })?;
        Ok(Writer {
            handle,
            thread: Some(thread),
            ended,
        })
    }

    pub(super) fn handle(&self) -> &LogHandle {
        &self.handle
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.handle.send_late(Item::Stop);
        // A writer that hangs on its disk must not keep the process from ending.
        let ended = self.handle.shared.wait_for(&self.ended) != Err(RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            thread.join().ok();
        }
    }
}

struct Loop {
    queue: Receiver<Item>,
    shared: Arc<Shared>,
    sink: Sink,
    flood: Flood,
}

impl Loop {
    fn run(mut self) {
        self.rotate_if_due(true);
        loop {
            let item = match self.queue.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.catch_up();
                    match self.wait() {
                        Ok(item) => item,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            };
            if !self.step(item) {
                break;
            }
        }
        let now_us = self.shared.clock.now_us();
        for line in self.flood.last_counts(now_us) {
            self.write(&line);
        }
        self.catch_up();
    }

    /// For the next item, or until a count may be due.
    fn wait(&self) -> Result<Item, RecvTimeoutError> {
        if self.flood.holds_back() {
            self.queue.recv_timeout(COUNT_WAIT)
        } else {
            self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    /// False to stop.
    fn step(&mut self, item: Item) -> bool {
        self.shared.taken_count.fetch_add(1, Ordering::Relaxed);
        match item {
            Item::Line(line) => {
                self.shared.queued_bytes.fetch_sub(line.size(), Ordering::Relaxed);
                self.write(&line);
            }
            Item::LimitedLine(line, place) => {
                self.shared.queued_bytes.fetch_sub(line.size(), Ordering::Relaxed);
                self.write_counts(line.time_us);
                if self.flood.admit(&place, &line) {
                    self.write(&line);
                }
            }
            Item::Reopen => {
                let (level, text) = match self.sink.reopen() {
                    Reopened::Yes => (Level::Info, "File log re-opened".to_owned()),
                    Reopened::NotAFile => (
                        Level::Info,
                        "File log re-open ignored, not a file logger".to_owned(),
                    ),
                    Reopened::Failed(cause) => (
                        Level::Error,
                        format!("File log re-open failed, the old file stays open: {cause}"),
                    ),
                };
                self.say(level, text);
                self.rotate_if_due(true);
            }
            Item::Switch(sink) => {
                self.catch_up();
                self.sink = *sink;
                self.rotate_if_due(true);
            }
            Item::Flush(done) => {
                self.catch_up();
                // Who asked may have stopped waiting.
                done.try_send(()).ok();
            }
            Item::Stop => return false,
            #[cfg(test)]
            Item::Hold(until) => {
                until.recv().ok();
            }
        }
        true
    }

    fn write(&mut self, line: &Line) {
        self.sink.write(line);
        self.rotate_if_due(false);
    }

    fn write_counts(&mut self, now_us: i64) {
        for line in self.flood.counts(now_us) {
            self.write(&line);
        }
    }

    fn say(&mut self, level: Level, text: String) {
        self.write(&Line {
            level,
            time_us: self.shared.clock.now_us(),
            text,
            fields: Vec::new(),
        });
    }

    /// `at_start`: the file was too large when it was opened, which deserves a line of its own.
    fn rotate_if_due(&mut self, at_start: bool) {
        if !self.sink.is_over_limit() {
            return;
        }
        let now_us = self.shared.clock.now_us();
        let line = |level, text: String| Line {
            level,
            time_us: now_us,
            text,
            fields: Vec::new(),
        };
        if at_start {
            self.sink
                .write(&line(Level::Info, "Rotating logfile...".to_owned()));
            self.sink.flush();
        }
        // Straight to the sink: with a limit below the size of these lines, they must not rotate again.
        for (level, text) in self.sink.rotate(now_us) {
            self.sink.write(&line(level, text));
        }
    }

    /// Writes what was gathered and owns up to what was lost.
    fn catch_up(&mut self) {
        self.write_counts(self.shared.clock.now_us());
        self.sink.flush();
        self.rotate_if_due(false);
        let lost = self.sink.take_lost();
        if lost > 0 {
            self.shared.count_dropped(lost);
        }
        // Lines the place did not take cannot be reported there now; the next success reports them.
        let dropped = if lost > 0 {
            0
        } else {
            self.shared.dropped_count.swap(0, Ordering::Relaxed)
        };
        if dropped > 0 {
            self.say(
                Level::Warn,
                format!("Logging fell behind, {dropped} lines were dropped"),
            );
            self.sink.flush();
            let lost_again = self.sink.take_lost();
            if lost_again > 0 {
                self.shared.dropped_count.fetch_add(dropped, Ordering::Relaxed);
            }
        }
    }
}
