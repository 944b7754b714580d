//! How many answers may be gathered at the same time; the rest waits its turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A fixed number of permits.
pub(super) struct Permits {
    left: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// One permit, until dropped.
pub(super) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Self {
            left: Cell::new(count),
            waiting: RefCell::default(),
        }
    }

    /// Waits for a permit.
    pub(super) async fn take(&self) -> Permit<'_> {
        poll_fn(|cx| {
            if let Some(permit) = self.try_take() {
                return Poll::Ready(permit);
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// A permit, when one is left.
    pub(super) fn try_take(&self) -> Option<Permit<'_>> {
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        Some(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.left.set(self.0.left.get() + 1);
        // All look again: some of those that wait may be gone.
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No more permits than there are; a dropped one goes to who waits.
    #[test]
    fn permits_are_bounded_and_come_back() {
        let permits = Permits::new(1);
        let first = permits.try_take();
        assert!(first.is_some());
        assert!(permits.try_take().is_none());
        futures_lite::future::block_on(async {
            let waits = permits.take();
            let mut waits = std::pin::pin!(waits);
            assert!(futures_lite::future::poll_once(waits.as_mut()).await.is_none());
            drop(first);
            drop(waits.await);
        });
        assert!(permits.try_take().is_some());
    }
}
