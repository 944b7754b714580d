//! The store's directory: its version, whose it is, the directories of the shards' logs.
//!
//! Layout
//!   store              one line: "pinion store 1"
//!   shard-0000/        the log of shard 0 (docs/formats/commit-log.md)
//!   shard-0000/moved   only in a log of a former shard: the shard its logs move to
//! A directory that a Go server wrote is recognised and never written into.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pinion_shard::io::disk::{Access, Disk, Opening};

use super::write_metadata;

/// Version of the layout.
pub const STORE_VERSION: u32 = 1;
const STORE_FILE: &str = "store";
const STORE_WORDS: &str = "pinion store ";
/// A version file is one short line; more is not read.
const STORE_FILE_SIZE_MAX: usize = 4096;

/// Why a directory cannot be the store.
#[derive(Debug)]
pub enum StoreDirError {
    /// The system said so.
    Io(io::Error),
    /// A Go nats-server wrote this.
    GoServer(PathBuf),
    /// A newer version of the server wrote it.
    Newer(u32),
    /// The version file says something else.
    Unreadable(String),
}

impl fmt::Display for StoreDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreDirError::Io(error) => write!(f, "{error}"),
            StoreDirError::GoServer(path) => write!(
                f,
                "{} holds streams of a Go nats-server, whose files are not read or changed: give another store_dir, and \
                 bring the streams over with `nats account backup` there and `nats account restore` here",
                path.display()
            ),
            StoreDirError::Newer(version) => write!(
                f,
                "the store was written by a newer server (layout {version}, this one reads up to {STORE_VERSION}); \
                 start that one again, or restore a backup here"
            ),
            StoreDirError::Unreadable(text) => write!(
                f,
                "the file `{STORE_FILE}` of the store says {text:?} in place of its version; if this is the store of \
                 this server, put `{STORE_WORDS}{STORE_VERSION}` there"
            ),
        }
    }
}

impl std::error::Error for StoreDirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreDirError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreDirError {
    fn from(error: io::Error) -> Self {
        StoreDirError::Io(error)
    }
}

/// Directory of a shard's log.
pub fn shard_dir(shard: usize) -> PathBuf {
    format!("shard-{shard:04}").into()
}

/// Number of the shard whose directory this is.
pub(super) fn shard_of(name: &Path) -> Option<usize> {
    let number = name.to_str()?.strip_prefix("shard-")?.parse().ok()?;
    (shard_dir(number) == name).then_some(number)
}

/// Where below `at` a Go server keeps streams: `<account>/streams`.
async fn go_streams(disk: &Disk, at: &Path) -> io::Result<Option<PathBuf>> {
    for account in disk.list(at).await?.into_iter().filter(|listed| listed.is_dir) {
        let account = at.join(account.name);
        let has_streams = disk
            .list(&account)
            .await?
            .iter()
            .any(|listed| listed.is_dir && listed.name == Path::new("streams"));
        if has_streams {
            return Ok(Some(account.join("streams")));
        }
    }
    Ok(None)
}

/// Makes the root of `disk` a store of this version, or finds that it is one.
///
/// # Errors
/// It is somebody else's, a newer one, or the disk failed.
pub async fn open_store_dir(disk: &Disk) -> Result<(), StoreDirError> {
    let root = Path::new("");
    let listed = disk.list(root).await?;
    let is_there = |name: &str| listed.iter().any(|listed| listed.name == Path::new(name));
    if let Some(path) = go_streams(disk, root).await? {
        return Err(StoreDirError::GoServer(path));
    }
    let below = Path::new("jetstream");
    if is_there("jetstream") {
        if let Some(path) = go_streams(disk, below).await? {
            return Err(StoreDirError::GoServer(path));
        }
    }
    if !is_there(STORE_FILE) {
        let text = format!("{STORE_WORDS}{STORE_VERSION}\n");
        return Ok(write_metadata(disk, root, Path::new(STORE_FILE), text.into_bytes()).await?);
    }
    let file = disk
        .open_file(Path::new(STORE_FILE), Access::Buffered, Opening::Existing)
        .await?;
    let bytes = file.read(0, STORE_FILE_SIZE_MAX).await?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    file.close().await?;
    match text
        .strip_prefix(STORE_WORDS)
        .and_then(|version| version.parse().ok())
    {
        Some(1..=STORE_VERSION) => Ok(()),
        Some(version) if version > STORE_VERSION => Err(StoreDirError::Newer(version)),
        _ => Err(StoreDirError::Unreadable(text)),
    }
}
