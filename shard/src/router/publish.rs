//! A message from a connection of this shard.

use std::rc::Rc;

use super::deliver::{is_behind, Inbound};
use super::last_match::LastMatch;
use crate::account::Account;
use crate::conn::{Connection, Subscriber};
use crate::io::Sabotage;
use crate::mesh::{shards_of, Message};
use crate::runtime::Shard;
use crate::sublist::QueueMatch;

/// What a publication asks of the router.
#[derive(Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) reply: Option<&'a [u8]>,
    pub(crate) header_size: Option<usize>,
    pub(crate) message: &'a [u8],
}

impl Shard {
    /// Routes what `connection` published to everyone who wants it.
    pub(crate) fn publish(&self, connection: &Rc<Connection>, publication: &Publication<'_>) {
        let account = connection.account.borrow();
        let result = LastMatch::find(&connection.last_match, &account, publication.subject);
        let message = Inbound {
            subject: publication.subject,
            reply: publication.reply,
            header_size: publication.header_size,
            message: publication.message,
            origin: connection.id,
        };
        let mut delivered = false;
        let mut remote = 0u64;
        for entry in &result.plain {
            match entry {
                Subscriber::Local(subscription) => {
                    if self.deliver(subscription, &message) {
                        delivered = true;
                        self.note_behind(connection, &subscription.connection);
                    }
                }
                Subscriber::Remote { shard, .. } => remote |= 1 << shard.index(),
            }
        }
        let mut picked = Vec::new();
        for queue in &result.queues {
            match self.pick_member(queue, &message) {
                Pick::Delivered => delivered = true,
                Pick::Shard(shard) => picked.push((shard, &*queue.name)),
                Pick::Nobody => {}
            }
        }
        let targets = picked.iter().fold(remote, |bits, (shard, _)| bits | 1 << shard);
        if targets == 0 {
            if !delivered {
                self.nobody(connection, &account, publication);
            }
            return;
        }
        let wants_answer = !delivered && publication.reply.is_some() && connection.no_responders.get();
        let request = if wants_answer {
            self.open_request(remote.count_ones() + Message::parts(false, picked.len()))
        } else {
            0
        };
        for target in shards_of(targets) {
            let envelope = Message {
                account: account.id,
                origin: connection.id,
                origin_shard: self.id().0,
                plain: remote & 1 << target != 0,
                hand_on: false,
                request,
                // Not this shard: its members were not asked, and one of them may be all that is left when
                // the picked one is gone.
                visited: u64::from(self.io().sabotaged(Sabotage::NeverHandBack)) << self.id().index(),
                subject: publication.subject,
                reply: publication.reply,
                header_size: publication.header_size,
                message: publication.message,
            };
            let groups = picked
                .iter()
                .filter(move |(shard, _)| *shard == target)
                .map(|(_, name)| *name);
            self.mesh().send_message(target, &envelope, groups);
            if self.mesh().is_blocked(target) {
                connection
                    .blocked_on
                    .set(connection.blocked_on.get() | 1 << target);
            }
        }
    }

    /// Nobody got the message: a requester that asked for it is told.
    fn nobody(&self, connection: &Rc<Connection>, account: &Account, publication: &Publication<'_>) {
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
