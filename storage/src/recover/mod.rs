//! Reading a shard's log after a start: every segment in order, what counts to a callback, the rest reported.
//!
//! Owns: which files of a log's directory are what, and what becomes of damaged ones. Not here: the rules by which
//! commits count (`judge`), by which records count (`commit_log::places`), writing (`commit_log`).
//! Nothing that is not understood is deleted: it is left, or copied to `quarantine` before its segment is recycled.

mod former;
mod judge;
mod metadata;
mod store_dir;
#[cfg(test)]
mod tests;

pub use former::settle_former_shards;
pub use judge::{judge, Cursor, Cut, Question, Rot, Verdict};
pub use metadata::write_metadata;
pub use store_dir::{open_store_dir, shard_dir, StoreDirError, STORE_VERSION};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pinion_shard::io::disk::{Access, Disk, Opening, READ_AT_ONCE_SIZE_MAX};
use pinion_shard::io::{Io, Sabotage};

use crate::commit_log::places::{Applied, Place, Places};
use crate::commit_log::LogId;
use crate::format::{Record, RecordKind, SegmentHeader, SegmentHeaderError, SEGMENT_HEADER_SIZE};
use crate::limits::ENTRY_SIZE_MAX;

/// Where copies of damaged segments go, below the log's directory.
const QUARANTINE: &str = "quarantine";

/// Name of a segment's file.
pub fn segment_name(segment: u64) -> PathBuf {
    format!("{segment:016x}.log").into()
}

/// Name of a file that waits to become a segment.
pub(crate) fn spare_name(number: u64) -> PathBuf {
    format!("spare-{number}").into()
}

/// A step of a log, as it is replayed, in the order it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay<'a> {
    /// An entry. One at or below the last index of its log supersedes it and everything after it. Entries at or
    /// below a checkpoint may still come: who made the checkpoint skips them.
    Entry {
        /// Which log.
        log: LogId,
        /// Its index there.
        index: u64,
        /// What was appended.
        bytes: &'a [u8],
    },
    /// An entry that was not found where it was first, and was copied behind later ones: it supersedes nothing.
    Copy {
        /// Which log.
        log: LogId,
        /// Its index there.
        index: u64,
        /// What was appended.
        bytes: &'a [u8],
    },
    /// Everything from `from` on is void.
    Truncate {
        /// Which log.
        log: LogId,
        /// First index that is void.
        from: u64,
    },
    /// Everything up to `through` is not needed any more.
    Checkpoint {
        /// Which log.
        log: LogId,
        /// Last index that is not needed.
        through: u64,
    },
    /// The log is gone.
    Forget {
        /// Which log.
        log: LogId,
    },
    /// The newest value of a slot so far; empty: removed.
    State {
        /// Which log.
        log: LogId,
        /// Which slot.
        slot: u64,
        /// Its value.
        bytes: &'a [u8],
    },
}

/// Entries that should be there and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which log.
    pub log: LogId,
    /// First index that is missing.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Something an operator should know about a log's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Acknowledged commits are damaged.
    Rot(PathBuf, Rot),
    /// The last writes before the crash were cut.
    Cut(PathBuf, Cut),
    /// The first piece of a segment is damaged; its commits were read.
    HeaderRot(PathBuf),
    /// Commits between two segments are not there.
    Hole {
        /// First commit that is missing.
        first: u64,
        /// Last one.
        last: u64,
    },
    /// Not a file of the log: left alone.
    Unknown(PathBuf),
    /// A copy of a damaged segment was put here.
    Quarantined(PathBuf),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Rot(path, rot) => write!(
                f,
                "{}: commits {} to {} at offset {} are damaged though they were acknowledged; {} of their records could \
                 be read; check this disk",
                path.display(),
                rot.first,
                rot.last,
                rot.offset,
                rot.records_saved
            ),
            Finding::Cut(path, cut) => write!(
                f,
                "{}: cut at offset {}: commit {} is not whole, as after a crash while it was written; if the disk \
                 damaged it later, it was possibly acknowledged",
                path.display(),
                cut.offset,
                cut.number
            ),
            Finding::HeaderRot(path) => {
                write!(f, "{}: its first piece is damaged; its commits were read; check this disk", path.display())
            }
            Finding::Hole { first, last } => {
                write!(f, "commits {first} to {last} are missing: a segment was removed or lost; check this disk")
            }
            Finding::Unknown(path) => write!(f, "{}: not a file of the log, left alone", path.display()),
            Finding::Quarantined(path) => write!(f, "{}: a copy of the damaged segment", path.display()),
        }
    }
}

