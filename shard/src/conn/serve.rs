//! The task of one connection: greet, then read, parse and route batch after batch until the end.
//!
//! A batch is what one read brought. It is parsed in the shard's read buffer, inside the poll that read
//! it; a connection that waits holds no buffer. What could not be parsed yet because the shard it feeds
//! had no credit waits in `backlog`.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::{Connection, Door, State};
use super::nonce::new_nonce;
use super::opening::{self, Opening};
use super::transport::Received;
use crate::ids::{AccountId, ConnectionId};
use crate::io::{Point, Sabotage, Stream};
use crate::limits;
use crate::mesh::shards_of;
use crate::proto::{ClientError, CloseReason, ConnKind, FirstOp, Limits, Op, ParseError, Parser};
use crate::runtime::Shard;

/// How long a publisher is held because its consumer is behind: a little, or more when the consumer has
/// all pending bytes it may have.
const STALL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(5));

/// What a batch came to.
enum Batch {
    /// More may be read at once.
    More,
    /// The connection is over.
    End(CloseReason),
}

/// Serves a connection to its end. `is_over`: the server has all connections it may have.
pub(crate) async fn serve(shard: Rc<Shard>, stream: Stream, id: ConnectionId, door: Door, is_over: bool) {
    let connection = shard.open(stream, id, door);
    let early = match door {
        Door::Client => open_client(&shard, &connection, is_over).await,
        Door::WebSocket => open_websocket(&shard, &connection, is_over).await,
    };
    shard.start_times(&connection);
    let mut parser = new_parser(&shard, &connection);
    let reason = read_loop(&shard, &connection, &mut parser, early).await;
    shard.close(&connection, reason);
    shard.end_batch();
    shard.forget(&connection);
}

/// What comes before the operations of a client; the answer is what was read of them.
async fn open_client(shard: &Rc<Shard>, connection: &Rc<Connection>, is_over: bool) -> Vec<u8> {
    let opening = Opening::of(shard);
    if !opening.is_tls_first() {
        // The address of the proxy is nobody's business: INFO names none before the prefix came.
        shard.send_first_info(connection, !opening.is_proxied);
    }
    if is_over {
        shard.refuse_one_more(connection);
    }
    shard.end_batch();
    if opening.is_plain() || is_over {
        return Vec::new();
    }
    match Box::pin(opening.run(shard, connection)).await {
        Ok(early) => early,
        Err(reason) => {
            shard.close(connection, reason);
            Vec::new()
        }
    }
}

/// As [`open_client`], where frames are spoken: INFO is the first of them.
async fn open_websocket(shard: &Rc<Shard>, connection: &Rc<Connection>, is_over: bool) -> Vec<u8> {
    match Box::pin(opening::upgrade(shard, connection)).await {
        Ok(()) => {
            shard.send_first_info(connection, true);
            if is_over {
                shard.refuse_one_more(connection);
            }
        }
        Err(reason) => shard.close(connection, reason),
    }
    shard.end_batch();
    Vec::new()
}

fn new_parser(shard: &Shard, connection: &Connection) -> Parser {
    let limits = Limits {
        max_control_line: shard.settings().control_line_size_max,
        max_payload: connection.payload_size_max.get(),
    };
    let mut parser = Parser::new(ConnKind::Client, limits);
    // Until CONNECT says otherwise a client has no headers.
    parser.set_headers(false);
    if connection.grant().is_none() {
        parser.set_first_op(FirstOp::Connect);
    }
    parser
}

