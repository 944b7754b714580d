//! The pull requests that wait, in the order in which they are served.
//!
//! Owns: the queue with its bound, its order. Not here: whose turn is passed over and why (`state`).
//! None of this survives: clients ask again.

use std::collections::VecDeque;

use pinion_shard::io::WallTime;

use super::request::{PriorityRequest, PullRequest};

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Where messages go.
    pub(super) reply: Vec<u8>,
    /// Whose interest keeps it alive: `reply`, or the subject behind it in another account.
    pub(super) interest: Vec<u8>,
    /// How many messages are left.
    pub(super) left: i64,
    /// How many it got.
    pub(super) delivered: u64,
    /// Bytes that are left; 0 is no limit.
    pub(super) bytes_left: i64,
    /// When it ends.
    pub(super) expires: Option<WallTime>,
    /// Whether it ends when there is nothing more.
    pub(super) no_wait: bool,
    /// Nanoseconds between signs of life; 0 is none.
    pub(super) heartbeat: i64,
    /// When the next sign of life is due.
    pub(super) heartbeat_at: Option<WallTime>,
    /// What concerns priority groups; `None` for requests that are not JSON.
    pub(super) priority: Option<PriorityRequest>,
}

impl Waiting {
    /// A request that begins to wait.
    pub(super) fn new(request: PullRequest, reply: &[u8], interest: &[u8], now: WallTime) -> Self {
        Self {
            reply: reply.to_vec(),
            interest: interest.to_vec(),
            left: request.batch,
            delivered: 0,
            bytes_left: request.max_bytes,
            expires: (request.expires != 0).then(|| after(now, request.expires)),
            no_wait: request.no_wait,
            heartbeat: request.idle_heartbeat.max(0),
            heartbeat_at: (request.idle_heartbeat > 0).then(|| after(now, request.idle_heartbeat)),
            priority: request.is_json.then_some(request.priority),
        }
    }

    /// Its rank where requests have one.
    fn rank(&self) -> i64 {
        self.priority
            .as_ref()
            .map_or(i64::from(i32::MAX), |priority| priority.priority)
    }

    /// Whether its time is up.
    pub(super) fn is_expired(&self, now: WallTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// A time so many nanoseconds later, or earlier.
pub(super) fn after(time: WallTime, nanos: i64) -> WallTime {
    WallTime(time.0.saturating_add_signed(nanos))
}

/// The requests that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitQueue {
    requests: VecDeque<Waiting>,
    count_max: usize,
    is_ranked: bool,
}

impl WaitQueue {
    /// For so many requests; ranked ones stand in the order of their ranks.
    pub(super) fn new(count_max: usize, is_ranked: bool) -> Self {
        Self {
            requests: VecDeque::new(),
            count_max,
            is_ranked,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether no other may wait.
    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= self.count_max
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.requests.iter()
    }

    /// The first.
    pub(super) fn first_mut(&mut self) -> Option<&mut Waiting> {
        self.requests.front_mut()
    }

    /// Lets one more wait; false when there is no place.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        let has_place = !self.is_full();
        if has_place {
            self.insert(waiting);
        }
        has_place
    }

    fn insert(&mut self, waiting: Waiting) {
        if !self.is_ranked {
            self.requests.push_back(waiting);
            return;
        }
        let mut others = self.requests.iter();
        let place = others.position(|other| other.rank() > waiting.rank());
        self.requests
            .insert(place.unwrap_or(self.requests.len()), waiting);
    }

    /// The first goes to the end: it was passed over.
    pub(super) fn cycle(&mut self) {
        self.requests.rotate_left(usize::from(!self.requests.is_empty()));
    }

    /// The first goes.
    pub(super) fn remove_first(&mut self) -> Option<Waiting> {
        self.requests.pop_front()
    }

    /// The first gets a message. It goes when it has all it asked for, or behind the others of its rank.
    pub(super) fn serve_first(
        &mut self,
        next_heartbeat: impl FnOnce(&Waiting) -> Option<WallTime>,
    ) -> Option<Waiting> {
        let mut waiting = self.requests.pop_front()?;
        waiting.delivered += 1;
        waiting.left -= 1;
        if waiting.left > 0 {
            waiting.heartbeat_at = next_heartbeat(&waiting);
            self.insert(waiting.clone());
        }
        Some(waiting)
    }

    /// Keeps those for which `keep` says so.
    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Waiting) -> bool) {
        self.requests.retain_mut(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(reply: &str, batch: i64, priority: i64) -> Waiting {
        let request = PullRequest {
            batch,
            priority: PriorityRequest {
                priority,
                ..PriorityRequest::default()
            },
            is_json: true,
            ..PullRequest::default()
        };
        Waiting::new(request, reply.as_bytes(), reply.as_bytes(), WallTime(0))
    }

    fn served(queue: &mut WaitQueue) -> String {
        let mut order = String::new();
        while let Some(waiting) = queue.serve_first(|waiting| waiting.heartbeat_at) {
            order.push_str(&String::from_utf8_lossy(&waiting.reply));
        }
        order
    }

    #[test]
    fn requests_take_turns() {
        let mut queue = WaitQueue::new(2, false);
        assert!(queue.push(waiting("a", 2, 0)));
        assert!(queue.push(waiting("b", 3, 0)));
        assert!(!queue.push(waiting("c", 1, 0)));
        assert_eq!(served(&mut queue), "ababb");
    }

    #[test]
    fn ranks_come_first() {
        let mut queue = WaitQueue::new(3, true);
        assert!(queue.push(waiting("c", 1, 2)));
        assert!(queue.push(waiting("a", 2, 1)));
        assert!(queue.push(waiting("b", 2, 1)));
        assert_eq!(served(&mut queue), "ababc");
    }
}
