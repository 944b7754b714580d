//! A consumer's configuration: its fields, in JSON as the peer has them.
//!
//! Owns: reading and writing. Not here: what is allowed (`check`), what may change (`update`).
//! Fields have the peer's names where JSON shows them; the order is that of the peer's output.

mod check;
mod policy;
mod update;

use std::collections::BTreeMap;

use pinion_shard::io::WallTime;
use pinion_storage::index::Filter;
use serde::Serialize;

use crate::json::{decode_struct, Context, Decode, ListItem, Value};
use crate::stream::config::{
    is_false, is_zero, API_LEVEL, REQUIRED_LEVEL_KEY, SERVER_LEVEL_KEY, SERVER_VERSION, SERVER_VERSION_KEY,
};

pub use check::{check, check_workqueue, forms_cycle, set_defaults, ConsumerBounds};
pub use policy::{AckPolicy, Action, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use update::check_update;

/// The configuration of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the peer's JSON")]
pub struct ConsumerConfig {
    /// Its name, if it outlives its clients.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Which message is the first.
    pub deliver_policy: DeliverPolicy,
    /// The first sequence, for that policy.
    #[serde(skip_serializing_if = "is_zero")]
    pub opt_start_seq: u64,
    /// The first time, for that policy.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::time::serialize_option"
    )]
    pub opt_start_time: Option<WallTime>,
    /// What an ack means.
    pub ack_policy: AckPolicy,
    /// How long a delivery waits for its ack, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub ack_wait: i64,
    /// How often a message is delivered at most; -1 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_deliver: i64,
    /// Ack waits of the first, second, ... delivery.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<Nanos>,
    /// Which subject.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Which subjects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// How fast old messages are delivered.
    pub replay_policy: ReplayPolicy,
    /// Bits a second that are delivered at most; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub rate_limit_bps: u64,
    /// Which share of acks makes a metric, in percent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sample_freq: String,
    /// How many pull requests wait at most.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    /// How many deliveries wait for an ack at most; -1 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// Whether the client paces deliveries.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Whether payloads are left out.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// Messages of one pull request at most; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    /// How long a pull request may wait, in nanoseconds; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_expires: i64,
    /// Bytes of one pull request at most; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    /// Where messages are pushed; empty for a pull consumer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    /// The queue group of `deliver_subject`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    /// After how long without a message a sign of life is sent, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub idle_heartbeat: i64,
    /// After how long without a client the consumer is deleted, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    /// How many servers keep its state; 0 is as the stream.
    pub num_replicas: i64,
    /// Whether its state is in memory only.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// Whether a mirror or source made it.
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    /// Whether a mirror or source reads with it.
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    /// Anything for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Until when nothing is delivered.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::time::serialize_option"
    )]
    pub pause_until: Option<WallTime>,
    /// The groups that pull requests name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    /// How a group's requests are chosen.
    #[serde(skip_serializing_if = "PriorityPolicy::is_default")]
    pub priority_policy: PriorityPolicy,
    /// How long a pinned client may be silent, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority_timeout: i64,
}

decode_struct!(ConsumerConfig, "ConsumerConfig", {
    "durable_name" => durable_name, "name" => name, "description" => description,
    "deliver_policy" => deliver_policy, "opt_start_seq" => opt_start_seq, "opt_start_time" => opt_start_time,
    "ack_policy" => ack_policy, "ack_wait" => ack_wait: "time.Duration", "max_deliver" => max_deliver: "int",
    "backoff" => backoff, "filter_subject" => filter_subject, "filter_subjects" => filter_subjects,
    "replay_policy" => replay_policy, "rate_limit_bps" => rate_limit_bps, "sample_freq" => sample_freq,
    "max_waiting" => max_waiting: "int", "max_ack_pending" => max_ack_pending: "int",
    "flow_control" => flow_control, "headers_only" => headers_only, "max_batch" => max_batch: "int",
    "max_expires" => max_expires: "time.Duration", "max_bytes" => max_bytes: "int",
    "deliver_subject" => deliver_subject, "deliver_group" => deliver_group,
    "idle_heartbeat" => idle_heartbeat: "time.Duration",
    "inactive_threshold" => inactive_threshold: "time.Duration", "num_replicas" => num_replicas: "int",
    "mem_storage" => mem_storage, "direct" => direct, "sourcing" => sourcing, "metadata" => metadata,
    "pause_until" => pause_until, "priority_groups" => priority_groups, "priority_policy" => priority_policy,
    "priority_timeout" => priority_timeout: "time.Duration",
});

