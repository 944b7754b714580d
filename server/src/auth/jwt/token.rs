//! A token: three parts between dots, and whose signature it carries.
//!
//! Owns: taking a token apart, its header, which bytes are signed, which kind of claims it holds; and writing one.
//! Not here: what claims mean; whether the issuer is trusted.
//!
//! Layout: base64(header) `.` base64(claims) `.` base64(signature), URL alphabet, no padding.
//! Version 2 signs the first two parts with their dot, version 1 the claims' text alone. Line breaks within the text are
//! passed over, as the reference library does, so that a file that ends in one is a token.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification, BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha512_256};

use super::account::AccountClaims;
use super::activation::ActivationClaims;
use super::authorization::{AuthorizationRequestClaims, AuthorizationResponseClaims};
use super::claims::{normalize, Claims, ClaimsData, GenericClaims, Kind, Section};
use super::error::DecodeError;
use super::nkey;
use super::operator::OperatorClaims;
use super::user::UserClaims;

/// Longest token that is read, in bytes; a longer one is refused.
pub const TOKEN_SIZE_MAX: usize = 1024 * 1024;
/// The newest version of claims.
pub(super) const VERSION: i64 = 2;
/// `alg` of what we write.
const ALGORITHM: &str = "ed25519-nkey";
/// `alg` of old tokens.
const ALGORITHM_OLD: &str = "ed25519";

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Header {
    typ: String,
    alg: String,
}

/// A token taken apart.
struct Parts<'a> {
    token: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, DecodeError> {
        if token.len() > TOKEN_SIZE_MAX {
            return Err(DecodeError::TooLarge { size: token.len() });
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(DecodeError::Parts { count: parts.len() });
        };
        Ok(Self {
            token,
            header,
            claims,
            signature,
        })
    }

    fn document(&self) -> Result<Value, DecodeError> {
        let document = normalize(json("claims", &base64("claims", self.claims)?)?);
        if document.is_object() {
            return Ok(document);
        }
        Err(DecodeError::Json {
            part: "claims",
            path: String::new(),
            message: "not an object".to_owned(),
        })
    }

    fn check_signature(&self, version: i64, issuer: &str) -> Result<(), DecodeError> {
        let signature = base64("signature", self.signature)?;
        let signed = if version <= 1 {
            self.claims
        } else {
            &self.token[..self.header.len() + 1 + self.claims.len()]
        };
        if nkey::signed(issuer, signed.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(DecodeError::Signature { version })
        }
    }
}

/// Reads a token of any kind and checks that its issuer signed it.
pub fn decode(token: &str) -> Result<Claims, DecodeError> {
    let parts = Parts::of(token)?;
    check_header(parts.header)?;
    let (version, decoded) = load(&parts.document()?)?;
    let issuer = &decoded.data().issuer;
    parts.check_signature(version, issuer)?;
    let kind = decoded.kind();
    if !kind.may_sign(issuer) {
        return Err(DecodeError::IssuerKind {
            kind,
            issuer: issuer.clone(),
        });
    }
    Ok(decoded)
}

/// Reads a token of whatever kind for what all kinds have and what stands under `nats`; its issuer signed it. How is said
/// by the header, not by the version of the claims.
///
/// # Errors
/// It is no token, or its issuer did not sign it.
pub fn decode_generic(token: &str) -> Result<GenericClaims, DecodeError> {
    let parts = Parts::of(token)?;
    let version = if check_header(parts.header)?.eq_ignore_ascii_case(ALGORITHM_OLD) {
        1
    } else {
        VERSION
    };
    let document = parts.document()?;
    let root = Section::root(&document);
    let claims = GenericClaims {
        data: root.read()?,
        nats: root.inner("nats", "nats").read()?,
    };
    parts.check_signature(version, &claims.data.issuer)?;
    Ok(claims)
}

/// `exp` of a token, whoever signed it: for housekeeping, never for trust.
pub fn unverified_expiry(token: &str) -> Option<i64> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Expiry {
        exp: i64,
    }
    let claims = token.split('.').nth(1)?;
    let expiry: Expiry = serde_json::from_slice(&base64("claims", claims).ok()?).ok()?;
    Some(expiry.exp)
}

macro_rules! decode_kind {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $claims:ty) => {
        $(#[$doc])*
        pub fn $name(token: &str) -> Result<$claims, DecodeError> {
            match decode(token)? {
                Claims::$kind(claims) => Ok(*claims),
                other => Err(DecodeError::WrongKind {
                    wanted: Kind::$kind,
                    found: other.kind(),
                }),
            }
        }
    };
}

