//! What each log should hold: its state at the last start, and the steps since.
//!
//! Owns: the meaning of steps, the judgement of what a start found. Not here: making steps (`appender`).

use std::collections::BTreeMap;

use pinion_storage::recover::Replay;

/// One step of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Entry(u64, Vec<u8>),
    Truncate(u64),
    Checkpoint(u64),
    Forget,
    State(u64, Vec<u8>),
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Everything up to this index is not needed.
    pub(crate) base: u64,
    /// From `base + 1` on; `None`: lost to rot.
    pub(crate) entries: Vec<Option<Vec<u8>>>,
    pub(crate) states: BTreeMap<u64, Vec<u8>>,
}

impl Log {
    pub(crate) fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn cut_from(&mut self, index: u64) {
        self.base = self.base.min(index - 1);
        let kept = usize::try_from(index - 1 - self.base).expect("logs of a simulation are short");
        self.entries.truncate(kept);
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Entry(index, bytes) => {
                self.cut_from(*index);
                while self.last() + 1 < *index {
                    self.entries.push(None);
                }
                self.entries.push(Some(bytes.clone()));
            }
            Step::Truncate(index) => self.cut_from(*index),
            Step::Checkpoint(index) => {
                while self.base < *index {
                    if !self.entries.is_empty() {
                        self.entries.remove(0);
                    }
                    self.base += 1;
                }
            }
            Step::Forget => *self = Log::default(),
            Step::State(slot, bytes) => {
                self.states.insert(*slot, bytes.clone());
            }
        }
    }

    fn is_empty(&self) -> bool {
        *self == Log::default()
    }
}

/// A log, and what was done to it since the last start.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) start: Log,
    pub(crate) steps: Vec<Step>,
    /// How many of the steps were acknowledged.
    pub(crate) acknowledged: usize,
    /// How many were before the last time any were.
    pub(crate) acknowledged_before: usize,
}

/// All logs.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) logs: BTreeMap<u64, Known>,
}

/// What a start may have lost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Excuses {
    /// The disk rotted, and the start said so: anything may be missing.
    pub(crate) rot: bool,
    /// The disk rotted, and the start cut the last commit: what was acknowledged last may be missing.
    pub(crate) cut: bool,
}

impl Model {
    /// Judges what a start found, and takes it for the truth from here on. How many losses were excused.
    pub(crate) fn restart(&mut self, found: &BTreeMap<u64, Log>, excuses: Excuses) -> Result<u64, String> {
        let mut excused = 0;
        let ids: Vec<u64> = self.logs.keys().chain(found.keys()).copied().collect();
        for id in ids {
            let known = self.logs.entry(id).or_default();
            let now = found.get(&id).cloned().unwrap_or_default();
            let mut log = known.start.clone();
            let mut fits = None;
            for count in 0..=known.steps.len() {
                if count > 0 {
                    log.step(&known.steps[count - 1]);
                }
                let is_same = log == now || (log.is_empty() && now.is_empty());
                if is_same {
                    fits = Some(count);
                }
            }
            let needed = if excuses.cut {
                known.acknowledged_before
            } else {
                known.acknowledged
            };
            match fits {
                Some(count) if count >= needed => {
                    excused += u64::from(count < known.acknowledged);
                }
                _ if excuses.rot => excused += 1,
                Some(count) => {
                    return Err(format!(
                        "log {id}: {} steps were acknowledged since the last start, {count} are there: {}",
                        known.acknowledged,
                        describe(&now)
                    ));
                }
                None => {
                    return Err(format!(
                        "log {id} is what no prefix of its {} steps makes of it ({} acknowledged): found {}, it started \
                         as {}, steps {:?}",
                        known.steps.len(),
                        known.acknowledged,
                        describe(&now),
                        describe(&known.start),
                        known.steps.iter().map(short).collect::<Vec<_>>()
                    ));
                }
            }
            *known = Known {
                start: now,
                ..Known::default()
            };
        }
        Ok(excused)
    }
}

fn short(step: &Step) -> String {
    match step {
        Step::Entry(index, bytes) => format!("{index}={} ({} B)", word(bytes), bytes.len()),
        Step::State(slot, bytes) => format!("state {slot}={}", word(bytes)),
        other => format!("{other:?}"),
    }
}

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(12)]).into_owned()
}

fn describe(log: &Log) -> String {
    let entries: Vec<_> = log
        .entries
        .iter()
        .map(|entry| entry.as_deref().map_or_else(|| "lost".into(), word))
        .collect();
    format!(
        "base {}, entries {entries:?}, {} states",
        log.base,
        log.states.len()
    )
}

/// What a start replayed, put together as an owner of logs would.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) logs: BTreeMap<u64, Log>,
}

impl Found {
    pub(crate) fn take(&mut self, replay: Replay<'_>) {
        let (id, step) = match replay {
            Replay::Entry { log, index, bytes } => (log.0, Step::Entry(index, bytes.to_vec())),
            Replay::Copy { log, index, bytes } => {
                let log = self.logs.entry(log.0).or_default();
                while log.base >= index {
                    log.entries.insert(0, None);
                    log.base -= 1;
                }
                let at = usize::try_from(index - log.base - 1).expect("logs of a simulation are short");
                log.entries[at] = Some(bytes.to_vec());
                return;
            }
            Replay::Truncate { log, from } => (log.0, Step::Truncate(from)),
            Replay::Checkpoint { log, through } => (log.0, Step::Checkpoint(through)),
            Replay::Forget { log } => {
                self.logs.remove(&log.0);
                return;
            }
            Replay::State { log, slot, bytes } => (log.0, Step::State(slot, bytes.to_vec())),
        };
        let is_new = !self.logs.contains_key(&id);
        let log = self.logs.entry(id).or_default();
        if let (Step::Entry(index, _), true) = (&step, is_new || (log.entries.is_empty() && log.base == 0)) {
            // What was before is checkpointed and recycled.
            log.base = index - 1;
        }
        log.step(&step);
    }
}
