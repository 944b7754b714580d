//! Reads keys and plain values off the text of a configuration file.
//!
//! The language has no tokens apart from their place: `5s` is a text, `5m` a number, `{` opens a map after a key but
//! belongs to a key that started before it. So there is no token stream: the parser says what it expects, and asks.
//! Owns: the cursor, comments, keys, texts, numbers, dates. Not here: maps, lists, variables, includes (`parser`).
//! Units: offsets in bytes; `Place` counts lines and columns from 1, columns in bytes.
//!
//! Invariants
//!   offset <= bytes.len(), and no function moves it back behind the place where it was called
//!   a NUL byte never is part of a key or value: `new` refuses text that holds one

use super::value::Value;

/// Where the cursor stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Text that is not of the language.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LexError {
    pub(super) at: Place,
    pub(super) text: String,
}

/// What a value starts with.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum ValueStart {
    /// `{` was read.
    Map,
    /// `[` was read.
    List,
    /// The whole value was read.
    Plain(Value),
    /// `$name` was read; the name stands here.
    Variable(String),
}

/// A key, or the keyword that stands in its place.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Key {
    Named(String),
    /// `include` and a space: the path that follows it.
    Include(String),
}

/// What a separator between entries was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blank {
    /// Spaces and tabs.
    Spaces,
    /// All white space, new lines included.
    All,
}

pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: u32,
    /// Offset of the first byte of the line.
    line_start: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Lexer<'a>, LexError> {
        let mut lexer = Lexer {
            bytes,
            offset: 0,
            line: 1,
            line_start: 0,
        };
        if let Some(nul) = bytes.iter().position(|byte| *byte == 0) {
            lexer.advance(nul);
            return Err(lexer.error("unexpected NUL byte: is this a text file?"));
        }
        Ok(lexer)
    }

    pub(super) fn place(&self) -> Place {
        self.place_at(self.offset)
    }

    /// Of an offset in the current line.
    fn place_at(&self, offset: usize) -> Place {
        let column = offset.saturating_sub(self.line_start) + 1;
        Place {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn error(&self, text: impl Into<String>) -> LexError {
        LexError {
            at: self.place(),
            text: text.into(),
        }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn peek_second(&self) -> Option<u8> {
        self.bytes.get(self.offset + 1).copied()
    }

    pub(super) fn at_end(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    /// Moves over `count` bytes, or to the end.
    pub(super) fn advance(&mut self, count: usize) {
        for _ in 0..count {
            match self.peek() {
                None => return,
                Some(b'\n') => {
                    self.line = self.line.saturating_add(1);
                    self.line_start = self.offset + 1;
                }
                Some(_) => {}
            }
            self.offset += 1;
        }
    }

    /// What stands at the cursor, for a message.
    pub(super) fn found(&self) -> String {
        match self.peek() {
            None => "EOF".to_owned(),
            Some(_) => {
                let rest = &self.bytes[self.offset..];
                let first = String::from_utf8_lossy(&rest[..rest.len().min(4)]).chars().next();
                match first.unwrap_or('?') {
                    c if c.is_control() => format!("'{}'", c.escape_default()),
                    c => format!("'{c}'"),
                }
            }
        }
    }

    pub(super) fn skip_blank(&mut self, blank: Blank) {
        loop {
            let size = match blank {
                Blank::Spaces => usize::from(matches!(self.peek(), Some(b' ' | b'\t'))),
                Blank::All => self.white_space_size(),
            };
            if size == 0 {
                return;
            }
            self.advance(size);
        }
    }

    /// Bytes of the white space character at the cursor, Unicode's included; 0 where there is none.
    fn white_space_size(&self) -> usize {
        let rest = &self.bytes[self.offset..];
        match rest.first() {
            Some(byte) if byte.is_ascii() => usize::from(matches!(byte, b' ' | 0x09..=0x0d)),
            Some(_) => {
                let head = &rest[..rest.len().min(4)];
                let valid = match std::str::from_utf8(head) {
                    Ok(text) => text,
                    Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
                };
                valid
                    .chars()
                    .next()
                    .filter(|c| c.is_whitespace())
                    .map_or(0, char::len_utf8)
            }
            None => 0,
        }
    }

    /// Moves over a comment up to the end of its line; says whether there was one.
    pub(super) fn skip_comment(&mut self) -> bool {
        let found = matches!(
            (self.peek(), self.peek_second()),
            (Some(b'#'), _) | (Some(b'/'), Some(b'/'))
        );
        if found {
            while !matches!(self.peek(), None | Some(b'\n' | b'\r')) {
                self.advance(1);
            }
        }
        found
    }

    /// After an error: moves to the end of the line, or to the bracket that closes what we are inside of. What is
    /// opened on the way is skipped whole. Moves at least one byte, so that errors come to an end.
    pub(super) fn resynchronise(&mut self, since: usize) {
        if self.offset == since {
            self.advance(1);
        }
        let mut open_count = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' | b'[' => open_count += 1,
                b'}' | b']' if open_count == 0 => return,
                b'}' | b']' => open_count -= 1,
                b'\n' if open_count == 0 => return,
                _ => {}
            }
            self.advance(1);
        }
    }

    /// Reads a key up to its separator, which stays.
    pub(super) fn key(&mut self) -> Result<Key, LexError> {
        let start = self.place();
        match self.peek() {
            Some(byte @ (b'=' | b':')) => {
                return Err(self.error(format!("Unexpected key separator '{}'", char::from(byte))));
            }
            Some(quote @ (b'"' | b'\'')) => {
                self.advance(1);
                let bytes = self.until_quote(quote, start, "key")?;
                return Ok(Key::Named(to_text(bytes, start)?));
            }
            _ => {}
        }
        let from = self.offset;
        // The first byte belongs to the key whatever it is; what it must not be is the parser's to know.
        self.advance(1);
        while !matches!(self.peek(), None | Some(b'=' | b':')) && self.white_space_size() == 0 {
            self.advance(1);
        }
        let name = to_text(&self.bytes[from..self.offset], start)?;
        if name.eq_ignore_ascii_case("include") && self.white_space_size() > 0 {
            return Ok(Key::Include(self.include_path()?));
        }
        Ok(Key::Named(name))
    }

    fn include_path(&mut self) -> Result<String, LexError> {
        self.skip_blank(Blank::Spaces);
        let start = self.place();
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                self.advance(1);
                return to_text(self.until_quote(quote, start, "include")?, start);
            }
            Some(b'[') => return Err(self.error("Expected include value but found start of an array")),
            Some(b'{') => return Err(self.error("Expected include value but found start of a map")),
            Some(b'(') => return Err(self.error("Expected include value but found start of a block")),
            Some(b'0'..=b'9' | b'-') => {
                return Err(self.error("Expected include value but found start of a number"));
            }
            Some(b'\\') => return Err(self.error("Expected include value but found escape sequence")),
            None | Some(b'\n' | b'\r') => {
                return Err(self.error("Expected include value but found new line"));
            }
            Some(_) => {}
        }
        let from = self.offset;
        while !matches!(
            self.peek(),
            None | Some(b'\n' | b'\r' | b';' | b'}' | b' ' | b'\t' | b'\'')
        ) {
            self.advance(1);
        }
        let path = to_text(&self.bytes[from..self.offset], start)?;
        if self.peek() == Some(b'\'') {
            self.advance(1);
        }
        Ok(path)
    }

    /// The bytes up to `quote`, which is read as well. `start` is where the opening one stood.
    fn until_quote(&mut self, quote: u8, start: Place, what: &str) -> Result<&'a [u8], LexError> {
        let from = self.offset;
        match self.bytes[from..].iter().position(|byte| *byte == quote) {
            Some(size) => {
                self.advance(size + 1);
                Ok(&self.bytes[from..from + size])
            }
            None => {
                self.advance(self.bytes.len() - from);
                Err(LexError {
                    at: start,
                    text: format!("Unexpected EOF. The quoted {what} that starts here is never closed"),
                })
            }
        }
    }

    /// Reads a plain value, or what opens a list or map. White space before it is the parser's. `in_list` says that a
    /// closing bracket ends a number; elsewhere it makes a text of it.
    pub(super) fn value(&mut self, in_list: bool) -> Result<ValueStart, LexError> {
        let start = self.place();
        match self.peek() {
            Some(b'[') => {
                self.advance(1);
                Ok(ValueStart::List)
            }
            Some(b'{') => {
                self.advance(1);
                Ok(ValueStart::Map)
            }
            Some(b'\'') => {
                self.advance(1);
                let bytes = self.until_quote(b'\'', start, "string")?;
                Ok(plain_text(to_text(bytes, start)?))
            }
            Some(b'"') => {
                self.advance(1);
                self.escaped_string(start).map(plain_text)
            }
            Some(b'(') => {
                self.advance(1);
                self.block_string(start).map(plain_text)
            }
            Some(b'-' | b'0'..=b'9') => self.number(in_list),
            Some(b'.') => Err(self.error("Floats must start with a digit")),
            Some(b'\n' | b'\r') => Err(self.error("Expected value but found new line")),
            _ => self.bare_string(self.offset),
        }
    }

    fn escaped_string(&mut self, start: Place) -> Result<String, LexError> {
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => {
                    let text = "Unexpected EOF. The quoted string that starts here is never closed";
                    return Err(LexError {
                        at: start,
                        text: text.to_owned(),
                    });
                }
                Some(b'"') => {
                    self.advance(1);
                    return to_text(&bytes, start);
                }
                Some(b'\\') => bytes.push(self.escape()?),
                Some(byte) => {
                    bytes.push(byte);
                    self.advance(1);
                }
            }
        }
    }

    /// Reads a backslash and what it stands for.
    fn escape(&mut self) -> Result<u8, LexError> {
        let simple = match self.peek_second() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = self.bytes.get(self.offset + 2..self.offset + 4).unwrap_or(b"");
                let text = std::str::from_utf8(digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = text.and_then(|text| u8::from_str_radix(text, 16).ok()) else {
                    return Err(self.error("Expected two hexadecimal digits after '\\x'"));
                };
                self.advance(4);
                return Ok(byte);
            }
            _ => {
                self.advance(1);
                return Err(self.error(format!(
                    "Invalid escape character {}. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                    self.found()
                )));
            }
        };
        self.advance(2);
        Ok(simple)
    }

    /// Everything up to a `)` alone on its line, the new line before it included.
    fn block_string(&mut self, start: Place) -> Result<String, LexError> {
        let from = self.offset;
        let rest = &self.bytes[from..];
        let end = rest.windows(2).enumerate().find_map(|(index, pair)| {
            (pair == b"\n)" && matches!(rest.get(index + 2), None | Some(b'\n'))).then_some(index + 1)
        });
        let Some(size) = end else {
            self.advance(rest.len());
            let text = "Unexpected EOF processing block. Only a ')' alone on its line closes it";
            return Err(LexError {
                at: start,
                text: text.to_owned(),
            });
        };
        self.advance(size + 1);
        to_text(&rest[..size], start)
    }

    /// Reads a text without quotes whose first byte stands at `from`; the cursor may be behind it already, over bytes
    /// that belong to it whatever they are.
    fn bare_string(&mut self, from: usize) -> Result<ValueStart, LexError> {
        let start = self.place_at(from);
        let mut bytes = self.bytes[from..self.offset].to_vec();
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'\\') => {
                    escaped = true;
                    bytes.push(self.escape()?);
                }
                Some(b'\'') => {
                    self.advance(1);
                    return to_text(&bytes, start).map(plain_text);
                }
                None | Some(b'\n' | b'\r' | b';' | b',' | b']' | b'}' | b' ' | b'\t') => break,
                Some(byte) => {
                    bytes.push(byte);
                    self.advance(1);
                }
            }
        }
        let text = to_text(&bytes, start)?;
        if escaped {
            return Ok(plain_text(text));
        }
        Ok(match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => ValueStart::Plain(Value::Bool(true)),
            "false" | "no" | "off" => ValueStart::Plain(Value::Bool(false)),
            _ => match text.strip_prefix('$') {
                Some(name) => ValueStart::Variable(name.to_owned()),
                None => plain_text(text),
            },
        })
    }

    /// Reads what starts with a digit or a minus: a number, a date, or a text after all.
    fn number(&mut self, in_list: bool) -> Result<ValueStart, LexError> {
        let from = self.offset;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.advance(1);
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.error(format!("Expected a digit but got {}.", self.found())));
            }
        }
        self.skip_digits();
        let digits_end = self.offset;
        match self.peek() {
            Some(b'.') => self.float(from),
            Some(byte) if is_suffix_start(byte) => {
                self.advance(1);
                while matches!(self.peek(), Some(b'b' | b'B' | b'i' | b'I')) {
                    self.advance(1);
                }
                if self
                    .peek()
                    .is_none_or(|byte| ends_number(byte) || byte.is_ascii_digit())
                {
                    self.integer(from, digits_end)
                } else {
                    self.bare_string(from)
                }
            }
            Some(b'-') if !negative => {
                if digits_end - from != 4 {
                    return Err(
                        self.error("All ISO8601 dates must be in full Zulu form, as in 2006-01-02T15:04:05Z")
                    );
                }
                self.date(from)
            }
            // The peer makes a text of the number and of the bracket that was to close the list, so that the list is
            // hardly ever closed. No file of its users can rely on that.
            Some(b']') if in_list => self.integer(from, digits_end),
            Some(byte) if !negative && !ends_number(byte) => {
                self.advance(1);
                self.bare_string(from)
            }
            _ => self.integer(from, digits_end),
        }
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.advance(1);
        }
    }

    fn integer(&mut self, from: usize, digits_end: usize) -> Result<ValueStart, LexError> {
        let at = self.place_at(from);
        let written = String::from_utf8_lossy(&self.bytes[from..self.offset]).into_owned();
        let out_of_range = || LexError {
            at,
            text: format!("integer '{written}' is out of the range"),
        };
        let (digits, suffix) = written.split_at(digits_end - from);
        let Some(factor) = suffix_factor(&suffix.to_ascii_lowercase()) else {
            return Err(LexError {
                at,
                text: format!("unknown suffix '{suffix}' of number '{written}'"),
            });
        };
        let number: i64 = digits.parse().map_err(|_| out_of_range())?;
        let number = number.checked_mul(factor).ok_or_else(out_of_range)?;
        Ok(ValueStart::Plain(Value::Integer(number)))
    }

    /// Reads on from the dot: a float, or an address when a second dot follows.
    fn float(&mut self, from: usize) -> Result<ValueStart, LexError> {
        self.advance(1);
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error(format!(
                "Floats must have a digit after the '.', but got {} instead.",
                self.found()
            )));
        }
        self.skip_digits();
        if self.peek() == Some(b'.') {
            while matches!(self.peek(), Some(b'0'..=b'9' | b'.' | b':' | b'-')) {
                self.advance(1);
            }
            return to_text(&self.bytes[from..self.offset], self.place_at(from)).map(plain_text);
        }
        let written = String::from_utf8_lossy(&self.bytes[from..self.offset]).into_owned();
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(ValueStart::Plain(Value::Float(number))),
            _ => {
                let text = format!("float '{written}' is out of the range");
                Err(LexError {
                    at: self.place_at(from),
                    text,
                })
            }
        }
    }

    /// Reads the rest of a date, its year being read.
    fn date(&mut self, from: usize) -> Result<ValueStart, LexError> {
        const FORM: &[u8] = b"-00-00T00:00:00Z";
        for expected in FORM {
            let fits = match (expected, self.peek()) {
                (b'0', Some(byte)) => byte.is_ascii_digit(),
                (_, byte) => byte == Some(*expected),
            };
            if !fits {
                let form = match expected {
                    b'0' => "digit".to_owned(),
                    _ => format!("'{}'", char::from(*expected)),
                };
                let text = format!(
                    "Expected {form} in ISO8601 datetime, but found {} instead.",
                    self.found()
                );
                return Err(self.error(text));
            }
            self.advance(1);
        }
        let written = String::from_utf8_lossy(&self.bytes[from..self.offset]).into_owned();
        if is_date(&written) {
            Ok(ValueStart::Plain(Value::Date(written.into())))
        } else {
            let text = format!("expected Zulu formatted DateTime, but got '{written}'");
            Err(LexError {
                at: self.place_at(from),
                text,
            })
        }
    }
}

fn plain_text(text: String) -> ValueStart {
    ValueStart::Plain(Value::Text(text.into()))
}

fn to_text(bytes: &[u8], at: Place) -> Result<String, LexError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| LexError {
        at,
        text: "text is not valid UTF-8".to_owned(),
    })
}

fn is_suffix_start(byte: u8) -> bool {
    matches!(byte.to_ascii_lowercase(), b'k' | b'm' | b'g' | b't' | b'p' | b'e')
}

fn ends_number(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'}' | b';' | b',' | b' ' | b'\t')
}

fn suffix_factor(suffix: &str) -> Option<i64> {
    const LETTERS: &str = "kmgtpe";
    let Some(letter) = suffix.chars().next() else {
        return Some(1);
    };
    let power = u32::try_from(LETTERS.find(letter)? + 1).expect("six letters");
    match &suffix[1..] {
        "" => Some(1000_i64.pow(power)),
        "b" | "i" | "ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

/// Whether text of the form `0000-00-00T00:00:00Z` names a day and a time that exist.
fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}
