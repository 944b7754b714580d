//! One finding about a configuration: where it is and what is wrong.
//!
//! Owns: positions, severities, the printed form `file:line:column: what is wrong`.
//! Units: line and column count from 1; a column counts bytes, as the peer's do.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The file as it was named; empty for text that came from no file.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In bytes, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The server does not start.
    Error,
    /// The server starts; `-t` reports failure, as the peer does for the same finding.
    Warning,
    /// The server starts and `-t` succeeds: the key is known, does nothing here, and that is harmless.
    Notice,
}

/// One finding about a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where; `None` for findings about no place in a file.
    pub at: Option<Position>,
    /// What is wrong, in one line.
    pub text: String,
}

impl Diagnostic {
    /// A finding that keeps the server from starting.
    pub fn error(at: Option<Position>, text: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            at,
            text: text.into(),
        }
    }

    /// A finding that the peer warns about.
    pub fn warning(at: Option<Position>, text: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            at,
            text: text.into(),
        }
    }

    /// A known key without effect.
    pub fn notice(at: Option<Position>, text: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Notice,
            at,
            text: text.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
