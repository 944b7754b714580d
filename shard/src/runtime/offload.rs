//! Work that would hold this shard up, done elsewhere.
//!
//! Owns: how much of it a shard has out at a time, and how the result finds the task that waits. Not here: who works
//! (`io`). The place a piece of work takes is free again when the work is done, not when nobody wants the result any
//! more: who asks and goes away does not fill the queue.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crossbeam_channel::{bounded, TryRecvError};

use super::shard::Shard;
use crate::limits::OFFLOADS_OPEN_MAX;

/// What of a shard's work is done elsewhere.
#[derive(Default)]
pub(super) struct Offloads {
    open: Cell<usize>,
    /// Tasks that wait for a place.
    waiting: RefCell<Vec<Waker>>,
}

impl Offloads {
    fn try_take(&self) -> bool {
        let open = self.open.get();
        if open < OFFLOADS_OPEN_MAX {
            self.open.set(open + 1);
        }
        open < OFFLOADS_OPEN_MAX
    }

    fn give_back(&self) {
        self.open.set(self.open.get() - 1);
        // All of them: the first one may have lost its interest without telling.
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

impl Shard {
    /// Has `work` done where it holds no shard up, and waits for its result. Beyond [`OFFLOADS_OPEN_MAX`] it waits for its
    /// turn first. Work whose result nobody waits for any more is skipped. `None`: the server stops.
    pub async fn offload<T: Send + 'static>(
        self: &Rc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        poll_fn(|cx| {
            if self.offloads.try_take() {
                return Poll::Ready(());
            }
            self.io().hit("offloads_full");
            self.offloads.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let ticket = self.waits.ticket();
        let (home, number) = (self.id(), ticket.number());
        let shards = self.shards().clone();
        let (answer, answered) = bounded(1);
        let interest = Arc::new(());
        let still_wanted = Arc::downgrade(&interest);
        let job = move || {
            if still_wanted.strong_count() > 0 {
                // Nobody waits any more: the answer is not needed.
                drop(answer.send(work()));
            }
            drop(answer);
            let told = shards.run_on(
                home,
                Box::new(move |home| {
                    home.offloads.give_back();
                    home.waits.wake(number);
                }),
            );
            if !told {
                tracing::debug!("the shard that asked is gone");
            }
        };
        self.io().offload(&self.gate, Box::new(job));
        let result = poll_fn(|cx| match answered.try_recv() {
            Ok(answer) => Poll::Ready(Some(answer)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                ticket.wait(cx.waker());
                Poll::Pending
            }
        })
        .await;
        drop(interest);
        result
    }
}
