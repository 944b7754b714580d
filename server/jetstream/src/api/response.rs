//! The answers of the API: their fields in the peer's order.

use std::collections::BTreeMap;

use pinion_shard::io::WallTime;
use serde::Serialize;

use crate::error::ApiError;
use crate::json::to_vec;
use crate::stream::StreamConfig;

/// The beginning of every `type`.
const TYPE_PREFIX: &str = "io.nats.jetstream.api.v1.";

/// Which request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `$JS.API.INFO`
    AccountInfo,
    /// `$JS.API.STREAM.CREATE`
    StreamCreate,
    /// `$JS.API.STREAM.UPDATE`
    StreamUpdate,
    /// `$JS.API.STREAM.DELETE`
    StreamDelete,
    /// `$JS.API.STREAM.NAMES`
    StreamNames,
    /// `$JS.API.STREAM.LIST`
    StreamList,
    /// `$JS.API.STREAM.INFO`
    StreamInfo,
    /// `$JS.API.STREAM.PURGE`
    StreamPurge,
    /// `$JS.API.STREAM.MSG.GET`
    MessageGet,
    /// `$JS.API.STREAM.MSG.DELETE`
    MessageDelete,
}

impl Kind {
    /// JSON: `type`.
    pub fn type_name(self) -> String {
        let name = match self {
            Self::AccountInfo => "account_info_response",
            Self::StreamCreate => "stream_create_response",
            Self::StreamUpdate => "stream_update_response",
            Self::StreamDelete => "stream_delete_response",
            Self::StreamNames => "stream_names_response",
            Self::StreamList => "stream_list_response",
            Self::StreamInfo => "stream_info_response",
            Self::StreamPurge => "stream_purge_response",
            Self::MessageGet => "stream_msg_get_response",
            Self::MessageDelete => "stream_msg_delete_response",
        };
        format!("{TYPE_PREFIX}{name}")
    }

    /// The answer with these fields behind the type.
    pub fn answer<T: Serialize>(self, fields: &T) -> Vec<u8> {
        #[derive(Serialize)]
        struct Answer<'a, T> {
            r#type: String,
            #[serde(flatten)]
            fields: &'a T,
        }
        to_vec(&Answer {
            r#type: self.type_name(),
            fields,
        })
    }

    /// The answer when it went wrong: some kinds show their empty fields beside the error.
    pub fn refusal(self, error: &ApiError) -> Vec<u8> {
        #[derive(Serialize)]
        struct Refusal<'a, T> {
            r#type: String,
            error: &'a ApiError,
            #[serde(flatten)]
            fields: T,
        }
        fn refusal<T: Serialize>(kind: Kind, error: &ApiError, fields: T) -> Vec<u8> {
            to_vec(&Refusal {
                r#type: kind.type_name(),
                error,
                fields,
            })
        }
        match self {
            Self::StreamNames => refusal(self, error, Names::default()),
            Self::StreamList => refusal(self, error, List::default()),
            Self::StreamInfo => refusal(self, error, Page::default()),
            Self::StreamPurge => refusal(self, error, PurgedMessages::default()),
            _ => refusal(self, error, Nothing {}),
        }
    }
}

/// No fields.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Nothing {}

/// Which part of a long list this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Length of the whole list.
    pub total: usize,
    /// Where this part begins.
    pub offset: usize,
    /// How long it may be.
    pub limit: usize,
}

/// `STREAM.NAMES`
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Names {
    #[serde(flatten)]
    pub(super) page: Page,
    /// Absent and empty are the same to clients; the peer writes `null` for none.
    pub(super) streams: Option<Vec<String>>,
}

/// `STREAM.LIST`
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct List {
    #[serde(flatten)]
    pub(super) page: Page,
    pub(super) streams: Vec<StreamInfo>,
}

/// It was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Success {
    pub(super) success: bool,
}

/// `STREAM.PURGE`
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct PurgedMessages {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) success: bool,
    pub(super) purged: u64,
}

/// What a stream is and holds.
#[derive(Clone, Debug, Serialize)]
pub struct StreamInfo {
    /// Its configuration.
    pub config: StreamConfig,
    /// When it was made.
    #[serde(serialize_with = "crate::time::serialize")]
    pub created: WallTime,
    /// What it holds.
    pub state: StreamState,
    /// Its domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Who serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// When this was said.
    #[serde(serialize_with = "crate::time::serialize")]
    pub ts: WallTime,
}

/// Who serves a stream.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterInfo {
    /// The cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The server's name.
    pub leader: String,
}

/// What a stream holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first sequence.
    pub first_seq: u64,
    /// Its time.
    #[serde(serialize_with = "crate::time::serialize_option")]
    pub first_ts: Option<WallTime>,
    /// The last sequence.
    pub last_seq: u64,
    /// Its time.
    #[serde(serialize_with = "crate::time::serialize_option")]
    pub last_ts: Option<WallTime>,
    /// Subjects with messages.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_subjects: usize,
    /// Messages of each subject, if asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, u64>,
    /// Removed sequences between the first and the last.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub num_deleted: u64,
    /// These sequences, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    /// Consumers.
    pub consumer_count: usize,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

/// A stored message.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) data: String,
    #[serde(serialize_with = "crate::time::serialize")]
    pub(super) time: WallTime,
}

/// `STREAM.MSG.GET`
#[derive(Clone, Debug, Serialize)]
pub(super) struct MessageFound {
    pub(super) message: Message,
}

/// Bytes as base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0_u32, |bits, (index, byte)| {
            bits | u32::from(*byte) << (16 - 8 * index)
        });
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }
}
