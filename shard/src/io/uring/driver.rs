//! Runs the tasks of one shard and sleeps when there are none.
//!
//! Owns: the loop, its order, and when glommio has its turn. Not here: readiness (`ring`), timers, the task queues.
//!
//! One turn of the loop: run what can run, look at the ring (which submits, and sleeps if nothing can run), wake who
//! yielded. glommio hosts the thread and does the operations on files; while some are under way the loop goes back
//! to it each turn, and sleeps in it with a poll of glommio's on this ring. With none it sleeps in its own ring only.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::AsyncRead;
use glommio::net::TcpStream;
use rustix::time::ClockId;

use super::nanos;
use super::ring::{Ring, Signal};
use super::tasks::Tasks;
use super::timers::{Sleeper, Timers};
use crate::io::{Queue, Time};

/// Tasks that run before the ring is looked at again.
const TASKS_IN_A_ROW_MAX: usize = 256;

pub(super) struct Driver {
    /// The same instant for all shards of the process.
    base: Instant,
    ring: Ring,
    timers: Timers,
    tasks: Tasks,
    /// Tasks that run again after the next look at the ring.
    yielded: RefCell<Vec<Waker>>,
    host: Host,
}

/// What glommio has to do on this shard's thread.
#[derive(Default)]
struct Host {
    /// Operations on files under way.
    operations: Cell<usize>,
    /// Something was left for glommio to do: a file was closed or dropped.
    is_due: Cell<bool>,
    /// The task of glommio that waits for our ring.
    listener: RefCell<Option<glommio::Task<()>>>,
    heard: Rc<Cell<bool>>,
}

impl Driver {
    /// # Errors
    /// A limit or a permission of the kernel.
    pub(super) fn new(base: Instant) -> io::Result<Rc<Self>> {
        let driver = Self {
            base,
            ring: Ring::new()?,
            timers: Timers::new()?,
            tasks: Tasks::new()?,
            yielded: RefCell::default(),
            host: Host::default(),
        };
        driver.ring.watch(Signal::Bell, driver.tasks.bell());
        Ok(Rc::new(driver))
    }

    #[inline]
    pub(super) fn now(&self) -> Time {
        Time(nanos(self.base.elapsed()))
    }

    pub(super) fn since_start(&self) -> Duration {
        self.base.elapsed()
    }

