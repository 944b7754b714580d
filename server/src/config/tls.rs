//! The `tls` block of a listener: what it asks for, as written.
//!
//! Owns: types and words of its keys. Not here: files and keys themselves (`crate::tls`), what a shard does with it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::conn::HandshakeFirst;

use super::block::{Field, Reader};
use super::diagnostic::Position;
use super::duration::parse_duration_ns;
use super::value::{Node, Value};
use crate::tls::names::{suite, Curve, Suite};

/// A handshake may take so long when nothing is written.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// `handshake_first: auto` waits so long for the client.
const FALLBACK_DELAY: Duration = Duration::from_millis(50);

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM of the chain, the server's own certificate first.
    pub cert_file: PathBuf,
    /// PEM of the key.
    pub key_file: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

/// What a listener asks of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsBlock {
    /// Own certificates; one at least, which `crate::tls` checks.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs clients; `None`: whom the system trusts. Key `ca_file`.
    pub ca_file: Option<PathBuf>,
    /// Clients show a certificate. Key `verify`.
    pub verify: bool,
    /// Suites of TLS 1.2; `None`: all there are. Key `cipher_suites`.
    pub suites: Option<Vec<Suite>>,
    /// Key exchange, best first; `None`: all there are. Key `curve_preferences`.
    pub curves: Option<Vec<Curve>>,
    /// How long a handshake may take. Key `timeout`.
    pub timeout: Option<Duration>,
    /// Handshakes in a second; 0: no limit. Key `connection_rate_limit`.
    pub rate_limit: u32,
    /// Keys that clients may have, SHA-256 of each. Key `pinned_certs`.
    pub pinned_keys: Option<Arc<BTreeSet<[u8; 32]>>>,
    /// Who begins. Key `handshake_first`.
    pub first: HandshakeFirst,
    /// Key `min_version`.
    pub min_version: MinVersion,
}

/// Reads the block that `written` holds. What is wrong is noted, and the key then counts as not written.
pub(super) fn read(reader: &mut Reader<'_>, path: &str, written: &str, node: &Node) -> Option<TlsBlock> {
    let map = reader.map(written, node)?;
    let mut block = TlsBlock::default();
    let (mut cert_file, mut key_file) = (None, None);
    let mut insecure_suites: Vec<&str> = Vec::new();
    let mut allows_insecure = false;
    let mut suites_at = None;
    for Field { key, written, node } in reader.fields(path, map) {
        match key.name() {
            "cert_file" => cert_file = file(reader, written, node),
            "key_file" => key_file = file(reader, written, node),
            "ca_file" => block.ca_file = file(reader, written, node),
            // What clients do with it is not for a listener; it is read for its type.
            "insecure" => drop(reader.boolean(written, node)),
            "verify" => block.verify = reader.boolean(written, node).unwrap_or_default(),
            "verify_cert_and_check_known_urls" => {
                if reader.boolean(written, node) == Some(true) {
                    reader.error(&node.at, format!("{written} not supported in this context"));
                }
            }
            "allow_insecure_cipher_suites" => {
                allows_insecure = reader.boolean(written, node).unwrap_or_default();
            }
            "cipher_suites" => {
                suites_at = Some(&node.at);
                block.suites = read_suites(reader, written, node, &mut insecure_suites);
            }
            "curve_preferences" => block.curves = read_curves(reader, written, node),
            "timeout" => block.timeout = timeout(reader, written, node),
            "connection_rate_limit" => {
                let limit = reader.integer(written, node).unwrap_or_default();
                block.rate_limit = u32::try_from(limit.max(0)).unwrap_or(u32::MAX);
            }
            "pinned_certs" => block.pinned_keys = pinned_keys(reader, written, node),
            "handshake_first" => block.first = handshake_first(reader, written, node).unwrap_or_default(),
            "certs" => block.certificates = certificates(reader, key.path, written, node).unwrap_or_default(),
            "min_version" => block.min_version = min_version(reader, written, node).unwrap_or_default(),
            name => unreachable!("{name} is effective but nothing reads it"),
        }
    }
    if let (false, false, Some(at)) = (allows_insecure, insecure_suites.is_empty(), suites_at) {
        let names = insecure_suites.join(", ");
        reader.error(
            at,
            format!(
                "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {names}"
            ),
        );
    } else if let (Some(name), Some(at)) = (insecure_suites.first(), suites_at) {
        not_available(reader, at, name);
    }
    take_pair(reader, &node.at, &mut block, cert_file, key_file);
    Some(block)
}

