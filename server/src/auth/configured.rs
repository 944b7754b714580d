//! The authenticator of users that stand in the configuration: passwords, hashes, tokens, nkeys.
//!
//! Owns: which user a CONNECT means and whether it is that user. Not here: JWTs, certificates, what a grant allows.
//!
//! The order is the peer's: an nkey that is named, then a user that is named, then the one login for everybody; who names
//! nothing is `no_auth_user`, where there is one. Hashes are computed by worker threads while the shard goes on. Every
//! refusal takes as long as the dearest configured hash, so that a wrong name looks like a wrong password.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pinion_shard::ids::AccountId;
use pinion_shard::rules::{
    Accounts, Attempt, Authenticator, ConnectionTypes, Decision, Denial, DenialKind, Grant, Identity,
    Permissions, Verdict,
};
use pinion_shard::runtime::Shard;
use sha2::{Digest as _, Sha256};

use super::secret::{spend, Secret};
use super::signature::{self, SignatureError};
use crate::config::access::{Access, Credentials, Login, User};
use crate::log::{Redacted, MASK};

/// Decides by the users of the configuration.
pub struct ConfiguredUsers {
    users: BTreeMap<Arc<str>, PasswordUser>,
    nkeys: BTreeMap<Arc<str>, Arc<Grant>>,
    login: Option<Simple>,
    /// The id of the user of those who bring nothing.
    no_auth_user: Option<Arc<str>>,
    /// Who brings nothing is let in by this, and INFO asks for credentials all the same.
    global: Option<Arc<Grant>>,
    /// Where nobody needs credentials.
    open: Option<Arc<Grant>>,
    /// The cost of the dearest hash.
    dearest: Option<u32>,
}

struct PasswordUser {
    secret: Arc<Secret>,
    grant: Arc<Grant>,
}

/// The one login for everybody.
struct Simple {
    /// `None`: a token is asked for.
    user: Option<Arc<str>>,
    secret: Arc<Secret>,
    grant: Arc<Grant>,
}

/// What a CONNECT comes to before a secret was looked at.
enum Claim<'a> {
    /// Nothing else is to be shown.
    Granted(&'a Arc<Grant>),
    /// A nonce must have been signed.
    Key(&'a str, &'a Arc<Grant>),
    /// A secret must be the right one.
    Secret {
        secret: &'a Arc<Secret>,
        given: &'a str,
        grant: &'a Arc<Grant>,
    },
    Denied(Denial),
}

impl ConfiguredUsers {
    /// Compiles the users. `permissions` are those of `access.users`, one by one.
    pub(super) fn new(
        access: &Access,
        permissions: Vec<Option<Arc<Permissions>>>,
        numbers: &Accounts<'_>,
    ) -> Self {
        assert_eq!(access.users.len(), permissions.len());
        let (mut users, mut nkeys) = (BTreeMap::new(), BTreeMap::new());
        for (user, permissions) in access.users.iter().zip(permissions) {
            let grant = Arc::new(user_grant(user, permissions, numbers));
            match &user.credentials {
                Credentials::Nkey(key) => drop(nkeys.insert(Arc::clone(key), grant)),
                Credentials::Password { user: name, password } => {
                    let secret = Arc::new(Secret::new(password));
                    users.insert(Arc::clone(name), PasswordUser { secret, grant });
                }
            }
        }
        let login = simple_login(&access.login);
        let open = users.is_empty() && nkeys.is_empty() && login.is_none();
        let secrets = users.values().map(|user| &user.secret);
        let dearest = secrets
            .chain(login.iter().map(|login| &login.secret))
            .filter_map(|secret| secret.cost())
            .max();
        let in_global = || Arc::new(Grant::open(AccountId::GLOBAL));
        Self {
            users,
            nkeys,
            login,
            no_auth_user: access.no_auth_user.clone(),
            global: (access.opens_global && !open).then(in_global),
            open: open.then(in_global),
            dearest,
        }
    }

