//! What the operations of a client do.

use std::cell::Cell;
use std::rc::Rc;

use super::connection::{Connection, Door, State};
use super::serve::Admitted;
use super::subscription::Subscription;
use crate::io::Sabotage;
use crate::proto::connect::PROTOCOL_ASYNC_INFO;
use crate::proto::{writer, ClientError, CloseReason, Info, Op, Sub, Unsub};
use crate::router::Publication;
use crate::runtime::Shard;
use crate::subject::mapping::Selected;
use crate::subject::{is_valid_literal, token_count};

/// The queue group servers use among themselves; clients may not.
const SYSTEM_GROUP: &[u8] = b"_sys_";
/// Mapped replies of gateways: no client publishes to them.
const MAPPED_REPLY: &[u8] = b"_GR_.";
/// Raft groups.
const RAFT_GROUP: &[u8] = b"$NRG.";
/// Reply subjects a client cannot use: replies of services, acks of JetStream, mapped replies of gateways.
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"$JS.ACK.", MAPPED_REPLY];

fn is_reserved(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    prefixes
        .iter()
        .any(|prefix| subject.len() > prefix.len() && subject.starts_with(prefix))
}

impl Shard {
    /// Does what one operation of a client asks; what it may do, when it was let in by it.
    #[inline]
    pub(super) fn on_client_op(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        op: &Op<'_>,
    ) -> Option<Admitted> {
        self.trace_in(connection, op);
        match op {
            Op::Pub(publish) => self.on_publish(
                connection,
                &Publication {
                    subject: publish.subject,
                    reply: publish.reply,
                    header_size: None,
                    message: publish.payload,
                },
            ),
            Op::Hpub(publish) => self.on_publish(
                connection,
                &Publication {
                    subject: publish.subject,
                    reply: publish.reply,
                    header_size: Some(publish.header_size).filter(|&size| size > 0),
                    message: publish.message,
                },
            ),
            Op::Sub(sub) => self.on_sub(connection, sub),
            Op::Unsub(unsub) => self.on_unsub(connection, unsub),
            Op::Ping => self.on_ping(connection),
            Op::Pong => self.on_pong(connection),
            Op::Connect(json) => return self.on_connect(connection, json),
            Op::Err(text) => {
                tracing::error!(
                    "{} - Client Error {}",
                    connection.label(),
                    String::from_utf8_lossy(text)
                );
                self.close(connection, CloseReason::ParseError);
            }
            // Read and without effect: what only servers send is refused by the parser.
            Op::Info(_) | Op::Ok => {}
            Op::RoutedMsg(_)
            | Op::RemoteSub(_)
            | Op::RemoteUnsub(_)
            | Op::AccountSub(_)
            | Op::AccountUnsub(_) => unreachable!("the parser refuses operations of servers from a client"),
        }
        None
    }

    #[inline]
    fn on_publish(&self, connection: &Rc<Connection>, publication: &Publication<'_>) {
        connection.in_msgs.set(connection.in_msgs.get() + 1);
        connection
            .in_bytes
            .set(connection.in_bytes.get() + publication.message.len() as u64);
        if connection.is_pedantic.get() && !is_valid_literal(publication.subject) {
            self.send_error(connection, &ClientError::InvalidPublishSubject);
        }
        if connection.account.borrow().has_mappings.get() {
            self.publish_mapped(connection, publication);
        } else {
            self.publish_permitted(connection, publication);
        }
    }

    /// Publishes to what the account's mappings make of the subject: permissions are asked about that.
    fn publish_mapped(&self, connection: &Rc<Connection>, publication: &Publication<'_>) {
        let mut mapped = Vec::new();
        let account = connection.account();
        let selected = self.map_subject(&account, publication.subject, &mut mapped);
        // Nobody can listen to the empty subject: what is dropped is checked and counted like the rest.
        let subject = match selected {
            Selected::Unmapped => publication.subject,
            Selected::Mapped | Selected::Dropped => &mapped,
        };
        let mapped = Publication {
            subject,
            ..*publication
        };
        self.publish_permitted(connection, &mapped);
    }

    #[inline]
    fn publish_permitted(&self, connection: &Rc<Connection>, publication: &Publication<'_>) {
        let (subject, reply) = (publication.subject, publication.reply);
        if matches!(subject.first(), Some(b'_' | b'$')) && self.is_refused(connection, subject) {
            self.deny_publish(connection, subject);
            return;
        }
        let is_denied = match &*connection.permits.borrow() {
            Some(permits) => !permits.may_publish(subject, self.batch_time()),
            None => false,
        };
        if is_denied && !self.io().sabotaged(Sabotage::LeakAPermission) {
            self.deny_publish(connection, subject);
            return;
        }
        if let Some(reply) = reply.filter(|reply| is_reserved(reply, &RESERVED_REPLIES)) {
            self.send_error(connection, &ClientError::ReplyDenied { reply });
            let shown = String::from_utf8_lossy(reply);
            tracing::error!("{} - Publish Violation - Reply {shown:?}", connection.label());
            return;
        }
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
        self.publish(connection, publication);
    }

    /// Whether nobody may publish there; raft groups are for the system account alone.
    fn is_refused(&self, connection: &Connection, subject: &[u8]) -> bool {
        is_reserved(subject, &[MAPPED_REPLY])
            || (is_reserved(subject, &[RAFT_GROUP]) && !self.is_system_account(connection.account().id))
    }

    #[cold]
    fn deny_publish(&self, connection: &Rc<Connection>, subject: &[u8]) {
        self.send_error(connection, &ClientError::PublishDenied { subject });
        let shown = String::from_utf8_lossy(subject);
        tracing::error!("{} - Publish Violation - Subject {shown:?}", connection.label());
    }

