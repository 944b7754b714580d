//! A gate counts the tasks behind it, and waits for them to end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Counts tasks. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Rc<Inner>);

#[derive(Default)]
struct Inner {
    inside: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// One task inside a gate, until dropped.
pub struct GateGuard(Rc<Inner>);

impl Gate {
    /// Counts one task more.
    pub fn enter(&self) -> GateGuard {
        self.0.inside.set(self.0.inside.get() + 1);
        GateGuard(Rc::clone(&self.0))
    }

    /// Tasks inside.
    pub fn inside(&self) -> usize {
        self.0.inside.get()
    }

    /// Waits until nobody is inside. The caller has told the tasks to end.
    pub async fn wait_empty(&self) {
        poll_fn(|cx| {
            if self.0.inside.get() == 0 {
                return Poll::Ready(());
            }
            self.0.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for GateGuard {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
        if self.0.inside.get() == 0 {
            for waker in self.0.waiting.take() {
                waker.wake();
            }
        }
    }
}
