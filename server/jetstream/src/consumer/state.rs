//! A consumer as it is served: its progress, and beside it what does not survive.
//!
//! Owns: its making from an entry, changes of its configuration, what the stream tells it, its timers, its info. Not here:
//! acks (`acks`), pull requests (`pulls`), deliveries (`deliver`).
//!
//! Invariants: the progress changes by [`Change`]s only, live and from the log alike; every change that is made live is
//! persisted. What the stream lost changes the progress by what the stream's own entries say.

use std::collections::VecDeque;

use pinion_shard::io::WallTime;
use pinion_storage::index::Filter;
use pinion_storage::stream_store::StreamStore;

use super::ack::AckNames;
use super::advisory::{Advisory, Delivered};
use super::again::{Deadlines, Redeliveries};
use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
use super::effect::{Around, Effect};
use super::entry::{Change, Create, Placement};
use super::info::{ConsumerInfo, PriorityGroupState, SequenceInfo};
use super::pace::{FlowWindow, RateLimit, Replay};
use super::progress::Progress;
use super::start::{start, LAST_PER_SUBJECT_MAX};
use super::status;
use super::waiting::{after, WaitQueue};
use crate::stream::StreamConfig;

/// What is said of a message that its stream dropped while its ack was waited for.
const DROPPED_REASON: &str = "Unacknowledged message was deleted";
/// Nanoseconds after which an ephemeral consumer without clients is deleted, when nothing is said.
const INACTIVE_DEFAULT: i64 = 5_000_000_000;
/// Deletions for inactivity are spread over this time, in nanoseconds, and come this much later at least.
const INACTIVE_SPREAD: u64 = 900_000_000;
const INACTIVE_GRACE: i64 = 100_000_000;

/// Where a consumer lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Its stream.
    pub stream: String,
    /// How the subjects of its acks look.
    pub names: AckNames,
    /// Bytes that a rate limit lets pass at once: the largest message.
    pub burst: u64,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) created: WallTime,
    pub(super) config: ConsumerConfig,
    pub(super) filters: Vec<Filter>,
    pub(super) progress: Progress,
    /// The messages that are the last of their subjects, where only these count.
    pub(super) last_per_subject: VecDeque<u64>,
    pub(super) num_pending: u64,
    pub(super) waiting: WaitQueue,
    pub(super) again: Redeliveries,
    pub(super) deadlines: Deadlines,
    pub(super) window: Option<FlowWindow>,
    pub(super) rate: Option<RateLimit>,
    pub(super) replay: Option<Replay>,
    /// Nothing is delivered before: pace.
    pub(super) hold_until: Option<WallTime>,
    /// Somebody listens to what is pushed.
    pub(super) is_bound: bool,
    pub(super) heartbeat_at: Option<WallTime>,
    pub(super) pin_expires: Option<WallTime>,
    pub(super) last_request: WallTime,
    inactive_after: i64,
    inactive_at: Option<WallTime>,
    was_paused: bool,
    pub(super) last_delivered: Option<WallTime>,
    pub(super) last_acked: Option<WallTime>,
}

impl Consumer {
    /// The entry that begins a consumer, by a configuration that was checked.
    pub fn create(
        config: &ConsumerConfig,
        stream: &StreamConfig,
        store: &StreamStore,
        now: WallTime,
    ) -> Create {
        let mut config = config.clone();
        mend_threshold(&mut config);
        let (next_seq, last_per_subject_until) = start(&config, stream.max_msgs_per_subject, store);
        Create {
            config: crate::json::to_vec(&config),
            created: now,
            next_seq,
            last_per_subject_until,
            placement: Placement {
                replicas: u8::try_from(config.num_replicas).unwrap_or(0),
                is_memory: config.mem_storage,
                ..Placement::default()
            },
        }
    }

