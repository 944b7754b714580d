//! What lies between accept and the first operation where that is more than INFO: the PROXY prefix, the choice between
//! TLS and plain, the TLS handshake.
//!
//! Owns: the order of these, their time outs. Not here: records (`transport`), reading operations (`serve`).
//! Its future is boxed by the caller: no connection keeps room for it.

use std::future::{poll_fn, Future};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;

use super::connection::Connection;
use super::proxy_prefix;
use super::transport::{
    read_upgrade, too_large, Frames, HandshakeFirst, Received, Refusal, Step, TlsSession, TlsSettings,
    Transport, TransportError, WebSocketSettings,
};
use crate::limits;
use crate::proto::{ClientError, CloseReason};
use crate::runtime::Shard;

/// The first byte of every TLS handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Bytes read while it is open what they are. What comes behind them stays in the socket.
const FIRST_READ_SIZE: usize = 4096;

/// How a connection begins.
pub(super) struct Opening {
    /// TLS of the listener.
    pub(super) tls: Option<Arc<TlsSettings>>,
    /// A PROXY prefix may come first.
    pub(super) is_proxied: bool,
}

impl Opening {
    /// How connections of this shard begin now.
    pub(super) fn of(shard: &Shard) -> Self {
        let settings = shard.settings_ref();
        Self {
            tls: settings.tls.clone(),
            is_proxied: settings.proxy_protocol,
        }
    }

    /// Nothing but INFO comes first.
    pub(super) fn is_plain(&self) -> bool {
        self.tls.is_none() && !self.is_proxied
    }

    /// The client begins with the TLS handshake and gets no INFO before.
    pub(super) fn is_tls_first(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.first != HandshakeFirst::No)
    }

    /// Goes through what comes first. What was read of the first operations is the answer.
    ///
    /// # Errors
    /// The connection is over; everything was said about it.
    pub(super) async fn run(
        self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
    ) -> Result<Vec<u8>, CloseReason> {
        let mut early = Vec::new();
        connection.is_tls_first.set(self.is_tls_first());
        if let Some(TlsSettings {
            first: HandshakeFirst::Within(delay),
            ..
        }) = self.tls.as_deref()
        {
            read_within(shard, connection, *delay, &mut early).await?;
            if early.is_empty() {
                // It waits for INFO, as a client does that does not know this way.
                connection.is_tls_first.set(false);
                shard.send_first_info(connection, !self.is_proxied);
                shard.end_batch();
            }
        }
        let is_mixed = !connection.is_tls_first() && self.tls.as_ref().is_some_and(|tls| tls.allows_plain);
        if is_mixed && early.is_empty() && !self.is_proxied {
            self.read_first(shard, connection, &mut early).await?;
        }
        if self.is_proxied {
            early = read_prefix(shard, connection, early).await?;
            if is_mixed && early.is_empty() {
                self.read_first(shard, connection, &mut early).await?;
            }
        }
        let Some(tls) = self.tls else {
            return Ok(early);
        };
        if is_mixed && early.first() != Some(&HANDSHAKE_RECORD) {
            return Ok(early);
        }
        early = secure(shard, connection, &tls, early).await?;
        if connection.is_tls_first() {
            shard.send_first_info(connection, true);
            shard.end_batch();
        }
        Ok(early)
    }

    async fn read_first(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        early: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let timeout = self
            .tls
            .as_ref()
            .map_or(Duration::ZERO, |tls| tls.handshake_timeout);
        read_within(shard, connection, timeout, early).await
    }
}

/// Appends what comes within `time` to `early`; nothing, if nothing comes.
async fn read_within(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    time: Duration,
    early: &mut Vec<u8>,
) -> Result<(), CloseReason> {
    let read = poll_fn(|cx| {
        let buffer = &mut shard.read_buffer().borrow_mut()[..FIRST_READ_SIZE];
        let size = std::task::ready!(connection.stream.poll_read(cx, buffer));
        Poll::Ready(size.map(|size| buffer[..size].to_vec()))
    });
    match within(shard, time, read).await {
        None => Ok(()),
        Some(Ok(bytes)) if bytes.is_empty() => Err(CloseReason::ClientClosed),
        Some(Ok(bytes)) => {
            early.extend_from_slice(&bytes);
            Ok(())
        }
        Some(Err(error)) => {
            tracing::debug!("{} - Read error: {error}", connection.label());
            Err(CloseReason::ReadError)
        }
    }
}

/// What `work` comes to, or `None` when it takes longer than `time`.
async fn within<T>(shard: &Shard, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        shard.io().sleep(time).await;
        None
    };
    or(pin!(async { Some(work.await) }), pin!(late)).await
}

