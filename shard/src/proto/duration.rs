//! Durations as Go writes them: `1h2m3.5s`, read and printed byte for byte like the peer.
//!
//! Units: nanoseconds in an `i64`, as there; longer durations are refused.

/// Nanoseconds of one second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Reads Go's duration text into nanoseconds. The error is Go's, byte for byte.
pub fn parse_duration_ns(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    // i128 holds any sum of parts that each passed the bound below.
    let mut total_ns: i128 = 0;
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_dot) => split_digits(after_dot),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_size = after_number
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after_number.len());
        let (unit, after_unit) = after_number.split_at(unit_size);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let unit_ns: i128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quote(unit),
                    quote(text)
                ))
            }
        };
        let whole_count: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().map_err(|_| invalid())?.into()
        };
        total_ns += whole_count * unit_ns + fraction_ns(fraction, unit_ns);
        if total_ns > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
        rest = after_unit;
    }
    let signed = if negative { -total_ns } else { total_ns };
    i64::try_from(signed).map_err(|_| invalid())
}

/// `0.fraction` of a unit; digits below a nanosecond are cut off.
fn fraction_ns(fraction: &str, unit_ns: i128) -> i128 {
    let mut scale: i128 = 1;
    let mut value: i128 = 0;
    // 18 digits are more than the longest unit can tell apart from a cut at the nanosecond.
    for digit in fraction.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    value * unit_ns / scale
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Prints nanoseconds as Go prints a duration: `2m0s`, `1.5s`, `10ms`, `0s`.
pub fn format_duration_ns(duration_ns: i64) -> String {
    let sign = if duration_ns < 0 { "-" } else { "" };
    let size = duration_ns.unsigned_abs();
    let second = SECOND_NS.unsigned_abs();
    if size == 0 {
        return "0s".to_owned();
    }
    if size < second {
        let (unit_ns, unit) = match size {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "\u{b5}s"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{unit}", decimal(size, unit_ns));
    }
    let minutes = size / (60 * second);
    let seconds = decimal(size % (60 * second), second);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `size / unit` with as many decimals as are needed and no more.
fn decimal(size: u64, unit: u64) -> String {
    let rest = size % unit;
    if rest == 0 {
        return (size / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{}.{}", size / unit, digits.trim_end_matches('0'))
}

/// Go's `quote` of a duration: printable ASCII as it is, everything else escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            ' '..='~' => quoted.push(c),
            _ => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts and their nanoseconds, and the errors of Go.
    #[test]
    fn durations_read_like_the_peers() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("5s", Ok(5 * SECOND_NS)),
            ("1h2m3.5s", Ok(3_723 * SECOND_NS + 500_000_000)),
            ("-1.5h", Ok(-5_400 * SECOND_NS)),
            (".5s", Ok(500_000_000)),
            ("5.s", Ok(5 * SECOND_NS)),
            ("+100us", Ok(100_000)),
            ("100\u{b5}s", Ok(100_000)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            (
                "9223372036854775808ns",
                Err("time: invalid duration \"9223372036854775808ns\""),
            ),
            ("3000000h", Err("time: invalid duration \"3000000h\"")),
            ("", Err("time: invalid duration \"\"")),
            ("abc", Err("time: invalid duration \"abc\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5d", Err("time: unknown unit \"d\" in duration \"5d\"")),
            ("1s 2s", Err("time: unknown unit \"s \" in duration \"1s 2s\"")),
        ] {
            assert_eq!(
                parse_duration_ns(text),
                expected.map_err(str::to_owned),
                "{text:?}"
            );
        }
    }

    /// Printed as Go prints them, and read back to the same value.
    #[test]
    fn durations_print_like_the_peers() {
        for (duration_ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (10_000_000, "10ms"),
            (SECOND_NS, "1s"),
            (1_500_000_000, "1.5s"),
            (120 * SECOND_NS, "2m0s"),
            (3_600 * SECOND_NS, "1h0m0s"),
            (-90 * SECOND_NS, "-1m30s"),
        ] {
            assert_eq!(format_duration_ns(duration_ns), text);
            assert_eq!(parse_duration_ns(text), Ok(duration_ns));
        }
    }

    /// What is printed is read back; texts that are none are refused.
    #[test]
    fn printed_is_read_back() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-2_000_000_000, "-2s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(format_duration_ns(nanos), text);
            assert_eq!(parse_duration_ns(text), Ok(nanos));
        }
        assert_eq!(parse_duration_ns("1h1.5s"), Ok(3_601_500_000_000));
        for text in ["", "1", "x", "1.s.", "-", ".s", "99999999999h"] {
            assert!(parse_duration_ns(text).is_err(), "{text}");
        }
    }
}
