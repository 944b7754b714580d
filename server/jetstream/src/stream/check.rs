//! Whether a publish becomes an entry: every header, every limit, in the order the peer looks at them.
//!
//! Owns: the checks of a message by itself; those of a batch are in `batch`. Not here: what the entry does (`state`).
//!
//! Checks see what is stored and what is pending in the log. Where a pending entry's outcome is not foreseen and the check
//! depends on it, the publish waits until nothing is pending, and so does what was published behind it.

use std::borrow::Cow;
use std::rc::Rc;

use pinion_shard::io::WallTime;
use pinion_shard::proto::headers as block;
use pinion_shard::subject;
use pinion_shard::subject::wildcard::collides;
use pinion_storage::index::Filter;
use pinion_storage::stream_store::{Load, StoredMessage};

use super::ack::{self, Detail};
use super::config::{Discard, Retention};
use super::counter::{self, Total};
use super::decimal::Decimal;
use super::entry::{Entry, Message};
use super::headers::{self, PublishHeaders, Rollup, Ttl};
use super::schedule;
use super::state::{Effect, Stream};
use crate::error::{self, ApiError, ErrorKind};

/// Bytes of a stored header block.
const HEADERS_SIZE_MAX: usize = 65_535;

/// A message that came in for a stream.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// Where the answer goes; empty for none.
    pub reply: &'a [u8],
    /// Its header block, or nothing.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
    /// When it came.
    pub now: WallTime,
    /// Chance, for transforms that spread.
    pub random: u64,
    /// Who made it.
    pub origin: Origin,
}

/// Who made a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client,
    /// This server, from what a stream holds: a schedule or a source. What clients must not say it may.
    Stream,
}

/// What a publish must fit into beside the stream's configuration.
#[derive(Clone, Copy, Debug)]
pub struct PublishLimits {
    /// The server's `max_payload`, for messages that this server makes longer.
    pub max_payload: usize,
    /// Whether the server has no room left.
    pub is_server_full: bool,
    /// Bytes that the account may still store; `None` is no limit.
    pub account_bytes_left: Option<u64>,
    /// Messages of an atomic batch.
    pub batch_size_max: u64,
    /// Atomic batches of one stream that are open at the same time.
    pub batches_max: usize,
    /// Whether the server has as many open atomic batches as it may.
    pub are_batches_full: bool,
}

/// What comes next for a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These go into the log, in this order with nothing between them; the stream knows that they are pending.
    Propose(Vec<Entry>),
    /// That was all; effects hold the answer, which may leave when everything now pending is durable.
    Done,
    /// Ask again when nothing is pending for the stream.
    Wait,
    /// Ask again when this message is in the cache.
    Cold(u64),
}

/// Why a message does not become an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Error(ApiError),
    /// It was stored already, under this sequence.
    Duplicate(u64),
    Wait,
    Cold(u64),
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self::Error(kind.into())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// A message on its way through the checks; some of them change it.
pub(super) struct Candidate<'a> {
    pub(super) subject: Vec<u8>,
    pub(super) headers: Cow<'a, [u8]>,
    pub(super) payload: Cow<'a, [u8]>,
    pub(super) schedule_at: Option<WallTime>,
    /// The new total, if it is a counter.
    pub(super) counter: Option<Total>,
    pub(super) now: WallTime,
    pub(super) origin: Origin,
}

impl Stream {
    /// Checks a publish. Answers go to `out`.
    pub fn publish(&mut self, publish: &Publish<'_>, limits: &PublishLimits, out: &mut Vec<Effect>) -> Next {
        let mut candidate = self.candidate(publish);
        let found = PublishHeaders::parse(publish.headers);
        if found.batch_id.is_some() && publish.origin == Origin::Client {
            return self.publish_in_batch(publish, &candidate, limits, out);
        }
        match self.check(&mut candidate, limits) {
            Ok(()) => {
                let message = self.accept(candidate, publish.reply);
                Next::Propose(vec![Entry::Message(message)])
            }
            Err(refusal) => self.refuse(publish.reply, refusal, out),
        }
    }

