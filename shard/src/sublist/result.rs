//! What a subject matched: the answer of the list, shared between its cache and those who keep it.
//!
//! Owns: the shape of a result and its stale flag. Not here: when results become stale (`cache`).

use std::cell::Cell;
use std::rc::Rc;

use super::queue::QueueMatch;
use super::subscribers::{QueueGroup, Subscribers};
use super::Entry;

/// Everyone a message to one subject goes to. Only the flag ever changes.
///
/// It holds clones of the entries, so who keeps a result should let go of it once it is stale.
#[derive(Debug)]
pub struct MatchResult<E> {
    /// Each gets a copy.
    pub plain: Vec<E>,
    /// One member of each group gets a copy. Sorted by name.
    pub queues: Vec<QueueMatch<E>>,
    stale: Cell<bool>,
}

impl<E: Entry> MatchResult<E> {
    pub(super) fn new() -> MatchResult<E> {
        MatchResult {
            plain: Vec::new(),
            queues: Vec::new(),
            stale: Cell::new(false),
        }
    }

    /// Whether the list may answer differently now. A result that is not stale may be kept and used again for the
    /// same subject of the same list; a stale one is good for the message it was asked for.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.stale.get()
    }

    /// Whether nobody matched.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    /// Plain subscribers and queue groups: how many copies one message becomes.
    pub fn fanout(&self) -> usize {
        self.plain.len() + self.queues.len()
    }

    /// How many entries the result holds: what it costs to keep.
    pub(super) fn size(&self) -> usize {
        let queued: usize = self.queues.iter().map(|queue| queue.members.len()).sum();
        self.plain.len() + queued
    }

    pub(super) fn mark_stale(&self) {
        self.stale.set(true);
    }

    pub(super) fn add(&mut self, subscribers: &Subscribers<E>) {
        match subscribers {
            Subscribers::None => {}
            Subscribers::One(entry) => self.plain.push(entry.clone()),
            Subscribers::Many(many) => {
                self.plain.extend_from_slice(&many.plain.list);
                many.queues.iter().for_each(|group| self.add_group(group));
            }
        }
    }

    fn add_group(&mut self, group: &QueueGroup<E>) {
        match self.queues.binary_search_by(|queue| queue.name.cmp(&group.name)) {
            Ok(at) => self.queues[at].extend(&group.members.list),
            Err(at) => self
                .queues
                .insert(at, QueueMatch::new(Rc::clone(&group.name), &group.members.list)),
        }
    }
}
