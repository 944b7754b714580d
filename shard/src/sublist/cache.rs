//! Results by subject, as long as they are true.
//!
//! Owns: which results are kept, which go when space ends, which go when a subscription changes.
//! Not here: computing a result (`Sublist::matches`).
//!
//! Invariants
//!   a result in the cache is not stale, and one that left it is: whoever holds a result that is not stale, holds the
//!   answer the list would give
//!   length <= RESULTS_MAX, and the entries of all results <= RESULT_ENTRIES_MAX, one large result excepted
//!
//! A changed literal subject costs one lookup. A changed pattern costs a scan over a dense array of hashes of the
//! cached subjects' first or second tokens, whatever the number of subscriptions; only subjects whose hashes are equal
//! are looked at. A pattern such as `*.*.x` has neither and is compared with every cached subject.

use std::rc::Rc;

use hashbrown::HashTable;

use super::hash::Seed;
use super::result::MatchResult;
use super::Entry;
use crate::subject::wildcard::matches;
use crate::subject::{first_token, is_wildcard_token};

/// Cached results of one list (the peer: 1,024). At the limit the one not used for the longest time, roughly, goes.
pub const RESULTS_MAX: usize = 4096;

/// Entries in all cached results together: bounds memory when many subjects match many subscribers. At the limit
/// results go as above; a single result that is larger alone is kept.
pub const RESULT_ENTRIES_MAX: usize = 256 * 1024;

/// Fingerprints of subjects that missed while the cache was full. A power of two.
const SEEN_SLOTS: usize = 4096;

#[derive(Debug)]
pub(super) struct Cache<E: Entry> {
    /// Positions in `slots` by the hash of the subject.
    table: HashTable<u32>,
    slots: Vec<Slot<E>>,
    /// Beside `slots`: short hashes of the first and of the second token.
    first_hashes: Vec<u16>,
    second_hashes: Vec<u16>,
    /// Where the search for a result to give up goes on.
    hand: usize,
    entries: usize,
    results_max: usize,
    /// A full cache takes in a subject only at its second miss: subjects used once, such as reply inboxes, do not
    /// push out the others. Empty until the cache is full.
    seen: Box<[u32]>,
    seed: Seed,
}

#[derive(Debug)]
struct Slot<E> {
    subject: Box<[u8]>,
    hash: u64,
    result: Rc<MatchResult<E>>,
    used: bool,
}