/// Why a log cannot be read.
#[derive(Debug)]
pub enum RecoverError {
    /// The system said so.
    Io(io::Error),
    /// A newer version of the server wrote it.
    Newer {
        /// Which file.
        path: PathBuf,
        /// Version of its format.
        version: u32,
    },
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoverError::Io(error) => write!(f, "{error}"),
            RecoverError::Newer { path, version } => write!(
                f,
                "{}: written by a newer server (format {version}, this one reads up to {}); start that one again, or \
                 restore a backup here",
                path.display(),
                crate::format::VERSION
            ),
        }
    }
}

impl std::error::Error for RecoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecoverError::Io(error) => Some(error),
            RecoverError::Newer { .. } => None,
        }
    }
}

impl From<io::Error> for RecoverError {
    fn from(error: io::Error) -> Self {
        RecoverError::Io(error)
    }
}

/// What a log's directory held.
pub struct Recovered {
    /// Seed of the checksums; `None`: there was no log.
    pub salt: Option<u64>,
    /// The highest epoch anything was written under; 0: none.
    pub epoch: u64,
    /// Where the log ends.
    pub cursor: Cursor,
    /// What counts.
    pub(crate) places: Places,
    /// Numbers of the segments, oldest first.
    pub segments: Vec<u64>,
    /// Files that can become segments.
    pub(crate) spares: Vec<PathBuf>,
    /// Where the log ends in the last segment, bytes; 0: there is none.
    pub end: u64,
    /// Nothing stands behind the end that does not count, so the log may go on there.
    pub is_clean: bool,
    /// Entries that are missing.
    pub missing: Vec<Missing>,
    /// What an operator should know.
    pub findings: Vec<Finding>,
}

/// Reads all of a file.
pub(crate) async fn read_all(file: &pinion_shard::io::disk::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(file.size()?).unwrap_or(0));
    loop {
        let read = file.read(bytes.len() as u64, READ_AT_ONCE_SIZE_MAX).await?;
        bytes.extend_from_slice(&read);
        if read.len() < READ_AT_ONCE_SIZE_MAX {
            return Ok(bytes);
        }
    }
}

#[derive(Clone, Copy)]
enum Head {
    Written(SegmentHeader),
    /// Recycled or new: nothing of this segment was written.
    Unused,
    Damaged,
}

struct Files {
    segments: Vec<(u64, Head)>,
    spares: Vec<PathBuf>,
    findings: Vec<Finding>,
}

async fn look(disk: &Disk, dir: &Path) -> Result<Files, RecoverError> {
    let mut files = Files {
        segments: Vec::new(),
        spares: Vec::new(),
        findings: Vec::new(),
    };
    for listed in disk.list(dir).await? {
        let name = listed.name.to_string_lossy();
        let number = name
            .strip_suffix(".log")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if let Some(segment) =
            number.filter(|segment| segment_name(*segment) == listed.name && !listed.is_dir)
        {
            let path = dir.join(&listed.name);
            let file = disk.open_file(&path, Access::Durable, Opening::Existing).await?;
            let piece = file.read(0, SEGMENT_HEADER_SIZE).await?;
            let head = match SegmentHeader::decode(&piece) {
                Ok(header) if header.segment == segment => Head::Written(header),
                Ok(_) | Err(SegmentHeaderError::Blank) => Head::Unused,
                Err(SegmentHeaderError::Damaged) => Head::Damaged,
                Err(SegmentHeaderError::Newer(version)) => return Err(RecoverError::Newer { path, version }),
            };
            file.close().await?;
            files.segments.push((segment, head));
        } else if name.starts_with("spare-") && !listed.is_dir {
            files.spares.push(listed.name.clone());
        } else if !(listed.is_dir && name == QUARANTINE
            || name == former::MARK
            || metadata::is_metadata(&name))
        {
            files.findings.push(Finding::Unknown(dir.join(&listed.name)));
        }
    }
    Ok(files)
}

