//! Whom a server in operator mode believes.
//!
//! Owns: which keys may sign accounts, which accounts may be used at all, who is the system account; what operators and
//! configuration say against each other. Not here: reading the configuration, accounts and users themselves.

use std::collections::BTreeSet;

use super::nkey;
use super::operator::{server_version, OperatorClaims};
use super::token::decode_user;
use crate::log::Redacted;

/// What the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustSpec {
    /// Operators, as their tokens say.
    pub operators: Vec<OperatorClaims>,
    /// Operator keys without a token. Config: `trusted_keys`.
    pub trusted_keys: Vec<String>,
    /// Config: `system_account`.
    pub system_account: Option<String>,
    /// Config: `resolver_pinned_accounts`.
    pub pinned_accounts: Vec<String>,
    /// Config: `default_sentinel`; a bearer token.
    pub default_sentinel: Option<Redacted<String>>,
    /// The release this server stands for, to hold against `assert_server_version`.
    pub server_version: String,
    /// Accounts are found by requests over the system account, which must be named then.
    pub needs_system_account: bool,
}

/// Whom the server believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Operator keys that may sign accounts.
    keys: BTreeSet<String>,
    /// Those of them whose accounts' own key signs no users.
    strict_keys: BTreeSet<String>,
    /// None: every account the operators signed.
    pinned_accounts: Option<BTreeSet<String>>,
    /// The system account, by its public key.
    pub system_account: Option<String>,
    /// The token of clients that bring none.
    pub default_sentinel: Option<Redacted<String>>,
}

impl Trust {
    /// Makes out whom to believe.
    ///
    /// # Errors
    /// What does not go together, in one line for the operator.
    pub fn new(spec: TrustSpec) -> Result<Self, String> {
        let TrustSpec {
            operators,
            trusted_keys,
            ..
        } = &spec;
        if let Some(sentinel) = &spec.default_sentinel {
            check_sentinel(sentinel.reveal())?;
        }
        if !operators.is_empty() && !trusted_keys.is_empty() {
            return Err("operator and trusted_keys exclude each other".to_owned());
        }
        let system_account = system_account(&spec)?;
        for operator in operators {
            check_version(operator, &spec.server_version)?;
        }
        let mut keys: BTreeSet<String> = trusted_keys.iter().cloned().collect();
        let mut strict_keys = BTreeSet::new();
        for operator in operators {
            if operator.strict_signing_key_usage {
                strict_keys.extend(operator.signing_keys.iter().cloned());
            } else {
                keys.insert(operator.data.subject.clone());
            }
            keys.extend(operator.signing_keys.iter().cloned());
        }
        if let Some(key) = keys.iter().find(|key| !nkey::is_operator(key)) {
            return Err(format!("trusted key {key:?} is not an operator's public key"));
        }
        let mut pinned: BTreeSet<String> = spec.pinned_accounts.iter().cloned().collect();
        if let Some(key) = pinned.iter().find(|key| !nkey::is_account(key)) {
            return Err(format!("pinned account {key:?} is not an account's public key"));
        }
        if !pinned.is_empty() {
            pinned.extend(system_account.clone());
        }
        Ok(Self {
            keys,
            strict_keys,
            pinned_accounts: (!pinned.is_empty()).then_some(pinned),
            system_account,
            default_sentinel: spec.default_sentinel,
        })
    }

    /// Whether this key may sign accounts.
    pub fn is_trusted(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Whether an account that `issuer` signed may sign no users with its own key.
    pub fn is_strict(&self, issuer: &str) -> bool {
        self.strict_keys.contains(issuer)
    }

    /// Whether users of this account may come in.
    pub fn is_usable(&self, account: &str) -> bool {
        self.pinned_accounts
            .as_ref()
            .is_none_or(|pinned| pinned.contains(account))
    }
}

/// A sentinel is a bearer token, or one of a scoped signing key, which may say so.
fn check_sentinel(sentinel: &str) -> Result<(), String> {
    let claims = decode_user(sentinel).map_err(|error| format!("default_sentinel: {error}"))?;
    let may_be_scoped = !claims.issuer_account.is_empty() && claims.granted.is_empty();
    if claims.granted.access.bearer_token || may_be_scoped {
        Ok(())
    } else {
        Err("default_sentinel must be a bearer token".to_owned())
    }
}

fn system_account(spec: &TrustSpec) -> Result<Option<String>, String> {
    let mut named = spec
        .operators
        .iter()
        .map(|operator| operator.system_account.as_str())
        .filter(|account| !account.is_empty())
        .peekable();
    if let Some(configured) = &spec.system_account {
        if named.peek().is_some() && named.all(|account| account != configured) {
            return Err("system_account in the configuration and in the operator's token differ".to_owned());
        }
        return Ok(Some(configured.clone()));
    }
    let first = spec
        .operators
        .first()
        .map(|operator| operator.system_account.clone());
    let first = first.filter(|account| !account.is_empty());
    if first.is_none() && spec.needs_system_account && !spec.operators.is_empty() {
        return Err(
            "this resolver needs a system account: name it in the configuration or in the operator's token"
                .to_owned(),
        );
    }
    Ok(first)
}

fn check_version(operator: &OperatorClaims, server: &str) -> Result<(), String> {
    let wanted = &operator.assert_server_version;
    let wrong = |text: String| format!("operator {}: {text}", operator.data.subject);
    let version = server_version(wanted).map_err(wrong)?;
    let own = server_version(server).expect("the release has three numbers");
    if version > own {
        return Err(wrong(format!("wants server {wanted} or newer, this is {server}")));
    }
    Ok(())
}
