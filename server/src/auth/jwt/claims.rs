//! The claims every token has, and the kinds of claims there are.
//!
//! Owns: `ClaimsData` (who signed what about whom, from when until when), `Kind`, `Claims`, and how a part of a JSON
//! document becomes a type of ours.
//! Not here: header and signature (`token`), what one kind says (`operator`, `account`, `user`, `activation`,
//! `authorization`).
//! Units: all times of claims are whole seconds since 1970 UTC; 0 is none.
//!
//! JSON is read as Go reads it, for tools may have been written against it: names in any case, null as absent, the last
//! of two same names, unknown names passed over.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::AccountClaims;
use super::activation::ActivationClaims;
use super::authorization::{AuthorizationRequestClaims, AuthorizationResponseClaims};
use super::error::{DecodeError, Issues};
use super::nkey;
use super::operator::OperatorClaims;
use super::user::UserClaims;

/// The claims of RFC 7519 that every token here has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClaimsData {
    /// Who this is for.
    #[serde(rename = "aud", skip_serializing_if = "String::is_empty")]
    pub audience: String,
    /// Good until this second.
    #[serde(rename = "exp", skip_serializing_if = "is_zero")]
    pub expires: i64,
    /// A hash of the claims; nothing is concluded from it.
    #[serde(rename = "jti", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Signed at this second; revocations compare it.
    #[serde(rename = "iat", skip_serializing_if = "is_zero")]
    pub issued_at: i64,
    /// The public key that signed.
    #[serde(rename = "iss", skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// A name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Good from this second.
    #[serde(rename = "nbf", skip_serializing_if = "is_zero")]
    pub not_before: i64,
    /// The public key this is about.
    #[serde(rename = "sub", skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

/// For `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl ClaimsData {
    /// Notes what the clock says against these claims; `now_s` is whole seconds.
    pub fn check(&self, now_s: i64, issues: &mut Issues) {
        if self.expires > 0 && now_s > self.expires {
            issues.time(
                "exp",
                format!(
                    "expired at {}, it is {now_s}: issue the token again",
                    self.expires
                ),
            );
        }
        if self.not_before > 0 && self.not_before > now_s {
            issues.time(
                "nbf",
                format!("not valid before {}, it is {now_s}", self.not_before),
            );
        }
    }
}

/// What a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keys that may sign accounts.
    Operator,
    /// An account's limits, exports, imports.
    Account,
    /// A user's permissions.
    User,
    /// The right to import a private export.
    Activation,
    /// What a server asks an authorization service.
    AuthorizationRequest,
    /// What such a service answers.
    AuthorizationResponse,
    /// Anything else.
    Generic,
}

impl Kind {
    /// The kind of this name in the claims; None for kinds that are not used any more.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "operator" => Self::Operator,
            "account" => Self::Account,
            "user" => Self::User,
            "activation" => Self::Activation,
            "authorization_request" => Self::AuthorizationRequest,
            "authorization_response" => Self::AuthorizationResponse,
            "cluster" | "server" => return None,
            _ => Self::Generic,
        })
    }

    /// Whether this key may sign claims of this kind.
    pub(super) fn may_sign(self, key: &str) -> bool {
        match self {
            Self::Operator => nkey::is_operator(key),
            Self::Account | Self::Activation => nkey::is_account(key) || nkey::is_operator(key),
            Self::User | Self::AuthorizationResponse => nkey::is_account(key),
            Self::AuthorizationRequest => nkey::is_server(key),
            Self::Generic => true,
        }
    }

    /// Which keys may sign, in words.
    pub(super) fn issuers(self) -> &'static str {
        match self {
            Self::Operator => "an operator's",
            Self::Account | Self::Activation => "an operator's or an account's",
            Self::User | Self::AuthorizationResponse => "an account's",
            Self::AuthorizationRequest => "a server's",
            Self::Generic => "any",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
            Self::Activation => "activation",
            Self::AuthorizationRequest => "authorization_request",
            Self::AuthorizationResponse => "authorization_response",
            Self::Generic => "generic",
        })
    }
}

/// The claims of a token whose signature is the issuer's. Whether the issuer is to be trusted is another question.
#[derive(Clone, Debug, PartialEq)]
pub enum Claims {
    /// See [`Kind::Operator`].
    Operator(Box<OperatorClaims>),
    /// See [`Kind::Account`].
    Account(Box<AccountClaims>),
    /// See [`Kind::User`].
    User(Box<UserClaims>),
    /// See [`Kind::Activation`].
    Activation(Box<ActivationClaims>),
    /// See [`Kind::AuthorizationRequest`].
    AuthorizationRequest(Box<AuthorizationRequestClaims>),
    /// See [`Kind::AuthorizationResponse`].
    AuthorizationResponse(Box<AuthorizationResponseClaims>),
    /// See [`Kind::Generic`].
    Generic(Box<GenericClaims>),
}

