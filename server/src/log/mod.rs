//! The log: the Go server's lines on `tracing`.
//!
//! Owns: the lines' shape, the places they go to, the writer thread, the mask for secrets.
//! Not here: what is logged. Code logs with `tracing::{error, warn, info, debug, trace}!` and
//! [`fatal!`](crate::fatal) and knows nothing of this module.
//!
//! ```text
//! shard --+
//! shard --+--> bounded queue --> writer thread --> stderr | file | syslog
//! main  --+      (drops, counts)
//! ```
//!
//! Invariants
//!   logging never waits: a line that does not fit is dropped and counted, and the log says so
//!   lines of one thread keep their order
//!   what was logged before a flush, an exit or a panic is written, unless the place itself hangs
//!   a [`Redacted`] value never shows
//!   what strangers cause is written so often in a while, then counted (`flood`)

mod clock;
mod file;
mod flood;
mod library_log;
mod line;
mod redacted;
mod sink;
mod subscriber;
mod syslog;
mod writer;

use std::fmt;
use std::path::PathBuf;

pub use clock::Clock;
pub use file::FileOptions;
pub use line::{Format, Level, Line};
pub use redacted::{Redacted, MASK};
pub use subscriber::LogSubscriber;
pub use syslog::SyslogAddress;
pub use writer::LogHandle;

use library_log::LibraryLog;
use sink::Sink;
use writer::Writer;

/// Logs a line that explains why the server is about to end.
#[macro_export]
macro_rules! fatal {
    ($($arg:tt)+) => {
        ::tracing::error!(fatal = true, $($arg)+)
    };
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The terminal, or what stands in its place.
    Stderr,
    /// `log_file`
    File(FileOptions),
    /// `syslog`, `remote_syslog`
    Syslog(SyslogAddress),
}

/// Everything the options say about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Where lines go. A file wins over a syslog server, that over the local syslog, as in the Go server.
    pub destination: Destination,
    /// How they look. Ours: `log_format`
    pub format: Format,
    /// `logtime`
    pub time: bool,
    /// `logtime_utc`
    pub time_utc: bool,
    /// `debug`
    pub debug: bool,
    /// `trace`
    pub trace: bool,
    /// The name in syslog: the last part of what the process was started as.
    pub tag: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            destination: Destination::Stderr,
            format: Format::Text,
            time: true,
            time_utc: false,
            debug: false,
            trace: false,
            tag: "pinion".to_owned(),
        }
    }
}

impl LogOptions {
    /// What the server's options say; `program` is the path this process was started as. The error is the Go
    /// server's text for a syslog url it cannot use.
    pub fn from_options(
        options: &crate::config::options::LogOptions,
        program: &str,
    ) -> Result<LogOptions, String> {
        let destination = if let Some(path) = &options.file {
            Destination::File(FileOptions {
                path: path.clone(),
                size_limit: options.file_size_max,
                max_files: usize::try_from(options.file_count_max).unwrap_or(0),
            })
        } else if let Some(url) = &options.remote_syslog {
            Destination::Syslog(SyslogAddress::parse(url)?)
        } else if options.syslog {
            Destination::Syslog(SyslogAddress::Local)
        } else {
            Destination::Stderr
        };
        let tag = program
            .rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or("pinion");
        Ok(LogOptions {
            destination,
            format: options.format,
            time: options.time,
            time_utc: options.time_utc,
            debug: options.debug,
            trace: options.trace,
            tag: tag.to_owned(),
        })
    }
}

/// Why the log cannot be written. The texts are the Go server's.
#[derive(Debug, PartialEq, Eq)]
pub enum LogError {
    /// The log file cannot be opened.
    File {
        /// The file.
        path: PathBuf,
        /// The OS's words.
        cause: String,
    },
    /// No syslog there.
    Syslog(String),
    /// The writer thread cannot be started.
    Thread(String),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::File { path, cause } => {
                write!(f, "error opening file: open {}: {cause}", path.display())
            }
            LogError::Syslog(cause) => {
                write!(
                    f,
                    "error connecting to syslog: {}",
                    crate::cli::go_syntax::quote(cause)
                )
            }
            LogError::Thread(cause) => write!(f, "error starting the log's thread: {cause}"),
        }
    }
}

impl std::error::Error for LogError {}

/// The running log. Dropping it writes what waits and ends the writer.
pub struct Log {
    writer: Writer,
}

impl Log {
    /// Opens the place the options name and starts the writer.
    pub fn start(options: &LogOptions, clock: Clock) -> Result<Log, LogError> {
        let sink = Sink::open(options)?;
        let writer = Writer::start(sink, clock, options.debug, options.trace)
            .map_err(|error| LogError::Thread(error.to_string()))?;
        Ok(Log { writer })
    }

    /// For those who flush, reopen or count.
    pub fn handle(&self) -> LogHandle {
        self.writer.handle().clone()
    }

    /// What `tracing` hands its events to.
    pub fn subscriber(&self) -> LogSubscriber {
        LogSubscriber::new(self.handle())
    }

    /// Makes this the process's log: `tracing` events of all threads come here, warnings of libraries that use the
    /// `log` crate too, and a panic is logged and flushed before the process ends. Once per process.
    pub fn install(&self) {
        tracing::subscriber::set_global_default(self.subscriber())
            .expect("the log is installed once, by the boot sequence");
        ::log::set_boxed_logger(Box::new(LibraryLog(self.handle())))
            .expect("the log is installed once, by the boot sequence");
        ::log::set_max_level(library_log::LEAST);
        let log = self.handle();
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            log.log(Level::Fatal, format!("Panic: {info}"));
            log.flush();
            previous(info);
        }));
    }

    /// Takes new options over while running. Nothing changes when the new place cannot be opened.
    pub fn reconfigure(&self, options: &LogOptions) -> Result<(), LogError> {
        let sink = Sink::open(options)?;
        let handle = self.writer.handle();
        handle.switch(sink);
        handle.set_levels(options.debug, options.trace);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
