//! Operator mode: the options of `operator`, `trusted_keys`, `resolver`, `resolver_preload`, `resolver_pinned_accounts`,
//! `default_sentinel`.
//!
//! Owns: these options as written and as meant, reading the operators' tokens from their files, and what does not go
//! together. Not here: what tokens say (`auth::jwt`), which accounts come into use (`auth::jwt::control`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::{Reader, Written};
use super::diagnostic::{Diagnostic, Position};
use super::raw::RawOptions;
use super::table::Key;
use super::value::{Map, Node, Value};
use crate::auth::jwt::operator::OperatorClaims;
use crate::auth::jwt::resolver::Source;
use crate::auth::jwt::trust::{Trust, TrustSpec};
use crate::auth::jwt::{creds, decode_account, decode_operator, nkey, TOKEN_SIZE_MAX};
use crate::log::Redacted;

/// What every token begins with: `{"` in base64.
const TOKEN_START: &str = "eyJ";

/// Users come in by tokens that an operator stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorMode {
    /// The operators' tokens. JSON: `trusted_operators_jwt`.
    pub operator_tokens: Vec<Arc<str>>,
    /// Whom the server believes.
    pub trust: Trust,
    /// Where tokens of accounts are.
    pub resolver: Resolver,
    /// Tokens of accounts by public key, there from the start.
    pub preload: BTreeMap<String, String>,
}

/// Where tokens of accounts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// Nowhere: `trusted_keys` alone.
    Nowhere,
    /// In the configuration. `MEMORY`.
    Memory,
}

impl OperatorMode {
    /// The place as it is asked.
    pub fn source(&self) -> Source {
        match &self.resolver {
            Resolver::Nowhere => Source::Memory(BTreeMap::new()),
            Resolver::Memory => Source::Memory(self.preload.clone()),
        }
    }
}

/// An operator as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    token: Arc<str>,
    claims: OperatorClaims,
}

/// Whether `store` knows the key at this path, at the top of the file.
pub(super) fn owns(path: &str) -> bool {
    matches!(
        path,
        "operator"
            | "trusted_keys"
            | "resolver"
            | "resolver_preload"
            | "resolver_pinned_accounts"
            | "default_sentinel"
    )
}

/// Takes over one of these keys.
pub(super) fn store(reader: &mut Reader<'_>, key: &Key, written: &str, node: &Node, raw: &mut RawOptions) {
    match key.path {
        "operator" => raw.operators = Some(operators(reader, written, node)),
        "trusted_keys" => raw.trusted_keys = Some(trusted_keys(reader, written, node)),
        "resolver" => raw.resolver = resolver(reader, written, node),
        "resolver_preload" => {
            if let Some(map) = reader.map(written, node) {
                raw.resolver_preload = Some(preload(reader, map));
            }
        }
        "resolver_pinned_accounts" => {
            let accounts = reader.texts(written, node).unwrap_or_default();
            raw.resolver_pinned_accounts = Some(accounts.into_iter().map(|account| account.value).collect());
        }
        "default_sentinel" => raw.default_sentinel = reader.text(written, node).map(Redacted::new),
        path => unreachable!("{path} is not one of these"),
    }
}

