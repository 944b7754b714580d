//! How fast messages may be delivered: flow control's window, the rate limit, the pace of the original.
//!
//! None of this survives.

use pinion_shard::io::WallTime;

use super::waiting::after;

/// Bytes that flow control lets be on their way at most.
const WINDOW_MAX: u64 = 32 * 1024 * 1024;
/// The first window is this part of the largest.
const WINDOW_SLOW_START: u64 = 16;

/// Bytes on their way to a client that paces deliveries by its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FlowWindow {
    size: u64,
    on_their_way: u64,
    asked: Option<Asked>,
}

/// A request for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    subject: Vec<u8>,
    bytes: u64,
}

impl FlowWindow {
    pub(super) fn new() -> Self {
        Self {
            size: WINDOW_MAX / WINDOW_SLOW_START,
            on_their_way: 0,
            asked: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.on_their_way > self.size
    }

    /// The subject of the answer that is waited for.
    pub(super) fn stalled(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(|asked| asked.subject.as_slice())
    }

    /// Counts a message; says whether it is time to ask for an answer.
    pub(super) fn add(&mut self, bytes: u64, is_at_ack_limit: bool) -> bool {
        self.on_their_way += bytes;
        match &mut self.asked {
            None => self.on_their_way > self.size / 2 || is_at_ack_limit,
            Some(asked) => {
                if self.on_their_way.saturating_sub(asked.bytes) >= self.size {
                    asked.bytes += bytes;
                }
                false
            }
        }
    }

    /// An answer is asked for.
    pub(super) fn ask(&mut self, subject: Vec<u8>) {
        let bytes = self.on_their_way;
        self.asked = Some(Asked { subject, bytes });
    }

    /// An answer came; says whether it is the one that is waited for.
    pub(super) fn on_answer(&mut self, subject: &[u8]) -> bool {
        let Some(asked) = self.asked.take_if(|asked| asked.subject == subject) else {
            return false;
        };
        self.size = (self.size * 2).min(WINDOW_MAX);
        self.on_their_way = self.on_their_way.saturating_sub(asked.bytes);
        true
    }
}

/// A rate limit: a bucket of `burst` bytes that fills by the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    bytes_per_second: u64,
    burst: u64,
    /// When the bucket is full again.
    full_at: WallTime,
}

impl RateLimit {
    /// For a rate in bits; none where it is 0.
    pub(super) fn new(bits_per_second: u64, burst: u64) -> Option<Self> {
        let bytes_per_second = bits_per_second / 8;
        (bits_per_second > 0).then_some(Self {
            bytes_per_second: bytes_per_second.max(1),
            burst: burst.max(1),
            full_at: WallTime(0),
        })
    }

    fn time_of(&self, bytes: u64) -> u64 {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Takes bytes out of the bucket, or says when that can be done. What is larger than the bucket counts as a full one.
    pub(super) fn take(&mut self, bytes: u64, now: WallTime) -> Result<(), WallTime> {
        let full_at = self
            .full_at
            .max(now)
            .0
            .saturating_add(self.time_of(bytes.min(self.burst)));
        let allowed_at = full_at.saturating_sub(self.time_of(self.burst));
        if allowed_at > now.0 {
            return Err(WallTime(allowed_at));
        }
        self.full_at = WallTime(full_at);
        Ok(())
    }
}

/// Deliveries as far apart as the messages came in, until what was there at the beginning is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    /// The last message this is for.
    pub(super) until_seq: u64,
    /// When the last one came in, and when it was delivered.
    pub(super) last: Option<(WallTime, WallTime)>,
}

impl Replay {
    /// When a message of this time is due; `None` for at once.
    pub(super) fn due(&self, time: WallTime, now: WallTime) -> Option<WallTime> {
        let (last_time, last_sent) = self.last?;
        let gap = i64::try_from(time.0.saturating_sub(last_time.0)).unwrap_or(i64::MAX);
        // What is closer together than timers are exact goes at once.
        let due = after(last_sent, gap);
        (gap > 1_000_000 && due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_lets_a_burst_pass_and_then_its_rate() {
        let mut limit = RateLimit::new(8_000, 1_000).expect("there is a limit");
        let now = WallTime(1_000_000_000_000);
        assert_eq!(limit.take(1_000, now), Ok(()));
        assert_eq!(limit.take(500, now), Err(after(now, 500_000_000)));
        assert_eq!(limit.take(500, after(now, 500_000_000)), Ok(()));
        assert_eq!(RateLimit::new(0, 1), None);
    }

    #[test]
    fn a_window_opens_with_every_answer() {
        let mut window = FlowWindow::new();
        assert!(!window.add(1024 * 1024, false));
        assert!(window.add(1, false));
        window.ask(b"fc".to_vec());
        assert!(!window.add(2 * 1024 * 1024, false));
        assert!(window.is_full());
        assert!(!window.on_answer(b"other"));
        assert!(window.on_answer(b"fc"));
        assert!(!window.is_full());
        assert_eq!(window.stalled(), None);
    }
}
