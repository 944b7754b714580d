//! Test support: server processes under test, the raw client, the transcript runner.
//!
//! Owns: everything that more than one test needs. The tests themselves are in `tests/tests`, the transcripts
//! in `tests/golden`.
//! Not here: what simulations do and check (`tests/sim`, `tests/tests/virtual_time`) and fuzz targets (`tests/fuzz`).
//!
//! This crate drives real processes, so it uses sockets, files, the clock and threads. It never sleeps: it
//! waits for bytes, for a line of a log or for an exit, each with a deadline that is a failure when it passes.
#![expect(
    clippy::disallowed_methods,
    reason = "tests drive real processes: deadlines need the clock, log capture needs a thread"
)]

pub mod certificates;
pub mod escape;
pub mod http;
pub mod jetstream_cases;
pub mod known_differences;
pub mod notice;
pub mod process;
pub mod secure_wire;
pub mod server;
pub mod simulated_server;
pub mod transcript;
pub mod wire;
