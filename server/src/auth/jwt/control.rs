//! Which accounts are in use in operator mode, and the rules that follow.
//!
//! Owns: the tokens of the accounts in use, bringing one into use with those it imports from, taking a newer token,
//! making rules of them all, and when they must be made anew because a token ends.
//! Not here: putting rules in force (`pinion_shard`), the thread this runs on. One owner; it may block.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pinion_shard::io::WallTime;
use pinion_shard::rules::{Accounts, Authenticator, Denial, DenialKind, Rules, RulesError, RulesSpec};
use sha2::{Digest, Sha256};

use super::account::AccountClaims;
use super::account_spec::{compile, Compiled};
use super::admit::{seconds, KnownAccount};
use super::decode_account;
use super::operator_mode::{Finder, OperatorMode};
use super::resolver::{FetchError, Source};
use super::trust::Trust;

/// Why an account is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// Its token cannot be had.
    Fetch(FetchError),
    /// Its token cannot be read, is about another account, not signed by a trusted operator, or makes no sense.
    BadToken(String),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::BadToken(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for AccountError {}

impl AccountError {
    /// The reason for a user of the account `name`.
    pub fn denial(&self, name: &str) -> Denial {
        let text = format!("account {name}: {self}");
        Denial::new(DenialKind::UnknownAccount, text)
    }
}

/// An account in use.
#[derive(Clone, Debug)]
struct Used {
    claims: Arc<AccountClaims>,
    digest: [u8; 32],
}

/// The accounts in use.
#[derive(Debug)]
pub struct Control {
    trust: Arc<Trust>,
    source: Source,
    used: BTreeMap<String, Used>,
    /// When the rules must be made anew, in seconds.
    good_until_s: Option<i64>,
}

impl Control {
    /// None in use yet.
    pub fn new(trust: Trust, source: Source) -> Self {
        Self {
            trust: Arc::new(trust),
            source,
            used: BTreeMap::new(),
            good_until_s: None,
        }
    }

    /// Whom this server believes.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Whether an account is in use.
    pub fn is_used(&self, account: &str) -> bool {
        self.used.contains_key(account)
    }

    /// Brings an account into use, and those it imports from as far as they can be had; `false`: it was in use. Blocks.
    ///
    /// # Errors
    /// It cannot be used; nothing changed.
    pub fn find(&mut self, account: &str) -> Result<bool, AccountError> {
        if self.is_used(account) {
            return Ok(false);
        }
        let token = self.source.fetch(account).map_err(AccountError::Fetch)?;
        self.take(account, &token)
    }

    /// Uses this token for an account from now on; `false`: it did before. Blocks, for the accounts it imports from.
    ///
    /// # Errors
    /// It cannot be used; nothing changed.
    pub fn take(&mut self, account: &str, token: &str) -> Result<bool, AccountError> {
        let digest = Sha256::digest(token.as_bytes()).into();
        if self.used.get(account).is_some_and(|used| used.digest == digest) {
            return Ok(false);
        }
        let claims = Arc::new(self.verify(account, token)?);
        let exporters: Vec<String> = claims
            .imports
            .iter()
            .map(|import| import.account.clone())
            .collect();
        self.used.insert(account.to_owned(), Used { claims, digest });
        for exporter in exporters {
            // What cannot be had is named when the rules are made.
            self.find(&exporter).ok();
        }
        Ok(true)
    }

    /// A token's claims, if a trusted operator signed it for this account and they make sense. The clock is asked at each
    /// connect.
    fn verify(&self, account: &str, token: &str) -> Result<AccountClaims, AccountError> {
        let bad = |text: String| AccountError::BadToken(text);
        let claims = decode_account(token).map_err(|error| bad(format!("account token: {error}")))?;
        if claims.data.subject != account {
            return Err(bad(format!(
                "account token: sub: is about {}",
                claims.data.subject
            )));
        }
        if !self.trust.is_trusted(&claims.data.issuer) {
            return Err(bad(format!(
                "account token: iss: {} is no trusted operator",
                claims.data.issuer
            )));
        }
        match claims.check(0).blocking(false) {
            Some(issue) => Err(bad(format!("account token: {issue}"))),
            None => Ok(claims),
        }
    }

    /// Takes accounts out of use.
    pub fn drop_accounts(&mut self, accounts: &[String]) {
        for account in accounts {
            self.used.remove(account);
        }
    }

    /// When the rules must be made anew, because a token ends.
    pub fn good_until(&self) -> Option<WallTime> {
        let until_s = u64::try_from(self.good_until_s?).ok()?;
        Some(WallTime(until_s.saturating_mul(1_000_000_000)))
    }

    /// The rules of the accounts in use, and what of their claims is not in them.
    ///
    /// # Errors
    /// They cannot be together.
    pub fn rules(
        &mut self,
        previous: Option<&Rules>,
        finder: Option<Arc<dyn Finder>>,
        cluster: &str,
        now: WallTime,
    ) -> Result<(Rules, Vec<String>), RulesError> {
        let now_s = seconds(now);
        let mut left_out = Vec::new();
        let mut ends = Vec::new();
        let mut specs = Vec::with_capacity(self.used.len());
        let mut known = BTreeMap::new();
        for (name, used) in &self.used {
            let exporter = |name: &str| self.used.get(name).map(|used| &*used.claims);
            let Compiled {
                spec,
                left_out: without,
                good_until_s,
            } = compile(&used.claims, &self.trust, now_s, exporter);
            left_out.extend(without.into_iter().map(|text| format!("account {name}: {text}")));
            ends.extend(good_until_s);
            ends.push(used.claims.data.expires);
            known.insert(name.clone(), (used.clone(), spec.default_permissions.clone()));
            specs.push(spec);
        }
        self.good_until_s = ends.into_iter().filter(|&end| end > now_s).min();
        let spec = RulesSpec {
            accounts: specs,
            system_account: self.trust.system_account.clone(),
            cluster: cluster.to_owned(),
        };
        let trust = Arc::clone(&self.trust);
        let authenticator = |numbers: &Accounts<'_>| {
            let accounts = known
                .into_iter()
                .map(|(name, (used, default_permissions))| {
                    let account = KnownAccount {
                        id: numbers
                            .id(&name)
                            .expect("every account of the specification has a number"),
                        claims: used.claims,
                        default_permissions,
                        digest: used.digest,
                    };
                    (name, account)
                })
                .collect();
            Arc::new(OperatorMode::new(trust, accounts, finder)) as Arc<dyn Authenticator>
        };
        Rules::build(previous, spec, authenticator).map(|rules| (rules, left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwt::decode_operator;
    use crate::auth::jwt::fixtures::{public, token};
    use crate::auth::jwt::trust::TrustSpec;

    /// 2026-01-01T10:00:00Z.
    const NOW: WallTime = WallTime(1_767_261_600_000_000_000);

    fn control(tokens: &[(&str, &str)]) -> Control {
        let trust = Trust::new(TrustSpec {
            operators: vec![decode_operator(&token("operator")).expect("good")],
            server_version: crate::PEER_VERSION.to_owned(),
            ..TrustSpec::default()
        });
        let tokens = tokens
            .iter()
            .map(|(key, name)| (public(key).to_owned(), token(name)))
            .collect();
        Control::new(trust.expect("good"), Source::Memory(tokens))
    }

    /// An account comes into use with those it imports from, once; its rules end when the token of an import does.
    /// Covers: TestJWTAccountBasicImportExport
    #[test]
    fn an_account_brings_its_exporters() {
        let mut control = control(&[("A", "account A"), ("A importer", "account importer")]);
        assert_eq!(control.find(public("A importer")), Ok(true));
        assert!(control.is_used(public("A")));
        assert_eq!(control.find(public("A")), Ok(false));
        let (rules, left_out) = control.rules(None, None, "", NOW).expect("they can be");
        assert_eq!(left_out, [""; 0]);
        assert_eq!(control.good_until(), Some(WallTime(4_102_444_800_000_000_000)));
        let importer = rules.account_named(public("A importer")).expect("there");
        assert_eq!(importer.imports.services.len(), 2);
        assert_eq!(importer.imports.streams.len(), 2);
        assert!(rules.account_named(public("A")).is_some());
        let newer = control.take(public("A importer"), &token("account importer without a token"));
        assert_eq!(newer, Ok(true));
        let (newer, left_out) = control.rules(Some(&rules), None, "", NOW).expect("they can be");
        assert_eq!(left_out.len(), 1);
        let again = newer.account_named(public("A importer")).expect("there");
        assert_eq!(again.id, importer.id);
        assert!(again.imports.streams.is_empty());
    }

    /// What is not there, or not to be believed, does not come into use.
    /// Covers: TestJWTAccountURLResolverReturnDifferentOperator
    #[test]
    fn accounts_are_refused() {
        let mut control = control(&[
            ("A other", "account by another operator"),
            ("A self", "account by itself"),
            ("A", "account with limits"),
            ("A limits", "account with too many exports"),
            ("A trace", "damaged: cut within the claims"),
        ]);
        for (key, expected) in [
            ("A other", "is no trusted operator"),
            ("A self", "is no trusted operator"),
            ("A", "is about"),
            ("A limits", "the operator allows 1"),
            ("A trace", "three parts"),
            ("A absent", "has no token of it"),
        ] {
            let error = control.find(public(key)).expect_err(key);
            assert!(error.to_string().contains(expected), "{key}: {error}");
            assert!(!control.is_used(public(key)));
            assert_eq!(error.denial("x").kind, DenialKind::UnknownAccount);
        }
    }
}
