//! What is written to the log for a stream: everything that changes it, and nothing that does not.
//!
//! Owns: the entries and their bytes; docs/formats/stream-entries.md describes them. Not here: what an entry does
//! (`apply`), the log.
//! An entry is the decision, not the request: subjects are transformed, headers are final, times are set. Applying the
//! same entries in the same order to the same state makes the same state, on every server.

use pinion_shard::io::WallTime;

use crate::bytes::{put_bytes, Reader};

/// The version that this code writes.
const VERSION: u8 = 1;

/// A change of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message to be stored.
    Message(Message),
    /// A message is removed. JSON of the request: `$JS.API.STREAM.MSG.DELETE`.
    Delete {
        /// Its sequence.
        seq: u64,
        /// Whether its bytes are overwritten.
        erase: bool,
    },
    /// Many messages are removed.
    Purge {
        /// Which subjects; empty is all.
        filter: Vec<u8>,
        /// Below which sequence; 0 is no bound.
        below_seq: u64,
        /// How many stay.
        keep: u64,
    },
    /// Messages that are too old, or at the end of their TTL, go.
    Expire {
        /// The time that counts.
        now: WallTime,
    },
    /// The configuration changes.
    Configure {
        /// The whole new configuration, as JSON.
        config: Vec<u8>,
    },
}

/// A message that passed all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// When it was accepted.
    pub time: WallTime,
    /// Its subject in the stream.
    pub subject: Vec<u8>,
    /// Where the ack goes; empty for none.
    pub reply: Vec<u8>,
    /// Its headers, as they are stored.
    pub headers: Vec<u8>,
    /// Its payload, as it is stored.
    pub payload: Vec<u8>,
    /// When it fires for the first time, if it is a schedule.
    pub schedule_at: Option<WallTime>,
    /// Its place in an atomic batch.
    pub batch: Option<BatchPart>,
}

/// The place of a message in an atomic batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// Its number in the batch, from 1.
    pub seq: u64,
    /// Whether this is the last one: with it the whole batch counts.
    pub commit: bool,
}

/// Bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// They end too early.
    Truncated,
    /// Something follows the entry.
    TrailingBytes,
    /// Written by a version that this one does not know.
    UnknownVersion(u8),
    /// A name that is not UTF-8.
    NotText,
    /// A kind or a flag that does not exist.
    Unknown(u8),
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("entry ends too early"),
            Self::TrailingBytes => f.write_str("entry has bytes behind it"),
            Self::NotText => f.write_str("entry has a name that is not UTF-8"),
            Self::UnknownVersion(version) => {
                write!(
                    f,
                    "entry of version {version}, this server reads {VERSION}: use a newer one"
                )
            }
            Self::Unknown(what) => write!(f, "entry with an unknown kind or flag {what}"),
        }
    }
}

impl std::error::Error for EntryError {}

const MESSAGE: u8 = 1;
const DELETE: u8 = 2;
const PURGE: u8 = 3;
const EXPIRE: u8 = 4;
const CONFIGURE: u8 = 5;

const HAS_SCHEDULE: u8 = 1;
const HAS_BATCH: u8 = 2;
const IS_COMMIT: u8 = 4;

impl Entry {
    /// Appends the bytes of the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Message(message) => {
                out.push(MESSAGE);
                message.encode(out);
            }
            Self::Delete { seq, erase } => {
                out.push(DELETE);
                out.extend_from_slice(&seq.to_le_bytes());
                out.push(u8::from(*erase));
            }
            Self::Purge {
                filter,
                below_seq,
                keep,
            } => {
                out.push(PURGE);
                out.extend_from_slice(&below_seq.to_le_bytes());
                out.extend_from_slice(&keep.to_le_bytes());
                put_bytes(out, filter);
            }
            Self::Expire { now } => {
                out.push(EXPIRE);
                out.extend_from_slice(&now.0.to_le_bytes());
            }
            Self::Configure { config } => {
                out.push(CONFIGURE);
                put_bytes(out, config);
            }
        }
    }

    /// Reads an entry; all bytes belong to it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            VERSION => {}
            version => return Err(EntryError::UnknownVersion(version)),
        }
        let entry = match reader.u8()? {
            MESSAGE => Self::Message(Message::decode(&mut reader)?),
            DELETE => Self::Delete {
                seq: reader.u64()?,
                erase: match reader.u8()? {
                    0 => false,
                    1 => true,
                    flag => return Err(EntryError::Unknown(flag)),
                },
            },
            PURGE => Self::Purge {
                below_seq: reader.u64()?,
                keep: reader.u64()?,
                filter: reader.bytes()?,
            },
            EXPIRE => Self::Expire {
                now: WallTime(reader.u64()?),
            },
            CONFIGURE => Self::Configure {
                config: reader.bytes()?,
            },
            kind => return Err(EntryError::Unknown(kind)),
        };
        reader.end()?;
        Ok(entry)
    }
}

