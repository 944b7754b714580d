//! What needs several of the blocks: contradictions, names that stand twice or nowhere; and the way to what is meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use pinion_shard::rules::{GLOBAL_NAME, SYSTEM_NAME};

use super::accounts::RawAccount;
use super::{Access, Credentials, Login, User};
use crate::config::block::{Reader, Written};
use crate::config::diagnostic::Diagnostic;
use crate::config::raw::RawOptions;

/// Names what contradicts within one file. Flags may contradict a file, as at the peer: there the users win, then the
/// token.
pub(in crate::config) fn check(reader: &mut Reader<'_>, raw: &RawOptions) {
    let authorization = raw.origins.get("authorization");
    let has = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let has_user = has(raw.user.as_deref());
    let has_password = has(raw.password.as_ref().map(|password| &**password.reveal()));
    let has_token = has(raw.token.as_ref().map(|token| &**token.reveal()));
    let has_users = all_users(raw).next().is_some();
    if let Some(at) = authorization {
        if (has_user || has_password) && has_token {
            reader.error(at, "Cannot have a user/pass and token");
        } else if has_user && has_users {
            reader.error(at, "Can not have a single user/pass and a users array");
        } else if has_token && has_users {
            reader.error(at, "Can not have a token and a users array");
        }
    }
    let mut ids = BTreeSet::new();
    for user in all_users(raw) {
        if !ids.insert(user.id()) {
            let kind = match user.credentials {
                Credentials::Password { .. } => "user",
                Credentials::Nkey(_) => "nkey",
            };
            reader.error(&user.at, format!("Duplicate {kind} {:?} detected", user.id()));
        }
    }
    check_exchange(reader, raw.accounts.as_deref().unwrap_or_default());
}

/// Every account that an export or import names must be there.
fn check_exchange(reader: &mut Reader<'_>, accounts: &[RawAccount]) {
    let names: BTreeSet<&str> = accounts.iter().map(|read| &*read.account.name).collect();
    for read in accounts {
        for export in &read.account.exports {
            for name in export.accounts.iter().flatten() {
                if !names.contains(&**name) {
                    let text = format!("{name:?} account not defined for {} export", export.kind.noun());
                    reader.error(&export.at, text);
                }
            }
        }
        for import in &read.account.imports {
            if !names.contains(&*import.account) {
                let (name, kind) = (&import.account, import.kind.noun());
                reader.error(
                    &import.at,
                    format!("{name:?} account not defined for {kind} import"),
                );
            }
        }
    }
}

fn all_users(raw: &RawOptions) -> impl Iterator<Item = &Written<User>> {
    let of_accounts = raw.accounts.iter().flatten().flat_map(|read| &read.users);
    raw.authorization_users.iter().flatten().chain(of_accounts)
}

/// What was written, as it is meant.
pub(in crate::config) fn resolve(raw: &RawOptions, problems: &mut Vec<Diagnostic>) -> Access {
    let users: Vec<User> = all_users(raw).map(|user| user.value.clone()).collect();
    let accounts: Vec<_> = raw
        .accounts
        .iter()
        .flatten()
        .map(|read| read.account.value.clone())
        .collect();
    let non_empty = |text: &Option<Arc<str>>| text.clone().filter(|text| !text.is_empty());

    let named = non_empty(&raw.system_account);
    let exists = |name: &str| name == GLOBAL_NAME || accounts.iter().any(|account| &*account.name == name);
    let by_tokens = raw.operators.is_some() || raw.trusted_keys.is_some();
    if !by_tokens && named.as_deref().is_some_and(|name| !exists(name)) {
        let at = raw.origins.get("system_account").cloned();
        problems.push(Diagnostic::error(
            at,
            "error resolving system account: account missing",
        ));
    }
    let is_default_there = exists(SYSTEM_NAME);
    let switched_off = raw.no_system_account == Some(true) && named.is_none() && !is_default_there;
    // Only users for the system account: everybody else is let in as without any user.
    let has_named_system = named.is_some() || is_default_there;
    let no_auth_user = non_empty(&raw.no_auth_user).filter(|_| !by_tokens);
    let opens_global = has_named_system
        && accounts.len() == 1
        && no_auth_user.is_none()
        && raw.authorization_users.is_none();
    if let Some(id) = &no_auth_user {
        if let Some(text) = wrong_no_auth_user(id, &users) {
            let at = raw.origins.get("no_auth_user").cloned();
            problems.push(Diagnostic::error(at, text));
        }
    }
    Access {
        login: login(raw),
        users,
        accounts,
        mappings: raw.mappings.clone().unwrap_or_default(),
        system_account: (!switched_off).then(|| named.unwrap_or_else(|| SYSTEM_NAME.into())),
        no_auth_user,
        opens_global,
    }
}

fn wrong_no_auth_user(id: &str, users: &[User]) -> Option<String> {
    if users.is_empty() {
        return Some(format!(
            "no_auth_user: \"{id}\" present, but users/nkeys are not defined"
        ));
    }
    (!users.iter().any(|user| **user.id() == *id)).then(|| {
        format!("no_auth_user: \"{id}\" not present as user or nkey in authorization block or account configuration")
    })
}

fn login(raw: &RawOptions) -> Login {
    let token = raw.token.clone().filter(|token| !token.reveal().is_empty());
    let user = raw.user.clone().filter(|user| !user.is_empty());
    match (token, user) {
        (Some(token), _) => Login::Token(token),
        (None, Some(user)) => Login::User {
            user,
            password: raw.password.clone().unwrap_or_default(),
        },
        (None, None) => Login::None,
    }
}

impl super::ExportKind {
    fn noun(&self) -> &'static str {
        match self {
            super::ExportKind::Stream => "stream",
            super::ExportKind::Service { .. } => "service",
        }
    }
}

impl super::ImportKind {
    fn noun(&self) -> &'static str {
        match self {
            super::ImportKind::Stream { .. } => "stream",
            super::ImportKind::Service { .. } => "service",
        }
    }
}
