//! One subject into another: compiled transforms such as `orders.*.*` -> `by-zone.$2.{{partition(8,1)}}`.
//!
//! Owns: checking a source and destination, running them on a subject, the reverse. Not here: reading a destination
//! token (`function`), choosing among several destinations (`mapping`).
//! Randomness comes in as an argument, so that a run can be repeated.
//!
//! Error texts are the peer's byte for byte.

use super::function::{self, Cut, Placeholder};
use super::wildcard::is_subset;
use super::{is_valid_literal, token_at, token_count, tokens, ANY_TOKEN, REST, SEPARATOR};

/// A checked source and destination.
#[derive(Clone, Debug)]
pub struct Transform {
    source: Box<[u8]>,
    destination: Box<[u8]>,
    /// One for each destination token, the `>` at the end excepted.
    pieces: Vec<Piece>,
    /// Source tokens before this one are named by wildcards; those from it on are copied. None without `>`.
    rest_from: Option<usize>,
}

/// What one destination token becomes. Source tokens count from 0.
#[derive(Clone, Debug)]
enum Piece {
    Text(Box<[u8]>),
    Token(usize),
    Partition { buckets: i32, tokens: Vec<usize> },
    Random { bound: i32 },
    Cut { cut: Cut, token: usize },
}

/// What a transform is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Any function may be used.
    Mapping,
    /// Imports: it must be possible to go back, so only wildcards, and each of them used.
    Import,
}

/// Why a transform cannot be, or did not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// The subject, source or destination is not valid, or one has a `>` and the other has none.
    BadSubject,
    /// The subject is not one of the source's.
    NoMatch,
    /// A token of the destination is wrong.
    Destination {
        /// What is wrong with it.
        fault: DestinationFault,
        /// The token, or nothing where the peer's text names none.
        token: String,
    },
}

/// What is wrong with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationFault {
    /// An empty token, something after `>`, or white space.
    InvalidTransform,
    /// An import that drops a wildcard of its source.
    NotAllWildcards,
    /// A call of a function that does not exist.
    UnknownFunction,
    /// A wildcard number beyond the source's wildcards.
    IndexOutOfRange,
    /// A call with too few arguments.
    NotEnoughArguments,
    /// An argument that is no number, or not one that fits.
    InvalidArgument,
    /// A call with too many arguments.
    TooManyArguments,
    /// A function other than wildcard in an import.
    NotSupportedForImport,
}

impl TransformError {
    pub(super) fn destination(fault: DestinationFault, token: &[u8]) -> TransformError {
        TransformError::Destination {
            fault,
            token: String::from_utf8_lossy(token).into_owned(),
        }
    }
}

impl std::fmt::Display for TransformError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TransformError::BadSubject => f.write_str("invalid subject"),
            TransformError::NoMatch => f.write_str("no matching transforms available"),
            TransformError::Destination { fault, token } if token.is_empty() => fault.fmt(f),
            TransformError::Destination { fault, token } => write!(f, "{fault} in {token}"),
        }
    }
}

impl std::error::Error for TransformError {}

impl std::fmt::Display for DestinationFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self {
            DestinationFault::InvalidTransform => "invalid transform",
            DestinationFault::NotAllWildcards => "not using all of the token wildcard(s)",
            DestinationFault::UnknownFunction => "unknown function",
            DestinationFault::IndexOutOfRange => "wildcard index out of range",
            DestinationFault::NotEnoughArguments => "not enough arguments passed to the function",
            DestinationFault::InvalidArgument => "function argument is invalid or in the wrong format",
            DestinationFault::TooManyArguments => "too many arguments passed to the function",
            DestinationFault::NotSupportedForImport => {
                "the only mapping function allowed for import transforms is {{Wildcard()}}"
            }
        };
        write!(f, "invalid mapping destination: {what}")
    }
}