impl Message {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.schedule_at.is_some() {
            flags |= HAS_SCHEDULE;
        }
        if let Some(batch) = self.batch {
            flags |= HAS_BATCH | if batch.commit { IS_COMMIT } else { 0 };
        }
        out.push(flags);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        if let Some(at) = self.schedule_at {
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        if let Some(batch) = self.batch {
            out.extend_from_slice(&batch.seq.to_le_bytes());
        }
        for bytes in [&self.subject, &self.reply, &self.headers, &self.payload] {
            put_bytes(out, bytes);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let flags = reader.u8()?;
        if flags & !(HAS_SCHEDULE | HAS_BATCH | IS_COMMIT) != 0
            || flags & (HAS_BATCH | IS_COMMIT) == IS_COMMIT
        {
            return Err(EntryError::Unknown(flags));
        }
        let time = WallTime(reader.u64()?);
        let schedule_at = match flags & HAS_SCHEDULE {
            0 => None,
            _ => Some(WallTime(reader.u64()?)),
        };
        let batch = match flags & HAS_BATCH {
            0 => None,
            _ => Some(BatchPart {
                seq: reader.u64()?,
                commit: flags & IS_COMMIT != 0,
            }),
        };
        Ok(Self {
            time,
            schedule_at,
            batch,
            subject: reader.bytes()?,
            reply: reader.bytes()?,
            headers: reader.bytes()?,
            payload: reader.bytes()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> Vec<Entry> {
        let message = Message {
            time: WallTime(7),
            subject: b"a.b".to_vec(),
            reply: b"_INBOX.1".to_vec(),
            headers: b"NATS/1.0\r\n\r\n".to_vec(),
            payload: b"hi".to_vec(),
            schedule_at: None,
            batch: None,
        };
        vec![
            Entry::Message(message.clone()),
            Entry::Message(Message {
                schedule_at: Some(WallTime(9)),
                batch: Some(BatchPart { seq: 3, commit: true }),
                ..message
            }),
            Entry::Delete { seq: 5, erase: true },
            Entry::Purge {
                filter: b"a.>".to_vec(),
                below_seq: 4,
                keep: 2,
            },
            Entry::Expire { now: WallTime(1) },
            Entry::Configure {
                config: b"{}".to_vec(),
            },
        ]
    }

    #[test]
    fn entries_survive_their_bytes() {
        for entry in entries() {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
            for end in 0..bytes.len() {
                assert!(Entry::decode(&bytes[..end]).is_err(), "{entry:?} cut at {end}");
            }
            bytes.push(0);
            assert_eq!(Entry::decode(&bytes), Err(EntryError::TrailingBytes));
        }
    }

    /// The format does not change by accident: these bytes are of version 1.
    #[test]
    fn bytes_of_version_1() {
        let mut bytes = Vec::new();
        Entry::Message(Message {
            time: WallTime(0x0102),
            subject: b"s".to_vec(),
            payload: b"p".to_vec(),
            ..Message::default()
        })
        .encode(&mut bytes);
        assert_eq!(
            bytes,
            [
                &[1, 1, 0, 2, 1, 0, 0, 0, 0, 0, 0][..],
                b"\x01\0\0\0s\0\0\0\0\0\0\0\0\x01\0\0\0p"
            ]
            .concat()
        );
    }

    /// Foreign bytes make an entry that gives the same bytes again, or an error.
    #[test]
    fn foreign_bytes_do_not_panic() {
        proptest!(|(tail in proptest::collection::vec(any::<u8>(), 0..60), kind in 0..7_u8)| {
            let bytes = [&[1, kind][..], &tail].concat();
            if let Ok(entry) = Entry::decode(&bytes) {
                let mut again = Vec::new();
                entry.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        });
    }
}
