//! An account as one shard knows it: its subscription list and what of it lives here.
//!
//! Owns: the list, the members of queue groups on this shard. Not here: who may use the account, what crosses to
//! others (`rules`).

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::conn::{Subscriber, SubscriberKey, Subscription, Traffic};
use crate::ids::{AccountId, ShardId};
use crate::mesh::{InterestChange, InterestKey};
use crate::rules::AccountRules;
use crate::sublist::{InvalidSubject, Stats, Sublist, RESULTS_MAX};

type SubjectAndGroup = (Box<[u8]>, Box<[u8]>);

/// One account on one shard.
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: Box<str>,
    rules: RefCell<Arc<AccountRules>>,
    /// Counts the rules it had, so that what was remembered of older ones is not used.
    pub(crate) rules_count: Cell<u64>,
    /// It imports services.
    pub(crate) has_services: Cell<bool>,
    /// It maps published subjects.
    pub(crate) has_mappings: Cell<bool>,
    /// Subscriptions in other accounts' lists on behalf of one here, by its number.
    pub(crate) shadows: RefCell<BTreeMap<u64, Vec<Rc<Subscription>>>>,
    pub(crate) sublist: RefCell<Sublist<Subscriber>>,
    /// Members of each queue group on this shard, which others take as the group's weight here.
    queue_members: RefCell<BTreeMap<SubjectAndGroup, u32>>,
    /// Connections of this shard bound to it.
    pub(crate) connections: Cell<u64>,
    /// Traffic of its connections that are gone.
    pub(crate) closed_traffic: Cell<Traffic>,
    /// Connections of this shard that were closed because they were too slow.
    pub(crate) slow_consumers: Cell<u64>,
    /// Subscriptions of connections of this shard that came and went: the list counts other shards' interest too.
    came: Cell<u64>,
    went: Cell<u64>,
    shard_count: usize,
}

impl Account {
    /// An account without subscriptions.
    pub(crate) fn new(rules: Arc<AccountRules>, seed: u64, shard_count: usize, caches_matches: bool) -> Self {
        // The smallest cache there is stands for none.
        let results_max = if caches_matches { RESULTS_MAX } else { 1 };
        Self {
            id: rules.id,
            name: rules.name.clone(),
            rules_count: Cell::new(0),
            has_services: Cell::new(!rules.service_routes.is_empty()),
            has_mappings: Cell::new(!rules.mappings.is_empty()),
            shadows: RefCell::default(),
            rules: RefCell::new(rules),
            sublist: RefCell::new(Sublist::with_cache_size(seed, results_max)),
            queue_members: RefCell::default(),
            connections: Cell::new(0),
            closed_traffic: Cell::new(Traffic::default()),
            slow_consumers: Cell::new(0),
            came: Cell::new(0),
            went: Cell::new(0),
            shard_count,
        }
    }

