//! The authenticator of operator mode: users come in by tokens of accounts that an operator signed.
//!
//! Owns: which accounts are in use with their claims (`InUse`), the decision at a connect and at new rules, fetching an
//! account that is not in use yet (`Finder`).
//! Not here: the checks themselves (`admit`), who changes the rules when an account comes into use (`control`).
//!
//! A connection that is in keeps its grant when its account's token is the one that let it in, so that a change of one
//! account costs the connections of others one comparison each.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use pinion_shard::ids::AccountId;
use pinion_shard::io::WallTime;
use pinion_shard::rules::{Attempt, Authenticator, ConnectionType, Decision, Denial, DenialKind, Grant};

use super::admit::{admit, identify, Asking, Identified, KnownAccount, Proof};
use super::trust::Trust;

/// How a shard has an account brought into use that is not in the rules: from another thread, which may block.
pub trait Finder: Send + Sync {
    /// The account as it is in the rules from now on. Blocks.
    ///
    /// # Errors
    /// There is no such account, or not one to be used.
    fn find(&self, account: &str) -> Result<KnownAccount, Denial>;
}

/// Decides by tokens.
pub struct OperatorMode {
    trust: Arc<Trust>,
    accounts: BTreeMap<String, KnownAccount>,
    by_id: BTreeMap<AccountId, String>,
    /// None: every account there is is in use.
    finder: Option<Arc<dyn Finder>>,
}

impl OperatorMode {
    /// With the accounts in use, by public key.
    pub fn new(
        trust: Arc<Trust>,
        accounts: BTreeMap<String, KnownAccount>,
        finder: Option<Arc<dyn Finder>>,
    ) -> Self {
        let by_id = accounts
            .iter()
            .map(|(name, account)| (account.id, name.clone()))
            .collect();
        Self {
            trust,
            accounts,
            by_id,
            finder,
        }
    }

    fn decide_on(&self, asking: OwnedAsking) -> Decision {
        let user = match identify(&asking.borrow(), &self.trust) {
            Ok(user) => user,
            Err(denial) => return Decision::denied(denial),
        };
        if let Some(account) = self.accounts.get(user.account()) {
            return Decision::Now(admit(&asking.borrow(), &user, account, &self.trust).map(Arc::new));
        }
        match &self.finder {
            Some(finder) => self.find_first(Arc::clone(finder), user, asking),
            None => Decision::denied(unknown(&user)),
        }
    }

    fn find_first(&self, finder: Arc<dyn Finder>, user: Identified, asking: OwnedAsking) -> Decision {
        let trust = Arc::clone(&self.trust);
        Decision::Later(Box::new(move |shard| {
            Box::pin(async move {
                let name = user.account().to_owned();
                let found = shard.offload(move || finder.find(&name)).await;
                let account = found.ok_or_else(|| Denial::new(DenialKind::TimedOut, "the server stops"))?;
                let account = account.map_err(|denial| denial.of_user(user.claims.data.subject.as_str()))?;
                admit(&asking.borrow(), &user, &account, &trust).map(Arc::new)
            })
        }))
    }
}

/// The account of a user that nobody knows.
fn unknown(user: &Identified) -> Denial {
    let text = format!("account {}: the resolver has no token of it", user.account());
    Denial::new(DenialKind::UnknownAccount, text).of_user(user.claims.data.subject.as_str())
}

impl Authenticator for OperatorMode {
    fn requires_credentials(&self) -> bool {
        true
    }

    fn wants_nonce(&self) -> bool {
        true
    }

    fn without_connect(&self, _: &Attempt<'_>) -> Option<Arc<Grant>> {
        None
    }

    fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        self.decide_on(OwnedAsking::new(attempt, false))
    }

    fn renew(&self, held: &Arc<Grant>, attempt: &Attempt<'_>) -> Decision {
        let account = self
            .by_id
            .get(&held.account)
            .and_then(|name| self.accounts.get(name));
        let is_same = account.is_some_and(|account| *held.credential == account.digest);
        // Its end comes by its own timer, the account's end with new rules.
        if is_same && account.is_some_and(|account| !account.is_expired(attempt.wall)) {
            return Decision::Now(Ok(Arc::clone(held)));
        }
        match account {
            Some(_) => self.decide_on(OwnedAsking::new(attempt, true)),
            None => Decision::denied(Denial::new(
                DenialKind::AccountExpired,
                "its account is not in use any more",
            )),
        }
    }
}

/// [`Asking`] for a decision that takes time.
struct OwnedAsking {
    jwt: String,
    signature: String,
    nonce: Vec<u8>,
    address: IpAddr,
    connection_type: ConnectionType,
    wall: WallTime,
    has_shown: bool,
}

impl OwnedAsking {
    fn new(attempt: &Attempt<'_>, has_shown: bool) -> Self {
        Self {
            jwt: attempt.connect.jwt.clone(),
            signature: attempt.connect.sig.clone(),
            nonce: attempt.nonce.to_vec(),
            address: attempt.peer.ip(),
            connection_type: attempt.connection_type,
            wall: attempt.wall,
            has_shown,
        }
    }

    fn borrow(&self) -> Asking<'_> {
        Asking {
            jwt: &self.jwt,
            address: self.address,
            connection_type: self.connection_type,
            is_proxied: false,
            wall: self.wall,
            proof: if self.has_shown {
                Proof::ShownBefore
            } else {
                Proof::Signature {
                    nonce: &self.nonce,
                    signature: &self.signature,
                }
            },
        }
    }
}
