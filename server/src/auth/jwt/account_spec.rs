//! Account claims become the rules that shards obey.
//!
//! Owns: limits, exports, imports with their authorization by activation token or token position, mappings, default
//! permissions. Not here: finding the claims (`resolver`), users (`admit`).
//! What of an account cannot be is left out and named, as the peer does; the rest of the account works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::rules::{
    Access, AccountLimits, AccountSpec, AllowDeny, Exports, Imports, Latency, PermissionSpec, Permissions,
    PermissionsError, ResponsePermission, ResponseType, Sampling, ServiceExport, ServiceImport, StreamExport,
    StreamImport,
};
use pinion_shard::subject::is_valid;
use pinion_shard::subject::mapping::{Destination, Mappings};
use pinion_shard::subject::wildcard::is_subset;

use super::account::{is_revoked, AccountClaims};
use super::exports::{Export, ExportType, Import};
use super::trust::Trust;
use super::{decode_activation, permissions, NO_LIMIT};

/// The rules of an account, and what of its claims is not in them.
#[derive(Debug)]
pub struct Compiled {
    /// The rules.
    pub spec: AccountSpec,
    /// What was left out, each with its place in the claims and the reason.
    pub left_out: Vec<String>,
    /// When the next activation token that was used expires: seconds, the rules must be made anew then.
    pub good_until_s: Option<i64>,
}

/// Compiles an account. `exporter` gives the claims of another account that may be used.
pub fn compile<'a>(
    claims: &AccountClaims,
    trust: &Trust,
    now_s: i64,
    exporter: impl Fn(&str) -> Option<&'a AccountClaims>,
) -> Compiled {
    let mut left_out = Vec::new();
    let mut good_until_s: Option<i64> = None;
    let mut imports = Imports::default();
    for (index, import) in claims.imports.iter().enumerate() {
        let path = format!("nats.imports[{index}]");
        let Some(exporter) = exporter(&import.account) else {
            left_out.push(format!(
                "{path}.account: account {} cannot be had",
                import.account
            ));
            continue;
        };
        match authorize(import, &claims.data.subject, exporter, trust, now_s) {
            Ok(authorized) => {
                good_until_s = [good_until_s, authorized.until_s].into_iter().flatten().min();
                add_import(import, authorized.is_activated, &mut imports);
            }
            Err(reason) => left_out.push(format!("{path}: {reason}")),
        }
    }
    let mappings = mappings(claims, &mut left_out);
    let default_permissions = match compile_permissions(&claims.default_permissions) {
        Ok(permissions) => permissions,
        Err(error) => {
            left_out.push(format!(
                "nats.default_permissions: {error}: nothing is allowed by default"
            ));
            Some(nothing())
        }
    };
    let limits = &claims.limits.account;
    Compiled {
        spec: AccountSpec {
            name: claims.data.subject.clone(),
            label: claims.data.name.clone(),
            limits: AccountLimits {
                connections: limit(limits.conn),
                leaf_nodes: limit(limits.leaf),
                subscriptions: limit(limits.subs),
                payload_size: limit(limits.payload),
            },
            exports: exports(claims, &mut left_out),
            imports,
            mappings,
            default_permissions,
        },
        left_out,
        good_until_s,
    }
}

/// A limit of claims; -1 is none, what is below that is nothing at all.
pub(super) fn limit<T: TryFrom<i64> + Bounded>(limit: i64) -> Option<T> {
    (limit != NO_LIMIT).then(|| T::try_from(limit.max(0)).unwrap_or(T::MOST))
}

/// The largest number of a type.
pub(super) trait Bounded {
    const MOST: Self;
}

impl Bounded for u64 {
    const MOST: Self = u64::MAX;
}

impl Bounded for usize {
    const MOST: Self = usize::MAX;
}

impl Bounded for i32 {
    const MOST: Self = i32::MAX;
}

