//! Users of a simulated server: a list of names, all with the password `pw`, in the accounts of a test.
//!
//! Owns: an authenticator as simple as can be. Not here: how the server reads users (`server`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::rules::{
    Accounts, Attempt, Authenticator, Decision, Denial, DenialKind, Grant, Identity, PermissionSpec,
    Permissions, Rules, RulesSpec,
};

/// What a user may.
#[derive(Clone, Default)]
pub(crate) struct User {
    pub(crate) account: String,
    pub(crate) permissions: PermissionSpec,
    /// The decision takes so long.
    pub(crate) delay: Duration,
    /// It may stay so long.
    pub(crate) stays: Option<Duration>,
}

impl User {
    pub(crate) fn of(account: &str) -> User {
        User {
            account: account.to_owned(),
            ..User::default()
        }
    }
}

struct Users {
    grants: BTreeMap<String, (Arc<Grant>, User)>,
}

/// Rules with these users.
pub(crate) fn rules(previous: Option<&Rules>, spec: RulesSpec, users: &[(&str, User)]) -> Rules {
    let authenticator = |accounts: &Accounts<'_>| {
        let grants = users.iter().map(|(name, user)| {
            let account = accounts
                .id(&user.account)
                .expect("users live in accounts of the rules");
            let permissions =
                Permissions::compile(&user.permissions).expect("permissions of a test are valid");
            let grant = Grant {
                permissions: (user.permissions != PermissionSpec::default()).then(|| Arc::new(permissions)),
                identity: Identity {
                    user: (*name).into(),
                    ..Identity::default()
                },
                ..Grant::open(account)
            };
            ((*name).to_owned(), (Arc::new(grant), user.clone()))
        });
        Arc::new(Users {
            grants: grants.collect(),
        }) as Arc<dyn Authenticator>
    };
    Rules::build(previous, spec, authenticator).expect("rules of a test hold")
}

impl Users {
    fn find(&self, attempt: &Attempt<'_>) -> Result<Arc<Grant>, Denial> {
        let name = &attempt.connect.user;
        let (grant, user) = self
            .grants
            .get(name)
            .ok_or_else(|| Denial::new(DenialKind::UnknownUser, "no such user").of_user(name))?;
        let expires = user.stays.map(|stays| attempt.wall + stays);
        Ok(if expires.is_some() {
            Arc::new(Grant {
                expires,
                ..(**grant).clone()
            })
        } else {
            Arc::clone(grant)
        })
    }
}

impl Authenticator for Users {
    fn requires_credentials(&self) -> bool {
        true
    }

    fn wants_nonce(&self) -> bool {
        true
    }

    fn without_connect(&self, _: &Attempt<'_>) -> Option<Arc<Grant>> {
        self.grants.get("nobody").map(|(grant, _)| Arc::clone(grant))
    }

    fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        if attempt.connect.pass != "pw" {
            return Decision::denied(Denial::new(DenialKind::WrongSecret, "the password is wrong"));
        }
        let verdict = self.find(attempt);
        let delay = self.grants.get(&attempt.connect.user).map(|(_, user)| user.delay);
        match delay.filter(|delay| !delay.is_zero()) {
            None => Decision::Now(verdict),
            Some(delay) => Decision::Later(Box::new(move |shard| {
                Box::pin(async move {
                    shard.io().sleep(delay).await;
                    verdict
                })
            })),
        }
    }

    fn renew(&self, _: &Arc<Grant>, attempt: &Attempt<'_>) -> Decision {
        Decision::Now(self.find(attempt))
    }
}
