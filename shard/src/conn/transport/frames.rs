//! WebSocket frames (RFC 6455) of one connection: frames in, bytes of operations out, and back. Pure.
//!
//! Owns: frame headers, masks, fragments, control frames, compressed messages (RFC 7692, no context is kept between two
//! messages). Not here: the HTTP request before (`upgrade`), sockets, what the bytes say.
//! The frames of a message carry a stream: an operation may lie in several of them, and several in one.
//!
//! Invariants
//!   what was taken is taken: nothing of the input is held but a header or a control frame that has not come as a whole
//!   after the client's close frame nothing is taken any more

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::proto::CloseReason;

/// Bytes of a header at most: two, eight for the length, four for the mask.
const HEADER_SIZE_MAX: usize = 14;
/// Bytes a control frame carries at most.
const CONTROL_SIZE_MAX: usize = 125;
/// Of so many bytes or fewer nothing would be won by compression.
const COMPRESSED_ABOVE: usize = 64;
/// What ends every compressed message and is not sent.
const DEFLATE_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// A compressed message may be so many times the largest payload,
const INFLATED_PAYLOADS: usize = 8;
/// and never more than this, bytes.
const INFLATED_SIZE_MAX: usize = 64 * 1024 * 1024;
/// Frames for browsers carry so much at most.
pub(super) const BROWSER_FRAME_SIZE: usize = 4096;

const FINAL: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV23: u8 = 0x30;
const MASK: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Codes of close frames.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const POLICY_VIOLATION: u16 = 1008;
const TOO_BIG: u16 = 1009;
const INTERNAL: u16 = 1011;
const TLS_HANDSHAKE: u16 = 1015;

/// What the upgrade agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameRules {
    /// permessage-deflate was agreed.
    pub(crate) compresses: bool,
    /// Frames are kept short.
    pub(crate) is_browser: bool,
    /// But not those of compressed messages.
    pub(crate) keeps_compressed_whole: bool,
}

/// Where the reader is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a header, of which so many bytes are in `header`.
    Header(usize),
    /// In the payload of a message.
    Payload,
    /// In the payload of a control frame with this opcode.
    Control(u8),
}

/// The frames of one connection, both ways.
pub(crate) struct Frames {
    rules: FrameRules,
    /// Bytes of a message after decompression at most.
    inflated_max: usize,
    place: Place,
    header: [u8; HEADER_SIZE_MAX],
    control: Vec<u8>,
    /// Bytes of the frame that have not come.
    rest: u64,
    mask: [u8; 4],
    mask_offset: usize,
    /// A message has begun and not ended.
    is_in_message: bool,
    /// The frame is the last of its message.
    is_final: bool,
    /// The message is compressed.
    is_compressed: bool,
    inflate: Option<Box<Decompress>>,
    /// Bytes that the compressed message came to so far.
    inflated_size: usize,
    is_closed: bool,
    has_sent_close: bool,
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Yes.
    More,
    /// The client closed.
    Closed,
}

impl Frames {
    /// `payload_size_max`: of a NATS message; 0 and below: the largest there is.
    pub(crate) fn new(rules: FrameRules, payload_size_max: i32) -> Self {
        let payload = usize::try_from(payload_size_max)
            .ok()
            .filter(|&size| size > 0)
            .unwrap_or(INFLATED_SIZE_MAX);
        Self {
            rules,
            inflated_max: payload.saturating_mul(INFLATED_PAYLOADS).min(INFLATED_SIZE_MAX),
            place: Place::Header(0),
            header: [0; HEADER_SIZE_MAX],
            control: Vec::new(),
            rest: 0,
            mask: [0; 4],
            mask_offset: 0,
            is_in_message: false,
            is_final: true,
            is_compressed: false,
            inflate: None,
            inflated_size: 0,
            is_closed: false,
            has_sent_close: false,
        }
    }

