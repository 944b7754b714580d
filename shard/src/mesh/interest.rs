//! Interest as it crosses the mesh: what one shard tells the others of its subscriptions.

use std::collections::BTreeMap;

use crate::ids::AccountId;

/// What interest is about. Ordered, so that kept states leave in the same order on every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterestKey {
    /// Whose subject space.
    pub account: AccountId,
    /// The subject, wildcards included.
    pub subject: Box<[u8]>,
    /// The queue group, if any.
    pub queue: Option<Box<[u8]>>,
}

/// The newest state of one shard's interest in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterestChange {
    /// About what.
    pub key: InterestKey,
    /// Members of the queue group there, 1 for plain interest, 0 when it is gone.
    pub weight: u32,
}

/// Changes that did not fit a full lane: only the newest state per key, so bounded by the subscriptions.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<InterestKey, u32>);

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put(&mut self, change: InterestChange) {
        self.0.insert(change.key, change.weight);
    }

    pub(super) fn pop(&mut self) -> Option<InterestChange> {
        self.0
            .pop_first()
            .map(|(key, weight)| InterestChange { key, weight })
    }
}
