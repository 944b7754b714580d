//! What a user may do and how much, as users, scopes and accounts say it.
//!
//! Owns: permissions, limits of a connection, source networks, times of day; their checks.
//! Not here: what the router makes of them (`pinion_shard`), templates (`template`).
//! Units: counts and bytes; -1 is no limit. A response permission's time is nanoseconds.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::claims::Section;
use super::error::{DecodeError, Issues};
use super::subject_text;

/// Subjects that are allowed and that are not; nothing allowed means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Permission {
    /// Subjects, for subscriptions also `subject queue`; absent and empty are not the same for publishing.
    pub allow: Option<Vec<String>>,
    /// The same; deny wins.
    pub deny: Vec<String>,
}

/// The right to answer what was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ResponsePermission {
    /// Messages per reply subject; 0 means the server's default, negative no limit.
    pub max: i64,
    /// Nanoseconds; 0 means the server's default, negative no limit.
    pub ttl: i64,
}

/// What may be published and subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Permissions {
    /// JSON: `pub`.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// JSON: `sub`.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    /// JSON: `resp`.
    #[serde(rename = "resp")]
    pub response: Option<ResponsePermission>,
}

impl Permissions {
    /// Notes entries that are no subjects. `path` is where these permissions stand, with its dot.
    pub(super) fn check(&self, path: &str, issues: &mut Issues) {
        for (name, permission, queues) in [("sub", &self.subscribe, true), ("pub", &self.publish, false)] {
            let allow = permission.allow.as_deref().unwrap_or_default();
            for (side, list) in [("allow", allow), ("deny", &permission.deny)] {
                for (index, entry) in list.iter().enumerate() {
                    check_entry(entry, queues, &format!("{path}{name}.{side}[{index}]"), issues);
                }
            }
        }
    }
}

fn check_entry(entry: &str, queues: bool, path: &str, issues: &mut Issues) {
    let mut words = entry.split(' ');
    subject_text::check(words.next().unwrap_or_default(), path, issues);
    if let Some(queue) = words.next() {
        subject_text::check(queue, path, issues);
        if !queues {
            issues.error(
                path,
                format!("{entry:?} names a queue; only subscriptions have one"),
            );
        }
    }
    if words.next().is_some() {
        issues.error(path, format!("{entry:?} has more than a subject and a queue"));
    }
}

/// A time of day range, `15:04:05`, in the zone named beside it; one whose end is before its start crosses midnight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TimeRange {
    /// From this time on.
    pub start: String,
    /// Until this time.
    pub end: String,
}

/// Everything a user's own claims or a scope's template can grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPermissionLimits {
    /// What may be published and subscribed to.
    pub permissions: Permissions,
    /// How much, from where, when.
    pub limits: UserLimits,
    /// What comes with them.
    pub access: Access,
}

/// Limits of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserLimits {
    /// Networks connections may come from; none means from everywhere. JSON: `src`.
    #[serde(deserialize_with = "networks")]
    pub src: Vec<String>,
    /// Times of day connections may last; none means always.
    pub times: Vec<TimeRange>,
    /// Name of the time zone of `times`; empty means the server's. JSON: `times_location`.
    pub times_location: String,
    /// Subscriptions of a connection.
    pub subs: i64,
    /// Bytes; no server counts them.
    pub data: i64,
    /// Bytes of a message.
    pub payload: i64,
}

/// How a connection may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Access {
    /// No signature of the nonce is needed. JSON: `bearer_token`.
    pub bearer_token: bool,
    /// Only through a trusted proxy.
    pub proxy_required: bool,
    /// Kinds of connection; none means all.
    pub allowed_connection_types: Vec<String>,
}

impl UserPermissionLimits {
    /// Reads them from where they stand among other claims; an absent limit is `limit`.
    pub(super) fn read(section: Section<'_>, limit: i64) -> Result<Self, DecodeError> {
        let mut limits: UserLimits = section.read()?;
        for (name, value) in [
            ("subs", &mut limits.subs),
            ("data", &mut limits.data),
            ("payload", &mut limits.payload),
        ] {
            if section.value().get(name).is_none() {
                *value = limit;
            }
        }
        Ok(Self {
            permissions: section.read()?,
            limits,
            access: section.read()?,
        })
    }

    /// Whether nothing at all is said, which is what a user of a scoped signing key must say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Notes what is wrong; `path` is where they stand, with its dot.
    pub(super) fn check(&self, path: &str, issues: &mut Issues) {
        self.permissions.check(path, issues);
        for (index, network) in self.limits.src.iter().enumerate() {
            if SourceNetwork::parse(network).is_none() {
                issues.error(
                    format!("{path}src[{index}]"),
                    format!("{network:?} is no network such as 192.0.2.0/24"),
                );
            }
        }
        for (index, range) in self.limits.times.iter().enumerate() {
            for (side, time) in [("start", &range.start), ("end", &range.end)] {
                if time_of_day(time).is_none() {
                    issues.error(
                        format!("{path}times[{index}].{side}"),
                        format!("{time:?} is no time of day such as 15:04:05"),
                    );
                }
            }
        }
        let zone = &self.limits.times_location;
        if !zone.is_empty() && time_zone(zone).is_none() {
            issues.error(
                format!("{path}times_location"),
                format!("{zone:?} is no time zone this machine knows: install its time zone data or mend the name"),
            );
        }
    }
}

/// A time zone by the name it has in claims.
pub(super) fn time_zone(name: &str) -> Option<jiff::tz::TimeZone> {
    match name {
        "" | "UTC" => Some(jiff::tz::TimeZone::UTC),
        "Local" => Some(jiff::tz::TimeZone::system()),
        name => jiff::tz::TimeZone::get(name).ok(),
    }
}

/// Hour, minute and second of `15:04:05`. The hour may have one digit; a fraction of a second is read and dropped.
pub(super) fn time_of_day(text: &str) -> Option<(u8, u8, u8)> {
    let (whole, fraction) = match text.find(['.', ',']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = whole.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some()
        || ![hour, minute, second, fraction].into_iter().all(digits)
        || hour.len() > 2
        || minute.len() != 2
        || second.len() != 2
    {
        return None;
    }
    let (hour, minute, second) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    (hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
}

/// A list of networks: an array, or one text with commas in it.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of networks, or one text with commas")]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => {
            let mut list = Vec::new();
            for network in text.split(',').map(|network| network.trim().to_lowercase()) {
                if !network.is_empty() && !list.contains(&network) {
                    list.push(network);
                }
            }
            list
        }
    })
}

/// A network that connections may come from, such as `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNetwork {
    address: IpAddr,
    /// Leading bits that count, up to 32 or 128.
    prefix_bits: u8,
}

impl SourceNetwork {
    /// Reads an address, a slash and a count of bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix_bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= most).then_some(Self { address, prefix_bits })
    }

    /// Whether an address lies in it. An IPv4 address in IPv6 clothes counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(&network.octets(), &address.octets(), self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(&network.octets(), &address.octets(), self.prefix_bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn same_prefix(one: &[u8], other: &[u8], bits: u8) -> bool {
    let mut left = u32::from(bits);
    for (&one, &other) in one.iter().zip(other) {
        if left == 0 {
            return true;
        }
        let counted = left.min(8);
        if (one ^ other).leading_zeros() < counted {
            return false;
        }
        left -= counted;
    }
    true
}
