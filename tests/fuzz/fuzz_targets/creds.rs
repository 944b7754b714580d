//! Credentials files: no panic; a token that is found stands in the file, and a refusal holds nothing of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::auth::jwt::creds;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    assert!(text.contains(creds::token(text)));
    match creds::parse(text) {
        Ok(read) => {
            assert!(text.contains(&read.jwt));
            assert!(text.contains(&read.key.seed().expect("read from a seed")));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
