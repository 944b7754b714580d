//! JetStream: streams, consumers and their API, as deterministic state machines.
//!
//! Owns: what a request or a publish means: checks make entries, entries change state, changed state makes effects. Not
//! here: sockets, disks, clocks, chance (all come in with what asks), the log that carries entries, shards.
//! No server asks yet (docs/parity.md). Missing in what is here: mirrors and sources can be configured and do not gather, fast
//! batches can be allowed and are stored as plain messages, advisories about requests, consumers.

pub mod api;
mod bytes;
pub mod consumer;
pub mod error;
pub mod json;
pub mod local;
pub mod meta;
pub mod stream;
pub mod time;
