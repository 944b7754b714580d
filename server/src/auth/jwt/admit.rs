//! Whether a user with a token may come in, and with which rights.
//!
//! Owns: the decision in operator mode, as a pure function in two steps: who is it (`identify`), then, with the claims of
//! its account at hand, may it come in (`admit`).
//! Not here: finding the account's claims (`resolver`), asking an authorization service, obeying the grant.
//! The client learns nothing of the reason; each denial names the claim and what the clock said, never the token.
//!
//! Order of the checks, as at the peer: token, proxy, times of the token, account, its operator, who signed, scope, the
//! account's expiry, bearer, connection type, signature of the nonce, revocation, source, time windows.

use std::net::IpAddr;
use std::sync::Arc;

use pinion_shard::ids::AccountId;
use pinion_shard::io::WallTime;
use pinion_shard::rules::{
    ConnectionType, ConnectionTypes, Denial, DenialKind, Grant, Identity, Permissions, UserLimits,
};

use super::account::AccountClaims;
use super::account_spec::{compile_permissions, limit, may_sign};
use super::permissions::{SourceNetwork, UserPermissionLimits};
use super::template::{fill, Values};
use super::time_window::{window, Window};
use super::token::decode_user;
use super::trust::Trust;
use super::user::UserClaims;
use super::DecodeError;
use crate::auth::signature;

/// What is known of who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The token of CONNECT; may be empty.
    pub jwt: &'a str,
    /// Where it comes from.
    pub address: IpAddr,
    /// How it is connected.
    pub connection_type: ConnectionType,
    /// It came through a trusted proxy.
    pub is_proxied: bool,
    /// Now.
    pub wall: WallTime,
    /// What shows that it has the user's key.
    pub proof: Proof<'a>,
}

/// How a connection shows that it holds the key of its token.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The signature of CONNECT, base64; may be empty.
    Signature {
        /// What INFO gave to sign.
        nonce: &'a [u8],
        /// The signature.
        signature: &'a str,
    },
    /// It did when it came in.
    ShownBefore,
}

/// An account that may be used, as it is known here.
#[derive(Clone, Debug)]
pub struct KnownAccount {
    /// Its number among the rules.
    pub id: AccountId,
    /// Its claims.
    pub claims: Arc<AccountClaims>,
    /// For users without permissions of their own.
    pub default_permissions: Option<Arc<Permissions>>,
    /// SHA-256 of its token: stands in [`Grant::credential`] for what let a user in.
    pub digest: [u8; 32],
}

impl KnownAccount {
    /// Whether its token has ended.
    pub fn is_expired(&self, wall: WallTime) -> bool {
        let expires = self.claims.data.expires;
        expires != 0 && expires <= seconds(wall)
    }
}

/// A user whose own token is good. Its account is not looked at yet.
#[derive(Clone, Debug)]
pub struct Identified {
    /// Its claims.
    pub claims: UserClaims,
}

impl Identified {
    /// The public key of the account it is of.
    pub fn account(&self) -> &str {
        self.claims.account()
    }
}

/// Seconds of the wall clock, as claims count.
pub fn seconds(wall: WallTime) -> i64 {
    i64::try_from(wall.0 / 1_000_000_000).unwrap_or(i64::MAX)
}

/// Who it is. A client without a token that can be read has the sentinel's, where there is one.
///
/// # Errors
/// There is no token, or it is not good now.
pub fn identify(asking: &Asking<'_>, trust: &Trust) -> Result<Identified, Denial> {
    let claims = read_token(asking.jwt, trust)?;
    if claims.granted.access.proxy_required && !asking.is_proxied {
        return Err(Denial::new(
            DenialKind::ProxyRequired,
            "nats.proxy_required: the user may only come through a trusted proxy",
        )
        .of_user(claims.data.subject));
    }
    let now_s = seconds(asking.wall);
    if let Some(issue) = claims.check(now_s).blocking(true) {
        let is_late = issue.path == "exp";
        let kind = if is_late {
            DenialKind::UserExpired
        } else {
            DenialKind::Malformed
        };
        return Err(Denial::new(kind, format!("user token: {issue}")).of_user(claims.data.subject));
    }
    let account = claims.account();
    if !trust.is_usable(account) {
        let text = format!("account {account} is not one of resolver_pinned_accounts");
        return Err(Denial::new(DenialKind::UnknownAccount, text).of_user(claims.data.subject));
    }
    Ok(Identified { claims })
}

