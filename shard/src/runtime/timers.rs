//! Time outs of connections: CONNECT in time, PING, write deadline.
//!
//! Owns: one entry per connection, at the earliest of its times, and the task that waits for the first.
//! Not here: what happens then (`conn`, `flush`).
//! Times within `SLACK` of each other are handled together: a server of idle connections wakes seldom.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::shard::Shard;
use crate::conn::Connection;
use crate::ids::ConnectionId;
use crate::io::Time;

/// How late a time out may be.
const SLACK: Duration = Duration::from_millis(10);
/// How long the task sleeps at most when nothing is due: virtual time, which goes on to whatever comes next, must not go on
/// to its end.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// The time outs of one shard.
#[derive(Default)]
pub(super) struct Timers {
    /// By time and connection.
    due: RefCell<BTreeMap<(Time, ConnectionId), Rc<Connection>>>,
    /// What the task waits for.
    first: Cell<Time>,
    waker: RefCell<Option<Waker>>,
}

impl Timers {
    pub(super) fn cancel(&self, connection: &Connection) {
        if let Some(at) = connection.timer_at.take() {
            self.due.borrow_mut().remove(&(at, connection.id));
        }
    }

    /// Ends the task's wait, so that it sees that the shard stops.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Shard {
    /// Puts a connection's entry at the earliest of its times.
    pub(crate) fn schedule(&self, connection: &Rc<Connection>) {
        let times = [
            connection.connect_due.get(),
            connection.write_due.get(),
            connection.next_ping.get(),
            connection.expires_due.get(),
        ];
        let Some(at) = times.into_iter().flatten().min() else {
            return;
        };
        if connection.timer_at.get() == Some(at) {
            return;
        }
        self.timers.cancel(connection);
        connection.timer_at.set(Some(at));
        self.timers
            .due
            .borrow_mut()
            .insert((at, connection.id), Rc::clone(connection));
        self.expect_time(at);
    }

    /// Something is due then: the task wakes in time.
    pub(crate) fn expect_time(&self, at: Time) {
        if at < self.timers.first.get() {
            self.timers.wake();
        }
    }

    pub(super) async fn timer_task(self: Rc<Self>) {
        while !self.is_stopping.get() {
            let now = self.io().now();
            for connection in self.take_due(now + SLACK) {
                self.on_timer(&connection, now + SLACK);
                if connection.is_open() {
                    self.schedule(&connection);
                }
            }
            self.service_replies().borrow_mut().expire(now);
            self.end_batch();
            let first = self.timers.due.borrow().first_key_value().map(|((at, _), _)| *at);
            let late_answer = self.service_replies().borrow().first_due();
            let first = first.into_iter().chain(late_answer).min();
            let first = first.unwrap_or(Time(u64::MAX)).min(now + SLEEP_MAX);
            self.timers.first.set(first);
            let mut sleep = pin!(self
                .io()
                .sleep(first.since(self.io().now()).max(Duration::from_millis(1))));
            let mut slept = false;
            poll_fn(|cx| {
                // Once armed, a missing waker means that somebody took it to wake us.
                if slept && self.timers.waker.borrow().is_none() {
                    return Poll::Ready(());
                }
                slept = true;
                *self.timers.waker.borrow_mut() = Some(cx.waker().clone());
                sleep.as_mut().poll(cx)
            })
            .await;
            self.timers.waker.take();
            self.timers.first.set(Time(0));
        }
    }

    fn take_due(&self, until: Time) -> Vec<Rc<Connection>> {
        let mut due = self.timers.due.borrow_mut();
        let mut taken = Vec::new();
        while let Some(entry) = due.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let connection = entry.remove();
            connection.timer_at.set(None);
            taken.push(connection);
        }
        taken
    }

    fn on_timer(self: &Rc<Self>, connection: &Rc<Connection>, now: Time) {
        if connection.connect_due.get().is_some_and(|due| due <= now) {
            connection.connect_due.set(None);
            self.connect_timed_out(connection);
        }
        if connection.is_open() && connection.expires_due.get().is_some_and(|due| due <= now) {
            connection.expires_due.set(None);
            self.grant_expired(connection);
        }
        if connection.is_open() && connection.write_due.get().is_some_and(|due| due <= now) {
            self.write_deadline_passed(connection);
        }
        if connection.is_open() && connection.next_ping.get().is_some_and(|due| due <= now) {
            self.ping_due(connection, now);
        }
    }
}
