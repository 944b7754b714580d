//! One connection of this shard: who it is, what it may, what it has done.
//!
//! Owns: its stream, outbound queue, subscriptions, counters. Not here: reading (`serve`), what an
//! operation does (`client`), who gets a message (`router`).
//! Memory: an idle connection holds this struct, its task and no buffer; see docs/ARCHITECTURE.md.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::admit::PendingDecision;
use super::outbound::Outbound;
use super::permits::Permits;
use super::pieces::Flush;
use super::pool::BufferPool;
use super::subscription::Subscription;
use super::transport::{Received, TlsState, Transport, TransportError};
use crate::account::Account;
use crate::ids::ConnectionId;
use crate::io::{Stream, Time, WallTime};
use crate::proto::{CloseReason, ConnKind, Connect};
use crate::router::LastMatch;
use crate::rules::{Denial, Grant};
use crate::runtime::Shard;

/// Where a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The client port.
    Client,
    /// The port of WebSocket clients.
    WebSocket,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No CONNECT yet. A client that needs no credentials may work all the same.
    Fresh,
    /// CONNECT was accepted.
    Connected,
    /// Nothing is read or delivered any more.
    Closed(CloseReason),
}

/// Messages and bytes of payload (headers included), by direction as the server sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages the client published.
    pub in_msgs: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Messages delivered to the client.
    pub out_msgs: u64,
    /// Their bytes.
    pub out_bytes: u64,
}

impl Traffic {
    /// Adds another count.
    pub fn add(&mut self, other: &Traffic) {
        self.in_msgs += other.in_msgs;
        self.in_bytes += other.in_bytes;
        self.out_msgs += other.out_msgs;
        self.out_bytes += other.out_bytes;
    }
}

/// A connection.
pub struct Connection {
    /// Unique in the process. JSON: `cid`.
    pub id: ConnectionId,
    /// Who is at the other end.
    pub kind: ConnKind,
    pub(crate) stream: Stream,
    /// The other end, as a PROXY header says or the socket knows.
    pub(crate) peer: Cell<SocketAddr>,
    pub(crate) state: Cell<State>,
    pub(crate) account: RefCell<Rc<Account>>,
    /// It counts as a connection of its account.
    pub(crate) has_joined: Cell<bool>,
    /// What it may do; `None` until it is let in.
    pub(crate) grant: RefCell<Option<Arc<Grant>>>,
    /// Its permissions at work; `None`: everything.
    pub(crate) permits: RefCell<Option<Box<Permits>>>,
    /// The decision on its CONNECT that is being made.
    pub(crate) deciding: RefCell<Option<Box<PendingDecision>>>,
    /// Until then nothing of it is parsed.
    pub(crate) is_deciding: Cell<bool>,
    /// Why it was refused.
    pub(crate) denial: RefCell<Option<Rc<Denial>>>,
    /// What INFO gave it to sign.
    pub(crate) nonce: RefCell<Box<[u8]>>,
    /// Bytes of a message it may publish; below 0: no limit.
    pub(crate) payload_size_max: Cell<i32>,
    /// Subscriptions it may have.
    pub(crate) subscriptions_max: Cell<usize>,
    pub(crate) outbound: RefCell<Outbound>,
    /// What lies between its bytes and its operations; `None`: nothing.
    pub(crate) transport: RefCell<Option<Box<Transport>>>,
    /// What its TLS handshake agreed on.
    pub(crate) tls: OnceCell<Arc<TlsState>>,
    /// Where it came in.
    pub(crate) door: Door,
    /// It began with the TLS handshake. JSON: `tls_first`.
    pub(crate) is_tls_first: Cell<bool>,
    pub(crate) subscriptions: RefCell<BTreeMap<Box<[u8]>, Rc<Subscription>>>,
    pub(crate) last_match: RefCell<LastMatch>,
    pub(crate) connect: RefCell<Rc<Connect>>,

    // What CONNECT switches; a client that has not sent it is verbose and pedantic, as at the peer.
    pub(crate) is_verbose: Cell<bool>,
    pub(crate) is_pedantic: Cell<bool>,
    pub(crate) echo: Cell<bool>,
    pub(crate) headers: Cell<bool>,
    pub(crate) no_responders: Cell<bool>,
    /// `protocol` of CONNECT: 1 takes INFO at any time.
    pub(crate) protocol: Cell<i32>,
    pub(crate) sent_connect_info: Cell<bool>,

    pub(crate) in_msgs: Cell<u64>,
    pub(crate) in_bytes: Cell<u64>,
    pub(crate) out_msgs: Cell<u64>,
    pub(crate) out_bytes: Cell<u64>,
    /// Times a publisher was held because of this connection.
    pub(crate) stalls: Cell<u64>,

