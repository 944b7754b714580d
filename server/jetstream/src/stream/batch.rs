//! Atomic batches: messages that are stored all together or not at all.
//!
//! Owns: the batches that are not committed yet, in this server's memory only, and the checks of a batch as a whole. Not
//! here: storing them (`state`); a committed batch is entries that follow one another.
//! A batch that is not committed is gone with the server, as its publisher was never told otherwise.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pinion_shard::io::WallTime;
use pinion_shard::proto::headers as block;

use super::check::{Candidate, Next, Origin, Publish, PublishLimits, Refusal};
use super::config::Discard;
use super::counter::Total;
use super::entry::{BatchPart, Entry};
use super::headers::{self, parse_u64, PublishHeaders, Rollup, Ttl};
use super::state::{Effect, Stream};
use crate::error::{self, ApiError};

/// Bytes of a batch's id.
const ID_SIZE_MAX: usize = 64;
/// A batch that nothing was added to for so long is dropped.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a batch came to nothing: the words of the advisory.
const REASON_TIMEOUT: &str = "timeout";
const REASON_LARGE: &str = "large";
const REASON_INCOMPLETE: &str = "incomplete";
const REASON_UNSUPPORTED: &str = "unsupported";

/// The open batches of a stream.
#[derive(Debug, Default)]
pub(super) struct StagedBatches {
    by_id: BTreeMap<Vec<u8>, Staged>,
}

#[derive(Debug)]
struct Staged {
    messages: Vec<StagedMessage>,
    deadline: WallTime,
}