impl Transform {
    /// Checks and compiles. An empty source means `>`; an empty destination means that there is no transform.
    pub fn compile(
        source: &[u8],
        destination: &[u8],
        for_use: Use,
    ) -> Result<Option<Transform>, TransformError> {
        if destination.is_empty() {
            return Ok(None);
        }
        let source = if source.is_empty() { &[REST] } else { source };
        let from = Shape::of(source)?;
        let to = Shape::of(destination)?;
        if !to.wildcard_tokens.is_empty() || from.has_rest != to.has_rest {
            return Err(TransformError::BadSubject);
        }
        let mut pieces = Vec::new();
        let mut placeholder_count = 0;
        for token in tokens(destination).filter(|token| *token != [REST]) {
            let placeholder = function::parse(token)?;
            placeholder_count += placeholder.wildcard_count();
            pieces.push(from.piece(token, placeholder, for_use)?);
        }
        if for_use == Use::Import && placeholder_count < from.wildcard_tokens.len() {
            return Err(TransformError::destination(
                DestinationFault::NotAllWildcards,
                destination,
            ));
        }
        let rest_from = to.has_rest.then_some(token_count(source) - 1);
        Ok(Some(Transform {
            source: Box::from(source),
            destination: Box::from(destination),
            pieces,
            rest_from,
        }))
    }

    /// The subjects it takes.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The destination as it was written.
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// Appends the new subject to `out` when `subject` is a valid literal subject of the source.
    pub fn transform(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) -> Result<(), TransformError> {
        if *self.source == [REST] && *self.destination == [REST] {
            out.extend_from_slice(subject);
            return Ok(());
        }
        if !is_valid_literal(subject) {
            return Err(TransformError::BadSubject);
        }
        if *self.source != [REST] && !is_subset(subject, &self.source) {
            return Err(TransformError::NoMatch);
        }
        self.apply(subject, random, out);
        Ok(())
    }

    /// Appends the new subject to `out`, for a subject that is known to be one of the source's. Tokens that the
    /// subject does not have count as empty. Several random functions draw from `random` independently.
    pub fn apply(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) {
        let token = |index| token_at(subject, index).unwrap_or_default();
        let mut random = random;
        for (at, piece) in self.pieces.iter().enumerate() {
            if at > 0 {
                out.push(SEPARATOR);
            }
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Token(index) => out.extend_from_slice(token(*index)),
                Piece::Partition { buckets, tokens } => {
                    let hash = match tokens[..] {
                        [] => fnv1a_32(FNV_START, subject),
                        _ => tokens
                            .iter()
                            .fold(FNV_START, |hash, &index| fnv1a_32(hash, token(index))),
                    };
                    // The peer reads a negative number of buckets as a large one.
                    let buckets = u32::from_ne_bytes(buckets.to_ne_bytes());
                    write_number(out, hash.checked_rem(buckets).unwrap_or(0));
                }
                Piece::Random { bound } => {
                    random = next_random(random);
                    let drawn = u32::try_from(random >> 33).expect("31 bits are left");
                    write_number(out, drawn.checked_rem(bound.unsigned_abs()).unwrap_or(0));
                }
                Piece::Cut { cut, token: index } => cut.write(token(*index), out),
            }
        }
        if let Some(rest_from) = self.rest_from {
            if !self.pieces.is_empty() {
                out.push(SEPARATOR);
            }
            let skipped: usize = tokens(subject).take(rest_from).map(|token| token.len() + 1).sum();
            out.extend_from_slice(subject.get(skipped..).unwrap_or_default());
        }
    }

    /// The transform back, where there is one: for destinations that use each wildcard of the source.
    pub fn reverse(&self) -> Option<Transform> {
        let mut star_sources = Vec::new();
        let mut source = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => source.push(&text[..]),
                Piece::Token(index) => {
                    star_sources.push(*index);
                    source.push(&[ANY_TOKEN]);
                }
                Piece::Partition { .. } | Piece::Random { .. } | Piece::Cut { .. } => return None,
            }
        }
        if self.rest_from.is_some() {
            source.push(&[REST]);
        }
        let mut destination: Vec<Vec<u8>> = Vec::new();
        for (index, token) in tokens(&self.source).enumerate() {
            if token == [ANY_TOKEN] {
                let star = star_sources.iter().position(|&source| source == index)?;
                destination.push(format!("${}", star + 1).into_bytes());
            } else {
                destination.push(token.to_vec());
            }
        }
        let separator = &[SEPARATOR][..];
        Transform::compile(&source.join(separator), &destination.join(separator), Use::Import)
            .ok()
            .flatten()
    }
}

