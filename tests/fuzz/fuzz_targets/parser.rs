//! The protocol parser: any split of a stream gives what the whole gives, and memory stays bounded by the input.
//!
//! Input: one byte for the kind and settings, one byte for how the stream is cut, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_shard::proto::{ConnKind, Limits, Parser, Step};

fuzz_target!(|data: &[u8]| {
    let [settings, cut, stream @ ..] = data else {
        return;
    };
    let whole = run(*settings, stream, stream.len().max(1));
    let pieces = run(*settings, stream, usize::from(*cut).max(1));
    assert_eq!(whole, pieces);
});

/// What the stream gives when it comes in pieces of `size` bytes.
fn run(settings: u8, stream: &[u8], size: usize) -> Vec<String> {
    let kinds = [
        ConnKind::Client,
        ConnKind::Client,
        ConnKind::Route,
        ConnKind::Gateway,
        ConnKind::Leaf,
    ];
    let kind = kinds[usize::from(settings) % kinds.len()];
    let limits = match settings & 0x80 {
        0 => Limits::default(),
        _ => Limits {
            max_control_line: 16,
            max_payload: 8,
        },
    };
    let mut parser = Parser::new(kind, limits);
    if kind == ConnKind::Client {
        parser.set_headers(settings & 0x40 != 0);
    }
    let mut found = Vec::new();
    for piece in stream.chunks(size) {
        let mut at = 0;
        loop {
            match parser.next(&piece[at..]) {
                Ok(Step {
                    consumed,
                    op: Some(op),
                }) => {
                    assert!(consumed > 0);
                    at += consumed;
                    found.push(format!("{op:?}"));
                }
                Ok(Step { consumed, op: None }) => {
                    assert_eq!(at + consumed, piece.len());
                    break;
                }
                Err(error) => {
                    // The snippet depends on where the pieces end; what the caller does does not.
                    found.push(format!("{:?} {:?}", error.reply(), error.close_reason()));
                    assert!(!error.to_string().contains('\n'));
                    return found;
                }
            }
        }
    }
    if !parser.is_at_start() {
        found.push("more".to_owned());
    }
    found
}
