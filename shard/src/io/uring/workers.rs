//! Threads for work that would hold a shard up, such as password hashes.
//!
//! Owns: the threads and their one queue. Not here: how much a shard may hand over at a time, and how the result comes
//! back (`runtime::offload`). The queue has no bound of its own: each shard keeps to
//! [`crate::limits::OFFLOADS_OPEN_MAX`].

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{unbounded, Receiver, Sender};

use crate::io::Work;

/// The threads; the process has one set for all shards.
pub struct Workers {
    queue: WorkerQueue,
    threads: Vec<JoinHandle<()>>,
    is_stopping: Arc<AtomicBool>,
}

/// Where a shard hands work over.
#[derive(Clone)]
pub struct WorkerQueue(Sender<Option<Work>>);

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn start(count: usize) -> io::Result<Workers> {
        let (sender, receiver) = unbounded();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let mut workers = Workers {
            queue: WorkerQueue(sender),
            threads: Vec::with_capacity(count),
            is_stopping,
        };
        for index in 0..count {
            let (receiver, is_stopping) = (receiver.clone(), Arc::clone(&workers.is_stopping));
            let thread = std::thread::Builder::new()
                .name(format!("pinion-work-{index}"))
                .spawn(move || work(&receiver, &is_stopping))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Where to hand work over.
    pub fn queue(&self) -> WorkerQueue {
        self.queue.clone()
    }

    /// Waits for what is being worked on; what still waits is dropped.
    pub fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        for _ in &self.threads {
            self.queue.send(None);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread ended in a panic");
            }
        }
    }
}

impl WorkerQueue {
    pub(super) fn push(&self, work: Work) {
        self.send(Some(work));
    }

    fn send(&self, work: Option<Work>) {
        if self.0.send(work).is_err() {
            tracing::debug!("the workers have gone: the server stops");
        }
    }
}

/// One thread: until `None` comes.
fn work(queue: &Receiver<Option<Work>>, is_stopping: &AtomicBool) {
    while let Ok(Some(work)) = queue.recv() {
        if !is_stopping.load(Ordering::Relaxed) {
            work();
        }
    }
}
