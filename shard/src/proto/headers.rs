//! Header blocks: `NATS/1.0`, a status perhaps, then `Key: value` lines and an empty line.
//!
//! Owns: finding, replacing, removing and appending lines. Not here: what a header means (JetStream, trace).
//! Keys are compared byte by byte, case included; the first line with a key counts: the peer's rules for the
//! headers that the server itself acts on. A block is foreign: nothing is assumed of it, broken ones are left alone.

use memchr::memmem;

/// What starts every header block.
pub const HEADER_LINE: &[u8] = b"NATS/1.0";

/// A block without a line.
pub const EMPTY_BLOCK: &[u8] = b"NATS/1.0\r\n\r\n";

const LINE_END: &[u8] = b"\r\n";

/// The status of a block's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Three digits.
    pub code: u16,
    /// The text after the code; may be empty.
    pub description: &'a [u8],
}

/// The value of the first line with `key`, without the blanks before it.
pub fn get<'a>(block: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let line = find(block, key)?;
    let value = block.get(line + key.len() + 1..)?;
    let value = &value[value.iter().position(|byte| *byte != b' ').unwrap_or(value.len())..];
    let end = memmem::find(value, LINE_END).unwrap_or(value.len());
    Some(&value[..end])
}

/// The values of all lines with `key`, in order.
pub fn get_all<'a>(block: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines(block)
        .filter(move |(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// All lines that have a colon, as key and value without blanks around it; in order. The first line is none.
pub fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = memmem::find(block, LINE_END).map_or(&[][..], |end| &block[end + 2..]);
    std::iter::from_fn(move || loop {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match memmem::find(rest, LINE_END) {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => (rest, &[][..]),
        };
        rest = after;
        if let Some(colon) = memchr::memchr(b':', line) {
            return Some((&line[..colon], line[colon + 1..].trim_ascii()));
        }
    })
}

/// The status in the first line, if there is one.
pub fn status(block: &[u8]) -> Option<Status<'_>> {
    let rest = block.strip_prefix(HEADER_LINE)?;
    let line = &rest[..memmem::find(rest, LINE_END)?];
    let line = line.strip_prefix(b" ")?.trim_ascii();
    let (code, description) = match memchr::memchr(b' ', line) {
        Some(blank) => (&line[..blank], line[blank..].trim_ascii()),
        None => (line, &[][..]),
    };
    match *code {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: u8| u16::from(byte - b'0');
            Some(Status {
                code: digit(a) * 100 + digit(b) * 10 + digit(c),
                description,
            })
        }
        _ => None,
    }
}

/// Whether a block has the shape of one: first line and empty line.
pub fn is_block(block: &[u8]) -> bool {
    let Some(rest) = block.strip_prefix(HEADER_LINE) else {
        return false;
    };
    matches!(rest.first(), Some(b'\r' | b' ')) && block.ends_with(b"\r\n\r\n")
}

/// Gives the first line with `key` the value, keeping its blank after the colon; appends a line where there is none.
///
/// Line ends in `value` become blanks, so that a value cannot make lines of its own.
pub fn set(block: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let Some(line) = find(block, key) else {
        append(block, key, value);
        return;
    };
    let mut start = line + key.len() + 1;
    if block.get(start) == Some(&b' ') {
        start += 1;
    }
    let Some(end) = memmem::find(&block[start..], LINE_END) else {
        return;
    };
    block.splice(
        start..start + end,
        value.iter().map(|byte| without_line_end(*byte)),
    );
}

/// Adds a line before the empty line, or starts a block.
///
/// Line ends in `value` become blanks.
pub fn append(block: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    if block.len() > LINE_END.len() {
        block.truncate(block.len() - LINE_END.len());
    } else {
        block.clear();
        block.extend_from_slice(HEADER_LINE);
        block.extend_from_slice(LINE_END);
    }
    block.extend_from_slice(key);
    block.extend_from_slice(b": ");
    block.extend(value.iter().map(|byte| without_line_end(*byte)));
    block.extend_from_slice(LINE_END);
    block.extend_from_slice(LINE_END);
}

/// Removes every line with `key`. A block that has no line left becomes empty.
pub fn remove(block: &mut Vec<u8>, key: &[u8]) {
    while let Some(start) = find(block, key) {
        let Some(end) = memmem::find(&block[start..], LINE_END) else {
            return;
        };
        block.drain(start..start + end + LINE_END.len());
    }
    clear_if_empty(block);
}

/// Removes every line whose key begins with `prefix`. A block that has no line left becomes empty.
pub fn remove_prefix(block: &mut Vec<u8>, prefix: &[u8]) {
    let mut at = 0;
    while let Some(found) = memmem::find(&block[at..], prefix) {
        let start = at + found;
        if start == 0 || block[start - 1] != b'\n' {
            at = start + prefix.len().max(1);
            if at > block.len() {
                break;
            }
            continue;
        }
        let Some(end) = memmem::find(&block[start + prefix.len()..], LINE_END) else {
            return;
        };
        if end == 0 && prefix.is_empty() {
            // The empty line that ends the block stays.
            break;
        }
        block.drain(start..start + prefix.len() + end + LINE_END.len());
        at = start;
    }
    clear_if_empty(block);
}

/// Removes the status of the first line. A block that has no line left becomes empty.
pub fn remove_status(block: &mut Vec<u8>) {
    if !block.starts_with(HEADER_LINE) {
        return;
    }
    let Some(end) = memchr::memchr(b'\r', block) else {
        return;
    };
    if end > HEADER_LINE.len() {
        block.drain(HEADER_LINE.len()..end);
        clear_if_empty(block);
    }
}

