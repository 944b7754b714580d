//! The `accounts` block: a list of names, or a block for each name.

use std::collections::BTreeSet;
use std::sync::Arc;

use nkeys::KeyPairType;
use pinion_shard::rules::GLOBAL_NAME;

use super::{exchange, mappings, permissions, users, Account, AccountLimits, User};
use crate::config::block::{Field, Reader, Written};
use crate::config::value::{Map, Node, Value};

const PATH: &str = "accounts.<account>";

/// An account and its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAccount {
    /// The account.
    pub account: Written<Account>,
    /// Its users, each with the account's name.
    pub users: Vec<Written<User>>,
}

/// The accounts of a file.
pub(super) fn read(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<RawAccount> {
    match &node.value {
        Value::List(_) => read_names(reader, written, node),
        Value::Map(map) => map
            .iter()
            .filter(|(_, node)| !node.used_as_variable)
            .filter_map(|(name, node)| read_one(reader, name, node))
            .collect(),
        other => {
            let text = format!("{written} must be a map or a list of names, not {}", other.kind());
            reader.error(&node.at, text);
            Vec::new()
        }
    }
}

fn read_names(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<RawAccount> {
    let mut seen = BTreeSet::new();
    let mut accounts = Vec::new();
    for name in reader.texts(written, node).unwrap_or_default() {
        if *name.value == *GLOBAL_NAME {
            reader.error(&name.at, format!("{:?} is a Reserved Account", name.value));
        } else if !seen.insert(Arc::clone(&name.value)) {
            reader.error(&name.at, format!("Duplicate Account Entry: {}", name.value));
        } else {
            accounts.push(RawAccount::named(name.value, &name.at));
        }
    }
    accounts
}

fn read_one(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<RawAccount> {
    let Value::Map(map) = &node.value else {
        reader.error(&node.at, "Expected map entries for accounts");
        return None;
    };
    if name == GLOBAL_NAME {
        reader.error(&node.at, format!("{name:?} is a Reserved Account"));
        return None;
    }
    let name: Arc<str> = Arc::from(name);
    let mut read = RawAccount::named(Arc::clone(&name), &node.at);
    let mut default_permissions = None;
    for field in reader.fields(PATH, map) {
        let Field { written, node, .. } = field;
        let account = &mut read.account.value;
        match field.name() {
            "nkey" => account.nkey = read_nkey(reader, node),
            "users" => {
                read.users = users::read(reader, &format!("{PATH}.users[]"), Some(&name), written, node)
            }
            "default_permissions" => {
                default_permissions = permissions::read(reader, field.key.path, written, node);
            }
            "mappings" => {
                if let Some(map) = reader.map(written, node) {
                    account.mappings = mappings::read(reader, map);
                }
            }
            "limits" => {
                if let Some(map) = reader.map(written, node) {
                    account.limits = read_limits(reader, map);
                }
            }
            "exports" => account.exports = exchange::read_exports(reader, written, node),
            "imports" => account.imports = exchange::read_imports(reader, written, node),
            name => unreachable!("{PATH}.{name} is effective but nothing stores it"),
        }
    }
    users::apply_default(read.users.iter_mut(), default_permissions.as_ref());
    Some(read)
}

impl RawAccount {
    fn named(name: Arc<str>, at: &crate::config::Position) -> Self {
        Self {
            account: Written {
                value: Account {
                    name,
                    nkey: None,
                    limits: AccountLimits::default(),
                    mappings: Vec::new(),
                    exports: Vec::new(),
                    imports: Vec::new(),
                },
                at: at.clone(),
            },
            users: Vec::new(),
        }
    }
}

fn read_nkey(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    match &node.value {
        Value::Text(key) if users::is_public_key(key, &KeyPairType::Account) => Some(Arc::clone(key)),
        Value::Text(key) => {
            reader.error(
                &node.at,
                format!("Not a valid public nkey for an account: {key:?}"),
            );
            None
        }
        other => {
            let text = format!("Not a valid public nkey for an account: {}", other.kind());
            reader.error(&node.at, text);
            None
        }
    }
}

fn read_limits(reader: &mut Reader<'_>, map: &Map) -> AccountLimits {
    let mut limits = AccountLimits::default();
    for field in reader.fields("accounts.<account>.limits", map) {
        let Some(limit) = reader.integer(field.written, field.node) else {
            continue;
        };
        let Ok(limit) = i32::try_from(limit) else {
            reader.error(&field.node.at, format!("{} value is too big", field.written));
            continue;
        };
        // Below zero there is no limit.
        let count = u32::try_from(limit).ok();
        match field.name() {
            "max_connections" => limits.connections = count.map(u64::from),
            "max_subscriptions" => limits.subscriptions = count.and_then(|count| usize::try_from(count).ok()),
            "max_payload" => limits.payload_size = count.map(|_| limit),
            "max_leafnodes" => limits.leaf_nodes = count.map(u64::from),
            name => unreachable!("{PATH}.limits.{name} is effective but nothing stores it"),
        }
    }
    limits
}
