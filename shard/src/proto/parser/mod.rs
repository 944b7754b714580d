//! The parser of one connection: pieces of a byte stream in, one operation at a time out.
//!
//! Owns: the rest of an operation that has not arrived whole, and where in it the stream stands.
//! Not here: the fields of a line (`line`), what an operation does.
//!
//! Two roads. An operation that lies whole in the input is borrowed from it; `PUB` has a road of its own
//! through one pass over its line. An operation that is split over reads goes through `Parser::resume`,
//! byte-exact where the last read ended: its line and message gather in `partial` and are borrowed from there.
//!
//! Invariants
//!   any split of a stream gives the same operations and the same error as the whole
//!   state is Start  =>  `partial` holds nothing and owns no memory
//!   `partial` never holds more than one line within its limit and one message within `max_payload`; it reserves
//!   beyond what arrived at most `RESERVE_SIZE_MAX` or as much again, and never beyond the operation's end
//!   after an error the parser is not used again, except after `ConnectExpected`, which consumed nothing

use std::fmt;

use super::close_reason::CloseReason;
use super::errors::ClientError;
use super::kind::ConnKind;
use super::line::{parse_line, with_message, without_line_end, BadArgument, LineForm, SIZE_DIGITS_MAX};
use super::ops::{Op, Pub};
use super::quote::quote;
use super::verb::{Recognised, Tail, Verb, VERB_SIZE_MAX};

/// `max_payload` when there is none.
pub const NO_LIMIT: i32 = -1;

/// Bytes that are reserved ahead for a message of which only the size is known. A larger message grows with
/// what arrives, so that a claimed size costs the sender more than it costs the server.
pub const RESERVE_SIZE_MAX: usize = 1024 * 1024;

/// Bytes of the input that an error shows in the log.
const SNIPPET_SIZE_MAX: usize = 32;

/// The bounds of what a connection may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest line without its verb and its end, in bytes; beyond it the connection closes. Links between
    /// servers get 16 times as much.
    pub max_control_line: i32,
    /// Largest message, headers included, in bytes; beyond it the connection closes. [`NO_LIMIT`]: none. It
    /// counts for clients and leaf nodes.
    pub max_payload: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_control_line: 4096,
            max_payload: 1024 * 1024,
        }
    }
}

/// What the first operation of a connection may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstOp {
    /// Any.
    #[default]
    Any,
    /// CONNECT only: credentials are required and have not come.
    Connect,
    /// CONNECT or INFO: a leaf node that negotiates compression.
    ConnectOrInfo,
}

/// What one call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// The operation; none means that all of the input was taken and more is needed.
    pub op: Option<Op<'a>>,
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// No operation of this kind of connection, or a message that does not end with a line end.
    UnknownOperation {
        /// The bytes at the place.
        snippet: Box<[u8]>,
    },
    /// The arguments of an operation are wrong.
    BadArguments {
        /// The operation.
        verb: Verb,
        /// What is wrong.
        what: BadArgument,
        /// The first bytes of the line.
        snippet: Box<[u8]>,
    },
    /// A line is longer than it may be.
    ControlLineTooLong {
        /// The operation.
        verb: Verb,
        /// The limit that it passed, in bytes.
        limit: u64,
    },
    /// A message is larger than it may be.
    PayloadTooLarge {
        /// The size it announced, in bytes.
        size: u32,
        /// The limit, in bytes.
        max_payload: i32,
    },
    /// HPUB on a connection that did not agree on headers.
    HeadersNotSupported,
    /// Something else than CONNECT came first. Nothing was consumed: when the connection may do without
    /// (`no_auth_user`), lift the rule with [`Parser::set_first_op`] and call again.
    ConnectExpected,
}

