//! The Pinion server: config, boot, monitoring. The road of a message is in `pinion_shard`.

pub mod auth;
pub mod boot;
pub mod cli;
pub mod config;
pub mod events;
pub mod files;
pub mod identity;
pub mod log;
pub mod monitor;
pub mod preflight;
pub mod reload;
pub mod shard_settings;
pub mod signals;
pub mod tls;

/// The release of the Go nats-server this one takes the place of; clients choose features by it.
pub const PEER_VERSION: &str = "2.14.5";
/// The release of Pinion.
pub const PINION_VERSION: &str = env!("CARGO_PKG_VERSION");
/// What stands where the Go server names its compiler. JSON: `go`.
pub const RUNTIME_VERSION: &str = "rust";

/// Runs the program with the process's own arguments: the `main` of every binary that is this server.
pub fn main() -> std::process::ExitCode {
    cli::main_with(&mut |settings| boot::run(&settings))
}
