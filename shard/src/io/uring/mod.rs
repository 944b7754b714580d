//! The real outside: glommio executors on io_uring, kernel sockets, the system's clock and randomness.

mod bell;
mod disk;
mod net;
mod run;
mod workers;

pub use bell::{UringBell, UringEar};
pub use disk::{UringBuffer, UringBytes, UringDisk, UringFile};
pub use net::{UringAccepted, UringListener, UringStream};
pub use run::{start_shard_thread, ShardThread, StartError, ThreadPlan, IO_MEMORY_SIZE};
pub use workers::{WorkerQueue, Workers};

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::TaskQueueHandle;

use super::{Entropy, Queue, Time, WallTime, Work};

/// The shortest sleep there is: long enough to leave the run queue.
const YIELD: Duration = Duration::from_nanos(1);

/// The handle of one real shard.
#[derive(Clone)]
pub struct UringIo {
    /// The same instant for all shards of the process.
    base: Instant,
    entropy: Entropy,
    hot: TaskQueueHandle,
    control: TaskQueueHandle,
    workers: WorkerQueue,
    /// Wall and busy time at the last call of `busy_per_mille`.
    busy_seen: Rc<Cell<(Duration, Duration)>>,
}

impl UringIo {
    #[inline]
    pub(super) fn now(&self) -> Time {
        Time(nanos(self.base.elapsed()))
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
        let handle = match queue {
            Queue::Hot => self.hot,
            Queue::Control => self.control,
        };
        // The gate in the future counts it; a detached handle is all glommio needs.
        drop(
            glommio::spawn_local_into(future, handle)
                .expect("both task queues were made before the handle")
                .detach(),
        );
    }

    pub(super) fn offload(&self, work: Work) {
        self.workers.push(work);
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    pub(super) async fn yield_now(&self) {
        // A plain yield would run again before the rings were looked at; a timer goes through them.
        glommio::timer::sleep(YIELD).await;
    }

    pub(super) fn busy_per_mille(&self) -> u32 {
        let stats = glommio::executor().executor_stats();
        // What glommio calls the total runtime is the time the thread did not sleep in.
        let (total, busy) = (self.base.elapsed(), stats.total_runtime());
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
