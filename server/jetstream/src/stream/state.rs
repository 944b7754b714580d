//! The state of a stream, and what an entry does to it.
//!
//! Owns: applying entries. Not here: whether an entry may be made (`check`, `batch`), what is due by time (`due`).
//!
//! Invariants: the state changes by entries only, in the order of the log; an effect of an entry leaves this server only
//! when the log is durable up to it. Time is the entry's.

use pinion_shard::io::WallTime;
use pinion_shard::proto::headers as block;
use pinion_shard::subject::transform::{Transform, Use};
use pinion_storage::index::Filter;
use pinion_storage::memory::MemoryStore;
use pinion_storage::stream_store::{NewMessage, Purge, Purged, StoreLimits, StreamStore};

use super::ack::{self, Detail};
use super::batch::StagedBatches;
use super::config::{Retention, StreamConfig};
use super::entry::{Entry, Message};
use super::headers::{self, PublishHeaders, Rollup, Ttl};
use super::msg_ids::MsgIds;
use super::pending::Pending;
use super::schedule::Schedules;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    pub(super) config: StreamConfig,
    pub(super) created: WallTime,
    pub(super) store: StreamStore,
    pub(super) input: Option<Transform>,
    republish: Option<Transform>,
    pub(super) ack_prefix: Vec<u8>,
    domain: String,
    pub(super) last_msg_id: Vec<u8>,
    pub(super) msg_ids: MsgIds,
    pub(super) schedules: Schedules,
    pub(super) pending: Pending,
    pub(super) staged: StagedBatches,
    /// The messages of an atomic batch whose last one was not applied yet.
    open_batch: Vec<Message>,
    /// What consumers want; asked where the retention is interest.
    interest: Vec<Filter>,
}

/// What happens outside of the stream because of an entry or a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An answer to a publisher.
    Reply {
        /// Where it goes.
        subject: Vec<u8>,
        /// JSON, or nothing.
        body: Vec<u8>,
    },
    /// A stored message is sent again, in the stream's account.
    Republish {
        /// Where it goes.
        subject: Vec<u8>,
        /// Its header block.
        headers: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A message was stored: consumers may deliver it.
    Stored {
        /// Its sequence.
        seq: u64,
    },
    /// A message went by a limit, its age, or a request: consumers count one less.
    Removed {
        /// Its sequence.
        seq: u64,
        /// Its subject.
        subject: Vec<u8>,
    },
    /// Many messages went: consumers count again.
    Purged,
    /// An atomic batch came to nothing.
    BatchAbandoned {
        /// Its id.
        id: String,
        /// Why: a word of the peer's advisory.
        reason: &'static str,
    },
}

/// What came of an entry, for the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A message was stored, under this sequence; or it was counted and nobody wanted it; or its batch is not whole yet.
    Message,
    /// Whether the message was there to be removed.
    Deleted(bool),
    /// What a purge took.
    Purged(Purged),
    /// So many messages went by their age.
    Expired(u64),
    /// The configuration is in force.
    Configured,
}

impl Stream {
    /// A stream with nothing in it, by a configuration that was checked.
    pub fn new(config: StreamConfig, created: WallTime, domain: &str) -> Self {
        let mut store = StreamStore::Memory(MemoryStore::new(store_limits(&config)));
        if config.first_seq > 0 {
            store.start_at(config.first_seq);
        }
        let mut stream = Self {
            ack_prefix: ack::prefix(&config.name, domain),
            created,
            store,
            input: None,
            republish: None,
            domain: domain.to_owned(),
            last_msg_id: Vec::new(),
            msg_ids: MsgIds::default(),
            schedules: Schedules::default(),
            pending: Pending::default(),
            staged: StagedBatches::default(),
            open_batch: Vec::new(),
            interest: Vec::new(),
            config,
        };
        stream.compile_transforms();
        stream
    }

    /// The configuration in force.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// When it was made.
    pub fn created(&self) -> WallTime {
        self.created
    }

    /// The domain it lives in; empty for none.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What is committed.
    pub fn store(&self) -> &StreamStore {
        &self.store
    }

    /// What consumers want, all of it; asked where the retention is interest.
    pub fn set_interest(&mut self, filters: Vec<Filter>) {
        self.interest = filters;
    }

