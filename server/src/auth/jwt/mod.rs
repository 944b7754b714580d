//! JSON web tokens: what operators, accounts and users say, signed by nkeys.
//!
//! Owns: reading and checking tokens (`token`, `claims` and a file for each kind), credentials files (`creds`), whom to
//! believe (`trust`), whether a user comes in (`admit`, `template`, `time_window`), the rules of an account
//! (`account_spec`), where tokens of accounts are (`resolver`).
//! Not here: the configuration, connections, obeying the rules. Nothing here asks for the time: every check is given the
//! moment it is about.
//!
//! Two steps, as in the reference library (`github.com/nats-io/jwt`):
//!   decode   three parts, header, signature by the issuer's key, JSON into types    -> `DecodeError`
//!   check    do the claims make sense, are they good at this second                 -> `Issues`
//! Whether the issuer is one to be trusted comes after both.

pub mod account;
pub mod account_spec;
pub mod activation;
pub mod admit;
pub mod authorization;
pub mod claims;
pub mod control;
pub mod creds;
pub mod error;
pub mod exports;
pub mod nkey;
pub mod operator;
pub mod operator_mode;
pub mod permissions;
pub mod resolver;
mod subject_text;
pub mod template;
pub mod time_window;
mod token;
pub mod trust;
pub mod user;

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub use claims::{Claims, ClaimsData, Kind};
pub use error::{DecodeError, Issue, Issues};
pub use token::{
    decode, decode_account, decode_activation, decode_authorization_request, decode_authorization_response,
    decode_generic, decode_operator, decode_user, encode, unverified_expiry, TOKEN_SIZE_MAX,
};

/// A limit of claims that is none.
pub const NO_LIMIT: i64 = -1;
/// In revocations and lists of accounts: all of them.
pub const ALL: &str = "*";

/// What version 1 has at the top and version 2 under `nats`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TopLevel {
    tags: Vec<String>,
    issuer_account: String,
}
