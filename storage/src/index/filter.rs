//! A subject filter: a pattern that is walked one byte at a time, so that a tree can be pruned with it.
//!
//! Owns: matching by steps. Not here: whether a pattern is valid (`pinion_shard::subject`); of an invalid one, odd
//! tokens are taken byte by byte, as in a literal.

use pinion_shard::subject::{ANY_TOKEN, REST, SEPARATOR};

/// A pattern of subjects: literal, or with `*` and `>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Box<[u8]>);

/// How far a filter has been followed by the bytes of a subject.
///
/// `*` takes exactly one token, so there is never more than one way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the pattern's byte at this index.
    Before(usize),
    /// Inside a token that the `*` at this index takes.
    Token(usize),
    /// Behind the beginning of what `>` takes.
    Rest,
}

impl Filter {
    /// The filter of this pattern; an empty pattern is `>`.
    pub fn new(pattern: &[u8]) -> Self {
        let pattern = if pattern.is_empty() { b">" } else { pattern };
        Self(pattern.into())
    }

    /// The filter that every subject matches.
    pub fn all() -> Self {
        Self::new(b">")
    }

    /// The pattern's text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is `>`.
    pub fn is_all(&self) -> bool {
        *self.0 == *b">"
    }

    /// Whether only one subject matches: the pattern itself.
    pub fn is_literal(&self) -> bool {
        pinion_shard::subject::is_literal(&self.0)
    }

    /// Whether this subject matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        if self.is_all() {
            return true;
        }
        let mut step = self.start();
        for byte in subject {
            match self.advance(step, *byte) {
                Some(next) => step = next,
                None => return false,
            }
        }
        self.is_end(step)
    }

    /// The step before the first byte.
    pub fn start(&self) -> Step {
        Step(Place::Before(0))
    }

    /// The step after one more byte of the subject; `None` when no such subject can match.
    pub fn advance(&self, step: Step, byte: u8) -> Option<Step> {
        let pattern = &*self.0;
        let place = match step.0 {
            Place::Rest => Place::Rest,
            Place::Token(at) if byte != SEPARATOR => Place::Token(at),
            Place::Token(at) if at + 1 < pattern.len() => Place::Before(at + 2),
            Place::Token(_) => return None,
            Place::Before(at) => {
                let token_start = at == 0 || pattern[at - 1] == SEPARATOR;
                let after = pattern.get(at + 1);
                match *pattern.get(at)? {
                    ANY_TOKEN if token_start && matches!(after, None | Some(&SEPARATOR)) => {
                        if byte == SEPARATOR {
                            return None;
                        }
                        Place::Token(at)
                    }
                    REST if token_start && after.is_none() => Place::Rest,
                    same if same == byte => Place::Before(at + 1),
                    _ => return None,
                }
            }
        };
        Some(Step(place))
    }

    /// Whether a subject that ends here matches.
    pub fn is_end(&self, step: Step) -> bool {
        match step.0 {
            Place::Rest => true,
            Place::Token(at) => at + 1 == self.0.len(),
            Place::Before(at) => at == self.0.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Steps agree with the matcher of whole subjects.
    #[test]
    fn steps_agree_with_whole_subjects() {
        proptest!(|(
            subject in "[ab](\\.[ab]{1,2}){0,3}",
            pattern in "([ab]{1,2}|\\*)(\\.([ab]{1,2}|\\*)){0,3}(\\.>)?",
        )| {
            prop_assert_eq!(
                Filter::new(pattern.as_bytes()).matches(subject.as_bytes()),
                pinion_shard::subject::wildcard::matches(subject.as_bytes(), pattern.as_bytes()),
            );
        });
    }
}
