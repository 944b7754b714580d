//! The log file: appending, rotation by size, opening it again.
//!
//! Owns: the file, its size, the names of rotated files and how many are kept.
//! Not here: how lines look (`line`), the thread (`writer`).
//! Units: `*_size` in bytes.
//!
//! A file is rotated once it is *larger* than the limit, so it may pass it by one line. A rotated file is
//! called `<file>.YYYY.MM.DD.hh.mm.ss.nnnnnnnnn`, in local time, as by the Go server. `max_files` counts the
//! current file too. A rotation that fails is said in the log, doubles the limit until the next one, and loses no
//! line: the old file stays open until the new one is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::Timestamp;

use super::line::Level;
use crate::cli::go_syntax::{os_error, quote};

/// Access to the log file: the owner writes, the group reads.
const FILE_MODE: u32 = 0o640;

/// Where the log file is and when it is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The file.
    pub path: PathBuf,
    /// Rotate beyond this size; 0 for never. `logfile_size_limit`
    pub size_limit: u64,
    /// Keep so many files, the current one included; 0 for all. `logfile_max_num`
    pub max_files: usize,
}

/// The open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    options: FileOptions,
    file: File,
    written_size: u64,
    /// The limit in force: the configured one, or more after a failed rotation.
    limit_now: u64,
}

/// Something the log file has to say in the log.
pub(super) type Notice = (Level, String);

impl LogFile {
    pub(super) fn open(options: FileOptions) -> io::Result<LogFile> {
        let file = open_append(&options.path)?;
        let written_size = file.metadata()?.len();
        Ok(LogFile {
            limit_now: options.size_limit,
            options,
            file,
            written_size,
        })
    }

    /// True when the next line must go to a new file.
    pub(super) fn is_over_limit(&self) -> bool {
        self.options.size_limit > 0 && self.written_size > self.limit_now
    }

    /// How many bytes fit before the file is over its limit.
    pub(super) fn room(&self) -> u64 {
        if self.options.size_limit == 0 {
            u64::MAX
        } else {
            self.limit_now.saturating_sub(self.written_size)
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written_size += bytes.len() as u64;
        Ok(())
    }

    /// Closes the file and opens it by its name, for those who moved it away.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = LogFile::open(self.options.clone())?;
        Ok(())
    }

    /// Moves the file aside, starts a new one, deletes the oldest beyond the number to keep.
    pub(super) fn rotate(&mut self, now_us: i64, zone: &TimeZone) -> Vec<Notice> {
        let backup = self.free_backup_name(now_us, zone);
        let moved =
            std::fs::rename(&self.options.path, &backup).and_then(|()| open_append(&self.options.path));
        match moved {
            Ok(file) => {
                self.file = file;
                self.written_size = 0;
                self.limit_now = self.options.size_limit;
                let saved = format!("Rotated log, backup saved as {}", quoted(&backup));
                let mut notices = vec![(Level::Info, saved)];
                self.purge(&mut notices);
                notices
            }
            Err(error) => {
                self.limit_now = self.limit_now.max(self.written_size).saturating_mul(2);
                vec![(
                    Level::Error,
                    format!(
                        "Unable to rotate the logfile ({}), will attempt next rotation at size {}",
                        os_error(&error),
                        self.limit_now
                    ),
                )]
            }
        }
    }

    /// Two rotations within one microsecond must not overwrite each other's file.
    fn free_backup_name(&self, now_us: i64, zone: &TimeZone) -> PathBuf {
        let when = Timestamp::from_microsecond(now_us)
            .unwrap_or_default()
            .to_zoned(zone.clone());
        let stamp = when.strftime("%Y.%m.%d.%H.%M.%S");
        let first_ns = now_us.rem_euclid(1_000_000) * 1_000;
        (first_ns..)
            .map(|ns| {
                let mut name = self.options.path.clone().into_os_string();
                name.push(format!(".{stamp}.{ns:09}"));
                PathBuf::from(name)
            })
            .find(|name| !name.exists())
            .expect("the range has no end")
    }

    fn purge(&self, notices: &mut Vec<Notice>) {
        if self.options.max_files == 0 {
            return;
        }
        let directory = match self.options.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let backups = match self.backups(directory) {
            Ok(backups) => backups,
            Err(error) => {
                notices.push((
                    Level::Error,
                    format!(
                        "Unable to read directory {} for log purge ({}), will attempt next rotation",
                        quoted(directory),
                        os_error(&error)
                    ),
                ));
                return;
            }
        };
        let excess = backups.len().saturating_sub(self.options.max_files - 1);
        for name in backups.iter().take(excess) {
            let shown = quote(name);
            if let Err(error) = std::fs::remove_file(directory.join(name)) {
                notices.push((
                    Level::Error,
                    format!(
                        "Unable to remove backup log file {shown} ({}), will attempt next rotation",
                        os_error(&error)
                    ),
                ));
                return;
            }
            notices.push((Level::Info, format!("Purged log file {shown}")));
        }
    }

    /// Names of rotated files, oldest first: the stamp sorts as text. Other files are not touched.
    fn backups(&self, directory: &Path) -> io::Result<Vec<String>> {
        let base = self
            .options
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let stamp = name.strip_prefix(&*base).and_then(|rest| rest.strip_prefix('.'));
            if stamp.is_some_and(is_stamp) && !entry.file_type()?.is_dir() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// `YYYY.MM.DD.hh.mm.ss.nnnnnnnnn`, and a time there is.
fn is_stamp(text: &str) -> bool {
    const WIDTHS: [usize; 7] = [4, 2, 2, 2, 2, 2, 9];
    let parts: Vec<&str> = text.split('.').collect();
    let shaped = parts.len() == WIDTHS.len()
        && parts
            .iter()
            .zip(WIDTHS)
            .all(|(part, width)| part.len() == width && part.bytes().all(|digit| digit.is_ascii_digit()));
    shaped && jiff::civil::DateTime::strptime("%Y.%m.%d.%H.%M.%S", &text[..19]).is_ok()
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
}

fn quoted(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what rotation made may be deleted by it.
    #[test]
    fn stamps() {
        assert!(is_stamp("2026.11.21.13.44.01.000000001"));
        for other in [
            "",
            "1",
            "gz",
            "2026.11.21.13.44.01.000000001.gz",
            "2026.13.21.13.44.01.000000001",
            "2026.11.21.13.44.01.1",
            "2026.11.21.13.44.0x.000000001",
            "+026.11.21.13.44.01.000000001",
        ] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