    pub(crate) started: Time,
    pub(crate) started_wall: WallTime,
    /// When it last published, got a message, or changed its subscriptions; PING and PONG are no activity.
    pub(crate) last_active: Cell<Time>,
    /// Last time a message, a change of interest or a PING came in: such a client needs no PING for a while.
    pub(crate) last_in: Cell<Time>,
    pub(crate) rtt: Cell<Duration>,
    /// When the last PING left; `None`: none did yet.
    pub(crate) ping_sent: Cell<Option<Time>>,
    pub(crate) pings_out: Cell<u32>,
    pub(crate) next_ping: Cell<Option<Time>>,
    /// When the writer has been blocked for too long.
    pub(crate) write_due: Cell<Option<Time>>,
    /// When CONNECT must have come.
    pub(crate) connect_due: Cell<Option<Time>>,
    /// When what it was granted ends.
    pub(crate) expires_due: Cell<Option<Time>>,

    /// Where its entry stands in the shard's timers.
    pub(crate) timer_at: Cell<Option<Time>>,

    /// Shards whose credit this publisher exhausted: nothing is parsed until they have room.
    pub(crate) blocked_on: Cell<u64>,
    /// The connection this publisher feeds too fast.
    pub(crate) stalled_by: RefCell<Option<Rc<Connection>>>,
    /// Another shard asked to hold this publisher.
    pub(crate) hold_asked: Cell<bool>,
    /// Its task has ended.
    pub(crate) is_forgotten: Cell<bool>,
    /// The serving task waits for something else than its socket.
    pub(crate) parked: Cell<Option<Waker>>,
}

impl Connection {
    /// Whether anything may still be delivered or read.
    #[inline]
    pub fn is_open(&self) -> bool {
        !matches!(self.state.get(), State::Closed(_))
    }

    /// Why it was closed, if it was.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.state.get() {
            State::Closed(reason) => Some(reason),
            State::Fresh | State::Connected => None,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// The other end, as a PROXY header says or the socket knows.
    pub fn peer(&self) -> SocketAddr {
        self.peer.get()
    }

