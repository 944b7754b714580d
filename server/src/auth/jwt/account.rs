//! Account claims: limits, exports, imports, signing keys, revocations, mappings, default permissions.
//!
//! Owns: the claims and their checks. Not here: exports and imports one by one (`exports`), what the router obeys.
//! Units: limits are counts and bytes; -1 is no limit. Revocations are seconds.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::claims::{ClaimsData, Section};
use super::error::{DecodeError, Issues};
use super::exports::{check_exports, check_imports, Export, Import};
use super::operator::scheme;
use super::permissions::{Permissions, UserPermissionLimits};
use super::{nkey, subject_text, TopLevel, ALL, NO_LIMIT};

/// Longest description or URL for people, in bytes; a longer one forbids the claims.
const INFO_SIZE_MAX: usize = 8 * 1024;

/// What an operator says of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccountClaims {
    /// What all kinds have.
    #[serde(skip)]
    pub data: ClaimsData,
    /// What comes in from other accounts.
    pub imports: Vec<Import>,
    /// What other accounts may import.
    pub exports: Vec<Export>,
    /// What the operator allows.
    #[serde(skip)]
    pub limits: OperatorLimits,
    /// Further keys that sign users, some of them with a scope.
    #[serde(skip)]
    pub signing_keys: BTreeMap<String, Option<UserScope>>,
    /// Users that may come no more: public key (or `*`) to the second up to which their tokens were issued.
    pub revocations: BTreeMap<String, i64>,
    /// For users without permissions of their own.
    pub default_permissions: Permissions,
    /// Subject to its destinations.
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// An authorization service, when it names users.
    pub authorization: ExternalAuthorization,
    /// Where traces of messages with a `traceparent` header go.
    pub trace: Option<MessageTrace>,
    /// `system`, `owner` or nothing.
    pub cluster_traffic: String,
    /// For people.
    pub description: String,
    /// For people.
    pub info_url: String,
    /// Texts for people and templates.
    pub tags: Vec<String>,
}

/// Everything an operator limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorLimits {
    /// What users of the account may do together.
    pub account: AccountLimits,
    /// JetStream without tiers.
    pub jetstream: JetStreamLimits,
    /// JetStream by tier, such as `R1`. JSON: `tiered_limits`.
    pub tiers: BTreeMap<String, JetStreamLimits>,
}

/// Limits of connections, subscriptions, exports and imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Subscriptions.
    pub subs: i64,
    /// Bytes; no server counts them.
    pub data: i64,
    /// Bytes of a message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// Exports may have wildcards.
    pub wildcards: bool,
    /// No bearer tokens.
    pub disallow_bearer: bool,
    /// Client connections.
    pub conn: i64,
    /// Leaf node connections.
    pub leaf: i64,
}

/// Limits of JetStream; 0 bytes of memory and disk is none at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JetStreamLimits {
    /// Bytes in memory of all streams.
    pub mem_storage: i64,
    /// Bytes on disk of all streams.
    pub disk_storage: i64,
    /// Streams.
    pub streams: i64,
    /// Consumers. JSON: `consumer`.
    pub consumer: i64,
    /// Pending acknowledgements of a stream.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory; 0 is no limit.
    pub mem_max_stream_bytes: i64,
    /// Bytes of one stream on disk; 0 is no limit.
    pub disk_max_stream_bytes: i64,
    /// Streams must say `max_bytes`.
    pub max_bytes_required: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tiers {
    tiered_limits: BTreeMap<String, JetStreamLimits>,
}

impl OperatorLimits {
    fn read(limits: Section<'_>, version: i64) -> Result<Self, DecodeError> {
        let account: AccountLimits = limits.read()?;
        if version == 1 {
            return Ok(Self {
                account,
                ..Self::default()
            });
        }
        let tiers = limits.read::<Tiers>()?.tiered_limits;
        // Tiers replace what stands beside them, as the reference library drops it on reading.
        let jetstream = if tiers.is_empty() {
            limits.read()?
        } else {
            JetStreamLimits::default()
        };
        Ok(Self {
            account,
            jetstream,
            tiers,
        })
    }

    /// Whether the account may use JetStream.
    pub fn has_jetstream(&self) -> bool {
        let some = |limits: &JetStreamLimits| limits.mem_storage != 0 || limits.disk_storage != 0;
        if self.tiers.is_empty() {
            some(&self.jetstream)
        } else {
            self.tiers.values().any(some)
        }
    }
}

/// A signing key whose users all get what its template says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserScope {
    /// The signing key.
    pub key: String,
    /// A name for people.
    pub role: String,
    /// What its users may do, with templates in it.
    pub template: UserPermissionLimits,
    /// For people.
    pub description: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeNames {
    kind: String,
    key: String,
    role: String,
    description: String,
}

