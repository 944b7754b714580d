//! Requests that went to other shards and may come back undelivered: the 503 of "no responders".
//!
//! Owns: the count of targets that have not said "nobody here". Targets that delivered say nothing, so
//! entries of answered requests stay until newer ones push them out.
//! Invariants: numbers are never 0; at most `OPEN_REQUESTS_MAX` are kept.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::account::Account;
use crate::conn::{Connection, Subscriber};
use crate::ids::ConnectionId;
use crate::limits;
use crate::proto::writer;
use crate::runtime::Shard;

/// The open requests of one shard that went to more than one target.
#[derive(Default)]
pub(crate) struct OpenRequests {
    /// Number of the first entry in `waiting`.
    first: u32,
    /// Targets left that have not said "nobody here".
    waiting: VecDeque<u32>,
}

/// A request to a single target needs no entry: its one answer decides.
const SINGLE: u32 = u32::MAX;

impl OpenRequests {
    fn open(&mut self, targets: u32) -> u32 {
        if targets == 1 {
            return SINGLE;
        }
        if self.waiting.len() == limits::OPEN_REQUESTS_MAX {
            self.waiting.pop_front();
            self.first += 1;
        }
        if self.first == 0 || u64::from(self.first) + self.waiting.len() as u64 >= u64::from(SINGLE) {
            self.first = 1;
            self.waiting.clear();
        }
        self.waiting.push_back(targets);
        self.first + u32::try_from(self.waiting.len()).expect("bounded by OPEN_REQUESTS_MAX") - 1
    }

    /// One target had nobody; `true`: it was the last.
    fn answer(&mut self, request: u32) -> bool {
        if request == SINGLE {
            return true;
        }
        let Some(at) = request.checked_sub(self.first) else {
            return false;
        };
        let Some(left) = self.waiting.get_mut(at as usize) else {
            return false;
        };
        *left = left.saturating_sub(1);
        *left == 0
    }
}

impl Shard {
    pub(super) fn open_request(&self, targets: u32) -> u32 {
        self.requests().borrow_mut().open(targets)
    }

    pub(super) fn close_request_answer(&self, request: u32) -> bool {
        self.requests().borrow_mut().answer(request)
    }

    /// No shard delivered the request of `origin`.
    pub(super) fn not_delivered(&self, origin: ConnectionId, subject: &[u8], reply: &[u8]) {
        if let Some(connection) = self.connection(origin) {
            let account = connection.account();
            self.send_no_responders(&connection, &account, subject, reply);
        }
    }

    /// Sends the 503 to the subscription of `connection` that listens to `reply`, if it has one.
    pub(super) fn send_no_responders(
        &self,
        connection: &Rc<Connection>,
        account: &Account,
        subject: &[u8],
        reply: &[u8],
    ) {
        let result = account.sublist.borrow_mut().matches(reply);
        let queued = result.queues.iter().flat_map(|queue| &queue.members);
        let own = result.plain.iter().chain(queued).find_map(|entry| match entry {
            Subscriber::Local(subscription) if Rc::ptr_eq(&subscription.connection, connection) => {
                Some(subscription)
            }
            _ => None,
        });
        let Some(subscription) = own else { return };
        self.enqueue(connection, |out| {
            writer::no_responders(out, reply, &subscription.sid, subject)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last of several "nobody" answers decides; a single target's decides at once; old ones are forgotten.
    #[test]
    fn last_answer_decides() {
        let mut open = OpenRequests::default();
        assert!(open.answer(SINGLE));
        let request = open.open(2);
        assert!(request != 0);
        assert!(!open.answer(request));
        assert!(open.answer(request));
        let old = open.open(2);
        for _ in 0..limits::OPEN_REQUESTS_MAX {
            open.open(2);
        }
        assert!(!open.answer(old));
        assert!(!open.answer(old));
    }
}