impl ParseError {
    /// What the sender is told before the connection closes; on some errors the peer says nothing.
    pub fn reply(&self) -> Option<ClientError<'static>> {
        match self {
            ParseError::UnknownOperation { .. } => Some(ClientError::UnknownOperation),
            ParseError::ControlLineTooLong { .. } => Some(ClientError::MaxControlLineExceeded),
            ParseError::PayloadTooLarge { .. } => Some(ClientError::MaxPayloadViolation),
            ParseError::ConnectExpected => Some(ClientError::AuthorizationViolation),
            ParseError::BadArguments { .. } | ParseError::HeadersNotSupported => None,
        }
    }

    /// Why the connection closes.
    pub fn close_reason(&self) -> CloseReason {
        match self {
            ParseError::UnknownOperation { .. }
            | ParseError::BadArguments { .. }
            | ParseError::HeadersNotSupported => CloseReason::ProtocolViolation,
            ParseError::ControlLineTooLong { .. } => CloseReason::MaxControlLineExceeded,
            ParseError::PayloadTooLarge { .. } => CloseReason::MaxPayloadExceeded,
            ParseError::ConnectExpected => CloseReason::AuthenticationFailure,
        }
    }
}

/// The text for the log.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownOperation { snippet } => {
                write!(f, "unknown protocol operation at {}", Quoted(snippet))
            }
            ParseError::BadArguments { verb, what, snippet } => {
                write!(f, "{} with {}: {}", verb.text(), what.text(), Quoted(snippet))
            }
            ParseError::ControlLineTooLong { verb, limit } => {
                write!(
                    f,
                    "maximum control line exceeded: {} with more than {limit} bytes",
                    verb.text()
                )
            }
            ParseError::PayloadTooLarge { size, max_payload } => {
                write!(f, "maximum payload exceeded: {size} vs {max_payload}")
            }
            ParseError::HeadersNotSupported => f.write_str("message headers not supported"),
            ParseError::ConnectExpected => f.write_str("authentication error"),
        }
    }
}

impl std::error::Error for ParseError {}

struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        quote(&mut out, self.0);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Where in an operation the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two operations.
    Start,
    /// The operation in `partial` was handed out; what it holds goes with the next call.
    Delivered,
    /// Within the verb.
    InVerb { held: [u8; VERB_SIZE_MAX], size: usize },
    /// The verb is whole, nothing follows as yet.
    AfterVerb(Verb),
    /// In the blanks before the arguments; they are not held.
    InBlanks(Verb),
    /// In the arguments.
    InLine(Verb),
    /// In a line that is not looked at (PING and its like).
    InIgnored(Verb),
    /// In the message, or in the two bytes after it.
    InMessage(Held),
}

/// What `partial` holds once the line of an operation is whole: the line, then what arrived of the message
/// and its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    verb: Verb,
    line_size: usize,
    /// None: the operation has no message, it is whole.
    message_size: Option<usize>,
}

impl Held {
    fn message_end(self) -> usize {
        self.line_size + self.message_size.unwrap_or(0)
    }

    /// The size of `partial` at which the operation is whole.
    fn size(self) -> usize {
        self.message_end()
            + if self.message_size.is_some() {
                LINE_END.len()
            } else {
                0
            }
    }
}

/// The parser of one connection.
#[derive(Debug)]
pub struct Parser {
    /// `max_payload` as the fast road compares it.
    payload_size_max: u32,
    /// The longest line, in bytes.
    line_size_max: u64,
    /// A client between two operations that may send any: the fast road is open.
    in_place: bool,
    state: State,
    partial: Vec<u8>,
    kind: ConnKind,
    max_payload: i32,
    first_op: FirstOp,
    headers: bool,
    form: LineForm,
}

impl Parser {
    /// A parser at the start of a stream. Headers are off until [`Parser::set_headers`] for clients, on for
    /// the others.
    pub fn new(kind: ConnKind, limits: Limits) -> Self {
        let mut parser = Parser {
            payload_size_max: u32::MAX,
            line_size_max: 0,
            in_place: kind == ConnKind::Client,
            state: State::Start,
            partial: Vec::new(),
            kind,
            max_payload: limits.max_payload,
            first_op: FirstOp::Any,
            headers: kind != ConnKind::Client,
            form: LineForm::default(),
        };
        parser.set_max_payload(limits.max_payload);
        parser.set_max_control_line(limits.max_control_line);
        parser
    }