/// What the token that counts says.
fn read_token(jwt: &str, trust: &Trust) -> Result<UserClaims, Denial> {
    let error = match decode_user(jwt) {
        Ok(claims) => return Ok(claims),
        Err(error) => error,
    };
    match &trust.default_sentinel {
        Some(sentinel) => decode_user(sentinel.reveal())
            .map_err(|error| Denial::new(DenialKind::Malformed, format!("default_sentinel: {error}"))),
        None if jwt.is_empty() => Err(Denial::new(DenialKind::NoCredentials, "a user token is needed")),
        None => Err(refused(&error)),
    }
}

fn refused(error: &DecodeError) -> Denial {
    let kind = match error {
        DecodeError::Signature { .. } => DenialKind::WrongSignature,
        DecodeError::IssuerKind { .. } => DenialKind::UntrustedIssuer,
        _ => DenialKind::Malformed,
    };
    Denial::new(kind, format!("user token: {error}"))
}

/// Whether the user may come in, and what it may do.
///
/// # Errors
/// Why not.
pub fn admit(
    asking: &Asking<'_>,
    user: &Identified,
    account: &KnownAccount,
    trust: &Trust,
) -> Result<Grant, Denial> {
    let judged = judge(asking, user, account, trust);
    judged.map_err(|denial| denial.of_user(user.claims.data.subject.as_str()))
}

fn judge(
    asking: &Asking<'_>,
    user: &Identified,
    account: &KnownAccount,
    trust: &Trust,
) -> Result<Grant, Denial> {
    let (claims, of) = (&user.claims, &account.claims);
    let now_s = seconds(asking.wall);
    if !trust.is_trusted(&of.data.issuer) {
        let text = format!("account token: iss: {} is no trusted operator", of.data.issuer);
        return Err(Denial::new(DenialKind::UntrustedIssuer, text));
    }
    let granted = granted(claims, of, trust)?;
    if account.is_expired(asking.wall) {
        let text = format!(
            "account token: exp: expired at {}, it is {now_s}",
            of.data.expires
        );
        return Err(Denial::new(DenialKind::AccountExpired, text));
    }
    if of.data.not_before > now_s {
        let text = format!(
            "account token: nbf: not valid before {}, it is {now_s}",
            of.data.not_before
        );
        return Err(Denial::new(DenialKind::UnknownAccount, text));
    }
    if granted.access.bearer_token && of.limits.account.disallow_bearer {
        let text = "account token: nats.limits.disallow_bearer: bearer tokens are not allowed";
        return Err(Denial::new(DenialKind::Bearer, text));
    }
    let service = &of.authorization.auth_users;
    if !service.is_empty() && !service.contains(&claims.data.subject) {
        let text = "account token: nats.authorization: an authorization service decides, which this server does not ask yet";
        return Err(Denial::new(DenialKind::Callout, text));
    }
    let connection_types = connection_types(&granted.access.allowed_connection_types)?;
    if !connection_types.allows(asking.connection_type) {
        let text = format!(
            "nats.allowed_connection_types: {} is not one of them",
            asking.connection_type.name()
        );
        return Err(Denial::new(DenialKind::ConnectionType, text));
    }
    if !granted.access.bearer_token {
        check_proof(asking, &claims.data.subject)?;
    }
    if of.is_revoked(&claims.data.subject, claims.data.issued_at) {
        let text = format!(
            "account token: nats.revocations: tokens issued at {} are revoked",
            claims.data.issued_at
        );
        return Err(Denial::new(DenialKind::Revoked, text));
    }
    check_source(asking.address, &granted.limits.src)?;
    let window = window(&granted.limits.times, &granted.limits.times_location, asking.wall);
    if window == Window::Closed {
        return Err(Denial::new(
            DenialKind::TimeWindow,
            format!("nats.times: not in one of its windows, it is {now_s}"),
        ));
    }
    let permissions = compile_permissions(&granted.permissions)
        .map_err(|error| Denial::new(DenialKind::Malformed, format!("nats permissions: {error}")))?;
    Ok(Grant {
        account: account.id,
        permissions: permissions.or_else(|| account.default_permissions.clone()),
        limits: UserLimits {
            subscriptions: limit(granted.limits.subs),
            payload_size: limit(granted.limits.payload),
            data_size: limit(granted.limits.data),
        },
        expires: expires(claims.data.expires, window),
        connection_types,
        identity: Identity {
            user: claims.data.subject.as_str().into(),
            nkey: Box::default(),
            issuer_key: claims.data.issuer.as_str().into(),
            name_tag: claims.data.name.as_str().into(),
            tags: claims.tags.clone().into(),
            proxy_key: Box::default(),
        },
        credential: account.digest.into(),
    })
}

