//! All rules at one time: what every shard runs until the next version.
//!
//! Owns: the accounts by number and by name, who is the system account, the numbers of accounts over time.
//! Not here: how shards change from one version to the next (`runtime::apply_rules`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account_rules::{AccountCounts, AccountRules, AccountSpec};
use super::authenticator::{Authenticator, Everyone};
use super::imports::{ServiceImport, StreamImport};
use super::routes::{leads_back, ServiceRoute, StreamRoute};
use crate::ids::AccountId;
use crate::subject::transform::TransformError;

/// The name of the account where users without an account live.
pub const GLOBAL_NAME: &str = "$G";
/// The name of the system account where none is configured.
pub const SYSTEM_NAME: &str = "$SYS";

/// Rules as configuration and JWTs describe them.
#[derive(Clone, Debug)]
pub struct RulesSpec {
    /// Every account. `$G` is there though it is not named.
    pub accounts: Vec<AccountSpec>,
    /// The name of the system account; it is there though it is not among `accounts`. `None`: there is none.
    pub system_account: Option<String>,
    /// The cluster's name, for mappings of one cluster; empty: none.
    pub cluster: String,
}

impl Default for RulesSpec {
    fn default() -> RulesSpec {
        RulesSpec {
            accounts: Vec::new(),
            system_account: Some(SYSTEM_NAME.to_owned()),
            cluster: String::new(),
        }
    }
}

/// Why rules cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// Two accounts of one name.
    DuplicateAccount {
        /// The name.
        name: String,
    },
    /// An import that cannot be.
    Import {
        /// The importing account.
        account: String,
        /// `service` or `stream`.
        kind: &'static str,
        /// The exporting account.
        from: String,
        /// The subject there.
        subject: String,
        /// What is wrong.
        fault: ImportFault,
    },
}

/// What is wrong with an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFault {
    /// There is no such account.
    UnknownAccount,
    /// The account exports no such subject, or not to this account.
    NotAuthorized,
    /// Its subjects do not fit each other.
    Subject(TransformError),
    /// It leads back to an account it came through, or through more than [`super::IMPORT_DEPTH_MAX`].
    Cycle,
}

impl std::fmt::Display for RulesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RulesError::DuplicateAccount { name } => write!(f, "Duplicate Account Entry: {name}"),
            RulesError::Import {
                account,
                kind,
                from,
                subject,
                fault,
            } => {
                write!(
                    f,
                    "account {account:?} cannot import {kind} {subject:?} from {from:?}: "
                )?;
                match fault {
                    ImportFault::UnknownAccount => f.write_str("there is no such account"),
                    ImportFault::NotAuthorized => f.write_str("it is not exported to this account"),
                    ImportFault::Subject(error) => error.fmt(f),
                    ImportFault::Cycle => f.write_str("import forms a cycle"),
                }
            }
        }
    }
}

impl std::error::Error for RulesError {}

/// A snapshot of the rules.
pub struct Rules {
    version: u64,
    accounts: BTreeMap<AccountId, Arc<AccountRules>>,
    by_name: BTreeMap<Box<str>, AccountId>,
    system: Option<AccountId>,
    cluster: Box<str>,
    authenticator: Arc<dyn Authenticator>,
    /// The number the next new account gets.
    next_account: AccountId,
}

impl Rules {
    /// The accounts `$G` and `$SYS`, and everybody in `$G`.
    pub fn open() -> Rules {
        let everyone = |_: &Accounts<'_>| Arc::new(Everyone::into_account(AccountId::GLOBAL)) as Arc<_>;
        Self::build(None, RulesSpec::default(), everyone).expect("two accounts with different names")
    }