    /// Changes the largest message, as the account's limit becomes known. It counts from the next line on.
    pub fn set_max_payload(&mut self, max_payload: i32) {
        self.max_payload = max_payload;
        self.payload_size_max = match (self.kind, max_payload) {
            (ConnKind::Route | ConnKind::Gateway, _) | (_, NO_LIMIT) => u32::MAX,
            _ => u32::try_from(max_payload).unwrap_or(0),
        };
    }

    /// Changes the longest line.
    pub fn set_max_control_line(&mut self, max_control_line: i32) {
        let max_control_line = u64::try_from(max_control_line).unwrap_or(0);
        self.line_size_max = max_control_line * self.kind.control_line_factor();
    }

    /// Whether both sides agreed on headers; without, HPUB is refused.
    pub fn set_headers(&mut self, headers: bool) {
        self.headers = headers;
    }

    /// What the next operation may be; [`FirstOp::Any`] once CONNECT was accepted.
    pub fn set_first_op(&mut self, first_op: FirstOp) {
        self.first_op = first_op;
        self.open_fast_road();
    }

    /// Which fields the lines of a route carry.
    pub fn set_line_form(&mut self, form: LineForm) {
        self.form = form;
    }

    /// The kind of connection.
    pub fn kind(&self) -> ConnKind {
        self.kind
    }

    /// Whether the stream stands between two operations.
    pub fn is_at_start(&self) -> bool {
        matches!(self.state, State::Start | State::Delivered)
    }

    /// Bytes that an operation in pieces still lacks, when they are known: how much the next read should ask for.
    pub fn missing_size(&self) -> Option<usize> {
        match self.state {
            State::InMessage(held) => Some(held.size() - self.partial.len()),
            _ => None,
        }
    }

    /// The next operation of `input`.
    ///
    /// Call with what is left of a read until no operation comes: that last call takes the rest, and frees what an
    /// operation in pieces held.
    #[inline]
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, ParseError> {
        if let Some((publish, consumed)) = self.next_publish(input) {
            return Ok(Step {
                consumed,
                op: Some(Op::Pub(publish)),
            });
        }
        self.next_of_any(input)
    }

