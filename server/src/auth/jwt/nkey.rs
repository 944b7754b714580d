//! Public nkeys as texts: which kind of key a text is, and whether it signed something.
//!
//! Owns: the questions claims ask about keys. Not here: the curve and the text's code (crate `nkeys`), seeds (`creds`).

use nkeys::{KeyPair, KeyPairType, XKey};

/// Whether this is the public key of an operator: 56 characters, the first `O`.
pub fn is_operator(key: &str) -> bool {
    is(key, &KeyPairType::Operator)
}

/// Whether this is the public key of an account: 56 characters, the first `A`.
pub fn is_account(key: &str) -> bool {
    is(key, &KeyPairType::Account)
}

/// Whether this is the public key of a user: 56 characters, the first `U`.
pub fn is_user(key: &str) -> bool {
    is(key, &KeyPairType::User)
}

/// Whether this is the public key of a server: 56 characters, the first `N`.
pub fn is_server(key: &str) -> bool {
    is(key, &KeyPairType::Server)
}

/// Whether this is a public curve key: 56 characters, the first `X`.
pub fn is_curve(key: &str) -> bool {
    XKey::from_public_key(key).is_ok()
}

/// Whether this is a public key of any kind that signs: 56 letters and digits, nothing a path could be made of.
pub fn is_public(key: &str) -> bool {
    KeyPair::from_public_key(key).is_ok()
}

fn is(key: &str, kind: &KeyPairType) -> bool {
    KeyPair::from_public_key(key).is_ok_and(|pair| pair.key_pair_type() == *kind)
}

/// Whether `key` signed `bytes`. A text that is no key signed nothing.
pub fn signed(key: &str, bytes: &[u8], signature: &[u8]) -> bool {
    KeyPair::from_public_key(key).is_ok_and(|pair| pair.verify(bytes, signature).is_ok())
}
