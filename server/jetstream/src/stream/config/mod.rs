//! A stream's configuration: its fields, in JSON as the peer has them.
//!
//! Owns: reading and writing. Not here: what is allowed (`check`), what may change (`update`).
//! Fields have the peer's names where JSON shows them; the order is that of the peer's output.

pub(crate) mod check;
pub(crate) mod policy;
mod update;

use std::collections::BTreeMap;

use pinion_shard::io::WallTime;
use serde::Serialize;

use crate::json::{decode_struct, Context, Decode, ListItem, Value};

pub use check::{check, Checked, Neighbours};
pub use policy::{Compression, Discard, PersistMode, Retention, Storage};
pub use update::check_update;

/// Key of the metadata that holds the API level a configuration needs.
pub const REQUIRED_LEVEL_KEY: &str = "_nats.req.level";
/// Key of the metadata that names the server's version in answers.
pub const SERVER_VERSION_KEY: &str = "_nats.ver";
/// Key of the metadata that names the server's API level in answers.
pub const SERVER_LEVEL_KEY: &str = "_nats.level";
/// The API level of the peer, and so of this server.
pub const API_LEVEL: i64 = 4;
/// The version that clients see.
pub const SERVER_VERSION: &str = "2.14.5";

/// The configuration of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the peer's JSON")]
pub struct StreamConfig {
    /// Its name, unique in the account.
    pub name: String,
    /// A text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it takes in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// When messages go.
    pub retention: Retention,
    /// How many consumers it may have; -1 is no limit.
    pub max_consumers: i64,
    /// How many messages it may hold; -1 is no limit.
    pub max_msgs: i64,
    /// How many bytes it may hold; -1 is no limit.
    pub max_bytes: i64,
    /// How old messages get, in nanoseconds; 0 is no limit.
    pub max_age: i64,
    /// How many messages of one subject it may hold; -1 is no limit.
    pub max_msgs_per_subject: i64,
    /// Size of a message with its headers; -1 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_msg_size: i32,
    /// What happens at a limit.
    pub discard: Discard,
    /// Where messages are kept.
    pub storage: Storage,
    /// How many servers keep them.
    pub num_replicas: i64,
    /// Whether publishes are not answered.
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    /// How long message ids are remembered, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate_window: i64,
    /// Which servers may keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The stream it is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    /// The streams it gathers from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    /// How blocks on disk are compressed.
    pub compression: Compression,
    /// Sequence of the first message.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_seq: u64,
    /// What becomes of subjects before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    /// Where stored messages are sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// Whether direct get is answered.
    pub allow_direct: bool,
    /// Whether direct get of the mirrored stream is answered.
    pub mirror_direct: bool,
    /// Whether new messages are refused at the limit of their subject.
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    /// Whether nothing may change any more.
    pub sealed: bool,
    /// Whether single messages may not be removed.
    pub deny_delete: bool,
    /// Whether purge is refused.
    pub deny_purge: bool,
    /// Whether messages may purge older ones.
    pub allow_rollup_hdrs: bool,
    /// Bounds and defaults for consumers.
    pub consumer_limits: ConsumerLimits,
    /// Whether messages may have a TTL.
    pub allow_msg_ttl: bool,
    /// TTL of the markers that take the place of a subject's last message, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub subject_delete_marker_ttl: i64,
    /// Whether messages are counters.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    /// Whether several messages may be published at once or not at all.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    /// Whether messages may be schedules.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    /// When acks are sent.
    #[serde(skip_serializing_if = "PersistMode::is_default")]
    pub persist_mode: PersistMode,
    /// Whether fast batches may be published.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_batched: bool,
    /// Anything for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

decode_struct!(StreamConfig, "StreamConfig", {
    "name" => name, "description" => description, "subjects" => subjects, "retention" => retention,
    "max_consumers" => max_consumers: "int", "max_msgs" => max_msgs, "max_bytes" => max_bytes,
    "max_age" => max_age: "time.Duration", "max_msgs_per_subject" => max_msgs_per_subject,
    "max_msg_size" => max_msg_size, "discard" => discard, "storage" => storage, "num_replicas" => num_replicas: "int",
    "no_ack" => no_ack, "duplicate_window" => duplicate_window: "time.Duration", "placement" => placement,
    "mirror" => mirror, "sources" => sources, "compression" => compression, "first_seq" => first_seq,
    "subject_transform" => subject_transform, "republish" => republish, "allow_direct" => allow_direct,
    "mirror_direct" => mirror_direct, "discard_new_per_subject" => discard_new_per_subject, "sealed" => sealed,
    "deny_delete" => deny_delete, "deny_purge" => deny_purge, "allow_rollup_hdrs" => allow_rollup_hdrs,
    "consumer_limits" => consumer_limits, "allow_msg_ttl" => allow_msg_ttl,
    "subject_delete_marker_ttl" => subject_delete_marker_ttl: "time.Duration",
    "allow_msg_counter" => allow_msg_counter, "allow_atomic" => allow_atomic,
    "allow_msg_schedules" => allow_msg_schedules, "persist_mode" => persist_mode, "allow_batched" => allow_batched,
    "metadata" => metadata,
});

/// Which servers may keep a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// What servers must be tagged with; `!` before it says not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The server that leads; in step-down requests only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}

decode_struct!(Placement, "Placement", {
    "cluster" => cluster, "tags" => tags, "preferred" => preferred,
});

/// A stream that messages come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamSource {
    /// Its name.
    pub name: String,
    /// The first sequence to take.
    #[serde(skip_serializing_if = "is_zero")]
    pub opt_start_seq: u64,
    /// The time from which on to take.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::time::serialize_option"
    )]
    pub opt_start_time: Option<WallTime>,
    /// Which subjects to take.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Which subjects to take, and what becomes of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
    /// Where the stream is, if not in this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// The consumer to read with, if it exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<StreamConsumerSource>,
}