    /// A `PUB` that lies whole at the start of `input`, and the bytes it took. None says nothing: call
    /// [`Parser::next`], which tries this first as well.
    ///
    /// For the loop that lives on publications: a plain struct stays in registers, where a [`Step`] that is moved
    /// (by `?` for one) goes through memory and costs nearly as much again as the parsing.
    #[inline]
    pub fn next_publish<'a>(&self, input: &'a [u8]) -> Option<(Pub<'a>, usize)> {
        if self.in_place {
            self.publish_in_place(input)
        } else {
            None
        }
    }

    /// A whole `PUB` with single blanks, in one pass. Whatever else it is goes the general road, errors too.
    #[inline]
    fn publish_in_place<'a>(&self, input: &'a [u8]) -> Option<(Pub<'a>, usize)> {
        const PUB_BLANK: u32 = u32::from_le_bytes(*b"pub ");
        const LETTERS_TO_LOWER: u32 = 0x0020_2020;
        const LINE_START: usize = 4;

        let verb = u32::from_le_bytes(*input.first_chunk()?);
        if verb | LETTERS_TO_LOWER != PUB_BLANK {
            return None;
        }
        let subject_end = token_end(input, LINE_START)?;
        let subject = input.get(LINE_START..subject_end)?;
        if subject.is_empty() || *input.get(subject_end)? != b' ' {
            return None;
        }
        let (mut size, mut line_end) = digits(input, subject_end + 1)?;
        let mut reply = None;
        if *input.get(line_end)? != b'\r' {
            let reply_end = token_end(input, line_end)?;
            if *input.get(reply_end)? != b' ' {
                return None;
            }
            let text = input.get(subject_end + 1..reply_end)?;
            if text.is_empty() {
                return None;
            }
            reply = Some(text);
            (size, line_end) = digits(input, reply_end + 1)?;
        }
        if input.get(line_end..line_end + 2)? != LINE_END {
            return None;
        }
        let size = size?;
        if size > self.payload_size_max || (line_end - LINE_START) as u64 > self.line_size_max {
            return None;
        }
        let start = line_end + LINE_END.len();
        let end = start + size as usize;
        let payload = input.get(start..end)?;
        if input.get(end..end + LINE_END.len())? != LINE_END {
            return None;
        }
        Some((
            Pub {
                subject,
                reply,
                payload,
            },
            end + LINE_END.len(),
        ))
    }

    fn next_of_any<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, ParseError> {
        if matches!(self.state, State::Delivered) {
            self.partial = Vec::new();
            self.enter(State::Start);
            if let Some((publish, consumed)) = self.next_publish(input) {
                return Ok(Step {
                    consumed,
                    op: Some(Op::Pub(publish)),
                });
            }
        }
        if input.is_empty() {
            return Ok(Step {
                consumed: 0,
                op: None,
            });
        }
        if matches!(self.state, State::Start) {
            self.check_first_op(input)?;
            if let Some(step) = self.whole_op(input)? {
                return Ok(step);
            }
        }
        self.resume(input)
    }

    #[inline]
    fn check_first_op(&self, input: &[u8]) -> Result<(), ParseError> {
        let first = input.first().map(u8::to_ascii_uppercase);
        let allowed = match self.first_op {
            FirstOp::Any => true,
            FirstOp::Connect => first == Some(b'C'),
            FirstOp::ConnectOrInfo => matches!(first, Some(b'C' | b'I')),
        };
        if allowed {
            Ok(())
        } else {
            Err(ParseError::ConnectExpected)
        }
    }

    /// The operation at the start of `input`, if it is there whole.
    fn whole_op<'a>(&self, input: &'a [u8]) -> Result<Option<Step<'a>>, ParseError> {
        let verb = match Verb::recognise(self.kind, input) {
            Recognised::Whole(verb) => verb,
            Recognised::Partial => return Ok(None),
            Recognised::Unknown(at) => return Err(unknown_operation(input, at)),
        };
        let verb_size = verb.text().len();
        let rest = &input[verb_size..];
        if verb.tail() == Tail::Ignored {
            return Ok(memchr::memchr(b'\n', rest).map(|end| Step {
                consumed: verb_size + end + 1,
                op: Some(op_without_line(verb)),
            }));
        }
        let Some(blanks) = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')) else {
            return Ok(None);
        };
        if blanks == 0 && verb.tail() == Tail::Blank {
            return Err(unknown_operation(input, verb_size));
        }
        let line_start = verb_size + blanks;
        // The first byte of the arguments is never taken for the end of the line: the peer's rule.
        let Some(line_end) = memchr::memchr(b'\n', &input[line_start + 1..]) else {
            return Ok(None);
        };
        let line_end = line_start + 1 + line_end;
        let line = without_line_end(&input[line_start..line_end]);
        let (op, message_size) = self.parse_whole_line(verb, line)?;
        let start = line_end + 1;
        let Some(message_size) = message_size else {
            return Ok(Some(Step {
                consumed: start,
                op: Some(op),
            }));
        };
        let end = start + message_size;
        match input.get(end..) {
            Some([b'\r', b'\n', ..]) => {
                let op = with_message(op, &input[start..end]);
                Ok(Some(Step {
                    consumed: end + LINE_END.len(),
                    op: Some(op),
                }))
            }
            _ => Ok(None),
        }
    }

    /// Checks the length of a whole line, then its arguments, then the size of the message that follows.
    fn parse_whole_line<'a>(
        &self,
        verb: Verb,
        line: &'a [u8],
    ) -> Result<(Op<'a>, Option<usize>), ParseError> {
        self.check_line_size(verb, line.len())?;
        if verb == Verb::Hpub && !self.headers {
            return Err(ParseError::HeadersNotSupported);
        }
        let (op, message_size) =
            parse_line(self.kind, self.form, verb, line).map_err(|what| ParseError::BadArguments {
                verb,
                what,
                snippet: snippet(line, 0),
            })?;
        if let Some(size) = message_size {
            if size > self.payload_size_max {
                return Err(ParseError::PayloadTooLarge {
                    size,
                    max_payload: self.max_payload,
                });
            }
        }
        Ok((op, message_size.map(|size| size as usize)))
    }

    fn check_line_size(&self, verb: Verb, line_size: usize) -> Result<(), ParseError> {
        if line_size as u64 > self.line_size_max {
            return Err(ParseError::ControlLineTooLong {
                verb,
                limit: self.line_size_max,
            });
        }
        Ok(())
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.open_fast_road();
    }

    fn open_fast_road(&mut self) {
        self.in_place =
            self.kind == ConnKind::Client && self.state == State::Start && self.first_op == FirstOp::Any;
    }

    /// The slow road: takes the input from where the stream stands, keeping what the operation needs later.
    fn resume<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, ParseError> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Start | State::Delivered => {
                    self.enter(State::InVerb {
                        held: [0; VERB_SIZE_MAX],
                        size: 0,
                    });
                }
                State::InVerb { mut held, mut size } => {
                    held[size] = rest[0];
                    size += 1;
                    match Verb::recognise(self.kind, &held[..size]) {
                        Recognised::Whole(verb) => self.enter(State::AfterVerb(verb)),
                        Recognised::Partial => self.enter(State::InVerb { held, size }),
                        Recognised::Unknown(_) => return Err(unknown_operation(input, at)),
                    }
                    at += 1;
                }
                State::AfterVerb(verb) => match (verb.tail(), rest[0]) {
                    (Tail::Ignored, _) => self.enter(State::InIgnored(verb)),
                    (Tail::Open, _) | (Tail::Blank, b' ' | b'\t') => self.enter(State::InBlanks(verb)),
                    (Tail::Blank, _) => return Err(unknown_operation(input, at)),
                },
                State::InBlanks(verb) => {
                    let blanks = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
                    at += blanks.unwrap_or(rest.len());
                    if blanks.is_some() {
                        // The first byte of the arguments is never taken for the end of the line.
                        self.partial.push(input[at]);
                        at += 1;
                        self.check_partial_line(verb)?;
                        self.enter(State::InLine(verb));
                    }
                }
                State::InLine(verb) => at += self.resume_line(verb, rest)?,
                State::InIgnored(verb) => match memchr::memchr(b'\n', rest) {
                    None => at = input.len(),
                    Some(end) => {
                        self.enter(State::Delivered);
                        return Ok(Step {
                            consumed: at + end + 1,
                            op: Some(op_without_line(verb)),
                        });
                    }
                },
                State::InMessage(held) => at += self.resume_message(rest, held.message_end())?,
            }
            if let State::InMessage(held) = self.state {
                if self.partial.len() == held.size() {
                    self.enter(State::Delivered);
                    return Ok(Step {
                        consumed: at,
                        op: Some(self.held_op(held)?),
                    });
                }
            }
        }
        Ok(Step {
            consumed: input.len(),
            op: None,
        })
    }

    /// Takes what belongs to the line. Gives the count of bytes taken.
    fn resume_line(&mut self, verb: Verb, rest: &[u8]) -> Result<usize, ParseError> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            // Bounded before it is held: one read brings no more than the limit and itself.
            self.partial.extend_from_slice(rest);
            self.check_partial_line(verb)?;
            return Ok(rest.len());
        };
        self.partial.extend_from_slice(&rest[..end]);
        let line_size = without_line_end(&self.partial).len();
        self.partial.truncate(line_size);
        let (_, message_size) = self.parse_whole_line(verb, &self.partial)?;
        if let Some(size) = message_size {
            self.partial
                .reserve_exact((size + LINE_END.len()).min(RESERVE_SIZE_MAX));
        }
        self.enter(State::InMessage(Held {
            verb,
            line_size,
            message_size,
        }));
        Ok(end + 1)
    }

    /// A line that has not ended is too long when no end could make it fit.
    fn check_partial_line(&self, verb: Verb) -> Result<(), ParseError> {
        if self.partial.len() as u64 <= self.line_size_max {
            return Ok(());
        }
        let has_carriage_return = memchr::memchr(b'\r', &self.partial[1..]).is_some();
        self.check_line_size(verb, self.partial.len() - usize::from(has_carriage_return))
    }

    /// Takes what belongs to the message and its line end. Gives the count of bytes taken.
    fn resume_message(&mut self, rest: &[u8], message_end: usize) -> Result<usize, ParseError> {
        let mut at = 0;
        if self.partial.len() < message_end {
            let missing_size = message_end - self.partial.len();
            at = rest.len().min(missing_size);
            if self.partial.capacity() - self.partial.len() < at {
                let ahead = at.max(self.partial.len()).min(missing_size + LINE_END.len());
                self.partial.reserve_exact(ahead);
            }
            self.partial.extend_from_slice(&rest[..at]);
        }
        while let Some(byte) = rest.get(at) {
            let Some(expected) = LINE_END.get(self.partial.len() - message_end) else {
                break;
            };
            if byte != expected {
                return Err(unknown_operation(rest, at));
            }
            self.partial.push(*byte);
            at += 1;
        }
        Ok(at)
    }

    /// The operation in `partial`, which is whole.
    fn held_op(&self, held: Held) -> Result<Op<'_>, ParseError> {
        let (line, message) = self.partial.split_at(held.line_size);
        // The line was read when it became whole; the limits are not asked again, they may have changed since.
        let (op, _) =
            parse_line(self.kind, self.form, held.verb, line).map_err(|what| ParseError::BadArguments {
                verb: held.verb,
                what,
                snippet: snippet(line, 0),
            })?;
        Ok(with_message(op, &message[..held.message_size.unwrap_or(0)]))
    }
}