/// Permissions of claims as the shard's. None: everything is allowed.
///
/// # Errors
/// An entry of a deny list that is no subject for the router. Of an allow list it is left out: less is allowed.
pub(super) fn compile_permissions(
    claims: &permissions::Permissions,
) -> Result<Option<Arc<Permissions>>, PermissionsError> {
    let both = |permission: &permissions::Permission, is_entry: fn(&str) -> bool| {
        let allow = permission.allow.as_ref();
        let is_said = allow.is_some_and(|list| !list.is_empty()) || !permission.deny.is_empty();
        is_said.then(|| AllowDeny {
            allow: allow.map(|list| list.iter().filter(|entry| is_entry(entry)).cloned().collect()),
            deny: permission.deny.clone(),
        })
    };
    let mut subscribe = both(&claims.subscribe, is_subscription);
    let said_nothing_is_left = |list: &AllowDeny| {
        let written = claims
            .subscribe
            .allow
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        written && list.allow.as_ref().is_some_and(Vec::is_empty)
    };
    // An empty allow list of subscriptions would allow all.
    if let Some(list) = subscribe.as_mut().filter(|list| said_nothing_is_left(list)) {
        list.deny.push(">".to_owned());
    }
    let spec = PermissionSpec {
        publish: both(&claims.publish, |entry| is_valid(entry.as_bytes())),
        subscribe,
        responses: claims.response.map(response_permission),
    };
    if spec == PermissionSpec::default() {
        return Ok(None);
    }
    Permissions::compile(&spec).map(|permissions| Some(Arc::new(permissions)))
}

fn is_subscription(entry: &str) -> bool {
    let mut words = entry.split_whitespace();
    let (subject, _, rest) = (words.next(), words.next(), words.next());
    subject.is_some_and(|subject| is_valid(subject.as_bytes())) && rest.is_none()
}

/// 0 is the server's default, below 0 no bound.
fn response_permission(claims: permissions::ResponsePermission) -> ResponsePermission {
    let default = ResponsePermission::default();
    ResponsePermission {
        messages_max: match claims.max {
            0 => default.messages_max,
            max => u64::try_from(max).ok(),
        },
        expires: match claims.ttl {
            0 => default.expires,
            ttl => u64::try_from(ttl).ok().map(Duration::from_nanos),
        },
    }
}

/// Permissions that allow nothing.
fn nothing() -> Arc<Permissions> {
    let none = AllowDeny {
        allow: None,
        deny: vec![">".to_owned()],
    };
    let spec = PermissionSpec {
        publish: Some(none.clone()),
        subscribe: Some(none),
        responses: None,
    };
    Arc::new(Permissions::compile(&spec).expect("> is a subject"))
}

fn exports(claims: &AccountClaims, left_out: &mut Vec<String>) -> Exports {
    let mut exports = Exports::default();
    for (index, export) in claims.exports.iter().enumerate() {
        if !is_valid(export.subject.as_bytes()) {
            left_out.push(format!(
                "nats.exports[{index}].subject: {:?} is no subject",
                export.subject
            ));
            continue;
        }
        let access = if export.token_req || export.account_token_position > 0 {
            Access::Activation
        } else {
            Access::Public
        };
        match export.kind {
            Some(ExportType::Stream) => exports.streams.push(StreamExport {
                subject: export.subject.clone(),
                access,
            }),
            Some(ExportType::Service) => exports.services.push(service_export(export, access)),
            None => unreachable!("claims without a type of export are blocked"),
        }
    }
    exports
}

fn service_export(export: &Export, access: Access) -> ServiceExport {
    ServiceExport {
        subject: export.subject.clone(),
        access,
        response: match export.response_type.as_str() {
            "Stream" => ResponseType::Stream,
            "Chunked" => ResponseType::Chunked,
            _ => ResponseType::Singleton,
        },
        threshold: u64::try_from(export.response_threshold)
            .ok()
            .filter(|&threshold| threshold > 0)
            .map(Duration::from_nanos),
        latency: export.latency.as_ref().map(|latency| Latency {
            sampling: match u8::try_from(latency.sampling) {
                Ok(percent) if percent > 0 => Sampling::Percent(percent),
                _ => Sampling::Headers,
            },
            subject: latency.results.clone(),
        }),
        allow_trace: export.allow_trace,
    }
}

fn add_import(import: &Import, is_activated: bool, imports: &mut Imports) {
    let (subject, local) = subjects(import);
    match import.kind {
        Some(ExportType::Service) => imports.services.push(ServiceImport {
            account: import.account.clone(),
            subject,
            local,
            share: import.share,
            is_activated,
        }),
        Some(ExportType::Stream) => imports.streams.push(StreamImport {
            account: import.account.clone(),
            subject,
            local,
            is_activated,
            allow_trace: import.allow_trace,
        }),
        None => unreachable!("claims without a type of import are blocked"),
    }
}

/// The subject at the exporter and the one here. The old `to` is a prefix for a stream; for a service it is the
/// exporter's subject.
fn subjects(import: &Import) -> (String, String) {
    if !import.local_subject.is_empty() || import.to.is_empty() {
        return (import.subject.clone(), import.local_subject.clone());
    }
    match import.kind {
        Some(ExportType::Service) => (import.to.clone(), import.subject.clone()),
        _ => {
            let prefix = import.to.trim_end_matches('.');
            (import.subject.clone(), format!("{prefix}.{}", import.subject))
        }
    }
}

