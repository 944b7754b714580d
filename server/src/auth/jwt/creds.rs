//! Credentials files: a token and a seed in armour, as `nsc` writes them.
//!
//! Owns: finding both. Not here: reading the file, what the token says.
//!
//! Layout: a line of three or more `-`, text and `-`; one line of the secret; such a line again. The first item is the
//! token, the second the seed. A file without armour is a token alone.
//! The seed is secret: it is in no error and no `Debug`.

use std::fmt;

use nkeys::KeyPair;

/// What a credentials file holds.
pub struct Creds {
    /// The user's token, not looked into.
    pub jwt: String,
    /// The user's key.
    pub key: KeyPair,
}

impl fmt::Debug for Creds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creds")
            .field("user", &self.key.public_key())
            .finish_non_exhaustive()
    }
}

/// Why a file is no credentials file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredsError {
    /// No token between lines of `-`.
    NoToken,
    /// No seed between lines of `-` after the token.
    NoSeed,
    /// The seed is not the one of a user.
    NotAUserSeed,
    /// The seed is changed or cut off.
    BadSeed,
}

impl fmt::Display for CredsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "no token between two lines of dashes",
            Self::NoSeed => "no nkey seed between two lines of dashes after the token",
            Self::NotAUserSeed => "the nkey seed is not a user's (it begins with SU)",
            Self::BadSeed => "the nkey seed was changed or cut off",
        })
    }
}

impl std::error::Error for CredsError {}

/// Reads a user's credentials file.
pub fn parse(contents: &str) -> Result<Creds, CredsError> {
    let mut items = armoured(contents);
    let jwt = items.next().ok_or(CredsError::NoToken)?;
    let seed = items
        .next()
        .or_else(|| contents.lines().map(str::trim).find(|line| is_seed(line)))
        .ok_or(CredsError::NoSeed)?;
    if !seed.starts_with("SU") {
        return Err(CredsError::NotAUserSeed);
    }
    Ok(Creds {
        jwt: jwt.to_owned(),
        key: KeyPair::from_seed(seed).map_err(|_| CredsError::BadSeed)?,
    })
}

/// The token of a file that may be armoured or a token alone.
pub fn token(contents: &str) -> &str {
    armoured(contents).next().unwrap_or(contents)
}

fn is_seed(line: &str) -> bool {
    ["SO", "SA", "SU"].iter().any(|prefix| line.starts_with(prefix))
}

/// The lines that stand alone between two lines of dashes.
fn armoured(contents: &str) -> impl Iterator<Item = &str> {
    let mut lines = contents.lines().peekable();
    std::iter::from_fn(move || loop {
        if !is_fence(lines.next()?) {
            continue;
        }
        let Some(item) = lines.next_if(|line| is_item(line)) else {
            continue;
        };
        if lines.next_if(|line| is_fence(line)).is_some() {
            return Some(item);
        }
    })
}

/// Three or more dashes, anything, three or more dashes.
fn is_fence(line: &str) -> bool {
    let line = line.trim_start();
    line.len() >= 6 && line.starts_with("---") && line.ends_with("---")
}

fn is_item(line: &str) -> bool {
    !line.is_empty()
        && line
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'='))
}
