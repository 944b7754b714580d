//! The seams to the outside: sockets, clock, randomness, tasks, wake-ups between shards.
//!
//! Owns: every call that leaves the process or asks it for time, chance or a thread. Nothing outside
//! this folder names glommio, a socket or a clock, so that a whole server can run in simulation.
//! Each seam is an enum of the real thing (`Uring`, on io_uring) and the simulated one: one
//! branch per I/O call, no type parameters. An epoll variant would be a third arm.
//!
//! Units: times are [`Time`] (nanoseconds of the monotonic clock) and [`WallTime`] (UTC nanoseconds).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

mod bell;
mod clock;
pub mod disk;
mod gate;
mod net;
mod sabotage;
pub mod simulated;
pub mod uring;

pub use bell::{Bell, BellEar};
pub use clock::{Time, WallTime};
pub use gate::{Gate, GateGuard};
pub use net::{Accepted, Listener, Stream};
pub use sabotage::Sabotage;

/// Which of a shard's task queues a task runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Connections and the mesh.
    Hot,
    /// Configuration, monitoring, system requests: less of the core when there is not enough of it.
    Control,
}

/// A place in the mesh where a simulation may let other shards run (design section 5). Nothing happens
/// there in a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Between two lanes that are filled or emptied one after the other.
    BetweenLanes,
    /// After a push to a lane, before its news bit is set.
    PushedNotAnnounced,
    /// After news was announced, before the sleeping flag is read.
    AnnouncedNotRung,
    /// After the data lanes were filled, before the sockets are written.
    LanesNotFlushed,
    /// After the sleeping flag was set, before the lanes are looked at again.
    FlaggedNotParked,
    /// After a trigger became visible, before the interest lanes are drained.
    TriggeredNotDrained,
}

/// Work that is done away from the shards.
pub type Work = Box<dyn FnOnce() + Send>;

/// A shard's handle to the outside. Cheap to clone; never leaves its shard.
#[derive(Clone)]
pub enum Io {
    /// A loop on io_uring.
    Uring(uring::UringIo),
    /// A shard of a simulated world.
    Simulated(simulated::SimIo),
}

impl Io {
    /// The monotonic clock.
    #[inline]
    pub fn now(&self) -> Time {
        match self {
            Io::Uring(io) => io.now(),
            Io::Simulated(io) => io.now(),
        }
    }

    /// The wall clock, UTC.
    pub fn wall(&self) -> WallTime {
        match self {
            Io::Uring(io) => io.wall(),
            Io::Simulated(io) => io.wall(),
        }
    }

    /// A random number; not fit for secrets.
    #[inline]
    pub fn entropy(&self) -> u64 {
        match self {
            Io::Uring(io) => io.entropy(),
            Io::Simulated(io) => io.entropy(),
        }
    }

    /// Random bytes fit for secrets (nonces, keys).
    pub fn fill_secret(&self, bytes: &mut [u8]) {
        match self {
            Io::Uring(io) => io.fill_secret(bytes),
            Io::Simulated(io) => io.fill_secret(bytes),
        }
    }

    /// Starts a task on this shard. `gate` counts it until it ends; who starts a task must have a way to
    /// stop it.
    pub fn spawn(&self, queue: Queue, gate: &Gate, future: impl Future<Output = ()> + 'static) {
        let future = gate.guard(future);
        match self {
            Io::Uring(io) => io.spawn(queue, future),
            Io::Simulated(io) => io.spawn(queue, future),
        }
    }

    /// Has `work` done where it holds no shard up: by a worker thread, in simulation by a task of this shard some time
    /// later, which `gate` counts. It tells by its own means that it is done; when the server stops it may never be.
    pub fn offload(&self, gate: &Gate, work: Work) {
        match self {
            Io::Uring(io) => io.offload(work),
            Io::Simulated(io) => {
                let later = io.clone();
                self.spawn(Queue::Control, gate, async move {
                    later.sleep(later.work_time()).await;
                    work();
                });
            }
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match self {
            Io::Uring(io) => io.sleep(duration).await,
            Io::Simulated(io) => io.sleep(duration).await,
        }
    }

    /// Lets other tasks of this shard and its sockets have their turn.
    pub async fn yield_now(&self) {
        match self {
            Io::Uring(io) => io.yield_now().await,
            Io::Simulated(io) => io.yield_now().await,
        }
    }

    /// In simulation other shards may run here. The caller holds no borrow.
    #[inline]
    pub fn interleave(&self, point: Point) {
        match self {
            Io::Uring(_) => {}
            Io::Simulated(io) => io.interleave(point),
        }
    }

    /// Counts that a bound was met or a rare way was gone, for the summary of a simulation.
    #[inline]
    pub fn hit(&self, name: &'static str) {
        match self {
            Io::Uring(_) => {}
            Io::Simulated(io) => io.hit(name),
        }
    }

    /// Whether this deliberate bug is on: only in simulation, and only in a build with `--cfg sabotage`.
    #[cfg(sabotage)]
    pub fn sabotaged(&self, sabotage: Sabotage) -> bool {
        match self {
            Io::Uring(_) => false,
            Io::Simulated(io) => io.sabotaged(sabotage),
        }
    }

    /// No deliberate bug is in this build.
    #[cfg(not(sabotage))]
    #[inline(always)]
    pub fn sabotaged(&self, _: Sabotage) -> bool {
        false
    }

    /// Opens a listening TCP socket. A wildcard address listens on IPv4 and IPv6.
    ///
    /// # Errors
    /// What the system says: address in use, no permission, no such address.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        match self {
            Io::Uring(io) => Ok(Listener::Uring(uring::UringListener::bind(io, address)?)),
            Io::Simulated(io) => Ok(Listener::Simulated(io.listen(address)?)),
        }
    }

    /// Makes an accepted connection one of this shard.
    ///
    /// # Errors
    /// The socket died before its options could be set.
    pub fn adopt(&self, accepted: Accepted) -> io::Result<Stream> {
        match (self, accepted) {
            (Io::Uring(io), Accepted::Uring(accepted)) => {
                Ok(Stream::Uring(uring::UringStream::adopt(io, accepted)?))
            }
            (Io::Simulated(io), Accepted::Simulated(accepted)) => Ok(Stream::Simulated(io.adopt(accepted))),
            _ => unreachable!("a connection never changes its world"),
        }
    }

    /// Share of its core this shard used, in per mille over the time since the last call.
    pub fn busy_per_mille(&self) -> u32 {
        match self {
            Io::Uring(io) => io.busy_per_mille(),
            Io::Simulated(_) => 0,
        }
    }
}

/// A small generator (SplitMix64) seeded once per shard.
#[derive(Clone)]
pub struct Entropy(Rc<Cell<u64>>);

impl Entropy {
    /// A generator that yields the same numbers for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed)))
    }

    /// The next number.
    #[inline]
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
