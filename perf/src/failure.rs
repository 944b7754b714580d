//! Failure: why a row gave no number.
//!
//! Owns: the reasons and their wording. A failed row is never a fast row: a lost, doubled or misshapen message ends
//! the measurement here.

use std::fmt;
use std::io;

/// Why a measurement ended without a result.
#[derive(Debug)]
pub enum Failure {
    /// A system call failed; `doing` says what was tried.
    Io { doing: String, source: io::Error },
    /// The server closed a connection that should have stayed open.
    Closed,
    /// The server sent `-ERR`.
    ServerError(String),
    /// The server sent bytes that are no NATS frame, or a frame nobody asked for.
    Protocol(String),
    /// Fewer or more messages arrived than were published for this load.
    Count { expected: u64, got: u64 },
    /// A message arrived out of order, with a wrong size or twice.
    Message(String),
    /// Nothing moved for `seconds`.
    Stalled { seconds: u64, waiting_for: String },
    /// The server could not be started, or its process is gone.
    Server(String),
    /// This machine or this server cannot carry the row.
    Setup(String),
}

impl Failure {
    /// Wraps an I/O error with what was being done.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Closed => write!(f, "the server closed a connection"),
            Self::ServerError(text) => write!(f, "the server answered -ERR {text}"),
            Self::Protocol(text) => write!(f, "not a NATS frame: {text}"),
            Self::Count { expected, got } if got < expected => {
                write!(f, "{} of {expected} messages lost", expected - got)
            }
            Self::Count { expected, got } => {
                write!(f, "{} messages beyond the {expected} expected", got - expected)
            }
            Self::Message(text) => write!(f, "wrong message: {text}"),
            Self::Stalled { seconds, waiting_for } => {
                write!(f, "nothing moved for {seconds} s while waiting for {waiting_for}")
            }
            Self::Server(text) | Self::Setup(text) => write!(f, "{text}"),
        }
    }
}

impl std::error::Error for Failure {}
