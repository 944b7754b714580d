//! Activation claims: an exporting account lets another one import a private export.
//!
//! Owns: the claims and their checks. Not here: whether an import is approved (`pinion_shard`'s rules and `account_rules`).

use serde::Deserialize;

use super::claims::{ClaimsData, Section};
use super::error::{DecodeError, Issues};
use super::exports::ExportType;
use super::{nkey, subject_text, TopLevel};

/// What an exporter says to an importer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ActivationClaims {
    /// What all kinds have; the subject is the importing account.
    #[serde(skip)]
    pub data: ClaimsData,
    /// What may be imported. JSON: `subject`.
    #[serde(rename = "subject")]
    pub import_subject: String,
    /// JSON: `kind`, in version 1 `type`.
    #[serde(rename = "kind")]
    pub import_type: Option<ExportType>,
    /// The account, when one of its signing keys signed.
    pub issuer_account: String,
    /// Texts for people.
    pub tags: Vec<String>,
}

/// `nats` of version 1.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Old {
    subject: String,
    r#type: Option<ExportType>,
}

impl ActivationClaims {
    pub(super) fn read(root: Section<'_>, version: i64) -> Result<Self, DecodeError> {
        let nats = root.inner("nats", "nats");
        let data = root.read()?;
        if version == 1 {
            let top: TopLevel = root.read()?;
            let old: Old = nats.read()?;
            return Ok(Self {
                data,
                import_subject: old.subject,
                import_type: old.r#type,
                issuer_account: top.issuer_account,
                tags: top.tags,
            });
        }
        let mut claims: Self = nats.read()?;
        claims.data = data;
        Ok(claims)
    }

    /// The public key of the account that exports.
    pub fn exporter(&self) -> &str {
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
        self.check_content("nats.", &mut issues);
        issues
    }

    /// The same without the clock, for a token within an import.
    pub(super) fn check_content(&self, path: &str, issues: &mut Issues) {
        if self.import_type.is_none() {
            issues.error(format!("{path}kind"), "stream or service is needed here");
        }
        subject_text::check(&self.import_subject, &format!("{path}subject"), issues);
        if !self.issuer_account.is_empty() && !nkey::is_account(&self.issuer_account) {
            issues.error(
                format!("{path}issuer_account"),
                format!("{:?} is not an account's public key", self.issuer_account),
            );
        }
    }
}
