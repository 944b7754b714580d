//! A configured password or token, and whether what a client brought is it.
//!
//! Owns: comparing in constant time, bcrypt hashes and what they cost. Not here: where hashing runs (`configured`).
//!
//! A wrong name and a wrong password must look alike. With hashes in the configuration every refusal costs as much as the
//! dearest of them ([`Secret::refused`]): hashes of cost c, c, c+1, ... and one below the dearest add up to the dearest.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::log::Redacted;

/// Salt of hashes that are made for their time only.
const IDLE_SALT: [u8; 16] = [0; 16];
/// The cheapest cost there is.
const COST_MIN: u32 = 4;
/// The dearest cost there is.
const COST_MAX: u32 = 31;

/// A password or token as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In clear.
    Plain(Redacted<Arc<str>>),
    /// A bcrypt hash.
    Hash {
        /// Its text.
        text: Redacted<Arc<str>>,
        /// Doublings of the time it takes.
        cost: u32,
    },
}

impl Secret {
    /// What the configured text is.
    pub fn new(text: &Redacted<Arc<str>>) -> Secret {
        match hash_cost(text.reveal()) {
            Some(cost) => Secret::Hash {
                text: text.clone(),
                cost,
            },
            None => Secret::Plain(text.clone()),
        }
    }

    /// The cost of its hash.
    pub fn cost(&self) -> Option<u32> {
        match self {
            Secret::Plain(_) => None,
            Secret::Hash { cost, .. } => Some(*cost),
        }
    }

    /// The configured text.
    pub fn text(&self) -> &Redacted<Arc<str>> {
        match self {
            Secret::Plain(text) | Secret::Hash { text, .. } => text,
        }
    }

    /// Whether `given` is it. A hash takes its time.
    pub fn is(&self, given: &str) -> bool {
        match self {
            Secret::Plain(text) => {
                let (own, given) = (text.reveal().as_bytes(), given.as_bytes());
                own.ct_eq(given).into()
            }
            Secret::Hash { text, .. } => bcrypt::verify(given, text.reveal()).unwrap_or(false),
        }
    }
}

/// Spends what a refusal has left to cost, after a hash of cost `spent` was computed or none at all, so that it takes as
/// long as one hash of cost `dearest`.
pub fn spend(spent: Option<u32>, dearest: u32) {
    let costs = match spent {
        Some(spent) => spent.max(COST_MIN)..dearest,
        None => dearest..dearest + 1,
    };
    for cost in costs {
        // The result is of no use, the time is.
        std::hint::black_box(bcrypt::hash_with_salt("", cost, IDLE_SALT).is_ok());
    }
}

/// The cost that a text of the form of a bcrypt hash names; `None` for any other text.
pub fn hash_cost(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("$2")?;
    let rest = rest.strip_prefix(['a', 'b', 'x', 'y'])?.strip_prefix('$')?;
    let (digits, rest) = rest.split_at_checked(2)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !rest.starts_with('$') {
        return None;
    }
    digits.parse().ok().map(|cost: u32| cost.min(COST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(&Redacted::new(Arc::from(text)))
    }

    /// Plain texts, hashes of each spelling, and texts that only look like one.
    #[test]
    fn passwords_in_clear_and_hashed() {
        let hash = bcrypt::hash_with_result("s3cret", COST_MIN).unwrap();
        for version in [
            bcrypt::Version::TwoA,
            bcrypt::Version::TwoB,
            bcrypt::Version::TwoX,
            bcrypt::Version::TwoY,
        ] {
            let secret = secret(&hash.format_for_version(version));
            assert_eq!(secret.cost(), Some(COST_MIN));
            assert!(secret.is("s3cret"));
            assert!(!secret.is("S3cret"));
            assert!(!secret.is(""));
        }
        assert!(secret("s3cret").is("s3cret"));
        assert!(!secret("s3cret").is("s3cre"));
        assert!(secret("").is(""));
        for text in ["$2a$", "$2a$1", "$2c$10$x", "$2a$xx$x", "$2a$10", "2a$10$x"] {
            assert_eq!(secret(text).cost(), None, "{text}");
            assert!(secret(text).is(text), "{text}");
        }
        // Of the form of a hash and none: nothing is it.
        assert!(!secret("$2a$10$short").is("$2a$10$short"));
        assert!(!secret("$2a$99$short").is("x"));
    }
}
