//! The arguments of one control line: tokens, sizes, and the operations made of them.
//!
//! A line here is what stands between the blanks after the verb and the line end, see
//! `without_line_end`. No operation is checked against `max_control_line` here (`parser`).

use super::kind::ConnKind;
use super::ops::{Hpub, Op, Pub, RemoteSub, RemoteUnsub, RoutedMsg, Sub, Unsub};
use super::verb::Verb;

/// A size is at most this many digits.
pub(super) const SIZE_DIGITS_MAX: usize = 9;

/// What is wrong with the arguments of an operation. The peer closes without an answer on each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadArgument {
    /// Too few or too many arguments.
    Count,
    /// The size is no number of at most nine digits.
    Size,
    /// The header size is no number of at most nine digits.
    HeaderSize,
    /// The header size is larger than the total size.
    HeaderBeyondTotal,
    /// Where `+` or `|` must stand, something else does.
    ReplyIndicator,
}

impl BadArgument {
    /// For the log.
    pub fn text(self) -> &'static str {
        match self {
            BadArgument::Count => "wrong number of arguments",
            BadArgument::Size => "bad or missing size",
            BadArgument::HeaderSize => "bad or missing header size",
            BadArgument::HeaderBeyondTotal => "header size larger than total size",
            BadArgument::ReplyIndicator => "bad or missing reply indicator",
        }
    }
}

/// What the fields of a link's lines depend on, apart from its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineForm {
    /// The route serves one account, so its lines do not name the account.
    pub account_is_implied: bool,
    /// The peer names the origin cluster in `LS-` (INFO `lnocu`).
    pub unsub_has_origin: bool,
}

/// The line without its end: one byte less when a carriage return came with it.
///
/// `line` ends before the line feed. As at the peer, the last byte goes when a carriage return stands
/// anywhere but first: that is the carriage return itself for everyone who speaks properly.
#[inline]
pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    match line {
        [_, .., b'\r'] => &line[..line.len() - 1],
        [_, rest @ ..] if memchr::memchr(b'\r', rest).is_some() => &line[..line.len() - 1],
        _ => line,
    }
}

/// A number of one to nine digits.
#[inline]
pub(super) fn parse_size(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut size: u32 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + u32::from(digit);
    }
    Some(size)
}

/// The words of a line, separated by spaces, tabs and line ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Tokens { rest: line }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (token, rest) = split_token(self.rest, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
        self.rest = rest;
        Some(token)
    }
}

#[inline]
fn split_token(line: &[u8], is_blank: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let start = line.iter().position(|byte| !is_blank(*byte))?;
    let line = &line[start..];
    let end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    Some(line.split_at(end))
}

/// The first `N` words of a line and how many there are in all.
struct Words<'a, const N: usize> {
    words: [&'a [u8]; N],
    count: usize,
}

