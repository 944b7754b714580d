//! Text to values. Errors are the peer's, byte for byte, with the offset it would name.
//!
//! Owns: syntax. Numbers stay text: what fits is the field's affair. Nesting is bounded.

/// Deeper nesting is refused. No request needs more than five levels.
const DEPTH_MAX: usize = 128;

/// A value of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string; what is not UTF-8 became U+FFFD.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order of the document; keys may repeat.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The value as JSON, without blanks.
    pub(crate) fn to_json(&self) -> String {
        let text = |text: &String| String::from_utf8_lossy(&super::to_vec(text)).into_owned();
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.clone(),
            Self::String(string) => text(string),
            Self::Array(items) => {
                let items: Vec<String> = items.iter().map(Self::to_json).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                let member = |(key, value): &(String, Self)| format!("{}:{}", text(key), value.to_json());
                let members: Vec<String> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
}

/// All documents of a text, and how it ended.
pub fn parse_all(bytes: &[u8]) -> (Vec<Value>, Result<(), String>) {
    let mut parser = Parser { bytes, at: 0 };
    let mut values = Vec::new();
    loop {
        parser.skip_blanks();
        if parser.at == bytes.len() {
            return (values, Ok(()));
        }
        match parser.value(0) {
            Ok(value) => values.push(value),
            Err(error) => return (values, Err(error)),
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The error for the byte that comes next, or for the end of the text.
    fn unexpected<T>(&self, context: &str) -> Result<T, String> {
        Err(match self.peek() {
            None => "unexpected EOF".to_owned(),
            Some(byte) => format!(
                "invalid character {} {context} at offset {}",
                quote(byte),
                self.at + 1
            ),
        })
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("exceeded max depth at offset {}", self.at));
        }
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => self.unexpected("looking for beginning of value"),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.unexpected(&format!("in literal {word} (expecting {})", quote(expected)));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return self.unexpected("looking for beginning of object key string");
            }
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return self.unexpected("after object key");
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            members.push((key, value));
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(members));
                }
                _ => return self.unexpected("after object key:value pair"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return self.unexpected("after array element"),
            }
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if !self.digits() {
            return self.unexpected("in numeric literal");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return self.unexpected("after decimal point in numeric literal");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return self.unexpected("in exponent of numeric literal");
            }
        }
        let text = &self.bytes[start..self.at];
        Ok(Value::Number(String::from_utf8_lossy(text).into_owned()))
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(&text).into_owned());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                Some(byte @ 0x20..) => {
                    text.push(byte);
                    self.at += 1;
                }
                _ => return self.unexpected("in string literal"),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), String> {
        let plain = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => same,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let mut unit = self.hex()?;
                // The second half of a pair follows as an escape of its own, or the first half stands for nothing.
                let mut c = char::from_u32(unit);
                if (0xd800..0xdc00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        c = char::from_u32(unit);
                    } else {
                        self.at = before;
                    }
                }
                let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return self.unexpected("in string escape code"),
        };
        text.push(plain);
        self.at += 1;
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.unexpected("in \\u hexadecimal character escape");
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// A byte as the peer shows it in an error.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..0xa0 | 0xad => format!("'\\u00{byte:02x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse_all(text.as_bytes()).1.unwrap_err()
    }

    #[test]
    fn errors_are_the_peers() {
        assert_eq!(error("{"), "unexpected EOF");
        assert_eq!(
            error("{a"),
            "invalid character 'a' looking for beginning of object key string at offset 2"
        );
        assert_eq!(
            error(r#"{"a" 1}"#),
            "invalid character '1' after object key at offset 6"
        );
        assert_eq!(
            error(r#"{"a":1 2}"#),
            "invalid character '2' after object key:value pair at offset 8"
        );
        assert_eq!(
            error("tru "),
            "invalid character ' ' in literal true (expecting 'e') at offset 4"
        );
        assert_eq!(
            error("[1 2]"),
            "invalid character '2' after array element at offset 4"
        );
        assert_eq!(
            error("{} x"),
            "invalid character 'x' looking for beginning of value at offset 4"
        );
    }

    /// What serde_json reads, this reads to the same values; what it refuses, this refuses.
    #[test]
    fn agrees_with_serde_json() {
        proptest!(|(text in r#"[\[\]{}:,"\\a-c0-2.eE+ ntrue-]{0,12}"#)| {
            let (values, end) = parse_all(text.as_bytes());
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
            let ours = end.is_ok() && values.len() == 1;
            // A number that no float holds is fine here, and so are numbers that touch.
            let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(too_large || theirs.is_ok() == ours || theirs.is_err(), "{text}: {values:?} {theirs:?}");
            if theirs.is_err() && ours && !too_large {
                prop_assert!(false, "{text}: {values:?} {theirs:?}");
            }
        });
    }
}