/// One destination of a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WeightedMapping {
    /// Where messages go.
    pub subject: String,
    /// Percent; 0 means 100.
    pub weight: u8,
    /// Only in this cluster, when not empty.
    pub cluster: String,
}

impl WeightedMapping {
    /// Its share in percent.
    pub fn percent(&self) -> u8 {
        if self.weight == 0 {
            100
        } else {
            self.weight
        }
    }
}

/// A service that decides about users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// Users that are let in without it: the service itself.
    pub auth_users: Vec<String>,
    /// Accounts it may put users into; `*` is all.
    pub allowed_accounts: Vec<String>,
    /// The curve key requests are encrypted for, or nothing.
    pub xkey: String,
}

/// Where traces go and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MessageTrace {
    /// JSON: `dest`.
    #[serde(rename = "dest")]
    pub destination: String,
    /// Percent; 0 means 100.
    pub sampling: i64,
}

impl AccountClaims {
    pub(super) fn read(root: Section<'_>, version: i64) -> Result<Self, DecodeError> {
        let nats = root.inner("nats", "nats");
        let mut claims: Self = nats.read()?;
        claims.data = root.read()?;
        claims.limits = OperatorLimits::read(nats.inner("limits", "nats.limits"), version)?;
        claims.signing_keys = signing_keys(nats, version)?;
        if version == 1 {
            return Ok(Self {
                data: claims.data,
                imports: claims.imports,
                exports: claims.exports,
                limits: claims.limits,
                signing_keys: claims.signing_keys,
                revocations: claims.revocations,
                tags: root.read::<TopLevel>()?.tags,
                ..Self::default()
            });
        }
        Ok(claims)
    }

    /// Whether the account's revocations cover a user's token issued at this second.
    pub fn is_revoked(&self, user: &str, issued_at: i64) -> bool {
        is_revoked(&self.revocations, user, issued_at)
    }

    /// What is wrong with these claims, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        let mut issues = Issues::default();
        self.data.check(now_s, &mut issues);
        check_imports(&self.imports, &self.data.subject, &mut issues);
        check_exports(&self.exports, &mut issues);
        self.check_limits(&mut issues);
        self.default_permissions
            .check("nats.default_permissions.", &mut issues);
        self.check_mappings(&mut issues);
        self.authorization.check(&mut issues);
        self.check_trace(&mut issues);
        for (key, scope) in &self.signing_keys {
            let key = scope.as_ref().map_or(key, |scope| &scope.key);
            if !nkey::is_account(key) {
                issues.error(
                    "nats.signing_keys",
                    format!("{key:?} is not an account's public key"),
                );
            }
        }
        check_info(&self.description, &self.info_url, "nats.", &mut issues);
        if !matches!(self.cluster_traffic.as_str(), "" | "system" | "owner") {
            issues.error(
                "nats.cluster_traffic",
                format!("{:?} is neither system nor owner", self.cluster_traffic),
            );
        }
        if nkey::is_account(&self.data.issuer) && self.limits != OperatorLimits::default() {
            issues.warning("nats.limits", "an account that signs itself limits itself");
        }
        issues
    }

    fn check_limits(&self, issues: &mut Issues) {
        if !self.limits.tiers.is_empty() && self.limits.tiers.contains_key("") {
            issues.error("nats.limits.tiered_limits", "a tier needs a name such as R1");
        }
        let limits = &self.limits.account;
        let more_than =
            |count: usize, limit: i64| limit != NO_LIMIT && i64::try_from(count).unwrap_or(i64::MAX) > limit;
        if more_than(self.imports.len(), limits.imports) {
            issues.error(
                "nats.imports",
                format!(
                    "{} imports, the operator allows {}",
                    self.imports.len(),
                    limits.imports
                ),
            );
        }
        if more_than(self.exports.len(), limits.exports) {
            issues.error(
                "nats.exports",
                format!(
                    "{} exports, the operator allows {}",
                    self.exports.len(),
                    limits.exports
                ),
            );
        }
        if limits.exports == NO_LIMIT || limits.wildcards {
            return;
        }
        for (index, export) in self.exports.iter().enumerate() {
            if subject_text::has_wildcards(&export.subject) {
                issues.error(
                    format!("nats.exports[{index}].subject"),
                    "the operator allows no exports with wildcards",
                );
            }
        }
    }

    fn check_mappings(&self, issues: &mut Issues) {
        for (from, destinations) in &self.mappings {
            let path = format!("nats.mappings[{from}]");
            subject_text::check(from, &path, issues);
            let mut percent_by_cluster: BTreeMap<&str, u32> = BTreeMap::new();
            for (index, destination) in destinations.iter().enumerate() {
                let path = format!("{path}[{index}]");
                subject_text::check(&destination.subject, &format!("{path}.subject"), issues);
                if destination.percent() > 100 {
                    issues.error(format!("{path}.weight"), "more than 100 percent");
                }
                *percent_by_cluster.entry(&destination.cluster).or_default() +=
                    u32::from(destination.percent());
            }
            for (cluster, percent) in percent_by_cluster {
                if percent > 100 {
                    issues.error(
                        path.clone(),
                        format!("weights of cluster {cluster:?} come to {percent} percent"),
                    );
                }
            }
        }
    }

    fn check_trace(&self, issues: &mut Issues) {
        let Some(trace) = &self.trace else { return };
        subject_text::check(&trace.destination, "nats.trace.dest", issues);
        if subject_text::has_wildcards(&trace.destination) {
            issues.error("nats.trace.dest", "traces are published: no wildcards");
        }
        if !(0..=100).contains(&trace.sampling) {
            issues.error("nats.trace.sampling", "1 to 100 percent");
        }
    }
}

