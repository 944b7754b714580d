//! A simulated server and clients that a test drives by hand: calm weather, virtual time.
//!
//! Owns: how a server with given settings starts, what a client sent and got and when. Not here: what must hold (the
//! tests), bad weather (`tests/sim`).
//! Units: times are virtual, measured from the start of the world.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use pinion_shard::conn::Connection;
use pinion_shard::io::simulated::{HostId, Plan, SimIo, SimStream, SimWorld};
use pinion_shard::io::{Io, Queue};
use pinion_shard::mesh::MeshSize;
use pinion_shard::proto::CloseReason;
use pinion_shard::rules::Rules;
use pinion_shard::runtime::{Settings, Shard, Shards};
use pinion_tests::simulated_server::{default_settings, SimulatedServer, PORT};

/// Bytes a socket holds per direction.
pub(crate) const SOCKET_SIZE: usize = 4096;
/// Virtual time in which a round trip is surely over; it takes some 20 us.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// A server and its world.
pub(crate) struct Stage {
    world: SimWorld,
    host: HostId,
    client_host: HostId,
    clock: SimIo,
    pub(crate) shards: Vec<Rc<Shard>>,
    pub(crate) handle: Shards,
}

impl Stage {
    /// Calm weather, small sockets.
    pub(crate) fn plan() -> Plan {
        Plan {
            socket_capacity: (SOCKET_SIZE, SOCKET_SIZE),
            ..Plan::calm()
        }
    }

    /// Starts a server of `shard_count` shards in calm weather.
    pub(crate) fn start(shard_count: usize, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(Self::plan(), shard_count, change)
    }

    /// Starts a server of `shard_count` shards in a world that does what `plan` says.
    pub(crate) fn start_in(plan: Plan, shard_count: usize, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(plan, shard_count, Rules::open(), change)
    }

    /// Starts a server of `shard_count` shards that obeys `rules`.
    pub(crate) fn start_with(
        plan: Plan,
        shard_count: usize,
        rules: Rules,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let world = SimWorld::with_plan(1, plan);
        let mut settings = default_settings();
        change(&mut settings);
        let size = MeshSize::default();
        let server = SimulatedServer::start(&world, shard_count, size, settings, rules);
        let client_host = world.add_host();
        let SimulatedServer {
            host, shards, handle, ..
        } = server;
        Self {
            clock: world.add_node(client_host),
            world,
            host,
            client_host,
            shards,
            handle,
        }
    }

    /// Virtual time since the start.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now_ns())
    }

    /// Lets this much virtual time pass.
    pub(crate) fn pass(&self, duration: Duration) {
        // A run of the world ends after the next event; this is the next event.
        let (clock, is_over) = (self.clock.clone(), Rc::new(Cell::new(false)));
        let alarm = Rc::clone(&is_over);
        self.clock.spawn(Queue::Hot, async move {
            clock.sleep(duration).await;
            alarm.set(true);
        });
        let passed = self.world.run_until(duration + MOMENT, || is_over.get());
        passed.expect("time passes");
    }

    /// Lets time pass until this point.
    pub(crate) fn pass_until(&self, at: Duration) {
        self.pass(at.saturating_sub(self.now()));
    }

    /// A connection that has said nothing; connections go to the shards in turn while none has left.
    pub(crate) fn connect(&self) -> Rc<Client> {
        let io = self.world.add_node(self.client_host);
        let client = Rc::new(Client {
            io: io.clone(),
            connected: self.now(),
            out: RefCell::default(),
            out_waker: RefCell::default(),
            is_reading: Cell::new(true),
            pause: Cell::new(Duration::ZERO),
            read_waker: RefCell::default(),
            lines: RefCell::default(),
            ended: Cell::new(None),
            stream: RefCell::default(),
        });
        let address = SimIo::address_of(self.host, PORT);
        io.spawn(Queue::Hot, Rc::clone(&client).run(address));
        self.pass(MOMENT);
        client
    }

    /// A client that has sent CONNECT, is quiet and takes INFO at any time.
    pub(crate) fn client(&self) -> Rc<Client> {
        let client = self.connect();
        client.send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"protocol\":1}\r\n");
        self.pass(MOMENT);
        client
    }

    /// A client that has sent CONNECT with a user and the password `pw`.
    pub(crate) fn user(&self, name: &str) -> Rc<Client> {
        let client = self.connect();
        client.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,\"user\":\"{name}\",\"pass\":\"pw\"}}\r\n"
        ));
        self.pass(MOMENT);
        client
    }

    /// Puts new rules in force, asked for by the first shard; returns when it says that they are.
    pub(crate) fn apply(&self, rules: Rules) {
        let (shard, rules, is_done) = (
            Rc::clone(&self.shards[0]),
            Arc::new(rules),
            Rc::new(Cell::new(false)),
        );
        let done = Rc::clone(&is_done);
        self.shards[0].spawn(Queue::Control, async move {
            done.set(shard.apply_rules(&rules).await);
        });
        let applied = self.world.run_until(Duration::from_secs(1), || is_done.get());
        applied.expect("rules are in force within a second");
    }

    /// When the answer to a PING that is sent now comes, measured from now; for at most a second.
    pub(crate) fn round_trip(&self, client: &Client) -> Duration {
        let (before, began) = (client.count("PONG"), self.now());
        client.send("PING\r\n");
        let answered = self
            .world
            .run_until(Duration::from_secs(1), || client.count("PONG") > before);
        answered.expect("PING is answered within a second");
        self.now() - began
    }

    /// The server's side of the connection with this many others made before it.
    pub(crate) fn connection(&self, index: u64) -> Rc<Connection> {
        let found = self
            .shards
            .iter()
            .flat_map(|shard| shard.connections())
            .find(|connection| connection.id.0 == index + 1);
        found.expect("the connection is open")
    }

    /// Sums a counter over the shards.
    pub(crate) fn sum(&self, counter: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| counter(shard)).sum()
    }

    /// How often something of this name happened.
    pub(crate) fn hits(&self, name: &str) -> u64 {
        self.world.hits().get(name).copied().unwrap_or(0)
    }

    /// Why connections were closed, in the order of shards.
    pub(crate) fn close_reasons(&self) -> Vec<CloseReason> {
        let closed = self.shards.iter().flat_map(|shard| shard.closed_connections());
        closed.map(|connection| connection.reason).collect()
    }
}