    #[cold]
    fn deny_subscribe(&self, connection: &Rc<Connection>, sub: &Sub<'_>) {
        let (subject, queue) = (sub.subject, sub.queue);
        self.send_error(connection, &ClientError::SubscribeDenied { subject, queue });
        let text = String::from_utf8_lossy;
        let (label, subject, sid) = (connection.label(), text(subject), text(sub.sid));
        match queue {
            None => tracing::error!("{label} - Subscription Violation - Subject {subject:?}, SID {sid}"),
            Some(queue) => {
                let queue = text(queue);
                tracing::error!(
                    "{label} - Subscription Violation - Subject {subject:?}, Queue: {queue:?}, SID {sid}"
                );
            }
        }
    }

    fn on_sub(&self, connection: &Rc<Connection>, sub: &Sub<'_>) {
        connection.note_activity(self.batch_time());
        let (subject, queue) = (sub.subject, sub.queue);
        if queue == Some(SYSTEM_GROUP) || !connection.may_subscribe(subject, queue) {
            self.deny_subscribe(connection, sub);
            return;
        }
        let subject_tokens_max = self.settings_ref().subject_tokens_max;
        if subject_tokens_max > 0 && token_count(subject) > subject_tokens_max {
            self.send_error(connection, &ClientError::TooManyTokens { subject });
            return;
        }
        if connection.subscription_count() >= connection.subscriptions_max.get() {
            self.send_error(connection, &ClientError::MaxSubscriptionsExceeded);
            return;
        }
        if !connection.subscriptions.borrow().contains_key(sub.sid) && !self.subscribe(connection, sub) {
            self.send_error(connection, &ClientError::InvalidSubject);
            return;
        }
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
    }

    /// `false`: the subject is none.
    fn subscribe(&self, connection: &Rc<Connection>, sub: &Sub<'_>) -> bool {
        let subscription = Rc::new(Subscription {
            number: self.next_subscription_number(),
            connection: Rc::clone(connection),
            sid: sub.sid.into(),
            subject: sub.subject.into(),
            queue: sub.queue.map(Into::into),
            delivered: Cell::new(0),
            delivered_max: Cell::new(0),
            is_filtered: Cell::new(connection.must_filter(sub.subject, sub.queue)),
            shadow: None,
            is_live: Cell::new(true),
        });
        let Ok(change) = connection.account.borrow().subscribe(&subscription) else {
            return false;
        };
        self.tell_interest(change);
        self.begin_shadows(&connection.account(), &subscription);
        connection
            .subscriptions
            .borrow_mut()
            .insert(sub.sid.into(), subscription);
        true
    }

    fn on_unsub(&self, connection: &Rc<Connection>, unsub: &Unsub<'_>) {
        connection.note_activity(self.batch_time());
        let subscription = connection.subscriptions.borrow().get(unsub.sid).cloned();
        if let Some(subscription) = subscription {
            match unsub.max.map(u64::from) {
                Some(max) if max > subscription.delivered.get() => subscription.delivered_max.set(max),
                _ => self.end_subscription(&subscription),
            }
        }
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
    }

    pub(crate) fn send_error(&self, connection: &Rc<Connection>, error: &ClientError<'_>) {
        self.trace_out(connection, || format!("-ERR {}", error.text()));
        self.enqueue(connection, |out| writer::err(out, error));
    }

    /// Sends the INFO that opens the connection.
    pub(super) fn send_first_info(&self, connection: &Rc<Connection>, with_client_ip: bool) {
        let mut info = self.info_for(connection);
        if with_client_ip {
            info.client_ip = connection.peer().ip().to_string();
        }
        info.nonce = String::from_utf8_lossy(&connection.nonce.borrow()).into_owned();
        self.enqueue(connection, |out| info.write_line(out));
    }

    /// INFO with what is this connection's own; its address is for the caller to add.
    fn info_for(&self, connection: &Connection) -> Info {
        let mut info = self.settings_ref().info.clone();
        info.client_id = connection.id.0;
        info.pinion_shard = Some(self.id().0);
        info.auth_required = self.rules_ref().authenticator().announces_credentials();
        if connection.payload_size_max.get() >= 0 {
            info.max_payload = connection.payload_size_max.get();
        }
        if let (Door::WebSocket, Some(websocket)) = (connection.door(), &self.settings_ref().websocket) {
            (info.host, info.port) = (websocket.host.clone(), websocket.port);
            info.tls_required = websocket.tls.is_some();
            info.tls_available = websocket.tls.is_some();
        }
        if connection.is_tls_first() {
            // Whatever others may do: this one came with TLS.
            info.tls_required = true;
        }
        info
    }

    /// Sends INFO again; `is_connect_info`: the one after the first PONG, which names the account.
    pub(crate) fn send_info(&self, connection: &Rc<Connection>, is_connect_info: bool) {
        let mut info = self.info_for(connection);
        info.client_ip = connection.peer().ip().to_string();
        if is_connect_info {
            let account = connection.account();
            info.connect_info = true;
            info.remote_account = account.name.to_string();
            info.acc_is_sys = self.is_system_account(account.id);
        }
        self.enqueue(connection, |out| info.write_line(out));
    }

    /// Sends INFO to every client that takes it at any time: something in it changed.
    pub fn send_info_to_all(&self) {
        for connection in self.connections() {
            let takes = connection.protocol.get() >= i32::try_from(PROTOCOL_ASYNC_INFO).unwrap_or(i32::MAX);
            if connection.state() == State::Connected && takes && connection.sent_connect_info.get() {
                self.send_info(&connection, false);
            }
        }
    }
}
