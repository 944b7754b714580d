//! The subscription list of one account on one shard: who gets a message to this subject.
//!
//! Owns: the entries by subject and queue group, and a cache of results. Not here: what an entry is (a local
//! subscription, another shard's interest), delivering, permissions.
//! Single-threaded, no locks, no clock. Equal seeds and equal histories give equal behaviour.
//!
//! Subjects without wildcards lie in one flat hash table, wildcards in a trie. A match that is not cached is one
//! lookup and a walk of the trie; a cached one is one lookup and allocates nothing.
//!
//! Invariants
//!   at most one entry of a key at the same subject and queue group
//!   a result that is not stale equals what a fresh match would give

mod cache;
mod hash;
mod queue;
mod result;
mod slab;
mod subscribers;
mod trie;

#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::rc::Rc;

use hashbrown::HashTable;

pub use cache::{RESULTS_MAX, RESULT_ENTRIES_MAX};
pub use queue::QueueMatch;
pub use result::MatchResult;

use self::cache::Cache;
use self::hash::Seed;
use self::slab::{Id, Slab};
use self::subscribers::Subscribers;
use self::trie::{Trie, Visit};
use crate::subject::{has_empty_token, is_insertable, is_literal};

/// What the list holds: something that wants messages. Cloned into results, so it should be cheap to clone.
pub trait Entry: Clone {
    /// Names the entry among all of the list.
    type Key: Copy + Eq + Hash;

    /// The name of this entry.
    fn key(&self) -> Self::Key;

    /// How many members of a queue group stand behind this entry; 0 is never picked.
    fn weight(&self) -> u32 {
        1
    }
}

/// The subscription list.
#[derive(Debug)]
pub struct Sublist<E: Entry> {
    /// Positions in `literals` by the hash of the subject.
    literal_table: HashTable<Id>,
    literals: Slab<Literal<E>>,
    wildcards: Trie<E>,
    cache: Cache<E>,
    /// Never stale: what a subject with an empty token matches.
    nobody: Rc<MatchResult<E>>,
    pending: Vec<Visit>,
    seed: Seed,
    count: usize,
    inserts: u64,
    removes: u64,
    matches: u64,
    cache_hits: u64,
}

#[derive(Debug)]
struct Literal<E: Entry> {
    subject: Box<[u8]>,
    subscribers: Subscribers<E>,
}

/// Nobody can subscribe to this: an empty token, or `>` before the last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSubject;

impl std::fmt::Display for InvalidSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sublist: invalid subject")
    }
}

impl std::error::Error for InvalidSubject {}

/// How far a paged walk over all entries has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Within the subjects without wildcards.
    Literal(u32),
    /// Within the patterns.
    Wildcard(u32),
}

impl Cursor {
    /// Before the first entry.
    pub const START: Cursor = Cursor::Literal(0);
}

/// The numbers of /subsz; sums of several lists come from [`Stats::add`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// JSON: `num_subscriptions`.
    pub subscriptions: u64,
    /// JSON: `num_cache`: cached results.
    pub cached: u64,
    /// JSON: `num_inserts`.
    pub inserts: u64,
    /// JSON: `num_removes`.
    pub removes: u64,
    /// JSON: `num_matches`.
    pub matches: u64,
    /// Matches that the cache answered.
    pub cache_hits: u64,
    /// JSON: `max_fanout`: plain subscribers and queue groups of the largest cached result.
    pub fanout_max: u64,
    /// The same, summed over all cached results.
    pub fanout_sum: u64,
}

impl Stats {
    /// Adds another list's numbers.
    pub fn add(&mut self, other: &Stats) {
        self.subscriptions += other.subscriptions;
        self.cached += other.cached;
        self.inserts += other.inserts;
        self.removes += other.removes;
        self.matches += other.matches;
        self.cache_hits += other.cache_hits;
        self.fanout_max = self.fanout_max.max(other.fanout_max);
        self.fanout_sum += other.fanout_sum;
    }

    /// JSON: `cache_hit_rate`, 0 to 1.
    pub fn cache_hit_rate(&self) -> f64 {
        ratio(self.cache_hits, self.matches)
    }