    fn candidate<'a>(&self, publish: &Publish<'a>) -> Candidate<'a> {
        let mut subject = Vec::new();
        let transformed = match &self.input {
            Some(transform) => transform
                .transform(publish.subject, publish.random, &mut subject)
                .is_ok(),
            None => false,
        };
        if !transformed {
            subject.clear();
            subject.extend_from_slice(publish.subject);
        }
        let mut headers = Cow::Borrowed(publish.headers);
        if block::status(&headers).is_some() || headers.starts_with(b"NATS/1.0 ") {
            block::remove_status(headers.to_mut());
        }
        if PublishHeaders::parse(&headers).has_request_info {
            block::remove(headers.to_mut(), headers::REQUEST_INFO);
        }
        Candidate {
            subject,
            headers,
            payload: Cow::Borrowed(publish.payload),
            schedule_at: None,
            counter: None,
            now: publish.now,
            origin: publish.origin,
        }
    }

    /// The message of the entry, noted as pending.
    pub(super) fn accept(&mut self, candidate: Candidate<'_>, reply: &[u8]) -> Message {
        let message = Message {
            time: candidate.now,
            subject: candidate.subject,
            reply: if self.config.no_ack {
                Vec::new()
            } else {
                reply.to_vec()
            },
            headers: candidate.headers.into_owned(),
            payload: candidate.payload.into_owned(),
            schedule_at: candidate.schedule_at,
            batch: None,
        };
        let size = self.size_of(&message);
        let seq = self.last_seq() + 1;
        self.pending.add_message(&message, seq, size, candidate.counter);
        message
    }

    pub(super) fn refuse(&self, reply: &[u8], refusal: Refusal, out: &mut Vec<Effect>) -> Next {
        let body = match refusal {
            Refusal::Error(error) => ack::refused(&self.config.name, &error),
            Refusal::Duplicate(seq) => ack::stored(&self.ack_prefix, seq, &Detail::Duplicate),
            Refusal::Wait => return Next::Wait,
            Refusal::Cold(seq) => return Next::Cold(seq),
        };
        self.answer(reply, body, out);
        Next::Done
    }

    pub(super) fn answer(&self, reply: &[u8], body: Vec<u8>, out: &mut Vec<Effect>) {
        if !self.config.no_ack && !reply.is_empty() {
            out.push(Effect::Reply {
                subject: reply.to_vec(),
                body,
            });
        }
    }

    /// The last sequence, with what is pending.
    pub(super) fn last_seq(&self) -> u64 {
        self.store.state().last_seq + self.pending.messages()
    }

    fn check(&self, candidate: &mut Candidate<'_>, limits: &PublishLimits) -> Result<(), Refusal> {
        if self.config.sealed {
            return Err(error::STREAM_SEALED.into());
        }
        let headers = candidate.headers.clone();
        let found = PublishHeaders::parse(&headers);
        let increment = self.check_increment(&found, candidate)?;
        self.check_expected_stream(&found)?;
        self.check_ttl_allowed(&found, candidate.origin)?;
        self.check_expected_subject_seq(&found, candidate)?;
        if let Some(expected) = found.expected_last_seq {
            let last = self.foreseen_last_seq()?;
            if expected != last {
                return Err(error::STREAM_WRONG_LAST_SEQUENCE.with(last).into());
            }
        }
        self.check_schedule(&found, candidate)?;
        self.check_scheduler(&found, candidate)?;
        self.check_duplicate(&found, candidate.now)?;
        if let Some(expected) = found.expected_last_msg_id {
            let last = self.pending.last_msg_id().unwrap_or(&self.last_msg_id);
            if expected != last {
                let last = String::from_utf8_lossy(last);
                return Err(error::STREAM_WRONG_LAST_MSG_ID.with(last).into());
            }
        }
        self.check_rollup(&found, candidate.origin)?;
        if increment.is_none() && self.config.allow_msg_counter {
            return Err(error::MESSAGE_INCR_MISSING.into());
        }
        if let Some(increment) = increment.filter(|_| self.config.allow_msg_counter) {
            let total = self.counter_total(&candidate.subject)?;
            self.count(candidate, &found, increment, total)?;
            if candidate.headers.len() + candidate.payload.len() > limits.max_payload {
                return Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM.into());
            }
        }
        self.check_size(candidate.headers.len(), candidate.payload.len())?;
        if candidate.headers.len() > HEADERS_SIZE_MAX {
            return Err(error::STREAM_HEADER_EXCEEDS_MAXIMUM.into());
        }
        self.check_room(candidate, limits)?;
        self.lengthen_ttl(&found, candidate)?;
        let size = self.candidate_size(candidate);
        self.check_discard_new(&candidate.subject, size, found.rollup.is_some())
    }

    pub(super) fn candidate_size(&self, candidate: &Candidate<'_>) -> u64 {
        self.store.message_size(
            candidate.subject.len(),
            candidate.headers.len(),
            candidate.payload.len(),
        )
    }

    /// The increment of a counter, if there is one.
    pub(super) fn check_increment(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
    ) -> Result<Option<Decimal>, Refusal> {
        let Some(text) = found.incr else {
            return Ok(None);
        };
        let increment = Decimal::parse(text).ok_or(error::MESSAGE_INCR_INVALID)?;
        if candidate.origin == Origin::Stream {
            return Ok(Some(increment));
        }
        if !self.config.allow_msg_counter {
            return Err(error::MESSAGE_INCR_DISABLED.into());
        }
        if !candidate.payload.is_empty() {
            return Err(error::MESSAGE_INCR_PAYLOAD.into());
        }
        let conflicts = found.rollup.is_some()
            || found.expected_stream.is_some()
            || found.expected_last_msg_id.is_some()
            || found.expected_last_subject_seq_subject.is_some()
            || found.expected_last_seq.is_some()
            || found.expected_last_subject_seq.is_some();
        if conflicts {
            return Err(error::MESSAGE_INCR_INVALID.into());
        }
        Ok(Some(increment))
    }

    pub(super) fn check_expected_stream(&self, found: &PublishHeaders<'_>) -> Result<(), Refusal> {
        match found.expected_stream {
            Some(expected) if expected != self.config.name.as_bytes() => Err(error::STREAM_NOT_MATCH.into()),
            _ => Ok(()),
        }
    }

    fn check_ttl_allowed(&self, found: &PublishHeaders<'_>, origin: Origin) -> Result<(), Refusal> {
        let has_ttl = matches!(Ttl::parse(found.ttl), Ok(Ttl::Seconds(_) | Ttl::Never));
        if has_ttl && origin == Origin::Client && !self.config.allow_msg_ttl {
            return Err(error::MESSAGE_TTL_DISABLED.into());
        }
        Ok(())
    }

    fn check_expected_subject_seq(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
    ) -> Result<(), Refusal> {
        let Some(expected) = found.expected_last_subject_seq else {
            return match found.expected_last_subject_seq_subject {
                Some(_) => Err(error::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.into()),
                None => Ok(()),
            };
        };
        let filter = found
            .expected_last_subject_seq_subject
            .unwrap_or(&candidate.subject);
        let last = self.foreseen_last_of(filter)?;
        if expected != last {
            return Err(error::STREAM_WRONG_LAST_SEQUENCE.with(last).into());
        }
        Ok(())
    }

    /// The last sequence, if it is foreseen.
    fn foreseen_last_seq(&self) -> Result<u64, Refusal> {
        if self.pending.is_unforeseen() {
            return Err(Refusal::Wait);
        }
        Ok(self.last_seq())
    }

    /// The last sequence of the subjects that match, 0 for none.
    pub(super) fn foreseen_last_of(&self, filter: &[u8]) -> Result<u64, Refusal> {
        if !self.pending.is_empty() {
            let known =
                !self.pending.is_unforeseen() && subject::is_literal(filter) && !self.drops_at_limits();
            if !known {
                return Err(Refusal::Wait);
            }
            if let Some(pending) = self.pending.subject(filter) {
                return Ok(pending.last_seq);
            }
        }
        Ok(self.store.last(&Filter::new(filter)).unwrap_or(0))
    }

    /// Whether what is pending makes stored messages go.
    fn drops_at_limits(&self) -> bool {
        let state = self.store.state();
        let over =
            |limit: i64, value: u64| u64::try_from(limit).is_ok_and(|limit| limit > 0 && value > limit);
        over(self.config.max_msgs, state.messages + self.pending.messages())
            || over(self.config.max_bytes, state.bytes + self.pending.bytes())
            || self.config.retention != Retention::Limits
    }

    pub(super) fn load(&self, seq: u64) -> Result<Option<Rc<StoredMessage>>, Refusal> {
        match self.store.load(seq) {
            Load::Found(message) => Ok(Some(message)),
            Load::Missing => Ok(None),
            Load::Cold => Err(Refusal::Cold(seq)),
        }
    }

    /// The last stored message of a literal subject, with nothing pending for it.
    fn load_last(&self, of: &[u8]) -> Result<Option<Rc<StoredMessage>>, Refusal> {
        match self.foreseen_last_of(of)? {
            0 => Ok(None),
            seq if seq > self.store.state().last_seq => Err(Refusal::Wait),
            seq => self.load(seq),
        }
    }

    pub(super) fn check_schedule(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &mut Candidate<'_>,
    ) -> Result<(), Refusal> {
        let next = schedule::next(found, candidate.now, candidate.now);
        if candidate.origin == Origin::Stream {
            candidate.schedule_at = next.ok().flatten().map(|next| next.at);
            return Ok(());
        }
        let allowed = self.config.allow_msg_schedules;
        let Some(next) = next.map_err(|kind| {
            if allowed {
                kind
            } else {
                error::MESSAGE_SCHEDULES_DISABLED
            }
        })?
        else {
            return Ok(());
        };
        if !allowed {
            return Err(error::MESSAGE_SCHEDULES_DISABLED.into());
        }
        if Ttl::parse(found.schedule_ttl).is_err() {
            return Err(error::MESSAGE_SCHEDULES_TTL_INVALID.into());
        }
        if found
            .schedule_rollup
            .is_some_and(|rollup| !rollup.eq_ignore_ascii_case(headers::ROLLUP_SUBJECT))
        {
            return Err(error::MESSAGE_SCHEDULES_ROLLUP_INVALID.into());
        }
        if found.schedule_ttl.is_some() && !self.config.allow_msg_ttl {
            return Err(error::MESSAGE_TTL_DISABLED.into());
        }
        let takes = |subject: &[u8]| {
            let mut subjects = self.config.subjects.iter();
            subjects.any(|own| collides(own.as_bytes(), subject))
        };
        let own = candidate.subject.as_slice();
        let target = found.schedule_target.unwrap_or_default();
        if target.is_empty() || !subject::is_valid_publish(target) || target == own {
            return Err(error::MESSAGE_SCHEDULES_TARGET_INVALID.into());
        }
        if let Some(source) = found.schedule_source {
            if source == target || source == own || !subject::is_valid_publish(source) {
                return Err(error::MESSAGE_SCHEDULES_SOURCE_INVALID.into());
            }
        }
        if !takes(target) {
            return Err(error::MESSAGE_SCHEDULES_TARGET_INVALID.into());
        }
        if found.schedule_source.is_some_and(|source| !takes(source)) {
            return Err(error::MESSAGE_SCHEDULES_SOURCE_INVALID.into());
        }
        match found.rollup {
            None => block::append(
                candidate.headers.to_mut(),
                headers::ROLLUP,
                headers::ROLLUP_SUBJECT,
            ),
            Some(rollup) if rollup.eq_ignore_ascii_case(headers::ROLLUP_SUBJECT) => {}
            Some(_) => return Err(error::MESSAGE_SCHEDULES_ROLLUP_INVALID.into()),
        }
        candidate.schedule_at = Some(next.at);
        Ok(())
    }

    /// Clients may end a schedule, and nothing else that schedules say.
    pub(super) fn check_scheduler(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
    ) -> Result<(), Refusal> {
        if candidate.origin == Origin::Stream {
            return Ok(());
        }
        let invalid = || Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID.into());
        let Some(next) = found.schedule_next else {
            return if found.scheduler.is_some() {
                invalid()
            } else {
                Ok(())
            };
        };
        let Some(scheduler) = found.scheduler.filter(|_| next == headers::NEXT_PURGE) else {
            return invalid();
        };
        if scheduler == candidate.subject || !subject::is_valid_publish(scheduler) {
            return invalid();
        }
        if !self.config.allow_msg_schedules {
            return Err(error::MESSAGE_SCHEDULES_DISABLED.into());
        }
        match self.load_last(scheduler)? {
            Some(message) if PublishHeaders::parse(message.headers()).schedule.is_none() => invalid(),
            _ => Ok(()),
        }
    }

    fn check_duplicate(&self, found: &PublishHeaders<'_>, now: WallTime) -> Result<(), Refusal> {
        let Some(id) = found.msg_id.filter(|_| self.config.mirror.is_none()) else {
            return Ok(());
        };
        if let Some(seq) = self
            .pending
            .msg_id(id)
            .filter(|_| self.config.duplicate_window > 0)
        {
            if self.pending.is_unforeseen() {
                return Err(Refusal::Wait);
            }
            return Err(Refusal::Duplicate(seq));
        }
        match self.msg_ids.get(id, now, self.config.duplicate_window) {
            Some(seq) => Err(Refusal::Duplicate(seq)),
            None => Ok(()),
        }
    }

    pub(super) fn check_rollup(
        &self,
        found: &PublishHeaders<'_>,
        origin: Origin,
    ) -> Result<Option<Rollup>, Refusal> {
        let failed = |text: String| Err(error::STREAM_ROLLUP_FAILED.with(text).into());
        let Some(scope) = found.rollup_scope() else {
            return Ok(None);
        };
        if !self.allows_rollup() && origin == Origin::Client {
            return failed("rollup not permitted".to_owned());
        }
        match scope {
            Ok(scope) => Ok(Some(scope)),
            Err(value) => failed(format!("rollup value invalid: {}", crate::json::quote(&value))),
        }
    }

    /// The total of a counter, with what is pending.
    pub(super) fn counter_total(&self, of: &[u8]) -> Result<Total, Refusal> {
        if let Some(counter) = self
            .pending
            .subject(of)
            .and_then(|pending| pending.counter.as_ref())
        {
            if !self.pending.is_unforeseen() && !self.drops_at_limits() {
                return Ok(counter.clone());
            }
        }
        match self.load_last(of)? {
            None => Ok(Total::default()),
            Some(message) => {
                counter::stored_total(&message).map_err(|_| error::MESSAGE_COUNTER_BROKEN.into())
            }
        }
    }

    pub(super) fn count(
        &self,
        candidate: &mut Candidate<'_>,
        found: &PublishHeaders<'_>,
        increment: Decimal,
        total: Total,
    ) -> Result<(), Refusal> {
        let mut headers = candidate.headers.to_vec();
        let sum = counter::add(
            total,
            increment,
            found,
            &candidate.subject,
            &candidate.payload,
            &mut headers,
        );
        let (total, payload) = sum.map_err(|_| error::MESSAGE_COUNTER_BROKEN)?;
        candidate.headers = Cow::Owned(headers);
        candidate.payload = Cow::Owned(payload);
        candidate.counter = Some(total);
        Ok(())
    }

    pub(super) fn check_size(&self, headers: usize, payload: usize) -> Result<(), Refusal> {
        match usize::try_from(self.config.max_msg_size) {
            Ok(max) if headers + payload > max => Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM.into()),
            _ => Ok(()),
        }
    }

    /// Whether server and account have room.
    pub(super) fn check_room(
        &self,
        candidate: &Candidate<'_>,
        limits: &PublishLimits,
    ) -> Result<(), Refusal> {
        if limits.is_server_full {
            return Err(error::INSUFFICIENT_RESOURCES.into());
        }
        match limits.account_bytes_left {
            Some(left) if self.candidate_size(candidate) > left => {
                Err(error::ACCOUNT_RESOURCES_EXCEEDED.into())
            }
            _ => Ok(()),
        }
    }

    /// A message must not go before the marker that a subject may have by then.
    fn lengthen_ttl(&self, found: &PublishHeaders<'_>, candidate: &mut Candidate<'_>) -> Result<(), Refusal> {
        let ttl = Ttl::parse(found.ttl).map_err(|_| error::MESSAGE_TTL_INVALID)?;
        let least = u64::try_from(self.config.subject_delete_marker_ttl / 1_000_000_000).unwrap_or(0);
        if self.config.max_msgs_per_subject == 1 {
            return Ok(());
        }
        if matches!(ttl, Ttl::Seconds(seconds) if seconds < least) {
            let headers = candidate.headers.to_mut();
            block::remove(headers, headers::TTL);
            block::append(headers, headers::TTL, least.to_string().as_bytes());
        }
        Ok(())
    }

    /// Whether the stream is full, where that refuses new messages.
    pub(super) fn check_discard_new(&self, of: &[u8], size: u64, is_rollup: bool) -> Result<(), Refusal> {
        let config = &self.config;
        if config.discard != Discard::New {
            return Ok(());
        }
        // At the limit of a subject a message takes the place of another, so what is pending does not add up.
        let adds_up = config.max_msgs_per_subject <= 0 || self.pending.is_empty();
        if self.pending.is_unforeseen() || !adds_up {
            return Err(Refusal::Wait);
        }
        let full = |text: &str| Err(error::STREAM_STORE_FAILED.with(text).into());
        let limit = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let state = self.store.state();
        let subject = self.store.subject(of);
        let stored = subject.map_or(0, |subject| subject.messages);
        let is_subject_full = limit(config.max_msgs_per_subject).is_some_and(|max| stored >= max);
        if is_subject_full && config.discard_new_per_subject && !is_rollup {
            return full("maximum messages per subject exceeded");
        }
        let messages = state.messages + self.pending.messages();
        if limit(config.max_msgs).is_some_and(|max| messages >= max) && !is_subject_full {
            return full("maximum messages exceeded");
        }
        let bytes = state.bytes + self.pending.bytes() + size;
        if limit(config.max_bytes).is_some_and(|max| bytes > max) {
            // At the subject's limit its first message makes room.
            let freed = match subject.filter(|_| is_subject_full) {
                Some(subject) => self.load(subject.first_seq)?.map_or(0, |first| {
                    let (headers, payload) = (first.headers().len(), first.payload().len());
                    self.store.message_size(of.len(), headers, payload)
                }),
                None => 0,
            };
            if freed < size {
                return full("maximum bytes exceeded");
            }
        }
        Ok(())
    }
}
