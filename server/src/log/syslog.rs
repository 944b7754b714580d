//! Lines to syslog, on this machine or another.
//!
//! Owns: the message format, which is the Go server's, and connecting again. The sockets are the `syslog`
//! crate's. Messages carry no time and label of ours: syslog has both.
//!
//! Local   <29>Nov 21 13:44:01 pinion[42]: text          facility daemon, local time
//! Remote  <5>2026-11-21T13:44:01Z host pinion[42]: text facility kern, as the Go server sends
//!
//! A message that cannot be sent is tried once more on a new connection, then counted as dropped.

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::Timestamp;
use syslog::LoggerBackend;

use super::line::{Level, Line};

/// How long connecting to a syslog server, or a write to it, may take before lines are dropped.
const REMOTE_WAIT: Duration = Duration::from_secs(2);

const FACILITY_KERN: u8 = 0;
const FACILITY_DAEMON: u8 = 3 << 3;

/// A syslog to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// The socket of this machine.
    Local,
    /// `udp://host:port`
    Udp(String),
    /// `tcp://host:port`
    Tcp(String),
    /// `unix:///path`
    Unix(String),
}

impl SyslogAddress {
    /// Reads the value of `remote_syslog`.
    pub fn parse(url: &str) -> Result<SyslogAddress, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host_port = authority.rsplit('@').next().unwrap_or_default().to_owned();
        match scheme {
            "udp" => Ok(SyslogAddress::Udp(host_port)),
            "tcp" => Ok(SyslogAddress::Tcp(host_port)),
            "unix" => Ok(SyslogAddress::Unix(rest.to_owned())),
            other => Err(format!(
                "error invalid network type: {}",
                crate::cli::go_syntax::quote(other)
            )),
        }
    }
}

/// An open syslog connection.
pub(super) struct Syslog {
    address: SyslogAddress,
    backend: LoggerBackend,
    tag: String,
    pid: u32,
    host: String,
}

impl Syslog {
    pub(super) fn open(address: SyslogAddress, tag: &str, pid: u32) -> io::Result<Syslog> {
        let host = nix::unistd::gethostname()
            .map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned());
        Ok(Syslog {
            backend: connect(&address)?,
            address,
            tag: tag.to_owned(),
            pid,
            host,
        })
    }

    pub(super) fn write(&mut self, line: &Line, zone: &TimeZone) -> io::Result<()> {
        let message = self.message(line, zone);
        if self.send(&message).is_ok() {
            return Ok(());
        }
        self.backend = connect(&self.address)?;
        self.send(&message)
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        // A datagram is taken whole or not at all; a stream may need several writes.
        self.backend.write_all(message.as_bytes())
    }

    fn message(&self, line: &Line, zone: &TimeZone) -> String {
        let when = Timestamp::from_microsecond(line.time_us)
            .unwrap_or_default()
            .to_zoned(zone.clone());
        let (tag, pid, text, severity) = (&self.tag, self.pid, line.flat_text(), severity(line.level));
        match self.address {
            SyslogAddress::Local => {
                let when = when.strftime("%b %e %H:%M:%S");
                format!("<{}>{when} {tag}[{pid}]: {text}\n", FACILITY_DAEMON | severity)
            }
            _ => {
                let when = rfc3339(&when);
                format!(
                    "<{}>{when} {} {tag}[{pid}]: {text}\n",
                    FACILITY_KERN | severity,
                    self.host
                )
            }
        }
    }
}

fn rfc3339(when: &jiff::Zoned) -> String {
    if when.offset().is_zero() {
        when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        when.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// The numbers of RFC 5424, chosen per level as by the Go server (a traced line is a notice).
fn severity(level: Level) -> u8 {
    match level {
        Level::Fatal => 2,
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info | Level::Trace => 5,
        Level::Debug => 7,
    }
}

fn connect(address: &SyslogAddress) -> io::Result<LoggerBackend> {
    match address {
        SyslogAddress::Local => {
            let logger = syslog::unix(()).map_err(|_| io::Error::other("Unix syslog delivery error"))?;
            Ok(logger.backend)
        }
        SyslogAddress::Unix(path) => {
            let logger =
                syslog::unix_custom((), path).map_err(|error| io::Error::other(error.to_string()))?;
            Ok(logger.backend)
        }
        SyslogAddress::Udp(host_port) => {
            let server = resolve(host_port)?;
            let local: SocketAddr = if server.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            Ok(LoggerBackend::Udp(UdpSocket::bind(local)?, server))
        }
        SyslogAddress::Tcp(host_port) => {
            let stream = TcpStream::connect_timeout(&resolve(host_port)?, REMOTE_WAIT)?;
            stream.set_write_timeout(Some(REMOTE_WAIT))?;
            Ok(LoggerBackend::Tcp(BufWriter::new(stream)))
        }
    }
}

fn resolve(host_port: &str) -> io::Result<SocketAddr> {
    host_port
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other(format!("no address for {host_port}")))
}
