//! A message from another shard: deliver, try siblings, hand on, or say that nobody got it.

use std::rc::Rc;

use super::deliver::{is_behind, Inbound};
use super::last_match::LastMatch;
use crate::account::Account;
use crate::conn::Subscriber;
use crate::io::Sabotage;
use crate::mesh::{Envelope, Groups, Message};
use crate::runtime::Shard;
use crate::sublist::{MatchResult, QueueMatch};

impl Shard {
    /// Takes one envelope. Which shard it came by does not matter: a hand-on is answered to its origin.
    pub(crate) fn receive(&self, envelope: Envelope<'_>) {
        match envelope {
            Envelope::Message(message, groups) => self.receive_message(&message, groups),
            Envelope::NotDelivered {
                origin,
                request,
                parts,
                subject,
                reply,
            } => self.not_delivered(origin, request, parts, subject, reply),
            Envelope::Stall { origin } => {
                if let Some(connection) = self.connection(origin) {
                    connection.hold_asked.set(true);
                }
            }
        }
    }

    fn receive_message(&self, envelope: &Message<'_>, groups: Groups<'_>) {
        let Some(account) = self.account(envelope.account) else {
            self.counters()
                .unknown_account
                .set(self.counters().unknown_account.get() + 1);
            self.answer_nobody(envelope, Message::parts(envelope.plain, groups.count()));
            return;
        };
        let message = Inbound::of(envelope);
        let result = LastMatch::find(self.mesh_match(), &account, envelope.subject);
        let mut delivered = envelope.plain
            && Self::is_service_reply(envelope.subject)
            && self.receive_answer(&account, envelope);
        if envelope.plain {
            for entry in &result.plain {
                if let Subscriber::Local(subscription) = entry {
                    if self.deliver(subscription, &message) {
                        delivered = true;
                        self.note_behind_remote(envelope, subscription);
                    }
                }
            }
        }
        let mut unserved = Vec::new();
        for name in groups {
            if self.deliver_to_group(&result, name, &message) {
                delivered = true;
            } else {
                unserved.push(name);
            }
        }
        // Who delivered keeps the request; else each part goes with its group, or ends here.
        let request = if delivered { 0 } else { envelope.request };
        let mut ended = Message::parts(envelope.plain, 0);
        for name in unserved {
            if !self.hand_on(&account, &result, name, envelope, request) {
                ended += 1;
                self.counters()
                    .hand_ons_dropped
                    .set(self.counters().hand_ons_dropped.get() + 1);
            }
        }
        if self.io().sabotaged(Sabotage::AnswerThoughDelivered) {
            self.answer_nobody(envelope, ended.max(1));
        } else if !delivered && ended > 0 {
            self.answer_nobody(envelope, ended);
        }
    }

    /// Tells the origin that nobody here got these parts of its request, if it wants to know.
    fn answer_nobody(&self, envelope: &Message<'_>, parts: u32) {
        let (Some(reply), true) = (envelope.reply, envelope.request != 0) else {
            return;
        };
        if self.io().sabotaged(Sabotage::ForgetToAnswer) {
            return;
        }
        self.io().hit("not_delivered");
        if parts > 1 {
            self.io().hit("not_delivered_parts");
        }
        let parts = if self.io().sabotaged(Sabotage::AnswerForOnePart) {
            1
        } else {
            parts
        };
        let (origin, request) = (envelope.origin, envelope.request);
        let origin_shard = usize::from(envelope.origin_shard);
        if origin_shard == self.id().index() {
            // It was handed on until it came back.
            self.not_delivered(origin, request, parts, envelope.subject, reply);
        } else {
            self.mesh()
                .send_not_delivered(origin_shard, origin, request, parts, envelope.subject, reply);
        }
    }

    fn deliver_to_group(&self, result: &MatchResult<Subscriber>, name: &[u8], message: &Inbound<'_>) -> bool {
        let Some(queue) = find_queue(result, name) else {
            return false;
        };
        let local = |entry: &Subscriber| matches!(entry, Subscriber::Local(_));
        let Some(first) = queue.pick_among(self.io().entropy(), local) else {
            return false;
        };
        let Subscriber::Local(subscription) = &queue.members[first] else {
            return false;
        };
        if self.io().sabotaged(Sabotage::ServeTwoMembers) {
            self.deliver_to_sibling(queue, first, message);
        }
        self.deliver(subscription, message) || self.deliver_to_sibling(queue, first, message)
    }

    /// Sends the message for one group to a shard that was not asked yet. With a `request` that shard answers
    /// the origin in our place when it has nobody either.
    fn hand_on(
        &self,
        account: &Rc<Account>,
        result: &MatchResult<Subscriber>,
        name: &[u8],
        envelope: &Message<'_>,
        request: u32,
    ) -> bool {
        let visited = envelope.visited | 1 << self.id().index();
        let Some(queue) = find_queue(result, name) else {
            return false;
        };
        let fresh = |entry: &Subscriber| match entry {
            Subscriber::Remote { shard, .. } => visited & 1 << shard.index() == 0,
            Subscriber::Local(_) => false,
        };
        let Some(at) = queue.pick_among(self.io().entropy(), fresh) else {
            return false;
        };
        let Subscriber::Remote { shard, .. } = &queue.members[at] else {
            return false;
        };
        let onward = Message {
            account: account.id,
            plain: false,
            hand_on: true,
            request: if self.io().sabotaged(Sabotage::HandOnWithoutTheRequest) {
                0
            } else {
                request
            },
            visited,
            ..*envelope
        };
        self.io().hit("hand_on");
        if request != 0 {
            self.io().hit("hand_on_of_request");
        }
        if self.io().sabotaged(Sabotage::DropAHandOn) {
            return true;
        }
        let copies = 1 + usize::from(self.io().sabotaged(Sabotage::DoubleDeliveryOnHandOn));
        for _ in 0..copies {
            self.mesh().send_answer(shard.index(), |out| {
                crate::mesh::append_message(out, &onward, std::iter::once(name));
            });
        }
        true
    }

    fn note_behind_remote(&self, envelope: &Message<'_>, subscription: &crate::conn::Subscription) {
        let settings = self.settings_ref();
        let consumer = &subscription.connection;
        if settings.stalls_producers && is_behind(consumer.pending_size(), settings.pending_size_max) {
            self.note_remote_stall(envelope.origin_shard, envelope.origin, consumer);
        }
    }
}

fn find_queue<'r>(result: &'r MatchResult<Subscriber>, name: &[u8]) -> Option<&'r QueueMatch<Subscriber>> {
    let at = result
        .queues
        .binary_search_by(|queue| (*queue.name).cmp(name))
        .ok()?;
    Some(&result.queues[at])
}