/// A duration in a list, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Decode for Nanos {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        context.kind = Some("time.Duration");
        self.0.decode(value, context);
        context.kind = None;
    }
}

impl ListItem for Nanos {
    const LIST: &'static str = "[]time.Duration";
}

/// A request that makes or changes a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateRequest {
    /// The stream.
    pub stream_name: String,
    /// What is wanted.
    pub config: ConsumerConfig,
    /// Whether it may exist, or must.
    pub action: Action,
    /// Whether nothing may be adjusted silently.
    pub pedantic: bool,
}

decode_struct!(CreateRequest, "CreateConsumerRequest", {
    "stream_name" => stream_name, "config" => config, "action" => action, "pedantic" => pedantic,
});

impl ConsumerConfig {
    /// Reads a configuration that this server wrote.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut config = Self::default();
        crate::json::decode_request(json, true, &mut config, "ConsumerConfig")?;
        Ok(config)
    }

    /// Whether clients ask for messages; otherwise they are pushed.
    pub fn is_pull(&self) -> bool {
        self.deliver_subject.is_empty()
    }

    /// Whether it outlives its clients.
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// The name it asks for; empty where it wants one made.
    pub fn wanted_name(&self) -> &str {
        if self.is_durable() {
            &self.durable_name
        } else {
            &self.name
        }
    }

    /// The subjects it wants, in the peer's order; none is all.
    pub fn filter_list(&self) -> Vec<&str> {
        let one = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        self.filter_subjects
            .iter()
            .map(String::as_str)
            .chain(one)
            .collect()
    }

    /// The subjects it wants, as the store asks for them; none is all.
    pub fn filters(&self) -> Vec<Filter> {
        let list = self.filter_list();
        list.into_iter()
            .map(|subject| Filter::new(subject.as_bytes()))
            .collect()
    }

    /// Which share of acks makes a metric, in percent.
    pub fn sample_percent(&self) -> u32 {
        let digits = self.sample_freq.strip_suffix('%').unwrap_or(&self.sample_freq);
        digits.parse().unwrap_or(0)
    }

    /// How many servers keep its state, for a stream kept by so many.
    pub fn replicas(&self, stream: &crate::stream::StreamConfig) -> i64 {
        use crate::stream::config::Retention;
        match self.num_replicas {
            0 if !self.is_durable() && stream.retention == Retention::Limits => 1,
            0 => stream.num_replicas,
            more if more > stream.num_replicas => stream.num_replicas,
            replicas => replicas,
        }
    }

    /// Notes in the metadata which API level the configuration needs, and forgets what is in answers only.
    pub fn set_static_metadata(&mut self) {
        self.metadata.remove(SERVER_VERSION_KEY);
        self.metadata.remove(SERVER_LEVEL_KEY);
        let level = if self.ack_policy == AckPolicy::FlowControl {
            4
        } else {
            i64::from(
                self.pause_until.is_some()
                    || self.priority_policy != PriorityPolicy::None
                    || self.priority_timeout != 0
                    || !self.priority_groups.is_empty(),
            )
        };
        self.metadata
            .insert(REQUIRED_LEVEL_KEY.to_owned(), level.to_string());
    }

    /// The configuration as answers show it.
    pub fn with_dynamic_metadata(&self) -> Self {
        let mut config = self.clone();
        let pairs = [
            (SERVER_VERSION_KEY, SERVER_VERSION.to_owned()),
            (SERVER_LEVEL_KEY, API_LEVEL.to_string()),
        ];
        for (key, value) in pairs {
            config.metadata.insert(key.to_owned(), value);
        }
        config
    }
}