fn clear_if_empty(block: &mut Vec<u8>) {
    if block.len() <= EMPTY_BLOCK.len() {
        block.clear();
    }
}

/// Where the first line with `key` begins: after a line end, with a colon right behind it.
fn find(block: &[u8], key: &[u8]) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    memmem::find_iter(block, key).find(|at| {
        let follows_line_end = block[..*at].ends_with(LINE_END);
        follows_line_end && block.get(at + key.len()) == Some(&b':')
    })
}

fn without_line_end(byte: u8) -> u8 {
    match byte {
        b'\r' | b'\n' => b' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"NATS/1.0\r\nA: 1\r\nNats-Msg-Id:x\r\nB:  two words \r\nA: 3\r\n\r\n";

    fn changed(block: &[u8], change: impl Fn(&mut Vec<u8>)) -> String {
        let mut block = block.to_vec();
        change(&mut block);
        String::from_utf8(block).unwrap()
    }

    /// Keys are exact, the first counts, a key inside a value is none.
    #[test]
    fn finds_values() {
        assert_eq!(get(BLOCK, b"A"), Some(&b"1"[..]));
        assert_eq!(get(BLOCK, b"B"), Some(&b"two words "[..]));
        assert_eq!(get(BLOCK, b"Nats-Msg-Id"), Some(&b"x"[..]));
        assert_eq!(get(BLOCK, b"a"), None);
        assert_eq!(get(BLOCK, b"Msg-Id"), None);
        assert_eq!(get(BLOCK, b""), None);
        assert_eq!(
            get(b"NATS/1.0\r\nX: A: 1\r\nAA: 2\r\nA: 3\r\n\r\n", b"A"),
            Some(&b"3"[..])
        );
        assert_eq!(get(b"NATS/1.0\r\nA:", b"A"), Some(&b""[..]));
        assert_eq!(get(b"NATS/1.0\r\nA", b"A"), None);
        assert_eq!(get(b"A: 1\r\n", b"A"), None);
        assert_eq!(get(b"", b"A"), None);
        assert_eq!(get_all(BLOCK, b"A").collect::<Vec<_>>(), [&b"1"[..], b"3"]);
        assert_eq!(lines(BLOCK).count(), 4);
    }

    /// The first line with its status.
    #[test]
    fn reads_the_status() {
        let check = |block: &[u8], expected: Option<(u16, &[u8])>| {
            assert_eq!(
                status(block).map(|status| (status.code, status.description)),
                expected
            );
        };
        check(b"NATS/1.0 503\r\n\r\n", Some((503, b"")));
        check(
            b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
            Some((100, b"Idle Heartbeat")),
        );
        check(b"NATS/1.0\r\n\r\n", None);
        check(b"NATS/1.0 5\r\n\r\n", None);
        check(b"NATS/1.0 abc\r\n\r\n", None);
        check(b"HTTP/1.1 200\r\n\r\n", None);
        assert!(is_block(BLOCK));
        assert!(is_block(b"NATS/1.0 503\r\n\r\n"));
        assert!(!is_block(b"NATS/1.0\r\n"));
        assert!(!is_block(b"NATS/1.05\r\n\r\n"));
    }

    /// Setting replaces the first line's value in place, or appends.
    #[test]
    fn sets_values() {
        let small = b"NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n";
        assert_eq!(
            changed(small, |block| set(block, b"A", b"100")),
            "NATS/1.0\r\nA: 100\r\nB:2\r\n\r\n"
        );
        assert_eq!(
            changed(small, |block| set(block, b"B", b"")),
            "NATS/1.0\r\nA: 1\r\nB:\r\n\r\n"
        );
        assert_eq!(
            changed(small, |block| set(block, b"C", b"x\r\nD: y")),
            "NATS/1.0\r\nA: 1\r\nB:2\r\nC: x  D: y\r\n\r\n"
        );
        assert_eq!(
            changed(b"", |block| set(block, b"C", b"3")),
            "NATS/1.0\r\nC: 3\r\n\r\n"
        );
        assert_eq!(
            changed(b"NATS/1.0\r\nA: 1", |block| set(block, b"A", b"2")),
            "NATS/1.0\r\nA: 1"
        );
    }

    /// A block whose last line went is no block any more.
    #[test]
    fn removes_lines() {
        assert_eq!(
            changed(BLOCK, |block| remove(block, b"A")),
            "NATS/1.0\r\nNats-Msg-Id:x\r\nB:  two words \r\n\r\n"
        );
        assert_eq!(
            changed(b"NATS/1.0\r\nA: 1\r\n\r\n", |block| remove(block, b"A")),
            ""
        );
        let nats = b"NATS/1.0\r\nNats-A: 1\r\nX: Nats-\r\nNats-B: 2\r\n\r\n";
        assert_eq!(
            changed(nats, |block| remove_prefix(block, b"Nats-")),
            "NATS/1.0\r\nX: Nats-\r\n\r\n"
        );
        assert_eq!(
            changed(b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n", |block| remove_prefix(
                block, b""
            )),
            ""
        );
        assert_eq!(
            changed(b"NATS/1.0 503 x\r\nA: 1\r\n\r\n", remove_status),
            "NATS/1.0\r\nA: 1\r\n\r\n"
        );
        assert_eq!(changed(b"NATS/1.0 503\r\n\r\n", remove_status), "");
        assert_eq!(
            changed(b"NATS/1.0\r\nA: 1\r\n\r\n", remove_status),
            "NATS/1.0\r\nA: 1\r\n\r\n"
        );
    }
}