async fn read_loop(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    parser: &mut Parser,
    early: Vec<u8>,
) -> CloseReason {
    let mut backlog = early;
    let mut reads_in_a_row = 0;
    loop {
        if let Some(reason) = connection.close_reason() {
            return reason;
        }
        if must_wait(shard, connection) {
            wait_for_leave(shard, connection).await;
            // It may have been closed meanwhile; a SUB of its backlog would outlive it.
            if !shard.io().sabotaged(Sabotage::ServeTheClosed) {
                continue;
            }
        }
        if connection.is_deciding.get() {
            let admitted = shard.decided(connection).await;
            shard.end_batch();
            if let Some(admitted) = admitted {
                admitted.tell(parser);
            }
            continue;
        }
        let batch = if backlog.is_empty() {
            poll_fn(|cx| poll_batch(shard, connection, parser, &mut backlog, cx)).await
        } else {
            let bytes = std::mem::take(&mut backlog);
            shard.drain_interest();
            shard.begin_batch();
            let batch = parse_batch(shard, connection, parser, &bytes, &mut backlog);
            shard.end_batch();
            batch
        };
        if let Batch::End(reason) = batch {
            return reason;
        }
        hold_fast_producer(shard, connection).await;
        reads_in_a_row += 1;
        if reads_in_a_row >= limits::READS_IN_A_ROW_MAX {
            reads_in_a_row = 0;
            shard.io().yield_now().await;
        }
    }
}

/// Reads once and routes what came, all within the poll.
fn poll_batch(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    parser: &mut Parser,
    backlog: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Batch> {
    if let Some(reason) = connection.close_reason() {
        return Poll::Ready(Batch::End(reason));
    }
    if shard.is_draining() {
        // Nothing new comes in any more; the end of the shard wakes the task.
        connection.parked.set(Some(cx.waker().clone()));
        return Poll::Pending;
    }
    let mut buffer = shard.read_buffer().borrow_mut();
    let held = connection
        .transport
        .borrow()
        .as_ref()
        .map(|transport| transport.held_size());
    let room = &mut buffer[held.unwrap_or(0)..];
    let size = match connection.stream.poll_read(cx, room) {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(0)) => return Poll::Ready(Batch::End(CloseReason::ClientClosed)),
        Poll::Ready(Ok(size)) => size,
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
            return Poll::Ready(Batch::More);
        }
        Poll::Ready(Err(error)) => {
            tracing::debug!("{} - Read error: {error}", connection.label());
            return Poll::Ready(Batch::End(CloseReason::ReadError));
        }
    };
    shard.count_batch(size);
    shard.io().interleave(Point::TriggeredNotDrained);
    if !shard.io().sabotaged(Sabotage::NoDrainBeforeRoute) {
        shard.drain_interest();
    }
    let now = shard.begin_batch();
    let messages_before = connection.in_msgs.get();
    let batch = match held {
        None => parse_batch(shard, connection, parser, &buffer[..size], backlog),
        Some(held) => unframe_batch(shard, connection, parser, &mut buffer[..held + size], backlog),
    };
    if connection.in_msgs.get() != messages_before {
        connection.note_activity(now);
    }
    drop(buffer);
    shard.end_batch();
    shard.count_batch_time(now);
    Poll::Ready(batch)
}

/// Takes a batch out of its records, then parses and routes it.
fn unframe_batch(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    parser: &mut Parser,
    buffer: &mut [u8],
    backlog: &mut Vec<u8>,
) -> Batch {
    let mut plain = shard.unframed().borrow_mut();
    plain.clear();
    let received = connection.receive(shard, buffer, &mut plain);
    // What came whole before a mistake counts.
    let batch = parse_batch(shard, connection, parser, &plain, backlog);
    plain.shrink_to(limits::READ_SIZE_MAX);
    match (batch, received) {
        (Batch::More, Ok(Received::More)) => Batch::More,
        (Batch::More, Ok(Received::Last)) => Batch::End(CloseReason::ClientClosed),
        (Batch::More, Err(error)) => {
            tracing::debug!("{} - Read error: {error}", connection.label());
            Batch::End(CloseReason::ReadError)
        }
        (end, _) => end,
    }
}