impl Claims {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Operator(_) => Kind::Operator,
            Self::Account(_) => Kind::Account,
            Self::User(_) => Kind::User,
            Self::Activation(_) => Kind::Activation,
            Self::AuthorizationRequest(_) => Kind::AuthorizationRequest,
            Self::AuthorizationResponse(_) => Kind::AuthorizationResponse,
            Self::Generic(_) => Kind::Generic,
        }
    }

    /// What all kinds have.
    pub fn data(&self) -> &ClaimsData {
        match self {
            Self::Operator(claims) => &claims.data,
            Self::Account(claims) => &claims.data,
            Self::User(claims) => &claims.data,
            Self::Activation(claims) => &claims.data,
            Self::AuthorizationRequest(claims) => &claims.data,
            Self::AuthorizationResponse(claims) => &claims.data,
            Self::Generic(claims) => &claims.data,
        }
    }

    /// What is wrong with what it says, at this second.
    pub fn check(&self, now_s: i64) -> Issues {
        match self {
            Self::Operator(claims) => claims.check(now_s),
            Self::Account(claims) => claims.check(now_s),
            Self::User(claims) => claims.check(now_s),
            Self::Activation(claims) => claims.check(now_s),
            Self::AuthorizationRequest(claims) => claims.check(now_s),
            Self::AuthorizationResponse(claims) => claims.check(now_s),
            Self::Generic(claims) => {
                let mut issues = Issues::default();
                claims.data.check(now_s, &mut issues);
                issues
            }
        }
    }
}

/// Claims of a kind that means nothing to a server.
#[derive(Clone, Debug, PartialEq)]
pub struct GenericClaims {
    /// What all kinds have.
    pub data: ClaimsData,
    /// What stands under `nats`, names in small letters.
    pub nats: Map<String, Value>,
}

/// A JSON object of claims and its path: parts of it become types of ours.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    value: &'a Value,
    path: &'a str,
}

/// What stands for a section that is not there.
static ABSENT: Value = Value::Null;

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: "" }
    }

    /// A value within the document, and its path.
    pub(super) fn at(value: &'a Value, path: &'a str) -> Self {
        Self { value, path }
    }

    /// The object called `name`, which may be absent; `path` is its path from the root.
    pub(super) fn inner(self, name: &str, path: &'a str) -> Section<'a> {
        Section {
            value: self.value.get(name).unwrap_or(&ABSENT),
            path,
        }
    }

    /// Reads what of this object belongs to `T`; an absent object has all its defaults.
    pub(super) fn read<T: DeserializeOwned + Default>(self) -> Result<T, DecodeError> {
        if self.value.is_null() {
            return Ok(T::default());
        }
        serde_path_to_error::deserialize(self.value).map_err(|error| {
            let inner = error.path().to_string();
            let path = match (self.path, inner.as_str()) {
                (outer, ".") => outer.to_owned(),
                ("", inner) => inner.to_owned(),
                (outer, inner) => format!("{outer}.{inner}"),
            };
            self.wrong(path, error.inner().to_string())
        })
    }

    /// The value itself, for what no derived type reads.
    pub(super) fn value(self) -> &'a Value {
        self.value
    }

    /// An error of this document.
    pub(super) fn wrong(self, path: String, message: String) -> DecodeError {
        DecodeError::Json {
            part: "claims",
            path,
            message,
        }
    }
}

/// Brings a document into one shape: names of objects in small letters, except where the names are keys or subjects;
/// members that are null left out.
pub(super) fn normalize(value: Value) -> Value {
    normalize_member("", value)
}

/// Objects whose names are the user's: public keys, subjects, tiers.
const MAPS: [&str; 3] = ["revocations", "mappings", "tiered_limits"];

fn normalize_member(name: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let is_map = MAPS.contains(&name);
            Value::Object(
                members
                    .into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| {
                        let name = if is_map { name } else { name.to_lowercase() };
                        let value = normalize_member(if is_map { "" } else { &name }, value);
                        (name, value)
                    })
                    .collect(),
            )
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| normalize_member("", item)).collect())
        }
        scalar => scalar,
    }
}
