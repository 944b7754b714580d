//! A stream: its configuration and its state machine.
//!
//! Owns: what may be configured (`config`), the changes of a stream (`entry`). Not here: the requests that ask (`api`).

pub mod config;
mod cron;
pub mod decimal;
pub mod entry;
mod headers;
mod schedule;