/// What the user has: its own claims, or what the scope of the key that signed them says.
fn granted(
    claims: &UserClaims,
    account: &AccountClaims,
    trust: &Trust,
) -> Result<UserPermissionLimits, Denial> {
    let issuer = &claims.data.issuer;
    if !may_sign(account, issuer, trust) {
        let text = format!(
            "user token: iss: {issuer} does not sign for account {}",
            account.data.subject
        );
        return Err(Denial::new(DenialKind::UntrustedIssuer, text));
    }
    let Some(Some(scope)) = account.signing_keys.get(issuer) else {
        return Ok(claims.granted.clone());
    };
    if !claims.granted.is_empty() {
        let text = "user token: nats: a user of a scoped signing key must have no permissions and limits";
        return Err(Denial::new(DenialKind::Malformed, text));
    }
    let values = Values {
        name: &claims.data.name,
        subject: &claims.data.subject,
        account_name: &account.data.name,
        account_subject: &claims.issuer_account,
        tags: &claims.tags,
        account_tags: &account.tags,
    };
    let permissions = fill(&scope.template.permissions, &values).map_err(|error| {
        let text = format!("account token: nats.signing_keys: template of {issuer}: {error}");
        Denial::new(DenialKind::Malformed, text)
    })?;
    Ok(UserPermissionLimits {
        permissions,
        ..scope.template.clone()
    })
}

/// Names that are not known are passed over while one of the others is.
fn connection_types(names: &[String]) -> Result<ConnectionTypes, Denial> {
    if names.is_empty() {
        return Ok(ConnectionTypes::ALL);
    }
    let types = names
        .iter()
        .filter_map(|name| ConnectionType::from_name(name))
        .fold(ConnectionTypes::NONE, ConnectionTypes::with);
    if types == ConnectionTypes::NONE {
        let text = format!("nats.allowed_connection_types: none of {names:?} is known");
        return Err(Denial::new(DenialKind::ConnectionType, text));
    }
    Ok(types)
}

fn check_proof(asking: &Asking<'_>, user: &str) -> Result<(), Denial> {
    match asking.proof {
        Proof::ShownBefore => Ok(()),
        Proof::Signature { nonce, signature } => signature::verify(user, nonce, signature)
            .map_err(|error| Denial::new(DenialKind::WrongSignature, error.to_string())),
    }
}

fn check_source(address: IpAddr, networks: &[String]) -> Result<(), Denial> {
    let allows =
        |network: &String| SourceNetwork::parse(network).is_some_and(|network| network.contains(address));
    if networks.is_empty() || networks.iter().any(allows) {
        return Ok(());
    }
    let text = format!("nats.src: {address} is in none of {networks:?}");
    Err(Denial::new(DenialKind::Source, text))
}

/// The end of the token or of the time window, whichever is first.
fn expires(expires_s: i64, window: Window) -> Option<WallTime> {
    let token = u64::try_from(expires_s)
        .ok()
        .filter(|&expires_s| expires_s > 0)
        .map(|expires_s| WallTime(expires_s.saturating_mul(1_000_000_000)));
    let window = match window {
        Window::Until(end) => Some(end),
        Window::Always | Window::Closed => None,
    };
    [token, window].into_iter().flatten().min()
}
