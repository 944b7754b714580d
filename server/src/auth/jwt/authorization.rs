//! The claims of the authorization protocol: what a server asks about a connection, and what the service answers.
//!
//! Owns: both claims, their checks, and writing the request.
//! Not here: when a service is asked, encryption, what the answer grants.

use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claims::{ClaimsData, Kind, Section};
use super::error::{DecodeError, Issues};
use super::nkey;
use super::token::encode;

/// Which server asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerId {
    /// Its name.
    pub name: String,
    /// Its address.
    pub host: String,
    /// Its public key.
    pub id: String,
    /// The release it stands for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The name of its cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The curve key an answer may be encrypted for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// Which connection it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClientInformation {
    /// Where it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Its number in the server.
    #[serde(skip_serializing_if = "is_zero")]
    pub id: u64,
    /// Who it says it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The name it gave itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tags of its user claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Name of its user claims.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// Such as `Client`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Such as `nats` or `websocket`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub client_type: String,
    /// MQTT client id.
    #[serde(rename = "mqtt_id", skip_serializing_if = "String::is_empty")]
    pub mqtt: String,
    /// The nonce it was given.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What its CONNECT said. Holds secrets: never in a log.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ConnectOptions {
    /// User token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// Public key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    /// Signature of the nonce. JSON: `sig`.
    #[serde(rename = "sig", skip_serializing_if = "String::is_empty")]
    pub signed_nonce: String,
    /// JSON: `auth_token`.
    #[serde(rename = "auth_token", skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// JSON: `user`.
    #[serde(rename = "user", skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// JSON: `pass`.
    #[serde(rename = "pass", skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// The name it gave itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its library's language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// Its library's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its protocol level.
    pub protocol: i64,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What its TLS says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClientTls {
    /// Such as `1.3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Name of the cipher suite.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    /// Certificates that were not verified, PEM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<String>,
    /// Verified chains, PEM, the client's own certificate first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified_chains: Vec<Vec<String>>,
}

/// What a server asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct AuthorizationRequestClaims {
    /// What all kinds have.
    #[serde(skip)]
    pub data: ClaimsData,
    /// JSON: `server_id`.
    #[serde(rename = "server_id")]
    pub server: ServerId,
    /// The one-time key the answer is about.
    pub user_nkey: String,
    /// JSON: `client_info`.
    #[serde(rename = "client_info")]
    pub client: ClientInformation,
    /// JSON: `connect_opts`.
    #[serde(rename = "connect_opts")]
    pub connect: ConnectOptions,
    /// JSON: `client_tls`.
    #[serde(rename = "client_tls", skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Goes back in the answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_nonce: String,
}

impl AuthorizationRequestClaims {
    pub(super) fn read(root: Section<'_>) -> Result<Self, DecodeError> {
        let mut claims: Self = root.inner("nats", "nats").read()?;
        claims.data = root.read()?;
        Ok(claims)
    }

    /// What is wrong with these claims, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        let mut issues = Issues::default();
        self.data.check(now_s, &mut issues);
        if !nkey::is_user(&self.user_nkey) {
            issues.error(
                "nats.user_nkey",
                format!("{:?} is not a user's public key", self.user_nkey),
            );
        }
        issues
    }

    /// The token of this request, signed by the server. Errors when the pair has no seed.
    pub fn encode(&self, server: &KeyPair, now_s: i64) -> Result<String, nkeys::error::Error> {
        encode(
            self.data.clone(),
            Kind::AuthorizationRequest,
            object(self),
            server,
            now_s,
        )
    }
}

/// What the service answers: a user token or a reason.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct AuthorizationResponseClaims {
    /// What all kinds have; the subject is the one-time key, the audience the server.
    #[serde(skip)]
    pub data: ClaimsData,
    /// The user's token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The account, when one of its signing keys signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
}

impl std::fmt::Debug for AuthorizationResponseClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationResponseClaims")
            .field("data", &self.data)
            .field("error", &self.error)
            .field("issuer_account", &self.issuer_account)
            .finish_non_exhaustive()
    }
}

impl AuthorizationResponseClaims {
    pub(super) fn read(root: Section<'_>) -> Result<Self, DecodeError> {
        let mut claims: Self = root.inner("nats", "nats").read()?;
        claims.data = root.read()?;
        Ok(claims)
    }

    /// What is wrong with these claims, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        let mut issues = Issues::default();
        if !nkey::is_user(&self.data.subject) {
            issues.error(
                "sub",
                format!("{:?} is not a user's public key", self.data.subject),
            );
        }
        if !nkey::is_server(&self.data.audience) {
            issues.error(
                "aud",
                format!("{:?} is not a server's public key", self.data.audience),
            );
        }
        if self.error.is_empty() == self.jwt.is_empty() {
            issues.error("nats", "either jwt or error is needed here");
        }
        if !self.issuer_account.is_empty() && !nkey::is_account(&self.issuer_account) {
            issues.error(
                "nats.issuer_account",
                format!("{:?} is not an account's public key", self.issuer_account),
            );
        }
        self.data.check(now_s, &mut issues);
        issues
    }
}

/// A struct as the members of a JSON object.
fn object<T: Serialize>(claims: &T) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(members)) => members,
        _ => unreachable!("a struct of texts and numbers is an object"),
    }
}