    fn claim<'a>(&'a self, attempt: &Attempt<'a>) -> Claim<'a> {
        let connect = attempt.connect;
        let names_no_user =
            connect.user.is_empty() && connect.pass.is_empty() && connect.auth_token.is_empty();
        let names_nobody = names_no_user && connect.nkey.is_empty();
        let no_auth_user = self.no_auth_user.as_deref();
        if let Some((key, grant)) = no_auth_user
            .filter(|_| names_nobody)
            .and_then(|id| self.nkeys.get_key_value(id))
        {
            return allowed(grant, attempt).map_or_else(Claim::Denied, |grant| match grant {
                grant if attempt.connect.nkey.is_empty() => Claim::Granted(grant),
                grant => Claim::Key(key, grant),
            });
        }
        if !self.nkeys.is_empty() && !connect.nkey.is_empty() {
            let Some(grant) = self.nkeys.get(&*connect.nkey) else {
                let detail = "no user has this nkey";
                return Claim::Denied(Denial::new(DenialKind::UnknownUser, detail).of_user(&connect.nkey));
            };
            return match allowed(grant, attempt) {
                Err(denial) => Claim::Denied(denial),
                // As at the peer: who has the rights of everybody need not show anything for them.
                Ok(grant) if no_auth_user == Some(&*connect.nkey) => Claim::Granted(grant),
                Ok(grant) => Claim::Key(&connect.nkey, grant),
            };
        }
        if let Some(grant) = self.global.as_ref().filter(|_| names_no_user) {
            return Claim::Granted(grant);
        }
        if let Some(user) = no_auth_user
            .filter(|_| names_no_user)
            .and_then(|id| self.users.get(id))
        {
            return self.claim_no_auth(user, attempt);
        }
        if !self.users.is_empty() && !connect.user.is_empty() {
            let Some(user) = self.users.get(&*connect.user) else {
                let detail = "there is no such user";
                return Claim::Denied(Denial::new(DenialKind::UnknownUser, detail).of_user(&connect.user));
            };
            return match allowed(&user.grant, attempt) {
                Err(denial) => Claim::Denied(denial),
                Ok(grant) => Claim::Secret {
                    secret: &user.secret,
                    given: &connect.pass,
                    grant,
                },
            };
        }
        match &self.login {
            Some(login) => login.claim(attempt),
            None => Claim::Denied(nothing_brought(attempt)),
        }
    }

    fn claim_no_auth<'a>(&self, user: &'a PasswordUser, attempt: &Attempt<'_>) -> Claim<'a> {
        match allowed(&user.grant, attempt) {
            Err(denial) => Claim::Denied(denial),
            Ok(grant) if user.secret.cost().is_none() => Claim::Granted(grant),
            // As at the peer, which takes the hash for the password and hashes it.
            Ok(grant) => {
                let detail = "no_auth_user has a password that is hashed; give it one in clear, or none";
                Claim::Denied(Denial::new(DenialKind::WrongSecret, detail).of_user(&*grant.identity.user))
            }
        }
    }

    /// A refusal that takes as long as any other.
    fn refuse(&self, denial: Denial) -> Decision {
        let Some(dearest) = self.dearest else {
            return Decision::denied(denial);
        };
        Decision::Later(Box::new(move |shard: Rc<Shard>| {
            Box::pin(async move {
                shard.offload(move || spend(None, dearest)).await;
                Err(denial)
            })
        }))
    }

