//! What is written to the log for the meta state.
//!
//! Owns: the entries and their bytes; docs/formats/meta-entries.md describes them.

use pinion_shard::ids::ShardId;
use pinion_shard::io::WallTime;

use crate::bytes::{put_bytes, Reader};
use crate::stream::entry::EntryError;

/// The version that this code writes.
const VERSION: u8 = 1;

const CREATE: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;

/// A change of the meta state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaEntry {
    /// A stream begins.
    Create {
        /// Its account.
        account: String,
        /// Its configuration as JSON.
        config: Vec<u8>,
        /// When it was made.
        created: WallTime,
        /// The shard it lives on.
        shard: ShardId,
    },
    /// A stream has another configuration.
    Update {
        /// Its account.
        account: String,
        /// Its whole new configuration as JSON.
        config: Vec<u8>,
    },
    /// A stream ends.
    Delete {
        /// Its account.
        account: String,
        /// Its name.
        name: String,
    },
}

impl MetaEntry {
    /// Appends the bytes of the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Create {
                account,
                config,
                created,
                shard,
            } => {
                out.push(CREATE);
                out.extend_from_slice(&created.0.to_le_bytes());
                out.extend_from_slice(&shard.0.to_le_bytes());
                put_bytes(out, account.as_bytes());
                put_bytes(out, config);
            }
            Self::Update { account, config } => {
                out.push(UPDATE);
                put_bytes(out, account.as_bytes());
                put_bytes(out, config);
            }
            Self::Delete { account, name } => {
                out.push(DELETE);
                put_bytes(out, account.as_bytes());
                put_bytes(out, name.as_bytes());
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
            CREATE => Self::Create {
                created: WallTime(reader.u64()?),
                shard: ShardId(reader.u16()?),
                account: reader.text()?,
                config: reader.bytes()?,
            },
            UPDATE => Self::Update {
                account: reader.text()?,
                config: reader.bytes()?,
            },
            DELETE => Self::Delete {
                account: reader.text()?,
                name: reader.text()?,
            },
            kind => return Err(EntryError::Unknown(kind)),
        };
        reader.end()?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_their_bytes() {
        let account = "$G".to_owned();
        let entries = [
            MetaEntry::Create {
                account: account.clone(),
                config: b"{}".to_vec(),
                created: WallTime(7),
                shard: ShardId(3),
            },
            MetaEntry::Update {
                account: account.clone(),
                config: b"{}".to_vec(),
            },
            MetaEntry::Delete {
                account,
                name: "A".to_owned(),
            },
        ];
        for entry in entries {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            assert_eq!(MetaEntry::decode(&bytes), Ok(entry.clone()));
            for end in 0..bytes.len() {
                assert!(
                    MetaEntry::decode(&bytes[..end]).is_err(),
                    "{entry:?} cut at {end}"
                );
            }
        }
    }
}
