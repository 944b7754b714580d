//! What acks and the answers to flow control do.

use super::ack::{AckBody, AckSubject};
use super::advisory::{Advisory, Delivered};
use super::config::AckPolicy;
use super::effect::{Around, Effect};
use super::entry::Change;
use super::state::Consumer;
use super::waiting::after;
use pinion_shard::proto::headers as block;

impl Consumer {
    /// An ack came; `reply` is where an answer to it goes, or empty.
    pub fn on_ack(
        &mut self,
        subject: &AckSubject<'_>,
        payload: &[u8],
        reply: &[u8],
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        let delivery = Delivered {
            delivery_seq: subject.delivery_seq,
            stream_seq: subject.stream_seq,
            deliveries: subject.deliveries,
        };
        let is_answered = match AckBody::parse(payload) {
            AckBody::Ack => self.done(&delivery, true, around, out),
            AckBody::Next(request) => {
                self.done(&delivery, true, around, out);
                if !reply.is_empty() {
                    self.on_pull(request, reply, reply, around, out);
                }
                false
            }
            AckBody::Nak(delay) => {
                self.nak(&delivery, delay, around, out);
                true
            }
            AckBody::Progress => {
                self.wait_anew(delivery.stream_seq, around.now, out);
                true
            }
            AckBody::Term { reason } => {
                let is_done = self.done(&delivery, false, around, out);
                out.push(Effect::Advisory(Advisory::Terminated { delivery, reason }));
                is_done
            }
            AckBody::Other => true,
        };
        if is_answered && !reply.is_empty() && delivery.stream_seq != 0 {
            out.push(Effect::Reply {
                to: reply.to_vec(),
                is_after_commit: true,
            });
        }
        self.deliver(around, out);
    }

    /// A message is done. Says whether the ack counts, or did before.
    fn done(
        &mut self,
        delivery: &Delivered,
        is_sampled: bool,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Delivered {
            stream_seq,
            delivery_seq,
            ..
        } = *delivery;
        let next_seq = self.progress.next_stream_seq;
        if stream_seq >= next_seq {
            return false;
        }
        let floor = self.progress.floor;
        let first_seq = match self.config.ack_policy {
            AckPolicy::None => return true,
            AckPolicy::Explicit => {
                let is_known = self.progress.pending.contains_key(&stream_seq)
                    || self.progress.redelivered.contains_key(&stream_seq);
                if !is_known {
                    return true;
                }
                if is_sampled {
                    self.sample(delivery, around, out);
                }
                stream_seq
            }
            AckPolicy::All | AckPolicy::FlowControl => {
                if delivery_seq <= floor.delivery_seq || stream_seq <= floor.stream_seq {
                    return true;
                }
                floor.stream_seq + 1
            }
        };
        let change = Change::Ack {
            stream_seq,
            delivery_seq,
            next_seq,
        };
        self.change(change, false, out);
        self.last_acked = Some(around.now);
        if first_seq == stream_seq {
            self.again.remove(stream_seq);
            self.deadlines.remove(stream_seq);
        } else {
            self.again.retain(|seq| seq > stream_seq);
            self.deadlines.retain(|seq| seq > stream_seq);
        }
        out.push(Effect::Settled {
            first_seq,
            last_seq: stream_seq,
        });
        true
    }

    fn sample(&mut self, delivery: &Delivered, around: &Around<'_>, out: &mut Vec<Effect>) {
        let percent = u64::from(self.config.sample_percent());
        let is_wanted = percent >= 100 || (percent > 0 && around.random % 100 < percent);
        if let Some(pending) = self
            .progress
            .pending
            .get(&delivery.stream_seq)
            .filter(|_| is_wanted)
        {
            let ack_time = around.now.0.saturating_sub(pending.since.0);
            out.push(Effect::Advisory(Advisory::Acked {
                delivery: *delivery,
                ack_time: i64::try_from(ack_time).unwrap_or(i64::MAX),
            }));
        }
    }

    fn nak(&mut self, delivery: &Delivered, delay: Option<i64>, around: &Around<'_>, out: &mut Vec<Effect>) {
        let Delivered {
            stream_seq,
            delivery_seq,
            ..
        } = *delivery;
        let progress = &self.progress;
        let is_in_range =
            delivery_seq > progress.floor.delivery_seq && delivery_seq <= progress.next_delivery_seq;
        if !is_in_range || !progress.pending.contains_key(&stream_seq) {
            return;
        }
        out.push(Effect::Advisory(Advisory::Nak(*delivery)));
        match delay {
            None => self.overdue(stream_seq, out),
            Some(delay) => {
                self.again.remove(stream_seq);
                // The wait ends by the delay from now, however long it is for this delivery.
                let since = after(after(around.now, delay), -self.ack_wait(stream_seq));
                self.wait_anew(stream_seq, since, out);
            }
        }
    }

    fn wait_anew(&mut self, stream_seq: u64, since: pinion_shard::io::WallTime, out: &mut Vec<Effect>) {
        if self.progress.pending.contains_key(&stream_seq) {
            self.change(Change::Wait { stream_seq, since }, true, out);
            if !self.again.has(stream_seq) {
                self.set_deadline(stream_seq);
            }
        }
    }

    /// The answer to flow control came.
    pub fn on_flow_control(
        &mut self,
        subject: &[u8],
        headers: &[u8],
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        let is_awaited = self
            .window
            .as_mut()
            .is_some_and(|window| window.on_answer(subject));
        if !is_awaited {
            return;
        }
        if self.config.ack_policy == AckPolicy::FlowControl {
            let number = |key: &[u8]| {
                let text = std::str::from_utf8(block::get(headers, key)?).ok()?;
                text.parse::<u64>().ok()
            };
            if let Some(stream_seq) = number(b"Nats-Last-Stream").filter(|seq| *seq > 0) {
                let delivery = Delivered {
                    stream_seq,
                    delivery_seq: number(b"Nats-Last-Consumer").unwrap_or(0),
                    deliveries: 1,
                };
                self.done(&delivery, false, around, out);
            }
        }
        self.deliver(around, out);
    }
}
