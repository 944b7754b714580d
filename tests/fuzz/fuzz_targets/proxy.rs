//! The PROXY prefix: any split gives what the whole gives, with the same count of bytes taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_shard::proto::proxy::{ProxyError, ProxyParser, ProxyStep};

fuzz_target!(|data: &[u8]| {
    let [size, stream @ ..] = data else {
        return;
    };
    let whole = run(stream, stream.len().max(1));
    assert_eq!(whole, run(stream, usize::from(*size).max(1)));
    assert_eq!(whole, run(stream, 1));
});

fn run(stream: &[u8], size: usize) -> Result<Option<(usize, String)>, ProxyError> {
    let mut parser = ProxyParser::new();
    let mut taken = 0;
    for piece in stream.chunks(size) {
        match parser.push(piece) {
            Ok(ProxyStep::More) => taken += piece.len(),
            Ok(ProxyStep::Done { consumed, header }) => {
                assert!(consumed <= piece.len());
                return Ok(Some((taken + consumed, format!("{header:?}"))));
            }
            Err(error) => {
                if error == ProxyError::NotProxied {
                    assert_eq!(parser.held(), &stream[..taken]);
                }
                return Err(error);
            }
        }
    }
    Ok(None)
}
