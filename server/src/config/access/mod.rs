//! Who may connect, to which account, and what they may do there: the options of `authorization`, `accounts`, `mappings`,
//! `system_account`, `no_auth_user`.
//!
//! Owns: these options as written and as meant, and what is wrong with them together.
//! Not here: what they compile to and who decides a connect (`auth`), exchange between accounts as a rule of the router.
//! Layout: one file for each block; `check` looks at what needs several of them.

mod accounts;
mod authorization;
mod check;
mod exchange;
mod mappings;
mod permissions;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;
use std::time::Duration;

pub use pinion_shard::rules::{
    AccountLimits, AllowDeny, ConnectionType, ConnectionTypes, Latency, PermissionSpec, ResponsePermission,
    ResponseType, Sampling,
};
use pinion_shard::subject::mapping::Destination;

use super::block::{Reader, Written};
use super::raw::RawOptions;
use super::table::Key;
use super::value::Node;
use crate::log::Redacted;

pub use accounts::RawAccount;
pub(super) use check::{check, resolve};

/// Who may connect, and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The one login for everybody, where there are no users.
    pub login: Login,
    /// The users of all accounts. No user and no nkey stands twice.
    pub users: Vec<User>,
    /// The accounts by the order of the file; `$G` is not among them. No name stands twice.
    pub accounts: Vec<Account>,
    /// Mappings of the account `$G`.
    pub mappings: Vec<Mapping>,
    /// The name of the system account; `None` where it is switched off.
    pub system_account: Option<Arc<str>>,
    /// The user or nkey of clients that bring no credentials; one of `users`.
    pub no_auth_user: Option<Arc<str>>,
    /// There are users of the system account only, so clients without credentials are let into `$G`.
    pub opens_global: bool,
}

/// One login for everybody, who then is in `$G` and may do all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// None.
    #[default]
    None,
    /// A name and a password.
    User {
        /// The name.
        user: Arc<str>,
        /// In clear or as a bcrypt hash.
        password: Redacted<Arc<str>>,
    },
    /// A token, in clear or as a bcrypt hash.
    Token(Redacted<Arc<str>>),
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// How it shows who it is.
    pub credentials: Credentials,
    /// The account it belongs to; `None`: `$G`.
    pub account: Option<Arc<str>>,
    /// What it may do, its account's default where it has none of its own; `None`: all.
    pub permissions: Option<Arc<PermissionSpec>>,
    /// The kinds of connection it may use.
    pub connection_types: ConnectionTypes,
}

impl User {
    /// The name, or the public key.
    pub fn id(&self) -> &Arc<str> {
        match &self.credentials {
            Credentials::Password { user, .. } => user,
            Credentials::Nkey(key) => key,
        }
    }
}

/// How a user shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// By name and password.
    Password {
        /// The name.
        user: Arc<str>,
        /// In clear or as a bcrypt hash; may be empty.
        password: Redacted<Arc<str>>,
    },
    /// By a signature of the server's nonce; the public key, `U...`.
    Nkey(Arc<str>),
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Arc<str>,
    /// The public key that names it beside its name, `A...`.
    pub nkey: Option<Arc<str>>,
    /// What it may use.
    pub limits: AccountLimits,
    /// Its mappings, by the order of the file.
    pub mappings: Vec<Mapping>,
    /// What it offers to other accounts.
    pub exports: Vec<Written<Export>>,
    /// What it takes from other accounts.
    pub imports: Vec<Written<Import>>,
}

/// Where the messages to one subject go instead. It compiles: that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The subject published to, with wildcards.
    pub source: Arc<str>,
    /// Where they go.
    pub destinations: Vec<Destination>,
}

/// Something one account offers to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The subject, with wildcards.
    pub subject: Arc<str>,
    /// The accounts it is for; `None`: for all.
    pub accounts: Option<Vec<Arc<str>>>,
    /// The wildcard token, from 1, that must be the name of the importing account.
    pub account_token_position: Option<u32>,
    /// Messages or answers.
    pub kind: ExportKind,
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// Messages published there.
    Stream,
    /// Answers to requests sent there.
    Service {
        /// How many answers a request has.
        response: ResponseType,
        /// How long they may take; `None`: two minutes.
        threshold: Option<Duration>,
        /// Where the latency of answers is told.
        latency: Option<Latency>,
        /// A message trace may go on in this account.
        allow_trace: bool,
    },
}

/// Something an account takes from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The account that offers it.
    pub account: Arc<str>,
    /// Its subject there.
    pub subject: Arc<str>,
    /// Messages or answers.
    pub kind: ImportKind,
}

/// What is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// Messages.
    Stream {
        /// Put before their subject.
        prefix: Option<Arc<str>>,
        /// Their subject here, with the wildcards of the other side.
        to: Option<Arc<str>>,
        /// A message trace may go on from there.
        allow_trace: bool,
    },
    /// Answers.
    Service {
        /// The subject of requests here.
        to: Arc<str>,
        /// The exporter learns who asked.
        share: bool,
    },
}

/// Whether `store` knows the key at this path, at the top of the file.
pub(super) fn owns(path: &str) -> bool {
    matches!(
        path,
        "authorization" | "accounts" | "mappings" | "system_account" | "no_system_account" | "no_auth_user"
    )
}

/// Takes over one of these keys.
pub(super) fn store(reader: &mut Reader<'_>, key: &Key, written: &str, node: &Node, raw: &mut RawOptions) {
    match key.path {
        "authorization" => {
            if let Some(map) = reader.map(written, node) {
                authorization::store(reader, map, raw);
            }
        }
        "accounts" => raw.accounts = Some(accounts::read(reader, written, node)),
        "mappings" => {
            if let Some(map) = reader.map(written, node) {
                raw.mappings = Some(mappings::read(reader, map));
            }
        }
        "system_account" => raw.system_account = reader.text(written, node),
        "no_system_account" => raw.no_system_account = reader.boolean(written, node),
        "no_auth_user" => raw.no_auth_user = reader.text(written, node),
        path => unreachable!("{path} is not one of these"),
    }
}
