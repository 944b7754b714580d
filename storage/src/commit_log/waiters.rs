//! Tasks that wait until something of a log has changed.
//!
//! Owns: their wakers. Not here: what they wait for; each looks again when it is woken.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Wakers, each task at most once.
#[derive(Default)]
pub(super) struct Waiters(RefCell<Vec<Waker>>);

impl Waiters {
    /// Lets all look again.
    pub(super) fn wake(&self) {
        for waker in self.0.take() {
            waker.wake();
        }
    }

    fn register(&self, cx: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }

    /// Waits until `look` finds what it looks for.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                self.register(cx);
                Poll::Pending
            }
        })
        .await
    }
}