    fn check_secret(&self, secret: &Arc<Secret>, given: &str, grant: &Arc<Grant>) -> Decision {
        let wrong = || {
            let detail = "the secret is wrong";
            Denial::new(DenialKind::WrongSecret, detail).of_user(&*grant.identity.user)
        };
        let Some(cost) = secret.cost() else {
            return if secret.is(given) {
                Decision::Now(Ok(Arc::clone(grant)))
            } else {
                self.refuse(wrong())
            };
        };
        let dearest = self.dearest.unwrap_or(cost);
        let (secret, given) = (Arc::clone(secret), Redacted::new(given.to_owned()));
        let (grant, wrong) = (Arc::clone(grant), wrong());
        Decision::Later(Box::new(move |shard: Rc<Shard>| {
            Box::pin(async move {
                let check = move || {
                    let is_right = secret.is(given.reveal());
                    if !is_right {
                        spend(Some(cost), dearest);
                    }
                    is_right
                };
                match shard.offload(check).await {
                    Some(true) => Ok(grant),
                    Some(false) => Err(wrong),
                    None => Err(Denial::new(DenialKind::TimedOut, "the server stops")),
                }
            })
        }))
    }

    /// The grant that `held` is under these rules: of the same user, with the same credential.
    fn same(&self, held: &Grant) -> Option<&Arc<Grant>> {
        let id = &*held.identity.user;
        let candidates = [
            self.nkeys.get(id),
            self.users.get(id).map(|user| &user.grant),
            self.login.as_ref().map(|login| &login.grant),
        ];
        let mut candidates = candidates.into_iter().flatten();
        candidates.find(|grant| !held.credential.is_empty() && grant.credential == held.credential)
    }
}

impl Simple {
    fn claim<'a>(&'a self, attempt: &Attempt<'a>) -> Claim<'a> {
        let connect = attempt.connect;
        let (secret, grant) = (&self.secret, &self.grant);
        let given = match &self.user {
            None if connect.auth_token.is_empty() => return Claim::Denied(nothing_brought(attempt)),
            None => &connect.auth_token,
            Some(_) if connect.user.is_empty() => return Claim::Denied(nothing_brought(attempt)),
            Some(user) if **user != *connect.user => {
                let detail = "there is no such user";
                return Claim::Denied(Denial::new(DenialKind::UnknownUser, detail).of_user(&connect.user));
            }
            Some(_) => &connect.pass,
        };
        Claim::Secret { secret, given, grant }
    }
}

impl Authenticator for ConfiguredUsers {
    fn requires_credentials(&self) -> bool {
        self.open.is_none()
    }

    fn announces_credentials(&self) -> bool {
        // Clients that may do without are not asked.
        self.requires_credentials() && self.no_auth_user.is_none()
    }

    fn wants_nonce(&self) -> bool {
        !self.nkeys.is_empty()
    }

    fn without_connect(&self, attempt: &Attempt<'_>) -> Option<Arc<Grant>> {
        if let Some(grant) = self.open.as_ref().or(self.global.as_ref()) {
            return Some(Arc::clone(grant));
        }
        // Only a user with a password, as at the peer.
        let user = self.users.get(self.no_auth_user.as_deref()?)?;
        match self.claim_no_auth(user, attempt) {
            Claim::Granted(grant) => Some(Arc::clone(grant)),
            _ => None,
        }
    }

    fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        if let Some(grant) = &self.open {
            return Decision::Now(Ok(Arc::clone(grant)));
        }
        match self.claim(attempt) {
            Claim::Granted(grant) => Decision::Now(Ok(Arc::clone(grant))),
            Claim::Denied(denial) => self.refuse(denial),
            Claim::Key(key, grant) => match check_signature(key, attempt, grant) {
                Ok(grant) => Decision::Now(Ok(grant)),
                Err(denial) => self.refuse(denial),
            },
            Claim::Secret { secret, given, grant } => self.check_secret(secret, given, grant),
        }
    }

    fn renew(&self, held: &Arc<Grant>, attempt: &Attempt<'_>) -> Decision {
        if let Some(grant) = &self.open {
            return Decision::Now(Ok(Arc::clone(grant)));
        }
        if let Some(grant) = self.same(held) {
            return Decision::Now(allowed(grant, attempt).cloned());
        }
        if held.identity.user.is_empty() && attempt.connect.user.is_empty() {
            // Nothing was asked for when it came.
            return Decision::Now(match self.without_connect(attempt) {
                Some(grant) => Ok(grant),
                None => Err(nothing_brought(attempt)),
            });
        }
        let id = &*held.identity.user;
        let is_login = self
            .login
            .as_ref()
            .is_some_and(|login| login.grant.identity.user == held.identity.user);
        let (kind, detail) =
            if is_login || self.users.contains_key(id) || self.nkeys.contains_key(id) || id.is_empty() {
                (
                    DenialKind::RulesChanged,
                    "the rules changed: the user has other credentials",
                )
            } else {
                (DenialKind::UserGone, "the rules changed: the user is gone")
            };
        Decision::denied(Denial::new(kind, detail).of_user(id))
    }
}

