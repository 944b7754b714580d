//! What an account may have, what it has, and `$JS.API.INFO`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::response::Kind;
use super::{Body, Facts};
use crate::error::{self, ApiError};
use crate::meta::{Meta, StreamRecord};
use crate::stream::config::{Storage, StreamConfig, API_LEVEL};

/// What an account may have; -1 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AccountLimits {
    /// Bytes in memory.
    pub max_memory: i64,
    /// Bytes on disk.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers.
    pub max_consumers: i64,
    /// Messages of one consumer that wait for an ack.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one stream on disk.
    pub storage_max_stream_bytes: i64,
    /// Whether every stream must have a `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// An account as the API sees it.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its limits by tier (`R1`, `R3`); the empty tier is for all.
    pub tiers: BTreeMap<String, AccountLimits>,
    /// Requests that were answered.
    pub api_total: u64,
    /// Requests that were answered by an error.
    pub api_errors: u64,
}

/// What the server has for all accounts, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct ServerRoom {
    /// `max_mem`.
    pub max_memory: i64,
    /// `max_file`.
    pub max_storage: i64,
    /// `jetstream.limits.duplicate_window` in nanoseconds; 0 is none.
    pub duplicate_window_max: i64,
}

/// What an account's streams hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk.
    pub storage: u64,
    /// Consumers.
    pub consumers: u64,
}

impl Account {
    /// The limits for streams of so many replicas, and the name of their tier.
    pub fn limits(&self, replicas: i64) -> Option<(&str, &AccountLimits)> {
        let (name, limits) = self
            .tiers
            .get_key_value("")
            .or_else(|| self.tiers.get_key_value(&tier(replicas)))?;
        Some((name, limits))
    }
}

fn tier(replicas: i64) -> String {
    format!("R{}", replicas.max(1))
}

/// Bytes that a stream reserves in its account.
fn reservation(tier: &str, replicas: i64, bytes: i64) -> i64 {
    match bytes {
        ..=0 => 0,
        _ if tier.is_empty() => bytes.saturating_mul(replicas.max(1)),
        _ => bytes,
    }
}

fn reserved_by_others(meta: &Meta, account: &str, tier_name: &str, config: &StreamConfig) -> i64 {
    meta.streams(account)
        .map(|record| &record.config)
        .filter(|other| other.name != config.name && other.storage == config.storage)
        .filter(|other| tier_name.is_empty() || tier(other.num_replicas) == tier(config.num_replicas))
        .fold(0, |sum: i64, other| {
            sum.saturating_add(reservation(tier_name, other.num_replicas, other.max_bytes))
        })
}

/// Bytes that all streams of all accounts reserve.
fn server_reserved(meta: &Meta, storage: Storage) -> i64 {
    meta.all()
        .filter(|record| record.config.storage == storage)
        .fold(0, |sum: i64, record| {
            sum.saturating_add(record.config.max_bytes.max(0))
        })
}

/// What a stream that exists already reserves, when it is changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) max_bytes: i64,
    pub(super) replicas: i64,
}

/// Whether account and server have room for a stream; `before` is what it reserves now.
pub(super) fn check_room(
    (account, limits_of): (&str, &Account),
    meta: &Meta,
    room: &ServerRoom,
    config: &StreamConfig,
    before: Option<Before>,
) -> Result<(), ApiError> {
    let selected = limits_of
        .limits(config.num_replicas)
        .or_else(|| limits_of.limits(before?.replicas));
    let (tier_name, limits) = selected.ok_or(error::NO_LIMITS)?;
    if config.max_consumers > 0 && limits.max_consumers > 0 && config.max_consumers > limits.max_consumers {
        return Err(error::MAXIMUM_CONSUMERS_LIMIT.into());
    }
    let mut reserved = reserved_by_others(meta, account, tier_name, config);
    let added = match before {
        None => config.max_bytes,
        Some(before) => {
            let added = (config.max_bytes.max(0) - before.max_bytes.max(0)).max(0);
            let rest = config.max_bytes - added;
            reserved = reserved.saturating_add(reservation(tier_name, config.num_replicas, rest));
            added
        }
    };
    // Without a limit of its own a stream still needs room for something.
    let added = if added < 0 { 1 } else { added };
    let in_account = reservation(tier_name, config.num_replicas, added);
    let (account_max, server_max, kind) = match config.storage {
        Storage::Memory => (
            limits.max_memory,
            room.max_memory,
            error::MEMORY_RESOURCES_EXCEEDED,
        ),
        Storage::File => (
            limits.max_storage,
            room.max_storage,
            error::STORAGE_RESOURCES_EXCEEDED,
        ),
    };
    if account_max >= 0 && in_account > account_max.saturating_sub(reserved) {
        return Err(kind.into());
    }
    if added > server_max.saturating_sub(server_reserved(meta, config.storage)) {
        return Err(kind.into());
    }
    Ok(())
}

