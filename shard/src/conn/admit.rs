//! CONNECT: who is it, may it come in, into which account.
//!
//! Owns: asking the authenticator, waiting for its word, binding a connection to what it was granted, refusing it.
//! Not here: deciding (`rules::Authenticator`), what the operations of who is in do (`client`).
//!
//! While a decision is pending the connection is not read: its bytes wait where they are. The authentication timeout
//! runs. Secrets of CONNECT are wiped as soon as the decision is made.

use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::connection::{Connection, Door, State};
use super::permits::Permits;
use super::serve::Admitted;
use crate::ids::AccountId;
use crate::proto::connect::PROTOCOL_ASYNC_INFO;
use crate::proto::{writer, ClientError, CloseReason, Connect};
use crate::rules::{Attempt, ConnectionType, Decision, Denial, DenialKind, Grant, Rules, Verdict};
use crate::runtime::{ConnectionEvent, Shard};

/// What stands for a secret that must not show.
const REDACTED: &str = "[REDACTED]";

/// A decision that is being made.
pub(crate) struct PendingDecision {
    connect: Connect,
    verdict: Pin<Box<dyn Future<Output = Verdict>>>,
}

impl Shard {
    /// Binds a connection that has just been accepted to what it has before CONNECT.
    pub(super) fn bind_fresh(&self, connection: &Rc<Connection>) {
        let rules = self.rules();
        if rules.authenticator().requires_credentials() {
            return;
        }
        let connect = connection.connect();
        let grant = rules
            .authenticator()
            .without_connect(&self.attempt(connection, &connect, &[]));
        if let Some(grant) = grant {
            let bound = self.bind(connection, &rules, grant, None);
            if let Err(denial) = bound {
                self.deny(connection, denial);
            }
        }
    }

    /// Lets a client in that needs credentials and sent another operation before CONNECT; `None`: it may not.
    pub(super) fn admit_without_connect(&self, connection: &Rc<Connection>) -> Option<Admitted> {
        let rules = self.rules();
        let connect = connection.connect();
        let nonce = connection.nonce.borrow().clone();
        let attempt = self.attempt(connection, &connect, &nonce);
        let grant = rules.authenticator().without_connect(&attempt)?;
        connection.connect_due.set(None);
        let limit = rules
            .account(grant.account)
            .and_then(|account| account.limits.connections);
        if let Err(denial) = self.bind(connection, &rules, grant, limit) {
            self.deny(connection, denial);
            return None;
        }
        self.tell_watcher(connection, ConnectionEvent::Connected);
        connection.state.set(State::Connected);
        Some(self.admitted(connection))
    }

    pub(super) fn on_connect(self: &Rc<Self>, connection: &Rc<Connection>, json: &[u8]) -> Option<Admitted> {
        connection.last_active.set(self.batch_time());
        connection.rtt.set(
            self.io()
                .now()
                .since(connection.started)
                .max(Duration::from_nanos(1)),
        );
        self.schedule_first_ping(connection);
        let before = connection.connect();
        let mut connect: Connect = (*before).clone();
        if let Err(error) = connect.merge_json(json) {
            tracing::error!("{} - CONNECT: {error}", connection.label());
            wipe(&mut connect);
            self.close(connection, CloseReason::ProtocolViolation);
            return None;
        }
        if connection.state() == State::Connected {
            // As at the peer: who connects again starts without subscriptions.
            for subscription in connection.subscriptions() {
                self.end_subscription(&subscription);
            }
        }
        connection.is_verbose.set(connect.verbose);
        connection.is_pedantic.set(connect.pedantic);
        connection.echo.set(connect.echo);
        connection
            .headers
            .set(self.settings_ref().headers && connect.headers);
        connection
            .protocol
            .set(i32::try_from(connect.protocol).unwrap_or(-1));
        let decision = {
            let rules = self.rules();
            let nonce = connection.nonce.borrow();
            let attempt = self.attempt(connection, &connect, &nonce);
            match connection.grant() {
                Some(held)
                    if connection.state() == State::Connected && !brings_credentials(&before, &connect) =>
                {
                    rules.authenticator().renew(&held, &attempt)
                }
                _ => rules.authenticator().decide(&attempt),
            }
        };
        match decision {
            Decision::Now(verdict) => self.on_verdict(connection, connect, verdict),
            Decision::Later(begin) => {
                let verdict = begin(Rc::clone(self));
                connection.is_deciding.set(true);
                *connection.deciding.borrow_mut() = Some(Box::new(PendingDecision { connect, verdict }));
                None
            }
        }
    }

