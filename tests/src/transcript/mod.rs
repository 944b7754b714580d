//! Golden transcripts: a dialogue of named clients with one server, as text, run against any server.
//!
//! Owns: the text format (`script`), its comparison with what came (`pattern`), the run (`runner`).
//! The format is described in `tests/golden/README.md`; the files are `tests/golden/*.txt`.
//!
//! Invariants
//!   every frame a client receives is expected by a line of the transcript, in the order it came
//!   at the end each open client is asked PING and must answer nothing but PONG: nothing more had arrived
//!   the same text is run against both servers; only `UPDATE_GOLDEN=1` against the peer changes it

pub mod pattern;
pub mod runner;
pub mod script;
pub mod suite;

pub use runner::{Delivery, Outcome};
pub use script::Script;
