//! The Pinion server: config, boot, monitoring. The road of a message is in `pinion_shard`.

pub mod cli;
pub mod config;
pub mod files;
pub mod log;
pub mod preflight;
pub mod signals;
