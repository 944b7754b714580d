//! The tasks of one shard that can run: two queues, and the way into them from any thread.
//!
//! Owns: the order tasks run in. Not here: what they wait for (`ring`, `timers`).
//! A waker may be used on any thread. On the shard's own it puts the task into its queue; elsewhere, or while the
//! shard sleeps in glommio, it also rings the driver's bell.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use async_task::Runnable;
use crossbeam_channel::{unbounded, Receiver, Sender};
use rustix::event::EventfdFlags;

use super::bell::{ring_eventfd, take_eventfd};
use crate::io::{Queue, Time};

/// Control tasks get one part in so many of a busy shard's time.
const CONTROL_SHARE: u64 = 10;

/// Where wakers put their tasks.
struct Inbox {
    home: ThreadId,
    hot: Sender<Runnable>,
    control: Sender<Runnable>,
    /// The shard sleeps in glommio, where a task made runnable is not seen. Only the shard's thread touches it.
    is_parked: AtomicBool,
    bell: OwnedFd,
}

impl Inbox {
    fn put(&self, queue: Queue, runnable: Runnable) {
        let is_home = thread::current().id() == self.home;
        let sender = match queue {
            Queue::Hot => &self.hot,
            Queue::Control => &self.control,
        };
        if let Err(gone) = sender.send(runnable) {
            if !is_home {
                // The shard has ended, and its future must not be dropped on another thread.
                std::mem::forget(gone);
            }
            return;
        }
        if !is_home || self.is_parked.swap(false, Ordering::Relaxed) {
            ring_eventfd(&self.bell);
        }
    }
}

pub(super) struct Tasks {
    inbox: Arc<Inbox>,
    hot: Receiver<Runnable>,
    control: Receiver<Runnable>,
    /// Control tasks have had their share until then.
    control_due: Cell<Time>,
}

impl Tasks {
    /// # Errors
    /// Out of file descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let (hot_sender, hot) = unbounded();
        let (control_sender, control) = unbounded();
        let inbox = Inbox {
            home: thread::current().id(),
            hot: hot_sender,
            control: control_sender,
            is_parked: AtomicBool::new(false),
            bell: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        };
        Ok(Self {
            inbox: Arc::new(inbox),
            hot,
            control,
            control_due: Cell::default(),
        })
    }

    pub(super) fn spawn(&self, queue: Queue, future: impl Future<Output = ()> + 'static) {
        let inbox = Arc::clone(&self.inbox);
        let (runnable, task) = async_task::spawn_local(future, move |runnable| inbox.put(queue, runnable));
        task.detach();
        runnable.schedule();
    }

    /// Whether a task can run.
    #[inline]
    pub(super) fn has_runnable(&self) -> bool {
        !self.hot.is_empty() || !self.control.is_empty()
    }

    /// Runs tasks until none can, or `count_max` have: then sockets have their turn.
    pub(super) fn run(&self, count_max: usize, now: impl Fn() -> Time) {
        for _ in 0..count_max {
            let is_control_due = !self.control.is_empty() && now() >= self.control_due.get();
            if !is_control_due {
                if let Ok(task) = self.hot.try_recv() {
                    task.run();
                    continue;
                }
            }
            let Ok(task) = self.control.try_recv() else { return };
            let start = now();
            task.run();
            let end = now();
            self.control_due
                .set(end + end.since(start) * u32::try_from(CONTROL_SHARE - 1).expect("small"));
        }
    }

    /// The descriptor that is rung when a task was made runnable where the driver cannot see it.
    pub(super) fn bell(&self) -> &OwnedFd {
        &self.inbox.bell
    }

    /// The bell was heard.
    pub(super) fn quiet_bell(&self) {
        take_eventfd(&self.inbox.bell);
    }

    /// From now on a task made runnable on this thread rings the bell.
    pub(super) fn set_parked(&self, is_parked: bool) {
        self.inbox.is_parked.store(is_parked, Ordering::Relaxed);
    }

    /// Drops what could still run: the shard ends.
    pub(super) fn clear(&self) {
        while let Ok(task) = self.hot.try_recv().or_else(|_| self.control.try_recv()) {
            drop(task);
        }
    }
}