/// Names the wildcards of a pattern: `foo.*.*` becomes `foo.$1.$2`, the destination that changes nothing.
pub fn number_wildcards(pattern: &[u8]) -> Vec<u8> {
    let mut numbered = Vec::with_capacity(pattern.len() + 8);
    let mut number = 0;
    for (at, token) in tokens(pattern).enumerate() {
        if at > 0 {
            numbered.push(SEPARATOR);
        }
        if token == [ANY_TOKEN] {
            number += 1;
            numbered.extend_from_slice(format!("${number}").as_bytes());
        } else {
            numbered.extend_from_slice(token);
        }
    }
    numbered
}

/// Whether `destination` may be what `source` maps to in an account's mappings: stricter than [`Transform::compile`].
pub fn check_mapping(source: &[u8], destination: &[u8]) -> Result<(), TransformError> {
    if destination.is_empty() {
        return Ok(());
    }
    let mut rest_seen = false;
    for token in tokens(destination) {
        if token.is_empty() || rest_seen {
            return Err(TransformError::destination(
                DestinationFault::InvalidTransform,
                token,
            ));
        }
        if function::is_braced(token) {
            if !function::is_mapping_function(token) {
                return Err(TransformError::destination(
                    DestinationFault::UnknownFunction,
                    token,
                ));
            }
        } else if token == [REST] {
            rest_seen = true;
        } else if token
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c))
        {
            return Err(TransformError::destination(
                DestinationFault::InvalidTransform,
                b"",
            ));
        }
    }
    Transform::compile(source, destination, Use::Mapping).map(|_| ())
}

/// What matters of a pattern for a transform.
struct Shape {
    /// The positions of `*` tokens.
    wildcard_tokens: Vec<usize>,
    has_rest: bool,
}

impl Shape {
    fn of(pattern: &[u8]) -> Result<Shape, TransformError> {
        if !super::is_insertable(pattern) {
            return Err(TransformError::BadSubject);
        }
        let is_star = |(_, token): &(usize, &[u8])| *token == [ANY_TOKEN];
        let wildcard_tokens = tokens(pattern)
            .enumerate()
            .filter(is_star)
            .map(|(index, _)| index)
            .collect();
        Ok(Shape {
            wildcard_tokens,
            has_rest: tokens(pattern).any(|token| token == [REST]),
        })
    }

    /// Binds a placeholder of the destination to tokens of this source.
    fn piece(&self, token: &[u8], placeholder: Placeholder, for_use: Use) -> Result<Piece, TransformError> {
        let fault = |fault| Err(TransformError::destination(fault, token));
        let is_literal = self.wildcard_tokens.is_empty() && !self.has_rest;
        if is_literal {
            return match placeholder {
                Placeholder::Text => Ok(Piece::Text(Box::from(token))),
                // Wildcard numbers are not looked at here: the whole subject is hashed.
                Placeholder::Partition { buckets, .. } => Ok(Piece::Partition {
                    buckets,
                    tokens: Vec::new(),
                }),
                Placeholder::Random { bound } => Ok(Piece::Random { bound }),
                Placeholder::Wildcard(_) | Placeholder::Cut { .. } => {
                    fault(DestinationFault::IndexOutOfRange)
                }
            };
        }
        let supported = matches!(placeholder, Placeholder::Text | Placeholder::Wildcard(_));
        if for_use == Use::Import && !supported {
            return fault(DestinationFault::NotSupportedForImport);
        }
        Ok(match placeholder {
            Placeholder::Text => Piece::Text(Box::from(token)),
            Placeholder::Wildcard(wildcard) => Piece::Token(self.source_token(token, wildcard)?),
            Placeholder::Random { bound } => Piece::Random { bound },
            Placeholder::Cut { cut, wildcard } => Piece::Cut {
                cut,
                token: self.source_token(token, wildcard)?,
            },
            Placeholder::Partition { buckets, wildcards } => {
                let tokens = wildcards
                    .iter()
                    .map(|&wildcard| self.source_token(token, wildcard));
                Piece::Partition {
                    buckets,
                    tokens: tokens.collect::<Result<_, _>>()?,
                }
            }
        })
    }

