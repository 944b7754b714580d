//! The headers of a publish that a stream acts on, found in one pass over the block.
//!
//! Owns: their names, their values as text or number. Not here: what follows from them (`check`, `apply`).
//! The first line with a name counts. An empty value is no value, except where the peer tells them apart.

use pinion_shard::io::WallTime;
use pinion_shard::proto::{duration, headers};
use pinion_storage::stream_store::Life;

pub(crate) const MSG_ID: &[u8] = b"Nats-Msg-Id";
pub(crate) const ROLLUP: &[u8] = b"Nats-Rollup";
pub(crate) const TTL: &[u8] = b"Nats-TTL";
pub(crate) const INCR: &[u8] = b"Nats-Incr";
pub(crate) const COUNTER_SOURCES: &[u8] = b"Nats-Counter-Sources";
pub(crate) const BATCH_COMMIT: &[u8] = b"Nats-Batch-Commit";
pub(crate) const SCHEDULER: &[u8] = b"Nats-Scheduler";
pub(crate) const SCHEDULE_NEXT: &[u8] = b"Nats-Schedule-Next";
pub(crate) const REQUIRED_API_LEVEL: &[u8] = b"Nats-Required-Api-Level";
pub(crate) const REQUEST_INFO: &[u8] = b"Nats-Request-Info";
pub(crate) const EXPECTED_LAST_MSG_ID: &str = "Nats-Expected-Last-Msg-Id";

/// What a message rolls up.
pub(crate) const ROLLUP_SUBJECT: &[u8] = b"sub";
/// What a message rolls up.
pub(crate) const ROLLUP_ALL: &[u8] = b"all";
/// The value of [`SCHEDULE_NEXT`] that ends a schedule.
pub(crate) const NEXT_PURGE: &[u8] = b"purge";

/// What stands in the headers of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishHeaders<'a> {
    pub(crate) msg_id: Option<&'a [u8]>,
    pub(crate) expected_stream: Option<&'a [u8]>,
    pub(crate) expected_last_seq: Option<u64>,
    pub(crate) expected_last_subject_seq: Option<u64>,
    pub(crate) expected_last_subject_seq_subject: Option<&'a [u8]>,
    pub(crate) expected_last_msg_id: Option<&'a [u8]>,
    pub(crate) rollup: Option<&'a [u8]>,
    pub(crate) ttl: Option<&'a [u8]>,
    pub(crate) incr: Option<&'a [u8]>,
    pub(crate) counter_sources: Option<&'a [u8]>,
    pub(crate) stream_source: Option<&'a [u8]>,
    pub(crate) batch_id: Option<&'a [u8]>,
    pub(crate) batch_seq: Option<&'a [u8]>,
    /// Empty values count.
    pub(crate) batch_commit: Option<&'a [u8]>,
    pub(crate) schedule: Option<&'a [u8]>,
    /// Empty values count.
    pub(crate) schedule_time_zone: Option<&'a [u8]>,
    pub(crate) schedule_ttl: Option<&'a [u8]>,
    pub(crate) schedule_rollup: Option<&'a [u8]>,
    pub(crate) schedule_target: Option<&'a [u8]>,
    pub(crate) schedule_source: Option<&'a [u8]>,
    pub(crate) scheduler: Option<&'a [u8]>,
    pub(crate) schedule_next: Option<&'a [u8]>,
    pub(crate) required_api_level: Option<&'a [u8]>,
    pub(crate) has_request_info: bool,
    /// Whether the message is a marker in the place of a subject's last message.
    pub(crate) is_marker: bool,
}

impl<'a> PublishHeaders<'a> {
    /// Reads a block; an empty one has nothing.
    pub(crate) fn parse(block: &'a [u8]) -> Self {
        let mut found = Self::default();
        for (name, value) in headers::lines(block) {
            if let Some(rest) = name.strip_prefix(b"Nats-") {
                found.take(rest, value);
            } else if name == b"KV-Operation" {
                found.is_marker |= value == b"PURGE";
            }
        }
        found
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let number = |value: &[u8]| Some(parse_u64(value).unwrap_or(u64::MAX));
        let slot = match name {
            b"Msg-Id" => &mut self.msg_id,
            b"Expected-Stream" => &mut self.expected_stream,
            b"Expected-Last-Sequence" => {
                return first(&mut self.expected_last_seq, value, number);
            }
            b"Expected-Last-Subject-Sequence" => {
                return first(&mut self.expected_last_subject_seq, value, number);
            }
            b"Expected-Last-Subject-Sequence-Subject" => &mut self.expected_last_subject_seq_subject,
            b"Expected-Last-Msg-Id" => &mut self.expected_last_msg_id,
            b"Rollup" => &mut self.rollup,
            b"TTL" => &mut self.ttl,
            b"Incr" => &mut self.incr,
            b"Counter-Sources" => &mut self.counter_sources,
            b"Stream-Source" => &mut self.stream_source,
            b"Batch-Id" => &mut self.batch_id,
            b"Batch-Sequence" => &mut self.batch_seq,
            b"Batch-Commit" => {
                self.batch_commit.get_or_insert(value);
                return;
            }
            b"Schedule" => &mut self.schedule,
            b"Schedule-Time-Zone" => {
                self.schedule_time_zone.get_or_insert(value);
                return;
            }
            b"Schedule-TTL" => &mut self.schedule_ttl,
            b"Schedule-Rollup" => &mut self.schedule_rollup,
            b"Schedule-Target" => &mut self.schedule_target,
            b"Schedule-Source" => &mut self.schedule_source,
            b"Scheduler" => &mut self.scheduler,
            b"Schedule-Next" => &mut self.schedule_next,
            b"Required-Api-Level" => &mut self.required_api_level,
            b"Request-Info" => {
                self.has_request_info = true;
                return;
            }
            b"Marker-Reason" => {
                self.is_marker |= !value.is_empty();
                return;
            }
            _ => return,
        };
        first(slot, value, Some);
    }

