//! The answers that services of other accounts owe: where each goes, until when.
//!
//! A request that changes its account gets a new reply subject `_R_.<place>.<token>`. The place names the shard that
//! keeps the entry (and, by random digits, this run of this server), so that whoever answers anywhere knows whom to ask
//! and no shard has interest in single replies. The token is not to be guessed from another.
//!
//! Owns: the subjects and the entries. Not here: carrying requests and answers (`service`).
//! Invariants: at most `SERVICE_REPLIES_MAX` entries; an entry is in `open` and `by_due` or in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::{AccountId, ShardId};
use crate::io::{Io, Time};
use crate::limits::SERVICE_REPLIES_MAX;
use crate::rules::ResponseType;

/// What every reply subject of a service begins with.
pub(crate) const SERVICE_REPLY: &[u8] = b"_R_.";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits that hold every token.
const TOKEN_SIZE: usize = 11;
/// Digits of the shard in a place.
const SHARD_SIZE: usize = 2;
/// Random digits of a place.
const RUN_SIZE: usize = 6;

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenReply {
    /// Who answers.
    pub(crate) exporter: AccountId,
    /// Who asked.
    pub(crate) importer: AccountId,
    /// The reply subject there.
    pub(crate) reply: Box<[u8]>,
    /// The subject that was asked there, for "no responders".
    pub(crate) subject: Box<[u8]>,
    /// How many answers.
    pub(crate) response: ResponseType,
    /// How long each may take.
    pub(crate) threshold: Duration,
}

/// The open replies of one shard.
pub(crate) struct ServiceReplies {
    /// `_R_.<place>.`
    prefix: Box<[u8]>,
    secret: u64,
    count: u64,
    open: BTreeMap<u64, (Time, OpenReply)>,
    by_due: BTreeSet<(Time, u64)>,
}

/// Whose a reply subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyOwner {
    /// This shard, under this token.
    Here(u64),
    /// Another shard of this server, if it has so many.
    Shard(usize),
    /// Nobody's: not of the form.
    Nobody,
}

impl ServiceReplies {
    pub(crate) fn new(shard: ShardId, io: &Io) -> ServiceReplies {
        let mut prefix = SERVICE_REPLY.to_vec();
        append_digits(u64::from(shard.0), SHARD_SIZE, &mut prefix);
        append_digits(io.entropy(), RUN_SIZE, &mut prefix);
        prefix.push(b'.');
        let mut secret = [0; 8];
        io.fill_secret(&mut secret);
        ServiceReplies {
            prefix: prefix.into(),
            secret: u64::from_le_bytes(secret),
            count: 0,
            open: BTreeMap::new(),
            by_due: BTreeSet::new(),
        }
    }

    /// Keeps an entry and gives its subject. The oldest goes when there are too many.
    pub(crate) fn open(&mut self, reply: OpenReply, now: Time) -> Vec<u8> {
        if self.open.len() >= SERVICE_REPLIES_MAX {
            if let Some((_, token)) = self.by_due.pop_first() {
                self.open.remove(&token);
            }
        }
        let token = loop {
            self.count += 1;
            let token = xxh3_64_with_seed(&self.count.to_le_bytes(), self.secret);
            if !self.open.contains_key(&token) {
                break token;
            }
        };
        let due = now + reply.threshold;
        self.open.insert(token, (due, reply));
        self.by_due.insert((due, token));
        let mut subject = self.prefix.to_vec();
        append_digits(token, TOKEN_SIZE, &mut subject);
        subject
    }

    /// Whose the reply `subject` is.
    pub(crate) fn owner(&self, subject: &[u8]) -> ReplyOwner {
        if let Some(token) = subject.strip_prefix(&*self.prefix) {
            return read_digits(token, TOKEN_SIZE).map_or(ReplyOwner::Nobody, ReplyOwner::Here);
        }
        let place = subject
            .strip_prefix(SERVICE_REPLY)
            .and_then(|rest| rest.get(..SHARD_SIZE));
        let shard = place.and_then(|digits| read_digits(digits, SHARD_SIZE));
        shard.map_or(ReplyOwner::Nobody, |shard| {
            usize::try_from(shard).map_or(ReplyOwner::Nobody, ReplyOwner::Shard)
        })
    }

