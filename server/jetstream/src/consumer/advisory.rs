//! What a consumer tells those who listen: their subjects and JSON. Ids and times come in with the call.
//!
//! Not here: whether anybody listens.

use pinion_shard::io::WallTime;
use serde::Serialize;

use crate::json::to_vec;

/// Something that happened to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advisory {
    /// It was made.
    Created,
    /// It was deleted.
    Deleted,
    /// It was paused until then, or goes on.
    Paused {
        /// Whether it is paused.
        is_paused: bool,
        /// Until when.
        until: Option<WallTime>,
    },
    /// A message was acked; by the share that is asked for.
    Acked {
        /// The delivery.
        delivery: Delivered,
        /// Nanoseconds from delivery to ack.
        ack_time: i64,
    },
    /// A message was delivered as often as it may be.
    MaxDeliveries {
        /// The message.
        stream_seq: u64,
        /// How often.
        deliveries: u64,
    },
    /// A message was refused.
    Nak(Delivered),
    /// A message will not be delivered again.
    Terminated {
        /// The delivery.
        delivery: Delivered,
        /// Why; may be empty.
        reason: String,
    },
    /// A client gets everything from now on.
    Pinned {
        /// Its group.
        group: String,
        /// The id it was given.
        id: String,
    },
    /// A client gets everything no more.
    Unpinned {
        /// Its group.
        group: String,
        /// `admin` or `timeout`.
        reason: &'static str,
    },
}

/// A delivery that something is said about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its sequence.
    pub delivery_seq: u64,
    /// The message.
    pub stream_seq: u64,
    /// How often the message was delivered.
    pub deliveries: u64,
}

/// Whose advisory it is.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The account's name.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The domain; empty for none.
    pub domain: &'a str,
}

#[derive(Default, Serialize)]
struct Event<'a> {
    r#type: String,
    id: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    stream: &'a str,
    consumer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty", rename = "reason")]
    term_reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "reason")]
    unpin_reason: Option<&'a str>,
}

impl Advisory {
    /// Where it is sent.
    pub fn subject(&self, about: &About<'_>) -> String {
        let what = match self {
            Self::Created => "ADVISORY.CONSUMER.CREATED",
            Self::Deleted => "ADVISORY.CONSUMER.DELETED",
            Self::Paused { .. } => "ADVISORY.CONSUMER.PAUSE",
            Self::Acked { .. } => "METRIC.CONSUMER.ACK",
            Self::MaxDeliveries { .. } => "ADVISORY.CONSUMER.MAX_DELIVERIES",
            Self::Nak(_) => "ADVISORY.CONSUMER.MSG_NAKED",
            Self::Terminated { .. } => "ADVISORY.CONSUMER.MSG_TERMINATED",
            Self::Pinned { .. } => "ADVISORY.CONSUMER.PINNED",
            Self::Unpinned { .. } => "ADVISORY.CONSUMER.UNPINNED",
        };
        format!("$JS.EVENT.{what}.{}.{}", about.stream, about.consumer)
    }

    /// Its JSON, with an id that no other has.
    pub fn json(&self, about: &About<'_>, id: &str, now: WallTime) -> Vec<u8> {
        let mut event = Event {
            id,
            timestamp: crate::time::format(now),
            stream: about.stream,
            consumer: about.consumer,
            domain: about.domain,
            ..Event::default()
        };
        let kind = match self {
            Self::Created => {
                event.action = Some("create");
                "advisory.v1.consumer_action"
            }
            Self::Deleted => {
                event.action = Some("delete");
                "advisory.v1.consumer_action"
            }
            Self::Paused { is_paused, until } => {
                event.paused = Some(*is_paused);
                event.pause_until = until.map(crate::time::format);
                "advisory.v1.consumer_pause"
            }
            Self::Acked { delivery, ack_time } => {
                delivery.tell(&mut event);
                event.ack_time = Some(*ack_time);
                "metric.v1.consumer_ack"
            }
            Self::MaxDeliveries {
                stream_seq,
                deliveries,
            } => {
                event.stream_seq = Some(*stream_seq);
                event.deliveries = Some(*deliveries);
                "advisory.v1.max_deliver"
            }
            Self::Nak(delivery) => {
                delivery.tell(&mut event);
                "advisory.v1.nak"
            }
            Self::Terminated { delivery, reason } => {
                delivery.tell(&mut event);
                event.term_reason = reason;
                "advisory.v1.terminated"
            }
            Self::Pinned { group, id } => {
                event.account = about.account;
                event.group = Some(group);
                event.pinned_id = Some(id);
                "advisory.v1.consumer_group_pinned"
            }
            Self::Unpinned { group, reason } => {
                event.account = about.account;
                event.group = Some(group);
                event.unpin_reason = Some(reason);
                "advisory.v1.consumer_group_unpinned"
            }
        };
        event.r#type = format!("io.nats.jetstream.{kind}");
        to_vec(&event)
    }
}

impl Delivered {
    fn tell(self, event: &mut Event<'_>) {
        event.consumer_seq = Some(self.delivery_seq);
        event.stream_seq = Some(self.stream_seq);
        event.deliveries = Some(self.deliveries);
    }
}
