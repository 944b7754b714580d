//! Frame: what a NATS server sends, found in a read buffer without copying.
//!
//! Owns: the split of received bytes into frames, and the shortcut for a header seen just before.
//! Not here: sockets and leftovers of a read (`client`), what a message means (`workload`).
//!
//! The generator must be far cheaper than the servers. On one subscription with payloads of one size every header is
//! the same bytes, so the scanner compares with the last header first and parses only when that fails.

use crate::failure::Failure;

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `MSG`
    Message(Message<'a>),
    /// `INFO`, the JSON after it
    Info(&'a [u8]),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR`, the text after it
    Err(&'a [u8]),
}

/// A delivered message.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Message<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The subscription it came for.
    pub sid: &'a [u8],
    /// Where an answer goes.
    pub reply: Option<&'a [u8]>,
    /// The bytes, without the CRLF.
    pub payload: &'a [u8],
}

/// Splits a byte stream into frames; keeps the last header between calls.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The last `MSG` header without a reply, CRLF included; empty at first.
    header: Vec<u8>,
    shape: HeaderShape,
}

/// Where the parts of a header lie, as offsets from the start of its line.
#[derive(Debug, Default, Clone, Copy)]
struct HeaderShape {
    subject_end: usize,
    sid_end: usize,
    payload_size: usize,
}

impl Scanner {
    /// Calls `on_frame` for each whole frame in `bytes` and returns how many bytes they took; the rest is the start of
    /// a frame that the next read completes.
    #[inline]
    pub fn scan(
        &mut self,
        bytes: &[u8],
        mut on_frame: impl FnMut(Frame<'_>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let header_size = self.header.len();
            if header_size != 0 && rest.len() >= header_size && rest[..header_size] == self.header[..] {
                let frame_size = header_size + self.shape.payload_size + CRLF.len();
                if rest.len() < frame_size {
                    break;
                }
                expect_crlf(&rest[frame_size - CRLF.len()..frame_size])?;
                on_frame(Frame::Message(Message {
                    subject: &rest[MSG.len()..self.shape.subject_end],
                    sid: &rest[self.shape.subject_end + 1..self.shape.sid_end],
                    reply: None,
                    payload: &rest[header_size..header_size + self.shape.payload_size],
                }))?;
                at += frame_size;
                continue;
            }
            match self.scan_slow(rest, &mut on_frame)? {
                0 => break,
                size => at += size,
            }
        }
        Ok(at)
    }

    /// One frame of any kind; 0 when it is not whole yet.
    fn scan_slow(
        &mut self,
        rest: &[u8],
        on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let Some(newline) = rest.iter().take(LINE_SIZE_MAX).position(|&byte| byte == b'\n') else {
            if rest.len() >= LINE_SIZE_MAX {
                return Err(Failure::Protocol(format!(
                    "no line end within {LINE_SIZE_MAX} bytes"
                )));
            }
            return Ok(0);
        };
        let line_size = newline + 1;
        let Some(line) = rest[..line_size].strip_suffix(CRLF) else {
            return Err(protocol("line without CR", &rest[..line_size]));
        };
        if line.starts_with(MSG) {
            return self.scan_message(rest, line, line_size, on_frame);
        }
        let frame = match line {
            b"PING" => Frame::Ping,
            b"PONG" => Frame::Pong,
            b"+OK" => Frame::Ok,
            _ if line.starts_with(b"-ERR ") => Frame::Err(&line[5..]),
            _ if line.starts_with(b"INFO ") => Frame::Info(&line[5..]),
            _ => return Err(protocol("unknown verb", line)),
        };
        on_frame(frame)?;
        Ok(line_size)
    }

    fn scan_message(
        &mut self,
        rest: &[u8],
        line: &[u8],
        line_size: usize,
        on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let mut words = line[MSG.len()..]
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty());
        let subject = words.next().ok_or_else(|| protocol("no subject", line))?;
        let sid = words.next().ok_or_else(|| protocol("no sid", line))?;
        let third = words.next().ok_or_else(|| protocol("no size", line))?;
        let fourth = words.next();
        if words.next().is_some() {
            return Err(protocol("too many words", line));
        }
        let (reply, size) = match fourth {
            Some(size) => (Some(third), size),
            None => (None, third),
        };
        let payload_size = parse_size(size).ok_or_else(|| protocol("bad size", line))?;
        let frame_size = line_size + payload_size + CRLF.len();
        if rest.len() < frame_size {
            return Ok(0);
        }
        expect_crlf(&rest[frame_size - CRLF.len()..frame_size])?;
        let subject_end = MSG.len() + subject.len();
        let sid_end = subject_end + 1 + sid.len();
        // The shortcut counts on single spaces, which every NATS server writes.
        if reply.is_none() && line_size == sid_end + 1 + size.len() + CRLF.len() {
            self.header.clear();
            self.header.extend_from_slice(&rest[..line_size]);
            self.shape = HeaderShape {
                subject_end,
                sid_end,
                payload_size,
            };
        }
        let payload = &rest[line_size..line_size + payload_size];
        on_frame(Frame::Message(Message {
            subject,
            sid,
            reply,
            payload,
        }))?;
        Ok(frame_size)
    }
}

