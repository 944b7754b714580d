//! When a scheduled message fires, and which messages wait to.
//!
//! Owns: the patterns and the index of schedules by time. Not here: what is sent when one fires (`due`), cron (`cron`).
//! A time is worked out once, where the entry is made, and stored in it: time zones change, entries do not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::Timestamp;
use pinion_shard::io::WallTime;
use pinion_shard::proto::duration;

use super::cron;
use super::headers::PublishHeaders;
use crate::error::{self, ErrorKind};

/// When a pattern fires next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) at: WallTime,
    /// Whether it fires again after that.
    pub(crate) repeats: bool,
}

/// The next time of a message's schedule after `after`; `None` where it has none. Times that were missed before `now` are
/// stepped over.
pub(crate) fn next(
    headers: &PublishHeaders<'_>,
    after: WallTime,
    now: WallTime,
) -> Result<Option<Next>, ErrorKind> {
    let zone = match headers.schedule_time_zone {
        None => None,
        Some(name) => Some(time_zone(name).ok_or(error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)?),
    };
    let Some(pattern) = headers.schedule else {
        return Ok(None);
    };
    std::str::from_utf8(pattern)
        .ok()
        .and_then(|pattern| next_of(pattern, zone, after, now))
        .map(Some)
        .ok_or(error::MESSAGE_SCHEDULES_PATTERN_INVALID)
}

fn time_zone(name: &[u8]) -> Option<TimeZone> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok()
}

fn next_of(pattern: &str, zone: Option<TimeZone>, after: WallTime, now: WallTime) -> Option<Next> {
    if let Some(time) = pattern.strip_prefix("@at ") {
        if zone.is_some() {
            return None;
        }
        let at = crate::time::parse(time)?;
        return Some(Next { at, repeats: false });
    }
    if let Some(interval) = pattern.strip_prefix("@every ") {
        let interval = duration::parse_duration_ns(interval).ok()?;
        if zone.is_some() || interval < duration::SECOND_NS {
            return None;
        }
        let interval = u64::try_from(interval).ok()?;
        let mut at = round_to_second(after).saturating_add(interval);
        if at < now.0 {
            at = round_to_second(now).saturating_add(interval);
        }
        return Some(Next {
            at: WallTime(at),
            repeats: true,
        });
    }
    let pattern = match pattern {
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        other => other,
    };
    let zone = zone.unwrap_or(TimeZone::UTC);
    let after_ns = |ns: u64| {
        let after = Timestamp::from_nanosecond(i128::from(ns)).ok()?;
        let at = cron::next(pattern, &zone, after).ok()?;
        u64::try_from(at.as_nanosecond()).ok()
    };
    let mut at = after_ns(after.0)?;
    if at < now.0 {
        at = after_ns(round_to_second(now))?;
    }
    Some(Next {
        at: WallTime(at),
        repeats: true,
    })
}

fn round_to_second(time: WallTime) -> u64 {
    let second = duration::SECOND_NS.unsigned_abs();
    time.0.saturating_add(second / 2) / second * second
}

/// The schedules of a stream, one a subject.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    by_subject: BTreeMap<Vec<u8>, (WallTime, u64)>,
    by_time: BTreeSet<(WallTime, u64, Vec<u8>)>,
}

impl Schedules {
    /// The message `seq` of this subject fires at this time, and no older one does.
    pub(crate) fn set(&mut self, subject: &[u8], at: WallTime, seq: u64) {
        self.remove(subject);
        self.by_subject.insert(subject.to_vec(), (at, seq));
        self.by_time.insert((at, seq, subject.to_vec()));
    }

    /// The schedule of this subject fires at another time.
    pub(crate) fn set_time(&mut self, subject: &[u8], at: WallTime) {
        if let Some((_, seq)) = self.by_subject.get(subject).copied() {
            self.set(subject, at, seq);
        }
    }

    /// Nothing of this subject fires.
    pub(crate) fn remove(&mut self, subject: &[u8]) {
        if let Some((at, seq)) = self.by_subject.remove(subject) {
            self.by_time.remove(&(at, seq, subject.to_vec()));
        }
    }

    /// The message `seq` of this subject is gone.
    pub(crate) fn remove_seq(&mut self, subject: &[u8], seq: u64) {
        if self.by_subject.get(subject).is_some_and(|(_, own)| *own == seq) {
            self.remove(subject);
        }
    }

    /// Keeps the schedules whose message is still the last of its subject.
    pub(crate) fn retain(&mut self, last_seq_of: impl Fn(&[u8]) -> Option<u64>) {
        let gone: Vec<_> = self
            .by_subject
            .iter()
            .filter(|(subject, (_, seq))| last_seq_of(subject) != Some(*seq))
            .map(|(subject, _)| subject.clone())
            .collect();
        for subject in gone {
            self.remove(&subject);
        }
    }

    /// When the first one fires.
    pub(crate) fn next(&self) -> Option<WallTime> {
        self.by_time.first().map(|(at, _, _)| *at)
    }

    /// The schedules that fire up to `now`: time, sequence and subject, in order of sequence.
    pub(crate) fn due(&self, now: WallTime) -> Vec<(u64, WallTime, Vec<u8>)> {
        let mut due: Vec<_> = self
            .by_time
            .iter()
            .take_while(|(at, _, _)| *at <= now)
            .map(|(at, seq, subject)| (*seq, *at, subject.clone()))
            .collect();
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        crate::time::parse(text).unwrap()
    }

    fn next_time(pattern: &str, after: &str, now: &str) -> Option<String> {
        next_of(pattern, None, at(after), at(now)).map(|next| crate::time::format(next.at))
    }

    #[test]
    fn patterns_give_their_next_time() {
        let cases = [
            (
                "@at 2026-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
            ),
            ("@every 90s", "2026-01-01T00:00:00.4Z", "2026-01-01T00:01:30Z"),
            ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ];
        for (pattern, after, expected) in cases {
            assert_eq!(
                next_time(pattern, after, after).as_deref(),
                Some(expected),
                "{pattern}"
            );
        }
        // What was missed is stepped over.
        assert_eq!(
            next_time("@every 10s", "2026-01-01T00:00:00Z", "2026-01-01T01:00:01Z").as_deref(),
            Some("2026-01-01T01:00:11Z")
        );
        for wrong in ["@every 999ms", "@every x", "@at soon", "@fortnightly", "x"] {
            assert_eq!(
                next_time(wrong, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
                None,
                "{wrong}"
            );
        }
    }
}
