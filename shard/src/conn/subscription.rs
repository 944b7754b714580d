//! A subscription of a connection on this shard, and how it stands in the subscription list beside the
//! interest of other shards.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::Connection;
use crate::account::Account;
use crate::ids::ShardId;
use crate::rules::StreamRoute;
use crate::sublist::Entry;

/// What a client subscribed to.
pub struct Subscription {
    /// Unique on the shard.
    pub number: u64,
    /// Whose it is.
    pub connection: Rc<Connection>,
    /// The client's name for it.
    pub sid: Box<[u8]>,
    /// Its subject.
    pub subject: Box<[u8]>,
    /// Its queue group.
    pub queue: Option<Box<[u8]>>,
    /// Messages delivered. JSON: `msgs`.
    pub delivered: Cell<u64>,
    /// It ends after this many deliveries; 0 is never. JSON: `max`.
    pub delivered_max: Cell<u64>,
    /// Some messages it matches may be denied: each is looked at before it is delivered.
    pub(crate) is_filtered: Cell<bool>,
    /// It stands in another account's list for one of its connection's own.
    pub(crate) shadow: Option<Box<Shadow>>,
    /// It is in the list.
    pub is_live: Cell<bool>,
}

/// What makes a subscription in the list of an exporting account: it delivers to a subscription of the importing one.
pub(crate) struct Shadow {
    /// Whose messages they become.
    pub(crate) of: Rc<Subscription>,
    /// The exporting account.
    pub(crate) account: Rc<Account>,
    /// How subjects become those of the importing account.
    pub(crate) route: Arc<StreamRoute>,
}

/// One entry of a subscription list.
#[derive(Clone)]
pub enum Subscriber {
    /// A subscription of this shard.
    Local(Rc<Subscription>),
    /// Interest of another shard; one crossing serves all its subscribers.
    Remote {
        /// Which.
        shard: ShardId,
        /// Members of the queue group there; 1 for plain interest.
        weight: u32,
    },
}

/// Names an entry: a subscription's number, or a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberKey(u64);

impl SubscriberKey {
    /// The key of a local subscription.
    pub fn local(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    /// The key of another shard's interest.
    pub fn remote(shard: ShardId) -> Self {
        Self(u64::from(shard.0) << 1)
    }
}

impl Entry for Subscriber {
    type Key = SubscriberKey;

    fn key(&self) -> SubscriberKey {
        match self {
            Subscriber::Local(subscription) => SubscriberKey::local(subscription.number),
            Subscriber::Remote { shard, .. } => SubscriberKey::remote(*shard),
        }
    }

    fn weight(&self) -> u32 {
        match self {
            Subscriber::Local(_) => 1,
            Subscriber::Remote { weight, .. } => *weight,
        }
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subscriber::Local(subscription) => write!(f, "Local({})", subscription.number),
            Subscriber::Remote { shard, weight } => write!(f, "Remote({}, {weight})", shard.0),
        }
    }
}
