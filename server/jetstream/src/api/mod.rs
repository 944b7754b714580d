//! The JetStream API: requests in, answers and entries out.
//!
//! Owns: which subject asks for what (here), the requests (`request`), the answers (`response`), what each request does:
//! `streams` for the table of streams, `messages` and `direct` for one stream, `account` for the account. Not here:
//! getting a request to its stream's shard, sending answers, the log.
//!
//! A handler looks at state and says what to do. Where that is an entry, the one who appends it comes back with what came of
//! it to make the answer.

pub mod account;
pub mod advisory;
pub mod direct;
pub mod messages;
pub mod request;
pub mod response;
pub mod streams;

use pinion_shard::proto::headers as block;
use pinion_shard::subject::tokens;

use crate::error::{self, ApiError};
use crate::json::{decode_request, Decode};
use crate::stream::is_api_level_met;

/// What handlers know of their server.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The server's name.
    pub server_name: String,
    /// The cluster's name; empty for none.
    pub cluster_name: String,
    /// The JetStream domain; empty for none.
    pub domain: String,
    /// Whether unknown fields of requests are refused.
    pub is_strict: bool,
    /// The server's `max_pending`, which bounds the answers to one direct get.
    pub max_pending: u64,
}

/// What a subject asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `$JS.API.INFO`
    AccountInfo,
    /// `$JS.API.STREAM.CREATE.<stream>`
    StreamCreate(&'a str),
    /// `$JS.API.STREAM.UPDATE.<stream>`
    StreamUpdate(&'a str),
    /// `$JS.API.STREAM.DELETE.<stream>`
    StreamDelete(&'a str),
    /// `$JS.API.STREAM.NAMES`
    StreamNames,
    /// `$JS.API.STREAM.LIST`
    StreamList,
    /// `$JS.API.STREAM.INFO.<stream>`
    StreamInfo(&'a str),
    /// `$JS.API.STREAM.PURGE.<stream>`
    StreamPurge(&'a str),
    /// `$JS.API.STREAM.MSG.GET.<stream>`
    MessageGet(&'a str),
    /// `$JS.API.STREAM.MSG.DELETE.<stream>`
    MessageDelete(&'a str),
    /// `$JS.API.DIRECT.GET.<stream>`
    DirectGet(&'a str),
    /// `$JS.API.DIRECT.GET.<stream>.<subject>`
    DirectGetLast(&'a str, &'a str),
}

impl<'a> Route<'a> {
    /// What this subject asks for; `None` where nobody answers.
    pub fn of(subject: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(subject).ok()?;
        let rest = text.strip_prefix("$JS.API.")?;
        if let Some(rest) = rest.strip_prefix("DIRECT.GET.") {
            return Some(match rest.split_once('.') {
                None => Self::DirectGet(rest),
                Some((stream, subject)) => Self::DirectGetLast(stream, subject),
            });
        }
        let mut words = tokens(rest.as_bytes()).map(|word| std::str::from_utf8(word).unwrap_or_default());
        let words = [(); 5].map(|()| words.next());
        Some(match words {
            [Some("INFO"), None, ..] => Self::AccountInfo,
            [Some("STREAM"), Some("NAMES"), None, ..] => Self::StreamNames,
            [Some("STREAM"), Some("LIST"), None, ..] => Self::StreamList,
            [Some("STREAM"), Some(verb), Some(stream), None, _] => match verb {
                "CREATE" => Self::StreamCreate(stream),
                "UPDATE" => Self::StreamUpdate(stream),
                "DELETE" => Self::StreamDelete(stream),
                "INFO" => Self::StreamInfo(stream),
                "PURGE" => Self::StreamPurge(stream),
                _ => return None,
            },
            [Some("STREAM"), Some("MSG"), Some("GET"), Some(stream), None] => Self::MessageGet(stream),
            [Some("STREAM"), Some("MSG"), Some("DELETE"), Some(stream), None] => Self::MessageDelete(stream),
            _ => return None,
        })
    }
}

/// A request: what stands behind its subject.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// Its header block, or nothing.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl Body<'_> {
    /// Whether the server's API level is enough.
    fn check_api_level(&self) -> Result<(), ApiError> {
        if is_api_level_met(block::get(self.headers, b"Nats-Required-Api-Level")) {
            Ok(())
        } else {
            Err(error::REQUIRED_API_LEVEL.into())
        }
    }

    fn decode<T: Decode + Default>(&self, facts: &Facts, name: &'static str) -> Result<T, ApiError> {
        let mut request = T::default();
        decode_request(self.payload, facts.is_strict, &mut request, name)
            .map_err(|fault| error::INVALID_JSON.with(fault))?;
        Ok(request)
    }

    /// Whether the payload is an object or a list, or means to be; anything else counts as no request.
    fn is_json(&self) -> bool {
        matches!(self.payload.trim_ascii_start().first(), Some(b'{' | b'['))
    }

    /// Whether the payload asks for nothing.
    fn is_empty(&self) -> bool {
        if self.payload.is_empty() {
            return true;
        }
        let (values, end) = crate::json::parse_all(self.payload);
        let [crate::json::Value::Object(members)] = values.as_slice() else {
            return false;
        };
        end.is_ok() && members.is_empty()
    }
}