/// Whether one more stream may be made.
pub(super) fn check_stream_count(
    (account, limits_of): (&str, &Account),
    meta: &Meta,
    config: &StreamConfig,
) -> Result<(), ApiError> {
    let (tier_name, limits) = limits_of.limits(config.num_replicas).ok_or(error::NO_LIMITS)?;
    let count = meta
        .streams(account)
        .filter(|record| record.config.name != config.name)
        .filter(|record| {
            tier_name.is_empty() || tier(record.config.num_replicas) == tier(config.num_replicas)
        })
        .count();
    match usize::try_from(limits.max_streams) {
        Ok(max) if max > 0 && count >= max => Err(error::MAXIMUM_STREAMS_LIMIT.into()),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Tier {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: usize,
    consumers: u64,
    limits: AccountLimits,
}

#[derive(Serialize)]
struct ApiFigures {
    level: i64,
    total: u64,
    errors: u64,
}

#[derive(Serialize)]
struct AccountInfo<'a> {
    #[serde(flatten)]
    all: Tier,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    api: ApiFigures,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tiers: BTreeMap<&'a str, Tier>,
}

/// `$JS.API.INFO`; `account` is `None` where JetStream is not for it.
pub fn info(
    facts: &Facts,
    meta: &Meta,
    name: &str,
    account: Option<&Account>,
    usage: Usage,
    body: Body<'_>,
) -> Result<Vec<u8>, ApiError> {
    body.check_api_level()?;
    let account = account.ok_or(error::NOT_ENABLED_FOR_ACCOUNT)?;
    let reserved = |storage: Storage, of_tier: &str| {
        let streams = meta.streams(name).map(|record| &record.config);
        let streams = streams.filter(|config| config.storage == storage);
        let streams = streams.filter(|config| of_tier.is_empty() || tier(config.num_replicas) == of_tier);
        streams
            .map(|config| u64::try_from(config.max_bytes).unwrap_or(0))
            .sum()
    };
    let in_tier = |record: &&StreamRecord, of_tier: &str| tier(record.config.num_replicas) == of_tier;
    let whole = account.tiers.get("");
    let mut tiers = BTreeMap::new();
    if whole.is_none() {
        for (of_tier, limits) in &account.tiers {
            let streams = meta
                .streams(name)
                .filter(|record| in_tier(record, of_tier))
                .count();
            // One server keeps everything once, so all it has is in one tier.
            let is_first = of_tier == "R1";
            tiers.insert(
                of_tier.as_str(),
                Tier {
                    memory: if is_first { usage.memory } else { 0 },
                    storage: if is_first { usage.storage } else { 0 },
                    reserved_memory: reserved(Storage::Memory, of_tier),
                    reserved_storage: reserved(Storage::File, of_tier),
                    streams,
                    consumers: if is_first { usage.consumers } else { 0 },
                    limits: *limits,
                },
            );
        }
    }
    let no_limits = AccountLimits {
        max_memory: 0,
        max_storage: 0,
        max_streams: 0,
        max_consumers: 0,
        max_ack_pending: 0,
        memory_max_stream_bytes: 0,
        storage_max_stream_bytes: 0,
        max_bytes_required: false,
    };
    Ok(Kind::AccountInfo.answer(&AccountInfo {
        all: Tier {
            memory: usage.memory,
            storage: usage.storage,
            reserved_memory: reserved(Storage::Memory, ""),
            reserved_storage: reserved(Storage::File, ""),
            streams: meta.streams(name).count(),
            consumers: usage.consumers,
            limits: whole.copied().unwrap_or(no_limits),
        },
        domain: &facts.domain,
        api: ApiFigures {
            level: API_LEVEL,
            total: account.api_total,
            errors: account.api_errors,
        },
        tiers,
    }))
}
