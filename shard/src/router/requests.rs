//! Requests that went to other shards and may come back undelivered: the 503 of "no responders".
//!
//! A request goes out in *parts*: at each target its plain subscriptions are one, and each queue group picked
//! there is one. A part ends where it was delivered, or where nobody is left to hand it on to; it is never split.
//! Who delivers any part of an envelope says nothing and keeps the others too; who delivers none gives back those that
//! end there. When all parts came back, nobody got the request.
//!
//! Owns: the count of parts that have not come back. Entries of answered requests stay until newer ones push them out.
//! Invariants: numbers are never 0; at most `limits::OPEN_REQUESTS_MAX` are kept; no more parts come back than went out.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::account::Account;
use crate::conn::{Connection, Subscriber};
use crate::ids::ConnectionId;
use crate::proto::writer;
use crate::runtime::Shard;

/// The open requests of one shard that went out in more than one part.
pub(crate) struct OpenRequests {
    /// So many are kept.
    max: usize,
    /// Number of the first entry in `waiting`.
    first: u32,
    /// Parts that have not come back.
    waiting: VecDeque<u32>,
}

/// A request in a single part needs no entry: its one answer decides.
const SINGLE: u32 = u32::MAX;
/// Stands for a number of parts that is not known yet.
const UNSETTLED: u32 = u32::MAX;

impl OpenRequests {
    /// Keeps `max` at most.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            first: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Gives a request in so many parts its number, and whether an older one had to be forgotten for it.
    fn open(&mut self, parts: u32) -> (u32, bool) {
        if parts == 1 {
            return (SINGLE, false);
        }
        let is_full = self.waiting.len() == self.max;
        if is_full {
            self.waiting.pop_front();
            self.first += 1;
        }
        if self.first == 0 || u64::from(self.first) + self.waiting.len() as u64 >= u64::from(SINGLE) {
            self.first = 1;
            self.waiting.clear();
        }
        self.waiting.push_back(parts);
        let last = u32::try_from(self.waiting.len()).expect("bounded by OPEN_REQUESTS_MAX") - 1;
        (self.first + last, is_full)
    }

    /// The parts of a request that has just been opened.
    fn settle(&mut self, request: u32, parts: u32) {
        let at = request - self.first;
        self.waiting[at as usize] = parts;
    }

    /// Nobody got these parts; `true`: they were the last.
    fn answer(&mut self, request: u32, parts: u32) -> bool {
        if request == SINGLE {
            return true;
        }
        let Some(at) = request.checked_sub(self.first) else {
            return false;
        };
        let Some(left) = self.waiting.get_mut(at as usize) else {
            return false;
        };
        // A number that was given again after 2^32 of them may meet an old answer.
        let was_open = *left > 0;
        *left = left.saturating_sub(parts);
        was_open && *left == 0
    }
}

impl Shard {
    pub(super) fn open_request(&self, parts: u32) -> u32 {
        let (request, has_forgotten) = self.requests().borrow_mut().open(parts);
        if has_forgotten {
            self.io().hit("bound_open_requests");
        }
        request
    }

    /// As [`Shard::open_request`], before it is known in how many parts it goes out: [`Shard::settle_request`] says so.
    pub(super) fn begin_request(&self) -> u32 {
        self.open_request(UNSETTLED)
    }

    /// So many parts of a request went out; `None`: somebody got it already.
    pub(super) fn settle_request(&self, request: u32, parts: Option<u32>) {
        self.requests().borrow_mut().settle(request, parts.unwrap_or(0));
    }

    /// Nobody got `parts` of the request of `origin`, a connection of this shard.
    pub(super) fn not_delivered(
        &self,
        origin: ConnectionId,
        request: u32,
        parts: u32,
        subject: &[u8],
        reply: &[u8],
    ) {
        if !self.requests().borrow_mut().answer(request, parts) {
            return;
        }
        if let Some(connection) = self.connection(origin) {
            let account = connection.account();
            let (subject, reply) = &self.close_chain(subject, reply);
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

    /// The part that comes back last decides, a single one at once, and once; old requests are forgotten.
    #[test]
    fn last_part_decides() {
        const MAX: usize = 8;
        let mut open = OpenRequests::new(MAX);
        assert!(open.answer(SINGLE, 1));
        let (request, _) = open.open(4);
        assert!(request != 0);
        assert!(!open.answer(request, 1));
        assert!(!open.answer(request, 2));
        assert!(open.answer(request, 1));
        assert!(!open.answer(request, 1));
        let (old, _) = open.open(2);
        let forgotten: Vec<bool> = (0..MAX).map(|_| open.open(2).1).collect();
        assert_eq!(forgotten, [false, false, false, false, false, false, true, true]);
        assert!(!open.answer(old, 2));
    }
}
