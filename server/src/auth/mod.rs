//! Who may connect, and as whom: from options to the rules of the shards.
//!
//! Owns: compiling the configured accounts (`compile`), the authenticator of configured users (`configured`), comparing
//! secrets (`secret`) and signatures (`signature`); reading and checking of the tokens of operator mode (`jwt`).
//! Not here: reading the configuration (`config`), obeying the rules (the shard's `rules`, `conn`, `router`).

mod compile;
mod configured;
pub mod jwt;
pub mod secret;
pub mod signature;

pub use compile::{compile, has_plain_passwords};
pub use configured::ConfiguredUsers;
