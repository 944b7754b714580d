//! Where the records that count are: per log its entries and states, per segment how many keep it from being
//! recycled.
//!
//! Owns: the rules by which a record counts, is superseded or void; recovery and the running log both apply them
//! here, record by record, in the order of the log. Pure. Not here: what a record carries.
//!
//! Invariants
//!   an entry counts from its last record on; a log's entries are `base + 1 ..= last`
//!   `live[segment]` is the number of records in it that count

use std::collections::{BTreeMap, VecDeque};

use super::LogId;
use crate::format::{RecordHeader, RecordKind};

/// Where a record's payload is, without the record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment.
    pub segment: u64,
    /// Of the record's header in the segment's file, bytes.
    pub offset: u32,
    /// Of the payload, bytes.
    pub size: u32,
}

/// Most entries a log may have lost in one place before they are no longer listed one by one.
const HOLE_MAX: u64 = 1 << 16;

/// An entry is one record, or several.
#[derive(Clone, Debug)]
struct EntryPlaces {
    first: Place,
    more: Box<[Place]>,
}

impl EntryPlaces {
    fn iter(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.first).chain(&*self.more)
    }
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is part of an entry that is not whole yet.
    Part,
    /// The entry is whole and counts; `missing` entries before it are not there.
    Entry {
        /// Entries that should stand before it and were not found.
        missing: u64,
    },
    /// A copy of an entry that was not found where it was first: it counts, beside those behind it.
    Copy,
    /// What it says was known already.
    Known,
    /// It changed what counts.
    Changed,
}

#[derive(Default)]
struct Log {
    /// Everything up to this index is not needed.
    base: u64,
    /// Where the checkpoint that says so stands.
    base_at: Option<u64>,
    /// `None`: lost.
    entries: VecDeque<Option<EntryPlaces>>,
    states: BTreeMap<u64, Place>,
    /// An entry whose last record has not come.
    parts: Vec<Place>,
}

impl Log {
    fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn position(&self, index: u64) -> Option<usize> {
        let ahead = index.checked_sub(self.base + 1)?;
        usize::try_from(ahead).ok().filter(|at| *at < self.entries.len())
    }
}

/// What counts of all logs of a shard.
#[derive(Default)]
pub(crate) struct Places {
    logs: BTreeMap<u64, Log>,
    live: BTreeMap<u64, u64>,
}

fn keep(live: &mut BTreeMap<u64, u64>, segment: u64) {
    *live.entry(segment).or_insert(0) += 1;
}

fn release(live: &mut BTreeMap<u64, u64>, segment: u64) {
    let count = live.get_mut(&segment).expect("what counts was counted");
    *count -= 1;
    if *count == 0 {
        live.remove(&segment);
    }
}

impl Places {
    /// Applies the next record of the log.
    pub(crate) fn apply(&mut self, header: &RecordHeader, place: Place) -> Applied {
        let Self { logs, live } = self;
        if header.kind == RecordKind::Forget {
            if let Some(log) = logs.remove(&header.log) {
                let entries = log.entries.iter().flatten().flat_map(EntryPlaces::iter);
                for place in entries.chain(log.states.values()).chain(&log.parts) {
                    release(live, place.segment);
                }
                if let Some(segment) = log.base_at {
                    release(live, segment);
                }
            }
            return Applied::Changed;
        }
        let is_new = !logs.contains_key(&header.log);
        let log = logs.entry(header.log).or_default();
        match header.kind {
            RecordKind::Entry => Self::apply_entry(live, log, is_new, header, place),
            RecordKind::Truncate => {
                Self::drop_from(live, log, header.index);
                Applied::Changed
            }
            RecordKind::Checkpoint => {
                Self::drop_through(live, log, header.index);
                log.base = log.base.max(header.index);
                keep(live, place.segment);
                if let Some(segment) = log.base_at.replace(place.segment) {
                    release(live, segment);
                }
                Applied::Changed
            }
            RecordKind::State => {
                if place.size > 0 {
                    keep(live, place.segment);
                }
                let before = if place.size > 0 {
                    log.states.insert(header.index, place)
                } else {
                    log.states.remove(&header.index)
                };
                if let Some(before) = before {
                    release(live, before.segment);
                }
                Applied::Changed
            }
            RecordKind::Forget => unreachable!("handled above"),
        }
    }

