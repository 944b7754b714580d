//! What crosses the data lane: messages and the few answers to them, in a byte batch.
//!
//! Owns: the layout. It never leaves the process and has no version; both sides are this file.
//! Layout (little endian): fixed head (56 B) | groups (u16 size, bytes)* | subject | reply | message
//! Units: sizes in bytes. `message` is headers and payload together, as in HPUB.

use crate::ids::{AccountId, ConnectionId};

const HEAD_SIZE: usize = 56;
const KIND_MESSAGE: u8 = 1;
const KIND_NOT_DELIVERED: u8 = 2;
const KIND_STALL: u8 = 3;
const FLAG_PLAIN: u8 = 1;
const FLAG_HAND_ON: u8 = 2;
const FLAG_ANSWER: u8 = 4;
const FLAG_REPLY: u8 = 8;
const FLAG_HEADERS: u8 = 16;
const FLAG_SERVICE: u8 = 32;

/// A message on its way to another shard.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The account whose subject space it is in.
    pub account: AccountId,
    /// Who published it.
    pub origin: ConnectionId,
    /// The shard it was published on.
    pub origin_shard: u16,
    /// Plain subscriptions get it.
    pub plain: bool,
    /// Looks for a queue member only: another shard could not deliver it.
    pub hand_on: bool,
    /// It came into the account by a service import.
    pub is_from_service: bool,
    /// The origin wants to know when nobody got it. Not 0: the number of its open request. What this
    /// envelope asks for, [`Message::parts`], is answered for by who takes it.
    pub request: u32,
    /// Shards that were asked already (bits); a hand-on goes to others only.
    pub visited: u64,
    /// The subject.
    pub subject: &'a [u8],
    /// The reply subject.
    pub reply: Option<&'a [u8]>,
    /// Size of the header block at the start of `message`; `None` without headers.
    pub header_size: Option<usize>,
    /// Headers and payload.
    pub message: &'a [u8],
}

impl Message<'_> {
    /// What it asks of its target, counted: its plain subscriptions, and each of `groups` groups.
    pub(crate) fn parts(plain: bool, groups: usize) -> u32 {
        u32::from(plain) + u32::try_from(groups).expect("groups of one envelope are far below 2^32")
    }
}

/// The queue groups a message was picked for at this target.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a>(&'a [u8]);

impl<'a> Iterator for Groups<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (size, rest) = self.0.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at(usize::from(u16::from_le_bytes(*size)));
        self.0 = rest;
        Some(name)
    }
}

/// One entry of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Envelope<'a> {
    /// Deliver this to the plain subscriptions (if it says so) and one member of each group.
    Message(Message<'a>, Groups<'a>),
    /// Nobody here got some parts of the request, or all.
    NotDelivered {
        /// Who asked.
        origin: ConnectionId,
        /// The number of the open request.
        request: u32,
        /// How many of its parts.
        parts: u32,
        /// Where it was sent to.
        subject: &'a [u8],
        /// Where the 503 goes.
        reply: &'a [u8],
    },
    /// Hold this publisher for a moment: it feeds a connection that is behind.
    Stall {
        /// Who publishes too fast.
        origin: ConnectionId,
    },
}

struct Head {
    kind: u8,
    flags: u8,
    groups_size: usize,
    account: u32,
    subject_size: usize,
    reply_size: usize,
    header_size: usize,
    message_size: usize,
    request: u32,
    parts: u32,
    origin: u64,
    visited: u64,
    origin_shard: u16,
}

fn u32_of(size: usize) -> u32 {
    u32::try_from(size).expect("a message is far below 4 GiB (max_payload is an int32)")
}

impl Head {
    fn append(&self, out: &mut Vec<u8>) {
        let total = HEAD_SIZE + self.groups_size + self.subject_size + self.reply_size + self.message_size;
        let mut head = [0; HEAD_SIZE];
        head[0..4].copy_from_slice(&u32_of(total).to_le_bytes());
        head[4] = self.kind;
        head[5] = self.flags;
        head[6..8].copy_from_slice(&self.origin_shard.to_le_bytes());
        head[8..12].copy_from_slice(&self.account.to_le_bytes());
        head[12..16].copy_from_slice(&u32_of(self.subject_size).to_le_bytes());
        head[16..20].copy_from_slice(&u32_of(self.reply_size).to_le_bytes());
        head[20..24].copy_from_slice(&u32_of(self.header_size).to_le_bytes());
        head[24..28].copy_from_slice(&u32_of(self.message_size).to_le_bytes());
        head[28..32].copy_from_slice(&self.request.to_le_bytes());
        head[32..40].copy_from_slice(&self.origin.to_le_bytes());
        head[40..48].copy_from_slice(&self.visited.to_le_bytes());
        head[48..52].copy_from_slice(&u32_of(self.groups_size).to_le_bytes());
        head[52..56].copy_from_slice(&self.parts.to_le_bytes());
        out.reserve(total);
        out.extend_from_slice(&head);
    }

    #[inline]
    fn read(bytes: &[u8]) -> (Head, usize) {
        let head: &[u8; HEAD_SIZE] = bytes.first_chunk().expect("a batch holds whole envelopes");
        let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let size = |at: usize| u32_at(at) as usize;
        (
            Head {
                kind: head[4],
                flags: head[5],
                origin_shard: u16::from_le_bytes([head[6], head[7]]),
                account: u32_at(8),
                subject_size: size(12),
                reply_size: size(16),
                header_size: size(20),
                message_size: size(24),
                request: u32_at(28),
                origin: u64_at(32),
                visited: u64_at(40),
                groups_size: size(48),
                parts: u32_at(52),
            },
            size(0),
        )
    }
}

