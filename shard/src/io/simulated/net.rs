//! Simulated TCP: listeners, connections with bounded buffers, and what networks do to them.
//!
//! Owns: bytes on their way, both ends of every connection, partitions. Not here: when a fault begins
//! (`world`), how likely it is (`plan`).
//! Bytes of one direction keep their order, whatever delay and cutting was drawn.
//!
//! Invariants
//!   on their way + arrived <= capacity, per direction
//!   after a reset nothing is read and nothing is written any more

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::world::{HostId, World};
use super::SimIo;

/// The first port that is given to who asks for none.
const FREE_PORT_FIRST: u16 = 40_000;
/// Connections that wait to be accepted; more are refused.
const BACKLOG: usize = 64;

/// All sockets of a world.
#[derive(Default)]
pub(super) struct Net {
    connections: BTreeMap<u64, Connection>,
    connections_made: u64,
    listeners: BTreeMap<SocketAddr, Listening>,
    ports_given: u16,
    partitions: BTreeSet<(usize, usize)>,
    /// Connections between `accept` and `adopt`: when the token is gone, so is the connection.
    unadopted: Vec<(u64, Arc<()>)>,
}

#[derive(Default)]
struct Listening {
    waiting: VecDeque<u64>,
    waker: Option<Waker>,
}

struct Connection {
    ends: [End; 2],
    /// `pipes[side]` carries what `side` writes.
    pipes: [Pipe; 2],
    /// Reset: both ends know.
    broken: bool,
}

struct End {
    host: usize,
    address: SocketAddr,
    /// Its stream was dropped.
    closed: bool,
    /// It called `shutdown`.
    shut: bool,
}

/// What travels.
enum Parcel {
    Bytes(Vec<u8>),
    /// The writer is done.
    Finish,
    /// The writer's end is gone and did not read everything.
    Reset,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished,
    Reset,
}

struct Pipe {
    capacity: usize,
    on_the_way: VecDeque<(u64, Parcel)>,
    on_the_way_size: usize,
    last_arrival: u64,
    arrived: VecDeque<u8>,
    finished: bool,
    ended: Option<Ended>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            on_the_way: VecDeque::new(),
            on_the_way_size: 0,
            last_arrival: 0,
            arrived: VecDeque::new(),
            finished: false,
            ended: None,
            reader: None,
            writer: None,
        }
    }

    fn room(&self) -> usize {
        self.capacity - self.on_the_way_size - self.arrived.len()
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

pub(super) fn address_of(host: usize, port: u16) -> SocketAddr {
    let host = u16::try_from(host).expect("a world has few hosts").to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, host[0], host[1])), port)
}

impl Net {
    /// What is on its way or waits to be read: connection, writing side, bytes on the way, bytes arrived.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (u64, usize, usize, usize)> + '_ {
        let open = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.broken);
        open.flat_map(|(id, connection)| {
            [0, 1].map(|side| {
                let (pipe, reader) = (&connection.pipes[side], &connection.ends[1 - side]);
                // Who shut an end down reads no more of it, though it may hold it a while longer.
                let arrived = if reader.closed || reader.shut {
                    0
                } else {
                    pipe.arrived.len()
                };
                (*id, side, pipe.on_the_way.len(), arrived)
            })
        })
        .filter(|(_, _, on_the_way, arrived)| on_the_way + arrived > 0)
    }
}

