//! Bytes on disk: commit log, blocks, indexes, recovery; and the contract of what a stream's messages are kept in.
//!
//! Not here: sockets, accounts, what JetStream does with messages. docs/parity.md says what is missing.

pub mod index;
pub mod memory;
pub mod stream_store;
