//! Starts the thread of one shard: glommio as its host, our driver inside.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::driver::Driver;
use super::{fill_random, UringIo, WorkerQueue};
use crate::io::{Entropy, Io};

/// Memory of one executor for registered buffers, bytes (glommio's default is 10 MB).
pub const IO_MEMORY_SIZE: usize = 1 << 20;
/// Entries of each of glommio's rings: they serve files only.
const RING_DEPTH: usize = 128;
/// How long a task of glommio's runs before it is asked to yield: never, because there is one. A timer that fires
/// between its look at the rings and the first task makes glommio 0.9 park over runnable tasks.
const PREEMPT: Duration = Duration::from_secs(24 * 3600);

/// What is known of a shard's thread before it starts.
pub struct ThreadPlan {
    /// Name of the thread, as `top -H` shows it.
    pub name: String,
    /// The core it is bound to; `None` leaves it to the scheduler.
    pub core: Option<usize>,
    /// The instant all shards count their time from.
    pub base: Instant,
    /// Who does what would hold the shard up.
    pub workers: WorkerQueue,
}

/// Why a shard could not start.
#[derive(Debug)]
pub struct StartError(pub String);

/// A running shard thread.
pub struct ShardThread(ExecutorJoinHandle<io::Result<()>>);

impl ShardThread {
    /// Waits for the thread's end.
    ///
    /// # Errors
    /// The executor or the ring could not be made: a limit or a permission of the kernel.
    pub fn join(self) -> Result<(), StartError> {
        match self.0.join() {
            Ok(run) => run.map_err(|error| StartError(format!("io_uring: {error}"))),
            Err(error) => Err(StartError(error.to_string())),
        }
    }
}

/// Starts a thread that runs the future `main` makes from the shard's handle.
///
/// # Errors
/// The thread could not be started. Failures of the executor itself show in [`ShardThread::join`].
pub fn start_shard_thread<F, M>(plan: ThreadPlan, main: M) -> Result<ShardThread, StartError>
where
    M: FnOnce(Io) -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let placement = match plan.core {
        Some(core) => Placement::Fixed(core),
        None => Placement::Unbound,
    };
    let (base, workers) = (plan.base, plan.workers);
    LocalExecutorBuilder::new(placement)
        .name(&plan.name)
        .io_memory(IO_MEMORY_SIZE)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT)
        .spawn(move || async move {
            let driver = Driver::new(base)?;
            let mut seed = [0; 8];
            fill_random(&mut seed);
            let io = UringIo {
                driver: Rc::clone(&driver),
                entropy: Entropy::from_seed(u64::from_ne_bytes(seed)),
                workers,
                busy_seen: Rc::new(Cell::new((Duration::ZERO, Duration::ZERO))),
            };
            driver.run(main(Io::Uring(io))).await;
            Ok(())
        })
        .map(ShardThread)
        .map_err(|error| StartError(error.to_string()))
}
