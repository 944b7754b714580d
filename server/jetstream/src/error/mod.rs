//! What the API answers instead of what was asked for.
//!
//! Owns: the shape of an error and filling in its text. The texts are in `table`.

mod table;

use std::borrow::Cow;

use serde::Serialize;

pub use table::*;

/// A line of the table; its text may have places in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind {
    /// Status in the manner of HTTP. JSON: `code`.
    pub code: u16,
    /// The error's number. JSON: `err_code`.
    pub err_code: u16,
    /// The text.
    pub text: &'static str,
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiError {
    /// Status in the manner of HTTP.
    pub code: u16,
    /// The error's number.
    pub err_code: u16,
    /// The text.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: Cow<'static, str>,
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        Self {
            code: kind.code,
            err_code: kind.err_code,
            description: Cow::Borrowed(kind.text),
        }
    }
}

impl ErrorKind {
    /// The error with every place of its text filled by `value`.
    pub fn with(self, value: impl std::fmt::Display) -> ApiError {
        let value = value.to_string();
        let mut description = String::with_capacity(self.text.len() + value.len());
        let mut rest = self.text;
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').expect("the table closes its braces");
            description.push_str(before);
            description.push_str(&value);
            rest = after;
        }
        description.push_str(rest);
        ApiError {
            description: Cow::Owned(description),
            ..self.into()
        }
    }

    /// The error with two different places filled in order.
    pub fn with_two(self, first: &str, second: &str) -> ApiError {
        let mut description = String::with_capacity(self.text.len() + first.len() + second.len());
        let mut rest = self.text;
        for value in [first, second] {
            let (before, after) = rest.split_once('{').expect("the text has two places");
            let (_, after) = after.split_once('}').expect("the table closes its braces");
            description.push_str(before);
            description.push_str(value);
            rest = after;
        }
        description.push_str(rest);
        ApiError {
            description: Cow::Owned(description),
            ..self.into()
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are unique and in order, statuses are of HTTP, braces close.
    #[test]
    fn the_table_is_well_formed() {
        assert_eq!(ALL.len(), 226);
        for pair in ALL.windows(2) {
            assert!(pair[0].err_code < pair[1].err_code, "{pair:?}");
        }
        for kind in ALL {
            assert!((400..600).contains(&kind.code), "{kind:?}");
            assert_eq!(
                kind.text.matches('{').count(),
                kind.text.matches('}').count(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn places_are_filled() {
        assert_eq!(
            STREAM_WRONG_LAST_SEQUENCE.with(7).description,
            "wrong last sequence: 7"
        );
        assert_eq!(
            STREAM_EXTERNAL_API_OVERLAP.with_two("a", "b").description,
            "stream external api prefix a must not overlap with b"
        );
    }
}
