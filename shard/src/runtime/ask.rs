//! Questions to other shards that do not block this one, and tasks that end with their shard.
//!
//! Owns: the wakers of tasks that wait for an answer, or for the shard to leave or stop. A question runs on its shard between
//! two batches like every job; the answer comes back as a job that wakes who asked. Wakers never leave this shard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{poll_fn, Future};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crossbeam_channel::{bounded, TryRecvError};

use super::shard::Shard;
use crate::ids::ShardId;
use crate::io::Queue;

/// The tasks of one shard that wait, by ticket.
#[derive(Default)]
pub(super) struct Waits {
    next: Cell<u64>,
    wakers: RefCell<BTreeMap<u64, Waker>>,
}

/// One wait; its waker goes with it.
pub(super) struct Ticket<'a> {
    waits: &'a Waits,
    number: u64,
}

impl Waits {
    pub(super) fn ticket(&self) -> Ticket<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        Ticket { waits: self, number }
    }

    pub(super) fn wake(&self, number: u64) {
        let waker = self.wakers.borrow_mut().remove(&number);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes everyone: each looks for itself whether the shard leaves or stops.
    pub(super) fn wake_all(&self) {
        for waker in self.wakers.take().into_values() {
            waker.wake();
        }
    }
}

impl Ticket<'_> {
    /// What the waker is found by.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn wait(&self, waker: &Waker) {
        self.waits.wakers.borrow_mut().insert(self.number, waker.clone());
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waits.wakers.borrow_mut().remove(&self.number);
    }
}

impl Shard {
    /// Starts a task that belongs to this shard: the shard's end waits for it. The task ends when
    /// [`Shard::wait_stopping`] does.
    pub fn spawn(&self, queue: Queue, task: impl Future<Output = ()> + 'static) {
        self.io().spawn(queue, &self.gate, task);
    }

    /// Ends when the shard leaves or stops.
    pub(super) async fn wait_leaving(&self) {
        self.wait_until(|shard| !shard.is_accepting()).await;
    }

    /// Ends when the shard stops: what runs beside the connections listens to this.
    pub async fn wait_stopping(&self) {
        self.wait_until(|shard| shard.is_stopping.get()).await;
    }

    async fn wait_until(&self, is_so: impl Fn(&Shard) -> bool) {
        let ticket = self.waits.ticket();
        poll_fn(|cx| {
            if is_so(self) {
                return Poll::Ready(());
            }
            ticket.wait(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Runs `question` on a shard (this one too) and waits for what it says. It must be short: `target` serves nobody
    /// meanwhile. `None`: the shard is gone. While the server stops the answer may never come; wait for
    /// [`Shard::wait_stopping`] as well.
    pub async fn ask<T: Send + 'static>(
        &self,
        target: ShardId,
        question: impl FnOnce(&Rc<Shard>) -> T + Send + 'static,
    ) -> Option<T> {
        let ticket = self.waits.ticket();
        let (home, number) = (self.id(), ticket.number());
        let (answer, answered) = bounded(1);
        let job = move |shard: &Rc<Shard>| {
            // Nobody waits any more: the answer is not needed.
            drop(answer.send(question(shard)));
            drop(answer);
            let told = shard
                .shards()
                .run_on(home, Box::new(move |home| home.waits.wake(number)));
            if !told {
                tracing::debug!("the shard that asked is gone");
            }
        };
        if !self.shards().run_on(target, Box::new(job)) {
            return None;
        }
        poll_fn(|cx| match answered.try_recv() {
            Ok(answer) => Poll::Ready(Some(answer)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                ticket.wait(cx.waker());
                Poll::Pending
            }
        })
        .await
    }
}