/// Collects what counts while records come by.
struct Replayer<'a> {
    places: Places,
    /// Entries whose last record has not come.
    parts: BTreeMap<u64, Vec<u8>>,
    missing: Vec<Missing>,
    sink: &'a mut dyn FnMut(Replay<'_>),
}

impl Replayer<'_> {
    fn on_record(&mut self, segment: u64, records_at: usize, record: Record<'_>) {
        let header = record.header;
        let log = LogId(header.log);
        let place = Place {
            segment,
            offset: u32::try_from(records_at + record.offset).expect("segments are small"),
            size: u32::try_from(record.payload.len()).expect("payloads are small"),
        };
        let applied = self.places.apply(&header, place);
        match header.kind {
            RecordKind::Entry => self.on_entry(log, header.index, applied, header.continues, record.payload),
            RecordKind::Truncate => (self.sink)(Replay::Truncate {
                log,
                from: header.index,
            }),
            RecordKind::Checkpoint => (self.sink)(Replay::Checkpoint {
                log,
                through: header.index,
            }),
            RecordKind::Forget => {
                self.parts.remove(&log.0);
                self.missing.retain(|missing| missing.log != log);
                (self.sink)(Replay::Forget { log });
            }
            RecordKind::State => (self.sink)(Replay::State {
                log,
                slot: header.index,
                bytes: record.payload,
            }),
        }
    }

    fn on_entry(&mut self, log: LogId, index: u64, applied: Applied, continues: bool, payload: &[u8]) {
        let mut parts = self.parts.remove(&log.0).unwrap_or_default();
        if !continues {
            parts.clear();
        }
        match applied {
            Applied::Part => {
                if parts.len() + payload.len() <= ENTRY_SIZE_MAX {
                    parts.extend_from_slice(payload);
                    self.parts.insert(log.0, parts);
                }
            }
            Applied::Entry { .. } | Applied::Copy => {
                if let Applied::Entry { missing } = applied {
                    let first = index - missing;
                    self.missing.extend((missing > 0).then_some(Missing {
                        log,
                        first,
                        count: missing,
                    }));
                }
                let bytes = if parts.is_empty() {
                    payload
                } else {
                    parts.extend_from_slice(payload);
                    &parts
                };
                (self.sink)(match applied {
                    Applied::Copy => Replay::Copy { log, index, bytes },
                    _ => Replay::Entry { log, index, bytes },
                });
            }
            Applied::Known | Applied::Changed => {}
        }
    }
}