    /// The consumer of an entry; [`Consumer::serve`] makes it ready.
    pub fn new(name: &str, home: Home, create: &Create) -> Self {
        let config =
            ConsumerConfig::from_json(&create.config).expect("written by this server, under a checksum");
        let waiting_max = usize::try_from(config.max_waiting).unwrap_or(0);
        let is_ranked = config.priority_policy == PriorityPolicy::Prioritized;
        let mut consumer = Self {
            name: name.to_owned(),
            created: create.created,
            filters: config.filters(),
            progress: Progress::new(create),
            last_per_subject: VecDeque::new(),
            num_pending: 0,
            waiting: WaitQueue::new(waiting_max, is_ranked),
            again: Redeliveries::default(),
            deadlines: Deadlines::default(),
            window: None,
            rate: RateLimit::new(config.rate_limit_bps, home.burst),
            replay: None,
            hold_until: None,
            is_bound: false,
            heartbeat_at: None,
            pin_expires: None,
            last_request: create.created,
            inactive_after: 0,
            inactive_at: None,
            was_paused: false,
            last_delivered: None,
            last_acked: None,
            home,
            config,
        };
        consumer.window = consumer.config.flow_control.then(FlowWindow::new);
        consumer
    }

    /// Begins to serve: what does not survive is made anew from what does.
    pub fn serve(&mut self, around: &Around<'_>) {
        let until = self.progress.last_per_subject_until;
        self.last_per_subject = if until >= self.progress.next_stream_seq {
            let lasts = around
                .store
                .last_per_subject(&self.filters, until, LAST_PER_SUBJECT_MAX);
            let next = self.progress.next_stream_seq;
            lasts
                .unwrap_or_default()
                .into_iter()
                .filter(|seq| *seq >= next)
                .collect()
        } else {
            VecDeque::new()
        };
        self.count_pending(around.store);
        self.rebuild_deadlines();
        if self.config.replay_policy == ReplayPolicy::Original {
            self.replay = Some(Replay {
                until_seq: around.store.state().last_seq,
                last: None,
            });
        }
        self.heartbeat_at = self.next_heartbeat(around.now);
        self.was_paused = self.is_paused(around.now);
        self.last_request = around.now;
        if self.progress.pin.is_some() {
            self.pin_expires = Some(after(around.now, self.config.priority_timeout));
        }
        self.set_inactivity(around);
    }

