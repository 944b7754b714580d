//! A consumer: its configuration and its state machine.
//!
//! Owns: what may be configured (`config`), the changes that survive (`entry`, `progress`), what does not survive (waiting
//! pull requests, timers, windows), what is sent and when (`state`, `deliver`, `acks`). Not here: the log, sockets, whose
//! interest there is in a subject, the requests of the API about consumers.
//!
//! Everything is a value: an event comes in with its time and its chance, [`Effect`]s go out in the order in which they
//! have to happen. What must survive goes out as a [`Change`] before what depends on it.

pub mod ack;
mod acks;
pub mod advisory;
mod again;
pub mod config;
mod deliver;
mod effect;
pub mod entry;
mod info;
mod pace;
pub mod progress;
mod pulls;
pub mod request;
mod start;
mod state;
mod status;
mod waiting;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use config::ConsumerConfig;
pub use effect::{Around, Effect};
pub use entry::{Change, Entry};
pub use info::ConsumerInfo;
pub use state::{Consumer, Home};
