//! Consumer info: its fields in the peer's order.

use pinion_shard::io::WallTime;
use serde::Serialize;

use super::config::ConsumerConfig;
use crate::stream::config::{is_false, is_zero};

/// What a consumer is and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerInfo {
    /// The stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    #[serde(serialize_with = "crate::time::serialize")]
    pub created: WallTime,
    /// Its configuration.
    pub config: ConsumerConfig,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// Up to where everything is done.
    pub ack_floor: SequenceInfo,
    /// Deliveries that wait for an ack.
    pub num_ack_pending: usize,
    /// Messages that were delivered more than once and are not done.
    pub num_redelivered: usize,
    /// Pull requests that wait.
    pub num_waiting: usize,
    /// Messages that were not delivered yet.
    pub num_pending: u64,
    /// Whether somebody listens to what is pushed.
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    /// Whether it is paused.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// For how long still, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub pause_remaining: u64,
    /// When this was said.
    #[serde(serialize_with = "crate::time::serialize")]
    pub ts: WallTime,
    /// Its groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<PriorityGroupState>,
}

/// A pair of sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SequenceInfo {
    /// Of deliveries.
    pub consumer_seq: u64,
    /// Of the stream's messages.
    pub stream_seq: u64,
    /// When it last moved, since this server serves the consumer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::time::serialize_option"
    )]
    pub last_active: Option<WallTime>,
}

/// Who is pinned in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriorityGroupState {
    /// The group.
    pub group: String,
    /// The id of the pinned client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// Since when.
    #[serde(serialize_with = "crate::time::serialize_option")]
    pub pinned_ts: Option<WallTime>,
}
