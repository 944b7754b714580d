//! Generator: all connections of one load, driven by one thread with epoll.
//!
//! Owns: the poller, the clients, the shared read buffer, how busy the generator was.
//! Not here: what is sent and counted (`workload`).
//!
//! One thread serves publishers and subscribers, so that the server's core is left alone. Where the generator has a
//! core of its own it polls without sleeping in paced loads: its own wake-ups would otherwise count as the server's
//! latency. Busy is then the time of turns that found work, not CPU time. Elsewhere it sleeps to the nanosecond: the timer
//! slack of its thread is at the least while a generator lives, and back at the default before a server is started,
//! which would inherit it.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{epoll, Timespec};
use rustix::thread::set_current_timer_slack;
use rustix::time::{clock_gettime, ClockId};

use crate::client::Client;
use crate::clock::{duration_ns, Clock, NS_PER_SECOND};
use crate::failure::Failure;
use crate::frame::Message;

/// The connections of one load and the thread's poller.
pub struct Generator {
    address: SocketAddr,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    clock: Clock,
    spin: bool,
}

/// How long a poll may wait for the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    AtMost(Duration),
}

impl Generator {
    /// A generator without connections for the server at `address`. `spin` is for a generator alone on its core.
    pub fn new(address: SocketAddr, spin: bool) -> Result<Self, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|e| Failure::io("create an epoll instance", e.into()))?;
        set_current_timer_slack(NonZeroU64::new(1))
            .map_err(|e| Failure::io("set the timer slack", e.into()))?;
        Ok(Self {
            address,
            epoll,
            events: Vec::with_capacity(EVENT_COUNT_MAX),
            clients: Vec::new(),
            buffer: vec![0; READ_BUFFER_SIZE],
            clock: Clock::new(),
            spin,
        })
    }

    /// The clock of stamps and measurements.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether paced loads poll without sleeping.
    pub fn spins(&self) -> bool {
        self.spin
    }

    /// How many connections are open.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// A connection by its number.
    pub fn client(&mut self, index: usize) -> &mut Client {
        &mut self.clients[index]
    }

    /// Opens `count` connections and waits until the server answered each. Few are under way at a time, so that no
    /// accept queue overflows.
    pub fn open(&mut self, count: usize) -> Result<(), Failure> {
        let goal = self.clients.len() + count;
        while self.clients.len() < goal {
            let first = self.clients.len();
            for _ in 0..OPEN_WINDOW.min(goal - first) {
                self.add(Client::connect(self.address)?)?;
            }
            self.await_pongs(first, self.clients.len(), 1)?;
        }
        Ok(())
    }

    /// Opens one more connection, trying until it sits on another shard than the first one (`across`) or on the same.
    /// A server that does not tell its shards gets any connection, unless `must_tell`.
    pub fn open_beside_first(&mut self, across: bool, must_tell: bool) -> Result<(), Failure> {
        let first = self.shard_of(0);
        if first.is_none() && must_tell {
            return Err(Failure::Setup(String::from(
                "INFO has no pinion_shard, so the placement is unknown",
            )));
        }
        // Rejected connections stay open while trying, or the server would give the same place again.
        let mut rejected = Vec::new();
        for _ in 0..PLACEMENT_TRY_COUNT_MAX {
            self.open(1)?;
            let last = self.clients.len() - 1;
            if first.is_none() || (self.shard_of(last) != first) == across {
                return Ok(());
            }
            rejected.push(self.remove_last()?);
        }
        let wanted = if across {
            "another shard than"
        } else {
            "the same shard as"
        };
        Err(Failure::Setup(format!(
            "none of {PLACEMENT_TRY_COUNT_MAX} connections came to sit on {wanted} the first one"
        )))
    }

    /// Sends what is queued on clients `from..to`, a PING last, and waits for the PONGs: everything sent before is
    /// active then. Messages that arrive meanwhile go to `on_message`.
    pub fn round_trip(
        &mut self,
        from: usize,
        to: usize,
        mut on_message: impl FnMut(usize, Message<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let goals: Vec<u32> = self.clients[from..to]
            .iter_mut()
            .map(|client| {
                client.queue_ping();
                client.pong_count() + 1
            })
            .collect();
        for client in &mut self.clients[from..to] {
            client.flush()?;
        }
        let mut deadline = self.deadline_ns();
        let mut open = to - from;
        while open > 0 {
            if self.poll(POLL_WAIT, &mut |client, message, _, _| {
                on_message(client, message)
            })? > 0
            {
                deadline = self.deadline_ns();
            }
            let pairs = self.clients[from..to].iter().zip(&goals);
            open = pairs.filter(|(client, &goal)| client.pong_count() < goal).count();
            self.check_deadline(deadline, || format!("{open} of {} PONGs", to - from))?;
        }
        Ok(())
    }

    /// Closes the last connection's registration and hands it out.
    pub fn remove_last(&mut self) -> Result<Client, Failure> {
        let client = self.clients.pop().expect("a connection was opened before");
        epoll::delete(&self.epoll, client.stream())
            .map_err(|e| Failure::io("remove from epoll", e.into()))?;
        Ok(client)
    }

    /// Puts a fresh connection in the place of client `index`; the old one closes.
    pub fn replace(&mut self, index: usize) -> Result<(), Failure> {
        let client = Client::connect(self.address)?;
        epoll::delete(&self.epoll, self.clients[index].stream())
            .map_err(|e| Failure::io("remove from epoll", e.into()))?;
        self.register(&client, index)?;
        self.clients[index] = client;
        self.clients[index].flush()
    }

    /// Waits for events and serves them: reads, answers, sends what waited. Returns the number of events.
    /// `on_message` gets the client's number, the message, the time of the read and the client's send buffer.
    #[inline]
    pub fn poll(
        &mut self,
        wait: Wait,
        on_message: &mut impl FnMut(usize, Message<'_>, u64, &mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let timeout = match wait {
            Wait::No => Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            Wait::AtMost(duration) => Timespec {
                tv_sec: i64::try_from(duration.as_secs()).expect("waits are short"),
                tv_nsec: i64::from(duration.subsec_nanos()),
            },
        };
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(0),
            Err(e) => return Err(Failure::io("wait for events", e.into())),
        }
        let Self {
            events,
            clients,
            buffer,
            clock,
            ..
        } = self;
        for event in events.iter() {
            let (flags, data) = (event.flags, event.data);
            let index = usize::try_from(data.u64()).expect("registered with an index");
            let client = &mut clients[index];
            if flags.contains(epoll::EventFlags::OUT) {
                client.on_writable();
                client.flush()?;
            }
            let hangup = flags.intersects(HANGUP);
            if hangup || flags.contains(epoll::EventFlags::IN) {
                // One clock read per socket and event: a batch arrived together.
                let now_ns = clock.now_ns();
                client.read(buffer, |message, out| on_message(index, message, now_ns, out))?;
            }
            if hangup {
                return Err(Failure::Closed);
            }
        }
        Ok(events.len())
    }

    /// When a wait that saw no event until then gives up.
    pub fn deadline_ns(&self) -> u64 {
        self.clock.now_ns() + STALL_SECONDS * NS_PER_SECOND
    }

    /// Fails when the deadline passed.
    pub fn check_deadline(
        &self,
        deadline_ns: u64,
        waiting_for: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.clock.now_ns() < deadline_ns {
            return Ok(());
        }
        Err(Failure::Stalled {
            seconds: STALL_SECONDS,
            waiting_for: waiting_for(),
        })
    }

    /// Leaves the connections alone for `duration`; a message that comes meanwhile is an error.
    pub fn stay_idle(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = self.clock.now_ns() + duration_ns(duration);
        loop {
            let now = self.clock.now_ns();
            if now >= end {
                return Ok(());
            }
            let rest = Wait::AtMost(Duration::from_nanos(end - now));
            self.poll(rest, &mut |_, _, _, _| {
                Err(Failure::Message(String::from(
                    "arrived before anything was published",
                )))
            })?;
        }
    }

    fn add(&mut self, client: Client) -> Result<(), Failure> {
        self.register(&client, self.clients.len())?;
        self.clients.push(client);
        let last = self.clients.len() - 1;
        self.clients[last].flush()
    }

    fn register(&self, client: &Client, index: usize) -> Result<(), Failure> {
        let data = epoll::EventData::new_u64(u64::try_from(index).expect("usize fits u64"));
        epoll::add(&self.epoll, client.stream(), data, INTEREST)
            .map_err(|e| Failure::io("add to epoll", e.into()))
    }

    fn await_pongs(&mut self, from: usize, to: usize, count: u32) -> Result<(), Failure> {
        let deadline = self.deadline_ns();
        while self.clients[from..to]
            .iter()
            .any(|client| client.pong_count() < count)
        {
            self.poll(POLL_WAIT, &mut |_, _, _, _| {
                Err(Failure::Message(String::from(
                    "arrived before anything was subscribed",
                )))
            })?;
            self.check_deadline(deadline, || String::from("the first PONG of new connections"))?;
        }
        Ok(())
    }

    fn shard_of(&self, index: usize) -> Option<u16> {
        self.clients[index].info().and_then(|info| info.shard)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        set_current_timer_slack(None).expect("the default can always be set");
    }
}

/// CPU time of the calling thread.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    whole * NS_PER_SECOND + u64::try_from(time.tv_nsec).expect("nanoseconds are not negative")
}

/// How long a poll waits when nothing says otherwise.
pub const POLL_WAIT: Wait = Wait::AtMost(Duration::from_millis(50));

const INTEREST: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);
const HANGUP: epoll::EventFlags = epoll::EventFlags::RDHUP
    .union(epoll::EventFlags::HUP)
    .union(epoll::EventFlags::ERR);
const EVENT_COUNT_MAX: usize = 512;
/// Large enough that a busy subscriber is read in few calls.
const READ_BUFFER_SIZE: usize = 256 * 1024;
/// Connections being opened at a time.
const OPEN_WINDOW: usize = 64;
/// Connections tried for a wanted shard before the row fails.
const PLACEMENT_TRY_COUNT_MAX: usize = 64;
/// A load that saw no event for so long has failed.
const STALL_SECONDS: u64 = 10;
