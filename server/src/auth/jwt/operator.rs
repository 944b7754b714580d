//! Operator claims: which keys may sign accounts, and what the operator asks of servers.
//!
//! Owns: the claims and their checks. Not here: the rules that many operators and a configuration follow together
//! (`trust`).

use serde::Deserialize;

use super::claims::{ClaimsData, Section};
use super::error::{DecodeError, Issues};
use super::nkey;

/// What an operator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OperatorClaims {
    /// What all kinds have.
    #[serde(skip)]
    pub data: ClaimsData,
    /// Further operator keys that sign for it.
    pub signing_keys: Vec<String>,
    /// Where tools push accounts to.
    pub account_server_url: String,
    /// Where tools find servers.
    pub operator_service_urls: Vec<String>,
    /// The public key of the system account, or nothing.
    pub system_account: String,
    /// The oldest server that may run it, `major.minor.update`; nothing is any.
    pub assert_server_version: String,
    /// The operator's own key signs no accounts.
    pub strict_signing_key_usage: bool,
    /// Texts for people and templates.
    pub tags: Vec<String>,
}

impl OperatorClaims {
    pub(super) fn read(root: Section<'_>, version: i64) -> Result<Self, DecodeError> {
        let nats = root.inner("nats", "nats");
        let mut claims: Self = nats.read()?;
        claims.data = root.read()?;
        if version == 1 {
            claims.assert_server_version = String::new();
            claims.strict_signing_key_usage = false;
            claims.tags = root.read::<super::TopLevel>()?.tags;
        }
        Ok(claims)
    }

    /// What is wrong with these claims, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        let mut issues = Issues::default();
        self.data.check(now_s, &mut issues);
        if !self.account_server_url.is_empty() && scheme(&self.account_server_url).is_none() {
            issues.error("nats.account_server_url", "an URL with its protocol is needed");
        }
        for (index, url) in self.operator_service_urls.iter().enumerate() {
            if !url.is_empty() {
                check_service_url(url, &format!("nats.operator_service_urls[{index}]"), &mut issues);
            }
        }
        for (index, key) in self.signing_keys.iter().enumerate() {
            if !nkey::is_operator(key) {
                issues.error(
                    format!("nats.signing_keys[{index}]"),
                    format!("{key:?} is not an operator's public key"),
                );
            }
        }
        if !self.system_account.is_empty() && !nkey::is_account(&self.system_account) {
            issues.error(
                "nats.system_account",
                format!("{:?} is not an account's public key", self.system_account),
            );
        }
        if let Err(text) = server_version(&self.assert_server_version) {
            issues.error("nats.assert_server_version", text);
        }
        issues
    }
}

/// The protocol of an URL in small letters; None when the text is none.
pub(super) fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let mut letters = scheme.chars();
    let begins = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    let printable = !url.chars().any(|letter| letter.is_ascii_control());
    (begins && goes_on && printable).then(|| scheme.to_ascii_lowercase())
}

fn check_service_url(url: &str, path: &str, issues: &mut Issues) {
    match scheme(url).as_deref() {
        Some("nats" | "tls" | "ws" | "wss") => {}
        _ => issues.error(path, "the protocol must be nats, tls, ws or wss"),
    }
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    if rest.contains('@') {
        issues.error(path, "credentials do not belong here");
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    if rest[..end].contains('/') {
        issues.error(path, "a path does not belong here");
    }
}

/// Reads `major.minor.update`; nothing is zeros. The error is for people.
pub fn server_version(text: &str) -> Result<[i64; 3], String> {
    if text.is_empty() {
        return Ok([0; 3]);
    }
    let wrong = || format!("{text:?} is no server version such as 2.10.0");
    let parts: Vec<&str> = text.split('.').collect();
    let [major, minor, update] = parts[..] else {
        return Err(wrong());
    };
    let mut version = [0; 3];
    for (place, part) in version.iter_mut().zip([major, minor, update]) {
        *place = part
            .parse()
            .ok()
            .filter(|&number: &i64| number >= 0)
            .ok_or_else(wrong)?;
    }
    Ok(version)
}
