//! What the server sends, appended to a write buffer.
//!
//! Owns: the shape of each line. Not here: who gets it, the limits of the buffer (`conn::outbound`).
//! Units: sizes in bytes; `message` is headers and payload together.
//!
//! Every byte string given must be a token or a payload that was parsed before: nothing is escaped here.

use super::errors::ClientError;

/// The line end of every operation.
pub const LINE_END: &[u8] = b"\r\n";

/// What starts every header block.
const HEADER_LINE: &[u8] = b"NATS/1.0";

/// The name that the 503 answer gives the subject nobody listens to.
const NO_RESPONDERS_SUBJECT: &[u8] = b"Nats-Subject: ";

/// A number in decimal digits has at most this many bytes.
const NUMBER_SIZE_MAX: usize = 20;

/// The bytes of `MSG`, `HMSG`, blanks, sizes and line ends at most: what a message takes beyond its fields.
const MSG_FRAME_SIZE_MAX: usize = 64;

/// `MSG <subject> <sid> [reply] <size>` and the payload.
#[inline]
pub fn msg(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], reply: Option<&[u8]>, payload: &[u8]) {
    let reply_size = reply.map_or(0, <[u8]>::len);
    out.reserve(MSG_FRAME_SIZE_MAX + subject.len() + sid.len() + reply_size + payload.len());
    out.extend_from_slice(b"MSG ");
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    number(out, payload.len());
    out.extend_from_slice(LINE_END);
    out.extend_from_slice(payload);
    out.extend_from_slice(LINE_END);
}

/// `HMSG <subject> <sid> [reply] <header size> <total size>` and the message.
#[inline]
pub fn hmsg(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_size: usize,
    message: &[u8],
) {
    let reply_size = reply.map_or(0, <[u8]>::len);
    out.reserve(MSG_FRAME_SIZE_MAX + subject.len() + sid.len() + reply_size + message.len());
    out.extend_from_slice(b"HMSG ");
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    number(out, header_size);
    out.push(b' ');
    number(out, message.len());
    out.extend_from_slice(LINE_END);
    out.extend_from_slice(message);
    out.extend_from_slice(LINE_END);
}

/// A message with headers for a receiver that takes none: the payload alone, as `MSG`.
///
/// Panics when the header block is larger than the message: the parser lets no such message in.
#[inline]
pub fn hmsg_stripped(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    header_size: usize,
    message: &[u8],
) {
    msg(out, subject, sid, reply, &message[header_size..]);
}

/// One message for many receivers: what is the same for all of them is written once.
///
/// The parts borrow a scratch buffer that the caller keeps from message to message.
#[derive(Clone, Copy, Debug)]
pub struct Fanout<'a> {
    before_sid: &'a [u8],
    after_sid: &'a [u8],
    message: &'a [u8],
}

impl<'a> Fanout<'a> {
    /// A message without headers, or the payload of one for receivers that take no headers.
    pub fn msg(scratch: &'a mut Vec<u8>, subject: &[u8], reply: Option<&[u8]>, payload: &'a [u8]) -> Self {
        Self::build(scratch, b"MSG ", subject, reply, None, payload)
    }

    /// A message with headers.
    pub fn hmsg(
        scratch: &'a mut Vec<u8>,
        subject: &[u8],
        reply: Option<&[u8]>,
        header_size: usize,
        message: &'a [u8],
    ) -> Self {
        Self::build(scratch, b"HMSG ", subject, reply, Some(header_size), message)
    }

    fn build(
        scratch: &'a mut Vec<u8>,
        verb: &[u8],
        subject: &[u8],
        reply: Option<&[u8]>,
        header_size: Option<usize>,
        message: &'a [u8],
    ) -> Self {
        scratch.clear();
        scratch.extend_from_slice(verb);
        scratch.extend_from_slice(subject);
        scratch.push(b' ');
        let split = scratch.len();
        scratch.push(b' ');
        if let Some(reply) = reply {
            scratch.extend_from_slice(reply);
            scratch.push(b' ');
        }
        if let Some(header_size) = header_size {
            number(scratch, header_size);
            scratch.push(b' ');
        }
        number(scratch, message.len());
        scratch.extend_from_slice(LINE_END);
        let (before_sid, after_sid) = scratch.split_at(split);
        Fanout {
            before_sid,
            after_sid,
            message,
        }
    }

    /// Bytes that [`Fanout::write`] appends.
    #[inline]
    pub fn size(&self, sid: &[u8]) -> usize {
        self.before_sid.len() + sid.len() + self.after_sid.len() + self.message.len() + LINE_END.len()
    }

    /// The message for one receiver.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, sid: &[u8]) {
        out.reserve(self.size(sid));
        out.extend_from_slice(self.before_sid);
        out.extend_from_slice(sid);
        out.extend_from_slice(self.after_sid);
        out.extend_from_slice(self.message);
        out.extend_from_slice(LINE_END);
    }
}

/// The answer to a request that nobody listens to: an `HMSG` with status 503 to the requester's own
/// subscription `sid` on `reply`. `subject` is what the request was sent to.
pub fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    let header_size = NO_RESPONDERS_HEADER_SIZE + subject.len();
    out.reserve(MSG_FRAME_SIZE_MAX + reply.len() + sid.len() + header_size);
    out.extend_from_slice(b"HMSG ");
    out.extend_from_slice(reply);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    number(out, header_size);
    out.push(b' ');
    number(out, header_size);
    out.extend_from_slice(LINE_END);
    no_responders_header(out, subject);
    out.extend_from_slice(LINE_END);
}

