//! The state of one shard and the small verbs everything else is made of.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::announce::{Announcements, ConnectionEvent};
use super::ask::Waits;
use super::histogram::Histogram;
use super::offload::Offloads;
use super::settings::Settings;
use super::shards::{Job, Shards};
use super::timers::Timers;
use crate::account::Account;
use crate::conn::{BufferPool, Connection, Door, Outbound, State, Subscription, TlsState, Traffic};
use crate::ids::{AccountId, ConnectionId, ShardId};
use crate::io::{Gate, Io, Listener, Sabotage, Time, WallTime};
use crate::mesh::{InterestChange, Mesh};
use crate::proto::{CloseReason, Connect};
use crate::router::{LastMatch, OpenRequests, ServiceReplies};
use crate::rules::{Denial, Grant, Rules};

/// What a shard counted of itself.
pub struct Counters {
    /// Connections accepted since the start.
    pub total_connections: Cell<u64>,
    /// Connections closed because too much was pending.
    pub slow_consumers_pending: Cell<u64>,
    /// Connections closed because their socket took nothing.
    pub slow_consumers_deadline: Cell<u64>,
    /// Connections closed because they did not answer PINGs.
    pub stale_connections: Cell<u64>,
    /// Publishers held because their consumers are behind.
    pub stalled_clients: Cell<u64>,
    /// Messages for an account this shard does not know.
    pub unknown_account: Cell<u64>,
    /// Queue messages that no shard could deliver any more.
    pub hand_ons_dropped: Cell<u64>,
    /// Messages from other shards.
    pub received: Cell<u64>,
    /// Read batches.
    pub batches: Cell<u64>,
    /// Bytes of read batches.
    pub batch_bytes: Cell<u64>,
    /// Read batches by size, bytes.
    pub batch_sizes: Histogram<7>,
    /// From the read of a batch until its effects have left, nanoseconds; one batch in [`BATCH_SAMPLE`].
    pub batch_times: Histogram<9>,
}

/// Of so many batches one is timed: looking at the clock once more is dear for small batches.
pub const BATCH_SAMPLE: u64 = 8;

impl Default for Counters {
    fn default() -> Self {
        Self {
            total_connections: Cell::default(),
            slow_consumers_pending: Cell::default(),
            slow_consumers_deadline: Cell::default(),
            stale_connections: Cell::default(),
            stalled_clients: Cell::default(),
            unknown_account: Cell::default(),
            hand_ons_dropped: Cell::default(),
            received: Cell::default(),
            batches: Cell::default(),
            batch_bytes: Cell::default(),
            // 64 B to 256 KiB, which is all that one read brings.
            batch_sizes: Histogram::new(6),
            // 4 us to 268 ms.
            batch_times: Histogram::new(12),
        }
    }
}

pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// A connection that is gone, as `/connz?state=closed` shows it.
#[derive(Debug)]
pub struct ClosedConnection {
    /// Its number.
    pub id: ConnectionId,
    /// The other end.
    pub peer: std::net::SocketAddr,
    /// Why it was closed.
    pub reason: CloseReason,
    /// When it was accepted and closed.
    pub started: (Time, WallTime),
    /// When it was closed.
    pub stopped: (Time, WallTime),
    /// When something last went through.
    pub last_active: Time,
    /// Its last round trip.
    pub rtt: Duration,
    /// What it counted.
    pub traffic: Traffic,
    /// What was still pending, bytes.
    pub pending_size: usize,
    /// What it said of itself.
    pub connect: Rc<Connect>,
    /// Its account.
    pub account: Box<str>,
    /// What it had been granted, who it was among it.
    pub grant: Option<Arc<Grant>>,
    /// Why it was refused, for the server's side only.
    pub denial: Option<Rc<Denial>>,
    /// Where it came in.
    pub door: Door,
    /// What its TLS handshake agreed on.
    pub tls: Option<Arc<TlsState>>,
    /// Subjects it was subscribed to.
    pub subjects: Vec<ClosedSubscription>,
    /// Times a publisher was held because of it.
    pub stalls: u64,
}

