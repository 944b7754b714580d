//! Which subject a pattern matches, which pattern covers another, which two could meet, and where.
//!
//! Owns: these relations over whole subjects; those that answer yes or no do not allocate. Not here: many patterns at once (`sublist`).
//! [`matches`] is the relation of delivery: the subject's tokens are text even where they read `*` or `>`.
//! [`is_subset`] and [`collides`] compare patterns. They keep two habits of the peer that stored configurations may
//! lean on: a pattern token that merely starts with `*` (such as `*x`) covers any token in `is_subset`, and in
//! `collides` two patterns meet at a token as soon as one side starts with `*` or `>`.

use super::{first_token, is_literal, token_count, tokens, Tokens, ANY_TOKEN, REST, SEPARATOR};

/// What is left after a pattern ran along a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// They differ, or the subject ended first.
    Differs,
    /// The pattern matched the whole subject.
    Matched,
    /// The pattern ended; the subject goes on at this offset.
    Continues(usize),
}

/// Runs a valid pattern along the tokens of a subject.
#[inline]
pub fn advance(pattern: &[u8], subject: &[u8]) -> Advance {
    let (mut pattern_rest, mut at) = (pattern, 0);
    loop {
        let wanted = first_token(pattern_rest);
        let token = first_token(&subject[at..]);
        match wanted {
            [REST] => return Advance::Matched,
            [ANY_TOKEN] => {}
            _ if wanted != token => return Advance::Differs,
            _ => {}
        }
        let pattern_ended = wanted.len() == pattern_rest.len();
        at += token.len() + 1;
        match (pattern_ended, at > subject.len()) {
            (true, true) => return Advance::Matched,
            (true, false) => return Advance::Continues(at),
            (false, true) => return Advance::Differs,
            (false, false) => pattern_rest = &pattern_rest[wanted.len() + 1..],
        }
    }
}

/// Whether a message published to `subject` reaches a subscription to `pattern`. Both must be free of empty tokens.
#[inline]
pub fn matches(subject: &[u8], pattern: &[u8]) -> bool {
    advance(pattern, subject) == Advance::Matched
}

/// Whether every subject that `subject` (maybe itself a pattern) stands for is also one of `pattern`.
pub fn is_subset(subject: &[u8], pattern: &[u8]) -> bool {
    let mut left = tokens(subject);
    for wanted in tokens(pattern) {
        let Some(token) = left.next() else {
            return false;
        };
        match (token, wanted) {
            (_, []) => return false,
            (_, [REST]) => return true,
            ([] | [REST], _) => return false,
            ([ANY_TOKEN], _) => {
                if wanted != [ANY_TOKEN] {
                    return false;
                }
            }
            _ => {
                if wanted[0] != ANY_TOKEN && token != wanted {
                    return false;
                }
            }
        }
    }
    left.next().is_none()
}

/// Whether some literal subject could match both.
pub fn collides(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    match (is_literal(one), is_literal(other)) {
        (true, true) => return false,
        (true, false) => return is_subset(one, other),
        (false, true) => return is_subset(other, one),
        (false, false) => {}
    }
    let (count_one, count_other) = (token_count(one), token_count(other));
    if count_one < count_other && !has_rest(one) || count_other < count_one && !has_rest(other) {
        return false;
    }
    tokens(one)
        .zip(tokens(other))
        .all(|(a, b)| match (a.first(), b.first()) {
            (None, _) | (_, None) => false,
            (Some(&(ANY_TOKEN | REST)), _) | (_, Some(&(ANY_TOKEN | REST))) => true,
            _ => a == b,
        })
}

/// The pattern of the literal subjects that match both patterns; `None`: there is none.
pub fn intersection(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut common = Vec::with_capacity(one.len().max(other.len()));
    let (mut ones, mut others) = (tokens(one), tokens(other));
    loop {
        let (a, b) = match (ones.next(), others.next()) {
            (None, None) => {
                common.pop();
                return Some(common);
            }
            (Some([REST]), Some(b)) => return Some(append_rest(common, b, others)),
            (Some(a), Some([REST])) => return Some(append_rest(common, a, ones)),
            (Some(a), Some(b)) => (a, b),
            _ => return None,
        };
        match (a, b) {
            ([ANY_TOKEN], token) | (token, [ANY_TOKEN]) => common.extend_from_slice(token),
            _ if a == b => common.extend_from_slice(a),
            _ => return None,
        }
        common.push(SEPARATOR);
    }
}

fn append_rest(mut common: Vec<u8>, first: &[u8], rest: Tokens<'_>) -> Vec<u8> {
    common.extend_from_slice(first);
    for token in rest {
        common.push(SEPARATOR);
        common.extend_from_slice(token);
    }
    common
}

/// Also true for a `>` in the middle, which is no valid pattern, but the peer compares those too.
fn has_rest(pattern: &[u8]) -> bool {
    tokens(pattern).any(|token| token == [REST])
}