    /// What it counted.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            in_msgs: self.in_msgs.get(),
            in_bytes: self.in_bytes.get(),
            out_msgs: self.out_msgs.get(),
            out_bytes: self.out_bytes.get(),
        }
    }

    /// What it said of itself in CONNECT.
    pub fn connect(&self) -> Rc<Connect> {
        Rc::clone(&self.connect.borrow())
    }

    /// What it was granted; `None` until it is let in.
    pub fn grant(&self) -> Option<Arc<Grant>> {
        self.grant.borrow().clone()
    }

    /// Why it was refused, for the server's side only.
    pub fn denial(&self) -> Option<Rc<Denial>> {
        self.denial.borrow().clone()
    }

    /// Whether it may subscribe.
    pub(crate) fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let permits = self.permits.borrow();
        permits
            .as_ref()
            .is_none_or(|permits| permits.permissions().may_subscribe(subject, queue))
    }

    /// Whether messages to an allowed subscription must be looked at before they are delivered.
    pub(crate) fn must_filter(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let permits = self.permits.borrow();
        permits
            .as_ref()
            .is_some_and(|permits| permits.permissions().must_filter(subject, queue))
    }

    /// The account it is bound to.
    pub fn account(&self) -> Rc<Account> {
        Rc::clone(&self.account.borrow())
    }

    /// Its subscriptions, in the order of their numbers.
    pub fn subscriptions(&self) -> Vec<Rc<Subscription>> {
        let mut list: Vec<_> = self.subscriptions.borrow().values().cloned().collect();
        list.sort_unstable_by_key(|subscription| subscription.number);
        list
    }

    /// Up to `count` of its subscriptions with a sid above `after`, by sid: a page of a long walk.
    pub fn subscriptions_after(&self, after: Option<&[u8]>, count: usize) -> Vec<Rc<Subscription>> {
        use std::ops::Bound;
        let above = after.map_or(Bound::Unbounded, Bound::Excluded);
        let subscriptions = self.subscriptions.borrow();
        subscriptions
            .range::<[u8], _>((above, Bound::Unbounded))
            .take(count)
            .map(|(_, subscription)| Rc::clone(subscription))
            .collect()
    }

    /// How many subscriptions it has.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.borrow().len()
    }

    /// Bytes that wait to be written. JSON: `pending_bytes`.
    pub fn pending_size(&self) -> usize {
        self.outbound.borrow().pending_size()
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The connection is dead.
    #[inline]
    pub(crate) fn flush(&self, pool: &BufferPool) -> io::Result<Flush> {
        let outbound = &mut *self.outbound.borrow_mut();
        match &mut *self.transport.borrow_mut() {
            None => outbound.pieces.flush(&self.stream, pool),
            Some(transport) => transport.flush(outbound, &self.stream, pool),
        }
    }

    /// Takes what the socket brought out of its records, see [`Transport::receive`]. What the transport answers leaves
    /// at the end of the batch.
    ///
    /// # Errors
    /// The connection is over once the answer is written.
    pub(crate) fn receive(
        self: &Rc<Self>,
        shard: &Shard,
        buffer: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Received, TransportError> {
        let mut outbound = self.outbound.borrow_mut();
        let mut transport = self.transport.borrow_mut();
        let transport = transport.as_mut().expect("only framed connections are unframed");
        let received = transport.receive(buffer, plain, &mut outbound, shard.pool());
        if outbound.framed_size > 0 {
            shard.touch_outbound(self, &mut outbound);
        }
        received
    }

    /// Writes some of what is pending, or waits until the socket takes something; 0: there is nothing to write.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, pool: &BufferPool) -> Poll<io::Result<usize>> {
        let outbound = &mut *self.outbound.borrow_mut();
        match &mut *self.transport.borrow_mut() {
            None if outbound.pieces.size() == 0 => Poll::Ready(Ok(0)),
            None => {
                let written = std::task::ready!(self.stream.poll_write(cx, outbound.pieces.front()))?;
                outbound.pieces.advance(written, pool);
                Poll::Ready(Ok(written))
            }
            Some(transport) => transport.poll_write(outbound, &self.stream, pool, cx),
        }
    }

    /// Writes what can still be written of a connection that is being closed.
    ///
    /// # Errors
    /// The connection is dead.
    pub(crate) fn write_last(&self, pool: &BufferPool) -> io::Result<()> {
        let outbound = &mut *self.outbound.borrow_mut();
        match &mut *self.transport.borrow_mut() {
            None => outbound.pieces.flush(&self.stream, pool).map(drop),
            Some(transport) => {
                let reason = self.close_reason().unwrap_or(CloseReason::ClientClosed);
                transport.write_last(reason, outbound, &self.stream, pool)
            }
        }
    }

    /// Drops everything that waits to be written.
    pub(crate) fn clear_outbound(&self, pool: &BufferPool) {
        let outbound = &mut *self.outbound.borrow_mut();
        outbound.pieces.clear(pool);
        outbound.framed_size = 0;
        if let Some(transport) = &mut *self.transport.borrow_mut() {
            transport.clear(pool);
        }
    }

    /// What its TLS handshake agreed on; `None`: there was none.
    pub fn tls_state(&self) -> Option<&Arc<TlsState>> {
        self.tls.get()
    }

    /// Where it came in.
    pub fn door(&self) -> Door {
        self.door
    }

    /// Whether it began with the TLS handshake.
    pub fn is_tls_first(&self) -> bool {
        self.is_tls_first.get()
    }

    /// When it was accepted.
    pub fn started(&self) -> (Time, WallTime) {
        (self.started, self.started_wall)
    }

    /// When it last published, got a message, or changed its subscriptions.
    pub fn last_active(&self) -> Time {
        self.last_active.get()
    }

    /// The last measured round trip; zero when none was.
    pub fn rtt(&self) -> Duration {
        self.rtt.get()
    }

    /// Times a publisher was held because of it.
    pub fn stalls(&self) -> u64 {
        self.stalls.get()
    }

    /// The client published or changed its subscriptions; PING and PONG alone are no activity.
    pub(crate) fn note_activity(&self, now: Time) {
        self.last_in.set(now);
        self.last_active.set(now);
    }

    /// Wakes the serving task when it waits for something else than its socket.
    pub(crate) fn unpark(&self) {
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }

    /// How the log names it: `127.0.0.1:4000 - cid:7 - "v1.2:go:name"`.
    pub fn label(&self) -> String {
        let identity = self.connect();
        let parts: Vec<String> = [
            (!identity.version.is_empty()).then(|| format!("v{}", identity.version)),
            (!identity.lang.is_empty()).then(|| identity.lang.clone()),
            (!identity.name.is_empty()).then(|| identity.name.clone()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (peer, id) = (self.peer(), self.id.0);
        if parts.is_empty() {
            return format!("{peer} - cid:{id}");
        }
        format!("{peer} - cid:{id} - {:?}", parts.join(":"))
    }
}