const LINE_END: &[u8] = b"\r\n";

/// Of PING, PONG and +OK, whose line says nothing.
fn op_without_line(verb: Verb) -> Op<'static> {
    match verb {
        Verb::Ping => Op::Ping,
        Verb::Pong => Op::Pong,
        _ => Op::Ok,
    }
}

fn unknown_operation(input: &[u8], at: usize) -> ParseError {
    ParseError::UnknownOperation {
        snippet: snippet(input, at),
    }
}

fn snippet(bytes: &[u8], at: usize) -> Box<[u8]> {
    bytes.iter().skip(at).take(SNIPPET_SIZE_MAX).copied().collect()
}

/// The place of the first byte that is a blank or a control character, at or after `at`.
#[inline]
fn token_end(input: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x80 * ONES;
    const FIRST_PRINTING: u64 = 0x21;

    while let Some(chunk) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // A byte's high bit is set where the byte is below FIRST_PRINTING. A borrow may set bits of later bytes by
        // mistake, never of earlier ones.
        let below = word.wrapping_sub(FIRST_PRINTING * ONES) & !word & HIGH_BITS;
        if below != 0 {
            return Some(at + (below.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let end = input.get(at..)?.iter().position(|byte| *byte <= b' ')?;
    Some(at + end)
}

/// The number at `at` and where its digits end. No number: there is no digit, or there are too many.
#[inline]
fn digits(input: &[u8], at: usize) -> Option<(Option<u32>, usize)> {
    let mut end = at;
    let mut number: u32 = 0;
    loop {
        let digit = input.get(end)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u32::from(digit));
        end += 1;
    }
    let is_size = (1..=SIZE_DIGITS_MAX).contains(&(end - at));
    Some((is_size.then_some(number), end))
}

#[cfg(test)]
mod tests;
