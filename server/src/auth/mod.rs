//! Who may connect, and as whom: from options to the rules of the shards.
//!
//! Owns: compiling the configured accounts (`compile`), the authenticator of configured users (`configured`), comparing
//! secrets (`secret`) and signatures (`signature`), tokens of operators, accounts and users (`jwt`),
//! the rules at the start (`start`).
//! Not here: reading the configuration (`config`), obeying the rules (the shard's `rules`, `conn`, `router`).

mod compile;
mod configured;
pub mod jwt;
pub mod secret;
pub mod signature;
mod start;

pub use compile::compile;
pub use configured::ConfiguredUsers;
pub use start::first_rules;