    /// The entry of a token, unless it is over.
    pub(crate) fn get(&self, token: u64, now: Time) -> Option<OpenReply> {
        let (due, reply) = self.open.get(&token)?;
        (*due >= now).then(|| reply.clone())
    }

    /// An answer came and more may: the time begins anew.
    pub(crate) fn renew(&mut self, token: u64, now: Time) {
        if let Some((due, reply)) = self.open.get_mut(&token) {
            self.by_due.remove(&(*due, token));
            *due = now + reply.threshold;
            self.by_due.insert((*due, token));
        }
    }

    /// No further answer is taken.
    pub(crate) fn close(&mut self, token: u64) -> Option<OpenReply> {
        let (due, reply) = self.open.remove(&token)?;
        self.by_due.remove(&(due, token));
        Some(reply)
    }

    /// As [`ServiceReplies::close`], by the subject.
    pub(crate) fn close_subject(&mut self, subject: &[u8]) -> Option<OpenReply> {
        match self.owner(subject) {
            ReplyOwner::Here(token) => self.close(token),
            ReplyOwner::Shard(_) | ReplyOwner::Nobody => None,
        }
    }

    /// When the first answer is late.
    pub(crate) fn first_due(&self) -> Option<Time> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Forgets answers that did not come in time.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some((due, token)) = self.by_due.first().copied() {
            if due >= now {
                return;
            }
            self.by_due.remove(&(due, token));
            self.open.remove(&token);
        }
    }
}

fn append_digits(mut number: u64, count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    for _ in 0..count {
        out.push(DIGITS[usize::try_from(number % 62).expect("below 62")]);
        number /= 62;
    }
    out[start..].reverse();
}

fn read_digits(text: &[u8], count: usize) -> Option<u64> {
    if text.len() != count {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| digit == byte)? as u64;
        number.checked_mul(62)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::simulated::SimWorld;

    fn replies(shard: u16) -> ServiceReplies {
        let world = SimWorld::new(7);
        let host = world.add_host();
        ServiceReplies::new(ShardId(shard), &Io::Simulated(world.add_node(host)))
    }

    fn reply(number: u64) -> OpenReply {
        OpenReply {
            exporter: AccountId(3),
            importer: AccountId(4),
            reply: format!("inbox.{number}").into_bytes().into(),
            subject: (*b"req").into(),
            response: ResponseType::Singleton,
            threshold: Duration::from_secs(1),
        }
    }

    /// A subject names its shard and its entry; others know whose it is; what is no reply is nobody's.
    #[test]
    fn subject_leads_to_its_entry() {
        let (mut here, there) = (replies(13), replies(63));
        for number in 0..100 {
            let subject = here.open(reply(number), Time(0));
            let ReplyOwner::Here(token) = here.owner(&subject) else {
                panic!("its own")
            };
            assert_eq!(here.get(token, Time(0)), Some(reply(number)));
            assert_eq!(there.owner(&subject), ReplyOwner::Shard(13));
        }
        for subject in ["_R_.", "_R_.0", "_R_.+!", "orders", "_R_"] {
            assert_eq!(here.owner(subject.as_bytes()), ReplyOwner::Nobody, "{subject}");
        }
        let own = |token: &str| [&here.prefix, token.as_bytes()].concat();
        for token in ["", "1", "zzzzzzzzzzz", "00000000000.x"] {
            assert_eq!(here.owner(&own(token)), ReplyOwner::Nobody, "{token}");
        }
    }

    /// An entry ends when it is closed or its time is over, and an answer begins its time anew.
    #[test]
    fn entries_end() {
        let mut here = replies(0);
        let second = Duration::from_secs(1);
        let subjects: Vec<_> = (0..3).map(|number| here.open(reply(number), Time(0))).collect();
        let tokens: Vec<_> = subjects
            .iter()
            .map(|subject| match here.owner(subject) {
                ReplyOwner::Here(token) => token,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(here.close(tokens[0]).is_some());
        assert!(here.close(tokens[0]).is_none());
        here.renew(tokens[1], Time(0) + second);
        here.expire(Time(0) + second + second / 2);
        assert!(here.get(tokens[1], Time(0) + second * 2).is_some());
        assert!(here.get(tokens[2], Time(0)).is_none());
        assert_eq!((here.open.len(), here.by_due.len()), (1, 1));
        assert!(here.close_subject(&subjects[1]).is_some());
        assert_eq!((here.open.len(), here.by_due.len()), (0, 0));
    }
}
