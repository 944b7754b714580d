//! Logs of former shards: when a server starts with fewer shards than before, theirs move to those that are left.
//!
//! Owns: the order of moving one. Not here: reading (`recover`), appending (`commit_log`).
//!
//! A log lives where its records are; there is no rule that computes a shard from it. A former shard's directory is
//! marked first, with the shard its logs move to, and the mark stays until its files are gone: whatever number of
//! shards the next start has after a crash, the same logs move to the same place, and copies that are there already
//! change nothing. All this is done before any shard serves.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use pinion_shard::io::disk::{Access, Disk, Opening};
use pinion_shard::io::Io;

use super::store_dir::{shard_dir, shard_of};
use super::{recover, write_metadata, Finding, RecoverError};
use crate::commit_log::{read_record, AppendError, CommitLog, LogId, LogOptions};

/// Name of the file that says where the logs of a former shard move to.
pub(super) const MARK: &str = "moved";
const MARK_WORDS: &str = "pinion moved ";
const MARK_DONE: &str = "done";
/// A mark is one short line; more is not read.
const MARK_SIZE_MAX: usize = 4096;

#[derive(Clone, Copy)]
enum Mark {
    To(usize),
    Done,
}

fn refused(error: AppendError) -> RecoverError {
    let kind = match error {
        AppendError::NoSpace => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    RecoverError::Io(io::Error::new(kind, error))
}

async fn write_mark(disk: &Disk, shard: usize, word: &str) -> io::Result<()> {
    let text = format!("{MARK_WORDS}{word}\n");
    write_metadata(disk, &shard_dir(shard), Path::new(MARK), text.into_bytes()).await
}

async fn read_mark(disk: &Disk, dir: &Path) -> io::Result<Option<Mark>> {
    let path = dir.join(MARK);
    let file = match disk.open_file(&path, Access::Buffered, Opening::Existing).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.read(0, MARK_SIZE_MAX).await?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    file.close().await?;
    let word = text.strip_prefix(MARK_WORDS);
    let mark = match word {
        Some(MARK_DONE) => Some(Mark::Done),
        _ => word.and_then(|word| word.parse().ok()).map(Mark::To),
    };
    mark.map(Some).ok_or_else(|| {
        let what = format!(
            "{}: says {text:?}; it should name the shard these logs move to",
            path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// Makes the logs of every shard beyond `shards` those of one that is left. To be called once, before the logs of
/// the shards are opened.
///
/// # Errors
/// The disk failed or is full, or a newer server wrote a log. What was moved stays moved.
pub async fn settle_former_shards(
    io: &Io,
    disk: &Disk,
    shards: usize,
    options: LogOptions,
) -> Result<Vec<Finding>, RecoverError> {
    assert!(shards > 0, "a server has a shard");
    let mut marks = BTreeMap::new();
    for listed in disk
        .list(Path::new(""))
        .await?
        .into_iter()
        .filter(|listed| listed.is_dir)
    {
        let Some(shard) = shard_of(&listed.name) else {
            continue;
        };
        // Names may be in the system's cache only; nothing may depend on a mark before it is durable.
        disk.sync_dir(&listed.name).await?;
        match read_mark(disk, &listed.name).await? {
            Some(mark) => {
                marks.insert(shard, mark);
            }
            None if shard >= shards => {
                let to = shard % shards;
                write_mark(disk, shard, &to.to_string()).await?;
                marks.insert(shard, Mark::To(to));
            }
            None => {}
        }
    }
    let mut findings = Vec::new();
    for (from, mark) in &marks {
        if let Mark::To(mut to) = *mark {
            // Marks point to lower shards, so this ends.
            while let Some(Mark::To(next)) = marks.get(&to).filter(|_| to > 0) {
                to = *next;
            }
            io.hit("former_shard_moved");
            findings.extend(move_logs(io, disk, *from, to, options).await?);
            write_mark(disk, *from, MARK_DONE).await?;
        }
    }
    for from in marks.keys() {
        remove_files(disk, &shard_dir(*from)).await?;
    }
    Ok(findings)
}

/// Copies what counts in the log of shard `from` to that of shard `to`, durably.
async fn move_logs(
    io: &Io,
    disk: &Disk,
    from: usize,
    to: usize,
    mut options: LogOptions,
) -> Result<Vec<Finding>, RecoverError> {
    let dir = shard_dir(from);
    let recovered = recover(disk, &dir, io, &mut |_| {}).await?;
    // Nobody makes checkpoints now that would make room in the other one: it takes what this one held.
    options.segments_max = usize::MAX;
    let opened = CommitLog::open(io, disk, &shard_dir(to), options, &mut |_| {}).await?;
    let log = opened.log;
    let copied = copy(disk, &dir, &recovered, &log).await;
    log.close().await;
    copied?;
    Ok(recovered.findings.into_iter().chain(opened.findings).collect())
}

async fn copy(
    disk: &Disk,
    dir: &Path,
    recovered: &super::Recovered,
    log: &CommitLog,
) -> Result<(), RecoverError> {
    let Some(salt) = recovered.salt else {
        return Ok(());
    };
    let mut last = Vec::new();
    for id in recovered.places.logs() {
        let (base, end) = recovered.places.range(id).expect("it was listed");
        if base > 0 && log.range(id).is_none_or(|(known, _)| known < base) {
            last.push(log.checkpoint(id, base).map_err(refused)?);
        }
        // What an earlier try brought over is there.
        let known = log.range(id).map_or(0, |(_, last)| last);
        for index in base.max(known) + 1..=end {
            if let Some(entry) = read_entry(disk, dir, salt, recovered, id, index).await? {
                log.room(id, entry.len()).await.map_err(refused)?;
                last.push(log.append_copy(id, index, &entry).map_err(refused)?);
                if last.len() > 1 {
                    last.remove(0);
                }
            }
        }
        for (slot, place) in recovered.places.states(id) {
            if let Some(bytes) = read_record(disk, dir, salt, place).await? {
                last.push(log.copy_state(id, slot, &bytes).map_err(refused)?);
            }
        }
        for position in last.drain(..) {
            log.durable(position)
                .await
                .map_err(|stopped| refused(AppendError::Stopped(stopped)))?;
        }
    }
    Ok(())
}

async fn read_entry(
    disk: &Disk,
    dir: &Path,
    salt: u64,
    recovered: &super::Recovered,
    log: LogId,
    index: u64,
) -> io::Result<Option<Vec<u8>>> {
    let Some(places) = recovered.places.entry(log, index) else {
        return Ok(None);
    };
    let mut entry = Vec::new();
    for place in places {
        match read_record(disk, dir, salt, place).await? {
            Some(bytes) => entry.extend_from_slice(&bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(entry))
}

/// Removes the files of a log whose records are elsewhere, then the mark. What is not understood stays.
async fn remove_files(disk: &Disk, dir: &Path) -> io::Result<()> {
    for listed in disk.list(dir).await?.into_iter().filter(|listed| !listed.is_dir) {
        let name = listed.name.to_string_lossy();
        if name.ends_with(".log") || name.starts_with("spare-") {
            disk.remove(&dir.join(&listed.name)).await?;
        }
    }
    disk.sync_dir(dir).await?;
    disk.remove(&dir.join(MARK)).await?;
    disk.sync_dir(dir).await?;
    match disk.remove_dir(dir).await {
        Ok(()) => disk.sync_dir(Path::new("")).await,
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => Err(error),
    }
}