impl<'a, const N: usize> Words<'a, N> {
    #[inline]
    fn collect(line: &'a [u8], is_blank: impl Fn(u8) -> bool) -> Self {
        let mut words: [&'a [u8]; N] = [&[]; N];
        let mut count = 0;
        let mut start = None;
        for (at, byte) in line.iter().enumerate() {
            match (is_blank(*byte), start) {
                (false, None) => start = Some(at),
                (true, Some(from)) => {
                    if let Some(slot) = words.get_mut(count) {
                        *slot = &line[from..at];
                    }
                    count += 1;
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            if let Some(slot) = words.get_mut(count) {
                *slot = &line[from..];
            }
            count += 1;
        }
        Words { words, count }
    }

    #[inline]
    fn get(&self) -> &[&'a [u8]] {
        if self.count <= N {
            &self.words[..self.count]
        } else {
            &[]
        }
    }
}

/// Publications split at spaces and tabs only, everything else at line ends too: the peer's rule.
#[inline]
fn is_publish_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The operation of a line and, if a message follows, its size. The message's field is empty as yet
/// ([`with_message`]).
pub(super) fn parse_line<'a>(
    kind: ConnKind,
    form: LineForm,
    verb: Verb,
    line: &'a [u8],
) -> Result<(Op<'a>, Option<u32>), BadArgument> {
    match verb {
        Verb::Connect => Ok((Op::Connect(line), None)),
        Verb::Info => Ok((Op::Info(line), None)),
        Verb::Err => Ok((Op::Err(line), None)),
        Verb::Ping => Ok((Op::Ping, None)),
        Verb::Pong => Ok((Op::Pong, None)),
        Verb::Ok => Ok((Op::Ok, None)),
        Verb::APlus => Ok((Op::AccountSub(line), None)),
        Verb::AMinus => Ok((Op::AccountUnsub(line), None)),
        Verb::Pub => parse_pub(line),
        Verb::Hpub => parse_hpub(line),
        Verb::Sub => parse_sub(line),
        Verb::Unsub => parse_unsub(line),
        Verb::RsPlus | Verb::LsPlus => parse_remote_sub(kind, form, verb, line),
        Verb::RsMinus | Verb::LsMinus => parse_remote_unsub(kind, form, verb, line),
        Verb::Rmsg | Verb::Lmsg | Verb::Hmsg => parse_routed(kind, form, verb, line),
    }
}

/// The operation with the message that followed its line.
#[inline]
pub(super) fn with_message<'a>(op: Op<'a>, message: &'a [u8]) -> Op<'a> {
    match op {
        Op::Pub(publish) => Op::Pub(Pub {
            payload: message,
            ..publish
        }),
        Op::Hpub(publish) => Op::Hpub(Hpub { message, ..publish }),
        Op::RoutedMsg(routed) => Op::RoutedMsg(RoutedMsg { message, ..routed }),
        other => other,
    }
}

fn parse_pub(line: &[u8]) -> Result<(Op<'_>, Option<u32>), BadArgument> {
    let (subject, reply, size) = match *Words::<3>::collect(line, is_publish_blank).get() {
        [subject, size] => (subject, None, size),
        [subject, reply, size] => (subject, Some(reply), size),
        _ => return Err(BadArgument::Count),
    };
    let size = parse_size(size).ok_or(BadArgument::Size)?;
    Ok((
        Op::Pub(Pub {
            subject,
            reply,
            payload: &[],
        }),
        Some(size),
    ))
}

fn parse_hpub(line: &[u8]) -> Result<(Op<'_>, Option<u32>), BadArgument> {
    let (subject, reply, header_size, size) = match *Words::<4>::collect(line, is_publish_blank).get() {
        [subject, header_size, size] => (subject, None, header_size, size),
        [subject, reply, header_size, size] => (subject, Some(reply), header_size, size),
        _ => return Err(BadArgument::Count),
    };
    let (header_size, size) = parse_header_sizes(header_size, size)?;
    Ok((
        Op::Hpub(Hpub {
            subject,
            reply,
            header_size,
            message: &[],
        }),
        Some(size),
    ))
}

fn parse_header_sizes(header_size: &[u8], size: &[u8]) -> Result<(usize, u32), BadArgument> {
    let header_size = parse_size(header_size).ok_or(BadArgument::HeaderSize)?;
    let size = parse_size(size).ok_or(BadArgument::Size)?;
    if header_size > size {
        return Err(BadArgument::HeaderBeyondTotal);
    }
    Ok((header_size as usize, size))
}

fn parse_sub(line: &[u8]) -> Result<(Op<'_>, Option<u32>), BadArgument> {
    match *Words::<3>::collect(line, is_blank).get() {
        [subject, sid] => Ok((
            Op::Sub(Sub {
                subject,
                queue: None,
                sid,
            }),
            None,
        )),
        [subject, queue, sid] => Ok((
            Op::Sub(Sub {
                subject,
                queue: Some(queue),
                sid,
            }),
            None,
        )),
        _ => Err(BadArgument::Count),
    }
}

fn parse_unsub(line: &[u8]) -> Result<(Op<'_>, Option<u32>), BadArgument> {
    match *Words::<2>::collect(line, is_blank).get() {
        [sid] => Ok((Op::Unsub(Unsub { sid, max: None }), None)),
        [sid, max] => {
            let max = parse_size(max).filter(|max| *max > 0);
            Ok((Op::Unsub(Unsub { sid, max }), None))
        }
        _ => Err(BadArgument::Count),
    }
}

/// Origin cluster and account.
type Prefix<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Takes the fields that come before the subject.
fn take_prefix<'a>(
    tokens: &mut Tokens<'a>,
    has_origin: bool,
    has_account: bool,
) -> Result<Prefix<'a>, BadArgument> {
    let origin = if has_origin {
        Some(tokens.next().ok_or(BadArgument::Count)?)
    } else {
        None
    };
    let account = if has_account {
        Some(tokens.next().ok_or(BadArgument::Count)?)
    } else {
        None
    };
    Ok((origin, account))
}

