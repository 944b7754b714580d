//! The configuration file: language, options, check.
//!
//! The road of a file: `lexer` and `parser` make `value`s of text; `apply` checks each value against the one `table` of
//! keys and fills `raw`; flags are merged there; `raw` becomes `options`, which is all that the server sees.
//! Not here: flags (`cli`), reading of files and environment, which come in through `files`.

pub mod diagnostic;
pub mod duration;
pub mod options;
pub mod raw;

pub use diagnostic::{Diagnostic, Position, Severity};
pub use options::Options;
pub use raw::RawOptions;
