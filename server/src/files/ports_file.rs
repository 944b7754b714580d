//! The ports file: which urls the server listens on, as JSON, for programs that started it on free ports.
//!
//! Owns: its name, keys and urls, which are the Go server's. Removed when dropped.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::write_atomically;
use crate::cli::go_syntax::os_error;

/// Everybody reads it, as with the Go server; the umask may narrow that.
const FILE_MODE: u32 = 0o666;

/// Urls by listener; a listener that is off has no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// Clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<String>,
    /// Monitoring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
    /// Routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// Profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<String>,
    /// WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub websocket: Vec<String>,
}

/// The urls of one listener. One that listens everywhere is listed under every address of this machine.
pub fn listener_urls(scheme: &str, bound: SocketAddr) -> Vec<String> {
    urls(scheme, bound, &interface_addresses())
}

fn urls(scheme: &str, bound: SocketAddr, interfaces: &[IpAddr]) -> Vec<String> {
    let one = [bound.ip()];
    let addresses = if bound.ip().is_unspecified() {
        interfaces
    } else {
        &one
    };
    addresses
        .iter()
        .map(|address| format!("{scheme}://{}", SocketAddr::new(*address, bound.port())))
        .collect()
}

/// Addresses of all interfaces; none when the system does not tell.
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    addresses.collect()
}

/// The written ports file; removed when dropped.
#[derive(Debug)]
pub struct PortsFile {
    path: PathBuf,
}

impl PortsFile {
    /// Where the file of `program` (the path this process was started as) goes.
    pub fn path(directory: &Path, program: &str, pid: u32) -> PathBuf {
        let name = Path::new(program)
            .file_name()
            .map_or_else(|| "pinion".into(), |name| name.to_string_lossy());
        directory.join(format!("{name}_{pid}.ports"))
    }

    /// Writes the file. The error is the line to log; the server goes on without the file.
    pub fn write(directory: &Path, program: &str, ports: &Ports) -> Result<PortsFile, String> {
        let path = PortsFile::path(directory, program, std::process::id());
        let content = serde_json::to_vec(ports).expect("lists of strings are always JSON");
        write_atomically(&path, &content, FILE_MODE).map_err(|error| {
            let shown = path.display();
            format!(
                "Error writing ports file ({shown}): open {shown}: {}",
                os_error(&error)
            )
        })?;
        Ok(PortsFile { path })
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            let shown = self.path.display();
            tracing::error!(
                "Error cleaning up ports file {shown}: remove {shown}: {}",
                os_error(&error)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, keys and order as the Go server's; gone at the end.
    #[test]
    fn written_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let ports = Ports {
            nats: vec!["nats://127.0.0.1:4222".to_owned()],
            monitoring: vec!["http://[::1]:8222".to_owned()],
            ..Ports::default()
        };
        let file = PortsFile::write(directory.path(), "/usr/bin/nats-server", &ports).unwrap();
        let path = directory
            .path()
            .join(format!("nats-server_{}.ports", std::process::id()));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://[::1]:8222"]}"#
        );
        drop(file);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// A listener on all addresses is listed under each of them, IPv6 in brackets.
    #[test]
    fn unspecified_address_is_spelled_out() {
        let interfaces: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(
            urls("nats", "0.0.0.0:4222".parse().unwrap(), &interfaces),
            ["nats://127.0.0.1:4222", "nats://[fe80::1]:4222"]
        );
        assert_eq!(
            urls("tls", "[::1]:1".parse().unwrap(), &interfaces),
            ["tls://[::1]:1"]
        );
        let own = listener_urls("nats", "0.0.0.0:7".parse().unwrap());
        assert!(own.contains(&"nats://127.0.0.1:7".to_owned()), "{own:?}");
    }
}
