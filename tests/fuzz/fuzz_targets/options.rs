//! A configuration from file to options: no panic, whatever is included and whatever the environment says; a refusal
//! says why in lines, and the same text gives the same answer.
//!
//! Input: the file, a NUL, what every include finds, a NUL, the value of every variable of the environment.
#![no_main]

use std::io::ErrorKind;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pinion::config::{check, load};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |&byte| byte == 0);
    let main = parts.next().unwrap_or_default();
    let included = parts.next();
    let variable = parts.next().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let path = Path::new("server.conf");
    let read = |asked: &Path| match included {
        _ if asked == path => Ok(main.to_vec()),
        Some(bytes) => Ok(bytes.to_vec()),
        None => Err(ErrorKind::NotFound.into()),
    };
    let env = |_: &str| variable.clone();
    let loaded = load(path, &read, &env);
    let verdict = check(path, &loaded);
    match &verdict {
        Ok(text) => assert!(text.starts_with("configuration file server.conf is valid (sha256:"), "{text}"),
        Err(text) => assert!(!text.is_empty(), "refused without a word"),
    }
    assert_eq!(verdict, check(path, &load(path, &read, &env)));
});