    /// Notes that an entry other than a publish goes into the log. Publishes note it themselves.
    pub fn propose(&mut self, entry: &Entry) {
        self.pending.add_other(entry);
    }

    /// The log dropped what was not applied yet.
    pub fn drop_pending(&mut self) {
        self.pending = Pending::default();
        self.open_batch.clear();
    }

    /// Does what the entry says.
    pub fn apply(&mut self, entry: Entry, out: &mut Vec<Effect>) -> Applied {
        match entry {
            Entry::Message(message) => {
                self.apply_message(message, out);
                Applied::Message
            }
            other => {
                self.open_batch.clear();
                let applied = self.apply_other(other, out);
                self.pending.other_applied();
                applied
            }
        }
    }

    fn apply_message(&mut self, message: Message, out: &mut Vec<Effect>) {
        let Some(part) = message.batch else {
            self.open_batch.clear();
            self.store_message(&message, out);
            return;
        };
        // A batch that does not begin where this one does was cut off by the end of a log.
        if part.seq != self.open_batch.len() as u64 + 1 {
            self.open_batch.clear();
        }
        self.open_batch.push(message);
        if part.commit {
            for message in std::mem::take(&mut self.open_batch) {
                self.store_message(&message, out);
            }
        }
    }

    fn apply_other(&mut self, entry: Entry, out: &mut Vec<Effect>) -> Applied {
        match entry {
            Entry::Message(_) => unreachable!("told apart by the caller"),
            Entry::Delete { seq, erase } => {
                let subject = self.subject_of(seq);
                let removed = self.store.remove(seq, erase);
                if removed {
                    self.removed(seq, subject, out);
                }
                Applied::Deleted(removed)
            }
            Entry::Purge {
                filter,
                below_seq,
                keep,
            } => Applied::Purged(self.purge(&filter, below_seq, keep, out)),
            Entry::Expire { now } => Applied::Expired(self.expire(now, out)),
            Entry::Configure { config } => {
                let config =
                    StreamConfig::from_json(&config).expect("written by this server, under a checksum");
                self.configure(config, out);
                Applied::Configured
            }
        }
    }

    fn store_message(&mut self, message: &Message, out: &mut Vec<Effect>) {
        let found = PublishHeaders::parse(&message.headers);
        let size = self.size_of(message);
        if self.config.retention == Retention::Interest && !self.has_interest(&message.subject) {
            let seq = self.store.skip(message.time);
            self.note_msg_id(&found, seq, message.time);
            self.roll_up(&message.subject, &found, 0, out);
            self.acknowledge(message, &found, seq, Detail::None, out);
            self.pending.message_applied(message, seq, size);
            return;
        }
        let subject_filter = Filter::new(&message.subject);
        let republished = self.republished_as(&message.subject).map(|subject| {
            let last = self.store.last(&subject_filter).unwrap_or(0);
            (subject, last)
        });
        let life = match Ttl::parse(found.ttl) {
            Ok(ttl @ Ttl::Seconds(_)) if self.config.allow_msg_ttl => ttl.life(message.time),
            Ok(ttl @ Ttl::Never) => ttl.life(message.time),
            _ => Ttl::None.life(message.time),
        };
        let new = NewMessage {
            subject: &message.subject,
            headers: &message.headers,
            payload: &message.payload,
            time: message.time,
            life,
        };
        let (schedules, schedules_on) = (&mut self.schedules, self.config.allow_msg_schedules);
        let seq = self.store.append(&new, &mut |seq, subject| {
            if schedules_on {
                schedules.remove_seq(subject, seq);
            }
            out.push(Effect::Removed {
                seq,
                subject: subject.to_vec(),
            });
        });
        if schedules_on {
            self.note_schedule(message, &found, seq);
        }
        self.note_msg_id(&found, seq, message.time);
        self.roll_up(&message.subject, &found, 1, out);
        if let Some((subject, last)) = republished {
            out.push(self.republish(message, subject, seq, last));
        }
        let detail = if self.config.allow_msg_counter {
            Detail::Value(super::counter::value_of(&message.payload).unwrap_or_default())
        } else {
            Detail::None
        };
        self.acknowledge(message, &found, seq, detail, out);
        out.push(Effect::Stored { seq });
        self.pending.message_applied(message, seq, size);
    }