    /// Waits for the decision on a connection; `None`: there is none, or the connection was refused or is over.
    pub(super) async fn decided(&self, connection: &Rc<Connection>) -> Option<Admitted> {
        let pending = connection.deciding.take()?;
        let PendingDecision {
            mut connect,
            mut verdict,
        } = *pending;
        let verdict = poll_fn(|cx| {
            if !connection.is_open() {
                return Poll::Ready(None);
            }
            connection.parked.set(Some(cx.waker().clone()));
            verdict.as_mut().poll(cx).map(Some)
        })
        .await;
        connection.parked.take();
        connection.is_deciding.set(false);
        match verdict {
            Some(verdict) => self.on_verdict(connection, connect, verdict),
            None => {
                wipe(&mut connect);
                None
            }
        }
    }

    fn on_verdict(
        &self,
        connection: &Rc<Connection>,
        mut connect: Connect,
        verdict: Verdict,
    ) -> Option<Admitted> {
        connection.connect_due.set(None);
        let (protocol, no_responders) = (connect.protocol, connect.no_responders);
        let wants_account = connect.new_account || !connect.account.is_empty();
        wipe(&mut connect);
        *connection.connect.borrow_mut() = Rc::new(connect);
        let rules = self.rules();
        let bound = verdict.and_then(|grant| {
            if wants_account {
                let detail = "CONNECT asks for an account by name, which this server does not give";
                return Err(Denial::new(DenialKind::AccountByName, detail));
            }
            let limit = rules
                .account(grant.account)
                .and_then(|account| account.limits.connections);
            self.bind(connection, &rules, grant, limit)
        });
        if let Err(denial) = bound {
            self.deny(connection, denial);
            return None;
        }
        self.tell_watcher(connection, ConnectionEvent::Connected);
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
            return None;
        }
        if no_responders && !connection.headers.get() {
            tracing::error!(
                "{} - no responders requires headers support: CONNECT asks for it without headers",
                connection.label()
            );
            let reason = CloseReason::NoRespondersRequiresHeaders;
            self.refuse(connection, &ClientError::NoRespondersRequiresHeaders, reason);
            return None;
        }
        connection.no_responders.set(no_responders);
        connection.state.set(State::Connected);
        if connection.is_verbose.get() {
            self.enqueue(connection, writer::ok);
        }
        Some(self.admitted(connection))
    }

    fn admitted(&self, connection: &Connection) -> Admitted {
        Admitted {
            headers: connection.headers.get(),
            payload_size_max: connection.payload_size_max.get(),
        }
    }

    /// What an authenticator is told of a connection.
    pub(crate) fn attempt<'a>(
        &self,
        connection: &'a Connection,
        connect: &'a Connect,
        nonce: &'a [u8],
    ) -> Attempt<'a> {
        let tls = connection.tls_state();
        Attempt {
            connection: connection.id,
            connect,
            nonce,
            peer: connection.peer(),
            kind: connection.kind,
            connection_type: match connection.door() {
                Door::Client => ConnectionType::Standard,
                Door::WebSocket => ConnectionType::WebSocket,
            },
            certificates: tls.map_or(&[], |tls| tls.peer_certificates.as_slice()),
            is_tls: tls.is_some(),
            wall: self.io().wall(),
        }
    }

    /// Binds a connection to what it was granted: account, permissions, limits, end.
    ///
    /// # Errors
    /// The account is gone, or has `connections_max` connections of its own already.
    pub(crate) fn bind(
        &self,
        connection: &Rc<Connection>,
        rules: &Rules,
        grant: Arc<Grant>,
        connections_max: Option<u64>,
    ) -> Result<(), Denial> {
        let before = connection.account();
        let Some(account) = self
            .account(grant.account)
            .filter(|_| rules.account(grant.account).is_some())
        else {
            let detail = format!("account number {} is not in the rules any more", grant.account.0);
            return Err(Denial::new(DenialKind::UnknownAccount, detail));
        };
        let stays = connection.has_joined.get() && before.id == account.id;
        if !stays {
            self.leave_account(connection);
            if !account.rules().counts.try_join(connections_max) {
                let (name, count) = (&account.name, account.rules().counts.connections());
                let detail = format!("account {name:?} has {count} connections, the most it may have");
                return Err(Denial::new(DenialKind::AccountFull, detail));
            }
            account.connections.set(account.connections.get() + 1);
            connection.has_joined.set(true);
            *connection.account.borrow_mut() = Rc::clone(&account);
        }
        connection.expires_due.set(grant.expires.map(|at| {
            let left = at.0.saturating_sub(self.io().wall().0);
            self.io().now() + Duration::from_nanos(left)
        }));
        *connection.permits.borrow_mut() = grant
            .permissions
            .clone()
            .map(|granted| Box::new(Permits::new(granted)));
        *connection.grant.borrow_mut() = Some(grant);
        self.bind_limits(connection);
        self.schedule(connection);
        Ok(())
    }

    /// Binds a connection to the least of the server's, its account's and its own limits.
    pub(crate) fn bind_limits(&self, connection: &Connection) {
        let settings = self.settings_ref();
        let account = connection.account();
        let limits = &account.rules().limits;
        let grant = connection.grant();
        let own = grant.as_ref().map(|grant| &grant.limits);
        let payload = [own.and_then(|own| own.payload_size), limits.payload_size];
        connection
            .payload_size_max
            .set(least_payload(settings.payload_size_max, &payload));
        let subscriptions = [own.and_then(|own| own.subscriptions), limits.subscriptions];
        let server = Some(settings.subscriptions_max).filter(|&max| max > 0);
        let least = subscriptions.into_iter().flatten().chain(server).min();
        connection.subscriptions_max.set(least.unwrap_or(usize::MAX));
    }

    /// Takes a connection out of the counts of its account.
    pub(crate) fn leave_account(&self, connection: &Connection) {
        if connection.has_joined.replace(false) {
            let account = connection.account();
            account.connections.set(account.connections.get() - 1);
            account.rules().counts.leave();
        }
    }

    /// Refuses a connection: the reason for the log and monitoring, the peer's text for the client.
    pub(crate) fn deny(&self, connection: &Rc<Connection>, denial: Denial) {
        let label = connection.label();
        if denial.user.is_empty() {
            tracing::error!("{label} - authentication error: {denial}");
        } else {
            tracing::error!(
                "{label} - authentication error - User {:?}: {denial}",
                denial.user
            );
        }
        let (error, reason) = (denial.client_error(), denial.close_reason());
        *connection.denial.borrow_mut() = Some(Rc::new(denial));
        self.refuse(connection, &error, reason);
        if matches!(error, ClientError::AuthorizationViolation) {
            self.tell_watcher(connection, ConnectionEvent::Refused(reason));
        }
    }

    /// No CONNECT came in time where credentials are required, or the decision on it took too long.
    pub(crate) fn connect_timed_out(&self, connection: &Rc<Connection>) {
        tracing::error!("{} - authentication timeout", connection.label());
        self.refuse(
            connection,
            &ClientError::AuthenticationTimeout,
            CloseReason::AuthenticationTimeout,
        );
    }

    /// What a connection was granted has ended.
    pub(crate) fn grant_expired(&self, connection: &Rc<Connection>) {
        tracing::debug!("{} - User Authentication Expired", connection.label());
        self.refuse(
            connection,
            &ClientError::UserAuthenticationExpired,
            CloseReason::AuthenticationExpired,
        );
    }

    /// Whether an account is the system account.
    pub(crate) fn is_system_account(&self, account: AccountId) -> bool {
        self.rules_ref().system_account() == Some(account)
    }
}

