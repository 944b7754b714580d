//! The names that the peer has for cipher suites and curves, and what they are here.

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::SupportedKxGroup;
use rustls::CipherSuite;

/// What a name of a cipher suite stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// A suite of TLS 1.2 that is offered when it is asked for.
    Tls12(CipherSuite),
    /// A suite of TLS 1.3: all of them are offered always, as at the peer.
    Tls13,
    /// The peer has it and calls it secure; it is not here.
    Missing,
    /// The peer has it and calls it insecure; it is not here.
    Insecure,
}

use Suite::{Insecure, Missing, Tls12, Tls13};

#[rustfmt::skip]
const SUITES: &[(&str, Suite)] = &[
    ("TLS_AES_128_GCM_SHA256", Tls13),
    ("TLS_AES_256_GCM_SHA384", Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", Tls13),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Missing),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Missing),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Missing),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Missing),
    ("TLS_RSA_WITH_RC4_128_SHA", Insecure),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Insecure),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", Insecure),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", Insecure),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", Insecure),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", Insecure),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", Insecure),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Insecure),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", Insecure),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Insecure),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Insecure),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Insecure),
];

/// The suite of this name; `None`: there is none.
pub fn suite(name: &str) -> Option<Suite> {
    SUITES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, suite)| *suite)
}

/// Where a suite stands in the order in which the server picks: AES with 128 bits first, ChaCha last.
pub(super) fn rank(suite: CipherSuite) -> usize {
    let name = format!("{suite:?}");
    ["AES_128_GCM", "AES_256_GCM", "CHACHA20"]
        .iter()
        .position(|cipher| name.contains(cipher))
        .unwrap_or(usize::MAX)
}

/// The names that can be asked for.
pub fn possible_suites() -> Vec<&'static str> {
    let possible = SUITES
        .iter()
        .filter(|(_, suite)| matches!(suite, Tls12(_) | Tls13));
    possible.map(|(name, _)| *name).collect()
}

/// A way to exchange keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `X25519MLKEM768`
    X25519MlKem768,
    /// `X25519`
    X25519,
    /// `CurveP256`
    P256,
    /// `CurveP384`
    P384,
}

impl Curve {
    /// All of them, in the order in which they are preferred when nothing is written.
    pub const ALL: [Curve; 4] = [Curve::X25519MlKem768, Curve::X25519, Curve::P256, Curve::P384];

    /// The curve of this name; `None`: there is none.
    ///
    /// # Errors
    /// The peer has it and it is not here: what there is.
    pub fn named(name: &str) -> Option<Result<Curve, &'static str>> {
        match name {
            "X25519MLKEM768" => Some(Ok(Curve::X25519MlKem768)),
            "X25519" => Some(Ok(Curve::X25519)),
            "CurveP256" => Some(Ok(Curve::P256)),
            "CurveP384" => Some(Ok(Curve::P384)),
            "CurveP521" => Some(Err("X25519MLKEM768, X25519, CurveP256, CurveP384")),
            _ => None,
        }
    }

    pub(super) fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Curve::X25519MlKem768 => kx_group::X25519MLKEM768,
            Curve::X25519 => kx_group::X25519,
            Curve::P256 => kx_group::SECP256R1,
            Curve::P384 => kx_group::SECP384R1,
        }
    }
}
