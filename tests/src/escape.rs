//! Bytes as one line of readable text, and back.
//!
//! Escapes: `\r \n \t \\ \0 \xHH`, and `\{N c}` for N times the character c, so that a payload of a megabyte
//! fits a line of a transcript. Printable ASCII stands for itself; everything else is `\xHH`.

/// A run of one byte longer than this is written as `\{N c}`.
const RUN_MIN: usize = 24;

/// Writes `bytes` so that `unescape` gives them back.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let run = rest.iter().take_while(|&&b| b == byte).count();
        if run >= RUN_MIN && byte.is_ascii_alphanumeric() {
            text.push_str(&format!("\\{{{run} {}}}", char::from(byte)));
            rest = &rest[run..];
            continue;
        }
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            0 => text.push_str("\\0"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
        rest = &rest[1..];
    }
    text
}

/// Reads what `escape` wrote. Bytes above ASCII stand for themselves (UTF-8).
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            let mut utf8 = [0; 4];
            bytes.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
            continue;
        }
        match chars.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('\\') => bytes.push(b'\\'),
            Some('0') => bytes.push(0),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                bytes.push(
                    u8::from_str_radix(&hex, 16).map_err(|_| format!("\\x{hex}: two hex digits wanted"))?,
                );
            }
            Some('{') => {
                let inner: String = chars.by_ref().take_while(|&c| c != '}').collect();
                let (count, unit) = inner
                    .split_once(' ')
                    .ok_or_else(|| format!("\\{{{inner}}}: want \\{{N c}}"))?;
                let count: usize = count
                    .parse()
                    .map_err(|_| format!("\\{{{inner}}}: {count} is no number"))?;
                bytes.extend(unit.as_bytes().repeat(count));
            }
            other => return Err(format!("unknown escape {other:?} in {text:?}")),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{escape, unescape};

    #[test]
    fn escape_and_unescape_are_inverse() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let long_run = [b"ab".as_slice(), &[b'x'; 100], b"\r\n"].concat();
        for bytes in [every_byte.as_slice(), &long_run, b"", b"\\{3 x}"] {
            assert_eq!(unescape(&escape(bytes)).expect("escape writes valid text"), bytes);
        }
    }

    #[test]
    fn long_runs_are_short_text() {
        assert_eq!(escape(&[b'x'; 100]), "\\{100 x}");
        assert_eq!(unescape("\\{3 ab}").expect("valid"), b"ababab");
    }

    #[test]
    fn wrong_escapes_are_refused() {
        for text in ["\\q", "\\xg0", "\\{x}", "\\{x y}", "end\\"] {
            assert!(unescape(text).is_err(), "{text} was taken");
        }
    }
}
