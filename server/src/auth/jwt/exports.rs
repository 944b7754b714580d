//! Exports and imports as account claims hold them.
//!
//! Owns: their JSON and their checks, one by one and among each other.
//! Not here: what they do to messages, whether an export of another account lets an import in.
//! Units: `response_threshold` is nanoseconds; `account_token_position` counts tokens from 1, 0 is none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

use super::account::check_info;
use super::error::Issues;
use super::{decode_activation, subject_text};

/// What an export or import carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportType {
    /// Messages of the exporter.
    Stream,
    /// Requests to the exporter.
    Service,
}

/// How often and where the latency of a service is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServiceLatency {
    /// Percent of requests; 0 means that headers decide.
    #[serde(default, deserialize_with = "sampling")]
    pub sampling: i64,
    /// The subject of the metrics.
    #[serde(default)]
    pub results: String,
}

fn sampling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a count of percent, or \"headers\"")]
    enum Form {
        Percent(i64),
        Word(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Percent(percent) => Ok(percent),
        Form::Word(word) if word.eq_ignore_ascii_case("headers") => Ok(0),
        Form::Word(word) => Err(serde::de::Error::custom(format!(
            "{word:?} is neither a count of percent nor \"headers\""
        ))),
    }
}

/// One export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Export {
    /// A name for people.
    pub name: String,
    /// What is exported.
    pub subject: String,
    /// JSON: `type`.
    #[serde(rename = "type")]
    pub kind: Option<ExportType>,
    /// Importers need an activation token. JSON: `token_req`.
    pub token_req: bool,
    /// Activation tokens that count no more: importing account (or `*`) to the second up to which they were issued.
    pub revocations: BTreeMap<String, i64>,
    /// `Singleton`, `Stream`, `Chunked` or nothing.
    pub response_type: String,
    /// How long a response may take.
    pub response_threshold: i64,
    /// JSON: `service_latency`.
    #[serde(rename = "service_latency")]
    pub latency: Option<ServiceLatency>,
    /// Which token must be the importing account's key.
    pub account_token_position: u64,
    /// For tools.
    pub advertise: bool,
    /// Message traces go on into this account.
    pub allow_trace: bool,
    /// For people.
    pub description: String,
    /// For people.
    pub info_url: String,
}

impl Export {
    fn check(&self, path: &str, issues: &mut Issues) {
        let is_service = self.kind == Some(ExportType::Service);
        match self.kind {
            None => issues.error(format!("{path}.type"), "stream or service is needed here"),
            Some(ExportType::Service) => {
                if !matches!(
                    self.response_type.as_str(),
                    "" | "Singleton" | "Stream" | "Chunked"
                ) {
                    issues.error(
                        format!("{path}.response_type"),
                        format!("{:?} is not Singleton, Stream or Chunked", self.response_type),
                    );
                }
            }
            Some(ExportType::Stream) => {
                if !self.response_type.is_empty() {
                    issues.error(format!("{path}.response_type"), "only a service has one");
                }
                if self.allow_trace {
                    issues.error(
                        format!("{path}.allow_trace"),
                        "only an export of a service has it",
                    );
                }
            }
        }
        if let Some(latency) = &self.latency {
            if !is_service {
                issues.error(format!("{path}.service_latency"), "only a service has one");
            }
            if !(0..=100).contains(&latency.sampling) {
                issues.error(
                    format!("{path}.service_latency.sampling"),
                    "1 to 100 percent, or headers",
                );
            }
            let results = format!("{path}.service_latency.results");
            subject_text::check(&latency.results, &results, issues);
            if subject_text::has_wildcards(&latency.results) {
                issues.error(results, "metrics are published: no wildcards");
            }
        }
        if self.response_threshold < 0 {
            issues.error(format!("{path}.response_threshold"), "a time below zero");
        }
        if self.response_threshold > 0 && !is_service {
            issues.error(format!("{path}.response_threshold"), "only a service has one");
        }
        subject_text::check(&self.subject, &format!("{path}.subject"), issues);
        self.check_token_position(path, issues);
        check_info(&self.description, &self.info_url, &format!("{path}."), issues);
    }

    fn check_token_position(&self, path: &str, issues: &mut Issues) {
        let Some(index) = self.account_token_position.checked_sub(1) else {
            return;
        };
        let token = usize::try_from(index)
            .ok()
            .and_then(|index| self.subject.split('.').nth(index));
        if token != Some("*") {
            issues.error(
                format!("{path}.account_token_position"),
                format!(
                    "token {} of {:?} must be a `*`",
                    self.account_token_position, self.subject
                ),
            );
        }
    }
}