#[derive(Clone, Debug)]
struct StagedMessage {
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl StagedBatches {
    /// When the first one is dropped.
    pub(super) fn next_deadline(&self) -> Option<WallTime> {
        self.by_id.values().map(|staged| staged.deadline).min()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Drops those whose time is over.
    pub(super) fn drop_due(&mut self, now: WallTime, out: &mut Vec<Effect>) {
        self.by_id.retain(|id, staged| {
            let keep = staged.deadline > now;
            if !keep {
                out.push(abandoned(id, REASON_TIMEOUT));
            }
            keep
        });
    }
}

fn abandoned(id: &[u8], reason: &'static str) -> Effect {
    Effect::BatchAbandoned {
        id: String::from_utf8_lossy(id).into_owned(),
        reason,
    }
}

/// What the messages of a batch change for those behind them.
#[derive(Default)]
struct Diff {
    subjects: BTreeMap<Vec<u8>, InBatch>,
    msg_ids: BTreeSet<Vec<u8>>,
    messages: u64,
    bytes: u64,
}

#[derive(Default)]
struct InBatch {
    messages: u64,
    is_schedule: bool,
    counter: Option<Total>,
}

impl Stream {
    /// Takes one message of a batch; with the last one, the whole batch is checked.
    pub(super) fn publish_in_batch(
        &mut self,
        publish: &Publish<'_>,
        candidate: &Candidate<'_>,
        limits: &PublishLimits,
        out: &mut Vec<Effect>,
    ) -> Next {
        match self.stage(publish, candidate, limits, out) {
            Ok(next) => next,
            Err(refusal) => self.refuse(publish.reply, refusal, out),
        }
    }

    fn stage(
        &mut self,
        publish: &Publish<'_>,
        candidate: &Candidate<'_>,
        limits: &PublishLimits,
        out: &mut Vec<Effect>,
    ) -> Result<Next, Refusal> {
        if self.config.sealed {
            return Err(error::STREAM_SEALED.into());
        }
        self.check_room(candidate, limits)?;
        self.check_size(publish.headers.len(), publish.payload.len())?;
        if !self.config.allow_atomic {
            return Err(error::ATOMIC_PUBLISH_DISABLED.into());
        }
        let found = PublishHeaders::parse(publish.headers);
        let id = found.batch_id.expect("the caller looked");
        if id.len() > ID_SIZE_MAX {
            return Err(error::ATOMIC_PUBLISH_INVALID_BATCH_ID.into());
        }
        let Some(seq) = found.batch_seq.and_then(parse_u64) else {
            return Err(error::ATOMIC_PUBLISH_MISSING_SEQ.into());
        };
        let is_end_only = found.batch_commit == Some(b"eob");
        let size = seq - u64::from(is_end_only && seq > 0);
        let too_large = || Refusal::Error(error::ATOMIC_PUBLISH_TOO_LARGE_BATCH.with(limits.batch_size_max));
        if !self.staged.by_id.contains_key(id) {
            if seq != 1 {
                return Err(if size > limits.batch_size_max {
                    too_large()
                } else {
                    error::ATOMIC_PUBLISH_INCOMPLETE_BATCH.into()
                });
            }
            if self.staged.len() >= limits.batches_max || limits.are_batches_full {
                return Err(error::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT.into());
            }
        }
        let mut staged = self.staged.by_id.remove(id).unwrap_or(Staged {
            messages: Vec::new(),
            deadline: publish.now,
        });
        if found
            .batch_commit
            .is_some_and(|commit| commit != b"1" && commit != b"eob")
        {
            return Err(error::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT.into());
        }
        if !found.is_api_level_met() {
            out.push(abandoned(id, REASON_UNSUPPORTED));
            return Err(error::REQUIRED_API_LEVEL.into());
        }
        if seq != staged.messages.len() as u64 + 1 || (seq == 1 && is_end_only) {
            out.push(abandoned(id, REASON_INCOMPLETE));
            return Err(error::ATOMIC_PUBLISH_INCOMPLETE_BATCH.into());
        }
        if size > limits.batch_size_max {
            out.push(abandoned(id, REASON_LARGE));
            return Err(too_large());
        }
        let is_commit = found.batch_commit.is_some();
        if is_commit && !self.pending.is_empty() {
            // The whole batch is checked against what is stored.
            self.staged.by_id.insert(id.to_vec(), staged);
            return Err(Refusal::Wait);
        }
        if !is_end_only {
            let mut headers = candidate.headers.to_vec();
            block::remove(&mut headers, headers::REQUIRED_API_LEVEL);
            staged.messages.push(StagedMessage {
                subject: candidate.subject.clone(),
                headers,
                payload: publish.payload.to_vec(),
            });
        }
        if !is_commit {
            staged.deadline = publish.now + TIMEOUT;
            self.staged.by_id.insert(id.to_vec(), staged);
            self.answer(publish.reply, Vec::new(), out);
            return Ok(Next::Done);
        }
        let committed = self.commit(publish, &staged, is_end_only, limits);
        if matches!(committed, Err(Refusal::Cold(_))) {
            // It is asked again with the same message, so the batch is as it was before.
            if !is_end_only {
                staged.messages.pop();
            }
            self.staged.by_id.insert(id.to_vec(), staged);
        }
        committed
    }

    fn commit(
        &mut self,
        publish: &Publish<'_>,
        staged: &Staged,
        is_end_only: bool,
        limits: &PublishLimits,
    ) -> Result<Next, Refusal> {
        let mut diff = Diff::default();
        let mut checked = Vec::with_capacity(staged.messages.len());
        for message in &staged.messages {
            let mut candidate = Candidate {
                subject: message.subject.clone(),
                headers: Cow::Borrowed(&message.headers),
                payload: Cow::Borrowed(&message.payload),
                schedule_at: None,
                counter: None,
                now: publish.now,
                origin: Origin::Client,
            };
            self.check_in_batch(&mut candidate, &mut diff, limits)?;
            checked.push(candidate);
        }
        let last = checked.len();
        let mut entries = Vec::with_capacity(last);
        for (index, candidate) in checked.into_iter().enumerate() {
            let is_last = index + 1 == last;
            let mut candidate = candidate;
            if is_last && is_end_only {
                block::append(candidate.headers.to_mut(), headers::BATCH_COMMIT, b"1");
            }
            let mut message = self.accept(candidate, if is_last { publish.reply } else { b"" });
            message.batch = Some(BatchPart {
                seq: index as u64 + 1,
                commit: is_last,
            });
            entries.push(Entry::Message(message));
        }
        Ok(Next::Propose(entries))
    }

    /// The checks of one message of a batch, with what the messages before it change. Nothing is pending.
    fn check_in_batch(
        &self,
        candidate: &mut Candidate<'_>,
        diff: &mut Diff,
        limits: &PublishLimits,
    ) -> Result<(), Refusal> {
        let headers = candidate.headers.to_vec();
        let found = PublishHeaders::parse(&headers);
        if found.expected_last_msg_id.is_some() {
            let error: ApiError =
                error::ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH.with(headers::EXPECTED_LAST_MSG_ID);
            return Err(error.into());
        }
        let increment = self.check_increment(&found, candidate)?;
        self.check_expected_stream(&found)?;
        match Ttl::parse(found.ttl) {
            Ok(Ttl::None) => {}
            _ if !self.config.allow_msg_ttl => return Err(error::MESSAGE_TTL_DISABLED.into()),
            Err(_) => return Err(error::MESSAGE_TTL_INVALID.into()),
            Ok(_) => {}
        }
        if let Some(id) = found.msg_id {
            let known = self.msg_ids.get(id, candidate.now, self.config.duplicate_window);
            if known.is_some() || !diff.msg_ids.insert(id.to_vec()) {
                return Err(error::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE.into());
            }
        }
        if increment.is_none() && self.config.allow_msg_counter {
            return Err(error::MESSAGE_INCR_MISSING.into());
        }
        if let Some(increment) = increment {
            let before = diff.subjects.get(&candidate.subject);
            let total = match before.and_then(|before| before.counter.clone()) {
                Some(total) => total,
                None => self.counter_total(&candidate.subject)?,
            };
            self.count(candidate, &found, increment, total)?;
            let size = candidate.headers.len() + candidate.payload.len();
            let own_max = usize::try_from(self.config.max_msg_size).unwrap_or(usize::MAX);
            if size > limits.max_payload.min(own_max) {
                return Err(error::STREAM_MESSAGE_EXCEEDS_MAXIMUM.into());
            }
        }
        self.check_expected_in_batch(&found, candidate, diff)?;
        self.check_schedule(&found, candidate)?;
        self.check_scheduler_in_batch(&found, candidate, diff)?;
        self.check_rollup_in_batch(&found, candidate, diff)?;
        let size = self.candidate_size(candidate);
        diff.messages += 1;
        diff.bytes += size;
        let in_batch = diff.subjects.entry(candidate.subject.clone()).or_default();
        in_batch.messages += 1;
        in_batch.is_schedule = candidate.schedule_at.is_some();
        in_batch.counter.clone_from(&candidate.counter);
        let of_subject = in_batch.messages;
        self.check_discard_new_in_batch(&found, candidate, diff, of_subject)
    }

    fn check_expected_in_batch(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
        diff: &Diff,
    ) -> Result<(), Refusal> {
        let constant = || Err(error::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.into());
        let wrong = |last: u64| Err(error::STREAM_WRONG_LAST_SEQUENCE.with(last).into());
        if let Some(expected) = found.expected_last_seq {
            let last = self.last_seq() + diff.messages;
            if expected != last {
                return wrong(last);
            }
            if diff.messages > 0 {
                return constant();
            }
        }
        let Some(expected) = found.expected_last_subject_seq else {
            return match found.expected_last_subject_seq_subject {
                Some(_) => Err(error::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.into()),
                None => Ok(()),
            };
        };
        let filter = found
            .expected_last_subject_seq_subject
            .unwrap_or(&candidate.subject);
        if diff.subjects.contains_key(filter) {
            return constant();
        }
        match self.foreseen_last_of(filter)? {
            last if last == expected => Ok(()),
            last => wrong(last),
        }
    }

    fn check_scheduler_in_batch(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
        diff: &Diff,
    ) -> Result<(), Refusal> {
        let in_batch = found.scheduler.and_then(|scheduler| diff.subjects.get(scheduler));
        match (in_batch, found.schedule_next) {
            (Some(in_batch), Some(headers::NEXT_PURGE)) if in_batch.is_schedule => Ok(()),
            (Some(_), Some(headers::NEXT_PURGE)) => Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID.into()),
            _ => self.check_scheduler(found, candidate),
        }
    }

    fn check_rollup_in_batch(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
        diff: &Diff,
    ) -> Result<(), Refusal> {
        let failed = |text: &str| Err(error::STREAM_ROLLUP_FAILED.with(text).into());
        match self.check_rollup(found, Origin::Client)? {
            Some(Rollup::Subject) if diff.subjects.contains_key(&candidate.subject) => {
                failed("batch rollup sub invalid")
            }
            Some(Rollup::All) if diff.messages > 0 => failed("batch rollup all invalid"),
            _ => Ok(()),
        }
    }

    fn check_discard_new_in_batch(
        &self,
        found: &PublishHeaders<'_>,
        candidate: &Candidate<'_>,
        diff: &Diff,
        of_subject: u64,
    ) -> Result<(), Refusal> {
        let config = &self.config;
        if config.discard != Discard::New {
            return Ok(());
        }
        let full = |text: &str| Err(error::STREAM_STORE_FAILED.with(text).into());
        let over =
            |limit: i64, value: u64| u64::try_from(limit).is_ok_and(|limit| limit > 0 && value > limit);
        let state = self.store.state();
        if over(config.max_msgs, state.messages + diff.messages) {
            return full("maximum messages exceeded");
        }
        if over(config.max_bytes, state.bytes + diff.bytes) {
            return full("maximum bytes exceeded");
        }
        let stored = self
            .store
            .subject(&candidate.subject)
            .map_or(0, |subject| subject.messages);
        if config.discard_new_per_subject
            && found.rollup.is_none()
            && over(config.max_msgs_per_subject, stored + of_subject)
        {
            return full("maximum messages per subject exceeded");
        }
        Ok(())
    }
}
