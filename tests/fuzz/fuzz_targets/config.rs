//! The configuration language: no panic; findings have a place and one line; what was read and printed reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::config::value::{Map, DEPTH_MAX};
use pinion::config::{parse_bytes, Value};

fuzz_target!(|data: &[u8]| {
    let map = match parse_bytes(data) {
        Ok(map) => map,
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a word");
            let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
            for finding in findings {
                assert!(!finding.text.is_empty());
                assert!(!finding.text.contains('\n'), "{finding:?}");
                if let Some(at) = finding.at {
                    assert!(at.line >= 1 && at.column >= 1, "{at:?}");
                    assert!(at.line as usize <= lines, "{at:?} of {lines} lines");
                }
            }
            return;
        }
    };
    assert!(map.to_digest_json().ends_with("}\n"));
    // What we print nests one deeper than what was read.
    let openers = data.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if openers + 1 >= DEPTH_MAX || !can_be_written(&map) {
        return;
    }
    let value = Value::Map(map);
    let printed = format!("all: {}\n", value.to_config());
    match parse_bytes(printed.as_bytes()) {
        Ok(again) => {
            let again = again.get("all").map(|node| &node.value);
            assert_eq!(again, Some(&value), "printed: {printed}");
        }
        Err(findings) => panic!("{findings:?}\nprinted: {printed}"),
    }
});

/// Keys have no escapes: one that holds both kinds of quotes cannot be written.
fn can_be_written(map: &Map) -> bool {
    map.iter()
        .all(|(key, node)| !(key.contains('"') && key.contains('\'')) && value_can(&node.value))
}

fn value_can(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().all(|item| value_can(&item.value)),
        Value::Map(map) => can_be_written(map),
        _ => true,
    }
}
