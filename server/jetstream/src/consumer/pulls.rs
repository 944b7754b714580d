//! What pull requests do: which are granted, whose turn it is, how they end.

use pinion_shard::proto::duration::format_duration_ns;

use super::advisory::Advisory;
use super::config::PriorityPolicy;
use super::effect::{Around, Effect};
use super::entry::{Change, Pin};
use super::request::{PriorityRequest, PullRequest};
use super::state::Consumer;
use super::status;
use super::waiting::{after, Waiting};

/// Whose turn it is.
pub(super) struct Turn {
    pub(super) reply: Vec<u8>,
    pub(super) left: i64,
    pub(super) bytes_left: i64,
}

/// What becomes of the first request.
enum Verdict {
    Serve,
    PassOver,
    End(u16, &'static str),
    Drop,
}

impl Consumer {
    /// A pull request came; `interest` is the subject whose listeners keep it alive.
    pub fn on_pull(
        &mut self,
        payload: &[u8],
        reply: &[u8],
        interest: &[u8],
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        if let Err((code, text)) = self.admit(payload, reply, interest, around, out) {
            out.push(Effect::Status {
                to: reply.to_vec(),
                reply: Vec::new(),
                headers: status::line(code, &text),
            });
            return;
        }
        self.deliver(around, out);
    }

    fn admit(
        &mut self,
        payload: &[u8],
        reply: &[u8],
        interest: &[u8],
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), (u16, String)> {
        if !self.config.is_pull() {
            return Err((409, "Consumer is push based".to_owned()));
        }
        let request = PullRequest::parse(payload).map_err(|fault| (400, format!("Bad Request - {fault}")))?;
        self.check_bounds(&request)?;
        if request.is_json {
            self.check_group(&request.priority, around)?;
        }
        if self.waiting.is_full() {
            self.end_requests(false, around, out);
        }
        if request.no_wait {
            let at_hand = self.num_pending + self.again.len();
            if at_hand == 0 && request.expires == 0 {
                self.last_request = around.now;
                return Err((404, "No Messages".to_owned()));
            }
            if at_hand > 0 {
                self.end_requests(false, around, out);
                let promised: i64 = self.waiting.iter().map(|waiting| waiting.left.max(0)).sum();
                if at_hand < u64::try_from(promised).unwrap_or(0) {
                    self.last_request = around.now;
                    return Err((408, "Requests Pending".to_owned()));
                }
            }
        }
        let has_heartbeat = request.idle_heartbeat > 0;
        self.last_request = around.now;
        let waiting = Waiting::new(request, reply, interest, around.now);
        // A client that expects signs of life asks again when they do not come; told at once it would do so at once.
        if !self.waiting.push(waiting) && !has_heartbeat {
            return Err((409, "Exceeded MaxWaiting".to_owned()));
        }
        Ok(())
    }

    fn check_bounds(&self, request: &PullRequest) -> Result<(), (u16, String)> {
        let config = &self.config;
        let exceeded = |what: &str, bound: String| Err((409, format!("Exceeded {what} of {bound}")));
        if config.max_batch > 0 && request.batch > config.max_batch {
            return exceeded("MaxRequestBatch", config.max_batch.to_string());
        }
        if config.max_expires > 0 && request.expires > config.max_expires {
            return exceeded("MaxRequestExpires", format_duration_ns(config.max_expires));
        }
        if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
            return exceeded("MaxRequestMaxBytes", config.max_bytes.to_string());
        }
        Ok(())
    }

    fn check_group(&mut self, request: &PriorityRequest, around: &Around<'_>) -> Result<(), (u16, String)> {
        let policy = self.config.priority_policy;
        let bad = |text: &str| Err((400, format!("Bad Request - {text}")));
        let has_minimum = request.min_pending != 0 || request.min_ack_pending != 0;
        if has_minimum && policy != PriorityPolicy::Overflow {
            return bad("Not a Overflow Priority consumer");
        }
        if !request.id.is_empty() && policy != PriorityPolicy::PinnedClient {
            return bad("Not a Pinned Client Priority consumer");
        }
        if !(0..=9).contains(&request.priority) {
            return bad("Priority must be between 0 and 9");
        }
        if policy == PriorityPolicy::None {
            return Ok(());
        }
        if request.group.is_empty() {
            return bad("Priority Group missing");
        }
        if !self.config.priority_groups.contains(&request.group) {
            return bad("Invalid Priority Group");
        }
        if let Some(pin) = &self.progress.pin {
            if request.id == pin.id {
                self.pin_expires = Some(after(around.now, self.config.priority_timeout));
            } else if !request.id.is_empty() {
                return Err((423, "Nats-Pin-Id mismatch".to_owned()));
            }
        }
        Ok(())
    }

    /// Whose turn it is to get a message of this size; those whose time is up, or who cannot have it, are told so.
    pub(super) fn claim(&mut self, size: i64, around: &Around<'_>, out: &mut Vec<Effect>) -> Option<Turn> {
        let mut passed_over = 0;
        while passed_over < self.waiting.len() {
            let mut new_pin = None;
            match self.judge(size, around, &mut new_pin) {
                Verdict::PassOver => {
                    self.waiting.cycle();
                    passed_over += 1;
                }
                Verdict::End(code, text) => {
                    let ended = self.waiting.remove_first()?;
                    out.push(ended.end(code, text));
                }
                Verdict::Drop => {
                    self.waiting.remove_first()?;
                }
                Verdict::Serve => {
                    if let Some(pin) = new_pin {
                        self.pin(pin, around, out);
                    }
                    let now = around.now;
                    let served = self.waiting.serve_first(|waiting| {
                        (waiting.heartbeat > 0).then(|| after(now, waiting.heartbeat))
                    })?;
                    self.last_request = now;
                    return Some(Turn {
                        reply: served.reply,
                        left: served.left,
                        bytes_left: served.bytes_left,
                    });
                }
            }
        }
        None
    }

