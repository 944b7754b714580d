//! Tokens and their claims: no panic; what is refused or blocked says why, and what was signed with one letter changed
//! is refused.
//!
//! The input is taken twice: as a token, and as claims that a key signs, `@account` and `@operator` in them standing
//! for the signer's public key.
#![no_main]

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use nkeys::{KeyPair, KeyPairType};
use pinion::auth::jwt::{decode, Claims, DecodeError};

fn check(decoded: Result<Claims, DecodeError>) {
    match decoded {
        Ok(claims) => {
            for now_s in [i64::MIN, 0, 1_767_225_600, i64::MAX] {
                for issue in claims.check(now_s).all() {
                    assert!(!issue.path.is_empty());
                    assert!(!issue.text.is_empty());
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    check(decode(text));
    let account = KeyPair::new_from_raw(KeyPairType::Account, [1; 32]).expect("32 bytes");
    let operator = KeyPair::new_from_raw(KeyPairType::Operator, [2; 32]).expect("32 bytes");
    let claims = text
        .replace("@account", &account.public_key())
        .replace("@operator", &operator.public_key());
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#),
        BASE64URL_NOPAD.encode(claims.as_bytes())
    );
    for signer in [&account, &operator] {
        let signature = signer.sign(signed.as_bytes()).expect("a seed");
        check(decode(&format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))));
    }
    let signature = account.sign(format!("{signed}x").as_bytes()).expect("a seed");
    let forged = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
    assert!(decode(&forged).is_err());
});
