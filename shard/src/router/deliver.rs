//! One message to one subscription of this shard.

use std::rc::Rc;

use crate::conn::{Connection, Shadow, Subscription};
use crate::ids::{AccountId, ConnectionId};
use crate::io::Sabotage;
use crate::mesh::Message;
use crate::proto::writer;
use crate::runtime::Shard;

/// A message on its way to subscriptions of this shard.
#[derive(Clone, Copy)]
pub struct Inbound<'a> {
    /// Where to.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// Size of the header block at the front of `message`, if there is one.
    pub header_size: Option<usize>,
    /// Headers and payload.
    pub message: &'a [u8],
    /// Who published it.
    pub origin: ConnectionId,
    /// On which shard.
    pub origin_shard: u16,
    /// It came into this account by a service import: streams that the account exports do not carry it on.
    pub is_from_service: bool,
}

impl<'a> Inbound<'a> {
    /// A message from another shard.
    pub(super) fn of(envelope: &Message<'a>) -> Inbound<'a> {
        Inbound {
            subject: envelope.subject,
            reply: envelope.reply,
            header_size: envelope.header_size,
            message: envelope.message,
            origin: envelope.origin,
            origin_shard: envelope.origin_shard,
            is_from_service: envelope.is_from_service,
        }
    }

    /// The message for the plain subscriptions of another shard.
    pub(super) fn envelope(&self, account: AccountId, request: u32) -> Message<'a> {
        Message {
            account,
            origin: self.origin,
            origin_shard: self.origin_shard,
            plain: true,
            hand_on: false,
            is_from_service: self.is_from_service,
            request,
            visited: 0,
            subject: self.subject,
            reply: self.reply,
            header_size: self.header_size,
            message: self.message,
        }
    }

    fn append(&self, out: &mut Vec<u8>, sid: &[u8], with_headers: bool) {
        match self.header_size {
            None => writer::msg(out, self.subject, sid, self.reply, self.message),
            Some(size) if with_headers => {
                writer::hmsg(out, self.subject, sid, self.reply, size, self.message);
            }
            Some(size) => writer::hmsg_stripped(out, self.subject, sid, self.reply, size, self.message),
        }
    }
}

/// A consumer that is behind: its publishers are held for a moment.
pub(super) fn is_behind(pending_size: usize, pending_size_max: usize) -> bool {
    pending_size > pending_size_max / 4 * 3
}

impl Shard {
    /// Delivers to one subscription; `false`: it does not take the message.
    #[inline]
    pub(super) fn deliver(&self, subscription: &Rc<Subscription>, message: &Inbound<'_>) -> bool {
        if let Some(shadow) = &subscription.shadow {
            return self.deliver_imported(shadow, message);
        }
        let connection = &subscription.connection;
        if !subscription.is_live.get()
            || !connection.is_open()
            || (connection.id == message.origin && !connection.echo.get())
        {
            return false;
        }
        if let Some(permits) = &*connection.permits.borrow() {
            if subscription.is_filtered.get()
                && permits.denies(message.subject, subscription.queue.as_deref())
            {
                return false;
            }
            if let Some(reply) = message.reply {
                permits.note_request(reply, self.batch_time());
            }
        }
        let delivered = subscription.delivered.get() + 1;
        let delivered_max = subscription.delivered_max.get();
        subscription.delivered.set(delivered);
        let pending_size = self.append_to(connection, subscription, message);
        let late = u64::from(self.io().sabotaged(Sabotage::CountOneMore));
        if delivered_max != 0 && delivered >= delivered_max + late {
            self.end_subscription(subscription);
        }
        let settings = self.settings_ref();
        if pending_size > settings.pending_size_max {
            self.relieve(connection);
        }
        true
    }

    /// Delivers a message of another account's stream, under the subject it has here.
    fn deliver_imported(&self, shadow: &Shadow, message: &Inbound<'_>) -> bool {
        if message.is_from_service {
            return false;
        }
        let mut subject = Vec::new();
        shadow.route.rewrite(message.subject, &mut subject);
        let imported = Inbound {
            subject: &subject,
            ..*message
        };
        self.deliver(&shadow.of, &imported)
    }

    #[inline]
    fn append_to(
        &self,
        connection: &Rc<Connection>,
        subscription: &Subscription,
        message: &Inbound<'_>,
    ) -> usize {
        connection.out_msgs.set(connection.out_msgs.get() + 1);
        connection.last_active.set(self.batch_time());
        let mut outbound = connection.outbound.borrow_mut();
        let tail = outbound.tail(self.pool());
        let with_headers = connection.headers.get();
        message.append(tail, &subscription.sid, with_headers);
        let size = match message.header_size {
            Some(header_size) if !with_headers => message.message.len() - header_size,
            _ => message.message.len(),
        };
        connection.out_bytes.set(connection.out_bytes.get() + size as u64);
        if !outbound.is_touched {
            outbound.is_touched = true;
            self.touch(connection);
        }
        outbound.pending_size()
    }

    /// Whether a connection of this shard has so much pending that its publishers are slowed down.
    pub(crate) fn is_connection_behind(&self, connection: &Connection) -> bool {
        connection.is_open() && is_behind(connection.pending_size(), self.settings_ref().pending_size_max)
    }
}
