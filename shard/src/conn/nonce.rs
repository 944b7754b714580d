//! The nonce a client signs to show that it has a key.
//!
//! Owns: its text. Not here: who wants one (`rules::Authenticator`), checking the signature.

use crate::io::Io;

/// Random bytes of a nonce.
const SIZE: usize = 11;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new nonce as INFO gives it: base64 for URLs, without padding.
pub(super) fn new_nonce(io: &Io) -> Box<[u8]> {
    let mut bytes = [0; SIZE];
    io.fill_secret(&mut bytes);
    encode(&bytes).into()
}

fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() * 4 / 3 + 1);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            text.push(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 4648, without padding.
    #[test]
    fn encodes_as_the_rfc_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), b"-_8");
        assert_eq!(encode(&[7; SIZE]).len(), 15);
    }
}