/// A client whose every line is kept with its time.
pub(crate) struct Client {
    io: SimIo,
    /// When it connected.
    pub(crate) connected: Duration,
    out: RefCell<Vec<u8>>,
    out_waker: RefCell<Option<Waker>>,
    is_reading: Cell<bool>,
    pause: Cell<Duration>,
    read_waker: RefCell<Option<Waker>>,
    lines: RefCell<Vec<(Duration, String)>>,
    ended: Cell<Option<Duration>>,
    stream: RefCell<Option<Rc<SimStream>>>,
}

impl Client {
    pub(crate) fn send(&self, text: &str) {
        self.out.borrow_mut().extend_from_slice(text.as_bytes());
        wake(&self.out_waker);
    }

    /// Publishes `size` bytes to `subject`.
    pub(crate) fn publish(&self, subject: &str, size: usize) {
        self.send(&format!("PUB {subject} {size}\r\n{}\r\n", "x".repeat(size)));
    }

    /// Stops reading: what comes stays in the socket.
    pub(crate) fn stop_reading(&self) {
        self.is_reading.set(false);
    }

    /// Reads again, with a pause after each read.
    pub(crate) fn read_on(&self, pause: Duration) {
        self.pause.set(pause);
        self.is_reading.set(true);
        wake(&self.read_waker);
    }

    /// Breaks its connection, both ways at once.
    pub(crate) fn reset(&self) {
        self.stream.borrow().as_ref().expect("it is connected").reset();
    }

    /// How many lines it got that begin with `start`. A payload without line breaks is a line as well.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.times_of(start).len()
    }

    /// When it got lines that begin with `start`.
    pub(crate) fn times_of(&self, start: &str) -> Vec<Duration> {
        let lines = self.lines.borrow();
        let found = lines.iter().filter(|(_, line)| line.starts_with(start));
        found.map(|(at, _)| *at).collect()
    }

    /// The lines it got, without INFO.
    pub(crate) fn said(&self) -> Vec<String> {
        let lines = self.lines.borrow();
        let said = lines.iter().filter(|(_, line)| !line.starts_with("INFO "));
        said.map(|(_, line)| line.clone()).collect()
    }

    /// The INFOs it got.
    pub(crate) fn infos(&self) -> Vec<String> {
        let lines = self.lines.borrow();
        let infos = lines.iter().filter(|(_, line)| line.starts_with("INFO "));
        infos.map(|(_, line)| line.clone()).collect()
    }

    /// When its connection ended, if it did.
    pub(crate) fn ended(&self) -> Option<Duration> {
        self.ended.get()
    }

    async fn run(self: Rc<Self>, address: std::net::SocketAddr) {
        let Ok(stream) = self.io.connect(address).await else {
            self.ended.set(Some(self.now()));
            return;
        };
        let stream = Rc::new(stream);
        *self.stream.borrow_mut() = Some(Rc::clone(&stream));
        self.io
            .spawn(Queue::Hot, Rc::clone(&self).write_loop(Rc::clone(&stream)));
        self.read_loop(&stream).await;
        self.ended.set(Some(self.now()));
        stream.close();
        wake(&self.out_waker);
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(Io::Simulated(self.io.clone()).now().0)
    }

    async fn write_loop(self: Rc<Self>, stream: Rc<SimStream>) {
        loop {
            let bytes: Vec<u8> = poll_fn(|cx| {
                let bytes = self.out.take();
                if bytes.is_empty() && self.ended.get().is_none() {
                    *self.out_waker.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(bytes)
            })
            .await;
            if bytes.is_empty() || stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    async fn read_loop(&self, stream: &SimStream) {
        let mut unread = Vec::new();
        let mut buffer = [0; SOCKET_SIZE];
        loop {
            poll_fn(|cx| {
                if self.is_reading.get() {
                    return Poll::Ready(());
                }
                *self.read_waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(size) => unread.extend_from_slice(&buffer[..size]),
            }
            while let Some(size) = unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..size]).into_owned();
                unread.drain(..size + 2);
                self.lines.borrow_mut().push((self.now(), line));
            }
            let pause = self.pause.get();
            if !pause.is_zero() {
                self.io.sleep(pause).await;
            }
        }
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    let waker = slot.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