    /// Compiles rules. Accounts that `previous` has under the same name keep their numbers and counts; `authenticator` is
    /// made once the numbers of all accounts are known.
    ///
    /// # Errors
    /// The first rule that cannot be.
    pub fn build(
        previous: Option<&Rules>,
        spec: RulesSpec,
        authenticator: impl FnOnce(&Accounts<'_>) -> Arc<dyn Authenticator>,
    ) -> Result<Rules, RulesError> {
        let mut next_account =
            previous.map_or(AccountId(AccountId::SYSTEM.0 + 1), |rules| rules.next_account);
        let mut by_name: BTreeMap<Box<str>, AccountId> = BTreeMap::new();
        let mut specs = spec.accounts;
        let implied = [Some(GLOBAL_NAME), spec.system_account.as_deref()];
        for name in implied.into_iter().flatten() {
            if !specs.iter().any(|account| account.name == name) {
                specs.push(AccountSpec {
                    name: name.to_owned(),
                    ..AccountSpec::default()
                });
            }
        }
        let mut number = |name: &str| {
            let known = previous.and_then(|rules| rules.by_name.get(name).copied());
            known.unwrap_or_else(|| match name {
                GLOBAL_NAME => AccountId::GLOBAL,
                SYSTEM_NAME if previous.is_none() => AccountId::SYSTEM,
                _ => {
                    let id = next_account;
                    next_account = AccountId(id.0.checked_add(1).expect("fewer than 4 billion accounts"));
                    id
                }
            })
        };
        let mut accounts = BTreeMap::new();
        for account in specs {
            let id = number(&account.name);
            let name: Box<str> = account.name.into();
            if by_name.insert(name.clone(), id).is_some() {
                return Err(RulesError::DuplicateAccount { name: name.into() });
            }
            let before = previous.and_then(|rules| rules.account(id));
            let counts = before.map_or_else(Arc::<AccountCounts>::default, |rules| Arc::clone(&rules.counts));
            let compiled = AccountRules {
                id,
                name,
                label: account.label.into(),
                limits: account.limits,
                exports: account.exports,
                imports: account.imports,
                service_routes: Box::default(),
                stream_routes: Box::default(),
                mappings: account.mappings,
                default_permissions: account.default_permissions,
                counts,
            };
            accounts.insert(id, compiled);
        }
        let mut routes = BTreeMap::new();
        for (id, importer) in &accounts {
            let named = |name: &str| by_name.get(name).map(|id| &accounts[id]);
            routes.insert(*id, ImportCompiler { importer, named }.routes()?);
        }
        check_cycles(&accounts, &routes)?;
        let accounts = accounts
            .into_iter()
            .map(|(id, mut account)| {
                let compiled = routes.remove(&id).unwrap_or_default();
                (account.service_routes, account.stream_routes) = (compiled.services, compiled.streams);
                (id, Arc::new(account))
            })
            .collect();
        let authenticator = authenticator(&Accounts { by_name: &by_name });
        Ok(Rules {
            version: previous.map_or(1, |rules| rules.version + 1),
            system: spec.system_account.as_deref().map(|name| by_name[name]),
            accounts,
            by_name,
            cluster: spec.cluster.into(),
            authenticator,
            next_account,
        })
    }

    /// Counts snapshots, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The rules of an account.
    pub fn account(&self, id: AccountId) -> Option<&Arc<AccountRules>> {
        self.accounts.get(&id)
    }

    /// The rules of the account of a name.
    pub fn account_named(&self, name: &str) -> Option<&Arc<AccountRules>> {
        self.by_name.get(name).and_then(|id| self.accounts.get(id))
    }

    /// All accounts, by number.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<AccountRules>> {
        self.accounts.values()
    }

    /// The system account.
    pub fn system_account(&self) -> Option<AccountId> {
        self.system
    }

    /// The cluster's name; empty: none.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Who decides who comes in.
    pub fn authenticator(&self) -> &Arc<dyn Authenticator> {
        &self.authenticator
    }
}

/// Compiles the imports of an account.
struct ImportCompiler<'a, F> {
    importer: &'a AccountRules,
    named: F,
}

