//! Account tokens in a directory, as the NATS resolver keeps them.
//!
//! Owns: the files, which of them are known, when they expire, which goes first when a cache is full, and the digest by
//! which servers compare what they have.
//! Not here: when any of this is done, what a new token changes in the server.
//!
//! Layout: `<dir>/<account key>.jwt` holds the token and nothing else; a deleted one may stay as `.jwt.deleted`. A token is
//! written beside its place and moved there, so that a file is whole or as it was before. Other files and directories
//! within are left alone.
//! Units: times are UTC.
//!
//! Invariants
//!   `digest` is the exclusive or of SHA-256 over the tokens that are known
//!   every entry of `by_expiry` and `by_use` is in `known`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::io::WallTime;
use sha2::{Digest, Sha256};

use crate::auth::jwt::admit::seconds;
use crate::auth::jwt::{decode, nkey, unverified_expiry};
use crate::files::write_atomically;

/// Accounts a cache holds where the configuration does not say; beyond, the one unused longest goes.
pub const CACHE_LIMIT: usize = 1000;

const EXTENSION: &str = "jwt";
/// The owner writes, the group reads, as with the Go server.
const FILE_MODE: u32 = 0o640;

/// What becomes of the file of a deleted account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// Nothing is deleted.
    Off,
    /// It gets `.deleted` behind its name. Config: `allow_delete`.
    Renamed,
    /// It is removed. Config: `hard_delete`.
    Removed,
}

/// How a directory is kept.
#[derive(Clone, Debug)]
pub struct DirectorySpec {
    /// Where.
    pub root: PathBuf,
    /// What becomes of deleted accounts.
    pub deletes: Deletes,
    /// Accounts at most; None is any number.
    pub limit: Option<usize>,
    /// At the limit the account unused longest goes; otherwise a new one is refused.
    pub is_cache: bool,
    /// An account goes when it was not used for so long; None: when its token expires.
    pub ttl: Option<Duration>,
}

/// Why a token was not kept or removed. The texts are the peer's.
#[derive(Debug)]
pub enum StoreError {
    /// The name is no public key.
    BadKey,
    /// There is no token.
    Empty,
    /// As many accounts as are allowed.
    Full,
    /// Deleting is off.
    NoDeletes,
    /// The new token is no token, or about another account.
    BadToken(String),
    /// The disk.
    Io(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadKey => f.write_str("invalid public key"),
            Self::Empty => f.write_str("invalid JWT"),
            Self::Full => f.write_str("jwt store is full"),
            Self::NoDeletes => f.write_str("store is not set up to for delete"),
            Self::BadToken(why) => f.write_str(why),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One account that is known.
#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    /// None: never.
    expires: Option<WallTime>,
    /// Larger was used later.
    used: u64,
}

/// The directory.
#[derive(Debug)]
pub struct Directory {
    spec: DirectorySpec,
    known: BTreeMap<Arc<str>, Known>,
    by_expiry: BTreeSet<(WallTime, Arc<str>)>,
    /// Kept for a cache only.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    digest: [u8; 32],
}

impl Directory {
    /// Makes the directory if there is none, and gets to know the tokens in it.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn open(spec: DirectorySpec, now: WallTime) -> io::Result<Self> {
        std::fs::create_dir_all(&spec.root)?;
        let mut directory = Self {
            spec,
            known: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            digest: [0; 32],
        };
        directory.scan(now)?;
        Ok(directory)
    }