/// Appends a message for `groups` to a batch.
pub(crate) fn append_message<'g>(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    groups: impl Iterator<Item = &'g [u8]> + Clone,
) {
    let mut flags = 0;
    for (set, flag) in [
        (message.plain, FLAG_PLAIN),
        (message.hand_on, FLAG_HAND_ON),
        (message.request != 0, FLAG_ANSWER),
        (message.reply.is_some(), FLAG_REPLY),
        (message.header_size.is_some(), FLAG_HEADERS),
        (message.is_from_service, FLAG_SERVICE),
    ] {
        if set {
            flags |= flag;
        }
    }
    let reply = message.reply.unwrap_or_default();
    Head {
        kind: KIND_MESSAGE,
        flags,
        groups_size: groups.clone().map(|group| 2 + group.len()).sum(),
        account: message.account.0,
        subject_size: message.subject.len(),
        reply_size: reply.len(),
        header_size: message.header_size.unwrap_or(0),
        message_size: message.message.len(),
        request: message.request,
        parts: 0,
        origin: message.origin.0,
        visited: message.visited,
        origin_shard: message.origin_shard,
    }
    .append(out);
    for group in groups {
        let size = u16::try_from(group.len()).expect("a queue name fits the control line of a SUB");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(group);
    }
    out.extend_from_slice(message.subject);
    out.extend_from_slice(reply);
    out.extend_from_slice(message.message);
}

/// Appends the answer that nobody got `parts` of a request.
pub(crate) fn append_not_delivered(
    out: &mut Vec<u8>,
    origin: ConnectionId,
    request: u32,
    parts: u32,
    subject: &[u8],
    reply: &[u8],
) {
    Head {
        kind: KIND_NOT_DELIVERED,
        flags: 0,
        groups_size: 0,
        account: 0,
        subject_size: subject.len(),
        reply_size: reply.len(),
        header_size: 0,
        message_size: 0,
        request,
        parts,
        origin: origin.0,
        visited: 0,
        origin_shard: 0,
    }
    .append(out);
    out.extend_from_slice(subject);
    out.extend_from_slice(reply);
}

/// Appends the wish that a publisher be held for a moment.
pub(crate) fn append_stall(out: &mut Vec<u8>, origin: ConnectionId) {
    Head {
        kind: KIND_STALL,
        flags: 0,
        groups_size: 0,
        account: 0,
        subject_size: 0,
        reply_size: 0,
        header_size: 0,
        message_size: 0,
        request: 0,
        parts: 0,
        origin: origin.0,
        visited: 0,
        origin_shard: 0,
    }
    .append(out);
}

/// The envelopes of a batch, in order.
pub struct Envelopes<'a>(pub &'a [u8]);

impl<'a> Iterator for Envelopes<'a> {
    type Item = Envelope<'a>;

    #[inline]
    fn next(&mut self) -> Option<Envelope<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (head, total) = Head::read(self.0);
        let (envelope, rest) = self.0.split_at(total);
        self.0 = rest;
        let (groups, rest) = envelope[HEAD_SIZE..].split_at(head.groups_size);
        let (subject, rest) = rest.split_at(head.subject_size);
        let (reply, message) = rest.split_at(head.reply_size);
        debug_assert_eq!(message.len(), head.message_size);
        let origin = ConnectionId(head.origin);
        Some(match head.kind {
            KIND_MESSAGE => Envelope::Message(
                Message {
                    account: AccountId(head.account),
                    origin,
                    origin_shard: head.origin_shard,
                    plain: head.flags & FLAG_PLAIN != 0,
                    hand_on: head.flags & FLAG_HAND_ON != 0,
                    is_from_service: head.flags & FLAG_SERVICE != 0,
                    request: if head.flags & FLAG_ANSWER != 0 {
                        head.request
                    } else {
                        0
                    },
                    visited: head.visited,
                    subject,
                    reply: (head.flags & FLAG_REPLY != 0).then_some(reply),
                    header_size: (head.flags & FLAG_HEADERS != 0).then_some(head.header_size),
                    message,
                },
                Groups(groups),
            ),
            KIND_NOT_DELIVERED => Envelope::NotDelivered {
                origin,
                request: head.request,
                parts: head.parts,
                subject,
                reply,
            },
            KIND_STALL => Envelope::Stall { origin },
            kind => unreachable!("envelope kind {kind}: both sides are this file"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is appended is read back, in order, with every field.
    #[test]
    fn batch_reads_back() {
        let mut out = Vec::new();
        let message = Message {
            account: AccountId(7),
            origin: ConnectionId(9),
            origin_shard: 3,
            plain: true,
            hand_on: false,
            is_from_service: true,
            request: 5,
            visited: 0b101,
            subject: b"a.b",
            reply: Some(b"r"),
            header_size: Some(2),
            message: b"hhpayload",
        };
        append_message(&mut out, &message, [b"q1".as_slice(), b"".as_slice()].into_iter());
        append_not_delivered(&mut out, ConnectionId(1), 2, 3, b"s", b"reply");
        append_stall(&mut out, ConnectionId(4));
        let mut read = Envelopes(&out);
        let Some(Envelope::Message(got, groups)) = read.next() else {
            panic!("a message first")
        };
        assert_eq!(format!("{got:?}"), format!("{message:?}"));
        assert_eq!(groups.collect::<Vec<_>>(), [b"q1".as_slice(), b""]);
        let Some(Envelope::NotDelivered {
            origin: ConnectionId(1),
            request: 2,
            parts: 3,
            subject: b"s",
            reply: b"reply",
        }) = read.next()
        else {
            panic!("then the answer")
        };
        let Some(Envelope::Stall {
            origin: ConnectionId(4),
        }) = read.next()
        else {
            panic!("then the stall")
        };
        assert!(read.next().is_none());
    }
}
