//! Where a server in operator mode finds the tokens of accounts.
//!
//! Owns: the places (`Source`): memory, an HTTP server (`url`), a directory (`directory`); the requests by which tools
//! look at and change them (`requests`).
//! Not here: whether a token that was found is to be believed (`trust`, `account`), which accounts are in use.
//!
//! Everything here blocks: it runs on threads that are no shard.

mod directory;
mod requests;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use directory::{Deletes, Directory, DirectorySpec, StoreError, CACHE_LIMIT};
pub use requests::{
    AccountSubject, Answer, ClaimsRequest, ClaimsService, Outcome, UpdateError, UpdateStatus,
};
pub use url::UrlSource;

use super::nkey;

/// Why a token was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The name is not an account's public key.
    NotAnAccount,
    /// There is none.
    Missing,
    /// The place did not answer, or not with a token.
    Failed(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAccount => f.write_str("not an account's public key"),
            Self::Missing => f.write_str("the resolver has no token of it"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FetchError {}

/// A place that tokens come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Those of the configuration. Config: `MEMORY`.
    Memory(BTreeMap<String, String>),
    /// An HTTP server. Config: `URL(...)`.
    Url(UrlSource),
    /// Files of a directory, one an account. Config: a map with `dir`.
    Directory(PathBuf),
}

impl Source {
    /// The token of an account. Blocks.
    ///
    /// # Errors
    /// There is none, or it cannot be had now.
    pub fn fetch(&self, account: &str) -> Result<String, FetchError> {
        if !nkey::is_account(account) {
            return Err(FetchError::NotAnAccount);
        }
        match self {
            Self::Memory(tokens) => tokens.get(account).cloned().ok_or(FetchError::Missing),
            Self::Url(url) => url.fetch(account),
            Self::Directory(root) => read_file(root, account),
        }
    }
}

fn read_file(root: &Path, account: &str) -> Result<String, FetchError> {
    match std::fs::read_to_string(directory::file_of(root, account)) {
        Ok(token) if token.is_empty() => Err(FetchError::Missing),
        Ok(token) => Ok(token),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(FetchError::Missing),
        Err(error) => Err(FetchError::Failed(error.to_string())),
    }
}