    /// The source token a wildcard number names. Numbers below 1 name the first token, as in the peer.
    fn source_token(&self, token: &[u8], wildcard: i64) -> Result<usize, TransformError> {
        let Ok(number) = usize::try_from(wildcard.max(0)) else {
            return Err(TransformError::BadSubject);
        };
        if number == 0 {
            return Ok(0);
        }
        self.wildcard_tokens
            .get(number - 1)
            .copied()
            .ok_or_else(|| TransformError::Destination {
                fault: DestinationFault::IndexOutOfRange,
                token: format!("{}: [{wildcard}]", String::from_utf8_lossy(token)),
            })
    }
}

impl Placeholder {
    fn wildcard_count(&self) -> usize {
        match self {
            Placeholder::Text | Placeholder::Random { .. } => 0,
            Placeholder::Wildcard(_) | Placeholder::Cut { .. } => 1,
            Placeholder::Partition { wildcards, .. } => wildcards.len(),
        }
    }
}

impl Cut {
    fn write(&self, token: &[u8], out: &mut Vec<u8>) {
        // Where the size lies inside the token; elsewhere the token stays whole.
        let inside = |size: i32| {
            usize::try_from(size)
                .ok()
                .filter(|&size| size > 0 && size < token.len())
        };
        let (size, from_left) = match self {
            Cut::SplitFromLeft(size) | Cut::SliceFromLeft(size) | Cut::Left(size) => (inside(*size), true),
            Cut::SplitFromRight(size) | Cut::SliceFromRight(size) | Cut::Right(size) => {
                (inside(*size), false)
            }
            Cut::Split(delimiter) => return write_split(token, delimiter, out),
        };
        let Some(size) = size else {
            return out.extend_from_slice(token);
        };
        let (left, right) = token.split_at(if from_left { size } else { token.len() - size });
        match self {
            Cut::Left(_) => out.extend_from_slice(left),
            Cut::Right(_) => out.extend_from_slice(right),
            Cut::SplitFromLeft(_) | Cut::SplitFromRight(_) => write_parts([left, right].into_iter(), out),
            Cut::SliceFromLeft(_) => write_parts(token.chunks(size), out),
            Cut::SliceFromRight(_) => {
                let (short, whole) = token.split_at(token.len() % size);
                let short = Some(short).filter(|short| !short.is_empty());
                write_parts(short.into_iter().chain(whole.chunks(size)), out);
            }
            Cut::Split(_) => unreachable!("returned above"),
        }
    }
}

fn write_parts<'a>(parts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(part);
    }
}

/// Empty parts vanish, with one exception that the peer has: after two or more delimiters at the start there is a
/// separator.
fn write_split(token: &[u8], delimiter: &[u8], out: &mut Vec<u8>) {
    let parts = split_at_delimiter(token, delimiter);
    for (at, part) in parts.iter().enumerate() {
        out.extend_from_slice(part);
        let starts_empty = at == 0 && part.is_empty();
        if !starts_empty && parts.get(at + 1).is_some_and(|next| !next.is_empty()) {
            out.push(SEPARATOR);
        }
    }
}

/// Splits as the peer does: by an empty delimiter into characters, or bytes where the text is not UTF-8.
fn split_at_delimiter<'a>(token: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = token;
    if delimiter.is_empty() {
        while !rest.is_empty() {
            let width = (1..=rest.len().min(4)).find(|&width| std::str::from_utf8(&rest[..width]).is_ok());
            let (character, after) = rest.split_at(width.unwrap_or(1));
            parts.push(character);
            rest = after;
        }
        return parts;
    }
    while let Some(at) = rest
        .windows(delimiter.len())
        .position(|window| window == delimiter)
    {
        parts.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(rest);
    parts
}

const FNV_START: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// FNV-1a of 32 bits over more bytes: partitions must agree with every other server and client that uses them.
fn fnv1a_32(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

/// One step of SplitMix64: several numbers out of one.
fn next_random(random: u64) -> u64 {
    let state = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(number.to_string().as_bytes());
}