fn line_names_account(kind: ConnKind, form: LineForm) -> bool {
    match kind {
        ConnKind::Route => !form.account_is_implied,
        ConnKind::Gateway => true,
        _ => false,
    }
}

fn parse_remote_sub<'a>(
    kind: ConnKind,
    form: LineForm,
    verb: Verb,
    line: &'a [u8],
) -> Result<(Op<'a>, Option<u32>), BadArgument> {
    let from_leaf = verb == Verb::LsPlus;
    let mut tokens = Tokens::new(line);
    let has_origin = from_leaf && kind == ConnKind::Route;
    let (origin, account) = take_prefix(&mut tokens, has_origin, line_names_account(kind, form))?;
    let subject = tokens.next().ok_or(BadArgument::Count)?;
    let queue = match (tokens.next(), tokens.next(), tokens.next()) {
        (None, None, None) => None,
        // A weight that cannot be read counts as one member.
        (Some(queue), Some(weight), None) => Some((queue, parse_size(weight).unwrap_or(1).max(1))),
        _ => return Err(BadArgument::Count),
    };
    Ok((
        Op::RemoteSub(RemoteSub {
            from_leaf,
            origin,
            account,
            subject,
            queue,
        }),
        None,
    ))
}

fn parse_remote_unsub<'a>(
    kind: ConnKind,
    form: LineForm,
    verb: Verb,
    line: &'a [u8],
) -> Result<(Op<'a>, Option<u32>), BadArgument> {
    let from_leaf = verb == Verb::LsMinus;
    let mut tokens = Tokens::new(line);
    let has_origin = from_leaf && kind == ConnKind::Route && form.unsub_has_origin;
    let (origin, account) = take_prefix(&mut tokens, has_origin, line_names_account(kind, form))?;
    let subject = tokens.next().ok_or(BadArgument::Count)?;
    let queue = tokens.next();
    if tokens.next().is_some() {
        return Err(BadArgument::Count);
    }
    Ok((
        Op::RemoteUnsub(RemoteUnsub {
            from_leaf,
            origin,
            account,
            subject,
            queue,
        }),
        None,
    ))
}

fn parse_routed<'a>(
    kind: ConnKind,
    form: LineForm,
    verb: Verb,
    line: &'a [u8],
) -> Result<(Op<'a>, Option<u32>), BadArgument> {
    let has_origin = verb == Verb::Lmsg && kind == ConnKind::Route;
    let has_header_size = verb == Verb::Hmsg || has_origin;
    let mut tokens = Tokens::new(line);
    let (origin, account) = take_prefix(&mut tokens, has_origin, line_names_account(kind, form))?;
    let subject = tokens.next().ok_or(BadArgument::Count)?;

    let (line, size) = take_last_token(tokens.rest).ok_or(BadArgument::Count)?;
    let (line, header_size) = if has_header_size {
        let (line, header_size) = take_last_token(line).ok_or(BadArgument::Count)?;
        (line, Some(header_size))
    } else {
        (line, None)
    };
    let (reply, queue_list) = parse_reply_and_queues(line)?;
    let (header_size, size) = match header_size {
        Some(header_size) => {
            let (header_size, size) = parse_header_sizes(header_size, size)?;
            (Some(header_size), size)
        }
        None => (None, parse_size(size).ok_or(BadArgument::Size)?),
    };
    let routed = RoutedMsg {
        origin,
        account,
        subject,
        reply,
        queue_list,
        header_size,
        message: &[],
    };
    Ok((Op::RoutedMsg(routed), Some(size)))
}

/// Nothing, a reply, `+ reply queue...` or `| queue...`.
fn parse_reply_and_queues(line: &[u8]) -> Result<(Option<&[u8]>, &[u8]), BadArgument> {
    let mut tokens = Tokens::new(line);
    let Some(first) = tokens.next() else {
        return Ok((None, &[]));
    };
    let queues = tokens.rest;
    let Some(second) = tokens.next() else {
        return Ok((Some(first), &[]));
    };
    match first {
        b"+" => Ok((Some(second), tokens.rest)),
        b"|" => Ok((None, queues)),
        _ => Err(BadArgument::ReplyIndicator),
    }
}

/// The last word of a line and what stands before it.
fn take_last_token(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().rposition(|byte| !is_blank(*byte))? + 1;
    let line = &line[..end];
    let start = line
        .iter()
        .rposition(|byte| is_blank(*byte))
        .map_or(0, |blank| blank + 1);
    Some(line.split_at(start))
}