/// Parses and routes `bytes`; what must wait for credit goes to `backlog`.
fn parse_batch(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    parser: &mut Parser,
    bytes: &[u8],
    backlog: &mut Vec<u8>,
) -> Batch {
    let mut input = bytes;
    // They may have changed since the last batch.
    parser.set_max_payload(connection.payload_size_max.get());
    parser.set_max_control_line(shard.settings_ref().control_line_size_max);
    loop {
        // The hot road: a plain PUB that lies whole in the buffer.
        if let Some((publish, consumed)) = parser.next_publish(input) {
            input = &input[consumed..];
            shard.on_client_op(connection, &Op::Pub(publish));
        } else {
            let step = match parser.next(input) {
                Ok(step) => step,
                Err(ParseError::ConnectExpected) => match shard.admit_without_connect(connection) {
                    Some(admitted) => {
                        admitted.tell(parser);
                        continue;
                    }
                    None => return refuse_input(shard, connection, &ParseError::ConnectExpected),
                },
                Err(error) => return refuse_input(shard, connection, &error),
            };
            input = &input[step.consumed..];
            let Some(op) = step.op else { return Batch::More };
            if let Some(admitted) = shard.on_client_op(connection, &op) {
                admitted.tell(parser);
            }
        }
        if let Some(reason) = connection.close_reason() {
            return Batch::End(reason);
        }
        if connection.is_deciding.get() {
            backlog.extend_from_slice(input);
            return Batch::More;
        }
        if connection.blocked_on.get() != 0 && !input.is_empty() {
            shard.io().hit("credit_exhausted");
            if !shard.io().sabotaged(Sabotage::LoseTheBacklog) {
                backlog.extend_from_slice(input);
            }
            return Batch::More;
        }
    }
}

/// What came is not the protocol: the client is told, the log says who and why.
fn refuse_input(shard: &Rc<Shard>, connection: &Rc<Connection>, error: &ParseError) -> Batch {
    tracing::error!("{} - {error}", connection.label());
    let reason = error.close_reason();
    match error.reply() {
        Some(reply) => shard.refuse(connection, &reply, reason),
        None => shard.close(connection, reason),
    }
    Batch::End(reason)
}

/// A connection was let in: what that changes for its parser.
pub(super) struct Admitted {
    /// Both sides have headers.
    pub(super) headers: bool,
    /// Bytes of a message; below 0: no limit.
    pub(super) payload_size_max: i32,
}

impl Admitted {
    fn tell(&self, parser: &mut Parser) {
        parser.set_headers(self.headers);
        parser.set_max_payload(self.payload_size_max);
        parser.set_first_op(FirstOp::Any);
    }
}

fn must_wait(shard: &Shard, connection: &Connection) -> bool {
    if !connection.is_open() {
        return false;
    }
    if shard.is_held() || shard.is_draining() {
        return true;
    }
    let blocked = connection.blocked_on.get();
    if blocked == 0 {
        return false;
    }
    let still = shards_of(blocked)
        .filter(|&target| shard.mesh().is_blocked(target))
        .fold(0, |bits, target| bits | 1 << target);
    connection.blocked_on.set(still);
    still != 0
}

/// Waits until interest has left this shard and the shards this publisher feeds have room.
async fn wait_for_leave(shard: &Rc<Shard>, connection: &Rc<Connection>) {
    poll_fn(|cx| {
        if !must_wait(shard, connection) {
            return Poll::Ready(());
        }
        connection.parked.set(Some(cx.waker().clone()));
        shard.park(connection);
        Poll::Pending
    })
    .await;
}

/// Holds a publisher for a moment whose consumer is behind, here or on another shard.
async fn hold_fast_producer(shard: &Rc<Shard>, connection: &Rc<Connection>) {
    let mut is_asked = connection.hold_asked.take();
    let consumer = connection.stalled_by.borrow_mut().take();
    let mut held = Duration::ZERO;
    while held < limits::STALL_MAX && connection.is_open() {
        let behind = consumer
            .as_ref()
            .filter(|consumer| shard.is_connection_behind(consumer));
        let pause = match behind {
            Some(consumer) => {
                consumer.stalls.set(consumer.stalls.get() + 1);
                let is_full = consumer.pending_size() >= shard.settings().pending_size_max;
                if is_full {
                    STALL.1
                } else {
                    STALL.0
                }
            }
            None if is_asked => STALL.0,
            None => return,
        };
        is_asked = false;
        shard.count_stall();
        shard.io().sleep(pause).await;
        held += pause;
    }
}

