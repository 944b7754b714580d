//! A consumer: its configuration and its state machine.
//!
//! Owns: what may be configured (`config`), the changes that survive (`entry`, `progress`), what does not survive (waiting
//! pull requests, timers, windows), what is sent and when (`state`), the consumers of one stream (`set`), the requests about
//! them (`api`). Not here: the log, sockets, whose interest there is in a subject.
//!
//! Everything is a value: an event comes in with its time and its chance, [`Effect`]s go out in the order in which they
//! have to happen. What must survive goes out as an [`Entry`] before what depends on it.

pub mod config;
mod duration;

pub use config::ConsumerConfig;