    fn set_inactivity(&mut self, around: &Around<'_>) {
        let threshold = self.config.inactive_threshold;
        let spread = i64::try_from(around.random % INACTIVE_SPREAD).unwrap_or(0);
        self.inactive_after = match threshold {
            ..=0 => 0,
            _ if self.config.is_pull() || !self.config.is_durable() => threshold + INACTIVE_GRACE + spread,
            _ => threshold,
        };
        let is_idle = self.config.is_pull() || !self.is_bound;
        self.inactive_at =
            (self.inactive_after > 0 && is_idle).then(|| after(around.now, self.inactive_after));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration in force.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether it wants messages of this subject.
    pub fn wants(&self, subject: &[u8]) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(subject))
    }

    /// Whether the stream must keep a message for it.
    pub fn needs(&self, seq: u64, subject: &[u8]) -> bool {
        self.wants(subject) && self.progress.needs(seq, self.config.ack_policy)
    }

    /// Does what a change of the log says, where nobody is served: on start and on other servers.
    pub fn apply(&mut self, change: &Change) {
        if let Change::Configure { config } = change {
            self.config =
                ConsumerConfig::from_json(config).expect("written by this server, under a checksum");
            self.filters = self.config.filters();
        }
        self.progress.apply(change, self.config.ack_policy);
    }

    /// Makes a change, and has it persisted.
    pub(super) fn change(&mut self, change: Change, is_lazy: bool, out: &mut Vec<Effect>) {
        self.apply(&change);
        out.push(Effect::Persist { change, is_lazy });
    }

    /// Takes another configuration, which was checked.
    pub fn configure(&mut self, config: &ConsumerConfig, around: &Around<'_>, out: &mut Vec<Effect>) {
        let mut config = config.clone();
        mend_threshold(&mut config);
        let old = self.config.clone();
        let json = crate::json::to_vec(&config);
        self.change(Change::Configure { config: json }, false, out);
        if old.deliver_subject != config.deliver_subject {
            let pending: Vec<u64> = self.progress.pending.keys().copied().collect();
            for seq in pending {
                self.overdue(seq, out);
            }
            self.is_bound = (around.listens)(config.deliver_subject.as_bytes());
        }
        if old.rate_limit_bps != config.rate_limit_bps {
            self.rate = RateLimit::new(config.rate_limit_bps, self.home.burst);
        }
        if old.ack_wait != config.ack_wait || old.backoff != config.backoff {
            self.rebuild_deadlines();
        }
        if old.inactive_threshold != config.inactive_threshold {
            self.set_inactivity(around);
        }
        if old.filter_list() != config.filter_list() {
            self.count_pending(around.store);
        }
        if old.pause_until != config.pause_until {
            self.tell_pause(around.now, out);
        }
        self.deliver(around, out);
    }

    /// Goes on from another message: from `seq`, or from behind the ack floor for 0. The error is for the API.
    pub fn reset(
        &mut self,
        seq: u64,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<u64, &'static str> {
        let next_seq = match (seq, self.config.deliver_policy) {
            (0, _) => self.progress.floor.stream_seq + 1,
            (_, DeliverPolicy::All) => seq,
            (_, DeliverPolicy::ByStartSequence) if seq < self.config.opt_start_seq => {
                return Err("below start seq")
            }
            (_, DeliverPolicy::ByStartSequence) => seq,
            (_, DeliverPolicy::ByStartTime) => {
                let first = around
                    .store
                    .seq_at(self.config.opt_start_time.unwrap_or_default());
                if seq < first {
                    return Err("below start time");
                }
                seq
            }
            _ => return Err("not allowed"),
        };
        self.change(Change::Reset { next_seq }, false, out);
        self.again = Redeliveries::default();
        self.deadlines = Deadlines::default();
        self.last_per_subject.clear();
        (self.last_delivered, self.last_acked) = (None, None);
        self.count_pending(around.store);
        self.deliver(around, out);
        Ok(next_seq)
    }

    /// Tells those who listen whether it is paused, if it is, or goes on.
    fn tell_pause(&mut self, now: WallTime, out: &mut Vec<Effect>) {
        self.was_paused = self.is_paused(now);
        out.push(Effect::Advisory(Advisory::Paused {
            is_paused: self.was_paused,
            until: self.config.pause_until,
        }));
    }

    /// Whether nothing is delivered for now.
    pub fn is_paused(&self, now: WallTime) -> bool {
        self.config.pause_until.is_some_and(|until| now < until)
    }

    /// Counts what was not delivered yet.
    pub(super) fn count_pending(&mut self, store: &StreamStore) {
        let from = self.progress.next_stream_seq;
        self.num_pending = if self.config.deliver_policy == DeliverPolicy::LastPerSubject {
            let all = [Filter::all()];
            let filters = if self.filters.is_empty() {
                &all[..]
            } else {
                &self.filters
            };
            store.pending_last_per_subject(filters, from)
        } else {
            store.pending(&self.filters, from)
        };
    }

    /// The stream has a new message.
    pub fn on_stored(&mut self, seq: u64, subject: &[u8], around: &Around<'_>, out: &mut Vec<Effect>) {
        if seq >= self.progress.next_stream_seq && self.wants(subject) {
            self.num_pending += 1;
            self.deliver(around, out);
        }
    }

    /// The stream lost a message.
    pub fn on_removed(&mut self, seq: u64, subject: &[u8], around: &Around<'_>, out: &mut Vec<Effect>) {
        if seq >= self.progress.next_stream_seq && self.wants(subject) {
            if seq > self.progress.last_per_subject_until {
                self.num_pending = self.num_pending.saturating_sub(1);
            } else if let Ok(index) = self.last_per_subject.binary_search(&seq) {
                self.last_per_subject.remove(index);
                self.num_pending = self.num_pending.saturating_sub(1);
            }
        }
        let deliveries = self.progress.delivery_count(seq);
        self.again.remove(seq);
        self.deadlines.remove(seq);
        if let Some(pending) = self.progress.on_removed(seq, self.config.ack_policy) {
            out.push(Effect::Advisory(Advisory::Terminated {
                delivery: Delivered {
                    delivery_seq: pending.delivery_seq,
                    stream_seq: seq,
                    deliveries,
                },
                reason: DROPPED_REASON.to_owned(),
            }));
            self.deliver(around, out);
        }
    }

    /// The stream lost many messages.
    pub fn on_purged(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        self.forget_purged(around.store);
        let pending = &self.progress.pending;
        self.again.retain(|seq| pending.contains_key(&seq));
        self.deadlines.retain(|seq| pending.contains_key(&seq));
        let store = around.store;
        self.last_per_subject
            .retain(|seq| store.next(&[], *seq) == Some(*seq));
        self.count_pending(store);
        self.deliver(around, out);
    }

    /// What a purge means for what survives; on start this is all of it.
    pub fn forget_purged(&mut self, store: &StreamStore) {
        let state = store.state();
        let next_seq = match store.next(&self.filters, state.first_seq) {
            None => state.last_seq + 1,
            Some(_) => state.first_seq,
        };
        self.progress.on_purged(store, next_seq);
    }

    /// What a single loss means for what survives; on start this is all of it.
    pub fn forget_removed(&mut self, seq: u64) {
        self.progress.on_removed(seq, self.config.ack_policy);
    }

    /// Nanoseconds that the last delivery of a message waits for its ack; 0 is for ever.
    pub(super) fn ack_wait(&self, seq: u64) -> i64 {
        let index = usize::try_from(self.progress.delivery_count(seq) - 1).unwrap_or(usize::MAX);
        match self.config.backoff.as_slice() {
            [] => self.config.ack_wait,
            waits => waits[index.min(waits.len() - 1)].0,
        }
    }

    pub(super) fn set_deadline(&mut self, seq: u64) {
        if self.config.ack_wait == 0 {
            return;
        }
        if let Some(pending) = self.progress.pending.get(&seq) {
            let wait = self.ack_wait(seq);
            self.deadlines.set(seq, after(pending.since, wait));
        }
    }

    fn rebuild_deadlines(&mut self) {
        self.deadlines = Deadlines::default();
        let again = std::mem::take(&mut self.again);
        let pending: Vec<u64> = self.progress.pending.keys().copied().collect();
        for seq in pending {
            if !again.has(seq) {
                self.set_deadline(seq);
            }
        }
        self.again = again;
    }

    /// A delivery's ack is overdue: the message goes again, unless it went as often as it may.
    pub(super) fn overdue(&mut self, seq: u64, out: &mut Vec<Effect>) {
        let deliveries = self.progress.delivery_count(seq);
        let deliveries_max = u64::try_from(self.config.max_deliver).unwrap_or(0);
        self.deadlines.remove(seq);
        if deliveries_max == 0 || deliveries < deliveries_max {
            self.again.add(seq);
            return;
        }
        self.again.remove(seq);
        out.push(Effect::Advisory(Advisory::MaxDeliveries {
            stream_seq: seq,
            deliveries,
        }));
        let next_seq = self.progress.next_stream_seq;
        let stream_seq = seq;
        self.change(Change::GiveUp { stream_seq, next_seq }, true, out);
    }

    /// Somebody listens to what is pushed, or nobody any more.
    pub fn on_interest(&mut self, is_bound: bool, around: &Around<'_>, out: &mut Vec<Effect>) {
        if self.config.is_pull() {
            return;
        }
        self.is_bound = is_bound;
        if is_bound {
            self.inactive_at = None;
        } else if self.inactive_at.is_none() && self.inactive_after > 0 {
            self.inactive_at = Some(after(around.now, self.inactive_after));
        }
        self.deliver(around, out);
    }

    pub(super) fn next_heartbeat(&self, now: WallTime) -> Option<WallTime> {
        let nanos = self.config.idle_heartbeat;
        (nanos > 0 && !self.config.is_pull()).then(|| after(now, nanos))
    }

    /// When [`Consumer::on_timer`] has something to do.
    pub fn next_due(&self) -> Option<WallTime> {
        let pause = self.config.pause_until.filter(|_| self.was_paused);
        let waiting = self
            .waiting
            .iter()
            .flat_map(|waiting| [waiting.expires, waiting.heartbeat_at]);
        [
            self.deadlines.first(),
            self.heartbeat_at,
            self.hold_until,
            self.pin_expires,
            self.inactive_at,
            pause,
        ]
        .into_iter()
        .chain(waiting)
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn on_timer(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        let now = around.now;
        if self.was_paused && !self.is_paused(now) {
            self.tell_pause(now, out);
        }
        for seq in self.deadlines.take_due(now) {
            self.overdue(seq, out);
        }
        if self.pin_expires.is_some_and(|at| at <= now) {
            self.unpin("timeout", out);
        }
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = self.next_heartbeat(now);
            if self.is_bound {
                self.push_heartbeat(around, out);
            }
        }
        self.deliver(around, out);
        self.end_requests(true, around, out);
        if self.inactive_at.is_some_and(|at| at <= now) {
            self.check_activity(now, out);
        }
    }

    fn push_heartbeat(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        out.push(Effect::Status {
            to: self.config.deliver_subject.clone().into_bytes(),
            reply: Vec::new(),
            headers: self.heartbeat(),
        });
        let is_asked = self
            .window
            .as_ref()
            .is_some_and(|window| window.stalled().is_some());
        if self.config.ack_policy == AckPolicy::FlowControl && !self.progress.pending.is_empty() && !is_asked
        {
            self.ask_for_flow(around, out);
        }
    }

    pub(super) fn heartbeat(&self) -> Vec<u8> {
        status::heartbeat(
            self.progress.next_delivery_seq - 1,
            self.progress.next_stream_seq - 1,
            self.window.as_ref().and_then(FlowWindow::stalled),
        )
    }

    /// Deleted when nobody asks, nothing waits and no ack can come any more.
    fn check_activity(&mut self, now: WallTime, out: &mut Vec<Effect>) {
        if self.config.is_pull() {
            let idle_until = after(self.last_request, self.inactive_after);
            let waiting_until = (!self.waiting.is_empty()).then(|| after(now, self.inactive_after));
            let acks_until = self.deadlines.last().map(|last| after(last, self.inactive_after));
            let until = [Some(idle_until), waiting_until, acks_until]
                .into_iter()
                .flatten()
                .max();
            if let Some(until) = until.filter(|until| *until > now) {
                self.inactive_at = Some(until);
                return;
            }
        }
        self.inactive_at = None;
        out.push(Effect::Abandoned);
    }

    /// What it is and how far.
    pub fn info(&self, now: WallTime) -> ConsumerInfo {
        let progress = &self.progress;
        let groups = self
            .config
            .priority_groups
            .first()
            .map(|group| PriorityGroupState {
                group: group.clone(),
                pinned_client_id: progress
                    .pin
                    .as_ref()
                    .map(|pin| pin.id.clone())
                    .unwrap_or_default(),
                pinned_ts: progress.pin.as_ref().map(|pin| pin.since),
            });
        let remaining = self
            .config
            .pause_until
            .map_or(0, |until| until.0.saturating_sub(now.0));
        ConsumerInfo {
            stream_name: self.home.stream.clone(),
            name: self.name.clone(),
            created: self.created,
            config: self.config.with_dynamic_metadata(),
            delivered: SequenceInfo {
                consumer_seq: progress.next_delivery_seq - 1,
                stream_seq: progress.next_stream_seq - 1,
                last_active: self.last_delivered,
            },
            ack_floor: SequenceInfo {
                consumer_seq: progress.floor.delivery_seq,
                stream_seq: progress.floor.stream_seq,
                last_active: self.last_acked,
            },
            num_ack_pending: progress.pending.len(),
            num_redelivered: if self.config.max_deliver == 1 {
                0
            } else {
                progress.redelivered.len()
            },
            num_waiting: self.waiting.len(),
            num_pending: self.num_pending,
            push_bound: self.is_bound,
            paused: remaining > 0,
            pause_remaining: remaining,
            ts: now,
            priority_groups: groups.into_iter().collect(),
        }
    }
}

/// A consumer that does not outlive its clients has a threshold, always.
fn mend_threshold(config: &mut ConsumerConfig) {
    if !config.is_durable() && config.inactive_threshold <= 0 {
        config.inactive_threshold = INACTIVE_DEFAULT;
    }
}