/// The least of the server's limit and those given; below 0 is none.
fn least_payload(server: i32, limits: &[Option<i32>]) -> i32 {
    let all = limits.iter().flatten().copied().chain([server]);
    all.filter(|&limit| limit >= 0)
        .min()
        .unwrap_or(crate::proto::NO_LIMIT)
}

/// Whether a CONNECT that was read over `before` says anything new of who it is.
fn brings_credentials(before: &Connect, connect: &Connect) -> bool {
    let secrets = [&connect.pass, &connect.sig, &connect.proxy_sig];
    let names = |connect: &Connect| {
        [
            connect.user.clone(),
            connect.nkey.clone(),
            connect.jwt.clone(),
            connect.auth_token.clone(),
        ]
    };
    secrets.into_iter().any(|secret| !secret.is_empty()) || names(before) != names(connect)
}

/// Nothing asks for the secrets of CONNECT any more, and nothing shows them by accident.
fn wipe(connect: &mut Connect) {
    for secret in [&mut connect.pass, &mut connect.sig, &mut connect.proxy_sig] {
        wipe_text(secret);
    }
    if !connect.auth_token.is_empty() {
        wipe_text(&mut connect.auth_token);
        // Monitoring says that there was one.
        connect.auth_token = REDACTED.to_owned();
    }
}

fn wipe_text(text: &mut String) {
    let mut bytes = std::mem::take(text).into_bytes();
    bytes.fill(0);
    std::hint::black_box(&bytes);
}
