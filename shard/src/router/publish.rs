//! A message from a connection of this shard.

use std::rc::Rc;

use super::deliver::{is_behind, Inbound};
use super::last_match::LastMatch;
use crate::account::Account;
use crate::conn::{Connection, Subscriber};
use crate::ids::{AccountId, ConnectionId};
use crate::io::Sabotage;
use crate::mesh::{append_message, shards_of, Message};
use crate::runtime::Shard;
use crate::sublist::{MatchResult, QueueMatch};

/// What a publication asks of the router.
#[derive(Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) reply: Option<&'a [u8]>,
    pub(crate) header_size: Option<usize>,
    pub(crate) message: &'a [u8],
}

impl<'a> Publication<'a> {
    /// The message as it goes to subscriptions.
    pub(super) fn inbound(&self, origin: ConnectionId, origin_shard: u16) -> Inbound<'a> {
        Inbound {
            subject: self.subject,
            reply: self.reply,
            header_size: self.header_size,
            message: self.message,
            origin,
            origin_shard,
            is_from_service: false,
        }
    }
}

/// What the walk over a match came to on this shard, and what is left for others.
pub(super) struct Spread<'r> {
    /// Somebody here got it.
    pub(super) delivered: bool,
    /// Shards with plain interest, bits.
    remote: u64,
    /// Queue groups whose picked member is on another shard.
    picked: Vec<(usize, &'r [u8])>,
}

impl Spread<'_> {
    fn targets(&self) -> u64 {
        let picked = self.picked.iter();
        picked.fold(self.remote, |bits, (shard, _)| bits | 1 << shard)
    }

    /// The plain subscriptions of a shard get it, whether it has interest or not.
    pub(super) fn add_plain(&mut self, shard: usize) {
        self.remote |= 1 << shard;
    }

    /// Parts that go to other shards.
    pub(super) fn parts(&self) -> u32 {
        self.remote.count_ones() + Message::parts(false, self.picked.len())
    }
}

impl Shard {
    /// Routes what `connection` published to everyone who wants it.
    pub(crate) fn publish(&self, connection: &Rc<Connection>, publication: &Publication<'_>) {
        let account = connection.account.borrow();
        if account.has_services.get() || Self::is_service_reply(publication.subject) {
            let account = Rc::clone(&account);
            self.publish_across(connection, &account, publication);
            return;
        }
        let result = LastMatch::find(&connection.last_match, &account, publication.subject);
        let message = publication.inbound(connection.id, self.id().0);
        let spread = self.spread(&result, &message, Some(connection));
        let parts = spread.parts();
        if parts == 0 {
            if !spread.delivered {
                self.nobody(connection, &account, publication);
            }
            return;
        }
        let wants_answer = !spread.delivered && publication.reply.is_some() && connection.no_responders.get();
        let request = if wants_answer { self.open_request(parts) } else { 0 };
        self.cross(&spread, account.id, &message, request, Some(connection));
    }

    /// Routes a message of the server itself: no connection waits for room, mapping and services do not touch it.
    pub(crate) fn publish_own(&self, account: &Account, publication: &Publication<'_>) {
        let result = account.sublist.borrow_mut().matches(publication.subject);
        let message = publication.inbound(ConnectionId(0), self.id().0);
        let spread = self.spread(&result, &message, None);
        if spread.parts() > 0 {
            self.cross(&spread, account.id, &message, 0, None);
        }
    }

