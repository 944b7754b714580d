//! Records that wait for the disk: a queue per log, and what goes into the next commit.
//!
//! Owns: the bytes of records that are not in a commit yet, whose turn it is, the next index of each log. Pure. Not
//! here: commits in flight, room on the disk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::format::{encode_record, record_size, RecordHeader};

/// A record on its way, as the one who made it durable must know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) header: RecordHeader,
    pub(super) payload_size: u32,
}

impl Queued {
    pub(super) fn size(&self) -> usize {
        record_size(self.payload_size as usize)
    }
}

#[derive(Default)]
struct Queue {
    /// Encoded records; those before `taken` are in a commit.
    bytes: Vec<u8>,
    taken: usize,
    records: VecDeque<Queued>,
}

/// What waits.
pub(super) struct Pending {
    queues: BTreeMap<u64, Queue>,
    /// Logs that have something, in turn.
    turns: VecDeque<u64>,
    size: usize,
    quantum: usize,
}

/// Records of one log that stand together in a commit.
pub(super) struct Slice {
    log: u64,
    range: Range<usize>,
}

impl Pending {
    pub(super) fn new(quantum: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            size: 0,
            quantum,
        }
    }

    /// Bytes of all records that wait.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn has(&self, log: u64) -> bool {
        self.queues.contains_key(&log)
    }

    /// Adds a record behind those of its log.
    pub(super) fn push(&mut self, header: RecordHeader, payload: &[u8], salt: u64) {
        let queue = self.queues.entry(header.log).or_insert_with(|| {
            self.turns.push_back(header.log);
            Queue::default()
        });
        let before = queue.bytes.len();
        encode_record(header, payload, salt, &mut queue.bytes);
        self.size += queue.bytes.len() - before;
        let payload_size = u32::try_from(payload.len()).expect("payloads are small");
        queue.records.push_back(Queued { header, payload_size });
    }

    /// Chooses what goes into a commit with `room` bytes for records: each log in turn, a quantum at a time. The
    /// records go to `chosen` in the order of the slices.
    pub(super) fn choose(&mut self, room: usize, chosen: &mut Vec<Queued>) -> Vec<Slice> {
        let mut slices = Vec::new();
        let mut left = room;
        while let Some(log) = self.turns.pop_front() {
            let queue = self
                .queues
                .get_mut(&log)
                .expect("a log that has a turn has a queue");
            let start = queue.taken;
            while let Some(size) = queue.records.front().map(Queued::size) {
                let used = queue.taken - start;
                if size > left || (used > 0 && used + size > self.quantum) {
                    break;
                }
                left -= size;
                queue.taken += size;
                chosen.extend(queue.records.pop_front());
            }
            let is_done = queue.records.is_empty();
            let range = start..queue.taken;
            if range.is_empty() {
                // It does not fit any more, and goes first into the next one.
                self.turns.push_front(log);
                break;
            }
            self.size -= range.len();
            slices.push(Slice { log, range });
            if !is_done {
                self.turns.push_back(log);
            }
        }
        slices
    }

    /// Copies what was chosen, and forgets it.
    pub(super) fn take(&mut self, slices: &[Slice], to: &mut [u8]) {
        let mut offset = 0;
        for slice in slices {
            let queue = &self.queues[&slice.log];
            let bytes = &queue.bytes[slice.range.clone()];
            to[offset..offset + bytes.len()].copy_from_slice(bytes);
            offset += bytes.len();
        }
        for slice in slices {
            let Some(queue) = self.queues.get_mut(&slice.log) else {
                continue;
            };
            if queue.records.is_empty() {
                self.queues.remove(&slice.log);
            } else if queue.taken > queue.bytes.len() / 2 {
                queue.bytes.drain(..queue.taken);
                queue.taken = 0;
            }
        }
    }
}

/// Cuts an entry into the payloads of its records.
pub(super) fn parts(bytes: &[u8], size_max: usize) -> impl Iterator<Item = (&[u8], bool, bool)> {
    let count = bytes.len().div_ceil(size_max).max(1);
    (0..count).map(move |at| {
        let part = &bytes[at * size_max..bytes.len().min((at + 1) * size_max)];
        (part, at > 0, at + 1 < count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::RecordKind;

    fn header(log: u64, index: u64) -> RecordHeader {
        RecordHeader {
            kind: RecordKind::Entry,
            more: false,
            continues: false,
            carried: false,
            log,
            index,
        }
    }

    /// A log that floods does not keep another out of the next commit, and each log keeps its order.
    #[test]
    fn logs_take_turns() {
        let mut pending = Pending::new(400);
        for index in 1..=50 {
            pending.push(header(1, index), &[0; 168], 7);
        }
        for index in 1..=3 {
            pending.push(header(2, index), &[0; 168], 7);
        }
        let mut chosen = Vec::new();
        let slices = pending.choose(1200, &mut chosen);
        let order: Vec<_> = chosen
            .iter()
            .map(|queued| (queued.header.log, queued.header.index))
            .collect();
        assert_eq!(order, [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (1, 4)]);
        let mut bytes = vec![0; 1200];
        pending.take(&slices, &mut bytes);
        let read: Vec<_> = crate::format::Records::new(&bytes, 7)
            .map(|record| record.map(|record| (record.header.log, record.header.index)))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read, order);
        assert_eq!(pending.size(), 47 * 200);
        let mut rest = Vec::new();
        while pending.size() > 0 {
            let slices = pending.choose(5000, &mut rest);
            pending.take(&slices, &mut vec![0; 5000]);
        }
        assert_eq!(rest.len(), 47);
        assert!(!pending.has(1));
        assert!(!pending.has(2));
    }

    /// A long entry becomes several records that know of each other.
    #[test]
    fn long_entries_are_cut() {
        let cut: Vec<_> = parts(b"abcdefg", 3).collect();
        assert_eq!(
            cut,
            [
                (&b"abc"[..], false, true),
                (b"def", true, true),
                (b"g", true, false)
            ]
        );
        assert_eq!(parts(b"", 3).collect::<Vec<_>>(), [(&b""[..], false, false)]);
        assert_eq!(parts(b"abc", 3).count(), 1);
    }
}