/// What lets an import in.
struct Authorized {
    is_activated: bool,
    /// The second its token expires.
    until_s: Option<i64>,
}

/// Whether the exporter lets an import in; the error says why not.
fn authorize(
    import: &Import,
    importer: &str,
    exporter: &AccountClaims,
    trust: &Trust,
    now_s: i64,
) -> Result<Authorized, String> {
    let (subject, _) = subjects(import);
    let export = covering_export(exporter, import.kind, &subject)
        .ok_or_else(|| format!("account {} exports no {subject:?}", import.account))?;
    if let Some(index) = export.account_token_position.checked_sub(1) {
        let token = usize::try_from(index)
            .ok()
            .and_then(|index| subject.split('.').nth(index));
        return if token == Some(importer) {
            Ok(Authorized {
                is_activated: true,
                until_s: None,
            })
        } else {
            let place = export.account_token_position;
            Err(format!("token {place} of {subject:?} is not this account's key"))
        };
    }
    if !export.token_req {
        return Ok(Authorized {
            is_activated: false,
            until_s: None,
        });
    }
    let until_s = check_activation(import, importer, exporter, export, trust, now_s)?;
    Ok(Authorized {
        is_activated: true,
        until_s,
    })
}

/// The export of the same text, else the first whose pattern takes the subject.
fn covering_export<'a>(
    exporter: &'a AccountClaims,
    kind: Option<ExportType>,
    subject: &str,
) -> Option<&'a Export> {
    let of_kind = || exporter.exports.iter().filter(|export| export.kind == kind);
    of_kind()
        .find(|export| export.subject == subject)
        .or_else(|| of_kind().find(|export| is_subset(subject.as_bytes(), export.subject.as_bytes())))
}

/// Checks the activation token of an import; gives the second it expires.
fn check_activation(
    import: &Import,
    importer: &str,
    exporter: &AccountClaims,
    export: &Export,
    trust: &Trust,
    now_s: i64,
) -> Result<Option<i64>, String> {
    if import.token.is_empty() {
        return Err("an activation token is needed and there is none".to_owned());
    }
    let activation = decode_activation(&import.token).map_err(|error| format!("token: {error}"))?;
    if activation.data.subject != importer {
        return Err(format!("token: is for account {}", activation.data.subject));
    }
    if let Some(issue) = activation.check(now_s).blocking(true) {
        return Err(format!("token: {issue}"));
    }
    let expires = Some(activation.data.expires).filter(|&expires| expires != 0);
    if expires.is_some_and(|expires| expires <= now_s) {
        return Err(format!("token: exp: expired, it is {now_s}"));
    }
    if activation.exporter() != exporter.data.subject {
        return Err(format!("token: signed for account {}", activation.exporter()));
    }
    if !activation.issuer_account.is_empty() && !may_sign(exporter, &activation.data.issuer, trust) {
        return Err(format!(
            "token: iss: {} is not a signing key of the exporter",
            activation.data.issuer
        ));
    }
    if is_revoked(
        &export.revocations,
        &activation.data.subject,
        activation.data.issued_at,
    ) {
        return Err("token: revoked by the exporter".to_owned());
    }
    Ok(expires)
}

/// Whether a key signs users and activations of an account.
pub(super) fn may_sign(account: &AccountClaims, key: &str, trust: &Trust) -> bool {
    account.signing_keys.contains_key(key)
        || (key == account.data.subject && !trust.is_strict(&account.data.issuer))
}

fn mappings(claims: &AccountClaims, left_out: &mut Vec<String>) -> Mappings {
    let mut mappings = Mappings::default();
    for (from, to) in &claims.mappings {
        let destinations: Vec<Destination> = to
            .iter()
            .map(|destination| Destination {
                subject: destination.subject.clone().into_bytes(),
                weight: destination.percent(),
                cluster: destination.cluster.clone().into_bytes(),
            })
            .collect();
        if let Err(error) = mappings.add(from.as_bytes(), &destinations) {
            left_out.push(format!("nats.mappings[{from}]: {error}"));
        }
    }
    mappings
}

/// Compiles many accounts that may import from each other, as for a snapshot of the rules.
pub fn compile_all(
    accounts: &BTreeMap<String, Arc<AccountClaims>>,
    trust: &Trust,
    now_s: i64,
) -> Vec<Compiled> {
    accounts
        .values()
        .map(|claims| compile(claims, trust, now_s, |name| accounts.get(name).map(Arc::as_ref)))
        .collect()
}
