//! Subjects: tokens between dots, what is valid as one, which wildcards match what, how one becomes another.
//!
//! Owns: the rules of the wire's subject text as pure functions over bytes (here), matching of one pattern
//! (`wildcard`), and the compiled transforms and weighted mappings built on them.
//! Not here: who subscribed to what (`sublist`), permissions, the subjects of JetStream.
//! Subjects are bytes, not checked for UTF-8 unless said so, as on the wire.
//!
//! Three rules exist side by side because the wire has three places with different needs:
//!   `is_valid_literal`   a publish subject of a pedantic client: no empty token, no wildcard; white space passes
//!   `is_insertable`      a subscription: no empty token, `>` only as the last token; white space passes
//!   `is_valid`           subjects from config, JWT and API: `is_insertable`, and no white space
//! A publish subject of a client that is not pedantic is not checked at all; with an empty token it matches nothing.

mod function;
pub mod mapping;
pub mod transform;
pub mod wildcard;

#[cfg(test)]
mod tests;

/// What stands between two tokens.
pub const SEPARATOR: u8 = b'.';
/// A token of this byte alone matches one token.
pub const ANY_TOKEN: u8 = b'*';
/// A token of this byte alone, in the last place, matches one or more tokens.
pub const REST: u8 = b'>';

/// The tokens of a subject in order; an empty subject is one empty token.
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// Iterator of [`tokens`]; it borrows the subject and allocates nothing.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let token = first_token(rest);
        self.rest = rest.get(token.len() + 1..);
        Some(token)
    }
}

/// The bytes before the first separator, or all of them.
#[inline]
pub fn first_token(subject: &[u8]) -> &[u8] {
    match subject.iter().position(|&byte| byte == SEPARATOR) {
        Some(end) => &subject[..end],
        None => subject,
    }
}

/// How many tokens a subject has; an empty subject has none.
pub fn token_count(subject: &[u8]) -> usize {
    if subject.is_empty() {
        return 0;
    }
    subject.iter().filter(|&&byte| byte == SEPARATOR).count() + 1
}

/// The token at `index`, counted from 0.
pub fn token_at(subject: &[u8], index: usize) -> Option<&[u8]> {
    tokens(subject).nth(index)
}

/// Whether this token stands for other tokens. `foo*` and `>>` do not.
#[inline]
pub fn is_wildcard_token(token: &[u8]) -> bool {
    matches!(token, [ANY_TOKEN | REST])
}

/// Whether no token is a wildcard. Says nothing about validity.
#[inline]
pub fn is_literal(subject: &[u8]) -> bool {
    for (at, &byte) in subject.iter().enumerate() {
        if (byte == ANY_TOKEN || byte == REST)
            && (at == 0 || subject[at - 1] == SEPARATOR)
            && subject.get(at + 1).is_none_or(|&next| next == SEPARATOR)
        {
            return false;
        }
    }
    true
}

/// Whether a token is empty: such a subject can neither be subscribed to nor be delivered.
#[inline]
pub fn has_empty_token(subject: &[u8]) -> bool {
    let mut previous = SEPARATOR;
    for &byte in subject {
        if byte == SEPARATOR && previous == SEPARATOR {
            return true;
        }
        previous = byte;
    }
    previous == SEPARATOR
}

/// Whether a subscription may have this subject: no empty token, `>` only as the last one.
#[inline]
pub fn is_insertable(subject: &[u8]) -> bool {
    !has_empty_token(subject) && !has_early_rest(subject)
}

/// Whether a subject from config, JWT or API is valid: as a subscription, and without white space.
pub fn is_valid(subject: &[u8]) -> bool {
    is_insertable(subject)
        && !subject
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c))
}

/// Whether a subject is valid and has no wildcard: the destination of a publish by the server itself.
pub fn is_valid_publish(subject: &[u8]) -> bool {
    is_valid(subject) && is_literal(subject)
}

/// The check a pedantic client's publish gets: no empty token and no wildcard; white space is not looked at.
pub fn is_valid_literal(subject: &[u8]) -> bool {
    !has_empty_token(subject) && is_literal(subject)
}

/// The strict form for names that end up on disk: valid, no NUL, and well-formed UTF-8 without the replacement character.
pub fn is_valid_strict(subject: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(subject) else {
        return false;
    };
    is_valid(subject) && !text.contains(['\0', char::REPLACEMENT_CHARACTER])
}

/// A `>` token with another token after it.
fn has_early_rest(subject: &[u8]) -> bool {
    let mut previous = SEPARATOR;
    for pair in subject.windows(2) {
        if previous == SEPARATOR && pair == [REST, SEPARATOR] {
            return true;
        }
        previous = pair[0];
    }
    false
}
