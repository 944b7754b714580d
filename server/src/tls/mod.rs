//! Certificates, keys and trust of a listener: from what the configuration asks for to what a shard serves with.
//!
//! Owns: reading of PEM files, the choice of a certificate by name, whom to trust. Not here: the words of the
//! configuration (`config::tls`), the handshake itself (shard, `conn::transport`).
//! Files are read as a whole and checked before anything of them is used: a server never starts with half of it, and a
//! reload keeps what it has when the new is wrong.

mod certificate;
pub mod names;
mod watched;

use std::path::Path;
use std::sync::Arc;

use pinion_shard::conn::{HandshakeRate, TlsSettings};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

pub use certificate::{not_after, subject, Certificates};
use names::{Curve, Suite};
pub use watched::WatchedFiles;

use crate::config::tls::{CertificateFiles, MinVersion, TlsBlock, DEFAULT_TIMEOUT};
use crate::config::{Options, ReadFile};

/// Reads what `block` names and makes of it what a shard serves with. `allows_plain`: clients may come without TLS.
///
/// # Errors
/// A file cannot be read, or what is in it does not fit; the file is named.
pub fn settings(block: &TlsBlock, allows_plain: bool, read: &dyn ReadFile) -> Result<TlsSettings, String> {
    let (config, not_after) = server_config(block, read)?;
    Ok(TlsSettings {
        config: Arc::new(config),
        not_after,
        handshake_timeout: block.timeout.unwrap_or(DEFAULT_TIMEOUT),
        first: block.first,
        allows_plain,
        verifies: block.verify,
        pinned_keys: block.pinned_keys.clone(),
        rate: (block.rate_limit > 0).then(|| Arc::new(HandshakeRate::new(block.rate_limit))),
    })
}

/// Whether everything that the options name can be served with.
///
/// # Errors
/// As [`settings`].
pub fn check(options: &Options, read: &dyn ReadFile) -> Result<(), String> {
    if let Some(tls) = &options.tls {
        settings(&tls.block, tls.allows_plain, read)?;
    }
    if let Some(block) = options
        .websocket
        .as_ref()
        .and_then(|listen| listen.block.tls.as_ref())
    {
        settings(block, false, read).map_err(|error| format!("websocket: {error}"))?;
    }
    Ok(())
}

fn server_config(block: &TlsBlock, read: &dyn ReadFile) -> Result<(ServerConfig, Option<u64>), String> {
    let mut provider = aws_lc_rs::default_provider();
    let is_tls12 = match &block.suites {
        Some(asked) => {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || asked.contains(&Suite::Tls12(suite.suite())));
            asked.iter().any(|suite| matches!(suite, Suite::Tls12(_)))
        }
        None => true,
    };
    let curves = block.curves.as_deref().unwrap_or(&Curve::ALL);
    provider.kx_groups = curves.iter().map(|curve| curve.group()).collect();
    let versions: &[&rustls::SupportedProtocolVersion] = match block.min_version {
        MinVersion::Tls12 if is_tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls12 | MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    // The order of the peer, which is the cheaper one as well.
    provider
        .cipher_suites
        .sort_by_key(|suite| names::rank(suite.suite()));
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS: {error}"))?;
    let builder = if block.verify {
        let roots = roots(block.ca_file.as_deref(), read)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| format!("TLS: {error}"))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut keys = Vec::new();
    for (index, files) in block.certificates.iter().enumerate() {
        let place = match block.certificates.len() {
            1 => String::new(),
            count => format!(" {}/{count}", index + 1),
        };
        let key = certified_key(files, &provider, read)
            .map_err(|error| format!("error parsing X509 certificate/key pair{place}: {error}"))?;
        keys.push(key);
    }
    let not_after = keys.first().and_then(|key| not_after(key.cert.first()?));
    let certificates =
        Certificates::new(keys).ok_or("TLS: no certificate is configured: set cert_file and key_file")?;
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A client that must show a certificate shows it each time: what was true of it once may not be any more.
    if !block.verify {
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| format!("TLS: {error}"))?;
        config.send_tls13_tickets = 1;
    }
    Ok((config, not_after))
}

fn certified_key(
    files: &CertificateFiles,
    provider: &rustls::crypto::CryptoProvider,
    read: &dyn ReadFile,
) -> Result<CertifiedKey, String> {
    let chain = pem_certificates(&files.cert_file, read)?;
    if chain.is_empty() {
        return Err(format!("{}: no certificate in it", files.cert_file.display()));
    }
    let bytes = open(&files.key_file, read)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| format!("{}: no private key in it: {error}", files.key_file.display()))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("{}: {error}", files.key_file.display()))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "private key {} does not match public key of {}",
            files.key_file.display(),
            files.cert_file.display()
        ),
        error => format!("{}: {error}", files.cert_file.display()),
    })?;
    Ok(certified)
}

/// Whom clients' certificates must come from.
fn roots(ca_file: Option<&Path>, read: &dyn ReadFile) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            return Err("verify without ca_file trusts whom the system trusts, and no such certificates are installed: set ca_file".to_owned());
        }
        return Ok(roots);
    };
    for certificate in pem_certificates(path, read)? {
        roots
            .add(certificate)
            .map_err(|error| format!("failed to parse root ca certificate: {}: {error}", path.display()))?;
    }
    if roots.is_empty() {
        return Err(format!(
            "failed to parse root ca certificate: {}: no certificate in it",
            path.display()
        ));
    }
    Ok(roots)
}

fn pem_certificates(path: &Path, read: &dyn ReadFile) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = open(path, read)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    certificates.map_err(|error| format!("{}: {error}", path.display()))
}

fn open(path: &Path, read: &dyn ReadFile) -> Result<Vec<u8>, String> {
    read.read(path)
        .map_err(|error| format!("open {}: {}", path.display(), crate::boot::system_text(&error)))
}
