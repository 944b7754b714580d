//! What a stream does because time passes: messages that are too old go, schedules fire, open batches end.
//!
//! Owns: when the next of these is due, and the entries they make. Not here: applying them (`state`).

use pinion_shard::io::WallTime;
use pinion_shard::proto::headers as block;
use pinion_storage::index::Filter;
use pinion_storage::stream_store::StoredMessage;

use super::check::{Next, Origin, Publish, PublishLimits};
use super::entry::Entry;
use super::headers::{self, PublishHeaders, Ttl};
use super::schedule;
use super::state::{Effect, Stream};

impl Stream {
    /// When [`Stream::due`] has something to do; `None` as long as nothing changes.
    pub fn next_due(&self) -> Option<WallTime> {
        [
            self.store.next_expiry(),
            self.schedules.next(),
            self.staged.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What is due. Nothing is due while entries are pending, so that nothing fires twice.
    pub fn due(&mut self, now: WallTime, limits: &PublishLimits, out: &mut Vec<Effect>) -> Vec<Entry> {
        self.staged.drop_due(now, out);
        if !self.pending.is_empty() {
            return Vec::new();
        }
        let mut entries = Vec::new();
        for (seq, at, subject) in self.schedules.due(now) {
            self.fire(seq, at, &subject, now, limits, &mut entries, out);
        }
        if self.store.next_expiry().is_some_and(|expiry| expiry <= now) {
            let entry = Entry::Expire { now };
            self.propose(&entry);
            entries.push(entry);
        }
        entries
    }

    #[expect(clippy::too_many_arguments, reason = "one schedule, and what publish takes")]
    fn fire(
        &mut self,
        seq: u64,
        at: WallTime,
        subject: &[u8],
        now: WallTime,
        limits: &PublishLimits,
        entries: &mut Vec<Entry>,
        out: &mut Vec<Effect>,
    ) {
        let produced = match self.load(seq) {
            Ok(Some(message)) => self.produced(&message, at, now),
            // It fires when it is in the cache; the caller brings in what is due.
            Err(_) => return,
            Ok(None) => None,
        };
        let Some((target, headers, payload)) = produced else {
            self.schedules.remove_seq(subject, seq);
            return;
        };
        let publish = Publish {
            subject: &target,
            reply: b"",
            headers: &headers,
            payload: &payload,
            now,
            random: 0,
            origin: Origin::Stream,
        };
        match self.publish(&publish, limits, out) {
            Next::Propose(proposed) => entries.extend(proposed),
            // Refused or not now: a schedule that could not fire tries again a second later.
            Next::Done | Next::Wait | Next::Cold(_) => {
                self.schedules
                    .set_time(subject, now + std::time::Duration::from_secs(1));
            }
        }
    }

    /// Subject, headers and payload of the message that a schedule makes; `None` where it is no schedule any more.
    fn produced(
        &self,
        message: &StoredMessage,
        at: WallTime,
        now: WallTime,
    ) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let found = PublishHeaders::parse(message.headers());
        let next = schedule::next(&found, at, now).ok()??;
        Ttl::parse(found.schedule_ttl).ok()?;
        let target = found.schedule_target?.to_vec();
        let source = found.schedule_source.and_then(|source| {
            let last = self.store.last(&Filter::new(source))?;
            self.load(last).ok()?
        });
        let content = source.as_deref().unwrap_or(message);
        let mut headers = content.headers().to_vec();
        block::remove_prefix(&mut headers, b"Nats-Schedule");
        block::remove_prefix(&mut headers, b"Nats-Expected-");
        for name in [headers::MSG_ID, headers::TTL, headers::ROLLUP] {
            block::remove(&mut headers, name);
        }
        block::append(&mut headers, headers::SCHEDULER, message.subject());
        let next_text = crate::time::format(next.at);
        let next_value = if next.repeats {
            next_text.as_bytes()
        } else {
            headers::NEXT_PURGE
        };
        block::append(&mut headers, headers::SCHEDULE_NEXT, next_value);
        if let Some(ttl) = found.schedule_ttl {
            block::append(&mut headers, headers::TTL, ttl);
        }
        if let Some(rollup) = found.schedule_rollup {
            block::append(&mut headers, headers::ROLLUP, rollup);
        }
        Some((target, headers, content.payload().to_vec()))
    }
}