decode_struct!(StreamSource, "StreamSource", {
    "name" => name, "opt_start_seq" => opt_start_seq, "opt_start_time" => opt_start_time,
    "filter_subject" => filter_subject, "subject_transforms" => subject_transforms, "external" => external,
    "consumer" => consumer,
});

/// A stream of another account or domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExternalStream {
    /// Prefix of its API.
    pub api: String,
    /// Prefix of deliveries.
    pub deliver: String,
}

decode_struct!(ExternalStream, "ExternalStream", { "api" => api, "deliver" => deliver });

/// A consumer that a mirror or source reads with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamConsumerSource {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it delivers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
}

decode_struct!(StreamConsumerSource, "StreamConsumerSource", {
    "name" => name, "deliver_subject" => deliver_subject,
});

/// What becomes of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubjectTransform {
    /// The subjects it is for.
    pub src: String,
    /// What they become.
    pub dest: String,
}

decode_struct!(SubjectTransform, "SubjectTransformConfig", { "src" => src, "dest" => dest });

/// Where stored messages are sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Republish {
    /// The subjects it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub src: String,
    /// The subject they are sent to.
    pub dest: String,
    /// Whether the payload is left out.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
}

decode_struct!(Republish, "RePublish", { "src" => src, "dest" => dest, "headers_only" => headers_only });

/// Bounds and defaults for a stream's consumers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerLimits {
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    /// Messages that wait for an ack.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
}

decode_struct!(ConsumerLimits, "StreamConsumerLimits", {
    "inactive_threshold" => inactive_threshold: "time.Duration", "max_ack_pending" => max_ack_pending: "int",
});

impl ListItem for StreamSource {
    const LIST: &'static str = "[]*server.StreamSource";
}

impl ListItem for SubjectTransform {
    const LIST: &'static str = "[]server.SubjectTransformConfig";
}

/// A request that makes or changes a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamConfigRequest {
    /// What is wanted.
    pub config: StreamConfig,
    /// Whether nothing may be adjusted silently.
    pub pedantic: bool,
}

impl Decode for StreamConfigRequest {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => {}
            Value::Object(members) => {
                for (key, value) in members {
                    if key.eq_ignore_ascii_case("pedantic") {
                        context.within("pedantic", |context| self.pedantic.decode(value, context));
                        continue;
                    }
                    let mut known = false;
                    context.within("StreamConfig", |context| {
                        known = self.config.decode_member(key, value, context);
                    });
                    if !known {
                        context.unknown(key);
                    }
                }
            }
            _ => context.mismatch(value, "server.StreamConfigRequest"),
        }
    }
}

impl StreamConfig {
    /// Reads a configuration that this server wrote.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut config = Self::default();
        crate::json::decode_request(json, true, &mut config, "StreamConfig")?;
        Ok(config)
    }

    /// Notes in the metadata which API level the configuration needs, and forgets what is in answers only.
    pub fn set_static_metadata(&mut self) {
        self.remove_dynamic_metadata();
        let level = if self.allow_batched {
            4
        } else if self.allow_msg_counter
            || self.allow_atomic
            || self.allow_msg_schedules
            || self.persist_mode == PersistMode::Async
        {
            2
        } else {
            i64::from(self.allow_msg_ttl || self.subject_delete_marker_ttl > 0)
        };
        self.metadata
            .insert(REQUIRED_LEVEL_KEY.to_owned(), level.to_string());
    }

    /// Forgets what is in answers only.
    pub fn remove_dynamic_metadata(&mut self) {
        self.metadata.remove(SERVER_VERSION_KEY);
        self.metadata.remove(SERVER_LEVEL_KEY);
    }

    /// The configuration as answers show it.
    pub fn with_dynamic_metadata(&self) -> Self {
        let mut config = self.clone();
        config
            .metadata
            .insert(SERVER_VERSION_KEY.to_owned(), SERVER_VERSION.to_owned());
        config
            .metadata
            .insert(SERVER_LEVEL_KEY.to_owned(), API_LEVEL.to_string());
        config
    }
}

pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