async fn read_prefix(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    early: Vec<u8>,
) -> Result<Vec<u8>, CloseReason> {
    match proxy_prefix::read(shard, &connection.stream, early).await {
        Ok(prefix) => {
            connection
                .peer
                .set(prefix.source.unwrap_or(connection.peer.get()));
            Ok(prefix.rest)
        }
        Err(error) => {
            tracing::warn!(
                "Error reading PROXY protocol header from {}: {error}",
                connection.stream.peer_addr()
            );
            Err(CloseReason::ProtocolViolation)
        }
    }
}

/// Goes through the TLS handshake. What came of the operations with its last record is the answer.
async fn secure(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    tls: &TlsSettings,
    early: Vec<u8>,
) -> Result<Vec<u8>, CloseReason> {
    if tls
        .rate
        .as_ref()
        .is_some_and(|rate| !rate.allow(shard.io().now()))
    {
        shard.refuse(
            connection,
            &ClientError::ConnectionThrottling,
            CloseReason::MaxConnectionsExceeded,
        );
        return Err(CloseReason::MaxConnectionsExceeded);
    }
    tracing::debug!(
        "{} - Starting TLS client connection handshake",
        connection.label()
    );
    let session = TlsSession::new(&tls.config).map_err(|error| {
        tracing::error!("{} - TLS handshake error: {error}", connection.label());
        CloseReason::TlsHandshakeError
    })?;
    *connection.transport.borrow_mut() = Some(Box::new(Transport::new(Some(session))));
    let mut plain = Vec::new();
    let done = within(
        shard,
        tls.handshake_timeout,
        shake_hands(shard, connection, early, &mut plain),
    )
    .await;
    let failure = match done {
        Some(Ok(())) => check_pinned(connection, tls).err(),
        Some(Err(failure)) => Some(failure),
        None => {
            tracing::debug!("{} - TLS handshake timeout", connection.label());
            return Err(CloseReason::TlsHandshakeError);
        }
    };
    if let Some(failure) = failure {
        let label = connection.label();
        match failure {
            // Somebody looked whether the port is open.
            Failure::NotTls => {
                tracing::debug!(
                    "{label} - TLS handshake error: first record does not look like a TLS handshake"
                );
            }
            failure => tracing::error!("{label} - TLS handshake error: {failure}"),
        }
        return Err(CloseReason::TlsHandshakeError);
    }
    let mut state = {
        let transport = connection.transport.borrow();
        let transport = transport.as_ref().expect("set before the handshake");
        transport
            .session()
            .and_then(TlsSession::state)
            .expect("the handshake is done")
    };
    tracing::debug!("{} - TLS handshake complete", connection.label());
    tracing::debug!(
        "{} - TLS version {}, cipher suite {}",
        connection.label(),
        state.version,
        state.cipher_suite
    );
    state.is_first = connection.is_tls_first();
    let is_set = connection.tls.set(Arc::new(state)).is_ok();
    assert!(is_set, "a connection shakes hands once");
    Ok(plain)
}

/// Goes through what comes before the frames of a WebSocket client: TLS where the port has it, and the HTTP request.
///
/// # Errors
/// The connection is over once the answer is written; everything was said about it.
pub(super) async fn upgrade(shard: &Rc<Shard>, connection: &Rc<Connection>) -> Result<(), CloseReason> {
    let settings = shard.settings_ref().websocket.clone();
    let settings = settings.expect("what came in by this door was let in by it");
    let mut head = Vec::new();
    if let Some(tls) = &settings.tls {
        head = secure(shard, connection, tls, Vec::new()).await?;
    } else {
        *connection.transport.borrow_mut() = Some(Box::new(Transport::new(None)));
    }
    let time = settings.handshake_timeout.unwrap_or(limits::UPGRADE_TIME_MAX);
    match within(shard, time, read_request(shard, connection, &settings, head)).await {
        Some(done) => done,
        None => {
            tracing::debug!("{} - websocket handshake timeout", connection.label());
            Err(CloseReason::ClientClosed)
        }
    }
}

