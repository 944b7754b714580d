//! What the operations of a client do.

use std::cell::Cell;
use std::rc::Rc;

use super::connection::{Connection, State};
use super::serve::OpTurn;
use super::subscription::Subscription;
use crate::ids::AccountId;
use crate::proto::connect::PROTOCOL_ASYNC_INFO;
use crate::proto::{writer, ClientError, CloseReason, Connect, Info, Op, Sub, Unsub};
use crate::router::Publication;
use crate::runtime::Shard;
use crate::subject::{is_valid_literal, token_count};

/// What stands for a secret that must not show.
const REDACTED: &str = "[REDACTED]";
/// The queue group servers use among themselves; clients may not.
const SYSTEM_GROUP: &[u8] = b"_sys_";
/// Subjects a client cannot publish to: mapped replies of gateways, and raft groups.
const RESERVED_SUBJECTS: [&[u8]; 2] = [b"_GR_.", b"$NRG."];
/// Reply subjects a client cannot use: replies of services, acks of JetStream, mapped replies of gateways.
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"$JS.ACK.", b"_GR_."];

fn is_reserved(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    prefixes
        .iter()
        .any(|prefix| subject.len() > prefix.len() && subject.starts_with(prefix))
}

impl Shard {
    /// Does what one operation of a client asks.
    #[inline]
    pub(super) fn on_client_op(self: &Rc<Self>, connection: &Rc<Connection>, op: &Op<'_>) -> OpTurn {
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
        OpTurn::default()
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
        let (subject, reply) = (publication.subject, publication.reply);
        if matches!(subject.first(), Some(b'_' | b'$')) && is_reserved(subject, &RESERVED_SUBJECTS) {
            self.send_error(connection, &ClientError::PublishDenied { subject });
            return;
        }
        if let Some(reply) = reply.filter(|reply| is_reserved(reply, &RESERVED_REPLIES)) {
            self.send_error(connection, &ClientError::ReplyDenied { reply });
            return;
        }
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
        self.publish(connection, publication);
    }

    fn on_sub(&self, connection: &Rc<Connection>, sub: &Sub<'_>) {
        connection.note_activity(self.batch_time());
        let (subject, queue) = (sub.subject, sub.queue);
        if queue == Some(SYSTEM_GROUP) {
            self.send_error(connection, &ClientError::SubscribeDenied { subject, queue });
            return;
        }
        let (subject_tokens_max, subscriptions_max) = {
            let settings = self.settings_ref();
            (settings.subject_tokens_max, settings.subscriptions_max)
        };
        if subject_tokens_max > 0 && token_count(subject) > subject_tokens_max {
            self.send_error(connection, &ClientError::TooManyTokens { subject });
            return;
        }
        if subscriptions_max > 0 && connection.subscription_count() >= subscriptions_max {
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
            is_live: Cell::new(true),
        });
        let Ok(change) = connection.account.borrow().subscribe(&subscription) else {
            return false;
        };
        self.tell_interest(change);
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

    fn on_connect(&self, connection: &Rc<Connection>, json: &[u8]) -> OpTurn {
        connection.connect_due.set(None);
        connection.last_active.set(self.batch_time());
        connection.rtt.set(
            self.io()
                .now()
                .since(connection.started)
                .max(std::time::Duration::from_nanos(1)),
        );
        self.schedule_first_ping(connection);
        let mut connect: Connect = (*connection.connect()).clone();
        if let Err(error) = connect.merge_json(json) {
            tracing::error!("{} - CONNECT: {error}", connection.label());
            self.close(connection, CloseReason::ProtocolViolation);
            return OpTurn::default();
        }
        if connection.state() == State::Connected {
            // As at the peer: who connects again starts without subscriptions.
            for subscription in connection.subscriptions() {
                self.end_subscription(&subscription);
            }
        }
        let settings = self.settings();
        let headers = settings.headers && connect.headers;
        connection.is_verbose.set(connect.verbose);
        connection.is_pedantic.set(connect.pedantic);
        connection.echo.set(connect.echo);
        connection.headers.set(headers);
        connection
            .protocol
            .set(i32::try_from(connect.protocol).unwrap_or(-1));
        let (protocol, no_responders) = (connect.protocol, connect.no_responders);
        let wants_account = connect.new_account || !connect.account.is_empty();
        // Nothing asks for them any more, and nothing shows them by accident.
        for secret in [&mut connect.pass, &mut connect.sig, &mut connect.proxy_sig] {
            secret.clear();
        }
        if !connect.auth_token.is_empty() {
            // Monitoring says that there was one.
            connect.auth_token = REDACTED.to_owned();
        }
        *connection.connect.borrow_mut() = Rc::new(connect);
        if wants_account {
            tracing::error!(
                "{} - authentication error: CONNECT asks for an account by name, which this server does not give",
                connection.label()
            );
            self.refuse(
                connection,
                &ClientError::AuthorizationViolation,
                CloseReason::AuthenticationFailure,
            );
            return OpTurn::default();
        }
        if !(0..=PROTOCOL_ASYNC_INFO).contains(&protocol) {
            tracing::error!(
                "{} - invalid client protocol: CONNECT asks for level {protocol}, this server has 0 to {PROTOCOL_ASYNC_INFO}",
                connection.label()
            );
            self.refuse(
                connection,
                &ClientError::InvalidClientProtocol,
                CloseReason::BadClientProtocolVersion,
            );
            return OpTurn::default();
        }
        if no_responders && !headers {
            tracing::error!(
                "{} - no responders requires headers support: CONNECT asks for it without headers",
                connection.label()
            );
            let reason = CloseReason::NoRespondersRequiresHeaders;
            self.refuse(connection, &ClientError::NoRespondersRequiresHeaders, reason);
            return OpTurn::default();
        }
        connection.no_responders.set(no_responders);
        connection.state.set(State::Connected);
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
        OpTurn {
            agreed_headers: Some(headers),
        }
    }

    /// No CONNECT came in time where credentials are required.
    pub(crate) fn connect_timed_out(&self, connection: &Rc<Connection>) {
        tracing::error!("{} - authentication timeout", connection.label());
        self.refuse(
            connection,
            &ClientError::AuthenticationTimeout,
            CloseReason::AuthenticationTimeout,
        );
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
        self.enqueue(connection, |out| info.write_line(out));
    }

    /// INFO with what is this connection's own; its address is for the caller to add.
    fn info_for(&self, connection: &Connection) -> Info {
        let mut info = self.settings_ref().info.clone();
        info.client_id = connection.id.0;
        info.pinion_shard = Some(self.id().0);
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
            info.acc_is_sys = account.id == AccountId::SYSTEM;
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
