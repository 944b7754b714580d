//! The rules the router obeys: which accounts there are, what may cross between them, who gets in and what they may do.
//!
//! Owns: the compiled rules as one immutable snapshot ([`Rules`]), the rules of an account ([`AccountRules`]), compiled
//! permissions, what a connection was granted ([`Grant`]) or why not ([`Denial`]), and the seam by which a shard asks
//! ([`Authenticator`]).
//! Not here: configuration files, JWT, passwords (they compile to these types), obeying (`conn`, `router`), the change
//! from one snapshot to the next (`runtime::apply_rules`).
//!
//! Invariants
//!   a snapshot never changes; what counts across shards hangs on it by an `Arc` and outlives it
//!   an account keeps its number as long as it exists; a number is never given twice

mod account_rules;
mod authenticator;
mod denial;
mod exports;
mod grant;
mod imports;
mod patterns;
mod permissions;
mod routes;
mod snapshot;

pub use account_rules::{AccountCounts, AccountLimits, AccountRules, AccountSpec};
pub use authenticator::{Attempt, Authenticator, Decision, Everyone, Later, Verdict};
pub use denial::{Denial, DenialKind};
pub use exports::{
    Access, Exports, Latency, ResponseType, Sampling, ServiceExport, StreamExport, RESPONSE_THRESHOLD,
};
pub use grant::{ConnectionType, ConnectionTypes, Grant, Identity, UserLimits};
pub use imports::{Imports, ServiceImport, StreamImport};
pub use patterns::{Pattern, PatternSet};
pub use permissions::{AllowDeny, PermissionSpec, Permissions, PermissionsError, ResponsePermission};
pub use routes::{ServiceRoute, StreamRoute, IMPORT_DEPTH_MAX};
pub use snapshot::{Accounts, ImportFault, Rules, RulesError, RulesSpec, GLOBAL_NAME, SYSTEM_NAME};
