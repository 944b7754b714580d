//! The signature of the server's nonce by an nkey.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::KeyPair;

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// There is none.
    Missing,
    /// It is no base64, neither of URLs nor plain.
    NotBase64,
    /// The public key is none.
    BadKey,
    /// It is not of this nonce, or not by this key.
    Wrong,
}

impl std::fmt::Display for SignatureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SignatureError::Missing => "the nonce was not signed",
            SignatureError::NotBase64 => "the signature of the nonce is not base64",
            SignatureError::BadKey => "the public key is not one",
            SignatureError::Wrong => "the signature of the nonce does not verify",
        })
    }
}

/// Checks that `signature`, base64 for URLs or plain, is one of `nonce` by `public_key`.
///
/// # Errors
/// It is not.
pub fn verify(public_key: &str, nonce: &[u8], signature: &str) -> Result<(), SignatureError> {
    if signature.is_empty() {
        return Err(SignatureError::Missing);
    }
    let text = signature.as_bytes();
    let decoded = BASE64URL_NOPAD.decode(text).or_else(|_| BASE64.decode(text));
    let decoded = decoded.map_err(|_| SignatureError::NotBase64)?;
    let key = KeyPair::from_public_key(public_key).map_err(|_| SignatureError::BadKey)?;
    key.verify(nonce, &decoded).map_err(|_| SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key signs; both spellings of base64 are read, and nothing else passes.
    #[test]
    fn signatures_of_a_nonce() {
        let key = KeyPair::new_user();
        let (public, nonce) = (key.public_key(), b"abcdefghijklmno");
        let signed = key.sign(nonce).unwrap();
        assert_eq!(verify(&public, nonce, &BASE64URL_NOPAD.encode(&signed)), Ok(()));
        assert_eq!(verify(&public, nonce, &BASE64.encode(&signed)), Ok(()));
        assert_eq!(verify(&public, nonce, ""), Err(SignatureError::Missing));
        assert_eq!(verify(&public, nonce, "%%"), Err(SignatureError::NotBase64));
        assert_eq!(verify(&public, nonce, "AAAA"), Err(SignatureError::Wrong));
        let signed = BASE64URL_NOPAD.encode(&signed);
        assert_eq!(verify(&public, b"another", &signed), Err(SignatureError::Wrong));
        let other = KeyPair::new_user().public_key();
        assert_eq!(verify(&other, nonce, &signed), Err(SignatureError::Wrong));
        assert_eq!(verify("U", nonce, &signed), Err(SignatureError::BadKey));
    }
}
