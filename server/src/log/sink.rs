//! Where lines go: stderr, a file, syslog.
//!
//! Owns: opening the place that the options name and writing to it. Used by the writer thread only.

use std::io::{self, IsTerminal, Write};

use jiff::tz::TimeZone;

use super::file::{LogFile, Notice};
use super::line::{Line, Shape};
use super::syslog::Syslog;
use super::{Destination, LogError, LogOptions};
use crate::cli::go_syntax::os_error;

/// Bytes gathered before a write even if more lines wait.
const BATCH_SIZE: usize = 64 * 1024;

enum Place {
    Stderr,
    File(LogFile),
    Syslog(Box<Syslog>),
}

/// An open place and how lines look there.
pub(super) struct Sink {
    place: Place,
    shape: Shape,
    batch: Vec<u8>,
    /// Lines in `batch`.
    batch_count: u64,
    /// Lines that could not be written since this was last asked.
    lost_count: u64,
}

/// What came of opening the file again.
pub(super) enum Reopened {
    Yes,
    NotAFile,
    Failed(String),
}

impl Sink {
    pub(super) fn open(options: &LogOptions) -> Result<Sink, LogError> {
        let place = match &options.destination {
            Destination::Stderr => Place::Stderr,
            Destination::File(file) => {
                Place::File(LogFile::open(file.clone()).map_err(|error| LogError::File {
                    path: file.path.clone(),
                    cause: os_error(&error),
                })?)
            }
            Destination::Syslog(address) => {
                let syslog = Syslog::open(address.clone(), &options.tag, std::process::id())
                    .map_err(|error| LogError::Syslog(os_error(&error)))?;
                Place::Syslog(Box::new(syslog))
            }
        };
        let shape = Shape {
            format: options.format,
            pid: std::process::id(),
            time: options.time,
            utc: options.time_utc,
            color: matches!(place, Place::Stderr) && io::stderr().is_terminal(),
            zone: TimeZone::system(),
            last_second: None,
        };
        Ok(Sink {
            place,
            shape,
            batch: Vec::new(),
            batch_count: 0,
            lost_count: 0,
        })
    }

    /// Takes one line; it is on its way after the next [`Sink::flush`].
    pub(super) fn write(&mut self, line: &Line) {
        if let Place::Syslog(syslog) = &mut self.place {
            if syslog.write(line, &self.shape.zone).is_err() {
                self.lost_count += 1;
            }
            return;
        }
        self.shape.write(&mut self.batch, line);
        self.batch_count += 1;
        let room = match &self.place {
            Place::File(file) => file.room(),
            _ => u64::MAX,
        };
        if self.batch.len() >= BATCH_SIZE || self.batch.len() as u64 > room {
            self.flush();
        }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let written = match &mut self.place {
            Place::Stderr => io::stderr().write_all(&self.batch),
            Place::File(file) => file.write(&self.batch),
            Place::Syslog(_) => Ok(()),
        };
        if written.is_err() {
            self.lost_count += self.batch_count;
        }
        self.batch.clear();
        self.batch_count = 0;
    }

    /// True when the file has to be rotated before the next line. Nothing is gathered then.
    pub(super) fn is_over_limit(&self) -> bool {
        self.batch.is_empty() && matches!(&self.place, Place::File(file) if file.is_over_limit())
    }

    /// Rotates the file and gives back what there is to say about it.
    pub(super) fn rotate(&mut self, now_us: i64) -> Vec<Notice> {
        match &mut self.place {
            Place::File(file) => file.rotate(now_us, &self.shape.zone),
            _ => Vec::new(),
        }
    }

    pub(super) fn reopen(&mut self) -> Reopened {
        self.flush();
        match &mut self.place {
            Place::File(file) => match file.reopen() {
                Ok(()) => Reopened::Yes,
                Err(error) => Reopened::Failed(os_error(&error)),
            },
            _ => Reopened::NotAFile,
        }
    }

    /// Lines lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost_count)
    }
}
