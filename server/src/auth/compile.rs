//! Options become a snapshot of the rules.

use std::sync::Arc;

use pinion_shard::rules::{
    self, AccountSpec, Authenticator, Exports, Imports, Permissions, Rules, RulesError, RulesSpec,
    ServiceExport, ServiceImport, StreamExport, StreamImport, GLOBAL_NAME,
};
use pinion_shard::subject::mapping::Mappings;
use pinion_shard::subject::token_at;

use super::configured::ConfiguredUsers;
use super::secret;
use crate::config::access::{
    self, Access, Account, Credentials, Export, ExportKind, Import, ImportKind, Login, Mapping,
};
use crate::config::{Diagnostic, Position};

/// The rules that the options mean. Accounts that `previous` has keep their numbers.
///
/// # Errors
/// What the accounts cannot be, with the place of the import that cannot be.
pub fn compile(access: &Access, previous: Option<&Rules>) -> Result<Rules, Diagnostic> {
    let spec = rules_spec(access).map_err(|text| Diagnostic::error(None, text))?;
    let permissions = access
        .users
        .iter()
        .map(|user| compile_permissions(user.permissions.as_deref()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|text| Diagnostic::error(None, text))?;
    let authenticator = |numbers: &rules::Accounts<'_>| {
        Arc::new(ConfiguredUsers::new(access, permissions, numbers)) as Arc<dyn Authenticator>
    };
    let built = Rules::build(previous, spec, authenticator);
    built.map_err(|error| Diagnostic::error(place_of(&error, access), error.to_string()))
}

/// Where the import stands that an error is about.
fn place_of(error: &RulesError, access: &Access) -> Option<Position> {
    let RulesError::Import {
        account,
        kind,
        from,
        subject,
        ..
    } = error
    else {
        return None;
    };
    let importer = access.accounts.iter().find(|other| *other.name == **account)?;
    let import = importer.imports.iter().find(|import| {
        let own_kind = match import.kind {
            ImportKind::Service { .. } => "service",
            ImportKind::Stream { .. } => "stream",
        };
        *import.account == **from && *import.subject == **subject && own_kind == *kind
    });
    import.map(|import| import.at.clone())
}

fn rules_spec(access: &Access) -> Result<RulesSpec, String> {
    let mut accounts = Vec::with_capacity(access.accounts.len() + 1);
    for account in &access.accounts {
        accounts.push(account_spec(account, &access.accounts)?);
    }
    if !access.mappings.is_empty() {
        accounts.push(AccountSpec {
            name: GLOBAL_NAME.to_owned(),
            mappings: mappings(&access.mappings)?,
            ..AccountSpec::default()
        });
    }
    Ok(RulesSpec {
        accounts,
        system_account: access.system_account.as_deref().map(str::to_owned),
        cluster: String::new(),
    })
}

/// Whether a password stands in clear in the configuration, which deserves a warning.
pub(super) fn has_plain_passwords(access: &Access) -> bool {
    let is_plain = |password: &str| secret::hash_cost(password).is_none();
    let of_everybody = match &access.login {
        Login::User { password, .. } => !password.reveal().is_empty() && is_plain(password.reveal()),
        Login::None | Login::Token(_) => false,
    };
    of_everybody
        || access.users.iter().any(|user| match &user.credentials {
            Credentials::Password { password, .. } => is_plain(password.reveal()),
            Credentials::Nkey(_) => false,
        })
}

fn compile_permissions(spec: Option<&access::PermissionSpec>) -> Result<Option<Arc<Permissions>>, String> {
    let compiled = spec.map(Permissions::compile).transpose();
    compiled
        .map(|permissions| permissions.map(Arc::new))
        .map_err(|error| error.to_string())
}

fn account_spec(account: &Account, all: &[Account]) -> Result<AccountSpec, String> {
    Ok(AccountSpec {
        name: account.name.to_string(),
        label: String::new(),
        limits: account.limits,
        exports: exports(account),
        imports: imports(account, all),
        mappings: mappings(&account.mappings)?,
        default_permissions: None,
    })
}

fn mappings(written: &[Mapping]) -> Result<Mappings, String> {
    let mut compiled = Mappings::default();
    for mapping in written {
        compiled
            .add(mapping.source.as_bytes(), &mapping.destinations)
            .map_err(|error| format!("Error adding mapping for {:?} : {error}", mapping.source))?;
    }
    Ok(compiled)
}

fn exports(account: &Account) -> Exports {
    let mut exports = Exports::default();
    for export in &account.exports {
        let (subject, access) = (export.subject.to_string(), who_may(export));
        match &export.kind {
            ExportKind::Stream => exports.streams.push(StreamExport { subject, access }),
            ExportKind::Service {
                response,
                threshold,
                latency,
                allow_trace,
            } => exports.services.push(ServiceExport {
                subject,
                access,
                response: *response,
                threshold: *threshold,
                latency: latency.clone(),
                allow_trace: *allow_trace,
            }),
        }
    }
    exports
}

fn who_may(export: &Export) -> rules::Access {
    if export.account_token_position.is_some() {
        return rules::Access::Activation;
    }
    match &export.accounts {
        None => rules::Access::Public,
        Some(names) => rules::Access::Accounts(names.iter().map(|name| name.to_string()).collect()),
    }
}

fn imports(account: &Account, all: &[Account]) -> Imports {
    let mut imports = Imports::default();
    for import in &account.imports {
        let (from, subject) = (import.account.to_string(), import.subject.to_string());
        let is_activated = is_activated(account, import, all);
        match &import.kind {
            ImportKind::Service { to, share } => imports.services.push(ServiceImport {
                account: from,
                subject,
                local: to.to_string(),
                share: *share,
                is_activated,
            }),
            ImportKind::Stream {
                prefix,
                to,
                allow_trace,
            } => imports.streams.push(StreamImport {
                local: match (prefix, to) {
                    (Some(prefix), _) => format!("{}.{subject}", prefix.trim_end_matches('.')),
                    (None, to) => to.as_deref().unwrap_or_default().to_owned(),
                },
                account: from,
                subject,
                is_activated,
                allow_trace: *allow_trace,
            }),
        }
    }
    imports
}

/// Whether the import names its own account where the export wants it.
fn is_activated(account: &Account, import: &Import, all: &[Account]) -> bool {
    let is_service = matches!(import.kind, ImportKind::Service { .. });
    let exporter = all.iter().find(|other| other.name == import.account);
    let mut exports = exporter.iter().flat_map(|exporter| &exporter.exports);
    exports.any(|export| {
        let takes = matches!(export.kind, ExportKind::Service { .. }) == is_service
            && pinion_shard::subject::wildcard::is_subset(
                import.subject.as_bytes(),
                export.subject.as_bytes(),
            );
        let place = export
            .account_token_position
            .and_then(|place| usize::try_from(place).ok());
        takes
            && place.is_some_and(|place| {
                token_at(import.subject.as_bytes(), place - 1) == Some(account.name.as_bytes())
            })
    })
}
