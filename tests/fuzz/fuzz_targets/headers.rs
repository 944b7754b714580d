//! Header blocks: no panic, and what was set is found, what was removed is not.
//!
//! Input: one byte for the size of the key, the key, then the block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_shard::proto::headers;

fuzz_target!(|data: &[u8]| {
    let [size, rest @ ..] = data else {
        return;
    };
    let (key, block) = rest.split_at(usize::from(*size % 16).min(rest.len()));
    let found = headers::get(block, key);
    if let Some(value) = found {
        assert!(value.windows(2).all(|pair| pair != b"\r\n"));
    }
    assert!(headers::lines(block).count() <= block.len());
    let shown = headers::status(block).map(|status| status.code);
    assert!(shown.is_none_or(|code| code <= 999));

    let mut changed = block.to_vec();
    headers::remove(&mut changed, key);
    if headers::is_block(block) {
        assert_eq!(headers::get(&changed, key), None);
    }
    let mut changed = block.to_vec();
    headers::remove_prefix(&mut changed, key);
    assert!(changed.len() <= block.len());
    let mut changed = block.to_vec();
    headers::remove_status(&mut changed);
    assert!(changed.len() <= block.len());

    let is_key = !key.is_empty()
        && key
            .iter()
            .all(|byte| !matches!(byte, b'\r' | b'\n' | b':' | b' '));
    if is_key && (headers::is_block(block) || block.is_empty()) {
        let mut changed = block.to_vec();
        headers::set(&mut changed, key, b"a\r\nvalue");
        let value = headers::get(&changed, key).expect("it was set");
        assert_eq!(value, b"a  value");
        assert!(headers::is_block(&changed));
    }
});