    fn acknowledge(
        &self,
        message: &Message,
        found: &PublishHeaders<'_>,
        seq: u64,
        detail: Detail,
        out: &mut Vec<Effect>,
    ) {
        if message.reply.is_empty() {
            return;
        }
        let detail = match (message.batch, found.batch_id) {
            (Some(part), Some(id)) => Detail::Batch {
                id: String::from_utf8_lossy(id).into_owned(),
                count: part.seq,
            },
            _ => detail,
        };
        out.push(Effect::Reply {
            subject: message.reply.clone(),
            body: ack::stored(&self.ack_prefix, seq, &detail),
        });
    }

    fn note_msg_id(&mut self, found: &PublishHeaders<'_>, seq: u64, time: WallTime) {
        let id = found.msg_id.unwrap_or_default();
        self.last_msg_id.clear();
        self.last_msg_id.extend_from_slice(id);
        if !id.is_empty() {
            self.msg_ids.insert(id, seq, time, self.config.duplicate_window);
        }
    }

    fn note_schedule(&mut self, message: &Message, found: &PublishHeaders<'_>, seq: u64) {
        match message.schedule_at {
            Some(at) => self.schedules.set(&message.subject, at, seq),
            None if found.scheduler.is_none() => self.schedules.remove(&message.subject),
            None => {}
        }
        let next = found.schedule_next.filter(|next| *next != headers::NEXT_PURGE);
        if let (Some(next), Some(scheduler)) = (next, found.scheduler) {
            if let Some(at) = std::str::from_utf8(next).ok().and_then(crate::time::parse) {
                self.schedules.set_time(scheduler, at);
            }
        }
    }

    /// Whether messages may purge others.
    pub(super) fn allows_rollup(&self) -> bool {
        self.config.allow_rollup_hdrs && !self.config.deny_purge
    }

    fn roll_up(&mut self, subject: &[u8], found: &PublishHeaders<'_>, keep: u64, out: &mut Vec<Effect>) {
        if !self.allows_rollup() {
            return;
        }
        match found.rollup_scope() {
            Some(Ok(Rollup::Subject)) => {
                self.purge(subject, 0, keep, out);
            }
            Some(Ok(Rollup::All)) => {
                self.purge(b"", 0, keep, out);
            }
            _ => {}
        }
        if found.schedule_next == Some(headers::NEXT_PURGE) {
            if let Some(scheduler) = found.scheduler {
                self.purge(scheduler, 0, 0, out);
            }
        }
    }

    fn purge(&mut self, filter: &[u8], below_seq: u64, keep: u64, out: &mut Vec<Effect>) -> Purged {
        let purge = Purge {
            filter: (!filter.is_empty()).then(|| Filter::new(filter)),
            below_seq,
            keep,
        };
        let purged = self.store.purge(&purge);
        if self.config.allow_msg_schedules {
            let store = &self.store;
            self.schedules
                .retain(|subject| store.subject(subject).map(|state| state.last_seq));
        }
        if purged.messages > 0 {
            out.push(Effect::Purged);
        }
        purged
    }

    fn subject_of(&self, seq: u64) -> Vec<u8> {
        match self.store.load(seq) {
            pinion_storage::stream_store::Load::Found(message) => message.subject().to_vec(),
            _ => Vec::new(),
        }
    }

    fn removed(&mut self, seq: u64, subject: Vec<u8>, out: &mut Vec<Effect>) {
        self.schedules.remove_seq(&subject, seq);
        out.push(Effect::Removed { seq, subject });
    }

    /// Removes what is too old. Where markers are configured, a subject's last message makes place for one.
    fn expire(&mut self, now: WallTime, out: &mut Vec<Effect>) -> u64 {
        let mut count = 0;
        loop {
            let due = self.store.expired(now, EXPIRE_BATCH_COUNT);
            if due.is_empty() {
                return count;
            }
            for seq in due {
                count += 1;
                self.expire_message(seq, now, out);
            }
        }
    }

