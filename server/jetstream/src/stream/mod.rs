//! A stream: its configuration and its state machine.
//!
//! Owns: what may be configured (`config`), the changes of a stream (`entry`), the checks that make them (`check`,
//! `batch`, `due`), what they do (`state`). Not here: the requests that ask (`api`), the log, consumers.
//!
//! The road of a publish: checks on pending state -> [`entry::Entry`] -> the log -> durable -> [`Stream::apply`] ->
//! [`Effect`]s. Everything is a value: time and chance come in with what asks.

mod ack;
mod batch;
mod check;
pub mod config;
mod counter;
mod cron;
mod decimal;
mod due;
pub mod entry;
mod headers;
mod msg_ids;
mod pending;
mod schedule;
mod state;

#[cfg(test)]
mod tests;

pub use check::{Next, Origin, Publish, PublishLimits};
pub use config::StreamConfig;
pub use entry::Entry;
pub(crate) use headers::is_api_level_met;
pub use state::{Applied, Effect, Stream};