    fn apply_entry(
        live: &mut BTreeMap<u64, u64>,
        log: &mut Log,
        is_new: bool,
        header: &RecordHeader,
        place: Place,
    ) -> Applied {
        if !header.continues {
            // What began before and was never completed was cut.
            for part in log.parts.drain(..) {
                release(live, part.segment);
            }
        } else if log.parts.is_empty() {
            // Its beginning is lost, so it is.
            return Applied::Part;
        }
        log.parts.push(place);
        keep(live, place.segment);
        if header.more {
            return Applied::Part;
        }
        let mut parts = std::mem::take(&mut log.parts).into_iter();
        let entry = EntryPlaces {
            first: parts.next().expect("one was pushed"),
            more: parts.collect(),
        };
        if is_new || (log.entries.is_empty() && log.base == 0 && log.base_at.is_none()) {
            // What stood before was checkpointed, and its segments are recycled.
            log.base = header.index.saturating_sub(1);
        }
        if header.carried && header.index <= log.last() {
            if header.index <= log.base {
                let is_new = log.base_at.is_none() && log.base - header.index <= HOLE_MAX;
                if !is_new {
                    for place in entry.iter() {
                        release(live, place.segment);
                    }
                    return Applied::Known;
                }
                // Its first place is recycled already, that of those behind it is not.
                while log.base >= header.index {
                    log.entries.push_front(None);
                    log.base -= 1;
                }
            }
            let at = log.position(header.index).expect("between base and last");
            let before = log.entries[at].replace(entry);
            for place in before.iter().flat_map(EntryPlaces::iter) {
                release(live, place.segment);
            }
            return if before.is_some() {
                Applied::Known
            } else {
                Applied::Copy
            };
        } else if header.index <= log.last() {
            Self::drop_from(live, log, header.index);
        }
        let missing = header.index - log.last() - 1;
        if missing > HOLE_MAX {
            Self::drop_through(live, log, u64::MAX);
            log.base = header.index - 1;
        } else {
            for _ in 0..missing {
                log.entries.push_back(None);
            }
        }
        log.entries.push_back(Some(entry));
        Applied::Entry { missing }
    }

    /// Everything from `index` on is void.
    fn drop_from(live: &mut BTreeMap<u64, u64>, log: &mut Log, index: u64) {
        while log.last() >= index {
            match log.entries.pop_back() {
                Some(entry) => {
                    for place in entry.iter().flat_map(EntryPlaces::iter) {
                        release(live, place.segment);
                    }
                }
                None => log.base = index.saturating_sub(1),
            }
            if log.base == 0 && log.entries.is_empty() {
                return;
            }
        }
    }

    /// Everything up to `index` is not needed.
    fn drop_through(live: &mut BTreeMap<u64, u64>, log: &mut Log, index: u64) {
        while log.base < index {
            let Some(entry) = log.entries.pop_front() else {
                return;
            };
            log.base += 1;
            for place in entry.iter().flat_map(EntryPlaces::iter) {
                release(live, place.segment);
            }
        }
    }