decode_kind!(
    /// Reads an operator's token.
    decode_operator, Operator, OperatorClaims
);
decode_kind!(
    /// Reads an account's token.
    decode_account, Account, AccountClaims
);
decode_kind!(
    /// Reads a user's token.
    decode_user, User, UserClaims
);
decode_kind!(
    /// Reads an activation token.
    decode_activation, Activation, ActivationClaims
);
decode_kind!(
    /// Reads a server's question to an authorization service.
    decode_authorization_request, AuthorizationRequest, AuthorizationRequestClaims
);
decode_kind!(
    /// Reads the answer of an authorization service.
    decode_authorization_response, AuthorizationResponse, AuthorizationResponseClaims
);

/// Signs claims of version 2. `nats` is what stands under that name; issuer, time and id are filled in.
/// Errors when the pair has no seed to sign with.
pub fn encode(
    mut data: ClaimsData,
    kind: Kind,
    nats: Map<String, Value>,
    pair: &KeyPair,
    now_s: i64,
) -> Result<String, nkeys::error::Error> {
    data.issuer = pair.public_key();
    data.issued_at = now_s;
    data.id = String::new();
    let plain = serde_json::to_vec(&data).expect("texts and numbers are always JSON");
    data.id = BASE32_NOPAD.encode(&Sha512_256::digest(&plain));
    let mut nats = nats;
    nats.insert("type".to_owned(), Value::from(kind.to_string()));
    nats.insert("version".to_owned(), Value::from(VERSION));
    let Ok(Value::Object(mut claims)) = serde_json::to_value(&data) else {
        unreachable!("a struct is an object");
    };
    claims.insert("nats".to_owned(), Value::Object(nats));
    let header = Header {
        typ: "JWT".to_owned(),
        alg: ALGORITHM.to_owned(),
    };
    let header = serde_json::to_vec(&header).expect("texts are always JSON");
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(&header),
        BASE64URL_NOPAD.encode(Value::Object(claims).to_string().as_bytes())
    );
    let signature = BASE64URL_NOPAD.encode(&pair.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

/// Checks a header; gives its algorithm.
fn check_header(part: &str) -> Result<String, DecodeError> {
    let value = normalize(json("header", &base64("header", part)?)?);
    let header: Header = serde_path_to_error::deserialize(&value).map_err(|error| DecodeError::Json {
        part: "header",
        path: error.path().to_string(),
        message: error.inner().to_string(),
    })?;
    if !header.typ.eq_ignore_ascii_case("JWT") {
        return Err(DecodeError::TokenType(header.typ));
    }
    if !header.alg.eq_ignore_ascii_case(ALGORITHM) && !header.alg.eq_ignore_ascii_case(ALGORITHM_OLD) {
        return Err(DecodeError::Algorithm(header.alg));
    }
    Ok(header.alg)
}

/// What says the kind and version of claims: `type` at the top in version 1, under `nats` since.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identifier {
    r#type: String,
    version: i64,
}

/// Reads the claims, without a look at the signature. The version of a kind that is not known counts as -1.
fn load(document: &Value) -> Result<(i64, Claims), DecodeError> {
    let root = Section::root(document);
    let nats = root.inner("nats", "nats");
    let top: Identifier = root.read()?;
    let inner: Identifier = nats.read()?;
    let (kind, version) = if top.r#type.is_empty() {
        (inner.r#type, inner.version)
    } else {
        (top.r#type, 1)
    };
    if version > VERSION {
        return Err(DecodeError::Version(version));
    }
    let Some(known) = Kind::named(&kind) else {
        return Err(DecodeError::KindNotSupported(kind));
    };
    let versioned = matches!(
        known,
        Kind::Operator | Kind::Account | Kind::User | Kind::Activation
    );
    if versioned && version != 1 && version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let claims = match known {
        Kind::Operator => Claims::Operator(Box::new(OperatorClaims::read(root, version)?)),
        Kind::Account => Claims::Account(Box::new(AccountClaims::read(root, version)?)),
        Kind::User => Claims::User(Box::new(UserClaims::read(root, version)?)),
        Kind::Activation => Claims::Activation(Box::new(ActivationClaims::read(root, version)?)),
        Kind::AuthorizationRequest => {
            Claims::AuthorizationRequest(Box::new(AuthorizationRequestClaims::read(root)?))
        }
        Kind::AuthorizationResponse => {
            Claims::AuthorizationResponse(Box::new(AuthorizationResponseClaims::read(root)?))
        }
        Kind::Generic => {
            let claims = GenericClaims {
                data: root.read()?,
                nats: nats.read()?,
            };
            return Ok((-1, Claims::Generic(Box::new(claims))));
        }
    };
    Ok((version, claims))
}

fn json(part: &'static str, bytes: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| DecodeError::Json {
        part,
        path: String::new(),
        message: error.to_string(),
    })
}

/// base64 as the reference library reads it.
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.encoding().expect("64 symbols")
});

fn base64(part: &'static str, text: &str) -> Result<Vec<u8>, DecodeError> {
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| DecodeError::Base64 { part })
}
