//! Cron patterns of six fields: second, minute, hour, day of month, month, day of week.
//!
//! Owns: reading a pattern and finding the next time that fits, in a time zone. Not here: the words that stand for
//! patterns (`schedule`).
//! Where both days are restricted, either may fit; where one is `*`, both must. What no day within five years fits is
//! an error.

use jiff::civil::Weekday;
use jiff::{Timestamp, ToSpan, Zoned};

/// How far ahead a time is looked for.
const YEARS_MAX: i16 = 5;

/// A field: a bit for each value, and whether it was `*`.
#[derive(Clone, Copy, Debug)]
struct Field {
    bits: u64,
    any: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        self.bits >> u32::try_from(value).unwrap_or(63) & 1 == 1
    }
}

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn bounds(min: u32, max: u32, names: &'static [&'static str]) -> Bounds {
    Bounds { min, max, names }
}

/// The pattern is none, or nothing fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidPattern;

/// The first time after `after` that fits.
pub(crate) fn next(
    pattern: &str,
    zone: &jiff::tz::TimeZone,
    after: Timestamp,
) -> Result<Timestamp, InvalidPattern> {
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let [second, minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(InvalidPattern);
    };
    let second = field(second, &bounds(0, 59, &[]))?;
    let minute = field(minute, &bounds(0, 59, &[]))?;
    let hour = field(hour, &bounds(0, 23, &[]))?;
    let day = field(day, &bounds(1, 31, &[]))?;
    let month = field(month, &bounds(1, 12, MONTHS))?;
    let weekday = field(weekday, &bounds(0, 6, WEEKDAYS))?;
    let fits_day = |at: &Zoned| {
        let by_day = day.has(at.day());
        let by_weekday = weekday.has(Weekday::to_sunday_zero_offset(at.weekday()));
        if day.any || weekday.any {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        }
    };

    let whole = Timestamp::from_second(after.as_second() + 1).map_err(|_| InvalidPattern)?;
    let mut at = whole.to_zoned(zone.clone());
    let year_max = at.year() + YEARS_MAX;
    // Each step goes to the beginning of the next month, day, hour, minute or second, the largest that does not fit.
    while at.year() <= year_max {
        let next = if !month.has(at.month()) {
            at.first_of_month()
                .and_then(|first| first.start_of_day())
                .and_then(|first| first.checked_add(1.month()))
        } else if !fits_day(&at) {
            at.start_of_day().and_then(|start| start.checked_add(1.day()))
        } else if !hour.has(at.hour()) {
            let into = i64::from(at.minute()) * 60 + i64::from(at.second());
            at.checked_add((3600 - into).seconds())
        } else if !minute.has(at.minute()) {
            at.checked_add((60 - i64::from(at.second())).seconds())
        } else if !second.has(at.second()) {
            at.checked_add(1.second())
        } else {
            return Ok(at.timestamp());
        };
        at = next.map_err(|_| InvalidPattern)?;
    }
    Err(InvalidPattern)
}

fn field(text: &str, bounds: &Bounds) -> Result<Field, InvalidPattern> {
    let mut found = Field { bits: 0, any: false };
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let range = one_range(range, bounds)?;
        found.bits |= range.bits;
        found.any |= range.any;
    }
    Ok(found)
}

/// `*`, `n`, `n-m`, and each of them with `/step`.
fn one_range(text: &str, bounds: &Bounds) -> Result<Field, InvalidPattern> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let mut any = matches!(ends[0], "*" | "?");
    let (start, mut end) = if any {
        (bounds.min, bounds.max)
    } else {
        let start = number(ends[0], bounds)?;
        match ends.as_slice() {
            [_] => (start, start),
            [_, end] => (start, number(end, bounds)?),
            _ => return Err(InvalidPattern),
        }
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step, &self::bounds(0, 0, &[]))?;
            if ends.len() == 1 {
                end = bounds.max;
            }
            any &= step <= 1;
            step
        }
        _ => return Err(InvalidPattern),
    };
    if start < bounds.min || end > bounds.max || start > end || step == 0 {
        return Err(InvalidPattern);
    }
    let bits = (start..=end)
        .step_by(step as usize)
        .fold(0, |bits, value| bits | 1 << value);
    Ok(Field { bits, any })
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, InvalidPattern> {
    let name = bounds
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    if let Some(index) = name.and_then(|index| u32::try_from(index).ok()) {
        return Ok(bounds.min + index);
    }
    let number: i64 = text.parse().map_err(|_| InvalidPattern)?;
    u32::try_from(number).map_err(|_| InvalidPattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pattern: &str, zone: &str, after: &str) -> Option<String> {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let time = next(pattern, &zone, after.parse().unwrap()).ok()?;
        Some(time.to_string())
    }

    #[test]
    fn the_next_time_fits() {
        let cases = [
            ("* * * * * *", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z"),
            ("0 0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("0 0 0 1 1 *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            (
                "0 30 9-17/4 * * MON-FRI",
                "2026-01-02T17:31:00Z",
                "2026-01-05T09:30:00Z",
            ),
            ("0 0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("*/20 * * * * *", "2026-01-01T00:00:21Z", "2026-01-01T00:00:40Z"),
            (
                "5/20 59 23 31 12 *",
                "2026-01-01T00:00:00Z",
                "2026-12-31T23:59:05Z",
            ),
        ];
        for (pattern, from, expected) in cases {
            assert_eq!(
                after(pattern, "UTC", from).as_deref(),
                Some(expected),
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_never_fits_or_is_no_pattern_is_refused() {
        for pattern in [
            "0 0 0 30 2 *",
            "* * * * *",
            "60 * * * * *",
            "* * * 0 * *",
            "a * * * * *",
            "1-2-3 * * * * *",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "1/2/3 * * * * *",
            "-1 * * * * *",
            "",
            "* * * * * 7",
        ] {
            assert_eq!(after(pattern, "UTC", "2026-01-01T00:00:00Z"), None, "{pattern}");
        }
    }
}
