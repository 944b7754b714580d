//! The timers of one shard: who sleeps until when, and the one timer of the system that stands for the first.
//!
//! Owns: the order of sleepers, the timer's descriptor. Not here: waiting for it (`ring`), the clock (`driver`).
//! The descriptor may be set to an earlier time than needed (a sleeper went away): that costs one wake.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Waker;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::ring::{Ring, Signal};
use crate::io::Time;

/// A sleeper: when it is due, and a number of its own.
pub(super) type Sleeper = (Time, u64);

pub(super) struct Timers {
    sleepers: RefCell<BTreeMap<Sleeper, Waker>>,
    next: Cell<u64>,
    /// What the descriptor is set to; the end of time when it is not.
    set_to: Cell<Time>,
    is_watched: Cell<bool>,
    fd: OwnedFd,
}

impl Timers {
    /// # Errors
    /// Out of file descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let fd = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        Ok(Self {
            sleepers: RefCell::default(),
            next: Cell::new(0),
            set_to: Cell::new(Time(u64::MAX)),
            is_watched: Cell::new(false),
            fd,
        })
    }

    pub(super) fn add(&self, due: Time, waker: Waker) -> Sleeper {
        let sleeper = (due, self.next.get());
        self.next.set(sleeper.1 + 1);
        self.sleepers.borrow_mut().insert(sleeper, waker);
        sleeper
    }

    /// Another waker for a sleeper; one that was woken already is not put back.
    pub(super) fn update(&self, sleeper: Sleeper, waker: &Waker) {
        let mut sleepers = self.sleepers.borrow_mut();
        let before = match sleepers.get_mut(&sleeper) {
            Some(before) if !before.will_wake(waker) => std::mem::replace(before, waker.clone()),
            _ => return,
        };
        drop(sleepers);
        drop(before);
    }

    pub(super) fn remove(&self, sleeper: Sleeper) {
        let waker = self.sleepers.borrow_mut().remove(&sleeper);
        drop(waker);
    }

    /// The descriptor fired: wakes all who are due.
    pub(super) fn fire(&self, now: Time) {
        self.is_watched.set(false);
        self.set_to.set(Time(u64::MAX));
        loop {
            let mut sleepers = self.sleepers.borrow_mut();
            let Some(first) = sleepers.first_entry().filter(|first| first.key().0 <= now) else {
                return;
            };
            let waker = first.remove();
            drop(sleepers);
            waker.wake();
        }
    }

    /// Before the ring is looked at: makes sure that it tells when the first sleeper is due.
    pub(super) fn arm(&self, ring: &Ring, now: impl FnOnce() -> Time) {
        let Some(first) = self.sleepers.borrow().first_key_value().map(|(first, _)| first.0) else {
            return;
        };
        if first >= self.set_to.get() {
            return;
        }
        // Zero would switch the timer off.
        let left = first.since(now()).max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &value)
            .expect("a timer takes every time that is not negative");
        self.set_to.set(first);
        if !self.is_watched.replace(true) {
            ring.watch(Signal::Timer, &self.fd);
        }
    }

    /// Lets go of all who sleep: the shard ends.
    pub(super) fn clear(&self) {
        let sleepers = self.sleepers.take();
        drop(sleepers);
    }
}
