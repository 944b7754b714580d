//! What the server itself publishes: messages of nobody's connection, and who is told of connections that come and go.
//!
//! Owns: the queue of announcements of one shard and the task that sends them, in the queue for control work. Not here:
//! what they say (the watcher, which the product installs), who gets them (`router`).
//!
//! Nothing is sent in the middle of a batch: a connection may close while messages are delivered. The task sends
//! when every shard it could feed has room, so a flood waits here, up to [`ANNOUNCEMENTS_MAX`].

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::shard::{count, Shard};
use crate::conn::Connection;
use crate::ids::AccountId;
use crate::io::Queue;
use crate::limits::ANNOUNCEMENTS_MAX;
use crate::proto::CloseReason;
use crate::router::Publication;

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It was let in.
    Connected,
    /// It ends. It still belongs to its account.
    Closed(CloseReason),
    /// Its credentials were refused, and it has ended.
    Refused(CloseReason),
}

/// Who is told of the connections of a shard. Runs in the middle of a batch: it may look and announce, nothing else.
pub trait ConnectionWatcher {
    /// Something became of a connection.
    fn saw(&self, shard: &Shard, connection: &Connection, event: ConnectionEvent);
}

/// A message of the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// In whose subject space.
    pub account: AccountId,
    /// Where to.
    pub subject: String,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What waits to be announced.
#[derive(Default)]
pub(super) struct Announcements {
    watcher: OnceCell<Box<dyn ConnectionWatcher>>,
    waiting: RefCell<VecDeque<Announcement>>,
    waker: Cell<Option<Waker>>,
    /// Announcements that found no place.
    dropped: Cell<u64>,
}

impl Announcements {
    /// The task looks again.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Shard {
    /// Installs who is told of connections; once, before the first one.
    pub fn watch_connections(self: &Rc<Self>, watcher: Box<dyn ConnectionWatcher>) {
        let installed = self.announcements.watcher.set(watcher);
        assert!(installed.is_ok(), "a shard has one watcher");
        let shard = Rc::clone(self);
        self.spawn(Queue::Control, async move { shard.announce_all().await });
    }

    /// Tells the watcher, if there is one.
    pub(crate) fn tell_watcher(&self, connection: &Connection, event: ConnectionEvent) {
        if let Some(watcher) = self.announcements.watcher.get() {
            watcher.saw(self, connection, event);
        }
    }

    /// Whether anybody in the whole server would get a message of an account to a subject. `subject` is only made
    /// where the account has subscriptions at all.
    pub fn interest_in(&self, account: AccountId, subject: impl FnOnce() -> String) -> Option<String> {
        self.drain_interest();
        let account = self.account(account)?;
        let sublist = account.sublist.borrow();
        if sublist.count() == 0 {
            return None;
        }
        Some(subject()).filter(|subject| sublist.has_interest(subject.as_bytes()))
    }

    /// Sends a message of the server itself, soon. Beyond [`ANNOUNCEMENTS_MAX`] it is dropped and counted.
    pub fn announce(&self, announcement: Announcement) {
        let mut waiting = self.announcements.waiting.borrow_mut();
        if waiting.len() >= ANNOUNCEMENTS_MAX {
            count(&self.announcements.dropped);
            return;
        }
        waiting.push_back(announcement);
        drop(waiting);
        self.announcements.wake();
    }

    /// Announcements that were dropped.
    pub fn announcements_dropped(&self) -> u64 {
        self.announcements.dropped.get()
    }

    async fn announce_all(self: &Rc<Self>) {
        loop {
            let next = poll_fn(|cx| {
                if self.is_stopping.get() {
                    return Poll::Ready(None);
                }
                if !self.is_held() && !self.is_any_blocked() {
                    let next = self.announcements.waiting.borrow_mut().pop_front();
                    if next.is_some() {
                        return Poll::Ready(next);
                    }
                }
                self.announcements.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            let Some(next) = next else { return };
            self.drain_interest();
            self.begin_batch();
            if let Some(account) = self.account(next.account) {
                let publication = Publication {
                    subject: next.subject.as_bytes(),
                    reply: None,
                    header_size: None,
                    message: &next.payload,
                };
                self.publish_own(&account, &publication);
            }
            self.end_batch();
            self.io().yield_now().await;
        }
    }

    fn is_any_blocked(&self) -> bool {
        let others = self.shards().ids().filter(|&id| id != self.id());
        others.into_iter().any(|id| self.mesh().is_blocked(id.index()))
    }
}
