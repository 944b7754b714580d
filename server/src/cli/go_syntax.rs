//! Values on the command line as the Go server reads and prints them.
//!
//! Owns: numbers and booleans in Go's syntax, quoting as in its messages. Pure.

/// Why a value was not taken; the text is the Go flag package's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Not of the kind.
    Parse,
    /// A number that does not fit 64 bits.
    Range,
}

impl std::fmt::Display for ValueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ValueError::Parse => "parse error",
            ValueError::Range => "value out of range",
        })
    }
}

/// A boolean: the words Go takes, in no other case.
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ValueError::Parse),
    }
}

/// A signed number with an optional base prefix (`0x`, `0o`, `0`, `0b`) and `_` between digits.
pub fn parse_int(text: &str) -> Result<i64, ValueError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits, prefixed) = split_base(unsigned);
    if digits.is_empty() || !underscores_between_digits(digits, prefixed) {
        return Err(ValueError::Parse);
    }
    let mut magnitude: Option<u64> = Some(0);
    for c in digits.chars().filter(|c| *c != '_') {
        // The whole text is looked at before its size is judged: a wrong digit is the worse news.
        let digit = c.to_digit(radix).ok_or(ValueError::Parse)?;
        magnitude = magnitude
            .and_then(|m| m.checked_mul(u64::from(radix)))
            .and_then(|m| m.checked_add(u64::from(digit)));
    }
    let magnitude = i128::from(magnitude.ok_or(ValueError::Range)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| ValueError::Range)
}

/// Radix, the digits behind the prefix, and whether there was a prefix.
fn split_base(text: &str) -> (u32, &str, bool) {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'0') || bytes.len() == 1 {
        return (10, text, false);
    }
    match bytes[1].to_ascii_lowercase() {
        b'x' => (16, &text[2..], true),
        b'b' => (2, &text[2..], true),
        b'o' => (8, &text[2..], true),
        _ => (8, &text[1..], true),
    }
}

/// One underscore at a time, with a digit (or the base prefix) before it and a digit behind it.
fn underscores_between_digits(digits: &str, prefixed: bool) -> bool {
    !digits.ends_with('_') && !digits.contains("__") && (prefixed || !digits.starts_with('_'))
}

/// `text` in double quotes, as the Go server shows foreign text in a message.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// An OS error in the words of the Go server: the C library's, beginning in lower case.
pub fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as the Go flag package takes them.
    #[test]
    fn numbers() {
        let cases: &[(&str, Result<i64, ValueError>)] = &[
            ("0", Ok(0)),
            ("4222", Ok(4222)),
            ("-1", Ok(-1)),
            ("+7", Ok(7)),
            ("0x10", Ok(16)),
            ("0X1f", Ok(31)),
            ("0b11", Ok(3)),
            ("0o17", Ok(15)),
            ("017", Ok(15)),
            ("1_000", Ok(1000)),
            ("0x_1f", Ok(31)),
            ("0_7", Ok(7)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(ValueError::Range)),
            ("99999999999999999999999", Err(ValueError::Range)),
            ("99999999999999999999999x", Err(ValueError::Parse)),
            ("", Err(ValueError::Parse)),
            ("-", Err(ValueError::Parse)),
            ("--1", Err(ValueError::Parse)),
            ("08", Err(ValueError::Parse)),
            ("0x", Err(ValueError::Parse)),
            ("_1", Err(ValueError::Parse)),
            ("1_", Err(ValueError::Parse)),
            ("1__0", Err(ValueError::Parse)),
            ("1.5", Err(ValueError::Parse)),
            ("5k", Err(ValueError::Parse)),
            (" 5", Err(ValueError::Parse)),
            ("٣", Err(ValueError::Parse)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_int(text), *expected, "{text:?}");
        }
    }

    /// Quoting covers what a terminal would act on.
    #[test]
    fn quoting_escapes_control_characters() {
        assert_eq!(quote("a\"b\\c\n\x1b[31mé"), "\"a\\\"b\\\\c\\n\\x1b[31mé\"");
    }

    /// The same words as the Go server has for a missing file.
    #[test]
    fn os_errors_begin_in_lower_case() {
        assert_eq!(
            os_error(&std::io::Error::from_raw_os_error(2)),
            "no such file or directory"
        );
        assert_eq!(os_error(&std::io::Error::from_raw_os_error(3)), "no such process");
    }
}
