//! User claims: who a user is, whose user, what it may do.
//!
//! Owns: the claims and their checks. Not here: whether a server lets the user in (`admit`).

use serde::Deserialize;

use super::claims::{ClaimsData, Section};
use super::error::{DecodeError, Issues};
use super::permissions::UserPermissionLimits;
use super::{nkey, TopLevel, NO_LIMIT};

/// What an account says of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserClaims {
    /// What all kinds have.
    pub data: ClaimsData,
    /// What the user may do; empty for users of a scoped signing key.
    pub granted: UserPermissionLimits,
    /// The account, when one of its signing keys signed; nothing when its own key did.
    pub issuer_account: String,
    /// Texts for people and templates.
    pub tags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    issuer_account: String,
    tags: Vec<String>,
}

impl UserClaims {
    pub(super) fn read(root: Section<'_>, version: i64) -> Result<Self, DecodeError> {
        let nats = root.inner("nats", "nats");
        let data = root.read()?;
        if version == 1 {
            let top: TopLevel = root.read()?;
            let mut granted = UserPermissionLimits::read(nats, NO_LIMIT)?;
            granted.access.proxy_required = false;
            granted.access.allowed_connection_types = Vec::new();
            return Ok(Self {
                data,
                granted,
                issuer_account: top.issuer_account,
                tags: top.tags,
            });
        }
        let rest: Rest = nats.read()?;
        Ok(Self {
            data,
            granted: UserPermissionLimits::read(nats, 0)?,
            issuer_account: rest.issuer_account,
            tags: rest.tags,
        })
    }

    /// The public key of the account this is a user of.
    pub fn account(&self) -> &str {
        if self.issuer_account.is_empty() {
            &self.data.issuer
        } else {
            &self.issuer_account
        }
    }

    /// What is wrong with these claims, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        let mut issues = Issues::default();
        self.data.check(now_s, &mut issues);
        self.granted.check("nats.", &mut issues);
        if !self.issuer_account.is_empty() && !nkey::is_account(&self.issuer_account) {
            issues.error(
                "nats.issuer_account",
                format!("{:?} is not an account's public key", self.issuer_account),
            );
        }
        issues
    }
}