impl Shard {
    /// Makes the connection known.
    fn open(self: &Rc<Self>, stream: Stream, id: ConnectionId, door: Door) -> Rc<Connection> {
        let peer = Cell::new(stream.peer_addr());
        let now = self.io().now();
        let account = self
            .account(AccountId::GLOBAL)
            .expect("the global account is always there");
        let nonce = if self.rules_ref().authenticator().wants_nonce() {
            new_nonce(self.io())
        } else {
            Box::default()
        };
        let connection = Rc::new(Connection {
            id,
            kind: ConnKind::Client,
            stream,
            peer,
            state: Cell::new(State::Fresh),
            account: RefCell::new(account),
            has_joined: Cell::new(false),
            grant: RefCell::default(),
            permits: RefCell::default(),
            deciding: RefCell::default(),
            is_deciding: Cell::new(false),
            denial: RefCell::default(),
            nonce: RefCell::new(nonce),
            payload_size_max: Cell::new(self.settings_ref().payload_size_max),
            subscriptions_max: Cell::new(usize::MAX),
            outbound: RefCell::default(),
            transport: RefCell::default(),
            door,
            tls: OnceCell::new(),
            is_tls_first: Cell::new(false),
            subscriptions: RefCell::default(),
            last_match: RefCell::default(),
            connect: RefCell::default(),
            is_verbose: Cell::new(true),
            is_pedantic: Cell::new(true),
            echo: Cell::new(true),
            headers: Cell::new(false),
            no_responders: Cell::new(false),
            protocol: Cell::new(0),
            sent_connect_info: Cell::new(false),
            in_msgs: Cell::new(0),
            in_bytes: Cell::new(0),
            out_msgs: Cell::new(0),
            out_bytes: Cell::new(0),
            stalls: Cell::new(0),
            started: now,
            started_wall: self.io().wall(),
            last_active: Cell::new(now),
            last_in: Cell::new(now),
            rtt: Cell::new(Duration::ZERO),
            ping_sent: Cell::new(None),
            pings_out: Cell::new(0),
            next_ping: Cell::new(None),
            write_due: Cell::new(None),
            connect_due: Cell::new(None),
            expires_due: Cell::new(None),
            timer_at: Cell::new(None),
            blocked_on: Cell::new(0),
            stalled_by: RefCell::default(),
            hold_asked: Cell::new(false),
            is_forgotten: Cell::new(false),
            parked: Cell::new(None),
        });
        self.add_connection(&connection);
        tracing::debug!("{} - Client connection created", connection.label());
        self.bind_fresh(&connection);
        connection
    }

    /// The connection is open for operations: its times run.
    fn start_times(&self, connection: &Rc<Connection>) {
        if !connection.is_open() {
            return;
        }
        let needs_credentials = self.rules_ref().authenticator().requires_credentials();
        let timeout = self.settings_ref().auth_timeout.filter(|_| needs_credentials);
        connection
            .connect_due
            .set(timeout.map(|timeout| self.io().now() + timeout));
        self.schedule_first_ping(connection);
    }

    /// The server has all connections it may have.
    pub(crate) fn refuse_one_more(&self, connection: &Rc<Connection>) {
        tracing::error!(
            "{} - maximum connections exceeded: there are {:?} already",
            connection.label(),
            self.settings_ref().connections_max.unwrap_or_default()
        );
        self.refuse(
            connection,
            &ClientError::MaxConnectionsExceeded,
            CloseReason::MaxConnectionsExceeded,
        );
    }

    /// Tells the client what is wrong and closes its connection.
    pub(crate) fn refuse(&self, connection: &Rc<Connection>, error: &ClientError<'_>, reason: CloseReason) {
        self.send_error(connection, error);
        self.close(connection, reason);
    }
}