/// The grant, if its user may be connected in this way.
fn allowed<'a>(grant: &'a Arc<Grant>, attempt: &Attempt<'_>) -> Result<&'a Arc<Grant>, Denial> {
    if grant.connection_types.allows(attempt.connection_type) {
        return Ok(grant);
    }
    let detail = format!(
        "allowed_connection_types of the user does not hold {}",
        attempt.connection_type.name()
    );
    Err(Denial::new(DenialKind::ConnectionType, detail).of_user(&*grant.identity.user))
}

fn nothing_brought(attempt: &Attempt<'_>) -> Denial {
    let detail = "credentials are required, and CONNECT brought none that are asked for";
    Denial::new(DenialKind::NoCredentials, detail).of_user(&attempt.connect.user)
}

fn check_signature(key: &str, attempt: &Attempt<'_>, grant: &Arc<Grant>) -> Verdict {
    match signature::verify(key, attempt.nonce, &attempt.connect.sig) {
        Ok(()) => Ok(Arc::clone(grant)),
        Err(error) => {
            let kind = match error {
                SignatureError::Missing => DenialKind::NoCredentials,
                SignatureError::NotBase64 | SignatureError::BadKey => DenialKind::Malformed,
                SignatureError::Wrong => DenialKind::WrongSignature,
            };
            Err(Denial::new(kind, error.to_string()).of_user(key))
        }
    }
}

fn user_grant(user: &User, permissions: Option<Arc<Permissions>>, numbers: &Accounts<'_>) -> Grant {
    let account = match &user.account {
        None => AccountId::GLOBAL,
        Some(name) => numbers.id(name).expect("users stand in accounts that are there"),
    };
    let id = &**user.id();
    let (nkey, credential) = match &user.credentials {
        Credentials::Nkey(key) => (&**key, digest("nkey", key, "")),
        Credentials::Password { user, password } => ("", digest("user", user, password.reveal())),
    };
    Grant {
        permissions,
        connection_types: user.connection_types,
        identity: Identity {
            user: id.into(),
            nkey: nkey.into(),
            ..Identity::default()
        },
        credential,
        ..Grant::open(account)
    }
}

fn simple_login(login: &Login) -> Option<Simple> {
    let (user, secret) = match login {
        Login::None => return None,
        Login::User { user, password } => (Some(Arc::clone(user)), password),
        Login::Token(token) => (None, token),
    };
    let shown = user.as_deref().unwrap_or(MASK);
    let grant = Grant {
        connection_types: ConnectionTypes::ALL,
        identity: Identity {
            user: shown.into(),
            ..Identity::default()
        },
        credential: digest("login", shown, secret.reveal()),
        ..Grant::open(AccountId::GLOBAL)
    };
    Some(Simple {
        user,
        secret: Arc::new(Secret::new(secret)),
        grant: Arc::new(grant),
    })
}

/// Names a configured credential without holding it.
fn digest(kind: &str, id: &str, secret: &str) -> Box<[u8]> {
    let mut digest = Sha256::new();
    for part in [kind, id, secret] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec().into()
}
