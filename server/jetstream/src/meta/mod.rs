//! Which streams exist, their configurations and the shards they live on: a state machine of its own.
//!
//! Owns: the table of streams of all accounts, the changes of it (`entry`). Not here: what the streams hold, whether a
//! change may be made (`api`).
//! The order of streams is that of their names, always.

pub mod entry;

use std::collections::BTreeMap;

use pinion_shard::ids::ShardId;
use pinion_shard::io::WallTime;

use crate::stream::StreamConfig;

pub use entry::MetaEntry;

/// A stream as the meta state knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its configuration.
    pub config: StreamConfig,
    /// When it was made.
    pub created: WallTime,
    /// The shard it lives on.
    pub shard: ShardId,
}

/// All streams.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    accounts: BTreeMap<String, BTreeMap<String, StreamRecord>>,
}

/// What the shards have to do because of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaEffect {
    /// A stream begins.
    Start {
        /// Its account.
        account: String,
        /// Its configuration, time and shard.
        record: StreamRecord,
    },
    /// A stream has another configuration.
    Configure {
        /// Its account.
        account: String,
        /// Its configuration, time and shard.
        record: StreamRecord,
    },
    /// A stream ends, with all it holds.
    Stop {
        /// Its account.
        account: String,
        /// Its name.
        name: String,
        /// The shard it lived on.
        shard: ShardId,
    },
}

impl Meta {
    /// The streams of an account, by name.
    pub fn streams(&self, account: &str) -> impl Iterator<Item = &StreamRecord> {
        self.accounts.get(account).into_iter().flat_map(BTreeMap::values)
    }

    /// The streams of all accounts.
    pub fn all(&self) -> impl Iterator<Item = &StreamRecord> {
        self.accounts.values().flat_map(BTreeMap::values)
    }

    /// One stream.
    pub fn stream(&self, account: &str, name: &str) -> Option<&StreamRecord> {
        self.accounts.get(account)?.get(name)
    }

    /// Does what the entry says; an entry for a stream that is not there, or is there already, does nothing.
    pub fn apply(&mut self, entry: MetaEntry) -> Option<MetaEffect> {
        match entry {
            MetaEntry::Create {
                account,
                config,
                created,
                shard,
            } => {
                let config =
                    StreamConfig::from_json(&config).expect("written by this server, under a checksum");
                let streams = self.accounts.entry(account.clone()).or_default();
                if streams.contains_key(&config.name) {
                    return None;
                }
                let record = StreamRecord {
                    config,
                    created,
                    shard,
                };
                streams.insert(record.config.name.clone(), record.clone());
                Some(MetaEffect::Start { account, record })
            }
            MetaEntry::Update { account, config } => {
                let config =
                    StreamConfig::from_json(&config).expect("written by this server, under a checksum");
                let record = self.accounts.get_mut(&account)?.get_mut(&config.name)?;
                record.config = config;
                let record = record.clone();
                Some(MetaEffect::Configure { account, record })
            }
            MetaEntry::Delete { account, name } => {
                let streams = self.accounts.get_mut(&account)?;
                let record = streams.remove(&name)?;
                if streams.is_empty() {
                    self.accounts.remove(&account);
                }
                Some(MetaEffect::Stop {
                    account,
                    name,
                    shard: record.shard,
                })
            }
        }
    }
}
