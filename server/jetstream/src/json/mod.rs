//! JSON of the API, with the rules and the error texts of the peer.
//!
//! Owns: reading text into values (`parse`), values into structs (`decode`). Writing is `pinion_shard::proto::write_json`.
//!
//! Keys match in any case; a key that no field has is an error where strict; the first error that is not one of syntax
//! does not end reading, as in the peer, but is what is answered.

mod decode;
mod parse;

pub use decode::{Context, Decode};
pub use parse::{parse_all, Value};

pub(crate) use decode::{decode_struct, quote, ListItem};

/// Reads all documents of a request, one over the other, into `target`. An empty request changes nothing.
pub fn decode_request<T: Decode>(
    bytes: &[u8],
    strict: bool,
    target: &mut T,
    name: &'static str,
) -> Result<(), String> {
    let (values, end) = parse_all(bytes);
    for value in values {
        let mut context = Context::new(name, strict);
        target.decode(&value, &mut context);
        if let Some(error) = context.into_error() {
            return Err(error);
        }
    }
    end
}

/// The text of a value as it is sent.
pub fn to_vec<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    pinion_shard::proto::write_json(value, &mut out);
    out
}