    /// The logs that are here.
    pub(crate) fn logs(&self) -> impl Iterator<Item = LogId> + '_ {
        self.logs.keys().map(|log| LogId(*log))
    }

    /// Index up to which a log was checkpointed, and its last one.
    pub(crate) fn range(&self, log: LogId) -> Option<(u64, u64)> {
        self.logs.get(&log.0).map(|log| (log.base, log.last()))
    }

    /// Entries at the beginning of a log that neither are there nor were checkpointed.
    pub(crate) fn lost_beginnings(&self) -> impl Iterator<Item = (LogId, u64)> + '_ {
        let lost = self
            .logs
            .iter()
            .filter(|(_, log)| log.base > 0 && log.base_at.is_none());
        lost.map(|(id, log)| (LogId(*id), log.base))
    }

    /// Where an entry is: its records in order.
    pub(crate) fn entry(&self, log: LogId, index: u64) -> Option<Vec<Place>> {
        let log = self.logs.get(&log.0)?;
        let entry = log.entries.get(log.position(index)?)?.as_ref()?;
        Some(entry.iter().copied().collect())
    }

    /// Where the states of a log are.
    pub(crate) fn states(&self, log: LogId) -> Vec<(u64, Place)> {
        let states = self.logs.get(&log.0).map(|log| &log.states);
        states
            .into_iter()
            .flatten()
            .map(|(slot, place)| (*slot, *place))
            .collect()
    }

    /// How many records of a segment count.
    pub(crate) fn live(&self, segment: u64) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// Whether nothing in a segment counts.
    pub(crate) fn is_free(&self, segment: u64) -> bool {
        self.live(segment) == 0
    }

    /// What keeps a segment: logs with entries in it and the last index there, and logs with small state in it.
    pub(crate) fn held(&self, segment: u64) -> Held {
        let mut held = Held::default();
        if self.is_free(segment) {
            return held;
        }
        for (id, log) in &self.logs {
            // Entries of a segment are the oldest of their log, but for copies: those are looked at too.
            let mut through = None;
            for (ahead, entry) in log.entries.iter().enumerate() {
                if entry
                    .iter()
                    .flat_map(EntryPlaces::iter)
                    .any(|place| place.segment == segment)
                {
                    through = Some(log.base + 1 + ahead as u64);
                } else if through.is_some() {
                    break;
                }
            }
            if let Some(through) = through {
                held.entries.push((LogId(*id), through));
            }
            if log.base_at == Some(segment) {
                held.bases.push((LogId(*id), log.base));
            }
            for (slot, place) in log.states.iter().filter(|(_, place)| place.segment == segment) {
                held.states.push((LogId(*id), *slot, *place));
            }
        }
        held
    }
}

/// What keeps a segment from being recycled.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Logs with entries there, each with the last such index: a checkpoint at it lets go.
    pub entries: Vec<(LogId, u64)>,
    /// Logs whose checkpoint stands there.
    pub bases: Vec<(LogId, u64)>,
    /// States that stand there.
    pub states: Vec<(LogId, u64, Place)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(log: u64, index: u64, carried: bool) -> RecordHeader {
        RecordHeader {
            kind: RecordKind::Entry,
            more: false,
            continues: false,
            carried,
            log,
            index,
        }
    }

    fn at(segment: u64) -> Place {
        Place {
            segment,
            offset: 0,
            size: 1,
        }
    }

    /// A copy takes the place of its entry and frees the segment; of a checkpointed one it means nothing.
    #[test]
    fn copies_move_entries() {
        let mut places = Places::default();
        for index in 1..=3 {
            assert_eq!(
                places.apply(&entry(1, index, false), at(index)),
                Applied::Entry { missing: 0 }
            );
        }
        assert_eq!(places.apply(&entry(1, 1, true), at(7)), Applied::Known);
        assert!(places.is_free(1));
        assert_eq!(places.entry(LogId(1), 1), Some(vec![at(7)]));
        let checkpoint = RecordHeader {
            kind: RecordKind::Checkpoint,
            ..entry(1, 1, false)
        };
        assert_eq!(places.apply(&checkpoint, at(7)), Applied::Changed);
        assert_eq!(places.apply(&entry(1, 1, true), at(8)), Applied::Known);
        assert!(places.is_free(8));
        assert_eq!(places.range(LogId(1)), Some((1, 3)));
    }

    /// When the first place of an entry is recycled and that of the next is not, the copy comes behind the next.
    #[test]
    fn copies_may_come_behind_later_entries() {
        let mut places = Places::default();
        assert_eq!(
            places.apply(&entry(1, 3, false), at(2)),
            Applied::Entry { missing: 0 }
        );
        assert_eq!(places.lost_beginnings().collect::<Vec<_>>(), [(LogId(1), 2)]);
        assert_eq!(places.apply(&entry(1, 1, true), at(5)), Applied::Copy);
        assert_eq!(places.entry(LogId(1), 2), None);
        assert_eq!(places.apply(&entry(1, 2, true), at(5)), Applied::Copy);
        assert_eq!(places.range(LogId(1)), Some((0, 3)));
        assert_eq!(places.entry(LogId(1), 1), Some(vec![at(5)]));
        assert_eq!(places.entry(LogId(1), 3), Some(vec![at(2)]));
        assert_eq!(places.lost_beginnings().count(), 0);
    }
}
