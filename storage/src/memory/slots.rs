//! Messages by sequence, in chunks: dense where sequences are dense, nothing where they are gone.
//!
//! Owns: finding a message, the next one, and how many there are from a sequence on. Not here: subjects, limits.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::stream_store::StoredMessage;

/// Sequences of one chunk.
const CHUNK_SIZE: u64 = 256;

#[derive(Debug, Default)]
pub(super) struct Slots {
    chunks: BTreeMap<u64, Chunk>,
}

#[derive(Debug)]
struct Chunk {
    live: u64,
    /// Up to the last sequence that was stored in this chunk.
    slots: Vec<Option<Rc<StoredMessage>>>,
}

fn place(seq: u64) -> (u64, usize) {
    let within = usize::try_from(seq % CHUNK_SIZE).expect("below the size of a chunk");
    (seq / CHUNK_SIZE, within)
}

impl Slots {
    pub(super) fn insert(&mut self, message: Rc<StoredMessage>) {
        let (chunk, within) = place(message.seq);
        let chunk = self.chunks.entry(chunk).or_insert_with(|| Chunk {
            live: 0,
            slots: Vec::new(),
        });
        assert!(chunk.slots.len() <= within, "sequences only grow");
        chunk.slots.resize(within, None);
        chunk.slots.push(Some(message));
        chunk.live += 1;
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Rc<StoredMessage>> {
        let (chunk, within) = place(seq);
        self.chunks.get(&chunk)?.slots.get(within)?.as_ref()
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<Rc<StoredMessage>> {
        let (number, within) = place(seq);
        let chunk = self.chunks.get_mut(&number)?;
        let message = chunk.slots.get_mut(within)?.take()?;
        chunk.live -= 1;
        if chunk.live == 0 {
            self.chunks.remove(&number);
        }
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
    }

    /// The messages from `from` on.
    pub(super) fn iter_from(&self, from: u64) -> impl Iterator<Item = &Rc<StoredMessage>> {
        let (first, within) = place(from);
        self.chunks.range(first..).flat_map(move |(number, chunk)| {
            let skipped = if *number == first { within } else { 0 };
            chunk.slots.iter().skip(skipped).flatten()
        })
    }

    /// How many messages there are from `from` on: a sum over the chunks above it.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        let (first, within) = place(from);
        self.chunks
            .range(first..)
            .map(|(number, chunk)| {
                if *number == first {
                    chunk.slots.iter().skip(within).flatten().count() as u64
                } else {
                    chunk.live
                }
            })
            .sum()
    }
}