/// Reads the log in `dir`, which exists. What counts goes to `sink` in the order it was written. Nothing is changed
/// but that copies of damaged segments are made; what was read is made durable before this returns.
///
/// # Errors
/// The disk failed, or a newer server wrote the log.
pub async fn recover(
    disk: &Disk,
    dir: &Path,
    io: &Io,
    sink: &mut dyn FnMut(Replay<'_>),
) -> Result<Recovered, RecoverError> {
    // As with what is read below: names may be in the system's cache only.
    disk.sync_dir(dir).await?;
    let files = look(disk, dir).await?;
    let salt = files.segments.iter().find_map(|(_, head)| match head {
        Head::Written(header) => Some(header.salt),
        _ => None,
    });
    let mut recovered = Recovered {
        salt,
        epoch: 0,
        cursor: Cursor {
            number: 1,
            checksum: Some(0),
            epoch: 0,
        },
        places: Places::default(),
        segments: Vec::new(),
        spares: files.spares,
        end: 0,
        is_clean: false,
        missing: Vec::new(),
        findings: files.findings,
    };
    let mut replayer = Replayer {
        places: Places::default(),
        parts: BTreeMap::new(),
        missing: Vec::new(),
        sink,
    };
    let last_written = files
        .segments
        .iter()
        .rposition(|(_, head)| matches!(head, Head::Written(_)));
    for (at, (segment, head)) in files.segments.iter().enumerate() {
        let path = dir.join(segment_name(*segment));
        let next = files.segments[at + 1..].iter().find_map(|(_, head)| match head {
            Head::Written(header) => Some(header.first_commit),
            _ => None,
        });
        let is_behind = last_written.is_none_or(|last| at > last);
        let Some(salt) = salt.filter(|_| !matches!(head, Head::Unused)) else {
            recovered.unused(disk, dir, *segment, *head).await?;
            continue;
        };
        let file = disk.open_file(&path, Access::Durable, Opening::Existing).await?;
        // It may be in the disk's cache only: nothing may depend on it before it is durable.
        if !io.sabotaged(Sabotage::TrustTheCache) {
            file.sync().await?;
        }
        let bytes = read_all(&file).await?;
        file.close().await?;
        let mut cursor = recovered.cursor;
        if let Head::Written(header) = head {
            let is_first = recovered.segments.is_empty();
            if !is_first && header.first_commit > cursor.number {
                recovered.findings.push(Finding::Hole {
                    first: cursor.number,
                    last: header.first_commit - 1,
                });
            }
            cursor = Cursor {
                number: header.first_commit,
                checksum: Some(header.previous_checksum),
                epoch: cursor.epoch.max(header.epoch),
            };
        }
        let question = Question {
            salt,
            cursor,
            next_first: next,
            blind_to_rot: io.sabotaged(Sabotage::CutRotAsTear),
        };
        let before = recovered.findings.len();
        let verdict = judge(&bytes, question, |records_at, record| {
            replayer.on_record(*segment, records_at, record);
        });
        recovered.epoch = recovered.epoch.max(verdict.epoch_seen);
        if matches!(head, Head::Damaged) {
            if is_behind && verdict.cursor.number == cursor.number {
                // The write that would have begun this segment never ended.
                recovered.unused(disk, dir, *segment, *head).await?;
                continue;
            }
            recovered.findings.push(Finding::HeaderRot(path.clone()));
        }
        let is_last = next.is_none();
        recovered
            .findings
            .extend(verdict.rot.into_iter().map(|rot| Finding::Rot(path.clone(), rot)));
        recovered
            .findings
            .extend(verdict.cut.map(|cut| Finding::Cut(path.clone(), cut)));
        let is_damaged = recovered.findings[before..]
            .iter()
            .any(|finding| !matches!(finding, Finding::Cut(..)));
        if is_damaged {
            let copy = quarantine(disk, dir, *segment, bytes).await?;
            recovered.findings.extend(copy.map(Finding::Quarantined));
        }
        recovered.end = verdict.end;
        recovered.is_clean = is_last && verdict.cut.is_none();
        recovered.cursor = verdict.cursor;
        recovered.segments.push(*segment);
    }
    recovered.places = replayer.places;
    recovered.missing = replayer.missing;
    let beginnings = recovered.places.lost_beginnings();
    recovered
        .missing
        .extend(beginnings.map(|(log, count)| Missing { log, first: 1, count }));
    Ok(recovered)
}

impl Recovered {
    /// A file that was never used as this segment becomes a spare; one that holds what cannot be read is kept.
    async fn unused(
        &mut self,
        disk: &Disk,
        dir: &Path,
        segment: u64,
        head: Head,
    ) -> Result<(), RecoverError> {
        let path = dir.join(segment_name(segment));
        if matches!(head, Head::Damaged) {
            let file = disk.open_file(&path, Access::Durable, Opening::Existing).await?;
            let bytes = read_all(&file).await?;
            file.close().await?;
            let copy = quarantine(disk, dir, segment, bytes).await?;
            self.findings.extend(copy.map(Finding::Quarantined));
        }
        let spare = (0..)
            .map(spare_name)
            .find(|name| !self.spares.contains(name))
            .expect("numbers do not end");
        disk.rename(&path, &dir.join(&spare)).await?;
        disk.sync_dir(dir).await?;
        self.spares.push(spare);
        Ok(())
    }
}

/// Copies a damaged segment aside, once.
async fn quarantine(disk: &Disk, dir: &Path, segment: u64, bytes: Vec<u8>) -> io::Result<Option<PathBuf>> {
    let aside = dir.join(QUARANTINE);
    disk.create_dir(&aside).await?;
    let name = segment_name(segment);
    if disk.list(&aside).await?.iter().any(|listed| listed.name == name) {
        return Ok(None);
    }
    disk.sync_dir(dir).await?;
    match write_metadata(disk, &aside, &name, bytes).await {
        Ok(()) => Ok(Some(aside.join(name))),
        // The log can be read all the same; the copy is made at the next start if there is room then.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(None),
        Err(error) => Err(error),
    }
}
