//! One certificate and a choice among several.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
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

/// The attributes of a subject that have a short name, in the order in which Go writes them, last first.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];
/// Of these a subject has one, and the last that is written counts.
const SINGLE: [&str; 2] = ["SERIALNUMBER", "CN"];

/// The subject of a certificate, DER, as Go writes it: `CN=client,O=acme`; `None`: it cannot be read.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let attributes: Vec<&AttributeTypeAndValue> = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|relative| relative.0.iter())
        .collect();
    let mut parts = Vec::new();
    for (oid, name) in SHORT_NAMES {
        let oid = ObjectIdentifier::new_unwrap(oid);
        let mut values: Vec<String> = attributes
            .iter()
            .filter(|attribute| attribute.oid == oid)
            .map(|attribute| format!("{name}={}", escaped(&text_of(attribute))))
            .collect();
        if SINGLE.contains(&name) {
            values = values.pop().into_iter().collect();
        }
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    // What has no short name comes last, the last of it first.
    let is_short = |attribute: &AttributeTypeAndValue| {
        SHORT_NAMES
            .iter()
            .any(|(oid, _)| attribute.oid == ObjectIdentifier::new_unwrap(oid))
    };
    for attribute in attributes.iter().rev().filter(|attribute| !is_short(attribute)) {
        parts.push(format!(
            "{}=#{}",
            attribute.oid,
            hex_of_string(&text_of(attribute))
        ));
    }
    Some(parts.join(","))
}

fn text_of(attribute: &AttributeTypeAndValue) -> String {
    let value = &attribute.value;
    if value.tag() == Tag::BmpString {
        let units = value.value().chunks_exact(2);
        let units: Vec<u16> = units.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(value.value()).into_owned()
}

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (index, letter) in text.chars().enumerate() {
        let is_special = match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => index == 0 || index == last,
            '#' => index == 0,
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// The DER of a text as Go writes it, in hexadecimal.
fn hex_of_string(text: &str) -> String {
    let is_printable = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    let mut der = vec![if is_printable { 0x13 } else { 0x0c }];
    match u8::try_from(text.len()) {
        Ok(size @ 0..=127) => der.push(size),
        Ok(size) => der.extend([0x81, size]),
        Err(_) => der.extend(
            [0x82]
                .into_iter()
                .chain(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes()),
        ),
    }
    der.extend_from_slice(text.as_bytes());
    der.iter().map(|byte| format!("{byte:02x}")).collect()
}