/// A decimal size of at most `PAYLOAD_SIZE_MAX`.
fn parse_size(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&size| size <= PAYLOAD_SIZE_MAX)
}

#[inline]
fn expect_crlf(bytes: &[u8]) -> Result<(), Failure> {
    if bytes == CRLF {
        return Ok(());
    }
    Err(protocol("payload not followed by CRLF", bytes))
}

fn protocol(what: &str, line: &[u8]) -> Failure {
    let shown = &line[..line.len().min(SHOWN_SIZE_MAX)];
    Failure::Protocol(format!("{what}: {:?}", String::from_utf8_lossy(shown)))
}

const MSG: &[u8] = b"MSG ";
const CRLF: &[u8] = b"\r\n";
/// A control line or INFO longer than this is refused.
const LINE_SIZE_MAX: usize = 64 * 1024;
/// No row publishes more than this; a larger size is a broken header.
pub const PAYLOAD_SIZE_MAX: usize = 64 * 1024;
/// How much of a wrong line an error shows.
const SHOWN_SIZE_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in a form that outlives the scan.
    fn scan_all(scanner: &mut Scanner, bytes: &[u8]) -> (Vec<String>, usize) {
        let mut seen = Vec::new();
        let taken = scanner
            .scan(bytes, |frame| {
                seen.push(match frame {
                    Frame::Message(message) => format!(
                        "{} {} {:?} {}",
                        String::from_utf8_lossy(message.subject),
                        String::from_utf8_lossy(message.sid),
                        message.reply.map(String::from_utf8_lossy),
                        String::from_utf8_lossy(message.payload)
                    ),
                    other => format!("{other:?}"),
                });
                Ok(())
            })
            .unwrap();
        (seen, taken)
    }

    /// Every way to cut the stream in two gives the same frames as the whole.
    #[test]
    fn any_split_equals_whole() {
        let stream: &[u8] = b"INFO {\"a\":1}\r\nMSG a.b 1 3\r\nabc\r\nMSG a.b 1 3\r\nd\r\n\r\nPING\r\nMSG a.b 1 r.1 0\r\n\r\nMSG a.b 12 3\r\nghi\r\nPONG\r\n+OK\r\n-ERR 'x'\r\n";
        let (whole, taken) = scan_all(&mut Scanner::default(), stream);
        assert_eq!(taken, stream.len());
        assert_eq!(whole.len(), 9);
        assert_eq!(whole[1], "a.b 1 None abc");
        assert_eq!(whole[2], "a.b 1 None d\r\n");
        assert_eq!(whole[4], "a.b 1 Some(\"r.1\") ");
        for cut in 0..=stream.len() {
            let mut scanner = Scanner::default();
            let (mut seen, taken) = scan_all(&mut scanner, &stream[..cut]);
            let (rest, taken_rest) = scan_all(&mut scanner, &stream[taken..]);
            seen.extend(rest);
            assert_eq!(seen, whole, "cut at {cut}");
            assert_eq!(taken + taken_rest, stream.len());
        }
    }

    /// Bytes that are no frame are refused, never skipped.
    #[test]
    fn wrong_bytes_are_refused() {
        let wrong: [&[u8]; 7] = [
            b"HELLO\r\n",
            b"PING\n",
            b"MSG a 1\r\n",
            b"MSG a 1 -3\r\nabc\r\n",
            b"MSG a 1 3\r\nabcd\r\n",
            b"MSG a 1 r 3 4\r\nabc\r\n",
            b"MSG a 1 99999999999\r\n",
        ];
        for bytes in wrong {
            let result = Scanner::default().scan(bytes, |_| Ok(()));
            assert!(
                matches!(result, Err(Failure::Protocol(_))),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    /// A payload with a wrong end is refused on the shortcut too.
    #[test]
    fn remembered_header_still_checks_the_payload_end() {
        let result = Scanner::default().scan(b"MSG a 1 1\r\nx\r\nMSG a 1 1\r\nxyz", |_| Ok(()));
        assert!(matches!(result, Err(Failure::Protocol(_))));
    }
}