fn pair_of(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

pub(super) fn listen(io: &SimIo, address: SocketAddr) -> io::Result<SimListener> {
    let mut net = io.world.net.borrow_mut();
    let port = if address.port() == 0 {
        net.ports_given += 1;
        FREE_PORT_FIRST + net.ports_given
    } else {
        address.port()
    };
    let key = address_of(io.node.host, port);
    if net.listeners.contains_key(&key) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    net.listeners.insert(key, Listening::default());
    Ok(SimListener {
        world: Rc::clone(&io.world),
        key,
        local: SocketAddr::new(address.ip(), port),
    })
}

pub(super) async fn connect(io: &SimIo, address: SocketAddr) -> io::Result<SimStream> {
    let world = &io.world;
    let travel = world.dice.between(world.plan.travel_ns.0, world.plan.travel_ns.1);
    io.sleep(std::time::Duration::from_nanos(travel)).await;
    if world.faults.get() && world.dice.per_mille(world.plan.refuse_per_mille) {
        world.hit("connect_refused");
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let mut net = world.net.borrow_mut();
    let Net {
        connections,
        connections_made,
        listeners,
        ports_given,
        ..
    } = &mut *net;
    let Some(listening) = listeners.get_mut(&address) else {
        return Err(io::ErrorKind::ConnectionRefused.into());
    };
    if listening.waiting.len() >= BACKLOG {
        world.hit("backlog_full");
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    *connections_made += 1;
    let id = *connections_made;
    *ports_given = ports_given.wrapping_add(1) % 20_000;
    let (low, high) = world.plan.socket_capacity;
    let end = |host, address| End {
        host,
        address,
        closed: false,
        shut: false,
    };
    let [_, _, high_byte, low_byte] = match address.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => return Err(io::ErrorKind::AddrNotAvailable.into()),
    };
    let there = usize::from(u16::from_be_bytes([high_byte, low_byte]));
    connections.insert(
        id,
        Connection {
            ends: [
                end(
                    io.node.host,
                    address_of(io.node.host, FREE_PORT_FIRST + *ports_given),
                ),
                end(there, address),
            ],
            pipes: [
                Pipe::new(world.dice.size(low, high)),
                Pipe::new(world.dice.size(low, high)),
            ],
            broken: false,
        },
    );
    listening.waiting.push_back(id);
    if let Some(waker) = listening.waker.take() {
        waker.wake();
    }
    drop(net);
    if world.faults.get() && world.dice.per_mille(world.plan.reset_per_mille) {
        let when = world.now() + world.dice.between(1, world.plan.reset_after_ns_max);
        world.call_at(when, move |world| {
            if world.faults.get() && world.break_connection(id) {
                world.hit("reset");
            }
        });
    }
    Ok(SimStream {
        world: Rc::clone(world),
        id,
        side: 0,
    })
}

pub(super) fn adopt(io: &SimIo, accepted: SimAccepted) -> SimStream {
    io.world
        .net
        .borrow_mut()
        .unadopted
        .retain(|(id, _)| *id != accepted.id);
    SimStream {
        world: Rc::clone(&io.world),
        id: accepted.id,
        side: 1,
    }
}

/// A simulated listener; dropping it closes the port and whatever waits there.
pub struct SimListener {
    world: Rc<World>,
    key: SocketAddr,
    local: SocketAddr,
}

impl SimListener {
    pub(in crate::io) async fn accept(&self) -> io::Result<SimAccepted> {
        poll_fn(|cx| {
            let mut net = self.world.net.borrow_mut();
            let Some(listening) = net.listeners.get_mut(&self.key) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            match listening.waiting.pop_front() {
                Some(id) => {
                    let token = Arc::new(());
                    net.unadopted.push((id, Arc::clone(&token)));
                    Poll::Ready(Ok(SimAccepted { id, _token: token }))
                }
                None => {
                    listening.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub(in crate::io) fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let closed = self.world.net.borrow_mut().listeners.remove(&self.key);
        for id in closed.into_iter().flat_map(|listening| listening.waiting) {
            self.world.abandon(id);
        }
    }
}

/// A simulated connection not yet read. It may cross threads, as a real one; dropping it resets it.
pub struct SimAccepted {
    id: u64,
    _token: Arc<()>,
}

/// One end of a simulated connection.
pub struct SimStream {
    world: Rc<World>,
    id: u64,
    side: usize,
}

impl SimStream {
    fn other(&self) -> usize {
        1 - self.side
    }

    pub(in crate::io) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let world = &self.world;
        let mut net = world.net.borrow_mut();
        let Some(connection) = net.connections.get_mut(&self.id).filter(|it| !it.broken) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let shut = connection.ends[self.side].shut || connection.ends[self.side].closed;
        let pipe = &mut connection.pipes[self.other()];
        let mut count = buffer.len().min(pipe.arrived.len());
        if count == 0 {
            return match pipe.ended {
                Some(Ended::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(Ended::Finished) => Poll::Ready(Ok(0)),
                None if shut || buffer.is_empty() => Poll::Ready(Ok(0)),
                None => {
                    pipe.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        if count > 1 && world.faults.get() && world.dice.per_mille(world.plan.partial_per_mille) {
            world.hit("partial_read");
            count = world.dice.size(1, count);
        }
        for (place, byte) in buffer.iter_mut().zip(pipe.arrived.drain(..count)) {
            *place = byte;
        }
        pipe.wake_writer();
        world.mix(self.id << 32 | count as u64);
        Poll::Ready(Ok(count))
    }

    /// As the seam's `try_write`.
    pub(in crate::io) fn try_write(&self, pieces: &[&[u8]]) -> io::Result<usize> {
        let world = &self.world;
        let mut net = world.net.borrow_mut();
        let Some(connection) = net.connections.get_mut(&self.id).filter(|it| !it.broken) else {
            return Err(io::ErrorKind::ConnectionReset.into());
        };
        if connection.pipes[self.side].finished || connection.pipes[self.other()].ended == Some(Ended::Reset)
        {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut connection.pipes[self.side];
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut count = size.min(pipe.room());
        if count == 0 && size > 0 {
            world.hit("write_would_block");
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if count > 1 && world.faults.get() && world.dice.per_mille(world.plan.partial_per_mille) {
            world.hit("partial_write");
            count = world.dice.size(1, count);
        }
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .take(count)
            .collect();
        for piece in bytes.chunks(world.dice.size(1, world.plan.piece_size_max.max(1)).max(1)) {
            world.send(self.id, self.side, pipe, Parcel::Bytes(piece.to_vec()));
        }
        Ok(count)
    }

    pub(in crate::io) fn poll_write(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.try_write(&[buffer]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut net = self.world.net.borrow_mut();
                if let Some(connection) = net.connections.get_mut(&self.id) {
                    connection.pipes[self.side].writer = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    pub(in crate::io) fn shutdown(&self) {
        self.finish_writing();
        let mut net = self.world.net.borrow_mut();
        if let Some(connection) = net.connections.get_mut(&self.id) {
            connection.ends[self.side].shut = true;
            connection.pipes[self.other()].wake_reader();
            connection.pipes[self.side].wake_writer();
        }
    }

    pub(in crate::io) fn peer_addr(&self) -> SocketAddr {
        self.address(self.other())
    }

    pub(in crate::io) fn local_addr(&self) -> SocketAddr {
        self.address(self.side)
    }

    fn address(&self, side: usize) -> SocketAddr {
        let net = self.world.net.borrow();
        match net.connections.get(&self.id) {
            Some(connection) => connection.ends[side].address,
            None => address_of(0, 0),
        }
    }

    /// Ends the direction out: the other side reads what is on its way, then the end of the stream.
    pub fn finish_writing(&self) {
        let mut net = self.world.net.borrow_mut();
        if let Some(connection) = net.connections.get_mut(&self.id) {
            let pipe = &mut connection.pipes[self.side];
            if !pipe.finished {
                pipe.finished = true;
                self.world.send(self.id, self.side, pipe, Parcel::Finish);
            }
        }
    }

    /// Closes this end, as dropping it does: what was written still arrives, what was not read is answered
    /// with a reset.
    pub fn close(&self) {
        let mut net = self.world.net.borrow_mut();
        let Some(connection) = net.connections.get_mut(&self.id) else {
            return;
        };
        if std::mem::replace(&mut connection.ends[self.side].closed, true) {
            return;
        }
        let unread = &mut connection.pipes[1 - self.side];
        let parcel = if unread.arrived.is_empty() {
            Parcel::Finish
        } else {
            Parcel::Reset
        };
        unread.arrived.clear();
        unread.wake_reader();
        let pipe = &mut connection.pipes[self.side];
        let is_finished_twice = pipe.finished && matches!(parcel, Parcel::Finish);
        if !connection.broken && !is_finished_twice {
            pipe.finished = true;
            self.world.send(self.id, self.side, pipe, parcel);
        }
        if connection.ends.iter().all(|end| end.closed) {
            net.connections.remove(&self.id);
        }
    }

    /// Breaks the connection at once, both ways.
    pub fn reset(&self) {
        if self.world.break_connection(self.id) {
            self.world.hit("client_reset");
        }
    }

    /// Reads what is there, at most a buffer full, and waits for the first byte. `Ok(0)`: the end.
    ///
    /// # Errors
    /// The connection was reset.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The connection was reset or shut down.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl World {
    /// Puts a parcel on its way.
    fn send(&self, id: u64, side: usize, pipe: &mut Pipe, parcel: Parcel) {
        let (low, high) = self.plan.travel_ns;
        let arrival = (self.now() + self.dice.between(low, high)).max(pipe.last_arrival);
        pipe.last_arrival = arrival;
        if let Parcel::Bytes(bytes) = &parcel {
            pipe.on_the_way_size += bytes.len();
        }
        pipe.on_the_way.push_back((arrival, parcel));
        self.call_at(arrival, move |world| world.arrive(id, side));
    }

    /// Delivers what is due in one direction, unless nothing passes.
    fn arrive(&self, id: u64, side: usize) {
        let mut net = self.net.borrow_mut();
        let Net {
            connections,
            partitions,
            ..
        } = &mut *net;
        let Some(connection) = connections.get_mut(&id).filter(|it| !it.broken) else {
            return;
        };
        let hosts = pair_of(connection.ends[0].host, connection.ends[1].host);
        if partitions.contains(&hosts) {
            self.hit("held_by_partition");
            return;
        }
        let reader_is_gone = connection.ends[1 - side].closed;
        let mut answer_reset = false;
        let pipe = &mut connection.pipes[side];
        while pipe.on_the_way.front().is_some_and(|(due, _)| *due <= self.now()) {
            let Some((_, parcel)) = pipe.on_the_way.pop_front() else {
                break;
            };
            match parcel {
                Parcel::Bytes(bytes) => {
                    pipe.on_the_way_size -= bytes.len();
                    self.mix(id << 40 | (side as u64) << 32 | bytes.len() as u64);
                    if reader_is_gone {
                        answer_reset = true;
                    } else {
                        pipe.arrived.extend(bytes);
                    }
                }
                Parcel::Finish => pipe.ended = Some(Ended::Finished),
                Parcel::Reset => pipe.ended = Some(Ended::Reset),
            }
        }
        pipe.wake_reader();
        if connection.pipes[side].ended == Some(Ended::Reset) {
            // Who writes to an end that is gone learns it from the reset.
            connection.pipes[1 - side].wake_writer();
        }
        if answer_reset {
            connection.pipes[side].wake_writer();
            let back = &mut connection.pipes[1 - side];
            self.send(id, 1 - side, back, Parcel::Reset);
        }
    }

    /// Breaks a connection at once, both ways. `false`: it was broken or gone.
    pub(super) fn break_connection(&self, id: u64) -> bool {
        let mut net = self.net.borrow_mut();
        let Some(connection) = net.connections.get_mut(&id).filter(|it| !it.broken) else {
            return false;
        };
        connection.broken = true;
        for pipe in &mut connection.pipes {
            pipe.on_the_way.clear();
            pipe.arrived.clear();
            pipe.wake_reader();
            pipe.wake_writer();
        }
        self.mix(id);
        true
    }

    pub(super) fn break_connections(&self, host: usize) {
        let ids: Vec<_> = self
            .net
            .borrow()
            .connections
            .iter()
            .filter(|(_, connection)| connection.ends.iter().any(|end| end.host == host))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.break_connection(id);
        }
    }

    /// Breaks connections that were accepted and then dropped without a shard to read them.
    pub(super) fn reap_unadopted(&self) {
        let mut net = self.net.borrow_mut();
        if net.unadopted.is_empty() {
            return;
        }
        let mut dropped = Vec::new();
        net.unadopted.retain(|(id, token)| {
            let held = Arc::strong_count(token) > 1;
            if !held {
                dropped.push(*id);
            }
            held
        });
        drop(net);
        for id in dropped {
            self.abandon(id);
        }
    }

    /// Breaks a connection whose listening side nobody will ever hold.
    fn abandon(&self, id: u64) {
        self.break_connection(id);
        let mut net = self.net.borrow_mut();
        if let Some(connection) = net.connections.get_mut(&id) {
            connection.ends[1].closed = true;
            if connection.ends[0].closed {
                net.connections.remove(&id);
            }
        }
    }

    pub(super) fn partition(&self, a: HostId, b: HostId) {
        self.hit("partition");
        self.net.borrow_mut().partitions.insert(pair_of(a.0, b.0));
    }

    pub(super) fn heal(&self, a: HostId, b: HostId) {
        if self.net.borrow_mut().partitions.remove(&pair_of(a.0, b.0)) {
            self.deliver_all();
        }
    }

    pub(super) fn heal_all(&self) {
        self.net.borrow_mut().partitions.clear();
        self.deliver_all();
    }

    fn deliver_all(&self) {
        let ids: Vec<_> = self.net.borrow().connections.keys().copied().collect();
        for id in ids {
            self.arrive(id, 0);
            self.arrive(id, 1);
        }
    }
}
