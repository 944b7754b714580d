//! One certificate and a choice among several.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::Certificate;

/// The certificates of a listener: the first that bears the name the client asks for, else the first it can check at all.
#[derive(Debug)]
pub struct Certificates {
    /// One at least.
    keys: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    /// `None`: there is none.
    pub fn new(keys: Vec<CertifiedKey>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self {
            keys: keys.into_iter().map(Arc::new).collect(),
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        let named = hello
            .server_name()
            .and_then(|name| fitting.clone().find(|key| bears(key, name)));
        named.or_else(|| fitting.next()).cloned()
    }
}

fn bears(key: &CertifiedKey, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else {
        return false;
    };
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| rustls::client::verify_server_name(&certificate, &name).is_ok())
}

/// When a certificate ends, in seconds since 1970; `None`: it cannot be read.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after;
    Some(end.to_unix_duration().as_secs())
}
