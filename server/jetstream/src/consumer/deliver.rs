//! Deliveries: which message is next, whether it may go now, and to whom.
//!
//! One call delivers what it can, up to [`RUN_MAX`] messages; the [`Change`] that notes them comes before them.

use std::rc::Rc;

use pinion_shard::proto::headers as block;
use pinion_storage::stream_store::{Load, StoredMessage};

use super::config::{AckPolicy, PriorityPolicy};
use super::effect::{Around, Effect};
use super::entry::{Change, Delivery};
use super::pulls::mix;
use super::state::Consumer;
use super::status;

/// Messages that one call delivers at most; then others have their turn.
pub(super) const RUN_MAX: usize = 256;

/// The message that is next.
struct Candidate {
    message: Rc<StoredMessage>,
    /// How often it was delivered, with this one.
    count: u64,
}

/// Why nothing more is delivered.
enum Stop {
    /// There is nothing.
    End,
    /// Too many acks are missing.
    AckLimit,
    /// It is not the time yet, or nobody may have it.
    Wait,
}

impl Consumer {
    /// Delivers what can be delivered.
    pub fn deliver(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        let mut sends = Vec::new();
        let mut deliveries = Vec::new();
        let mut stop = None;
        while stop.is_none() && deliveries.len() < RUN_MAX {
            stop = self.deliver_one(around, &mut deliveries, &mut sends, out).err();
        }
        if !deliveries.is_empty() {
            // The progress has them already: each had to be seen by the choice of the next.
            let first = out.len();
            out.insert(
                first,
                Effect::Persist {
                    change: Change::Deliver(deliveries),
                    is_lazy: true,
                },
            );
        }
        out.append(&mut sends);
        match stop {
            None => out.push(Effect::Again),
            Some(Stop::End) if self.config.is_pull() && !self.waiting.is_empty() => {
                self.end_requests(true, around, out);
            }
            Some(_) => {}
        }
        if self
            .replay
            .is_some_and(|replay| self.progress.next_stream_seq > replay.until_seq)
        {
            self.replay = None;
        }
    }

    fn may_deliver(&mut self, around: &Around<'_>) -> bool {
        if self.is_paused(around.now) {
            return false;
        }
        if self.hold_until.is_some_and(|until| until > around.now) {
            return false;
        }
        self.hold_until = None;
        if self.config.is_pull() {
            !self.waiting.is_empty()
        } else {
            self.is_bound && !self.window.as_ref().is_some_and(|window| window.is_full())
        }
    }