/// Notes what is wrong with exports: each alone, and one within another.
pub(super) fn check_exports(exports: &[Export], issues: &mut Issues) {
    for (index, export) in exports.iter().enumerate() {
        let path = format!("nats.exports[{index}]");
        export.check(&path, issues);
        let is_service = |export: &Export| export.kind == Some(ExportType::Service);
        for (at, other) in exports.iter().enumerate() {
            if at != index
                && is_service(export) == is_service(other)
                && subject_text::is_contained_in(&export.subject, &other.subject)
            {
                issues.error(
                    format!("{path}.subject"),
                    format!("{:?} is exported by nats.exports[{at}] already", export.subject),
                );
                break;
            }
        }
    }
}

/// One import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Import {
    /// A name for people.
    pub name: String,
    /// As the first publisher sees it: the exporter's for a stream, with `to` the importer's for a service.
    pub subject: String,
    /// The exporting account.
    pub account: String,
    /// An activation token, or nothing.
    pub token: String,
    /// Old form of `local_subject`.
    pub to: String,
    /// The subject in the importing account, with `$1` for wildcards of `subject`.
    pub local_subject: String,
    /// JSON: `type`.
    #[serde(rename = "type")]
    pub kind: Option<ExportType>,
    /// Tell the service who asks.
    pub share: bool,
    /// Message traces go on into this account.
    pub allow_trace: bool,
}

impl Import {
    /// The subject of a service as its importer's users call it.
    fn local_service_subject(&self) -> String {
        if !self.to.is_empty() {
            self.to.clone()
        } else if !self.local_subject.is_empty() {
            subject_text::renaming_as_pattern(&self.local_subject)
        } else {
            self.subject.clone()
        }
    }

    fn check(&self, path: &str, importer: &str, issues: &mut Issues) {
        let is_service = self.kind == Some(ExportType::Service);
        if self.kind.is_none() {
            issues.error(format!("{path}.type"), "stream or service is needed here");
        }
        if is_service && self.allow_trace {
            issues.error(format!("{path}.allow_trace"), "only an import of a stream has it");
        }
        if self.account.is_empty() {
            issues.error(format!("{path}.account"), "the exporting account is needed here");
        }
        if !self.to.is_empty() {
            issues.warning(format!("{path}.to"), "is old: use local_subject");
        }
        subject_text::check(&self.subject, &format!("{path}.subject"), issues);
        if !self.local_subject.is_empty() {
            let local = format!("{path}.local_subject");
            subject_text::check_renaming(&self.local_subject, &self.subject, &local, issues);
            if !self.to.is_empty() {
                issues.error(local, "stands beside to, which it replaces");
            }
        }
        if self.share && !is_service {
            issues.error(format!("{path}.share"), "only a service has it");
        }
        if !self.token.is_empty() {
            self.check_token(path, importer, issues);
        }
    }

    fn check_token(&self, path: &str, importer: &str, issues: &mut Issues) {
        let path = format!("{path}.token");
        let activation = match decode_activation(&self.token) {
            Ok(activation) => activation,
            Err(error) => return issues.error(path, error.to_string()),
        };
        if activation.data.issuer != self.account && activation.issuer_account != self.account {
            issues.error(
                format!("{path}.iss"),
                format!(
                    "signed for {}, not for the exporter {}",
                    activation.exporter(),
                    self.account
                ),
            );
        }
        if activation.data.subject != importer {
            issues.error(
                format!("{path}.sub"),
                format!("is for account {:?}, not for this one", activation.data.subject),
            );
        }
        if activation.import_type != self.kind {
            issues.error(format!("{path}.nats.kind"), "is another kind than the import");
        }
        activation.check_content(&format!("{path}.nats."), issues);
        let subject = if self.kind == Some(ExportType::Service) && !self.to.is_empty() {
            &self.to
        } else {
            &self.subject
        };
        if !subject_text::is_contained_in(subject, &activation.import_subject) {
            issues.error(
                format!("{path}.nats.subject"),
                format!("{:?} does not cover {subject:?}", activation.import_subject),
            );
        }
    }
}

/// Notes what is wrong with imports: each alone, and services of one account that overlap.
pub(super) fn check_imports(imports: &[Import], importer: &str, issues: &mut Issues) {
    let mut services: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (index, import) in imports.iter().enumerate() {
        let path = format!("nats.imports[{index}]");
        if import.kind == Some(ExportType::Service) {
            let local = import.local_service_subject();
            let others = services.entry(&import.account).or_default();
            for other in others.iter() {
                if subject_text::is_contained_in(&local, other)
                    || subject_text::is_contained_in(other, &local)
                {
                    issues.error(
                        format!("{path}.subject"),
                        format!("{local:?} overlaps {other:?} of the same account"),
                    );
                }
            }
            others.insert(local);
        }
        import.check(&path, importer, issues);
    }
}
