//! A simulated bell: a flag the scheduler looks at between steps. It crosses threads in its type, as a real
//! one does, though a world has one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::SimIo;

/// Rings a simulated shard.
#[derive(Clone, Default)]
pub struct SimBell {
    rung: Arc<AtomicBool>,
}

impl SimBell {
    /// A bell nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The listening side, made on the shard that listens, once.
    pub fn ear(&self, io: &SimIo) -> SimEar {
        let heard = Rc::new(Heard::default());
        io.world.register_bell(io.node.index, self, &heard);
        SimEar { heard }
    }

    pub(in crate::io) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    pub(super) fn take(&self) -> bool {
        self.rung.swap(false, Ordering::SeqCst)
    }
}

/// Listens to one simulated bell.
pub struct SimEar {
    heard: Rc<Heard>,
}

/// What the scheduler delivered.
#[derive(Default)]
pub(super) struct Heard {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Heard {
    pub(super) fn deliver(&self) {
        self.rung.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl SimEar {
    pub(in crate::io) fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.heard.rung.take() {
            return Poll::Ready(());
        }
        self.heard.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
