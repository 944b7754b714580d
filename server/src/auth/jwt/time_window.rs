//! Times of day in which a user may be connected.
//!
//! Owns: whether a moment lies in one of them, and how long it lasts. Not here: ending the connection.
//! A window whose end is before its start goes over midnight. The longest of several that hold counts.

use std::time::Duration;

use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use pinion_shard::io::WallTime;

use super::permissions::{time_of_day, time_zone, TimeRange};

/// What the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// There are no windows.
    Always,
    /// Until this moment.
    Until(WallTime),
    /// Not now.
    Closed,
}

/// Looks at the windows at this moment; `zone` is the name of their time zone, empty is the machine's.
pub fn window(times: &[TimeRange], zone: &str, now: WallTime) -> Window {
    if times.is_empty() {
        return Window::Always;
    }
    let zone = if zone.is_empty() {
        Some(TimeZone::system())
    } else {
        time_zone(zone)
    };
    let at = i128::from(now.0);
    let (Some(zone), Ok(at)) = (zone, Timestamp::from_nanosecond(at)) else {
        return Window::Closed;
    };
    let today = at.to_zoned(zone.clone()).date();
    let mut last: Option<Duration> = None;
    for range in times {
        // One window that cannot be read closes all, as it does at the peer.
        let (Some(start), Some(end)) = (
            moment(today, &range.start, &zone),
            moment(today, &range.end, &zone),
        ) else {
            return Window::Closed;
        };
        last = last.max(time_left(start, end, at, || {
            today
                .checked_add(1.day())
                .ok()
                .and_then(|day| moment(day, &range.end, &zone))
        }));
    }
    match last {
        Some(left) => Window::Until(now + left),
        None => Window::Closed,
    }
}

/// How long `now` stays between `start` and `end`; None: it is not there.
fn time_left(
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
    end_tomorrow: impl FnOnce() -> Option<Timestamp>,
) -> Option<Duration> {
    let until = |end: Timestamp| Duration::try_from(end.duration_since(now)).ok();
    if start < now && now < end {
        return until(end);
    }
    if start <= end {
        return None;
    }
    if now < end {
        return until(end);
    }
    end_tomorrow()
        .filter(|end| start < now && now < *end)
        .and_then(until)
}

fn moment(day: civil::Date, time: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (hour, minute, second) = time_of_day(time)?;
    let digit = |number: u8| i8::try_from(number).ok();
    let time = civil::Time::new(digit(hour)?, digit(minute)?, digit(second)?, 0).ok()?;
    let zoned = zone.to_zoned(DateTime::from_parts(day, time)).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        let parsed: Timestamp = text.parse().expect("a time");
        WallTime(u64::try_from(parsed.as_nanosecond()).expect("after 1970"))
    }

    fn ranges(list: &[(&str, &str)]) -> Vec<TimeRange> {
        let range = |&(start, end): &(&str, &str)| TimeRange {
            start: start.to_owned(),
            end: end.to_owned(),
        };
        list.iter().map(range).collect()
    }

    /// By day, by night, over midnight, in other zones and over a change of the clock.
    /// Covers: TestJWTValidateTimesAt
    #[test]
    fn windows_open_and_close() {
        let day: &[(&str, &str)] = &[("08:00:00", "12:00:00"), ("13:00:00", "17:30:00")];
        let night: &[(&str, &str)] = &[("22:00:00", "06:00:00")];
        let overlapping: &[(&str, &str)] = &[("08:00:00", "12:00:00"), ("11:00:00", "15:00:00")];
        let bad: &[(&str, &str)] = &[("00:00:00", "23:59:59"), ("25:00:00", "12:00:00")];
        let until = |text: &str| Window::Until(at(text));
        for (times, zone, now, expected) in [
            (&[][..], "UTC", "2026-03-01T09:00:00Z", Window::Always),
            (day, "UTC", "2026-03-01T09:00:00Z", until("2026-03-01T12:00:00Z")),
            (day, "UTC", "2026-03-01T08:00:00Z", Window::Closed),
            (
                day,
                "UTC",
                "2026-03-01T08:00:00.5Z",
                until("2026-03-01T12:00:00Z"),
            ),
            (day, "UTC", "2026-03-01T12:30:00Z", Window::Closed),
            (day, "UTC", "2026-03-01T17:29:59Z", until("2026-03-01T17:30:00Z")),
            (
                night,
                "UTC",
                "2026-03-01T23:00:00Z",
                until("2026-03-02T06:00:00Z"),
            ),
            (
                night,
                "UTC",
                "2026-03-01T05:00:00Z",
                until("2026-03-01T06:00:00Z"),
            ),
            (night, "UTC", "2026-03-01T06:00:00Z", Window::Closed),
            (night, "UTC", "2026-03-01T21:59:59Z", Window::Closed),
            (
                overlapping,
                "UTC",
                "2026-03-01T11:30:00Z",
                until("2026-03-01T15:00:00Z"),
            ),
            (bad, "UTC", "2026-03-01T11:30:00Z", Window::Closed),
            (
                day,
                "Europe/Berlin",
                "2026-01-15T07:30:00Z",
                until("2026-01-15T11:00:00Z"),
            ),
            (
                day,
                "Europe/Berlin",
                "2026-07-15T06:30:00Z",
                until("2026-07-15T10:00:00Z"),
            ),
            (
                night,
                "America/New_York",
                "2026-01-15T04:00:00Z",
                until("2026-01-15T11:00:00Z"),
            ),
            // The clock goes forward at two in the night: the window is an hour shorter.
            (
                night,
                "Europe/Berlin",
                "2026-03-28T22:00:00Z",
                until("2026-03-29T04:00:00Z"),
            ),
            (day, "Mars/Base", "2026-03-01T09:00:00Z", Window::Closed),
        ] {
            assert_eq!(
                window(&ranges(times), zone, at(now)),
                expected,
                "{times:?} {zone} {now}"
            );
        }
    }
}
