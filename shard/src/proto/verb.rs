//! The words that operations begin with, and how they are recognised.
//!
//! Verbs are case-insensitive. A first byte that begins no verb of the connection's kind is refused at
//! once, without waiting for the rest of the word.

use super::kind::ConnKind;

/// The first word of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `CONNECT {json}`
    Connect,
    /// `INFO {json}`
    Info,
    /// `PUB`
    Pub,
    /// `HPUB`
    Hpub,
    /// `SUB`
    Sub,
    /// `UNSUB`
    Unsub,
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR`
    Err,
    /// `RS+`: interest of a server.
    RsPlus,
    /// `RS-`
    RsMinus,
    /// `LS+`: interest that came from a leaf node.
    LsPlus,
    /// `LS-`
    LsMinus,
    /// `A+`: interest of a whole account.
    APlus,
    /// `A-`
    AMinus,
    /// `RMSG`: a message between servers.
    Rmsg,
    /// `LMSG`: a message of a leaf node.
    Lmsg,
    /// `HMSG`: a message with headers between servers.
    Hmsg,
}

/// What may stand between a verb and the end of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// At least one blank, then arguments.
    Blank,
    /// Arguments, blanks before them or not.
    Open,
    /// Anything; it is not looked at and not held.
    Ignored,
}

/// What the bytes so far say about the verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    /// This verb; it took [`Verb::text`]'s length.
    Whole(Verb),
    /// The beginning of at least one verb.
    Partial,
    /// No verb of this kind begins so. The count of bytes that were fine.
    Unknown(usize),
}

/// No verb is longer.
pub(super) const VERB_SIZE_MAX: usize = 7;

impl Verb {
    /// The verb in upper case.
    pub fn text(self) -> &'static str {
        match self {
            Verb::Connect => "CONNECT",
            Verb::Info => "INFO",
            Verb::Pub => "PUB",
            Verb::Hpub => "HPUB",
            Verb::Sub => "SUB",
            Verb::Unsub => "UNSUB",
            Verb::Ping => "PING",
            Verb::Pong => "PONG",
            Verb::Ok => "+OK",
            Verb::Err => "-ERR",
            Verb::RsPlus => "RS+",
            Verb::RsMinus => "RS-",
            Verb::LsPlus => "LS+",
            Verb::LsMinus => "LS-",
            Verb::APlus => "A+",
            Verb::AMinus => "A-",
            Verb::Rmsg => "RMSG",
            Verb::Lmsg => "LMSG",
            Verb::Hmsg => "HMSG",
        }
    }

    #[inline]
    pub(super) fn tail(self) -> Tail {
        match self {
            Verb::Connect | Verb::Info => Tail::Open,
            Verb::Ping | Verb::Pong | Verb::Ok => Tail::Ignored,
            _ => Tail::Blank,
        }
    }

    /// Reads the verb at the start of `input`, which is not empty.
    #[inline]
    pub(super) fn recognise(kind: ConnKind, input: &[u8]) -> Recognised {
        match Self::common(input) {
            Some(verb) if kind.accepts(verb) => Recognised::Whole(verb),
            _ => Self::recognise_any(kind, input),
        }
    }

    /// The frequent verbs of three and four letters, by one comparison.
    #[inline]
    fn common(input: &[u8]) -> Option<Verb> {
        // Without this bit a letter is in upper case, and nothing but a letter becomes one.
        const LOWER_CASE_BIT: u8 = 0x20;
        let word = input.first_chunk::<4>()?.map(|byte| byte & !LOWER_CASE_BIT);
        Some(match &word {
            b"PING" => Verb::Ping,
            b"PONG" => Verb::Pong,
            b"HPUB" => Verb::Hpub,
            b"HMSG" => Verb::Hmsg,
            b"RMSG" => Verb::Rmsg,
            b"LMSG" => Verb::Lmsg,
            [b'P', b'U', b'B', _] => Verb::Pub,
            [b'S', b'U', b'B', _] => Verb::Sub,
            _ => return None,
        })
    }

    fn recognise_any(kind: ConnKind, input: &[u8]) -> Recognised {
        let Some(first) = input.first() else {
            return Recognised::Partial;
        };
        let candidates: &[Verb] = match first.to_ascii_uppercase() {
            b'P' => &[Verb::Pub, Verb::Ping, Verb::Pong],
            b'S' => &[Verb::Sub],
            b'U' => &[Verb::Unsub],
            b'H' => &[Verb::Hpub, Verb::Hmsg],
            b'C' => &[Verb::Connect],
            b'I' => &[Verb::Info],
            b'+' => &[Verb::Ok],
            b'-' => &[Verb::Err],
            b'R' => &[Verb::Rmsg, Verb::RsPlus, Verb::RsMinus],
            b'L' => &[Verb::Lmsg, Verb::LsPlus, Verb::LsMinus],
            b'A' => &[Verb::APlus, Verb::AMinus],
            _ => &[],
        };
        let mut fitting_max = 0;
        for verb in candidates.iter().copied().filter(|verb| kind.accepts(*verb)) {
            let text = verb.text().as_bytes();
            let fitting = text
                .iter()
                .zip(input)
                .take_while(|(a, b)| a.eq_ignore_ascii_case(b))
                .count();
            if fitting == text.len() {
                return Recognised::Whole(verb);
            }
            if fitting == input.len() {
                return Recognised::Partial;
            }
            fitting_max = fitting_max.max(fitting);
        }
        Recognised::Unknown(fitting_max)
    }
}
