//! CONNECT and INFO documents: no panic, and what was read and written reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_shard::proto::{Connect, Info, LeafConnect, RouteConnect};

macro_rules! check {
    ($document:ty, $data:expr) => {
        let mut first = <$document>::default();
        match first.merge_json($data) {
            Ok(()) => {
                let mut out = Vec::new();
                first.write_json(&mut out);
                let mut second = <$document>::default();
                second.merge_json(&out).expect("what we write we can read");
                assert_eq!(first, second);
                assert!(!out.contains(&b'\n'));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    };
}

fuzz_target!(|data: &[u8]| {
    check!(Connect, data);
    check!(RouteConnect, data);
    check!(LeafConnect, data);
    check!(Info, data);
});
