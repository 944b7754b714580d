//! Lines of libraries that log by the `log` crate, glommio among them.
//!
//! Owns: taking over their warnings and errors, with the library's name in front. The rest is theirs.

use log::{LevelFilter, Log, Metadata, Record};

use super::line::Level;
use super::writer::LogHandle;

/// The least that a library must say to be heard.
pub(super) const LEAST: LevelFilter = LevelFilter::Warn;

/// Hands records to the log.
pub(super) struct LibraryLog(pub(super) LogHandle);

impl Log for LibraryLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LEAST
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = if record.level() == log::Level::Error {
                Level::Error
            } else {
                Level::Warn
            };
            self.0
                .log(level, format!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}
