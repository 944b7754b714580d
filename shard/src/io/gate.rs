//! A gate counts the tasks behind it, and waits for them to end.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

/// Counts tasks. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Rc<Inner>);

#[derive(Default)]
struct Inner {
    inside: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

pin_project! {
    struct Guarded<F> {
        #[pin]
        future: F,
        _guard: GateGuard,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx)
    }
}

/// One task inside a gate, until dropped.
pub struct GateGuard(Rc<Inner>);

impl Gate {
    /// Counts one task more.
    pub fn enter(&self) -> GateGuard {
        self.0.inside.set(self.0.inside.get() + 1);
        GateGuard(Rc::clone(&self.0))
    }

    /// `future`, inside the gate until it is done. Not an `async` block, which would hold the future twice.
    pub(super) fn guard<F: Future<Output = ()>>(&self, future: F) -> impl Future<Output = ()> + use<F> {
        Guarded {
            future,
            _guard: self.enter(),
        }
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
