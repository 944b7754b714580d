//! A value that must not be printed: passwords, tokens, keys, urls that hold them.
//!
//! Invariant: no formatting of it, nor of anything that holds it, shows the value. It has no `Display`
//! of the value, no `Serialize`; the one way out is [`Redacted::reveal`], which is easy to search for.

use std::fmt;

/// What stands in the place of the value.
pub const MASK: &str = "[REDACTED]";

/// A secret. Prints as `[REDACTED]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Self {
        Redacted(secret)
    }

    /// The secret itself, for the one place that needs it. Never for a message.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
