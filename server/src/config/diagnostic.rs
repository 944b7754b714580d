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
        Diagnostic::new(Severity::Error, at, text.into())
    }

    /// A finding that the peer warns about.
    pub fn warning(at: Option<Position>, text: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, at, text.into())
    }

    /// Names and values of a file may hold line breaks and worse; a finding shows them escaped.
    fn new(severity: Severity, at: Option<Position>, text: String) -> Diagnostic {
        let text = if text.contains(char::is_control) {
            let escape = |c: char| {
                if c.is_control() {
                    c.escape_default().collect()
                } else {
                    String::from(c)
                }
            };
            text.chars().map(escape).collect()
        } else {
            text
        };
        Diagnostic { severity, at, text }
    }

    /// A known key without effect.
    pub fn notice(at: Option<Position>, text: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Notice, at, text.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file names may hold line breaks; the finding is one line all the same.
    #[test]
    fn finding_is_one_line_whatever_it_names() {
        let found = crate::config::parse_bytes(b"include \"a\nb\x1b\" # \n\nx: 1")
            .expect_err("there is no such file");
        let texts: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains("a\\nb"), "{texts:?}");
        assert!(!texts[0].contains(char::is_control), "{texts:?}");
    }
}
