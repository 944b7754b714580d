//! The simulated outside: virtual time, a seeded scheduler, sockets and disks with faults.
//!
//! Owns: [`SimWorld`] and the simulated arm of every seam. Not here: the programs that run in it and what
//! they check (`tests/sim`).
//! Everything happens on one thread. The same seed gives the same run, step for step ([`SimWorld::trace`]),
//! as long as the program asks nothing but its [`SimIo`] for time, chance and news.

mod bell;
mod dice;
mod disk;
mod net;
mod plan;
#[cfg(test)]
mod tests;
mod world;

pub use bell::{SimBell, SimEar};
pub use dice::Dice;
pub use disk::{SimDisk, SimFile};
pub use net::{SimAccepted, SimListener, SimStream};
pub use plan::{DiskPlan, Plan};
pub use world::{HostId, SimWorld, Unfinished};

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Point, Queue, Time, WallTime};
use world::{nanos, Event, Node, World};

/// The longest time work takes that is done elsewhere: some password hashes in a row.
const WORK_TIME_MAX_NS: u64 = 500_000_000;

/// Handle of a simulated shard.
#[derive(Clone)]
pub struct SimIo {
    world: Rc<World>,
    node: Rc<Node>,
}

impl SimIo {
    /// The machine this shard runs on.
    pub fn host(&self) -> HostId {
        HostId(self.node.host)
    }

    /// Counts that something happened, for the summary of a run.
    pub fn hit(&self, name: &'static str) {
        self.world.hit(name);
    }

    #[cfg(sabotage)]
    pub(super) fn sabotaged(&self, sabotage: super::Sabotage) -> bool {
        let is_on = self.world.sabotage.get() == Some(sabotage);
        if is_on {
            self.world.hit("sabotaged");
        }
        is_on
    }

    /// Chance of this shard alone.
    pub fn dice(&self) -> &Dice {
        &self.node.dice
    }

    /// Connects to a listener of any host. `address` is one [`SimIo::address_of`] gave.
    ///
    /// # Errors
    /// Refused: nobody listens, or the world drew it.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        net::connect(self, address).await
    }

    /// The address of a port on a host.
    pub fn address_of(host: HostId, port: u16) -> SocketAddr {
        net::address_of(host.0, port)
    }

    pub(super) fn now(&self) -> Time {
        Time(self.world.now())
    }

    pub(super) fn wall(&self) -> WallTime {
        WallTime(self.world.wall(self.node.host))
    }

    pub(super) fn entropy(&self) -> u64 {
        self.node.dice.next()
    }

    pub(super) fn fill_secret(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.node.dice.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }

    /// Starts a task on this shard, in no gate.
    pub fn spawn(&self, queue: Queue, future: impl Future<Output = ()> + 'static) {
        self.world.spawn(&self.node, queue, future);
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let slack = self.world.dice.between(0, self.world.plan.timer_slack_ns);
        Sleep {
            world: Rc::clone(&self.world),
            due: self
                .world
                .now()
                .saturating_add(nanos(duration))
                .saturating_add(slack),
            armed: None,
        }
    }

    /// How long a piece of work takes that is done elsewhere.
    pub(super) fn work_time(&self) -> Duration {
        Duration::from_nanos(self.world.dice.between(0, WORK_TIME_MAX_NS))
    }

    pub(super) async fn yield_now(&self) {
        if self.world.dice.per_mille(self.world.plan.yield_per_mille) {
            self.world.hit("yield");
            futures_lite::future::yield_now().await;
        }
    }

    pub(super) fn interleave(&self, point: Point) {
        self.world.interleave(point);
    }

    pub(super) fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        net::listen(self, address)
    }

    pub(super) fn adopt(&self, accepted: SimAccepted) -> SimStream {
        net::adopt(self, accepted)
    }
}

/// A wait for a point of virtual time.
pub struct Sleep {
    world: Rc<World>,
    due: u64,
    armed: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.due {
            return Poll::Ready(());
        }
        match self.armed {
            Some(key) => self.world.rearm(key, cx.waker()),
            None => {
                let key = self.world.at(self.due, Event::Wake(cx.waker().clone()));
                self.armed = Some(key);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.armed {
            self.world.disarm(key);
        }
    }
}
