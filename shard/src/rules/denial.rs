//! Why a connection was not let in, or not any longer.
//!
//! Owns: the reasons, what the client is told for each, how the connection ends. Not here: who finds out (authenticators).
//! The reason and its detail are for the server's log, `/connz` and events; the client gets the peer's text only.

use crate::proto::{ClientError, CloseReason};

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialKind {
    /// Credentials are needed and none came.
    NoCredentials,
    /// What came cannot be read: a JWT that is none, a signature that is no base64.
    Malformed,
    /// No such user, or no such public key.
    UnknownUser,
    /// The password or token is wrong.
    WrongSecret,
    /// The nonce was not signed, or not by this key.
    WrongSignature,
    /// Nobody trusted issued the claims.
    UntrustedIssuer,
    /// The account is unknown here or cannot be fetched now.
    UnknownAccount,
    /// The user's claims have expired.
    UserExpired,
    /// The account's claims have expired.
    AccountExpired,
    /// The user was revoked.
    Revoked,
    /// The user may not connect in this way.
    ConnectionType,
    /// The client's address is none of the user's sources.
    Source,
    /// Not in one of the user's time windows.
    TimeWindow,
    /// The account forbids bearer tokens.
    Bearer,
    /// The client's certificate maps to no user, or is not pinned.
    Certificate,
    /// The proxy's signature is not one of a trusted proxy.
    ProxyNotTrusted,
    /// The user may come through a trusted proxy only.
    ProxyRequired,
    /// The auth callout said no or gave an answer that does not hold.
    Callout,
    /// The decision took too long.
    TimedOut,
    /// CONNECT asks for an account by name.
    AccountByName,
    /// The account has all connections it may have.
    AccountFull,
    /// The rules changed and do not allow it any more.
    RulesChanged,
    /// The rules changed and do not know the user any more.
    UserGone,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was wrong.
    pub kind: DenialKind,
    /// Which rule, claim or certificate field, and what the clock said. Holds no secret.
    pub detail: String,
    /// Whom the client claimed to be, as far as it may be shown; empty: nobody.
    pub user: String,
}

impl Denial {
    /// A reason with its detail.
    pub fn new(kind: DenialKind, detail: impl Into<String>) -> Denial {
        Denial {
            kind,
            detail: detail.into(),
            user: String::new(),
        }
    }

    /// The same, about a user.
    #[must_use]
    pub fn of_user(self, user: impl Into<String>) -> Denial {
        Denial {
            user: user.into(),
            ..self
        }
    }

    /// What the client is told.
    pub fn client_error(&self) -> ClientError<'static> {
        match self.kind {
            DenialKind::AccountFull => ClientError::MaxAccountConnectionsExceeded,
            DenialKind::TimedOut => ClientError::AuthenticationTimeout,
            _ => ClientError::AuthorizationViolation,
        }
    }

    /// How the connection ends.
    pub fn close_reason(&self) -> CloseReason {
        match self.kind {
            DenialKind::AccountFull => CloseReason::MaxAccountConnectionsExceeded,
            DenialKind::TimedOut => CloseReason::AuthenticationTimeout,
            DenialKind::ProxyNotTrusted => CloseReason::ProxyNotTrusted,
            DenialKind::ProxyRequired => CloseReason::ProxyRequired,
            _ => CloseReason::AuthenticationFailure,
        }
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}
