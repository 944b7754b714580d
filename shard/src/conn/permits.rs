//! The permissions of one connection at work: answers remembered, replies it may answer to.
//!
//! Owns: a bounded memory of answers for publish subjects, the reply subjects of delivered requests with their count
//! and time. Not here: the rules (`rules::Permissions`), what a client is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::io::Time;
use crate::limits::{ANSWERS_REMEMBERED_MAX, REPLIES_REMEMBERED_MAX};
use crate::rules::Permissions;

/// The permissions of one connection.
pub(crate) struct Permits {
    permissions: Arc<Permissions>,
    /// Whether messages may be published to a subject.
    publish: RefCell<Answers>,
    /// Whether messages to a subject must not be delivered to a queue group, or to plain subscriptions.
    denied: RefCell<Answers>,
    replies: RefCell<Replies>,
}

/// Answers of the rules, the last one at hand.
#[derive(Default)]
struct Answers {
    last: Vec<u8>,
    last_answer: bool,
    known: BTreeMap<Box<[u8]>, bool>,
}

impl Answers {
    #[inline]
    fn recall(&mut self, key: &[u8], ask: impl FnOnce() -> bool) -> bool {
        if self.last == key {
            return self.last_answer;
        }
        self.recall_older(key, ask)
    }

    fn recall_older(&mut self, key: &[u8], ask: impl FnOnce() -> bool) -> bool {
        let answer = self.known.get(key).copied().unwrap_or_else(|| {
            if self.known.len() >= ANSWERS_REMEMBERED_MAX {
                self.known.clear();
            }
            let answer = ask();
            self.known.insert(key.into(), answer);
            answer
        });
        self.last.clear();
        self.last.extend_from_slice(key);
        self.last_answer = answer;
        answer
    }
}

/// Reply subjects of delivered requests.
#[derive(Default)]
struct Replies {
    allowed: BTreeMap<Rc<[u8]>, AllowedReply>,
    /// In the order of their times; an entry is over when `allowed` has a later time or none.
    by_time: VecDeque<(Time, Rc<[u8]>)>,
}

struct AllowedReply {
    /// Messages published to it.
    used: u64,
    /// When the last request with it was delivered.
    since: Time,
}

impl Permits {
    pub(crate) fn new(permissions: Arc<Permissions>) -> Permits {
        Permits {
            permissions,
            publish: RefCell::default(),
            denied: RefCell::default(),
            replies: RefCell::default(),
        }
    }

    /// The rules behind it.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether a message may be published to `subject`; counts the answer to a request.
    #[inline]
    pub(crate) fn may_publish(&self, subject: &[u8], now: Time) -> bool {
        if !self.permissions.limits_publish() {
            return true;
        }
        self.is_listed(subject) || self.takes_answer(subject, now)
    }

    /// What the lists say.
    #[inline]
    fn is_listed(&self, subject: &[u8]) -> bool {
        let ask = || self.permissions.may_publish(subject);
        self.publish.borrow_mut().recall(subject, ask)
    }

    /// Whether a message to `subject` must not be delivered, though the subscription was allowed.
    pub(crate) fn denies(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let ask = || self.permissions.denies(subject, queue);
        match queue {
            None => self.denied.borrow_mut().recall(subject, ask),
            // No subject holds a blank.
            Some(group) => self
                .denied
                .borrow_mut()
                .recall(&[subject, b" ", group].concat(), ask),
        }
    }

    /// A request with `reply` is delivered to this connection: it may answer, where it could not publish there.
    pub(crate) fn note_request(&self, reply: &[u8], now: Time) {
        if self.permissions.responses().is_none() || self.is_listed(reply) {
            return;
        }
        let mut replies = self.replies.borrow_mut();
        self.forget_expired(&mut replies, now);
        let reply: Rc<[u8]> = reply.into();
        let entry = AllowedReply { used: 0, since: now };
        replies.allowed.insert(Rc::clone(&reply), entry);
        replies.by_time.push_back((now, reply));
    }