/// The header block of [`no_responders`].
pub fn no_responders_header(out: &mut Vec<u8>, subject: &[u8]) {
    out.extend_from_slice(HEADER_LINE);
    out.extend_from_slice(b" 503\r\n");
    out.extend_from_slice(NO_RESPONDERS_SUBJECT);
    out.extend_from_slice(subject);
    out.extend_from_slice(b"\r\n\r\n");
}

/// The size of [`no_responders_header`] without the subject.
const NO_RESPONDERS_HEADER_SIZE: usize =
    HEADER_LINE.len() + b" 503\r\n".len() + NO_RESPONDERS_SUBJECT.len() + b"\r\n\r\n".len();

/// `PING`
#[inline]
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// `PONG`
#[inline]
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// `+OK`
#[inline]
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// `-ERR '<text>'`
pub fn err(out: &mut Vec<u8>, error: &ClientError<'_>) {
    out.extend_from_slice(b"-ERR '");
    error.write_text(out);
    out.extend_from_slice(b"'\r\n");
}

/// `INFO <json>`, with the blank before the line end that the peer writes.
pub fn info(out: &mut Vec<u8>, json: &[u8]) {
    out.reserve(json.len() + b"INFO  \r\n".len());
    out.extend_from_slice(b"INFO ");
    out.extend_from_slice(json);
    out.extend_from_slice(b" \r\n");
}

/// `value` in decimal digits.
#[inline]
pub fn number(out: &mut Vec<u8>, value: usize) {
    // Most sizes have few digits: these need no loop.
    match value {
        0..=9 => return out.push(DIGITS[value]),
        10..=99 => return out.extend_from_slice(&[DIGITS[value / 10], DIGITS[value % 10]]),
        100..=999 => {
            let (hundreds, rest) = (value / 100, value % 100);
            return out.extend_from_slice(&[DIGITS[hundreds], DIGITS[rest / 10], DIGITS[rest % 10]]);
        }
        _ => {}
    }
    let mut digits = [0; NUMBER_SIZE_MAX];
    let mut at = NUMBER_SIZE_MAX;
    let mut rest = value;
    while rest > 0 {
        at -= 1;
        digits[at] = DIGITS[rest % 10];
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

const DIGITS: [u8; 10] = *b"0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(7)).unwrap()
    }

    /// The lines byte for byte.
    #[test]
    fn lines() {
        assert_eq!(
            written(|out| msg(out, b"foo", b"1", None, b"hello")),
            "MSG foo 1 5\r\nhello\r\n"
        );
        assert_eq!(
            written(|out| msg(out, b"foo", b"1", Some(b"r"), b"")),
            "MSG foo 1 r 0\r\n\r\n"
        );
        let message = b"NATS/1.0\r\n\r\nhi";
        assert_eq!(
            written(|out| hmsg(out, b"foo", b"9", Some(b"r"), 12, message)),
            "HMSG foo 9 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        );
        assert_eq!(
            written(|out| hmsg(out, b"foo", b"9", None, 12, message)),
            "HMSG foo 9 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        );
        assert_eq!(
            written(|out| hmsg_stripped(out, b"foo", b"9", None, 12, message)),
            "MSG foo 9 2\r\nhi\r\n"
        );
        assert_eq!(written(ping), "PING\r\n");
        assert_eq!(written(pong), "PONG\r\n");
        assert_eq!(written(ok), "+OK\r\n");
        assert_eq!(
            written(|out| err(out, &ClientError::MaxPayloadViolation)),
            "-ERR 'Maximum Payload Violation'\r\n"
        );
        assert_eq!(written(|out| info(out, b"{}")), "INFO {} \r\n");
    }

    /// The 503 answer byte for byte, as the peer sent it.
    #[test]
    fn no_responders_answer() {
        assert_eq!(
            written(|out| no_responders(out, b"inbox.1", b"7", b"ask")),
            "HMSG inbox.1 7 35 35\r\nNATS/1.0 503\r\nNats-Subject: ask\r\n\r\n\r\n"
        );
    }

    /// Every count of digits.
    #[test]
    fn numbers() {
        for value in 0..1_100 {
            assert_eq!(written(|out| number(out, value)), value.to_string());
        }
        let mut value: usize = 1;
        while let Some(next) = value.checked_mul(10) {
            for value in [value - 1, value, value + 1, next - 1] {
                assert_eq!(written(|out| number(out, value)), value.to_string());
            }
            value = next;
        }
        assert_eq!(written(|out| number(out, usize::MAX)), usize::MAX.to_string());
    }

    /// A fan-out writes what the single writers write.
    #[test]
    fn fanout_equals_single_messages() {
        let mut scratch = b"of the last message".to_vec();
        let fanout = Fanout::msg(&mut scratch, b"foo.bar", Some(b"reply.to"), b"payload");
        for sid in [&b"1"[..], b"22", b"a-long-sid-of-a-client"] {
            assert_eq!(
                written(|out| fanout.write(out, sid)),
                written(|out| msg(out, b"foo.bar", sid, Some(b"reply.to"), b"payload"))
            );
            assert_eq!(written(|out| fanout.write(out, sid)).len(), fanout.size(sid));
        }
        let message = b"NATS/1.0\r\nA: b\r\n\r\npayload";
        let fanout = Fanout::hmsg(&mut scratch, b"foo", None, 18, message);
        assert_eq!(
            written(|out| fanout.write(out, b"5")),
            written(|out| hmsg(out, b"foo", b"5", None, 18, message))
        );
    }
}
