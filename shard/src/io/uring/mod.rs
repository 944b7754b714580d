//! The real outside: a loop of our own on io_uring (`driver`), kernel sockets, the system's clock and randomness;
//! glommio as the host of the thread and for files.

mod bell;
mod disk;
mod driver;
mod net;
mod ring;
mod run;
mod spin;
mod tasks;
mod timers;
mod workers;

#[cfg(test)]
mod tests;

pub use bell::{UringBell, UringEar};
pub use disk::{UringBuffer, UringBytes, UringDisk, UringFile};
pub use net::{UringAccepted, UringListener, UringStream};
pub use run::{start_shard_thread, ShardThread, StartError, ThreadPlan, IO_MEMORY_SIZE};
pub use workers::{WorkerQueue, Workers};

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driver::Driver;

use super::{Entropy, Queue, Time, WallTime, Work};

/// The handle of one real shard.
#[derive(Clone)]
pub struct UringIo {
    driver: Rc<Driver>,
    entropy: Entropy,
    workers: WorkerQueue,
    /// Wall and busy time at the last call of `busy_per_mille`.
    busy_seen: Rc<Cell<(Duration, Duration)>>,
}

impl UringIo {
    fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    #[inline]
    pub(super) fn now(&self) -> Time {
        self.driver.now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam to the wall clock")]
    pub(super) fn wall(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(nanos(since))
    }

    #[inline]
    pub(super) fn entropy(&self) -> u64 {
        self.entropy.next()
    }

    pub(super) fn fill_secret(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    pub(super) fn spawn(&self, queue: Queue, future: impl Future<Output = ()> + 'static) {
        self.driver.spawn(queue, future);
    }

    pub(super) fn offload(&self, work: Work) {
        self.workers.push(work);
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.driver.sleep(duration).await;
    }

    pub(super) async fn yield_now(&self) {
        self.driver.yield_now().await;
    }

    pub(super) fn busy_per_mille(&self) -> u32 {
        let (total, busy) = (self.driver.since_start(), self.driver.busy());
        let (total_seen, busy_seen) = self.busy_seen.replace((total, busy));
        let total = total.saturating_sub(total_seen).as_nanos().max(1);
        let busy = busy.saturating_sub(busy_seen).as_nanos();
        u32::try_from((busy * 1000 / total).min(1000)).expect("at most 1000")
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("584 years fit")
}

fn fill_random(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let filled = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
            .expect("getrandom without flags only fails before the kernel has booted");
        bytes = &mut bytes[filled..];
    }
}