    /// JSON: `avg_fanout`.
    pub fn fanout_average(&self) -> f64 {
        ratio(self.fanout_sum, self.cached)
    }
}

impl<E: Entry> Sublist<E> {
    /// An empty list. `seed` comes from the entropy seam and keeps colliding subjects from being prepared.
    pub fn new(seed: u64) -> Sublist<E> {
        Sublist::with_cache_size(seed, RESULTS_MAX)
    }

    /// An empty list that caches at most `results_max` results (at least one).
    pub fn with_cache_size(seed: u64, results_max: usize) -> Sublist<E> {
        let seed = Seed::new(seed);
        Sublist {
            literal_table: HashTable::new(),
            literals: Slab::new(),
            wildcards: Trie::new(seed),
            cache: Cache::new(seed, results_max.max(1)),
            nobody: Rc::new(MatchResult::new()),
            pending: Vec::new(),
            seed,
            count: 0,
            inserts: 0,
            removes: 0,
            matches: 0,
            cache_hits: 0,
        }
    }

    /// Adds an entry. One of the same key at the same subject and queue group is replaced and returned.
    pub fn insert(
        &mut self,
        subject: &[u8],
        queue: Option<&[u8]>,
        entry: E,
    ) -> Result<Option<E>, InvalidSubject> {
        if !is_insertable(subject) {
            return Err(InvalidSubject);
        }
        let replaced = if is_literal(subject) {
            let hash = self.seed.bytes(subject);
            self.cache.invalidate_literal(hash, subject);
            let id = self.literal_id(hash, subject);
            self.literals[id].subscribers.insert(queue, entry, self.seed)
        } else {
            self.cache.invalidate_pattern(subject);
            let id = self.wildcards.insert(subject);
            self.wildcards.subscribers_mut(id).insert(queue, entry, self.seed)
        };
        self.inserts += 1;
        self.count += usize::from(replaced.is_none());
        Ok(replaced)
    }

    /// Removes the entry of this key at this subject and queue group.
    pub fn remove(&mut self, subject: &[u8], queue: Option<&[u8]>, key: E::Key) -> Option<E> {
        let removed = if is_literal(subject) {
            self.remove_literal(subject, queue, key)?
        } else {
            let id = self.wildcards.find(subject)?;
            let removed = self.wildcards.subscribers_mut(id).remove(queue, key, self.seed)?;
            self.wildcards.prune(id);
            self.cache.invalidate_pattern(subject);
            removed
        };
        self.removes += 1;
        self.count -= 1;
        Some(removed)
    }

    /// Everyone a message to `subject` goes to. `*` and `>` in it are text; with an empty token it reaches nobody.
    ///
    /// The result may be kept and used again for the same subject while it is not stale.
    #[inline]
    pub fn matches(&mut self, subject: &[u8]) -> Rc<MatchResult<E>> {
        self.matches += 1;
        let hash = self.seed.bytes(subject);
        if let Some(result) = self.cache.get(hash, subject) {
            self.cache_hits += 1;
            return Rc::clone(result);
        }
        self.compute(hash, subject)
    }