    fn expire_message(&mut self, seq: u64, now: WallTime, out: &mut Vec<Effect>) {
        let pinion_storage::stream_store::Load::Found(message) = self.store.load(seq) else {
            // On disk only: its headers are not needed where there are no markers.
            self.store.remove(seq, false);
            out.push(Effect::Purged);
            return;
        };
        let subject = message.subject().to_vec();
        let is_last = self
            .store
            .subject(&subject)
            .is_some_and(|state| state.messages == 1);
        let is_marker = PublishHeaders::parse(message.headers()).is_marker;
        let ttl = self.config.subject_delete_marker_ttl;
        if ttl <= 0 || !is_last || is_marker {
            self.store.remove(seq, false);
            self.removed(seq, subject, out);
            return;
        }
        let mut marker_headers = block::EMPTY_BLOCK.to_vec();
        let ttl = ttl / 1_000_000_000 * 1_000_000_000;
        block::append(&mut marker_headers, b"Nats-Marker-Reason", b"MaxAge");
        let ttl = pinion_shard::proto::duration::format_duration_ns(ttl);
        block::append(&mut marker_headers, headers::TTL, ttl.as_bytes());
        block::append(&mut marker_headers, headers::ROLLUP, headers::ROLLUP_SUBJECT);
        let marker = Message {
            time: now,
            subject,
            headers: marker_headers,
            ..Message::default()
        };
        let size = self.size_of(&marker);
        let seq = self.store.state().last_seq + 1;
        if !self.pending.is_empty() {
            // What follows in the log was checked before the marker was foreseen; the entry that brought it is unforeseen.
            self.pending.add_message(&marker, seq, size, None);
        }
        self.store_message(&marker, out);
    }

    fn configure(&mut self, config: StreamConfig, out: &mut Vec<Effect>) {
        self.config = config;
        self.compile_transforms();
        if !self.config.allow_atomic {
            self.staged = StagedBatches::default();
        }
        self.store
            .set_limits(store_limits(&self.config), &mut |seq, subject| {
                out.push(Effect::Removed {
                    seq,
                    subject: subject.to_vec(),
                });
            });
        let store = &self.store;
        self.schedules
            .retain(|subject| store.subject(subject).map(|state| state.last_seq));
    }

    fn compile_transforms(&mut self) {
        let compile = |source: &str, destination: &str| {
            Transform::compile(source.as_bytes(), destination.as_bytes(), Use::Mapping)
                .expect("checked with the configuration")
        };
        self.input = self
            .config
            .subject_transform
            .as_ref()
            .and_then(|transform| compile(&transform.src, &transform.dest));
        self.republish = self
            .config
            .republish
            .as_ref()
            .and_then(|republish| compile(&republish.src, &republish.dest));
    }

    fn has_interest(&self, subject: &[u8]) -> bool {
        self.interest.iter().any(|filter| filter.matches(subject))
    }

    pub(super) fn size_of(&self, message: &Message) -> u64 {
        self.store.message_size(
            message.subject.len(),
            message.headers.len(),
            message.payload.len(),
        )
    }

    fn republished_as(&self, subject: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.republish.as_ref()?.transform(subject, 0, &mut out).ok()?;
        pinion_shard::subject::is_valid_publish(&out).then_some(out)
    }

    fn republish(&self, message: &Message, subject: Vec<u8>, seq: u64, last_seq: u64) -> Effect {
        let mut headers = message.headers.clone();
        let time = crate::time::format(message.time);
        block::append(&mut headers, b"Nats-Stream", self.config.name.as_bytes());
        block::append(&mut headers, b"Nats-Subject", &message.subject);
        block::append(&mut headers, b"Nats-Sequence", seq.to_string().as_bytes());
        block::append(&mut headers, b"Nats-Time-Stamp", time.as_bytes());
        block::append(
            &mut headers,
            b"Nats-Last-Sequence",
            last_seq.to_string().as_bytes(),
        );
        let headers_only = self
            .config
            .republish
            .as_ref()
            .is_some_and(|republish| republish.headers_only);
        let mut payload = message.payload.clone();
        if headers_only {
            block::append(
                &mut headers,
                b"Nats-Msg-Size",
                payload.len().to_string().as_bytes(),
            );
            payload.clear();
        }
        Effect::Republish {
            subject,
            headers,
            payload,
        }
    }
}

/// So many messages are looked for at once when some are too old.
const EXPIRE_BATCH_COUNT: usize = 1024;

fn store_limits(config: &StreamConfig) -> StoreLimits {
    let limit = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    StoreLimits {
        messages_max: limit(config.max_msgs),
        bytes_max: limit(config.max_bytes),
        messages_per_subject_max: limit(config.max_msgs_per_subject),
        age_max_ns: limit(config.max_age),
    }
}