impl ExternalAuthorization {
    fn check(&self, issues: &mut Issues) {
        if !self.allowed_accounts.is_empty() && self.auth_users.is_empty() {
            issues.error(
                "nats.authorization.auth_users",
                "allowed_accounts need users that run the service",
            );
        }
        for (index, user) in self.auth_users.iter().enumerate() {
            if !nkey::is_user(user) {
                issues.error(
                    format!("nats.authorization.auth_users[{index}]"),
                    format!("{user:?} is not a user's public key"),
                );
            }
        }
        for (index, account) in self.allowed_accounts.iter().enumerate() {
            let path = format!("nats.authorization.allowed_accounts[{index}]");
            if account == ALL {
                if self.allowed_accounts.len() > 1 {
                    issues.error(path, "`*` stands alone");
                }
            } else if !nkey::is_account(account) {
                issues.error(path, format!("{account:?} is not an account's public key"));
            }
        }
        if !self.xkey.is_empty() && !nkey::is_curve(&self.xkey) {
            issues.error(
                "nats.authorization.xkey",
                format!("{:?} is not a public curve key", self.xkey),
            );
        }
    }
}

/// Whether revocations cover a token about `key` issued at this second: those up to the second itself do.
pub fn is_revoked(revocations: &BTreeMap<String, i64>, key: &str, issued_at: i64) -> bool {
    [ALL, key]
        .into_iter()
        .any(|name| revocations.get(name).is_some_and(|&until| until >= issued_at))
}

/// Notes texts for people that are too long, and URLs that are none.
pub(super) fn check_info(description: &str, info_url: &str, path: &str, issues: &mut Issues) {
    if description.len() > INFO_SIZE_MAX {
        issues.error(
            format!("{path}description"),
            format!("longer than {INFO_SIZE_MAX} bytes"),
        );
    }
    if info_url.is_empty() {
        return;
    }
    if info_url.len() > INFO_SIZE_MAX {
        issues.error(
            format!("{path}info_url"),
            format!("longer than {INFO_SIZE_MAX} bytes"),
        );
    }
    let host = info_url
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']));
    if scheme(info_url).is_none() || !host {
        issues.error(
            format!("{path}info_url"),
            "an URL with protocol and host is needed",
        );
    }
}

/// Reads the list of signing keys: texts, and in version 2 objects with a scope.
fn signing_keys(nats: Section<'_>, version: i64) -> Result<BTreeMap<String, Option<UserScope>>, DecodeError> {
    let mut keys = BTreeMap::new();
    let Some(list) = nats.value().get("signing_keys") else {
        return Ok(keys);
    };
    let Some(list) = list.as_array() else {
        return Err(nats.wrong("nats.signing_keys".to_owned(), "a list is needed here".to_owned()));
    };
    for (index, item) in list.iter().enumerate() {
        let path = format!("nats.signing_keys[{index}]");
        if let Some(key) = item.as_str() {
            keys.insert(key.to_owned(), None);
        } else if item.is_object() && version > 1 {
            let scope = Section::at(item, &path);
            let names: ScopeNames = scope.read()?;
            if names.kind != "user_scope" {
                return Err(nats.wrong(
                    format!("{path}.kind"),
                    format!("{:?} is not a known kind of scope", names.kind),
                ));
            }
            let template_path = format!("{path}.template");
            let template = scope.inner("template", &template_path);
            keys.insert(
                names.key.clone(),
                Some(UserScope {
                    key: names.key,
                    role: names.role,
                    template: UserPermissionLimits::read(template, NO_LIMIT)?,
                    description: names.description,
                }),
            );
        } else if version == 1 {
            return Err(nats.wrong(path, "a key is needed here".to_owned()));
        }
    }
    Ok(keys)
}
