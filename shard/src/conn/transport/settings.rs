//! What a listener asks of TLS: an immutable snapshot, replaced as a whole when the configuration or a certificate
//! changes. Connections keep the one they began with.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};

use super::upgrade::UpgradeRules;
use crate::io::Time;

/// Who begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// The server, with INFO in clear.
    #[default]
    No,
    /// The client, with the handshake.
    Yes,
    /// The client, with the handshake, unless it says nothing for so long.
    Within(Duration),
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Certificates, suites, whom to trust.
    pub config: Arc<rustls::ServerConfig>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Who begins.
    pub first: HandshakeFirst,
    /// Clients may come without TLS.
    pub allows_plain: bool,
    /// Clients must show a certificate.
    pub verifies: bool,
    /// The key of the client's certificate must be one of these: SHA-256 of its public key as DER.
    pub pinned_keys: Option<Arc<BTreeSet<[u8; 32]>>>,
    /// When the server's certificate ends, seconds since 1970.
    pub not_after: Option<u64>,
    /// How many handshakes may begin in a second.
    pub rate: Option<Arc<HandshakeRate>>,
}

impl TlsSettings {
    /// Whether a client with this certificate may stay. The error says why not; it names a key at most.
    ///
    /// # Errors
    /// It showed no certificate, or one whose key is not pinned.
    pub fn check_pinned(&self, certificate: Option<&[u8]>) -> Result<(), String> {
        let Some(pinned) = &self.pinned_keys else {
            return Ok(());
        };
        let Some(certificate) = certificate else {
            return Err("certificate not pinned: the client showed none".to_owned());
        };
        match key_digest(certificate) {
            Some(key) if pinned.contains(&key) => Ok(()),
            Some(key) => {
                let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                Err(format!("certificate not pinned: key id {hex}"))
            }
            None => Err("certificate not pinned: it cannot be read".to_owned()),
        }
    }
}

/// The port of WebSocket clients.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// Its TLS; `None`: HTTP in clear.
    pub tls: Option<Arc<TlsSettings>>,
    /// Which requests are taken.
    pub upgrade: UpgradeRules,
    /// How long a client may take until its request is there; `None`: as long as it likes.
    pub handshake_timeout: Option<Duration>,
    /// Where the port is, as INFO tells its clients.
    pub host: String,
    /// And its number.
    pub port: i64,
}

/// SHA-256 of the public key of a certificate, both as DER.
pub fn key_digest(certificate: &[u8]) -> Option<[u8; 32]> {
    let certificate = CertificateDer::from(certificate);
    let parsed = ParsedCertificate::try_from(&certificate).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

/// Handshakes of the whole server that may begin in one second. Beyond: the client is told to try again.
#[derive(Debug)]
pub struct HandshakeRate {
    limit: u64,
    /// The second in the upper half, how many began in it in the lower.
    window: AtomicU64,
}

impl HandshakeRate {
    /// At most `limit` a second.
    pub fn new(limit: u32) -> Self {
        Self {
            limit: u64::from(limit),
            window: AtomicU64::new(0),
        }
    }

    /// Counts one; `false`: there were enough.
    pub fn allow(&self, now: Time) -> bool {
        // The second 0 is that of a fresh counter.
        let second = now.0 / 1_000_000_000 + 1;
        let counted = self
            .window
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
                let count = if window >> 32 == second {
                    window & 0xffff_ffff
                } else {
                    0
                };
                (count < self.limit).then_some(second << 32 | (count + 1))
            });
        counted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each second has its own count, whatever shard asks.
    #[test]
    fn handshakes_are_counted_by_second() {
        let rate = HandshakeRate::new(2);
        let at = |second: u64, offset: u64| Time(second * 1_000_000_000 + offset);
        assert!(rate.allow(at(0, 0)));
        assert!(rate.allow(at(0, 999_999_999)));
        assert!(!rate.allow(at(0, 999_999_999)));
        assert!(rate.allow(at(1, 0)));
        assert!(rate.allow(at(7, 5)));
        assert!(rate.allow(at(7, 6)));
        assert!(!rate.allow(at(7, 7)));
    }
}
