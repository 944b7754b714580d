//! The seeded hash of one subscription list.
//!
//! Owns: how subjects, tokens and entry keys become hash values. Not here: where the seed comes from (the entropy seam).
//! Equal seeds give equal values in every run; without the seed, colliding subjects cannot be prepared.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hashes bytes and keys under one secret seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    bytes: u64,
    key_start: u64,
    key_factor: u64,
}

impl Seed {
    pub(super) fn new(seed: u64) -> Seed {
        let derive = |purpose: &[u8]| xxh3_64_with_seed(purpose, seed);
        Seed {
            bytes: derive(b"bytes"),
            key_start: derive(b"start"),
            key_factor: derive(b"factor") | 1,
        }
    }

    /// The hash of a subject or of one of its tokens.
    #[inline]
    pub(super) fn bytes(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.bytes)
    }

    /// The hash of an entry's key: small numbers mostly, so a multiplication per word is enough.
    #[inline]
    pub(super) fn key<K: Hash>(&self, key: &K) -> u64 {
        let mut hasher = KeyHasher {
            state: self.key_start,
            factor: self.key_factor,
        };
        key.hash(&mut hasher);
        hasher.finish()
    }
}

/// Folded multiplication by a secret factor, one word at a time.
struct KeyHasher {
    state: u64,
    factor: u64,
}

impl KeyHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        let [low, high] = halves(product);
        self.state = low ^ high.rotate_left(32) ^ word.rotate_left(17);
    }
}

impl Hasher for KeyHasher {
    #[inline]
    fn finish(&self) -> u64 {
        let [low, high] = halves(u128::from(self.state) * u128::from(self.factor.rotate_left(23) | 1));
        low ^ high
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let seed = self.state;
        self.fold(xxh3_64_with_seed(bytes, seed));
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of the product are what is wanted"
)]
fn halves(product: u128) -> [u64; 2] {
    [product as u64, (product >> 64) as u64]
}
