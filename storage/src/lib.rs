//! Bytes on disk: commit log, blocks, indexes, recovery; and the contract of what a stream's messages are kept in.
//!
//! Not here: sockets, accounts, raft, what JetStream does with messages. docs/parity.md says what is missing.

pub mod commit_log;
pub mod format;
pub mod index;
pub mod limits;
pub mod memory;
pub mod recover;
pub mod stream_store;
