//! What the publisher hears: the ack of a publish, byte for byte as the peer writes it.

use serde::Serialize;

use crate::error::ApiError;
use crate::json::{quote, to_vec};

/// The beginning of every good ack of a stream, up to the sequence.
pub(super) fn prefix(stream: &str, domain: &str) -> Vec<u8> {
    let stream = quote(stream);
    if domain.is_empty() {
        format!(r#"{{"stream":{stream},"seq":"#).into_bytes()
    } else {
        let domain = quote(domain);
        format!(r#"{{"stream":{stream},"domain":{domain},"seq":"#).into_bytes()
    }
}

/// What an ack says beside the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    None,
    Duplicate,
    /// The value of a counter.
    Value(String),
    /// An atomic batch was stored.
    Batch {
        id: String,
        count: u64,
    },
}

pub(super) fn stored(prefix: &[u8], seq: u64, detail: &Detail) -> Vec<u8> {
    let mut ack = prefix.to_vec();
    ack.extend_from_slice(seq.to_string().as_bytes());
    let rest = match detail {
        Detail::None => "}".to_owned(),
        Detail::Duplicate => r#","duplicate": true}"#.to_owned(),
        Detail::Value(value) => format!(r#","val":{}}}"#, quote(value)),
        Detail::Batch { id, count } => format!(r#","batch":{},"count":{count}}}"#, quote(id)),
    };
    ack.extend_from_slice(rest.as_bytes());
    ack
}

pub(super) fn refused(stream: &str, error: &ApiError) -> Vec<u8> {
    #[derive(Serialize)]
    struct Refused<'a> {
        error: &'a ApiError,
        stream: &'a str,
        seq: u64,
    }
    to_vec(&Refused {
        error,
        stream,
        seq: 0,
    })
}
