//! The functions a destination token of a transform may call, such as `{{partition(10,1)}}` or `$2`.
//!
//! Owns: reading one destination token. Not here: what the wildcard numbers refer to and running the function
//! (`transform`).
//! The reading is as lenient as the peer's: white space inside the braces, a capital first letter, and text around
//! the call inside the outer braces all pass.

use super::transform::{DestinationFault, TransformError};
use super::SEPARATOR;

/// What one destination token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// No function: the token itself.
    Text,
    /// The source token at this wildcard. Wildcards count from 1.
    Wildcard(i64),
    /// A bucket from the hash of the tokens at these wildcards, or of the whole subject when there are none.
    Partition { buckets: i32, wildcards: Vec<i64> },
    /// A random number below this.
    Random { bound: i32 },
    /// The token at a wildcard, cut at or into parts.
    Cut { cut: Cut, wildcard: i64 },
}

/// Ways to cut a token. Sizes and positions that do not lie inside the token leave it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Two parts, the first this long.
    SplitFromLeft(i32),
    /// Two parts, the second this long.
    SplitFromRight(i32),
    /// Parts of this size, a shorter one last.
    SliceFromLeft(i32),
    /// Parts of this size, a shorter one first.
    SliceFromRight(i32),
    /// The parts between occurrences of this.
    Split(Box<[u8]>),
    /// The first bytes alone.
    Left(i32),
    /// The last bytes alone.
    Right(i32),
}

/// Names as the peer tries them; a letter given in both cases may be either.
const WILDCARD: Name = Name("wildcard", &[0]);
const PARTITION: Name = Name("partition", &[0]);
const SPLIT_FROM_LEFT: Name = Name("splitfromleft", &[0, 5, 9]);
const SPLIT_FROM_RIGHT: Name = Name("splitfromright", &[0, 5, 9]);
const SLICE_FROM_LEFT: Name = Name("slicefromleft", &[0, 5, 9]);
const SLICE_FROM_RIGHT: Name = Name("slicefromright", &[0, 5, 9]);
const RIGHT: Name = Name("right", &[0]);
const LEFT: Name = Name("left", &[0]);
const SPLIT: Name = Name("split", &[0]);
const RANDOM: Name = Name("random", &[0]);

/// A function's name in small letters, and the positions where a capital may stand.
struct Name(&'static str, &'static [usize]);

/// Reads one destination token.
pub(super) fn parse(token: &[u8]) -> Result<Placeholder, TransformError> {
    if let [b'$', number @ ..] = token {
        // Tokens that merely start with `$` are common and stay as they are.
        return Ok(integer(number).map_or(Placeholder::Text, Placeholder::Wildcard));
    }
    if !is_braced(token) {
        return Ok(Placeholder::Text);
    }
    parse_call(token).map_err(|fault| TransformError::destination(fault, token))
}

/// Whether a token looks like a function call.
pub(super) fn is_braced(token: &[u8]) -> bool {
    token.len() > 4 && token.starts_with(b"{{") && token.ends_with(b"}}")
}

/// Whether a braced token calls a function that account mappings know. The peer leaves out `left` and `right` here.
pub(super) fn is_mapping_function(token: &[u8]) -> bool {
    const KNOWN: [&Name; 8] = [
        &PARTITION,
        &WILDCARD,
        &SPLIT_FROM_LEFT,
        &SPLIT_FROM_RIGHT,
        &SLICE_FROM_LEFT,
        &SLICE_FROM_RIGHT,
        &SPLIT,
        &RANDOM,
    ];
    KNOWN.iter().any(|name| arguments(token, name).is_some())
}

