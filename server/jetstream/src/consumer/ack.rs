//! Acks: the subject that a delivery's ack goes to, and what an ack says.
//!
//! Owns: both formats of the subject, reading and writing; the words of the body. Not here: what an ack does (`state`).
//!
//! ```text
//! $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<delivery seq>.<time>.<pending>
//! $JS.ACK.<domain>.<account hash>.<stream>.<consumer>.<deliveries>.<stream seq>.<delivery seq>.<time>.<pending>[.<more>]
//! ```

use pinion_shard::proto::duration::parse_duration_ns;
use pinion_shard::subject::tokens;

use crate::json::{decode_request, decode_struct};

/// Tokens of the first format.
const TOKENS_V1: usize = 9;
/// Tokens of the second format, at least.
const TOKENS_V2: usize = 11;

/// How the subjects of a consumer's acks begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckNames {
    /// The JetStream domain; empty for none.
    pub domain: String,
    /// The hash of the account's name.
    pub account_hash: String,
    /// Whether the second format is written; both are read.
    pub is_v2: bool,
}

impl AckNames {
    /// The beginning of a subject below `$JS.<kind>`, with a dot at the end.
    pub fn prefix(&self, kind: &str, stream: &str, consumer: &str) -> String {
        if self.is_v2 {
            let domain = if self.domain.is_empty() { "_" } else { &self.domain };
            format!("$JS.{kind}.{domain}.{}.{stream}.{consumer}.", self.account_hash)
        } else {
            format!("$JS.{kind}.{stream}.{consumer}.")
        }
    }
}

/// What the subject of an ack says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// How often the message was delivered.
    pub deliveries: u64,
    /// The message.
    pub stream_seq: u64,
    /// The delivery.
    pub delivery_seq: u64,
}

impl<'a> AckSubject<'a> {
    /// Reads a subject; `None` where it is no ack's.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let count = pinion_shard::subject::token_count(subject);
        let mut words = tokens(subject);
        if words.next()? != b"$JS" || words.next()? != b"ACK" {
            return None;
        }
        if count >= TOKENS_V2 {
            words.nth(1)?;
        } else if count != TOKENS_V1 {
            return None;
        }
        Some(Self {
            stream: words.next()?,
            consumer: words.next()?,
            deliveries: number(words.next()?),
            stream_seq: number(words.next()?),
            delivery_seq: number(words.next()?),
        })
    }
}

/// A number; what is none counts as one that no message has, as in the peer.
fn number(word: &[u8]) -> u64 {
    let digits = std::str::from_utf8(word).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return u64::MAX;
    }
    digits.parse().unwrap_or(u64::MAX)
}

/// What an ack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckBody<'a> {
    /// Done.
    Ack,
    /// Done, and the next one please; what follows is a pull request.
    Next(&'a [u8]),
    /// Not done: again, at once or after so many nanoseconds.
    Nak(Option<i64>),
    /// Still at it.
    Progress,
    /// Never again.
    Term {
        /// Why; may be empty.
        reason: String,
    },
    /// None of these.
    Other,
}

#[derive(Debug, Default)]
struct NakOptions {
    delay: i64,
}

decode_struct!(NakOptions, "ConsumerNakOptions", { "delay" => delay: "time.Duration" });

impl<'a> AckBody<'a> {
    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Self {
        if matches!(payload, b"" | b"+ACK" | b"+OK") {
            return Self::Ack;
        }
        if payload == b"+WPI" {
            return Self::Progress;
        }
        if let Some(request) = payload.strip_prefix(b"+NXT") {
            return Self::Next(request);
        }
        if let Some(options) = payload.strip_prefix(b"-NAK") {
            return Self::Nak(nak_delay(options.trim_ascii()));
        }
        if let Some(reason) = payload.strip_prefix(b"+TERM") {
            let reason = String::from_utf8_lossy(reason.trim_ascii()).into_owned();
            return Self::Term { reason };
        }
        Self::Other
    }
}

/// A delay that makes no sense counts as none.
fn nak_delay(options: &[u8]) -> Option<i64> {
    if options.first() == Some(&b'{') {
        let mut parsed = NakOptions::default();
        let read = decode_request(options, false, &mut parsed, "ConsumerNakOptions");
        return read.ok().map(|()| parsed.delay);
    }
    parse_duration_ns(std::str::from_utf8(options).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_both_formats() {
        let mut names = AckNames {
            domain: String::new(),
            account_hash: "HASH".to_owned(),
            is_v2: false,
        };
        let v1 = format!("{}2.5.7.100.0", names.prefix("ACK", "S", "C"));
        assert_eq!(v1, "$JS.ACK.S.C.2.5.7.100.0");
        names.is_v2 = true;
        let v2 = format!("{}2.5.7.100.0", names.prefix("ACK", "S", "C"));
        assert_eq!(v2, "$JS.ACK._.HASH.S.C.2.5.7.100.0");
        let expected = AckSubject {
            stream: b"S",
            consumer: b"C",
            deliveries: 2,
            stream_seq: 5,
            delivery_seq: 7,
        };
        for subject in [&v1, &v2, &format!("{v2}.random")] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), Some(expected));
        }
        for subject in [
            "$JS.ACK.S.C.2.5.7.100",
            "$JS.ACK.S.C.2.5.7.100.0.1",
            "$JS.NAK.S.C.2.5.7.100.0",
            "",
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), None, "{subject}");
        }
        let odd = AckSubject::parse(b"$JS.ACK.S.C.x.5.-1.100.0").expect("it has the tokens");
        assert_eq!((odd.deliveries, odd.delivery_seq), (u64::MAX, u64::MAX));
    }

    #[test]
    fn bodies() {
        let term = |reason: &str| AckBody::Term {
            reason: reason.to_owned(),
        };
        let cases: [(&[u8], AckBody<'_>); 14] = [
            (b"", AckBody::Ack),
            (b"+ACK", AckBody::Ack),
            (b"+OK", AckBody::Ack),
            (b"+ACK ", AckBody::Other),
            (b"+WPI", AckBody::Progress),
            (b"+NXT 5", AckBody::Next(b" 5")),
            (b"-NAK", AckBody::Nak(None)),
            (b"-NAK {\"delay\": 1000}", AckBody::Nak(Some(1000))),
            (b"-NAK {\"delay\": \"x\"}", AckBody::Nak(None)),
            (b"-NAK 2s", AckBody::Nak(Some(2_000_000_000))),
            (b"-NAK soon", AckBody::Nak(None)),
            (b"+TERM", term("")),
            (b"+TERM  bad ", term("bad")),
            (b"?", AckBody::Other),
        ];
        for (payload, expected) in cases {
            assert_eq!(AckBody::parse(payload), expected);
        }
    }
}