    fn scan(&mut self, now: WallTime) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.spec.root)? {
            if let Some(account) = account_of(&entry?.path()) {
                names.push(account);
            }
        }
        names.sort_unstable();
        for account in names {
            if let Ok(token) = std::fs::read_to_string(file_of(&self.spec.root, &account)) {
                self.know(&account, &token, now);
            }
        }
        Ok(())
    }

    /// Looks at the files again; gives the accounts whose token changed or came.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn reload(&mut self, now: WallTime) -> io::Result<Vec<Arc<str>>> {
        let before = std::mem::take(&mut self.known);
        self.by_expiry.clear();
        self.by_use.clear();
        self.digest = [0; 32];
        self.scan(now)?;
        let changed = self
            .known
            .iter()
            .filter(|(account, known)| before.get(*account).is_none_or(|old| old.digest != known.digest));
        Ok(changed.map(|(account, _)| Arc::clone(account)).collect())
    }

    /// How many accounts are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What two directories with the same tokens have in common.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The token of an account, which was used now.
    ///
    /// # Errors
    /// There is none (`NotFound`), or it cannot be read.
    pub fn load(&mut self, account: &str, now: WallTime) -> Result<String, StoreError> {
        if !nkey::is_public(account) {
            return Err(StoreError::BadKey);
        }
        let token = std::fs::read_to_string(file_of(&self.spec.root, account))?;
        self.touch(account, now);
        Ok(token)
    }

    /// Keeps a token; `false`: it is the one there is.
    ///
    /// # Errors
    /// The directory is full, or the disk.
    pub fn save(&mut self, account: &str, token: &str, now: WallTime) -> Result<bool, StoreError> {
        if !nkey::is_public(account) {
            return Err(StoreError::BadKey);
        }
        if token.is_empty() {
            return Err(StoreError::Empty);
        }
        if let Some(known) = self.known.get(account) {
            let is_same = known.digest == sha256(token);
            self.touch(account, now);
            if is_same {
                return Ok(false);
            }
        } else if self.spec.limit.is_some_and(|limit| self.known.len() >= limit) {
            self.make_room()?;
        }
        write_atomically(&file_of(&self.spec.root, account), token.as_bytes(), FILE_MODE)?;
        self.know(account, token, now);
        Ok(true)
    }

    /// Keeps a token that is newer than the one there is; `false`: it is not.
    ///
    /// # Errors
    /// As [`Directory::save`]; it is no token or about another account.
    pub fn save_if_newer(&mut self, account: &str, token: &str, now: WallTime) -> Result<bool, StoreError> {
        if !nkey::is_public(account) {
            return Err(StoreError::BadKey);
        }
        if let Ok(existing) = std::fs::read_to_string(file_of(&self.spec.root, account)) {
            let new = decode(token).map_err(|error| StoreError::BadToken(error.to_string()))?;
            if let Ok(old) = decode(&existing) {
                let (new, old) = (new.data(), old.data());
                if old.id == new.id || old.issued_at > new.issued_at {
                    return Ok(false);
                }
                if new.subject != account {
                    let text = "jwt subject nkey and provided nkey do not match";
                    return Err(StoreError::BadToken(text.to_owned()));
                }
            }
        }
        self.save(account, token, now)
    }

    /// Takes over lines `account|token` of another server; gives the accounts that changed.
    ///
    /// # Errors
    /// The first line that cannot be taken over.
    pub fn merge(&mut self, pack: &str, now: WallTime) -> Result<Vec<String>, StoreError> {
        let mut changed = Vec::new();
        for line in pack.lines().filter(|line| !line.is_empty()) {
            let Some((account, token)) = line.split_once('|').filter(|(_, token)| !token.contains('|'))
            else {
                let text = format!("line in package didn't contain 2 entries: {line:?}");
                return Err(StoreError::BadToken(text));
            };
            if !nkey::is_account(account) {
                let text = "key to merge is not a valid public account key";
                return Err(StoreError::BadToken(text.to_owned()));
            }
            if self.save_if_newer(account, token, now)? {
                changed.push(account.to_owned());
            }
        }
        Ok(changed)
    }

    /// Deletes an account; one that is not there is no error.
    ///
    /// # Errors
    /// Deleting is off, or the disk.
    pub fn delete(&mut self, account: &str) -> Result<(), StoreError> {
        if !nkey::is_public(account) {
            return Err(StoreError::BadKey);
        }
        let file = file_of(&self.spec.root, account);
        let done = match self.spec.deletes {
            Deletes::Off => return Err(StoreError::NoDeletes),
            Deletes::Renamed => {
                let mut name = file.clone().into_os_string();
                name.push(".deleted");
                std::fs::rename(&file, name)
            }
            Deletes::Removed => std::fs::remove_file(&file),
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::Io(error)),
            Ok(()) => {
                self.forget(account);
                Ok(())
            }
        }
    }

    /// Whether deleting is allowed.
    pub fn deletes(&self) -> Deletes {
        self.spec.deletes
    }

    /// Whether at the limit the account unused longest goes.
    pub fn is_cache(&self) -> bool {
        self.spec.is_cache
    }

    /// The accounts whose tokens are good at this time, with their tokens, by name.
    pub fn tokens(&self, now: WallTime) -> impl Iterator<Item = (&str, String)> {
        let now_s = seconds(now);
        self.known.keys().filter_map(move |account| {
            let token = std::fs::read_to_string(file_of(&self.spec.root, account)).ok()?;
            let is_over = unverified_expiry(&token).is_some_and(|expires| expires > 0 && expires < now_s);
            (!token.is_empty() && !is_over).then_some((&**account, token))
        })
    }

    /// Removes the files of accounts whose time is over; gives their names.
    pub fn expire(&mut self, now: WallTime) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        while let Some((at, account)) = self.by_expiry.first().cloned() {
            if at > now {
                break;
            }
            match std::fs::remove_file(file_of(&self.spec.root, &account)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!("token of account {account} expired and cannot be removed: {error}");
                    break;
                }
                _ => {
                    self.forget(&account);
                    gone.push(account);
                }
            }
        }
        gone
    }

    /// When the next account expires.
    pub fn next_expiry(&self) -> Option<WallTime> {
        self.by_expiry.first().map(|&(at, _)| at)
    }

    fn make_room(&mut self) -> Result<(), StoreError> {
        if !self.spec.is_cache {
            return Err(StoreError::Full);
        }
        let Some(account) = self
            .by_use
            .first_key_value()
            .map(|(_, account)| Arc::clone(account))
        else {
            return Err(StoreError::Full);
        };
        std::fs::remove_file(file_of(&self.spec.root, &account))?;
        self.forget(&account);
        Ok(())
    }

    fn know(&mut self, account: &str, token: &str, now: WallTime) {
        self.forget(account);
        let expires = match self.spec.ttl {
            Some(ttl) => Some(now + ttl),
            None => unverified_expiry(token)
                .and_then(|expires| u64::try_from(expires).ok())
                .filter(|&expires| expires > 0)
                .map(|expires| WallTime(expires.saturating_mul(1_000_000_000))),
        };
        let known = Known {
            digest: sha256(token),
            expires,
            used: self.uses,
        };
        self.uses += 1;
        mix(&mut self.digest, &known.digest);
        let account: Arc<str> = account.into();
        if let Some(at) = expires {
            self.by_expiry.insert((at, Arc::clone(&account)));
        }
        if self.spec.is_cache {
            self.by_use.insert(known.used, Arc::clone(&account));
        }
        self.known.insert(account, known);
    }

    fn forget(&mut self, account: &str) {
        let Some((account, known)) = self.known.remove_entry(account) else {
            return;
        };
        mix(&mut self.digest, &known.digest);
        self.by_use.remove(&known.used);
        if let Some(at) = known.expires {
            self.by_expiry.remove(&(at, account));
        }
    }

    /// It was used: its time begins anew.
    fn touch(&mut self, account: &str, now: WallTime) {
        let Some((account, known)) = self.known.get_key_value(account) else {
            return;
        };
        let account = Arc::clone(account);
        let (was, used) = (known.expires, known.used);
        let expires = self.spec.ttl.map_or(was, |ttl| Some(now + ttl));
        if was != expires {
            if let Some(at) = was {
                self.by_expiry.remove(&(at, Arc::clone(&account)));
            }
            if let Some(at) = expires {
                self.by_expiry.insert((at, Arc::clone(&account)));
            }
        }
        if self.spec.is_cache {
            self.by_use.remove(&used);
            self.by_use.insert(self.uses, Arc::clone(&account));
        }
        let known = self.known.get_mut(&account).expect("found above");
        known.expires = expires;
        known.used = self.uses;
        self.uses += 1;
    }
}

/// The file of an account.
pub(super) fn file_of(root: &Path, account: &str) -> PathBuf {
    root.join(format!("{account}.{EXTENSION}"))
}

/// The account of a file; None for files of other kinds.
fn account_of(path: &Path) -> Option<String> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    nkey::is_public(name).then(|| name.to_owned())
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn mix(digest: &mut [u8; 32], with: &[u8; 32]) {
    for (byte, with) in digest.iter_mut().zip(with) {
        *byte ^= with;
    }
}
