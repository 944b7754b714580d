//! The monitoring port. Not built yet.

use std::net::SocketAddr;

use pinion_shard::runtime::Shards;

use crate::config::options::{MonitorListen, Options};
use crate::identity::Identity;
use crate::log::LogHandle;

/// Opens the monitoring port.
///
/// # Errors
/// The address cannot be bound.
pub fn start(
    _shards: &Shards,
    _listen: &MonitorListen,
    _options: &Options,
    _identity: &Identity,
    _log: &LogHandle,
) -> Result<SocketAddr, String> {
    Err("monitoring is not built yet".to_owned())
}
