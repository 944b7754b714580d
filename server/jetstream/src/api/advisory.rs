//! What JetStream tells those who listen: advisories about streams and requests.
//!
//! Owns: their subjects and JSON. Ids and times come in with the call. Not here: whether anybody listens.

use pinion_shard::io::WallTime;
use serde::Serialize;

use crate::json::to_vec;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advisory {
    /// A stream was made.
    StreamCreated(String),
    /// A stream was changed.
    StreamUpdated(String),
    /// A stream was deleted.
    StreamDeleted(String),
    /// An atomic batch came to nothing.
    BatchAbandoned {
        /// The stream.
        stream: String,
        /// The account, in what the system account hears.
        account: String,
        /// The batch's id.
        batch: String,
        /// Why.
        reason: &'static str,
    },
}

#[derive(Serialize)]
struct Event<'a, T> {
    r#type: &'a str,
    id: &'a str,
    timestamp: String,
    #[serde(flatten)]
    fields: T,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
}

#[derive(Serialize)]
struct StreamAction<'a> {
    stream: &'a str,
    action: &'a str,
}

impl Advisory {
    /// Where it is sent.
    pub fn subject(&self) -> String {
        let (what, stream) = match self {
            Self::StreamCreated(stream) => ("CREATED", stream),
            Self::StreamUpdated(stream) => ("UPDATED", stream),
            Self::StreamDeleted(stream) => ("DELETED", stream),
            Self::BatchAbandoned { stream, .. } => ("BATCH_ABANDONED", stream),
        };
        format!("$JS.EVENT.ADVISORY.STREAM.{what}.{stream}")
    }

    /// Its JSON, with an id that no other has.
    pub fn json(&self, id: &str, now: WallTime, domain: &str) -> Vec<u8> {
        let timestamp = crate::time::format(now);
        let action = |stream: &str, action: &str| {
            to_vec(&Event {
                r#type: "io.nats.jetstream.advisory.v1.stream_action",
                id,
                timestamp: timestamp.clone(),
                fields: StreamAction { stream, action },
                domain,
            })
        };
        match self {
            Self::StreamCreated(stream) => action(stream, "create"),
            Self::StreamUpdated(stream) => action(stream, "modify"),
            Self::StreamDeleted(stream) => action(stream, "delete"),
            Self::BatchAbandoned {
                stream,
                account,
                batch,
                reason,
            } => {
                #[derive(Serialize)]
                struct Abandoned<'a> {
                    r#type: &'a str,
                    id: &'a str,
                    timestamp: String,
                    #[serde(skip_serializing_if = "str::is_empty")]
                    account: &'a str,
                    stream: &'a str,
                    #[serde(skip_serializing_if = "str::is_empty")]
                    domain: &'a str,
                    batch: &'a str,
                    reason: &'a str,
                }
                to_vec(&Abandoned {
                    r#type: "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
                    id,
                    timestamp,
                    account,
                    stream,
                    domain,
                    batch,
                    reason,
                })
            }
        }
    }
}
