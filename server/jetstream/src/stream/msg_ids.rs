//! The message ids of the last while, so that a message published twice is stored once.

use std::collections::{HashMap, VecDeque};

use pinion_shard::io::WallTime;

/// Ids with their sequence and time.
#[derive(Debug, Default)]
pub(super) struct MsgIds {
    /// Only looked up, never walked: its order is not seen.
    by_id: HashMap<Vec<u8>, (u64, WallTime)>,
    by_time: VecDeque<(WallTime, Vec<u8>)>,
}

impl MsgIds {
    /// The sequence of the message with this id, if it is not older than the window.
    pub(super) fn get(&self, id: &[u8], now: WallTime, window_ns: i64) -> Option<u64> {
        let (seq, time) = self.by_id.get(id)?;
        is_within(*time, now, window_ns).then_some(*seq)
    }

    /// Remembers an id, and forgets what is older than the window. A window of 0 remembers nothing.
    pub(super) fn insert(&mut self, id: &[u8], seq: u64, now: WallTime, window_ns: i64) {
        self.forget(now, window_ns);
        if window_ns > 0 {
            self.by_id.insert(id.to_vec(), (seq, now));
            self.by_time.push_back((now, id.to_vec()));
        }
    }

    /// Forgets what is older than the window.
    pub(super) fn forget(&mut self, now: WallTime, window_ns: i64) {
        while let Some((time, id)) = self.by_time.front() {
            if is_within(*time, now, window_ns) {
                return;
            }
            if self.by_id.get(id).is_some_and(|(_, last)| last == time) {
                self.by_id.remove(id);
            }
            self.by_time.pop_front();
        }
    }
}

fn is_within(time: WallTime, now: WallTime, window_ns: i64) -> bool {
    now.0.saturating_sub(time.0) < u64::try_from(window_ns).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_for_the_window() {
        let mut ids = MsgIds::default();
        ids.insert(b"a", 1, WallTime(10), 100);
        assert_eq!(ids.get(b"a", WallTime(109), 100), Some(1));
        assert_eq!(ids.get(b"a", WallTime(110), 100), None);
        ids.insert(b"a", 2, WallTime(120), 100);
        assert_eq!(ids.get(b"a", WallTime(121), 100), Some(2));
        ids.forget(WallTime(300), 100);
        assert_eq!((ids.by_id.len(), ids.by_time.len()), (0, 0));
        ids.insert(b"b", 3, WallTime(300), 0);
        assert_eq!(ids.get(b"b", WallTime(300), 0), None);
    }
}
