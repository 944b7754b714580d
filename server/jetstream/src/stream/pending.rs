//! What is in the log and not yet applied: the state that checks have to see beside what is stored.
//!
//! Owns: the foreseen outcome of entries that store messages. An entry whose outcome is not foreseen (purge, delete, rollup,
//! change of the configuration) makes later checks wait until it is applied, if they depend on it.
//! All of it goes when nothing is pending any more, or when the log drops what was pending.

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::entry::{Entry, Message};
use super::headers::PublishHeaders;

/// Sources of a counter: by stream, by subject, their last value.
pub(crate) type CounterSources = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: u64,
    /// Entries whose outcome is not foreseen.
    unforeseen: u64,
    /// One of them was applied, so that what is foreseen of those behind it may be off.
    is_tainted: bool,
    messages: u64,
    bytes: u64,
    subjects: BTreeMap<Vec<u8>, Subject>,
    msg_ids: BTreeMap<Vec<u8>, u64>,
    last_msg_id: Option<Vec<u8>>,
}

/// What is pending for one subject.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) last_seq: u64,
    pub(super) messages: u64,
    /// The total of a counter, and its sources.
    pub(super) counter: Option<(Decimal, CounterSources)>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn is_unforeseen(&self) -> bool {
        self.unforeseen > 0 || self.is_tainted
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn subject(&self, subject: &[u8]) -> Option<&Subject> {
        self.subjects.get(subject)
    }

    pub(super) fn msg_id(&self, id: &[u8]) -> Option<u64> {
        self.msg_ids.get(id).copied()
    }

    pub(super) fn last_msg_id(&self) -> Option<&[u8]> {
        self.last_msg_id.as_deref()
    }

    /// A message goes into the log; it will get this sequence and take so many bytes.
    pub(super) fn add_message(
        &mut self,
        message: &Message,
        seq: u64,
        bytes: u64,
        counter: Option<(Decimal, CounterSources)>,
    ) {
        let headers = PublishHeaders::parse(&message.headers);
        self.entries += 1;
        self.messages += 1;
        self.bytes += bytes;
        self.unforeseen += u64::from(is_unforeseen(&headers));
        if let Some(id) = headers.msg_id {
            self.msg_ids.insert(id.to_vec(), seq);
        }
        self.last_msg_id = Some(headers.msg_id.unwrap_or_default().to_vec());
        let subject = self.subjects.entry(message.subject.clone()).or_default();
        subject.last_seq = seq;
        subject.messages += 1;
        subject.counter = counter;
    }

    /// Any other entry goes into the log.
    pub(super) fn add_other(&mut self, entry: &Entry) {
        assert!(
            !matches!(entry, Entry::Message(_)),
            "messages say what they will be"
        );
        self.entries += 1;
        self.unforeseen += 1;
    }

    /// A message was applied under this sequence.
    pub(super) fn message_applied(&mut self, message: &Message, seq: u64, bytes: u64) {
        if self.entries == 0 {
            return;
        }
        let headers = PublishHeaders::parse(&message.headers);
        self.messages -= 1;
        self.bytes -= bytes;
        if let Some(id) = headers.msg_id.filter(|id| self.msg_ids.get(*id) == Some(&seq)) {
            self.msg_ids.remove(id);
        }
        if let Some(subject) = self.subjects.get_mut(&message.subject) {
            subject.messages -= 1;
            if subject.messages == 0 {
                self.subjects.remove(&message.subject);
            }
        }
        self.applied(is_unforeseen(&headers));
    }

    /// Any other entry was applied.
    pub(super) fn other_applied(&mut self) {
        if self.entries > 0 {
            self.applied(true);
        }
    }

    fn applied(&mut self, unforeseen: bool) {
        self.unforeseen -= u64::from(unforeseen);
        self.is_tainted |= unforeseen;
        self.entries -= 1;
        if self.entries == 0 {
            assert_eq!(
                (self.messages, self.bytes, self.unforeseen),
                (0, 0, 0),
                "nothing is left over"
            );
            *self = Self::default();
        }
    }
}

/// Whether more than the message itself changes.
fn is_unforeseen(headers: &PublishHeaders<'_>) -> bool {
    headers.rollup.is_some() || headers.schedule_next.is_some()
}