    /// Whether `subject` is the reply of a request that may still be answered.
    fn takes_answer(&self, subject: &[u8], now: Time) -> bool {
        let Some(rule) = self.permissions.responses() else {
            return false;
        };
        let mut replies = self.replies.borrow_mut();
        let Some(reply) = replies.allowed.get_mut(subject) else {
            return false;
        };
        reply.used += 1;
        let is_over = rule.messages_max.is_some_and(|max| reply.used > max)
            || rule
                .expires
                .is_some_and(|expires| now.since(reply.since) > expires);
        if is_over {
            replies.allowed.remove(subject);
        }
        !is_over
    }

    fn forget_expired(&self, replies: &mut Replies, now: Time) {
        let expires = self.permissions.responses().and_then(|rule| rule.expires);
        while let Some((since, reply)) = replies.by_time.front() {
            let is_current = replies
                .allowed
                .get(reply)
                .is_some_and(|entry| entry.since == *since);
            let is_expired = expires.is_some_and(|expires| now.since(*since) > expires);
            if is_current && !is_expired && replies.by_time.len() < REPLIES_REMEMBERED_MAX {
                return;
            }
            if is_current {
                replies.allowed.remove(reply);
            }
            replies.by_time.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::{AllowDeny, PermissionSpec, ResponsePermission};

    const SECOND: Duration = Duration::from_secs(1);

    fn responder(messages_max: Option<u64>, expires: Option<Duration>) -> Permits {
        let spec = PermissionSpec {
            publish: Some(AllowDeny {
                allow: Some(vec!["log.>".to_owned()]),
                deny: Vec::new(),
            }),
            responses: Some(ResponsePermission {
                messages_max,
                expires,
            }),
            ..PermissionSpec::default()
        };
        Permits::new(Arc::new(Permissions::compile(&spec).unwrap()))
    }

    /// A request allows as many answers as the rule says, and each request anew.
    #[test]
    fn answers_are_counted() {
        let permits = responder(Some(2), None);
        let now = Time(0);
        assert!(!permits.may_publish(b"inbox.1", now));
        permits.note_request(b"inbox.1", now);
        assert!(permits.may_publish(b"inbox.1", now));
        assert!(permits.may_publish(b"inbox.1", now));
        assert!(!permits.may_publish(b"inbox.1", now));
        permits.note_request(b"inbox.1", now);
        assert!(permits.may_publish(b"inbox.1", now));
        assert!(permits.may_publish(b"log.x", now));
        assert!(!permits.may_publish(b"inbox.2", now));
    }

    /// An answer that comes too late is refused, and what nobody answered is forgotten.
    #[test]
    fn answers_expire() {
        let permits = responder(None, Some(SECOND));
        let start = Time(0);
        permits.note_request(b"inbox.1", start);
        assert!(permits.may_publish(b"inbox.1", start + SECOND));
        assert!(!permits.may_publish(b"inbox.1", start + SECOND * 2));
        for number in 0..100 {
            permits.note_request(format!("inbox.{number}").as_bytes(), start + SECOND * 3);
        }
        permits.note_request(b"inbox.new", start + SECOND * 5);
        assert_eq!(permits.replies.borrow().allowed.len(), 1);
        assert_eq!(permits.replies.borrow().by_time.len(), 1);
    }

    /// The memory of replies is bounded: the oldest is forgotten first.
    #[test]
    fn oldest_reply_is_forgotten_first() {
        let permits = responder(Some(1), None);
        for number in 0..=REPLIES_REMEMBERED_MAX {
            permits.note_request(format!("inbox.{number}").as_bytes(), Time(number as u64));
        }
        assert!(permits.replies.borrow().by_time.len() <= REPLIES_REMEMBERED_MAX);
        assert!(!permits.may_publish(b"inbox.0", Time(0)));
        assert!(permits.may_publish(b"inbox.9", Time(0)));
    }

    /// Remembered answers stay few, and stay right.
    #[test]
    fn remembered_answers_are_bounded() {
        let permits = responder(Some(1), None);
        for number in 0..3 * ANSWERS_REMEMBERED_MAX {
            assert!(permits.may_publish(format!("log.{number}").as_bytes(), Time(0)));
            assert!(!permits.may_publish(format!("no.{number}").as_bytes(), Time(0)));
            assert!(permits.publish.borrow().known.len() <= ANSWERS_REMEMBERED_MAX);
        }
    }
}