impl<'a, F: Fn(&str) -> Option<&'a AccountRules>> ImportCompiler<'a, F> {
    fn error(&self, kind: &'static str, from: &str, subject: &str, fault: ImportFault) -> RulesError {
        RulesError::Import {
            account: self.importer.name.to_string(),
            kind,
            from: from.to_owned(),
            subject: subject.to_owned(),
            fault,
        }
    }

    fn service(&self, import: &ServiceImport) -> Result<Arc<ServiceRoute>, RulesError> {
        let error = |fault| self.error("service", &import.account, &import.subject, fault);
        let exporter = (self.named)(&import.account).ok_or_else(|| error(ImportFault::UnknownAccount))?;
        let export = exporter.exports.service(&import.subject);
        if !export.is_some_and(|export| export.access.admits(&self.importer.name, import.is_activated)) {
            return Err(error(ImportFault::NotAuthorized));
        }
        let route = ServiceRoute::compile(import, exporter);
        route
            .map(Arc::new)
            .map_err(|fault| error(ImportFault::Subject(fault)))
    }

    fn stream(&self, import: &StreamImport) -> Result<Arc<StreamRoute>, RulesError> {
        let error = |fault| self.error("stream", &import.account, &import.subject, fault);
        let exporter = (self.named)(&import.account).ok_or_else(|| error(ImportFault::UnknownAccount))?;
        let export = exporter.exports.stream(&import.subject);
        if !export.is_some_and(|export| export.access.admits(&self.importer.name, import.is_activated)) {
            return Err(error(ImportFault::NotAuthorized));
        }
        let route = StreamRoute::compile(import, exporter);
        route
            .map(Arc::new)
            .map_err(|fault| error(ImportFault::Subject(fault)))
    }

    fn routes(&self) -> Result<Routes, RulesError> {
        let imports = &self.importer.imports;
        Ok(Routes {
            services: imports
                .services
                .iter()
                .map(|import| self.service(import))
                .collect::<Result<_, _>>()?,
            streams: imports
                .streams
                .iter()
                .map(|import| self.stream(import))
                .collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Default)]
struct Routes {
    services: Box<[Arc<ServiceRoute>]>,
    streams: Box<[Arc<StreamRoute>]>,
}

/// Refuses imports that lead back to an account they came through.
fn check_cycles(
    accounts: &BTreeMap<AccountId, AccountRules>,
    routes: &BTreeMap<AccountId, Routes>,
) -> Result<(), RulesError> {
    for (id, account) in accounts {
        let own = &routes[id];
        let error = |kind, from: &str, subject: &str| RulesError::Import {
            account: account.name.to_string(),
            kind,
            from: from.to_owned(),
            subject: subject.to_owned(),
            fault: ImportFault::Cycle,
        };
        for (import, route) in account.imports.services.iter().zip(&own.services) {
            if leads_back(*id, route, |id| &*routes[&id].services) {
                return Err(error("service", &import.account, &import.subject));
            }
        }
        for (import, route) in account.imports.streams.iter().zip(&own.streams) {
            if leads_back(*id, route, |id| &*routes[&id].streams) {
                return Err(error("stream", &import.account, &import.subject));
            }
        }
    }
    Ok(())
}

/// The numbers of the accounts of a snapshot in the making.
pub struct Accounts<'a> {
    by_name: &'a BTreeMap<Box<str>, AccountId>,
}

