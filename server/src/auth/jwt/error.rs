//! What can be wrong with a token, as values: it cannot be read (`DecodeError`), or what it says is not allowed (`Issue`).
//!
//! Owns: the two kinds and their texts for the operator. Each names the place in the claims, such as
//! `nats.exports[2].subject`, and what to do where that is not plain.
//! Not here: what the client is told (it gets the peer's `-ERR` and no reason).
//! A token or a seed is never part of a text.

use std::fmt;

use super::claims::Kind;

/// Why a token was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`super::TOKEN_SIZE_MAX`].
    TooLarge {
        /// Bytes of the token.
        size: usize,
    },
    /// Not three parts between dots.
    Parts {
        /// How many there are.
        count: usize,
    },
    /// A part is no base64 (URL alphabet, no padding).
    Base64 {
        /// `header`, `claims` or `signature`.
        part: &'static str,
    },
    /// A part is no JSON, or a value of it has the wrong type.
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// Where, such as `nats.limits.conn`; empty for the whole part.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// `typ` of the header is not `JWT`.
    TokenType(String),
    /// `alg` of the header is not the one of nkeys.
    Algorithm(String),
    /// A version of claims that is not known.
    Version(i64),
    /// Claims of a kind that servers do not take any more (`cluster`, `server`).
    KindNotSupported(String),
    /// The signature is not the issuer's, or the issuer is no key.
    Signature {
        /// Version of the claims: 1 signs the claims alone, 2 the header too.
        version: i64,
    },
    /// The issuer is a key of a kind that may not sign this.
    IssuerKind {
        /// What was signed.
        kind: Kind,
        /// The key that signed it.
        issuer: String,
    },
    /// A good token of another kind than the one needed here.
    WrongKind {
        /// What is needed.
        wanted: Kind,
        /// What it is.
        found: Kind,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size } => write!(
                f,
                "token of {size} bytes is longer than {} bytes",
                super::TOKEN_SIZE_MAX
            ),
            Self::Parts { count } => write!(
                f,
                "a token has three parts between dots, this one has {count}: is it cut off, or a file that holds something else?"
            ),
            Self::Base64 { part } => write!(f, "the {part} of the token is no base64: is it cut off?"),
            Self::Json { part, path, message } if path.is_empty() => {
                write!(f, "the {part} of the token is no usable JSON: {message}")
            }
            Self::Json { part, path, message } => write!(f, "{part}: {path}: {message}"),
            Self::TokenType(found) => write!(f, "header: typ: {found:?} is not JWT"),
            Self::Algorithm(found) => {
                write!(f, "header: alg: {found:?} is not ed25519-nkey: sign the token with an nkey")
            }
            Self::Version(version) => write!(
                f,
                "claims: nats.version: {version} is not known here: issue the token again with a tool that writes version 2"
            ),
            Self::KindNotSupported(kind) => {
                write!(f, "claims: type: tokens of kind {kind:?} are not used any more")
            }
            Self::Signature { version } => write!(
                f,
                "the signature is not the one of claims.iss over this token (version {version}): it was changed, cut off or signed by another key"
            ),
            Self::IssuerKind { kind, issuer } => write!(
                f,
                "claims: iss: {issuer} is not a key that may sign {kind} claims ({})",
                kind.issuers()
            ),
            Self::WrongKind { wanted, found } => {
                write!(f, "this is a token of kind {found}, {wanted} is needed here")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// How much an issue weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The claims must not be used.
    Blocking,
    /// They must not be used now.
    Time,
    /// Worth a line in the log.
    Warning,
}

/// One thing in claims that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, such as `nats.exports[2].subject`.
    pub path: String,
    /// What is wrong there.
    pub text: String,
    /// What follows from it.
    pub weight: Weight,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// What was found in one token's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues(Vec<Issue>);

impl Issues {
    /// Notes what forbids the use of the claims.
    pub fn error(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(path.into(), text.into(), Weight::Blocking);
    }

    /// Notes what forbids the use of the claims at this time.
    pub fn time(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(path.into(), text.into(), Weight::Time);
    }

    /// Notes what does no harm.
    pub fn warning(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(path.into(), text.into(), Weight::Warning);
    }

    fn add(&mut self, path: String, text: String, weight: Weight) {
        self.0.push(Issue { path, text, weight });
    }

    /// All of them, in the order of the claims.
    pub fn all(&self) -> &[Issue] {
        &self.0
    }

    /// The first that forbids the use of the claims; `with_time` counts those of the clock too.
    pub fn blocking(&self, with_time: bool) -> Option<&Issue> {
        self.0.iter().find(|issue| match issue.weight {
            Weight::Blocking => true,
            Weight::Time => with_time,
            Weight::Warning => false,
        })
    }
}
