//! The rules of one account.
//!
//! Owns: an account as written ([`AccountSpec`]) and compiled ([`AccountRules`]), its limits, the counts that span shards.
//! Not here: the other accounts its imports name (`snapshot`), what of it lives on a shard (`crate::account`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::exports::Exports;
use super::imports::Imports;
use super::permissions::Permissions;
use super::routes::{ServiceRoute, StreamRoute};
use crate::ids::AccountId;
use crate::subject::mapping::Mappings;

/// Limits of an account. `None`: the server's alone count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections of the server bound to it. Beyond: refused. Config: `max_connections`.
    pub connections: Option<u64>,
    /// Leaf nodes of the server bound to it. Beyond: refused. Config: `max_leafnodes`.
    pub leaf_nodes: Option<u64>,
    /// Subscriptions of one connection. Beyond: refused with an error. Config: `max_subscriptions`.
    pub subscriptions: Option<usize>,
    /// Bytes of a message. Beyond: the connection is closed. Config: `max_payload`.
    pub payload_size: Option<i32>,
}

/// An account as configuration or JWT describe it.
#[derive(Clone, Debug, Default)]
pub struct AccountSpec {
    /// Its name: the key of the configuration, or the public key of the JWT.
    pub name: String,
    /// What people call it, where that differs (the name in the JWT). JSON: `name_tag`.
    pub label: String,
    /// Its limits.
    pub limits: AccountLimits,
    /// What it offers.
    pub exports: Exports,
    /// What it takes.
    pub imports: Imports,
    /// What becomes of published subjects.
    pub mappings: Mappings,
    /// For users without permissions of their own. The router does not look at them; authenticators do.
    pub default_permissions: Option<Arc<Permissions>>,
}

/// Counts of an account over all shards. They outlive the snapshot they hang on.
#[derive(Debug, Default)]
pub struct AccountCounts {
    connections: AtomicU64,
    leaf_nodes: AtomicU64,
}

impl AccountCounts {
    /// Client connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Leaf nodes.
    pub fn leaf_nodes(&self) -> u64 {
        self.leaf_nodes.load(Ordering::Relaxed)
    }

    /// One client more; `false`: the account has all it may have.
    pub(crate) fn try_join(&self, max: Option<u64>) -> bool {
        let joined = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                max.is_none_or(|max| count < max).then_some(count + 1)
            });
        joined.is_ok()
    }

    /// One client less.
    pub(crate) fn leave(&self) {
        let before = self.connections.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "who leaves has joined");
    }
}

/// The rules of an account, compiled.
#[derive(Debug)]
pub struct AccountRules {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: Box<str>,
    /// What people call it; empty: its name.
    pub label: Box<str>,
    /// Its limits.
    pub limits: AccountLimits,
    /// What it offers.
    pub exports: Exports,
    /// What it takes, as written.
    pub imports: Imports,
    /// Its service imports, compiled.
    pub service_routes: Box<[Arc<ServiceRoute>]>,
    /// Its stream imports, compiled.
    pub stream_routes: Box<[Arc<StreamRoute>]>,
    /// What becomes of published subjects.
    pub mappings: Mappings,
    /// For users without permissions of their own.
    pub default_permissions: Option<Arc<Permissions>>,
    /// Its counts over all shards.
    pub counts: Arc<AccountCounts>,
}