    fn deliver_one(
        &mut self,
        around: &Around<'_>,
        deliveries: &mut Vec<Delivery>,
        sends: &mut Vec<Effect>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Stop> {
        if !self.may_deliver(around) {
            return Err(Stop::Wait);
        }
        let Candidate { message, count } = self.candidate(around, out)?;
        let seq = message.seq;
        let is_new = count == 1;
        let pending_after = self.num_pending.saturating_sub(u64::from(is_new));
        let delivery_seq = self.progress.next_delivery_seq;
        let reply = format!(
            "{}{count}.{seq}.{delivery_seq}.{}.{pending_after}",
            self.home.names.prefix("ACK", &self.home.stream, &self.name),
            message.time.0
        );
        let mut headers = self.config.headers_only.then(|| headers_with_size(&message));
        let mut size = self.size_of(&message, headers.as_deref(), &reply);
        if let Some(due) = self
            .replay
            .and_then(|replay| replay.due(message.time, around.now))
        {
            self.hold_until = Some(due);
            return Err(Stop::Wait);
        }
        if let Some(rate) = &mut self.rate {
            if let Err(due) = rate.take(size, around.now) {
                self.hold_until = Some(due);
                return Err(Stop::Wait);
            }
        }
        let mut ended = None;
        let to = if self.config.is_pull() {
            let wanted = i64::try_from(size).unwrap_or(i64::MAX);
            // Requests that end here were served by what is in `sends`: their end comes behind it.
            let turn = self.claim(wanted, around, sends).ok_or(Stop::Wait)?;
            if turn.left <= 0 && turn.bytes_left > 0 {
                let headers = status::unfinished(409, "Batch Completed", turn.left, turn.bytes_left);
                ended = Some(Effect::Status {
                    to: turn.reply.clone(),
                    reply: Vec::new(),
                    headers,
                });
            }
            turn.reply
        } else {
            self.config.deliver_subject.clone().into_bytes()
        };
        if self.config.priority_policy == PriorityPolicy::PinnedClient {
            let id = self
                .progress
                .pin
                .as_ref()
                .map(|pin| pin.id.clone())
                .unwrap_or_default();
            let with_pin = headers.get_or_insert_with(|| message.headers().to_vec());
            block::set(with_pin, b"Nats-Pin-Id", id.as_bytes());
            size = self.size_of(&message, headers.as_deref(), &reply);
        }
        let delivery = Delivery {
            stream_seq: seq,
            delivery_seq,
            count,
            at: around.now,
        };
        self.note(&delivery, around, &message);
        deliveries.push(delivery);
        sends.push(Effect::Deliver {
            to,
            reply: reply.into_bytes(),
            message,
            headers,
            is_headers_only: self.config.headers_only,
        });
        sends.extend(ended);
        if self.config.ack_policy == AckPolicy::None {
            sends.push(Effect::Settled {
                first_seq: seq,
                last_seq: seq,
            });
        }
        let is_at_ack_limit = self.config.ack_policy == AckPolicy::FlowControl && self.is_at_ack_limit();
        if self
            .window
            .as_mut()
            .is_some_and(|window| window.add(size, is_at_ack_limit))
        {
            self.ask_for_flow(around, sends);
        }
        Ok(())
    }

    fn size_of(&self, message: &StoredMessage, headers: Option<&[u8]>, reply: &str) -> u64 {
        let headers = headers.unwrap_or_else(|| message.headers()).len();
        let payload = if self.config.headers_only {
            0
        } else {
            message.payload().len()
        };
        (message.subject().len() + reply.len() + headers + payload) as u64
    }

    fn is_at_ack_limit(&self) -> bool {
        let limit = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        limit > 0 && self.progress.pending.len() >= limit
    }

    /// The message that is next; nothing of it is noted yet.
    fn candidate(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) -> Result<Candidate, Stop> {
        while let Some(seq) = self.again.first() {
            match around.store.load(seq) {
                Load::Found(message) => {
                    let count = self.progress.delivery_count(seq) + 1;
                    return Ok(Candidate { message, count });
                }
                Load::Cold => {
                    out.push(Effect::Load(seq));
                    return Err(Stop::Wait);
                }
                // Its stream says so as well, and then it counts as done.
                Load::Missing => self.again.remove(seq),
            }
        }
        if self.is_at_ack_limit() {
            return Err(Stop::AckLimit);
        }
        loop {
            let seq = match self.last_per_subject.front() {
                Some(seq) => *seq,
                None => {
                    let from = self
                        .progress
                        .next_stream_seq
                        .max(self.progress.last_per_subject_until + 1);
                    around.store.next(&self.filters, from).ok_or(Stop::End)?
                }
            };
            match around.store.load(seq) {
                Load::Found(message) => return Ok(Candidate { message, count: 1 }),
                Load::Cold => {
                    out.push(Effect::Load(seq));
                    return Err(Stop::Wait);
                }
                Load::Missing => {
                    let listed = self.last_per_subject.pop_front();
                    assert!(listed.is_some(), "the store says that {seq} is there");
                }
            }
        }
    }

    fn note(&mut self, delivery: &Delivery, around: &Around<'_>, message: &StoredMessage) {
        let seq = delivery.stream_seq;
        self.progress
            .apply(&Change::Deliver(vec![*delivery]), self.config.ack_policy);
        if delivery.count == 1 {
            self.num_pending = self.num_pending.saturating_sub(1);
            if self.last_per_subject.front() == Some(&seq) {
                self.last_per_subject.pop_front();
            }
        } else {
            self.again.remove(seq);
        }
        self.set_deadline(seq);
        self.last_delivered = Some(around.now);
        self.heartbeat_at = self.next_heartbeat(around.now);
        if let Some(replay) = &mut self.replay {
            replay.last = Some((message.time, around.now));
        }
    }

    pub(super) fn ask_for_flow(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let Some(window) = &mut self.window else {
            return;
        };
        let mut subject = self.home.names.prefix("FC", &self.home.stream, &self.name);
        let mut rest = mix(around.random ^ self.progress.next_delivery_seq);
        for _ in 0..4 {
            subject.push(char::from(DIGITS[usize::try_from(rest % 36).unwrap_or(0)]));
            rest /= 36;
        }
        window.ask(subject.clone().into_bytes());
        out.push(Effect::Status {
            to: self.config.deliver_subject.clone().into_bytes(),
            reply: subject.into_bytes(),
            headers: status::line(100, "FlowControl Request"),
        });
    }
}

/// The headers of a message whose payload is left out.
fn headers_with_size(message: &StoredMessage) -> Vec<u8> {
    let mut headers = message.headers().to_vec();
    let size = message.payload().len().to_string();
    block::append(&mut headers, b"Nats-Msg-Size", size.as_bytes());
    headers
}