    /// Takes all of `input`, which is unmasked in place. Bytes of operations are appended to `plain`, frames that answer
    /// to `answer`.
    ///
    /// # Errors
    /// The client broke the protocol; a close frame that says so is in `answer`.
    pub(crate) fn take(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<Taken, String> {
        let taken = self.take_frames(input, plain, answer);
        if let Err(message) = &taken {
            self.is_closed = true;
            self.push_close(PROTOCOL_ERROR, message, answer);
        }
        taken
    }

    fn take_frames(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<Taken, String> {
        let mut at = 0;
        while !self.is_closed {
            match self.place {
                Place::Header(have) => {
                    let Some(&byte) = input.get(at) else { break };
                    at += 1;
                    self.header[have] = byte;
                    let have = have + 1;
                    self.place = Place::Header(have);
                    if have == 2 {
                        self.check_first()?;
                    }
                    if have >= 2 && have == self.header_size() {
                        self.begin_frame()?;
                        self.end_if_empty(plain, answer)?;
                    }
                }
                Place::Payload | Place::Control(_) => {
                    let left = input.len() - at;
                    if left == 0 {
                        break;
                    }
                    let size = usize::try_from(self.rest).unwrap_or(usize::MAX).min(left);
                    let part = &mut input[at..at + size];
                    self.unmask(part);
                    at += size;
                    self.rest -= size as u64;
                    if self.place == Place::Payload {
                        self.push_payload(part, plain)?;
                    } else {
                        self.control.extend_from_slice(part);
                    }
                    self.end_if_empty(plain, answer)?;
                }
            }
        }
        Ok(if self.is_closed {
            Taken::Closed
        } else {
            Taken::More
        })
    }

    /// The two bytes that every frame has.
    fn check_first(&mut self) -> Result<(), String> {
        let [first, second] = [self.header[0], self.header[1]];
        let (opcode, is_final, is_compressed) = (first & 0xf, first & FINAL != 0, first & RSV1 != 0);
        if first & RSV23 != 0 {
            return Err("RSV2 and RSV3 must be clear".to_owned());
        }
        if is_compressed && !self.rules.compresses {
            return Err("compressed frame received without negotiated permessage-deflate".to_owned());
        }
        if second & MASK == 0 {
            return Err("mask bit missing".to_owned());
        }
        match opcode {
            CLOSE | PING | PONG => {
                if usize::from(second & !MASK) > CONTROL_SIZE_MAX {
                    return Err(format!(
                        "control frame length bigger than maximum allowed of {CONTROL_SIZE_MAX} bytes"
                    ));
                }
                if !is_final {
                    return Err("control frame does not have final bit set".to_owned());
                }
                if is_compressed {
                    return Err("control frame must not be compressed".to_owned());
                }
            }
            TEXT | BINARY => {
                if self.is_in_message {
                    return Err(
                        "new message started before final frame for previous message was received".to_owned(),
                    );
                }
                (self.is_in_message, self.is_final, self.is_compressed) = (true, is_final, is_compressed);
                self.inflated_size = 0;
            }
            CONTINUATION => {
                if !self.is_in_message || is_compressed {
                    return Err("invalid continuation frame".to_owned());
                }
                self.is_final = is_final;
            }
            other => return Err(format!("unknown opcode {other}")),
        }
        Ok(())
    }

    fn header_size(&self) -> usize {
        let length = match self.header[1] & !MASK {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + 4
    }

    fn begin_frame(&mut self) -> Result<(), String> {
        let header = &self.header;
        let (length, mask) = match header[1] & !MASK {
            126 => (
                u64::from(u16::from_be_bytes([header[2], header[3]])),
                &header[4..8],
            ),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&header[2..10]);
                (u64::from_be_bytes(bytes), &header[10..14])
            }
            short => (u64::from(short), &header[2..6]),
        };
        if length >> 63 != 0 {
            return Err("invalid 64-bit payload length".to_owned());
        }
        self.rest = length;
        self.mask.copy_from_slice(mask);
        self.mask_offset = 0;
        let opcode = header[0] & 0xf;
        self.place = match opcode {
            CLOSE | PING | PONG => Place::Control(opcode),
            _ => Place::Payload,
        };
        Ok(())
    }

    /// Goes on to the next frame when this one has come as a whole.
    fn end_if_empty(&mut self, plain: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<(), String> {
        if self.rest > 0 {
            return Ok(());
        }
        let ended = std::mem::replace(&mut self.place, Place::Header(0));
        if let Place::Control(opcode) = ended {
            let payload = std::mem::take(&mut self.control);
            return self.on_control(opcode, &payload, answer);
        }
        if self.is_final {
            self.is_in_message = false;
            if self.is_compressed {
                self.inflate_part(&DEFLATE_TAIL, plain)?;
                self.inflate = None;
            }
        }
        Ok(())
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        let mask = self.mask;
        let start = self.mask_offset;
        let turned: [u8; 4] = std::array::from_fn(|index| mask[(start + index) & 3]);
        let word = u32::from_ne_bytes(turned);
        let mut words = bytes.chunks_exact_mut(4);
        for chunk in &mut words {
            let value = u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ word;
            chunk.copy_from_slice(&value.to_ne_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(turned) {
            *byte ^= key;
        }
        self.mask_offset = (start + bytes.len()) & 3;
    }

    fn push_payload(&mut self, part: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        if self.is_compressed {
            return self.inflate_part(part, plain);
        }
        plain.extend_from_slice(part);
        Ok(())
    }

    fn inflate_part(&mut self, part: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        let inflate = self
            .inflate
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        let start = plain.len();
        let before = inflate.total_in();
        loop {
            let taken = usize::try_from(inflate.total_in() - before).unwrap_or(usize::MAX);
            let rest = part.get(taken..).unwrap_or_default();
            if plain.len() == plain.capacity() {
                plain.reserve(part.len().max(4096) * 2);
            }
            let room = plain.capacity();
            let status = inflate
                .decompress_vec(rest, plain, FlushDecompress::Sync)
                .map_err(|_| "invalid compressed data".to_owned())?;
            if self.inflated_size + (plain.len() - start) > self.inflated_max {
                plain.truncate(start);
                return Err("decompressed message is larger than allowed".to_owned());
            }
            let taken = usize::try_from(inflate.total_in() - before).unwrap_or(usize::MAX);
            let is_all = taken >= part.len() && plain.len() < room;
            // A deflate stream that ends by itself is followed by nothing that counts.
            if is_all || status == Status::StreamEnd {
                break;
            }
        }
        self.inflated_size += plain.len() - start;
        Ok(())
    }

    fn on_control(&mut self, opcode: u8, payload: &[u8], answer: &mut Vec<u8>) -> Result<(), String> {
        match opcode {
            PING => push_frame(answer, FINAL | PONG, payload),
            CLOSE => {
                match payload {
                    // Without a code nothing is sent back but an empty frame.
                    [] => self.push_close_frame(&[], answer),
                    [_] => return Err("close frame payload cannot be 1 byte".to_owned()),
                    [high, low, body @ ..] => {
                        let code = u16::from_be_bytes([*high, *low]);
                        if !is_valid_code(code) {
                            return Err(format!("invalid close status code {code}"));
                        }
                        match std::str::from_utf8(body) {
                            Ok(body) => self.push_close(code, body, answer),
                            Err(_) => {
                                self.push_close(INVALID_PAYLOAD, "invalid utf8 body in close frame", answer);
                            }
                        }
                    }
                }
                self.is_closed = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends the frame that says why the server closes, unless one was sent.
    pub(crate) fn close(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        self.push_close(code_of(reason), reason.text(), out);
    }

    fn push_close(&mut self, code: u16, body: &str, out: &mut Vec<u8>) {
        let mut payload = code.to_be_bytes().to_vec();
        if body.len() + payload.len() <= CONTROL_SIZE_MAX {
            payload.extend_from_slice(body.as_bytes());
        } else {
            // Cut where a letter ends, with dots, as the peer does.
            let mut end = CONTROL_SIZE_MAX - payload.len() - 3;
            while !body.is_char_boundary(end) {
                end -= 1;
            }
            payload.extend_from_slice(&body.as_bytes()[..end]);
            payload.extend_from_slice(b"...");
        }
        self.push_close_frame(&payload, out);
    }

    fn push_close_frame(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_sent_close, true) {
            push_frame(out, FINAL | CLOSE, payload);
        }
    }

    /// Appends `plain` as a message.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let is_worth_it = self.rules.compresses && plain.len() > COMPRESSED_ABOVE;
        if let Some(compressed) = is_worth_it.then(|| self.compressed(plain)).flatten() {
            let size = if self.rules.is_browser && !self.rules.keeps_compressed_whole {
                BROWSER_FRAME_SIZE
            } else {
                compressed.len()
            };
            let count = compressed.chunks(size.max(1)).count();
            for (index, part) in compressed.chunks(size.max(1)).enumerate() {
                let first = if index == 0 { RSV1 | BINARY } else { CONTINUATION };
                let last = if index + 1 == count { FINAL } else { 0 };
                push_frame(out, first | last, part);
            }
            return;
        }
        let size = if self.rules.is_browser {
            BROWSER_FRAME_SIZE
        } else {
            plain.len()
        };
        for part in plain.chunks(size.max(1)) {
            push_frame(out, FINAL | BINARY, part);
        }
    }

    /// `plain` as one compressed message; `None`: the compressor did not come to its end, and it goes as it is.
    fn compressed(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // The compressor is many times larger than a connection: nobody keeps one.
        let mut deflate = Compress::new(Compression::fast(), false);
        // What deflate comes to at most, so that one call does it.
        let mut out = Vec::with_capacity(plain.len() + plain.len() / 10 + 256);
        deflate.compress_vec(plain, &mut out, FlushCompress::Sync).ok()?;
        if deflate.total_in() != plain.len() as u64 || !out.ends_with(&DEFLATE_TAIL) {
            return None;
        }
        out.truncate(out.len() - DEFLATE_TAIL.len());
        Some(out)
    }
}

/// Appends a frame, without a mask, as servers send it.
fn push_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(size @ 0..=125), _) => out.push(size),
        (_, Ok(size)) => {
            out.push(126);
            out.extend_from_slice(&size.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Codes that may stand in a close frame: those of the protocol, and those for libraries and applications.
fn is_valid_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What the server says to a close for this reason.
fn code_of(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::ClientClosed => NORMAL,
        CloseReason::AuthenticationTimeout
        | CloseReason::AuthenticationFailure
        | CloseReason::SlowConsumerPendingBytes
        | CloseReason::SlowConsumerWriteDeadline
        | CloseReason::MaxAccountConnectionsExceeded
        | CloseReason::MaxConnectionsExceeded
        | CloseReason::MaxControlLineExceeded
        | CloseReason::MaxSubscriptionsExceeded
        | CloseReason::MissingAccount
        | CloseReason::AuthenticationExpired
        | CloseReason::Revocation => POLICY_VIOLATION,
        CloseReason::TlsHandshakeError => TLS_HANDSHAKE,
        CloseReason::ParseError | CloseReason::ProtocolViolation | CloseReason::BadClientProtocolVersion => {
            PROTOCOL_ERROR
        }
        CloseReason::MaxPayloadExceeded => TOO_BIG,
        CloseReason::WriteError
        | CloseReason::ReadError
        | CloseReason::StaleConnection
        | CloseReason::ServerShutdown => GOING_AWAY,
        _ => INTERNAL,
    }
}

#[cfg(test)]
mod tests;