    /// The rollup in small letters, if it is one of the two.
    pub(crate) fn rollup_scope(&self) -> Option<Result<Rollup, String>> {
        let value = self.rollup?.to_ascii_lowercase();
        Some(match value.as_slice() {
            ROLLUP_SUBJECT => Ok(Rollup::Subject),
            ROLLUP_ALL => Ok(Rollup::All),
            _ => Err(String::from_utf8_lossy(&value).into_owned()),
        })
    }

    /// Whether the server's API level is enough for the publisher.
    pub(crate) fn is_api_level_met(&self) -> bool {
        is_api_level_met(self.required_api_level)
    }
}

/// Whether the server's API level is at least the one that is required; a value that is no number never is met.
pub(crate) fn is_api_level_met(required: Option<&[u8]>) -> bool {
    let Some(required) = required.filter(|value| !value.is_empty()) else {
        return true;
    };
    std::str::from_utf8(required)
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
        .is_some_and(|level| level <= super::config::API_LEVEL)
}

/// What a message replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollup {
    /// The older messages of its subject.
    Subject,
    /// All older messages.
    All,
}

fn first<'a, T>(slot: &mut Option<T>, value: &'a [u8], read: impl FnOnce(&'a [u8]) -> Option<T>) {
    if slot.is_none() && !value.is_empty() {
        *slot = read(value);
    }
}

/// Digits only.
pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// How long a message lives by its TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// It has none.
    None,
    /// So many seconds, at least one.
    Seconds(u64),
    /// Age does not count for it.
    Never,
}

/// The text is no TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTtl;

impl Ttl {
    /// Reads `never`, a duration of at least a second, or whole seconds.
    pub(crate) fn parse(text: Option<&[u8]>) -> Result<Self, InvalidTtl> {
        let Some(text) = text else {
            return Ok(Self::None);
        };
        if text.eq_ignore_ascii_case(b"never") {
            return Ok(Self::Never);
        }
        let text = std::str::from_utf8(text).map_err(|_| InvalidTtl)?;
        match duration::parse_duration_ns(text) {
            Ok(ns) if ns < duration::SECOND_NS => Err(InvalidTtl),
            Ok(ns) => Ok(Self::Seconds(
                u64::try_from(ns / duration::SECOND_NS).map_err(|_| InvalidTtl)?,
            )),
            Err(_) => match parse_u64(text.as_bytes()).filter(|seconds| i64::try_from(*seconds).is_ok()) {
                Some(0) => Ok(Self::None),
                Some(seconds) => Ok(Self::Seconds(seconds)),
                None => Err(InvalidTtl),
            },
        }
    }

    /// The life of a message that was stored at `time`.
    pub(crate) fn life(self, time: WallTime) -> Life {
        match self {
            Self::None => Life::Stream,
            Self::Never => Life::Forever,
            Self::Seconds(seconds) => Life::Until(WallTime(
                time.0.saturating_add(seconds.saturating_mul(1_000_000_000)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_read_as_the_peer_reads_them() {
        let read = |text: &str| Ttl::parse(Some(text.as_bytes()));
        assert_eq!(Ttl::parse(None), Ok(Ttl::None));
        assert_eq!(read("never"), Ok(Ttl::Never));
        assert_eq!(read("NEVER"), Ok(Ttl::Never));
        assert_eq!(read("5"), Ok(Ttl::Seconds(5)));
        assert_eq!(read("1m1s"), Ok(Ttl::Seconds(61)));
        assert_eq!(read("1.9s"), Ok(Ttl::Seconds(1)));
        for wrong in ["999ms", "-1", "-5s", "x", "1.5", "0"] {
            assert_eq!(read(wrong), Err(InvalidTtl), "{wrong}");
        }
    }

    #[test]
    fn the_first_line_with_a_name_counts() {
        let block =
            b"NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\nnats-ttl: 1\r\nNats-Rollup: SUB\r\n\r\n";
        let found = PublishHeaders::parse(block);
        assert_eq!(found.msg_id, Some(&b"a"[..]));
        assert_eq!(found.ttl, None);
        assert_eq!(found.rollup_scope(), Some(Ok(Rollup::Subject)));
    }
}
