//! Durations, times, numbers and foreign bytes as the peer's JSON shows them.
//!
//! Not here: which fields there are.

use std::time::Duration;

use pinion_shard::io::WallTime;
use serde::{Serialize, Serializer};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How long something lasts, in whole seconds: `1y2d3h4m5s`, from the first unit that is not zero on.
pub(super) fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let years = days / 365;
    let units = [
        (years, "y", years),
        (days, "d", days % 365),
        (hours, "h", hours % 24),
        (minutes, "m", minutes % 60),
    ];
    let mut text = String::new();
    for (whole, name, part) in units {
        if whole > 0 {
            text.push_str(&format!("{part}{name}"));
        }
    }
    text.push_str(&format!("{}s", seconds % 60));
    text
}

/// A round trip: below a millisecond in whole microseconds, otherwise to the nanosecond.
pub(super) fn round_trip(duration: Duration) -> String {
    let micro = Duration::from_micros(1);
    if duration > micro && duration < Duration::from_millis(1) {
        return go_duration(Duration::from_micros(
            u64::try_from(duration.as_micros()).expect("below a millisecond"),
        ));
    }
    go_duration(duration)
}

/// A duration in Go's words: `1.5ms`, `2m3s`, `0s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let seconds = nanos / u128::from(NANOS_PER_SECOND);
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let rest = decimal(
                nanos % (60 * u128::from(NANOS_PER_SECOND)),
                NANOS_PER_SECOND.into(),
            );
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// `value / unit` without trailing zeros; `unit` is a power of ten.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let part = format!("{part:0digits$}");
    format!("{whole}.{}", part.trim_end_matches('0'))
}

/// A point in time as RFC 3339 in UTC, with as many digits of the second as needed.
pub(super) fn time(wall: WallTime) -> String {
    wall.to_string()
}

/// Bytes of the wire as text of JSON.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number that may have a fraction, without one when it has none: `2`, `0.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Above this a float no longer holds every integer.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < WHOLE_MAX {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and in range, checked above"
            )]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uptimes begin with the first unit that is not zero.
    /// Covers: TestMyUptime
    #[test]
    fn uptimes() {
        for (seconds, shown) in [
            (0, "0s"),
            (22, "22s"),
            (60, "1m0s"),
            (4 * 60 + 22, "4m22s"),
            (4 * 3_600 + 4 * 60 + 22, "4h4m22s"),
            (86_400, "1d0h0m0s"),
            (32 * 86_400 + 4 * 3_600 + 4 * 60 + 22, "32d4h4m22s"),
            (
                22 * 365 * 86_400 + 32 * 86_400 + 4 * 3_600 + 4 * 60 + 22,
                "22y32d4h4m22s",
            ),
        ] {
            assert_eq!(uptime(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(uptime(Duration::from_millis(1_999)), "1s");
    }

    /// Round trips lose what is below a microsecond when they are below a millisecond.
    #[test]
    fn round_trips() {
        for (nanos, shown) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1µs"),
            (1_001, "1µs"),
            (309_877, "309µs"),
            (999_999, "999µs"),
            (1_000_000, "1ms"),
            (1_200_000, "1.2ms"),
            (1_234_567, "1.234567ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (62_000_000_001, "1m2.000000001s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(round_trip(Duration::from_nanos(nanos)), shown, "{nanos}");
        }
    }

    /// Times lose the zeros at their end; leap days are where they belong.
    #[test]
    fn times() {
        for (nanos, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_709_164_800_500_000_000, "2024-02-29T00:00:00.5Z"),
            (1_735_689_599_999_999_990, "2024-12-31T23:59:59.99999999Z"),
            (1_735_689_600_000_000_000, "2025-01-01T00:00:00Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time(WallTime(nanos)), shown);
        }
    }

    /// Whole numbers show no fraction.
    #[test]
    fn numbers() {
        for (number, shown) in [
            (0.0, "0"),
            (2.0, "2"),
            (0.5, "0.5"),
            (-3.0, "-3"),
            (0.2857142857142857, "0.2857142857142857"),
        ] {
            assert_eq!(serde_json::to_string(&Number(number)).unwrap(), shown);
        }
    }
}