/// Each is a token, or a file that holds one.
fn operators(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<Operator> {
    let mut operators = Vec::new();
    for text in reader.texts(written, node).unwrap_or_default() {
        let read = read_token(&text.value).and_then(|contents| {
            let token: Arc<str> = creds::token(&contents).into();
            let claims = decode_operator(&token).map_err(|error| error.to_string())?;
            Ok(Operator { token, claims })
        });
        match read {
            Ok(operator) => operators.push(operator),
            Err(error) => reader.error(&text.at, format!("error parsing operator JWT: {error}")),
        }
    }
    operators
}

/// The contents of the file of this name, else the text itself.
fn read_token(text: &str) -> Result<String, String> {
    let limit = u64::try_from(TOKEN_SIZE_MAX).expect("a small number");
    let is_small_file = std::fs::metadata(text).map(|meta| meta.is_file() && meta.len() <= limit);
    match is_small_file {
        Ok(true) => std::fs::read_to_string(text).map_err(|error| format!("{text}: {error}")),
        Ok(false) => Err(format!("{text} is no file that holds a token")),
        Err(_) if text.starts_with(TOKEN_START) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

fn trusted_keys(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<Arc<str>> {
    let mut keys = Vec::new();
    for key in reader.texts(written, node).unwrap_or_default() {
        if nkey::is_operator(&key.value) {
            keys.push(key.value);
        } else {
            let text = format!(
                "trust key {:?} required to be a valid public operator nkey",
                key.value
            );
            reader.error(&key.at, text);
        }
    }
    keys
}

/// `MEMORY` or `URL(...)`; a block is a directory, or memory again.
fn resolver(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Written<Resolver>> {
    let found = match &node.value {
        Value::Text(text) => resolver_named(text),
        Value::Map(map) => {
            let kind = kind_of_block(reader, map);
            if matches!(kind.to_uppercase().as_str(), "MEM" | "MEMORY") {
                Ok(Resolver::Memory)
            } else if matches!(kind.to_uppercase().as_str(), "FULL" | "CACHE") {
                Err(format!(
                    "{written}: type {kind} is not built yet: accounts could not be updated"
                ))
            } else {
                Err(NO_RESOLVER.to_owned())
            }
        }
        other => Err(format!(
            "{written} must be a string or a map, not {}",
            other.kind()
        )),
    };
    match found {
        Ok(value) => Some(Written {
            value,
            at: node.at.clone(),
        }),
        Err(text) => {
            reader.error(&node.at, text);
            None
        }
    }
}

const NO_RESOLVER: &str =
    "error parsing account resolver, should be MEM or  URL(\"url\") or a map containing dir and type state=[FULL|CACHE])";

/// The `type` of a block; other keys of it are looked at by the table.
fn kind_of_block(reader: &mut Reader<'_>, map: &Map) -> String {
    let mut kind = String::new();
    for field in reader.fields("resolver", map) {
        if field.name() == "type" {
            kind = reader
                .text(field.written, field.node)
                .as_deref()
                .unwrap_or_default()
                .to_owned();
        }
    }
    kind
}

fn resolver_named(text: &str) -> Result<Resolver, String> {
    let upper = text.to_ascii_uppercase();
    if upper.contains("MEM") {
        return Ok(Resolver::Memory);
    }
    if upper.trim().starts_with("URL") {
        return Err("resolver URL is not built yet: no account would be found".to_owned());
    }
    Err(NO_RESOLVER.to_owned())
}

fn preload(reader: &mut Reader<'_>, map: &Map) -> BTreeMap<String, String> {
    let mut tokens = BTreeMap::new();
    for (account, node) in map.iter() {
        match &node.value {
            Value::Text(token) => match decode_account(token) {
                Ok(_) => drop(tokens.insert(account.to_owned(), token.to_string())),
                Err(error) => reader.error(&node.at, format!("invalid account JWT: {error}")),
            },
            _ => reader.error(&node.at, "preload map value should be a string JWT"),
        }
    }
    tokens
}

/// What was written, as it is meant; None: users come in by the configuration.
pub(super) fn resolve(raw: &RawOptions, problems: &mut Vec<Diagnostic>) -> Option<OperatorMode> {
    let operators = raw.operators.clone().unwrap_or_default();
    let trusted_keys = raw.trusted_keys.clone().unwrap_or_default();
    let default_sentinel = raw
        .default_sentinel
        .clone()
        .filter(|token| !token.reveal().is_empty());
    let at = |key: &str| -> Option<Position> { raw.origins.get(key).cloned() };
    if operators.is_empty() {
        let alone = [(
            "default_sentinel",
            default_sentinel.is_some(),
            "default sentinel requires operators and accounts",
        )];
        for (key, is_there, text) in alone {
            if is_there {
                problems.push(Diagnostic::error(at(key), text));
            }
        }
        if trusted_keys.is_empty() {
            return None;
        }
    }
    check_company(raw, problems);
    let resolver = match (&raw.resolver, operators.as_slice()) {
        (Some(resolver), _) => resolver.value.clone(),
        (None, []) => Resolver::Nowhere,
        (None, _) => {
            let text = "operators require an account resolver to be configured";
            problems.push(Diagnostic::error(at("operator"), text));
            return None;
        }
    };
    let preload = raw.resolver_preload.clone().unwrap_or_default();
    let system_account = raw.system_account.as_deref().filter(|name| !name.is_empty());
    let spec = TrustSpec {
        operators: operators.iter().map(|operator| operator.claims.clone()).collect(),
        trusted_keys: trusted_keys.iter().map(|key| key.to_string()).collect(),
        system_account: system_account.map(str::to_owned),
        pinned_accounts: raw
            .resolver_pinned_accounts
            .iter()
            .flatten()
            .map(|account| account.to_string())
            .collect(),
        default_sentinel: default_sentinel.map(|token| Redacted::new(token.reveal().to_string())),
        server_version: crate::PEER_VERSION.to_owned(),
        needs_system_account: false,
    };
    match Trust::new(spec) {
        Ok(trust) => Some(OperatorMode {
            operator_tokens: operators.into_iter().map(|operator| operator.token).collect(),
            trust,
            resolver,
            preload,
        }),
        Err(text) => {
            problems.push(Diagnostic::error(
                at("operator").or_else(|| at("trusted_keys")),
                text,
            ));
            None
        }
    }
}

/// Names what may not stand beside operators: the configuration's own users and accounts.
fn check_company(raw: &RawOptions, problems: &mut Vec<Diagnostic>) {
    let has_accounts = raw.accounts.as_ref().is_some_and(|accounts| !accounts.is_empty());
    let of_accounts = raw
        .accounts
        .iter()
        .flatten()
        .any(|account| !account.users.is_empty());
    let has_users = raw
        .authorization_users
        .as_ref()
        .is_some_and(|users| !users.is_empty())
        || of_accounts;
    let has_no_auth_user = raw.no_auth_user.as_deref().is_some_and(|user| !user.is_empty());
    for (key, is_there, text) in [
        (
            "accounts",
            has_accounts,
            "operators do not allow Accounts to be configured directly",
        ),
        (
            "authorization",
            has_users,
            "operators do not allow users to be configured directly",
        ),
        (
            "no_auth_user",
            has_no_auth_user,
            "no_auth_user not compatible with Trusted Operator",
        ),
    ] {
        if is_there {
            problems.push(Diagnostic::error(raw.origins.get(key).cloned(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::auth::jwt::fixtures::{public, token};
    use crate::config::{load, Diagnostic};

    fn loaded(text: &str) -> Result<Option<OperatorMode>, Vec<Diagnostic>> {
        let read = |_: &Path| Ok(text.as_bytes().to_vec());
        load(Path::new("a.conf"), &read, &|_: &str| None).map(|loaded| loaded.options.operator_mode)
    }

    /// An operator needs a place where its accounts are; its token may name one.
    #[test]
    fn operators_need_a_resolver() {
        let found = loaded(&format!("operator: {}", token("operator plain"))).expect_err("no place");
        assert_eq!(
            found[0].text,
            "operators require an account resolver to be configured"
        );
        assert!(found[0].at.is_some());
        // An account server in the token cannot be asked yet.
        assert!(loaded(&format!("operator: {}", token("operator"))).is_err());
        let two = format!(
            "operator: [ {}, {} ]",
            token("operator plain"),
            token("operator other")
        );
        assert!(loaded(&two).is_err());
        let memory = loaded(&format!("{two}\nresolver: mem"))
            .expect("good")
            .expect("there");
        assert_eq!(memory.operator_tokens.len(), 2);
        assert!(memory.trust.is_trusted(public("O other")));
    }

    /// An operator's token in a file, bare or as tools wrap it.
    #[test]
    fn operators_come_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("operator.jwt");
        let name = file.to_str().expect("a name");
        let token = token("operator");
        for contents in [
            format!("{token}\n"),
            format!("-----BEGIN NATS OPERATOR JWT-----\n{token}\n------END NATS OPERATOR JWT------\n"),
        ] {
            std::fs::write(&file, contents).expect("written");
            let mode = loaded(&format!("operator: \"{name}\"\nresolver: MEMORY"))
                .expect("good")
                .expect("there");
            assert!(mode.trust.is_trusted(public("O")));
        }
        let directory = folder.path().to_str().expect("a name");
        let found = loaded(&format!("operator: \"{directory}\"\nresolver: MEMORY")).expect_err("a folder");
        assert!(
            found[0].text.ends_with("is no file that holds a token"),
            "{}",
            found[0].text
        );
    }

    /// The spellings of a resolver.
    #[test]
    fn resolvers_are_named() {
        for text in ["MEMORY", "mem", "Memory "] {
            assert_eq!(resolver_named(text), Ok(Resolver::Memory), "{text}");
        }
        let url = resolver_named("URL(http://127.0.0.1:1/x)").expect_err("not yet");
        assert!(url.contains("not built yet"), "{url}");
        for text in ["", "URL", "URL()", "URL(x)", "http://127.0.0.1:1/x", "full"] {
            assert!(resolver_named(text).is_err(), "{text}");
        }
    }
}
