//! The configuration file: language, options, check.
//!
//! The road of a file: `lexer` and `parser` make `value`s of text; `apply` checks each value against the one `table` of
//! keys and fills `raw`; flags are merged there; `raw` becomes `options`, which is all that the server sees.
//! Not here: flags (`cli`), reading of files and environment, which come in through `files`.

pub mod access;
pub mod apply;
mod block;
pub mod diagnostic;
#[cfg(test)]
mod docs;
pub mod files;
mod lexer;
pub mod load;
pub mod operator_mode;
pub mod options;
pub mod parser;
pub mod raw;
pub mod table;
pub mod tls;
pub mod value;
pub mod websocket;

pub use block::Written;
use pinion_shard::proto::duration;

pub use diagnostic::{Diagnostic, Position, Severity};
pub use files::{Env, ReadFile};
pub use load::{check, load, Loaded};
pub use options::Options;
pub use raw::RawOptions;
pub use table::{Key, Reload, Status, Table};
pub use value::Value;

/// Parses bytes that come from no file: no include is found, no variable of the environment set. For fuzzing.
pub fn parse_bytes(bytes: &[u8]) -> Result<value::Map, Vec<Diagnostic>> {
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    parser::parse_text("", bytes, &no_file, &|_: &str| None)
}