/// A subscription of a connection that is gone.
#[derive(Clone, Debug)]
pub struct ClosedSubscription {
    /// Its subject.
    pub subject: Box<[u8]>,
    /// Its queue group.
    pub queue: Option<Box<[u8]>>,
    /// The client's name for it.
    pub sid: Box<[u8]>,
    /// Messages delivered.
    pub delivered: u64,
    /// Where it would have ended; 0: never.
    pub delivered_max: u64,
}

/// One shard.
pub struct Shard {
    io: Io,
    mesh: Mesh,
    shards: Shards,
    settings: RefCell<Arc<Settings>>,
    rules: RefCell<Arc<Rules>>,
    /// The next version of the rules: its accounts are known, and not obeyed yet.
    prepared: RefCell<Option<Arc<Rules>>>,
    accounts: RefCell<BTreeMap<AccountId, Rc<Account>>>,
    pub(super) connections: RefCell<BTreeMap<ConnectionId, Rc<Connection>>>,
    pub(super) closed: RefCell<VecDeque<Rc<ClosedConnection>>>,
    /// Closed connections that have ever been remembered.
    closed_count: Cell<u64>,
    pub(super) closed_traffic: Cell<Traffic>,
    pub(super) read_buffer: RefCell<Box<[u8]>>,
    /// What the transports made of the read buffer; empty and without room on a shard whose connections are plain.
    unframed: RefCell<Vec<u8>>,
    pool: BufferPool,
    pub(super) touched: RefCell<Vec<Rc<Connection>>>,
    /// Connections whose task waits for credit, for interest to leave, or for a stall to end.
    pub(super) parked: RefCell<Vec<Rc<Connection>>>,
    /// An interest lane is full: nothing later leaves this shard.
    pub(super) is_held: Cell<bool>,
    /// Writers of blocked connections that wait for the end of the hold.
    pub(super) held_writers: RefCell<Vec<Waker>>,
    pub(super) mesh_waker: RefCell<Option<Waker>>,
    pub(super) mailbox: crossbeam_channel::Receiver<Job>,
    pub(super) timers: Timers,
    pub(super) remote_stalls: RefCell<Vec<RemoteStall>>,
    requests: RefCell<OpenRequests>,
    /// Answers that services of other accounts owe.
    service_replies: RefCell<ServiceReplies>,
    /// The last subject of a message from another shard, and who gets it here.
    mesh_match: RefCell<LastMatch>,
    next_subscription: Cell<u64>,
    /// Everything that runs on this shard for its connections.
    pub(super) gate: Gate,
    pub(super) is_stopping: Cell<bool>,
    /// Nothing is read any more; what was read is still delivered.
    pub(super) is_draining: Cell<bool>,
    /// The ports, opened and not served yet.
    pub(super) listeners: RefCell<Vec<(Door, Listener)>>,
    /// Lame duck: no new clients.
    pub(super) is_leaving: Cell<bool>,
    /// This shard accepts clients for the server.
    pub(super) is_serving: Cell<bool>,
    /// When the batch in work was read or taken.
    batch_time: Cell<Time>,
    /// Tasks that wait for an answer or the end.
    pub(super) waits: Waits,
    pub(super) offloads: Offloads,
    pub(super) announcements: Announcements,
    counters: Counters,
}

/// A publisher of another shard that feeds a connection here too fast.
pub(super) struct RemoteStall {
    pub(super) shard: u16,
    pub(super) publisher: ConnectionId,
    pub(super) consumer: Rc<Connection>,
}

/// What a shard is made of.
pub(super) struct ShardParts {
    pub(super) io: Io,
    pub(super) mesh: Mesh,
    pub(super) shards: Shards,
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Arc<Rules>,
    pub(super) mailbox: crossbeam_channel::Receiver<Job>,
}