fn take_pair(
    reader: &mut Reader<'_>,
    at: &Position,
    block: &mut TlsBlock,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
) {
    match (cert_file, key_file) {
        (Some(_), _) if !block.certificates.is_empty() => reader.error(
            at,
            "error parsing tls config, cannot combine 'cert_file' option with 'certs' option",
        ),
        (Some(cert_file), Some(key_file)) => {
            block.certificates = vec![CertificateFiles { cert_file, key_file }];
        }
        (Some(_), None) => reader.error(at, "missing 'key_file' in TLS configuration"),
        (None, Some(_)) => reader.error(at, "missing 'cert_file' in TLS configuration"),
        (None, None) => {}
    }
}

fn file(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<PathBuf> {
    let path = reader.text(written, node)?;
    (!path.is_empty()).then(|| PathBuf::from(&*path))
}

fn read_suites<'m>(
    reader: &mut Reader<'_>,
    written: &str,
    node: &'m Node,
    insecure: &mut Vec<&'m str>,
) -> Option<Vec<Suite>> {
    let items = not_empty(reader, written, node)?;
    let mut suites = Vec::new();
    for item in items {
        let Value::Text(name) = &item.value else {
            reader.error(
                &item.at,
                format!("{written} must list strings, not {}", item.value.kind()),
            );
            continue;
        };
        match suite(name) {
            Some(Suite::Insecure) => insecure.push(name),
            Some(Suite::Missing) => not_available(reader, &item.at, name),
            Some(suite) => suites.push(suite),
            None => reader.error(&item.at, format!("unrecognized cipher {name}")),
        }
    }
    Some(suites)
}

fn not_available(reader: &mut Reader<'_>, at: &Position, name: &str) {
    let possible = crate::tls::names::possible_suites().join(", ");
    reader.error(
        at,
        format!("cipher suite {name} is not available in this server: possible are {possible}"),
    );
}