    /// Delivers to the subscriptions of this shard and picks a member of each queue group.
    #[inline]
    pub(super) fn spread<'r>(
        &self,
        result: &'r MatchResult<Subscriber>,
        message: &Inbound<'_>,
        publisher: Option<&Rc<Connection>>,
    ) -> Spread<'r> {
        let mut spread = Spread {
            delivered: false,
            remote: 0,
            picked: Vec::new(),
        };
        for entry in &result.plain {
            match entry {
                Subscriber::Local(subscription) => {
                    if self.deliver(subscription, message) {
                        spread.delivered = true;
                        if let Some(publisher) = publisher {
                            self.note_behind(publisher, &subscription.connection);
                        }
                    }
                }
                Subscriber::Remote { shard, .. } => spread.remote |= 1 << shard.index(),
            }
        }
        for queue in &result.queues {
            match self.pick_member(queue, message) {
                Pick::Delivered => spread.delivered = true,
                Pick::Shard(shard) => spread.picked.push((shard, &*queue.name)),
                Pick::Nobody => {}
            }
        }
        spread
    }

    /// Sends the rest to the other shards, once to each.
    pub(super) fn cross(
        &self,
        spread: &Spread<'_>,
        account: AccountId,
        message: &Inbound<'_>,
        request: u32,
        publisher: Option<&Rc<Connection>>,
    ) {
        for target in shards_of(spread.targets()) {
            let envelope = Message {
                plain: spread.remote & 1 << target != 0,
                // Not this shard: its members were not asked, and one of them may be all that is left when
                // the picked one is gone.
                visited: u64::from(self.io().sabotaged(Sabotage::NeverHandBack)) << self.id().index(),
                ..message.envelope(account, request)
            };
            let groups = spread
                .picked
                .iter()
                .filter(move |(shard, _)| *shard == target)
                .map(|(_, name)| *name);
            self.send_groups(publisher, target, &envelope, groups);
        }
    }

    /// A publisher whose target has no room is not read for a while; what answers mesh input is bounded by the overflow.
    fn send_groups<'g>(
        &self,
        publisher: Option<&Rc<Connection>>,
        target: usize,
        envelope: &Message<'_>,
        groups: impl Iterator<Item = &'g [u8]> + Clone,
    ) {
        let Some(publisher) = publisher else {
            self.mesh()
                .send_answer(target, |out| append_message(out, envelope, groups));
            return;
        };
        self.mesh().send_message(target, envelope, groups);
        if self.mesh().is_blocked(target) {
            publisher.blocked_on.set(publisher.blocked_on.get() | 1 << target);
        }
    }

    /// Nobody got the message: a requester that asked for it is told.
    pub(super) fn nobody(
        &self,
        connection: &Rc<Connection>,
        account: &Account,
        publication: &Publication<'_>,
    ) {
        if let (Some(reply), true) = (publication.reply, connection.no_responders.get()) {
            self.send_no_responders(connection, account, publication.subject, reply);
        }
    }

    /// Notes a consumer that is behind, so that its publisher is held after this batch.
    fn note_behind(&self, publisher: &Rc<Connection>, consumer: &Rc<Connection>) {
        let settings = self.settings_ref();
        if !settings.stalls_producers || !is_behind(consumer.pending_size(), settings.pending_size_max) {
            return;
        }
        if !Rc::ptr_eq(publisher, consumer) {
            *publisher.stalled_by.borrow_mut() = Some(Rc::clone(consumer));
        }
    }

    /// Chooses a member of a queue group among local ones and, by weight, those of other shards. A local
    /// one that cannot take it is replaced by another.
    fn pick_member(&self, queue: &QueueMatch<Subscriber>, message: &Inbound<'_>) -> Pick {
        let Some(first) = queue.pick(self.io().entropy()) else {
            return Pick::Nobody;
        };
        match &queue.members[first] {
            Subscriber::Remote { shard, .. } => return Pick::Shard(shard.index()),
            Subscriber::Local(subscription) => {
                if self.deliver(subscription, message) {
                    return Pick::Delivered;
                }
            }
        }
        if self.deliver_to_sibling(queue, first, message) {
            return Pick::Delivered;
        }
        // No local member takes it: one of another shard then.
        let remote = |entry: &Subscriber| matches!(entry, Subscriber::Remote { .. });
        match queue
            .pick_among(self.io().entropy(), remote)
            .map(|at| &queue.members[at])
        {
            Some(Subscriber::Remote { shard, .. }) => Pick::Shard(shard.index()),
            _ => Pick::Nobody,
        }
    }

    /// Tries the other local members of a group, from `first` on around.
    pub(super) fn deliver_to_sibling(
        &self,
        queue: &QueueMatch<Subscriber>,
        first: usize,
        message: &Inbound<'_>,
    ) -> bool {
        let count = queue.members.len();
        (1..count)
            .map(|step| &queue.members[(first + step) % count])
            .any(|entry| match entry {
                Subscriber::Local(subscription) => self.deliver(subscription, message),
                Subscriber::Remote { .. } => false,
            })
    }
}

enum Pick {
    Delivered,
    Shard(usize),
    Nobody,
}