impl Shard {
    pub(super) fn new(parts: ShardParts) -> Rc<Self> {
        let ShardParts {
            io,
            mesh,
            shards,
            settings,
            rules,
            mailbox,
        } = parts;
        let open_requests = mesh.size().open_requests;
        let service_replies = ServiceReplies::new(mesh.id(), &io);
        let shard = Rc::new(Self {
            io,
            mesh,
            shards,
            settings: RefCell::new(settings),
            rules: RefCell::new(rules),
            prepared: RefCell::default(),
            accounts: RefCell::default(),
            connections: RefCell::default(),
            closed: RefCell::default(),
            closed_count: Cell::default(),
            closed_traffic: Cell::default(),
            read_buffer: RefCell::new(vec![0; crate::limits::READ_SIZE_MAX].into_boxed_slice()),
            unframed: RefCell::default(),
            pool: BufferPool::default(),
            touched: RefCell::default(),
            parked: RefCell::default(),
            is_held: Cell::new(false),
            held_writers: RefCell::default(),
            mesh_waker: RefCell::default(),
            mailbox,
            timers: Timers::default(),
            remote_stalls: RefCell::default(),
            requests: RefCell::new(OpenRequests::new(open_requests)),
            service_replies: RefCell::new(service_replies),
            mesh_match: RefCell::default(),
            next_subscription: Cell::new(1),
            gate: Gate::default(),
            is_stopping: Cell::new(false),
            is_draining: Cell::new(false),
            listeners: RefCell::default(),
            is_leaving: Cell::new(false),
            is_serving: Cell::new(false),
            batch_time: Cell::default(),
            waits: Waits::default(),
            offloads: Offloads::default(),
            announcements: Announcements::default(),
            counters: Counters::default(),
        });
        for id in [AccountId::GLOBAL, AccountId::SYSTEM] {
            // Those that monitoring shows though nobody uses them.
            drop(shard.account(id));
        }
        shard
    }

    /// Which shard this is.
    #[inline]
    pub fn id(&self) -> ShardId {
        self.mesh.id()
    }

