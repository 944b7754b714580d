//! Pull requests: what a client asks for.
//!
//! Owns: reading the body. Not here: whether the consumer grants it (`state`), the queue of those that wait (`waiting`).

use crate::json::{decode_request, decode_struct};

/// A pull request. JSON of `$JS.API.CONSUMER.MSG.NEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// How many messages.
    pub batch: i64,
    /// How long to wait for them, in nanoseconds; 0 is for ever.
    pub expires: i64,
    /// Bytes at most; 0 is no limit.
    pub max_bytes: i64,
    /// Whether not to wait for more than there is.
    pub no_wait: bool,
    /// After how long without a message a sign of life is wanted, in nanoseconds.
    pub idle_heartbeat: i64,
    /// What concerns priority groups.
    pub priority: PriorityRequest,
    /// Whether it came as JSON: others do not take part in priority groups.
    pub is_json: bool,
}

/// The part of a pull request that concerns priority groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityRequest {
    /// The group.
    pub group: String,
    /// Only when so many messages are pending.
    pub min_pending: i64,
    /// Only when so many acks are.
    pub min_ack_pending: i64,
    /// The id of a pinned client.
    pub id: String,
    /// The lower, the sooner.
    pub priority: i64,
}

#[derive(Debug, Default)]
struct Json {
    batch: i64,
    expires: i64,
    max_bytes: i64,
    no_wait: bool,
    idle_heartbeat: i64,
    group: String,
    min_pending: i64,
    min_ack_pending: i64,
    id: String,
    priority: i64,
}

decode_struct!(Json, "JSApiConsumerGetNextRequest", {
    "expires" => expires: "time.Duration", "batch" => batch: "int", "max_bytes" => max_bytes: "int",
    "no_wait" => no_wait, "idle_heartbeat" => idle_heartbeat: "time.Duration", "group" => group,
    "min_pending" => min_pending, "min_ack_pending" => min_ack_pending, "id" => id, "priority" => priority: "int",
});

impl PullRequest {
    /// For so many messages, and as long as it takes.
    fn of(batch: i64) -> Self {
        Self {
            batch,
            ..Self::default()
        }
    }

    /// Reads a body: JSON, a number, or anything else for one message. The error is for the status line.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        let payload = payload.trim_ascii();
        if payload.first() != Some(&b'{') {
            let number = std::str::from_utf8(payload)
                .ok()
                .and_then(|text| text.parse().ok());
            return Ok(Self::of(number.unwrap_or(1)));
        }
        let mut json = Json::default();
        decode_request(payload, false, &mut json, "JSApiConsumerGetNextRequest")?;
        if json.idle_heartbeat > 0 && json.idle_heartbeat.saturating_mul(2) > json.expires {
            return Err("heartbeat value too large".to_owned());
        }
        Ok(Self {
            batch: json.batch,
            expires: json.expires,
            max_bytes: json.max_bytes,
            no_wait: json.no_wait,
            idle_heartbeat: json.idle_heartbeat,
            priority: PriorityRequest {
                group: json.group,
                min_pending: json.min_pending,
                min_ack_pending: json.min_ack_pending,
                id: json.id,
                priority: json.priority,
            },
            is_json: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_numbers_or_nothing() {
        for (payload, batch) in [("", 1), ("7", 7), (" 7 ", 7), ("seven", 1), ("-1", -1), ("[]", 1)] {
            assert_eq!(
                PullRequest::parse(payload.as_bytes()),
                Ok(PullRequest::of(batch)),
                "{payload}"
            );
        }
        let asked =
            PullRequest::parse(br#"{"batch":3,"expires":10,"idle_heartbeat":5,"group":"A","priority":2}"#);
        let asked = asked.expect("it is right");
        assert_eq!((asked.batch, asked.expires, asked.idle_heartbeat), (3, 10, 5));
        assert_eq!((asked.priority.group.as_str(), asked.priority.priority), ("A", 2));
        let error = PullRequest::parse(br#"{"batch":3,"expires":10,"idle_heartbeat":6}"#);
        assert_eq!(error, Err("heartbeat value too large".to_owned()));
        assert!(PullRequest::parse(b"{").is_err());
    }
}