    /// What this thread used of its core so far.
    pub(super) fn busy(&self) -> Duration {
        let used = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            used.tv_sec
                .try_into()
                .expect("no thread has used less than nothing"),
            used.tv_nsec.try_into().expect("below a second"),
        )
    }

    #[inline]
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn spawn(&self, queue: Queue, future: impl Future<Output = ()> + 'static) {
        self.tasks.spawn(queue, future);
    }

    /// Runs `main` and all it starts until `main` is done; a future of glommio's.
    pub(super) async fn run(self: &Rc<Self>, main: impl Future<Output = ()> + 'static) {
        let is_done = Rc::new(Cell::new(false));
        let done = Rc::clone(&is_done);
        self.spawn(Queue::Hot, async move {
            main.await;
            done.set(true);
        });
        poll_fn(|cx| self.poll(&is_done, cx)).await;
        self.tasks.clear();
        self.timers.clear();
        self.ring.clear();
        let listener = self.host.listener.take();
        if let Some(listener) = listener {
            listener.cancel().await;
        }
    }

    /// Ready when `is_done`; pending only when glommio must have its turn.
    fn poll(self: &Rc<Self>, is_done: &Cell<bool>, cx: &mut Context<'_>) -> Poll<()> {
        self.tasks.set_parked(false);
        loop {
            self.tasks.run(TASKS_IN_A_ROW_MAX, || self.now());
            if is_done.get() {
                return Poll::Ready(());
            }
            self.timers.arm(&self.ring, || self.now());
            let must_visit = self.host.is_due.take() || self.host.operations.get() > 0;
            let can_run = self.tasks.has_runnable() || !self.yielded.borrow().is_empty();
            let is_quiet = !self.look(!can_run && !must_visit);
            if !must_visit {
                continue;
            }
            if is_quiet && self.host.operations.get() > 0 && !self.tasks.has_runnable() {
                self.park(cx.waker());
            } else {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    }

    /// `true`: a signal came, and the ring must be told to tell again before anybody sleeps.
    fn look(&self, sleeps: bool) -> bool {
        let signals = self.ring.look(sleeps);
        if signals.has(Signal::Timer) {
            self.timers.fire(self.now());
        }
        if signals.has(Signal::Bell) {
            self.tasks.quiet_bell();
            self.ring.watch(Signal::Bell, self.tasks.bell());
        }
        let mut yielded = self.yielded.take();
        for waker in yielded.drain(..) {
            waker.wake();
        }
        // Keeps the allocation; nobody runs in between.
        self.yielded.replace(yielded);
        signals.any()
    }

    /// Sleeps in glommio: its next completion of a file wakes a task here, which rings the bell, and the bell as
    /// every completion of our ring wakes `host`.
    fn park(&self, host: &Waker) {
        self.tasks.set_parked(true);
        let mut listener = self.host.listener.borrow_mut();
        if listener.is_some() && !self.host.heard.get() {
            return;
        }
        self.host.heard.set(false);
        let ring = match self.ring.with_fd(|ring| ring.try_clone_to_owned()) {
            Ok(ring) => ring,
            Err(error) => {
                // Out of descriptors: glommio looks at its rings once and comes back.
                tracing::debug!(%error, "the ring cannot be listened to");
                listener.take();
                host.wake_by_ref();
                return;
            }
        };
        let (heard, host) = (Rc::clone(&self.host.heard), host.clone());
        *listener = Some(glommio::spawn_local(async move {
            wait_for_ring(ring).await;
            heard.set(true);
            host.wake();
        }));
    }

    /// Counts an operation of glommio's until it is dropped.
    pub(super) fn enter_host(self: &Rc<Self>) -> HostGuard {
        self.host.operations.set(self.host.operations.get() + 1);
        HostGuard(Rc::clone(self))
    }

    pub(super) async fn sleep(self: &Rc<Self>, duration: Duration) {
        let due = self.now() + duration;
        Sleep {
            driver: self,
            due,
            sleeper: None,
        }
        .await;
    }

    /// Runs again after the ring was looked at.
    pub(super) async fn yield_now(&self) {
        let mut has_yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            self.yielded.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Waits until the ring can be read. glommio has no call for that; but its stream arms a poll on any descriptor
/// before the first read, and the read's own result does not matter here.
#[expect(unsafe_code, reason = "glommio adopts descriptors by number only")]
async fn wait_for_ring(ring: OwnedFd) {
    // SAFETY: the descriptor is given up here, so the stream is its only owner.
    let mut stream = unsafe { TcpStream::from_raw_fd(ring.into_raw_fd()) };
    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0]).map(drop)).await;
}

/// An operation of glommio's that is under way, until dropped.
pub(super) struct HostGuard(Rc<Driver>);

impl Drop for HostGuard {
    fn drop(&mut self) {
        let host = &self.0.host;
        host.operations.set(host.operations.get() - 1);
        host.is_due.set(true);
    }
}

/// Something of glommio's that leaves it something to do when it is dropped: a file closes itself.
pub(super) struct HostUse(Rc<Driver>);

impl HostUse {
    pub(super) fn new(driver: &Rc<Driver>) -> Self {
        Self(Rc::clone(driver))
    }

    /// As [`Driver::enter_host`].
    pub(super) fn enter(&self) -> HostGuard {
        self.0.enter_host()
    }
}

impl Drop for HostUse {
    fn drop(&mut self) {
        self.0.host.is_due.set(true);
    }
}

struct Sleep<'d> {
    driver: &'d Driver,
    due: Time,
    sleeper: Option<Sleeper>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.driver.now() >= self.due {
            return Poll::Ready(());
        }
        match self.sleeper {
            Some(sleeper) => self.driver.timers.update(sleeper, cx.waker()),
            None => self.sleeper = Some(self.driver.timers.add(self.due, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(sleeper) = self.sleeper {
            self.driver.timers.remove(sleeper);
        }
    }
}