impl Accounts<'_> {
    /// The number of an account.
    pub fn id(&self, name: &str) -> Option<AccountId> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Access, ServiceExport, StreamExport};

    fn account(name: &str) -> AccountSpec {
        AccountSpec {
            name: name.to_owned(),
            ..AccountSpec::default()
        }
    }

    fn service(account: &str, subject: &str, local: &str) -> ServiceImport {
        ServiceImport {
            account: account.to_owned(),
            subject: subject.to_owned(),
            local: local.to_owned(),
            share: false,
            is_activated: false,
        }
    }

    fn stream(account: &str, subject: &str, local: &str) -> StreamImport {
        StreamImport {
            account: account.to_owned(),
            subject: subject.to_owned(),
            local: local.to_owned(),
            is_activated: false,
            allow_trace: false,
        }
    }

    /// An account that exports `service` and `stream` to whom `access` says.
    fn exporter(name: &str, subject: &str, access: &Access) -> AccountSpec {
        let mut spec = account(name);
        spec.exports.services = vec![ServiceExport {
            access: access.clone(),
            ..ServiceExport::public(subject)
        }];
        spec.exports.streams = vec![StreamExport {
            subject: subject.to_owned(),
            access: access.clone(),
        }];
        spec
    }

    fn build(accounts: Vec<AccountSpec>) -> Result<Rules, RulesError> {
        let spec = RulesSpec {
            accounts,
            ..RulesSpec::default()
        };
        Rules::build(None, spec, |_| {
            Arc::new(Everyone::into_account(AccountId::GLOBAL))
        })
    }

    fn fault(accounts: Vec<AccountSpec>) -> Option<ImportFault> {
        match build(accounts) {
            Ok(_) => None,
            Err(RulesError::Import { fault, .. }) => Some(fault),
            Err(error) => panic!("{error}"),
        }
    }

    /// An import must be exported to its account: to all, by its name, or by an activation that was checked.
    #[test]
    fn imports_must_be_exported_to_the_importer() {
        let of = |access: &Access, is_activated| {
            let mut services = account("I");
            services.imports.services = vec![ServiceImport {
                is_activated,
                ..service("E", "s.a", "")
            }];
            let mut streams = account("I");
            streams.imports.streams = vec![StreamImport {
                is_activated,
                ..stream("E", "s.*", "")
            }];
            let exporter = exporter("E", "s.*", access);
            let faults = [services, streams].map(|importer| fault(vec![exporter.clone(), importer]));
            assert_eq!(faults[0], faults[1]);
            faults[0].clone()
        };
        let named = |name: &str| Access::Accounts([name.to_owned()].into());
        assert_eq!(of(&Access::Public, false), None);
        assert_eq!(of(&named("I"), false), None);
        assert_eq!(of(&named("J"), false), Some(ImportFault::NotAuthorized));
        assert_eq!(of(&Access::Activation, true), None);
        assert_eq!(of(&Access::Activation, false), Some(ImportFault::NotAuthorized));
        let mut importer = account("I");
        importer.imports.services = vec![service("E", "s.>", "")];
        let wider = fault(vec![exporter("E", "s.*", &Access::Public), importer.clone()]);
        assert_eq!(wider, Some(ImportFault::NotAuthorized));
        assert_eq!(fault(vec![importer]), Some(ImportFault::UnknownAccount));
    }

    /// A local subject must name the wildcards of the exported one.
    #[test]
    fn subjects_of_an_import_must_fit() {
        for (local, fits) in [
            ("x.*", true),
            ("x.$1", true),
            ("x", false),
            ("x.$2", false),
            ("x.>", false),
            ("x..y", false),
        ] {
            let mut importer = account("I");
            importer.imports.services = vec![service("E", "s.*", local)];
            let fault = fault(vec![exporter("E", "s.*", &Access::Public), importer]);
            let is_subject = matches!(fault, Some(ImportFault::Subject(_)));
            assert_eq!((fault.is_none(), is_subject), (fits, !fits), "{local}: {fault:?}");
        }
    }

    /// Imports that lead back to an account are refused, over any number of accounts; a chain with an end is not.
    #[test]
    fn cycles_are_refused() {
        for length in 1..6 {
            for closes in [true, false] {
                let accounts = |is_service: bool| -> Vec<AccountSpec> {
                    let link = |number: usize| {
                        let mut spec = exporter(&format!("A{number}"), "ring.>", &Access::Public);
                        let next = format!("A{}", (number + 1) % length);
                        let is_end = number + 1 == length && !closes;
                        if is_service && !is_end {
                            spec.imports.services = vec![service(&next, "ring.>", "")];
                        } else if !is_end {
                            spec.imports.streams = vec![stream(&next, "ring.>", "")];
                        }
                        spec
                    };
                    (0..length).map(link).collect()
                };
                let wanted = closes.then_some(ImportFault::Cycle);
                assert_eq!(
                    fault(accounts(true)),
                    wanted,
                    "{length} services, closed: {closes}"
                );
                assert_eq!(
                    fault(accounts(false)),
                    wanted,
                    "{length} streams, closed: {closes}"
                );
            }
        }
    }

    /// Two accounts may import from each other what does not meet.
    #[test]
    fn imports_both_ways_are_no_cycle_where_subjects_differ() {
        let mut one = exporter("A", "a", &Access::Public);
        let mut other = exporter("B", "b", &Access::Public);
        one.imports.services = vec![service("B", "b", "")];
        other.imports.services = vec![service("A", "a", "")];
        assert_eq!(fault(vec![one.clone(), other.clone()]), None);
        // What comes to A as `a` goes on to B.
        one.imports.services = vec![service("B", "b", "a")];
        assert_eq!(fault(vec![one, other]), Some(ImportFault::Cycle));
    }

    /// Numbers and counts stay with the name; a name that comes back is a new account; versions count up.
    #[test]
    fn numbers_are_given_once() {
        let next = |previous: &Rules, names: &[&str]| {
            let spec = RulesSpec {
                accounts: names.iter().map(|name| account(name)).collect(),
                ..RulesSpec::default()
            };
            let open = |_: &Accounts<'_>| {
                Arc::new(Everyone::into_account(AccountId::GLOBAL)) as Arc<dyn Authenticator>
            };
            Rules::build(Some(previous), spec, open).unwrap()
        };
        let id = |rules: &Rules, name: &str| rules.account_named(name).map(|account| account.id);
        let first = Rules::open();
        assert_eq!(id(&first, "$G"), Some(AccountId::GLOBAL));
        assert_eq!(first.system_account(), Some(AccountId::SYSTEM));
        let second = next(&first, &["A", "B"]);
        let third = next(&second, &["B"]);
        let fourth = next(&third, &["A", "B"]);
        assert_eq!(id(&third, "B"), id(&second, "B"));
        assert_eq!(id(&third, "A"), None);
        assert!(id(&fourth, "A") > id(&second, "B"));
        let counts = |rules: &Rules| Arc::clone(&rules.account_named("B").unwrap().counts);
        assert!(Arc::ptr_eq(&counts(&second), &counts(&fourth)));
        assert_eq!(
            [first, second, third, fourth].map(|rules| rules.version()),
            [1, 2, 3, 4]
        );
        assert!(matches!(
            build(vec![account("A"), account("A")]),
            Err(RulesError::DuplicateAccount { .. })
        ));
    }
}
