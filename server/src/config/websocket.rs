//! The `websocket` block: the port of WebSocket clients.
//!
//! Owns: types and words of its keys, and what they mean together. Not here: its `tls` (`config::tls`), requests and
//! frames (shard, `conn::transport`).

use std::time::Duration;

use pinion_shard::conn::{Origin, UpgradeRules};

use super::apply::split_host_port;
use super::block::{Field, Reader};
use super::diagnostic::{Diagnostic, Position};
use super::duration::parse_duration_ns;
use super::raw::{DEFAULT_HOST, RANDOM_PORT};
use super::tls::{self, TlsBlock};
use super::value::{Node, Value};

/// Fields of the answer that the server writes itself.
const OWN_FIELDS: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "upgrade",
    "nats-no-masking",
];

/// The block as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawWebSocket {
    /// `host`; empty asks for the default.
    pub host: String,
    /// `port`; 0: no such port, -1 asks for any free one.
    pub port: i64,
    /// `advertise`.
    pub advertise: String,
    /// `no_tls`.
    pub no_tls: bool,
    /// `tls`.
    pub tls: Option<TlsBlock>,
    /// Which requests are taken.
    pub upgrade: UpgradeRules,
    /// `allowed_origins`, as written.
    pub allowed_origins: Vec<String>,
    /// `handshake_timeout`.
    pub handshake_timeout: Option<Duration>,
}

/// The port of WebSocket clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketListen {
    /// Name or address to bind. Key `websocket.host`.
    pub host: String,
    /// 0 lets the kernel pick (the file says -1). Key `websocket.port`.
    pub port: u16,
    /// The rest, as written.
    pub block: RawWebSocket,
}

/// Reads the block that `written` holds. What is wrong is noted.
pub(super) fn read(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<RawWebSocket> {
    let map = reader.map(written, node)?;
    let mut block = RawWebSocket::default();
    for Field { key, written, node } in reader.fields("websocket", map) {
        match key.name() {
            "listen" => {
                if let Some((host, port)) = listen(reader, node) {
                    (block.host, block.port) = (host, port);
                }
            }
            "port" => block.port = reader.integer(written, node).unwrap_or_default(),
            "host" => block.host = text(reader, written, node),
            "advertise" => block.advertise = text(reader, written, node),
            "no_tls" => block.no_tls = reader.boolean(written, node).unwrap_or_default(),
            "tls" => block.tls = tls::read(reader, key.path, written, node),
            "same_origin" => block.upgrade.same_origin = reader.boolean(written, node).unwrap_or_default(),
            "allowed_origins" => read_origins(reader, written, node, &mut block),
            "handshake_timeout" => block.handshake_timeout = timeout(reader, written, node),
            "compression" => block.upgrade.compression = reader.boolean(written, node).unwrap_or_default(),
            "headers" => block.upgrade.headers = headers(reader, written, node),
            name => unreachable!("{name} is effective but nothing reads it"),
        }
    }
    Some(block)
}

/// What the block means; `None`: there is no such port.
pub(super) fn resolve(
    block: Option<&RawWebSocket>,
    at: Option<&Position>,
    problems: &mut Vec<Diagnostic>,
) -> Option<WebSocketListen> {
    let block = block.filter(|block| block.port != 0)?;
    let mut error = |text: String| problems.push(Diagnostic::error(at.cloned(), text));
    if block.tls.is_none() && !block.no_tls {
        error("websocket requires TLS configuration".to_owned());
    }
    let port = match block.port {
        RANDOM_PORT => Some(0),
        port => u16::try_from(port).ok(),
    };
    if port.is_none() {
        error(format!(
            "websocket: port {} is no port: -1 picks a free one, else 1 to 65535",
            block.port
        ));
    }
    Some(WebSocketListen {
        host: Some(&block.host)
            .filter(|host| !host.is_empty())
            .map_or(DEFAULT_HOST, |host| host)
            .to_owned(),
        port: port?,
        block: block.clone(),
    })
}

fn text(reader: &mut Reader<'_>, written: &str, node: &Node) -> String {
    reader
        .text(written, node)
        .map_or_else(String::new, |text| text.to_string())
}

fn listen(reader: &mut Reader<'_>, node: &Node) -> Option<(String, i64)> {
    let text = match &node.value {
        Value::Integer(port) => return Some((String::new(), *port)),
        Value::Text(text) => text,
        other => {
            reader.error(
                &node.at,
                format!("expected port or host:port, got {}", other.peer_kind()),
            );
            return None;
        }
    };
    let Some((host, port)) = split_host_port(text) else {
        reader.error(&node.at, format!("could not parse address string {text:?}"));
        return None;
    };
    let Ok(port) = port.parse() else {
        reader.error(&node.at, format!("could not parse port {port:?}"));
        return None;
    };
    Some((host.to_owned(), port))
}

fn read_origins(reader: &mut Reader<'_>, written: &str, node: &Node, block: &mut RawWebSocket) {
    for origin in reader.texts(written, node).unwrap_or_default() {
        let parsed = Origin::parse(&origin).and_then(|parsed| match parsed.scheme.as_str() {
            "http" | "https" if !parsed.host.is_empty() => Ok(parsed),
            "http" | "https" => Err("host is required".to_owned()),
            _ => Err("allowed origins must be absolute URLs with http or https scheme".to_owned()),
        });
        match parsed {
            Ok(parsed) => {
                block.upgrade.allowed_origins.push(parsed);
                block.allowed_origins.push(origin.to_string());
            }
            Err(error) => {
                let text = format!("unable to parse allowed origin {:?}: {error}", &*origin.value);
                reader.error(&origin.at, text);
            }
        }
    }
}

fn timeout(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Duration> {
    let time = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Text(text) => match parse_duration_ns(text) {
            Ok(ns) => u64::try_from(ns).ok().map(Duration::from_nanos),
            Err(error) => {
                reader.error(&node.at, error);
                return None;
            }
        },
        other => {
            let kind = other.kind();
            reader.error(
                &node.at,
                format!("{written} must be a duration or seconds, not {kind}"),
            );
            return None;
        }
    };
    if time.is_none() {
        reader.error(&node.at, format!("{written} can not be negative"));
    }
    time.filter(|time| !time.is_zero())
}

fn headers(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let Some(map) = reader.map(written, node) else {
        return headers;
    };
    for (name, node) in map.iter() {
        let lower = name.to_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let Some(value) = reader.text(name, node) else {
            continue;
        };
        if OWN_FIELDS.contains(&lower.as_str()) {
            reader.error(
                &node.at,
                format!("websocket: invalid header {name:?} not allowed"),
            );
        } else if lower.starts_with("sec-websocket-") {
            let text = format!("websocket: invalid header {name:?}, \"Sec-WebSocket-\" prefix not allowed");
            reader.error(&node.at, text);
        } else if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            reader.error(
                &node.at,
                format!("websocket: header {name:?} cannot be written into an answer"),
            );
        } else {
            headers.push((name.to_owned(), value.to_string()));
        }
    }
    headers
}