fn read_curves(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Vec<Curve>> {
    let items = not_empty(reader, written, node)?;
    let mut curves = Vec::new();
    for item in items {
        let name = match &item.value {
            Value::Text(name) => &**name,
            _ => "",
        };
        match Curve::named(name) {
            Some(Ok(curve)) => curves.push(curve),
            Some(Err(possible)) => reader.error(
                &item.at,
                format!("curve {name} is not available in this server: possible are {possible}"),
            ),
            None => reader.error(&item.at, format!("unrecognized curve preference {name}")),
        }
    }
    Some(curves)
}

fn not_empty<'m>(reader: &mut Reader<'_>, written: &str, node: &'m Node) -> Option<&'m [Node]> {
    let items = reader.list(written, node)?;
    if items.is_empty() {
        reader.error(
            &node.at,
            format!("error parsing tls config, '{written}' cannot be empty"),
        );
        return None;
    }
    Some(items)
}

/// Seconds as a number, or a duration.
fn timeout(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Duration> {
    let time = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Value::Text(text) => match parse_duration_ns(text) {
            Ok(ns) => u64::try_from(ns).ok().map(Duration::from_nanos),
            Err(error) => {
                reader.error(&node.at, format!("error parsing tls config, '{written}' {error}"));
                return None;
            }
        },
        _ => {
            reader.error(
                &node.at,
                format!("error parsing tls config, '{written}' wrong type"),
            );
            return None;
        }
    };
    if time.is_none() {
        reader.error(&node.at, format!("{written} can not be negative"));
    }
    time.filter(|time| !time.is_zero())
}

fn pinned_keys(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Arc<BTreeSet<[u8; 32]>>> {
    let items = reader.list(written, node)?;
    let mut keys = BTreeSet::new();
    for item in items {
        let key = match &item.value {
            Value::Text(text) => sha256_of_hex(text),
            _ => None,
        };
        match key {
            Some(key) => drop(keys.insert(key)),
            None => {
                let text = format!(
                    "error parsing tls config, '{written}' key {} does not look like hex-encoded sha256 of DER encoded \
                     SubjectPublicKeyInfo",
                    item.value.to_config()
                );
                reader.error(&item.at, text);
            }
        }
    }
    (!items.is_empty()).then(|| Arc::new(keys))
}

fn sha256_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in key.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        // A sign would be taken for a number too.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(key)
}

fn handshake_first(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<HandshakeFirst> {
    let text = match &node.value {
        Value::Bool(true) => return Some(HandshakeFirst::Yes),
        Value::Bool(false) => return Some(HandshakeFirst::No),
        Value::Text(text) => text.to_lowercase(),
        other => {
            let text = format!(
                "field {written:?} should be a boolean or a string, got {}",
                other.peer_kind()
            );
            reader.error(&node.at, text);
            return None;
        }
    };
    match text.as_str() {
        "true" | "on" => Some(HandshakeFirst::Yes),
        "false" | "off" => Some(HandshakeFirst::No),
        "auto" | "auto_fallback" => Some(HandshakeFirst::Within(FALLBACK_DELAY)),
        other => match parse_duration_ns(other).map(u64::try_from) {
            // No delay is no way back, as at the peer.
            Ok(Ok(0)) | Ok(Err(_)) => Some(HandshakeFirst::Yes),
            Ok(Ok(ns)) => Some(HandshakeFirst::Within(Duration::from_nanos(ns))),
            Err(_) => {
                reader.error(
                    &node.at,
                    format!("field {written:?}'s value {other:?} is invalid"),
                );
                None
            }
        },
    }
}

fn certificates(
    reader: &mut Reader<'_>,
    path: &str,
    written: &str,
    node: &Node,
) -> Option<Vec<CertificateFiles>> {
    let items = reader.list(written, node)?;
    let path = format!("{path}[]");
    let mut pairs = Vec::new();
    for item in items {
        let Some(map) = reader.map(written, item) else {
            continue;
        };
        let (mut cert_file, mut key_file) = (None, None);
        for Field { key, written, node } in reader.fields(&path, map) {
            let path = file(reader, written, node);
            match key.name() {
                "cert_file" => cert_file = path,
                "key_file" => key_file = path,
                name => unreachable!("{name} is effective but nothing reads it"),
            }
        }
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => pairs.push(CertificateFiles { cert_file, key_file }),
            _ => reader.error(
                &item.at,
                "error parsing certificates config: both 'cert_file' and 'cert_key' options are required",
            ),
        }
    }
    Some(pairs)
}

fn min_version(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<MinVersion> {
    let text = match &node.value {
        Value::Text(text) => &**text,
        // Without quotes `1.3` is a number.
        Value::Float(1.2) => "1.2",
        Value::Float(1.3) => "1.3",
        other => {
            let text = format!(
                "error parsing tls config: '{written}' wrong type: {}",
                other.to_config()
            );
            reader.error(&node.at, text);
            return None;
        }
    };
    match text {
        "1.2" => Some(MinVersion::Tls12),
        "1.3" => Some(MinVersion::Tls13),
        "1.0" | "1.1" => {
            reader.error(
                &node.at,
                format!("error parsing tls config: unsupported TLS version: TLS {text}"),
            );
            None
        }
        other => {
            reader.error(
                &node.at,
                format!("error parsing tls config: unknown version: {other}"),
            );
            None
        }
    }
}