fn parse_call(token: &[u8]) -> Result<Placeholder, DestinationFault> {
    if let Some(arguments) = arguments(token, &WILDCARD) {
        return match arguments[..] {
            [[]] => Err(DestinationFault::NotEnoughArguments),
            [wildcard] => Ok(Placeholder::Wildcard(integer_argument(wildcard)?)),
            _ => Err(DestinationFault::TooManyArguments),
        };
    }
    if let Some(arguments) = arguments(token, &PARTITION) {
        let buckets = bound_argument(arguments[0])?;
        let wildcards = arguments[1..]
            .iter()
            .map(|wildcard| integer_argument(wildcard))
            .collect::<Result<_, _>>()?;
        return Ok(Placeholder::Partition { buckets, wildcards });
    }
    type SizedCut = (&'static Name, fn(i32) -> Cut);
    let sized: [SizedCut; 6] = [
        (&SPLIT_FROM_LEFT, Cut::SplitFromLeft),
        (&SPLIT_FROM_RIGHT, Cut::SplitFromRight),
        (&SLICE_FROM_LEFT, Cut::SliceFromLeft),
        (&SLICE_FROM_RIGHT, Cut::SliceFromRight),
        (&RIGHT, Cut::Right),
        (&LEFT, Cut::Left),
    ];
    for (name, cut) in sized {
        if let Some(arguments) = arguments(token, name) {
            let [wildcard, size] = two_arguments(&arguments)?;
            let wildcard = integer_argument(wildcard)?;
            let size =
                i32::try_from(integer_argument(size)?).map_err(|_| DestinationFault::InvalidArgument)?;
            return Ok(Placeholder::Cut {
                cut: cut(size),
                wildcard,
            });
        }
    }
    if let Some(arguments) = arguments(token, &SPLIT) {
        let [wildcard, delimiter] = two_arguments(&arguments)?;
        let wildcard = integer_argument(wildcard)?;
        if delimiter.contains(&b' ') || delimiter.contains(&SEPARATOR) {
            return Err(DestinationFault::InvalidArgument);
        }
        return Ok(Placeholder::Cut {
            cut: Cut::Split(Box::from(delimiter)),
            wildcard,
        });
    }
    if let Some(arguments) = arguments(token, &RANDOM) {
        let [bound] = arguments[..] else {
            return Err(DestinationFault::NotEnoughArguments);
        };
        return Ok(Placeholder::Random {
            bound: bound_argument(bound)?,
        });
    }
    Err(DestinationFault::UnknownFunction)
}

/// The arguments of the first call of this function in the token; at least one, which may be empty.
fn arguments<'a>(token: &'a [u8], name: &Name) -> Option<Vec<&'a [u8]>> {
    (0..token.len())
        .find_map(|at| call_at(token.get(at..)?, name))
        .map(split_arguments)
}

/// What stands between the parentheses, when the text starts with `{{ name (`; up to the last `) }}`.
fn call_at<'a>(text: &'a [u8], name: &Name) -> Option<&'a [u8]> {
    let rest = skip_space(text.strip_prefix(b"{{")?);
    let (written, rest) = rest.split_at_checked(name.0.len())?;
    let expected = name.0.as_bytes();
    let is_name = written
        .iter()
        .zip(expected)
        .enumerate()
        .all(|(at, (&byte, &small))| {
            byte == small || (name.1.contains(&at) && byte.to_ascii_lowercase() == small)
        });
    if !is_name {
        return None;
    }
    let rest = skip_space(rest).strip_prefix(b"(")?;
    let line = rest.split(|&byte| byte == b'\n').next()?;
    let closing = (0..rest.len().min(line.len() + 1))
        .rev()
        .find(|&at| rest[at] == b')' && skip_space(&rest[at + 1..]).starts_with(b"}}"))?;
    Some(&rest[..closing])
}

/// Splits at each comma, which takes the white space after it along.
fn split_arguments(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = text.split(|&byte| byte == b',');
    let first = parts.next().unwrap_or_default();
    std::iter::once(first).chain(parts.map(skip_space)).collect()
}

fn two_arguments<'a>(arguments: &[&'a [u8]]) -> Result<[&'a [u8]; 2], DestinationFault> {
    match *arguments {
        [one, two] => Ok([one, two]),
        [] | [_] => Err(DestinationFault::NotEnoughArguments),
        _ => Err(DestinationFault::TooManyArguments),
    }
}

fn integer_argument(text: &[u8]) -> Result<i64, DestinationFault> {
    let start = text.iter().position(|&byte| byte != b' ').unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|&byte| byte != b' ')
        .map_or(start, |last| last + 1);
    integer(&text[start..end]).ok_or(DestinationFault::InvalidArgument)
}

/// A number of buckets or a bound. Too large is refused; too small wraps, as in the peer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the peer keeps the low 32 bits of a negative number"
)]
fn bound_argument(text: &[u8]) -> Result<i32, DestinationFault> {
    let value = integer_argument(text)?;
    if value > i64::from(i32::MAX) {
        return Err(DestinationFault::InvalidArgument);
    }
    Ok(value as i32)
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn skip_space(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c));
    &text[start.unwrap_or(text.len())..]
}
