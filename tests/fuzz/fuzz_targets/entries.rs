//! Entries of streams, of their consumers and of the table of streams: no panic, and what was read gives the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_jetstream::consumer::Entry as ConsumerEntry;
use pinion_jetstream::meta::MetaEntry;
use pinion_jetstream::stream::Entry;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = Entry::decode(data) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, data);
    }
    if let Ok(entry) = MetaEntry::decode(data) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, data);
    }
    if let Ok(entry) = ConsumerEntry::decode(data) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, data);
    }
});
