//! Times as the API writes and reads them: RFC 3339 in UTC, with as many decimals as there are.

use jiff::Timestamp;
use pinion_shard::io::WallTime;
use serde::{Serialize, Serializer};

/// What the peer writes for a time that is not set.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The text of a time.
pub fn format(time: WallTime) -> String {
    match Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => NO_TIME.to_owned(),
    }
}

/// Reads a time; one before 1970 becomes 1970.
pub fn parse(text: &str) -> Option<WallTime> {
    // jiff takes more than RFC 3339 allows, such as a blank between date and time.
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let timestamp: Timestamp = text.parse().ok()?;
    Some(WallTime(u64::try_from(timestamp.as_nanosecond()).unwrap_or(0)))
}

/// For fields of JSON.
pub fn serialize<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    format(*time).serialize(serializer)
}

/// For fields of JSON that may be empty.
pub fn serialize_option<S: Serializer>(time: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => format(*time).serialize(serializer),
        None => NO_TIME.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_peer_writes_them() {
        assert_eq!(format(WallTime(0)), "1970-01-01T00:00:00Z");
        assert_eq!(
            format(WallTime(1_700_000_000_120_000_000)),
            "2023-11-14T22:13:20.12Z"
        );
        assert_eq!(
            parse("2023-11-14T23:13:20.12+01:00"),
            Some(WallTime(1_700_000_000_120_000_000))
        );
        assert_eq!(parse("2023-11-14 22:13:20Z"), None);
        assert_eq!(parse("tomorrow"), None);
    }
}