    /// Whether anyone is subscribed to what matches `subject`. Neither fills nor touches the cache.
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        let hash = self.seed.bytes(subject);
        if let Some(result) = self.cache.peek(hash, subject) {
            return !result.is_empty();
        }
        if has_empty_token(subject) {
            return false;
        }
        self.find_literal(hash, subject).is_some() || self.wildcards.walk(subject, &mut Vec::new(), |_| true)
    }

    /// The plain entries at exactly `subject`, a pattern or not; nothing is matched.
    pub fn plain_at(&self, subject: &[u8]) -> &[E] {
        let subscribers = if is_literal(subject) {
            self.find_literal(self.seed.bytes(subject), subject)
                .map(|id| &self.literals[id].subscribers)
        } else {
            self.wildcards
                .find(subject)
                .map(|id| self.wildcards.subscribers(id))
        };
        subscribers.map_or(&[], Subscribers::plain)
    }

    /// How many entries the list holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Shows entries to `visit` (subject, queue, entry) from `cursor` on, and stops after the first subject at which
    /// `limit` entries were shown. Returns where to go on, or None after the last.
    ///
    /// Between two pages the list may change: an entry that stays is shown exactly once, provided it is not the last
    /// of its subject that goes and comes back. The order depends on the history alone.
    pub fn for_each_from(
        &self,
        cursor: Cursor,
        limit: usize,
        mut visit: impl FnMut(&[u8], Option<&[u8]>, &E),
    ) -> Option<Cursor> {
        let mut shown = 0;
        let mut wildcard_from = 0;
        match cursor {
            Cursor::Wildcard(from) => wildcard_from = from,
            Cursor::Literal(mut from) => {
                while let Some((id, literal)) = self.literals.next_used(from) {
                    literal
                        .subscribers
                        .for_each(&mut |queue, entry| visit(&literal.subject, queue, entry));
                    shown += literal.subscribers.count();
                    from = id + 1;
                    if shown >= limit {
                        return Some(Cursor::Literal(from));
                    }
                }
            }
        }
        let mut pattern = Vec::new();
        while let Some((id, subscribers)) = self.wildcards.next_from(wildcard_from, &mut pattern) {
            subscribers.for_each(&mut |queue, entry| visit(&pattern, queue, entry));
            shown += subscribers.count();
            wildcard_from = id + 1;
            if shown >= limit {
                return Some(Cursor::Wildcard(wildcard_from));
            }
        }
        None
    }

    /// The numbers of /subsz. Walks the cached results.
    pub fn stats(&self) -> Stats {
        let fanouts = || self.cache.results().map(|result| result.fanout() as u64);
        Stats {
            subscriptions: self.count as u64,
            cached: self.cache.len() as u64,
            inserts: self.inserts,
            removes: self.removes,
            matches: self.matches,
            cache_hits: self.cache_hits,
            fanout_max: fanouts().max().unwrap_or(0),
            fanout_sum: fanouts().sum(),
        }
    }

    #[cold]
    fn compute(&mut self, hash: u64, subject: &[u8]) -> Rc<MatchResult<E>> {
        if has_empty_token(subject) {
            return Rc::clone(&self.nobody);
        }
        let mut result = MatchResult::new();
        if let Some(id) = self.find_literal(hash, subject) {
            result.add(&self.literals[id].subscribers);
        }
        self.wildcards.walk(subject, &mut self.pending, |subscribers| {
            result.add(subscribers);
            false
        });
        let result = Rc::new(result);
        self.cache.insert(hash, subject, &result);
        result
    }

    #[inline]
    fn find_literal(&self, hash: u64, subject: &[u8]) -> Option<Id> {
        self.literal_table
            .find(hash, |&id| *self.literals[id].subject == *subject)
            .copied()
    }

    fn literal_id(&mut self, hash: u64, subject: &[u8]) -> Id {
        if let Some(id) = self.find_literal(hash, subject) {
            return id;
        }
        let id = self.literals.insert(Literal {
            subject: Box::from(subject),
            subscribers: Subscribers::None,
        });
        self.literal_table
            .insert_unique(hash, id, |&id| self.seed.bytes(&self.literals[id].subject));
        id
    }

    fn remove_literal(&mut self, subject: &[u8], queue: Option<&[u8]>, key: E::Key) -> Option<E> {
        let hash = self.seed.bytes(subject);
        let slot = self
            .literal_table
            .find_entry(hash, |&id| *self.literals[id].subject == *subject)
            .ok()?;
        let id = *slot.get();
        let removed = self.literals[id].subscribers.remove(queue, key, self.seed)?;
        self.cache.invalidate_literal(hash, subject);
        if self.literals[id].subscribers.is_empty() {
            slot.remove();
            self.literals.remove(id);
            shrink(&mut self.literal_table, |&id| {
                self.seed.bytes(&self.literals[id].subject)
            });
        }
        Some(removed)
    }
}

/// Gives memory of a table back once it is mostly empty, so that a wave of subscriptions leaves nothing behind.
fn shrink<T>(table: &mut HashTable<T>, hash_of: impl Fn(&T) -> u64) {
    const SMALL: usize = 64;
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash_of);
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}