    fn judge(&mut self, size: i64, around: &Around<'_>, new_pin: &mut Option<String>) -> Verdict {
        let policy = self.config.priority_policy;
        let (num_pending, ack_pending) = (self.num_pending, self.progress.pending.len());
        let pin = self.progress.pin.as_ref().map(|pin| pin.id.as_str());
        let waiting = self.waiting.first_mut().expect("the caller saw that one waits");
        if waiting.is_expired(around.now) {
            return Verdict::End(408, "Request Timeout");
        }
        let id = waiting
            .priority
            .as_ref()
            .map_or("", |priority| priority.id.as_str());
        if policy == PriorityPolicy::PinnedClient {
            match pin {
                Some(pin) if pin == id => {}
                Some(_) if id.is_empty() => return Verdict::PassOver,
                None if id.is_empty() => {
                    let group = waiting
                        .priority
                        .as_ref()
                        .map_or("", |priority| priority.group.as_str());
                    if !group.is_empty() {
                        *new_pin = Some(group.to_owned());
                    }
                }
                _ => return Verdict::End(423, "Nats-Wrong-Pin-Id"),
            }
        }
        if let Some(priority) = waiting
            .priority
            .as_ref()
            .filter(|_| policy == PriorityPolicy::Overflow)
        {
            let reaches =
                |least: i64, count: u64| least > 0 && u64::try_from(least).is_ok_and(|least| least <= count);
            let is_unbound = priority.min_pending <= 0 && priority.min_ack_pending <= 0;
            if !is_unbound
                && !reaches(priority.min_pending, num_pending)
                && !reaches(priority.min_ack_pending, ack_pending as u64)
            {
                return Verdict::PassOver;
            }
        }
        if waiting.bytes_left > 0 && size > waiting.bytes_left {
            return Verdict::End(409, "Message Size Exceeds MaxBytes");
        }
        if !(around.listens)(&waiting.interest) {
            return if waiting.interest == waiting.reply {
                Verdict::Drop
            } else {
                Verdict::End(408, "Interest Expired")
            };
        }
        if waiting.bytes_left > 0 {
            waiting.bytes_left -= size;
            if waiting.bytes_left == 0 {
                waiting.left = 1;
            }
        }
        Verdict::Serve
    }

    fn pin(&mut self, group: String, around: &Around<'_>, out: &mut Vec<Effect>) {
        let id = pin_id(around.random);
        let pin = Pin {
            id: id.clone(),
            since: around.now,
        };
        if let Some(priority) = self
            .waiting
            .first_mut()
            .and_then(|waiting| waiting.priority.as_mut())
        {
            priority.id.clone_from(&id);
        }
        self.change(Change::Pin(Some(pin)), false, out);
        self.pin_expires = Some(after(around.now, self.config.priority_timeout));
        out.push(Effect::Advisory(Advisory::Pinned { group, id }));
    }

    /// Nobody is pinned any more.
    pub(super) fn unpin(&mut self, reason: &'static str, out: &mut Vec<Effect>) {
        self.pin_expires = None;
        if self.progress.pin.is_some() {
            self.change(Change::Pin(None), false, out);
        } else if reason == "timeout" {
            return;
        }
        let group = self.config.priority_groups.first().cloned().unwrap_or_default();
        out.push(Effect::Advisory(Advisory::Unpinned { group, reason }));
    }

    /// An administrator wants another client pinned.
    pub fn on_unpin(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        self.unpin("admin", out);
        self.deliver(around, out);
    }

    /// Ends the requests whose time is up or whose client is gone, and those that do not wait when `is_end` says that there
    /// is nothing more; sends signs of life.
    pub(super) fn end_requests(&mut self, is_end: bool, around: &Around<'_>, out: &mut Vec<Effect>) {
        let now = around.now;
        let heartbeat = self.heartbeat();
        self.waiting.retain(|waiting| {
            if waiting.is_expired(now) {
                out.push(waiting.end(408, "Request Timeout"));
                return false;
            }
            if is_end && waiting.no_wait && (waiting.expires.is_none() || waiting.delivered > 0) {
                out.push(Effect::Status {
                    to: waiting.reply.clone(),
                    reply: Vec::new(),
                    headers: status::line(404, "No Messages"),
                });
                return false;
            }
            if !(around.listens)(&waiting.interest) {
                return false;
            }
            if waiting.heartbeat_at.is_some_and(|at| at <= now) {
                waiting.heartbeat_at = Some(after(now, waiting.heartbeat));
                out.push(Effect::Status {
                    to: waiting.reply.clone(),
                    reply: Vec::new(),
                    headers: heartbeat.clone(),
                });
            }
            true
        });
    }
}

impl Waiting {
    fn end(&self, code: u16, text: &str) -> Effect {
        Effect::Status {
            to: self.reply.clone(),
            reply: Vec::new(),
            headers: status::unfinished(code, text, self.left, self.bytes_left),
        }
    }
}

/// An id that no client had before, of as many digits as the peer's.
fn pin_id(random: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const SIZE: usize = 22;
    let mut rest = u128::from(random) << 64 | u128::from(mix(random));
    (0..SIZE)
        .map(|_| {
            let digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
            rest /= 62;
            char::from(digit)
        })
        .collect()
}

/// Another number out of one: the finisher of splitmix64.
pub(super) fn mix(random: u64) -> u64 {
    let mut mixed = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