    /// The outside.
    #[inline]
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Its end of the mesh.
    #[inline]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// All shards of the server.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    #[inline]
    pub(crate) fn settings_ref(&self) -> Ref<'_, Arc<Settings>> {
        self.settings.borrow()
    }

    /// Puts new settings in force. Those who are connected have their limits from the next operation on; a message
    /// that has begun goes through.
    pub fn set_settings(&self, settings: Arc<Settings>) {
        *self.settings.borrow_mut() = settings;
        for connection in self.connections() {
            self.bind_limits(&connection);
        }
    }

    #[inline]
    pub(crate) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    pub(crate) fn mesh_match(&self) -> &RefCell<LastMatch> {
        &self.mesh_match
    }

    pub(crate) fn service_replies(&self) -> &RefCell<ServiceReplies> {
        &self.service_replies
    }

    pub(crate) fn requests(&self) -> &RefCell<OpenRequests> {
        &self.requests
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    pub(crate) fn rules_ref(&self) -> Ref<'_, Arc<Rules>> {
        self.rules.borrow()
    }

    /// An account by number, made when it is first asked for; `None`: the rules have none of this number.
    pub fn account(&self, id: AccountId) -> Option<Rc<Account>> {
        let known = self.accounts.borrow().get(&id).cloned();
        known.or_else(|| self.make_account(id))
    }

    #[cold]
    fn make_account(&self, id: AccountId) -> Option<Rc<Account>> {
        let prepared = || self.prepared.borrow().as_ref()?.account(id).cloned();
        let rules = self.rules.borrow().account(id).cloned().or_else(prepared)?;
        let caches_matches = self.settings.borrow().caches_matches;
        let account = Account::new(rules, self.io.entropy(), self.mesh.shard_count(), caches_matches);
        let account = Rc::new(account);
        self.accounts.borrow_mut().insert(id, Rc::clone(&account));
        Some(account)
    }

    /// A version of the rules will be in force soon: its accounts are known from now on.
    pub(super) fn prepare_rules(&self, rules: &Arc<Rules>) {
        *self.prepared.borrow_mut() = Some(Arc::clone(rules));
    }

    /// Puts the prepared version in force; `false`: there is none.
    pub(super) fn take_prepared(&self) -> bool {
        let Some(rules) = self.prepared.take() else {
            return false;
        };
        let before = self.rules.replace(rules);
        assert!(
            before.version() < self.rules.borrow().version(),
            "versions count up"
        );
        true
    }

    /// Drops accounts that are not in the rules any more. No connection is bound to one.
    pub(super) fn forget_accounts(&self) {
        let rules = self.rules.borrow();
        let mut accounts = self.accounts.borrow_mut();
        accounts.retain(|id, _| rules.account(*id).is_some());
    }

    /// The accounts this shard has to do with, by number.
    pub fn accounts(&self) -> Vec<Rc<Account>> {
        self.accounts.borrow().values().cloned().collect()
    }

    /// An open connection by number.
    pub fn connection(&self, id: ConnectionId) -> Option<Rc<Connection>> {
        self.connections.borrow().get(&id).cloned()
    }

    /// All open connections, by number.
    pub fn connections(&self) -> Vec<Rc<Connection>> {
        let mut list: Vec<_> = self.connections.borrow().values().cloned().collect();
        list.sort_unstable_by_key(|connection| connection.id);
        list
    }

    /// Up to `count` open connections with numbers above `after`, by number: a page of a long walk.
    pub fn connections_after(&self, after: ConnectionId, count: usize) -> Vec<Rc<Connection>> {
        let above = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let connections = self.connections.borrow();
        connections
            .range(above)
            .take(count)
            .map(|(_, connection)| Rc::clone(connection))
            .collect()
    }

    pub(crate) fn add_connection(&self, connection: &Rc<Connection>) {
        let other = self
            .connections
            .borrow_mut()
            .insert(connection.id, Rc::clone(connection));
        assert!(other.is_none(), "numbers of connections are unique");
        count(&self.counters.total_connections);
    }

    pub(crate) fn read_buffer(&self) -> &RefCell<Box<[u8]>> {
        &self.read_buffer
    }

    pub(crate) fn unframed(&self) -> &RefCell<Vec<u8>> {
        &self.unframed
    }

    /// A batch comes: what it does counts as done now.
    #[inline]
    pub(crate) fn begin_batch(&self) -> Time {
        let now = self.io.now();
        self.batch_time.set(now);
        now
    }

    /// When the batch in work came.
    #[inline]
    pub(crate) fn batch_time(&self) -> Time {
        self.batch_time.get()
    }

    pub(crate) fn count_batch(&self, size: usize) {
        count(&self.counters.batches);
        self.counters
            .batch_bytes
            .set(self.counters.batch_bytes.get() + size as u64);
        self.counters.batch_sizes.add(size as u64);
    }

    /// The effects of the batch that was read at `since` have left.
    pub(crate) fn count_batch_time(&self, since: Time) {
        if self.counters.batches.get().is_multiple_of(BATCH_SAMPLE) {
            let taken = self.io.now().since(since).as_nanos();
            self.counters
                .batch_times
                .add(u64::try_from(taken).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn count_stall(&self) {
        count(&self.counters.stalled_clients);
    }

    /// Whether connections are no longer read.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Whether nothing may leave because an interest lane is full.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.get()
    }

    /// Adds a connection to those that are woken when there is room.
    pub(crate) fn park(&self, connection: &Rc<Connection>) {
        self.parked.borrow_mut().push(Rc::clone(connection));
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// The closed connections it remembers, oldest first.
    pub fn closed_connections(&self) -> Vec<Rc<ClosedConnection>> {
        self.closed.borrow().iter().cloned().collect()
    }

    /// How many closed connections it remembers.
    pub fn closed_connection_count(&self) -> usize {
        self.closed.borrow().len()
    }

    /// Up to `count` of them, oldest first, from the one with this number among all ever remembered (or the oldest
    /// still there), and the number to go on with.
    pub fn closed_connections_from(&self, from: u64, count: usize) -> (Vec<Rc<ClosedConnection>>, u64) {
        let closed = self.closed.borrow();
        let oldest = self.closed_count.get() - closed.len() as u64;
        let from = from.max(oldest);
        let skipped = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let page: Vec<_> = closed.iter().skip(skipped).take(count).cloned().collect();
        let next = from + page.len() as u64;
        (page, next)
    }

    /// Traffic of the connections that are gone.
    pub fn closed_traffic(&self) -> Traffic {
        self.closed_traffic.get()
    }

    /// Traffic of all clients since the start.
    pub fn traffic(&self) -> Traffic {
        let mut sum = self.closed_traffic.get();
        for connection in self.connections() {
            sum.add(&connection.traffic());
        }
        sum
    }

    /// Adds a connection to those to flush at the end of the batch.
    #[inline]
    pub(crate) fn touch(&self, connection: &Rc<Connection>) {
        self.touched.borrow_mut().push(Rc::clone(connection));
    }

    /// Appends protocol text for a connection; it leaves at the end of the batch.
    pub(crate) fn enqueue(&self, connection: &Rc<Connection>, append: impl FnOnce(&mut Vec<u8>)) {
        if !connection.is_open() {
            return;
        }
        let mut outbound = connection.outbound.borrow_mut();
        append(outbound.tail(&self.pool));
        self.touch_outbound(connection, &mut outbound);
    }

    /// Something was appended to what a connection has pending.
    pub(crate) fn touch_outbound(&self, connection: &Rc<Connection>, outbound: &mut Outbound) {
        if !outbound.is_touched {
            outbound.is_touched = true;
            self.touch(connection);
        }
    }

    pub(crate) fn next_subscription_number(&self) -> u64 {
        let number = self.next_subscription.get();
        self.next_subscription.set(number + 1);
        number
    }

    /// Notes for the other shards that interest changed.
    pub(crate) fn tell_interest(&self, change: Option<InterestChange>) {
        if let Some(mut change) = change {
            if change.weight == 0 && self.io.sabotaged(Sabotage::ForgetUnsub) {
                return;
            }
            if change.key.queue.is_some() && self.io.sabotaged(Sabotage::WrongWeight) {
                change.weight += 1;
            }
            self.mesh.change_interest(change);
        }
    }

    /// Applies what other shards told of their interest. Whoever routes calls this first.
    #[inline]
    pub(crate) fn drain_interest(&self) {
        self.mesh.drain_interest(&self.io, |shard, change| {
            if let Some(account) = self.account(change.key.account) {
                account.apply_remote(shard, &change);
            }
        });
    }

    /// Ends a subscription: out of the list, out of its connection.
    pub(crate) fn end_subscription(&self, subscription: &Rc<Subscription>) {
        if !subscription.is_live.replace(false) {
            return;
        }
        let connection = &subscription.connection;
        let change = connection.account.borrow().unsubscribe(subscription);
        self.tell_interest(change);
        connection.subscriptions.borrow_mut().remove(&subscription.sid);
        self.end_shadows(&connection.account(), subscription);
    }

    pub(crate) fn note_remote_stall(&self, shard: u16, publisher: ConnectionId, consumer: &Rc<Connection>) {
        let mut stalls = self.remote_stalls.borrow_mut();
        if stalls.iter().any(|stall| stall.publisher == publisher) {
            return;
        }
        stalls.push(RemoteStall {
            shard,
            publisher,
            consumer: Rc::clone(consumer),
        });
    }

    /// Closes a connection: nothing is delivered to it or read from it any more, its subscriptions end,
    /// what is pending gets one more chance to be written. Its task then cleans up.
    pub fn close(&self, connection: &Rc<Connection>, reason: CloseReason) {
        if !connection.is_open() {
            return;
        }
        let subscriptions = connection.subscriptions();
        self.tell_watcher(connection, ConnectionEvent::Closed(reason));
        self.remember(connection, reason, &subscriptions);
        connection.state.set(State::Closed(reason));
        for subscription in subscriptions {
            if self.io.sabotaged(Sabotage::KeepSubscriptions) {
                break;
            }
            self.end_subscription(&subscription);
        }
        self.write_last(connection);
        connection.stream.shutdown();
        connection.last_match.take();
        connection.stalled_by.take();
        self.timers.cancel(connection);
        connection.unpark();
    }

    /// Gives the socket of a forgotten connection back, as soon as no writer waits for it any more. Others may hold the
    /// connection for a while (a publisher its last match), and must not hold the socket with it.
    pub(super) fn close_socket(&self, connection: &Connection) {
        if connection.is_forgotten.get() && !connection.outbound.borrow().has_writer {
            connection.stream.close();
        }
    }

    /// Takes a closed connection out; the task that served it calls this last.
    pub(crate) fn forget(&self, connection: &Rc<Connection>) {
        assert!(!connection.is_open(), "closed before it is forgotten");
        self.connections.borrow_mut().remove(&connection.id);
        connection.is_forgotten.set(true);
        self.close_socket(connection);
        self.shards.load(self.id()).left();
        self.leave_account(connection);
        if self.is_stopping.get() {
            // The mesh task ends with the last connection.
            self.wake_mesh_task();
        }
    }

    /// Makes the mesh task look again, though nobody rang.
    pub(super) fn wake_mesh_task(&self) {
        if let Some(waker) = self.mesh_waker.take() {
            waker.wake();
        }
    }

    fn remember(&self, connection: &Rc<Connection>, reason: CloseReason, subscriptions: &[Rc<Subscription>]) {
        let traffic = connection.traffic();
        let account = connection.account();
        let mut sum = self.closed_traffic.get();
        sum.add(&traffic);
        self.closed_traffic.set(sum);
        let mut sum = account.closed_traffic.get();
        sum.add(&traffic);
        account.closed_traffic.set(sum);
        tracing::debug!(
            "{} - Client connection closed: {}",
            connection.label(),
            reason.text()
        );
        let max = self
            .settings_ref()
            .closed_connections_max
            .min(crate::limits::CLOSED_CONNECTIONS_MAX);
        if max == 0 {
            return;
        }
        let subjects = subscriptions
            .iter()
            .map(|subscription| ClosedSubscription {
                subject: subscription.subject.clone(),
                queue: subscription.queue.clone(),
                sid: subscription.sid.clone(),
                delivered: subscription.delivered.get(),
                delivered_max: subscription.delivered_max.get(),
            })
            .collect();
        let closed = ClosedConnection {
            id: connection.id,
            peer: connection.peer(),
            reason,
            started: connection.started(),
            stopped: (self.io.now(), self.io.wall()),
            last_active: connection.last_active(),
            rtt: connection.rtt(),
            traffic,
            pending_size: connection.pending_size(),
            connect: connection.connect(),
            account: account.name.clone(),
            grant: connection.grant(),
            denial: connection.denial(),
            door: connection.door(),
            tls: connection.tls_state().cloned(),
            subjects,
            stalls: connection.stalls(),
        };
        let mut list = self.closed.borrow_mut();
        if list.len() >= max {
            list.pop_front();
        }
        list.push_back(Rc::new(closed));
        count(&self.closed_count);
    }
}
