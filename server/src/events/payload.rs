//! The JSON of events: keys in the peer's order, left out where the peer leaves them out.
//!
//! Owns: the shapes. Not here: what is in them.

use std::collections::BTreeMap;

use serde::Serialize;

/// `type` of a connect event.
pub(super) const CONNECT: &str = "io.nats.server.advisory.v1.client_connect";
/// `type` of a disconnect event and of a refusal.
pub(super) const DISCONNECT: &str = "io.nats.server.advisory.v1.client_disconnect";

/// A connection came, left or was refused.
#[derive(Serialize)]
pub(super) struct ConnectionMessage {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) server: ServerInfo,
    pub(super) client: ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<Counted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received: Option<Counted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
}

/// Who says it.
#[derive(Serialize)]
pub(super) struct ServerInfo {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) id: String,
    pub(super) ver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) feature_flags: BTreeMap<&'static str, bool>,
    pub(super) jetstream: bool,
    pub(super) flags: u64,
    pub(super) seq: u64,
    pub(super) time: String,
}

/// Whom it is about.
#[derive(Serialize)]
pub(super) struct ClientInfo {
    pub(super) start: String,
    pub(super) host: String,
    pub(super) id: u64,
    pub(super) acc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) ver: String,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) rtt: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) jwt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) issuer_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name_tag: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    pub(super) kind: &'static str,
    pub(super) client_type: &'static str,
}

/// Messages and their bytes.
#[derive(Serialize)]
pub(super) struct Counted {
    msgs: u64,
    bytes: u64,
}

impl Counted {
    pub(super) fn new(msgs: u64, bytes: u64) -> Self {
        Self { msgs, bytes }
    }
}

fn is_zero(number: &u128) -> bool {
    *number == 0
}

/// A name for an event: 22 digits and letters.
pub(super) fn event_id(chance: [u64; 2]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = u128::from(chance[0]) << 64 | u128::from(chance[1]);
    let digit = |_| {
        let at = usize::try_from(rest % 62).expect("below 62");
        rest /= 62;
        char::from(DIGITS[at])
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::event_id;

    /// Names are as long as the peer's, and differ when chance does.
    #[test]
    fn event_ids() {
        assert_eq!(event_id([0, 0]), "0".repeat(22));
        assert_eq!(event_id([0, 63]), format!("11{}", "0".repeat(20)));
        assert_eq!(event_id([u64::MAX, u64::MAX]).len(), 22);
    }
}