async fn read_request(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    settings: &WebSocketSettings,
    mut head: Vec<u8>,
) -> Result<(), CloseReason> {
    loop {
        let step = if head.len() > limits::UPGRADE_HEAD_SIZE_MAX {
            Step::Refused(too_large())
        } else {
            read_upgrade(&head, &settings.upgrade, settings.tls.is_some())
        };
        match step {
            Step::More => {}
            Step::Taken(upgrade, size) if size == head.len() => {
                if let Some(ip) = upgrade.client_ip {
                    connection.peer.set(SocketAddr::new(ip, connection.peer().port()));
                }
                let frames = Frames::new(upgrade.frames, shard.settings_ref().payload_size_max);
                send_answer(shard, connection, &upgrade.answer, Some(frames));
                return Ok(());
            }
            Step::Taken(..) => {
                let label = connection.label();
                tracing::error!(
                    "{label} - websocket handshake error: client sent data before handshake is complete"
                );
                return Err(CloseReason::ProtocolViolation);
            }
            Step::Refused(Refusal { answer, reason }) => {
                tracing::error!("{} - websocket handshake error: {reason}", connection.label());
                send_answer(shard, connection, &answer, None);
                return Err(CloseReason::ProtocolViolation);
            }
        }
        let read = poll_fn(|cx| {
            let mut buffer = shard.read_buffer().borrow_mut();
            let held = connection
                .transport
                .borrow()
                .as_ref()
                .map_or(0, |transport| transport.held_size());
            let size = std::task::ready!(connection.stream.poll_read(cx, &mut buffer[held..]))?;
            if size == 0 {
                return Poll::Ready(Ok(Received::Last));
            }
            let received = connection.receive(shard, &mut buffer[..held + size], &mut head);
            Poll::Ready(received.map_err(|error| std::io::Error::other(error.to_string())))
        })
        .await;
        match read {
            Ok(Received::More) => {}
            Ok(Received::Last) => return Err(CloseReason::ClientClosed),
            Err(error) => {
                tracing::debug!("{} - Read error: {error}", connection.label());
                return Err(CloseReason::ReadError);
            }
        }
    }
}

fn send_answer(shard: &Rc<Shard>, connection: &Rc<Connection>, answer: &[u8], frames: Option<Frames>) {
    {
        let mut outbound = connection.outbound.borrow_mut();
        let mut transport = connection.transport.borrow_mut();
        let transport = transport.as_mut().expect("set before the request is read");
        transport.upgrade(answer, frames, &mut outbound);
        shard.touch_outbound(connection, &mut outbound);
    }
    shard.end_batch();
}

/// Why there is no session.
enum Failure {
    /// What came first is something else.
    NotTls,
    /// The client broke the protocol, or does not agree.
    Protocol(TransportError),
    /// Its certificate is none of those that may.
    Pinned(String),
    /// The connection ended.
    Ended,
    /// The connection is dead.
    Dead(std::io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NotTls => f.write_str("first record does not look like a TLS handshake"),
            Failure::Protocol(error) => error.fmt(f),
            Failure::Pinned(text) => f.write_str(text),
            Failure::Ended => f.write_str("EOF"),
            Failure::Dead(error) => error.fmt(f),
        }
    }
}

fn check_pinned(connection: &Connection, tls: &TlsSettings) -> Result<(), Failure> {
    let transport = connection.transport.borrow();
    let transport = transport.as_ref().expect("set before the handshake");
    let certificate = transport.session().and_then(TlsSession::peer_certificate);
    tls.check_pinned(certificate.map(AsRef::as_ref))
        .map_err(Failure::Pinned)
}

/// Reads and answers until both sides have the keys.
async fn shake_hands(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    early: Vec<u8>,
    plain: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut early = Some(early).filter(|early| !early.is_empty());
    let mut is_first = true;
    loop {
        poll_fn(|cx| {
            let mut buffer = shard.read_buffer().borrow_mut();
            let held = connection
                .transport
                .borrow()
                .as_ref()
                .map_or(0, |transport| transport.held_size());
            let read = if let Some(early) = early.take() {
                buffer[..early.len()].copy_from_slice(&early);
                early.len()
            } else {
                let read = std::task::ready!(connection.stream.poll_read(cx, &mut buffer[held..]));
                match read.map_err(Failure::Dead)? {
                    0 => return Poll::Ready(Err(Failure::Ended)),
                    read => read,
                }
            };
            if std::mem::take(&mut is_first) && buffer[0] != HANDSHAKE_RECORD {
                return Poll::Ready(Err(Failure::NotTls));
            }
            Poll::Ready(
                match connection.receive(shard, &mut buffer[..held + read], plain) {
                    Ok(Received::More) => Ok(()),
                    Ok(Received::Last) => Err(Failure::Ended),
                    Err(error) => Err(Failure::Protocol(error)),
                },
            )
        })
        .await?;
        shard.end_batch();
        let transport = connection.transport.borrow();
        if transport
            .as_ref()
            .and_then(|transport| transport.session())
            .is_some_and(TlsSession::is_established)
        {
            return Ok(());
        }
    }
}