    /// The rules of the account in force.
    pub fn rules(&self) -> Ref<'_, Arc<AccountRules>> {
        self.rules.borrow()
    }

    /// Puts other rules in force.
    pub(crate) fn set_rules(&self, rules: Arc<AccountRules>) {
        self.rules_count.set(self.rules_count.get() + 1);
        self.has_services.set(!rules.service_routes.is_empty());
        self.has_mappings.set(!rules.mappings.is_empty());
        *self.rules.borrow_mut() = rules;
    }

    /// Connections of this shard bound to it.
    pub fn connections(&self) -> u64 {
        self.connections.get()
    }

    /// Connections of this shard that were closed because they were too slow.
    pub fn slow_consumers(&self) -> u64 {
        self.slow_consumers.get()
    }

    /// Traffic of its connections of this shard that are gone.
    pub fn closed_traffic(&self) -> Traffic {
        self.closed_traffic.get()
    }

    /// The numbers of /subsz for this shard: the list's own, without the interest of other shards.
    pub fn subscription_stats(&self) -> Stats {
        Stats {
            subscriptions: self.came.get() - self.went.get(),
            inserts: self.came.get(),
            removes: self.went.get(),
            ..self.sublist.borrow().stats()
        }
    }

    /// How many subscriptions connections of this shard have.
    pub fn subscription_count(&self) -> u64 {
        self.came.get() - self.went.get()
    }

    /// Looks into the subscription list.
    pub fn with_sublist<R>(&self, look: impl FnOnce(&Sublist<Subscriber>) -> R) -> R {
        look(&self.sublist.borrow())
    }

    fn change(&self, subject: &[u8], queue: Option<&[u8]>, weight: u32) -> InterestChange {
        let key = InterestKey {
            account: self.id,
            subject: subject.into(),
            queue: queue.map(Into::into),
        };
        InterestChange { key, weight }
    }

    /// Whether a local plain subscription stands at exactly this subject.
    fn has_local_plain(&self, subject: &[u8]) -> bool {
        let sublist = self.sublist.borrow();
        // At most one entry per other shard is not local, so the walk is short.
        let mut entries = sublist.plain_at(subject).iter().take(self.shard_count);
        entries.any(|entry| matches!(entry, Subscriber::Local(_)))
    }

    /// Adds a local subscription; what the other shards must hear of it.
    ///
    /// # Errors
    /// The subject is none.
    pub(crate) fn subscribe(
        &self,
        subscription: &Rc<Subscription>,
    ) -> Result<Option<InterestChange>, InvalidSubject> {
        let (subject, queue) = (&subscription.subject, subscription.queue.as_deref());
        let is_first = queue.is_none() && self.shard_count > 1 && !self.has_local_plain(subject);
        let entry = Subscriber::Local(Rc::clone(subscription));
        let replaced = self.sublist.borrow_mut().insert(subject, queue, entry)?;
        assert!(replaced.is_none(), "numbers of subscriptions are unique");
        self.came.set(self.came.get() + 1);
        if self.shard_count == 1 {
            return Ok(None);
        }
        Ok(match queue {
            None => is_first.then(|| self.change(subject, None, 1)),
            Some(group) => {
                let mut members = self.queue_members.borrow_mut();
                let count = members.entry((subject.clone(), group.into())).or_insert(0);
                *count += 1;
                Some(self.change(subject, queue, *count))
            }
        })
    }

    /// Removes a local subscription; what the other shards must hear of it.
    pub(crate) fn unsubscribe(&self, subscription: &Subscription) -> Option<InterestChange> {
        let (subject, queue) = (&subscription.subject, subscription.queue.as_deref());
        let key = SubscriberKey::local(subscription.number);
        let removed = self.sublist.borrow_mut().remove(subject, queue, key);
        assert!(removed.is_some(), "a live subscription is in the list");
        self.went.set(self.went.get() + 1);
        if self.shard_count == 1 {
            return None;
        }
        match queue {
            None => (!self.has_local_plain(subject)).then(|| self.change(subject, None, 0)),
            Some(group) => {
                let mut members = self.queue_members.borrow_mut();
                let key = (subject.clone(), group.into());
                let count = members.get_mut(&key).expect("counted when it subscribed");
                *count -= 1;
                let count = *count;
                if count == 0 {
                    members.remove(&key);
                }
                Some(self.change(subject, queue, count))
            }
        }
    }

    /// Takes what another shard told of its interest.
    pub(crate) fn apply_remote(&self, shard: ShardId, change: &InterestChange) {
        let (subject, queue) = (&change.key.subject, change.key.queue.as_deref());
        let mut sublist = self.sublist.borrow_mut();
        if change.weight == 0 {
            // Told before it was known: a group that came and went within one batch.
            drop(sublist.remove(subject, queue, SubscriberKey::remote(shard)));
            return;
        }
        let entry = Subscriber::Remote {
            shard,
            weight: change.weight,
        };
        let inserted = sublist.insert(subject, queue, entry);
        assert!(inserted.is_ok(), "the other shard accepted this subject");
    }
}
