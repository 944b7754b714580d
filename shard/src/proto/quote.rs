//! Quoting of foreign bytes for error texts and log lines, in the form the peer uses (Go's `%q`).

/// Appends `bytes` in double quotes; what does not print is escaped, so the result is one harmless line.
pub fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            quote_character(out, character);
        }
        for byte in chunk.invalid() {
            push_hex_byte(out, *byte);
        }
    }
    out.push(b'"');
}

fn quote_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\x07' => out.extend_from_slice(b"\\a"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\x0b' => out.extend_from_slice(b"\\v"),
        _ => match u8::try_from(character) {
            Ok(byte) if byte.is_ascii_control() => push_hex_byte(out, byte),
            Ok(byte) if character.is_control() => {
                out.extend_from_slice(b"\\u00");
                push_hex_digits(out, byte);
            }
            _ => {
                let mut utf8 = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
        },
    }
}

fn push_hex_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\x");
    push_hex_digits(out, byte);
}

fn push_hex_digits(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let mut out = Vec::new();
        quote(&mut out, bytes);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    /// Text is kept, everything that could break a line or a terminal is escaped.
    #[test]
    fn escapes_what_does_not_print() {
        check(b"foo.bar", "\"foo.bar\"");
        check(b"a\"b\\c", "\"a\\\"b\\\\c\"");
        check(b"\x00\x1b\n\x7f", "\"\\x00\\x1b\\n\\x7f\"");
        check(b"\xff\xc3", "\"\\xff\\xc3\"");
        check("\u{e4}\u{85}".as_bytes(), "\"\u{e4}\\u0085\"");
    }
}