impl<E: Entry> Cache<E> {
    pub(super) fn new(seed: Seed, results_max: usize) -> Cache<E> {
        Cache {
            table: HashTable::new(),
            slots: Vec::new(),
            first_hashes: Vec::new(),
            second_hashes: Vec::new(),
            hand: 0,
            entries: 0,
            results_max,
            seen: Box::default(),
            seed,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn results(&self) -> impl Iterator<Item = &MatchResult<E>> {
        self.slots.iter().map(|slot| &*slot.result)
    }

    /// The kept result of a subject; counts as a use of it.
    #[inline]
    pub(super) fn get(&mut self, hash: u64, subject: &[u8]) -> Option<&Rc<MatchResult<E>>> {
        let slots = &mut self.slots;
        let &at = self
            .table
            .find(hash, |&at| *slots[at as usize].subject == *subject)?;
        let slot = &mut slots[at as usize];
        slot.used = true;
        Some(&slot.result)
    }

    /// The kept result of a subject, without a trace.
    pub(super) fn peek(&self, hash: u64, subject: &[u8]) -> Option<&MatchResult<E>> {
        let &at = self
            .table
            .find(hash, |&at| *self.slots[at as usize].subject == *subject)?;
        Some(&self.slots[at as usize].result)
    }

    /// Takes in the result of a subject that is not in the cache. What is not taken in is marked stale.
    pub(super) fn insert(&mut self, hash: u64, subject: &[u8], result: &Rc<MatchResult<E>>) {
        if self.slots.len() >= self.results_max {
            if !self.seen_before(hash) {
                result.mark_stale();
                return;
            }
            self.evict_one();
        }
        let size = result.size();
        while self.entries + size > RESULT_ENTRIES_MAX && !self.slots.is_empty() {
            self.evict_one();
        }
        let at = u32::try_from(self.slots.len()).expect("bounded by results_max");
        let [first, second] = token_pair(subject).map(|token| self.short_hash(token));
        self.table
            .insert_unique(hash, at, |&at| self.slots[at as usize].hash);
        self.slots.push(Slot {
            subject: Box::from(subject),
            hash,
            result: Rc::clone(result),
            used: false,
        });
        self.first_hashes.push(first);
        self.second_hashes.push(second);
        self.entries += size;
    }

    /// Drops what a change of a literal subscription touches.
    pub(super) fn invalidate_literal(&mut self, hash: u64, subject: &[u8]) {
        let found = self
            .table
            .find(hash, |&at| *self.slots[at as usize].subject == *subject);
        if let Some(&at) = found {
            self.drop_slot(at as usize);
        }
    }

    /// Drops what a change of a wildcard subscription touches.
    pub(super) fn invalidate_pattern(&mut self, pattern: &[u8]) {
        if self.slots.is_empty() {
            return;
        }
        let wanted = token_pair(pattern);
        let [first, second] = wanted.map(|token| (!is_wildcard_token(token)).then(|| self.short_hash(token)));
        // A pattern of one token is a wildcard, so that its missing second token is not asked for.
        let (scanned, hash) = match (first, second) {
            (None, _) if wanted[1].is_empty() => (Scan::All, 0),
            (_, Some(hash)) => (Scan::Second, hash),
            (Some(hash), None) => (Scan::First, hash),
            (None, None) => (Scan::All, 0),
        };
        let mut from = 0;
        while let Some(at) = self.candidate(scanned, from, hash) {
            from = at;
            if first.is_none_or(|first| self.first_hashes[at] == first)
                && matches(&self.slots[at].subject, pattern)
            {
                // The last slot moves here and is looked at next.
                self.drop_slot(at);
            } else {
                from += 1;
            }
        }
    }

    /// The next slot at or after `from` that may be affected.
    fn candidate(&self, scan: Scan, from: usize, hash: u16) -> Option<usize> {
        match scan {
            Scan::All => (from < self.slots.len()).then_some(from),
            Scan::First => find_from(&self.first_hashes, from, hash),
            Scan::Second => find_from(&self.second_hashes, from, hash),
        }
    }

    fn drop_slot(&mut self, at: usize) {
        let last = self.slots.len() - 1;
        let position = |at: usize| u32::try_from(at).expect("bounded by results_max");
        let slot = self
            .table
            .find_entry(self.slots[at].hash, |&found| found as usize == at);
        slot.expect("the table names every slot").remove();
        if at != last {
            let moved = self
                .table
                .find_mut(self.slots[last].hash, |&found| found as usize == last);
            *moved.expect("the table names every slot") = position(at);
        }
        let slot = self.slots.swap_remove(at);
        self.first_hashes.swap_remove(at);
        self.second_hashes.swap_remove(at);
        self.entries -= slot.result.size();
        slot.result.mark_stale();
    }

    /// Drops one result: the next that was not used since the hand last came by.
    fn evict_one(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            if !std::mem::replace(&mut self.slots[self.hand].used, false) {
                break;
            }
            self.hand += 1;
        }
        self.drop_slot(self.hand);
    }

    fn seen_before(&mut self, hash: u64) -> bool {
        if self.seen.is_empty() {
            self.seen = vec![0; SEEN_SLOTS].into_boxed_slice();
        }
        let [high, low] = split(hash);
        std::mem::replace(&mut self.seen[low as usize & (SEEN_SLOTS - 1)], high) == high
    }

    fn short_hash(&self, token: &[u8]) -> u16 {
        let [_, _, high, low, ..] = self.seed.bytes(token).to_be_bytes();
        u16::from_be_bytes([high, low])
    }
}

/// Which hashes narrow a pattern down.
#[derive(Clone, Copy)]
enum Scan {
    All,
    First,
    Second,
}

/// The first two tokens; the second is empty when there is none.
fn token_pair(subject: &[u8]) -> [&[u8]; 2] {
    let first = first_token(subject);
    [first, subject.get(first.len() + 1..).map_or(&[], first_token)]
}

impl<E: Entry> Drop for Cache<E> {
    fn drop(&mut self) {
        self.results().for_each(MatchResult::mark_stale);
    }
}

/// The first position at or after `from` that holds `wanted`; compares in blocks, which the compiler vectorises.
fn find_from(hashes: &[u16], from: usize, wanted: u16) -> Option<usize> {
    const BLOCK: usize = 128;
    let mut at = from;
    for block in hashes.get(from..)?.chunks(BLOCK) {
        if block
            .iter()
            .fold(0, |hits, &hash| hits | u16::from(hash == wanted))
            != 0
        {
            return block
                .iter()
                .position(|&hash| hash == wanted)
                .map(|offset| at + offset);
        }
        at += block.len();
    }
    None
}

/// The high and the low half of a hash.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are what is wanted"
)]
fn split(hash: u64) -> [u32; 2] {
    [(hash >> 32) as u32, hash as u32]
}
