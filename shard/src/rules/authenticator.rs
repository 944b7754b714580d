//! The seam by which a shard asks who may come in.
//!
//! Owns: what an authenticator is told and may answer; [`Everyone`], which lets everybody in. Not here: users, keys,
//! claims, certificates (the server's authenticators), what a shard does with the answer (`conn::admit`).

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use super::denial::Denial;
use super::grant::{ConnectionType, Grant};
use crate::ids::{AccountId, ConnectionId};
use crate::io::WallTime;
use crate::proto::{ConnKind, Connect};
use crate::runtime::Shard;

/// What is known of a connection that asks to come in.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Which connection.
    pub connection: ConnectionId,
    /// What CONNECT said. Its secrets are wiped once the decision has been made.
    pub connect: &'a Connect,
    /// The nonce as INFO gave it; empty when it gave none.
    pub nonce: &'a [u8],
    /// The other end, as a PROXY header says or the socket knows.
    pub peer: SocketAddr,
    /// Client or leaf node.
    pub kind: ConnKind,
    /// How it is connected.
    pub connection_type: ConnectionType,
    /// The certificates it showed in the TLS handshake, its own first, DER; empty without TLS or certificate.
    pub certificates: &'a [Vec<u8>],
    /// Whether the connection runs over TLS.
    pub is_tls: bool,
    /// When it asks.
    pub wall: WallTime,
}

/// The last word of an authenticator.
pub type Verdict = Result<Arc<Grant>, Denial>;

/// A decision that takes time: begun on the shard that asks, which goes on meanwhile. It may sleep, ask other shards and
/// offload work by the shard's seams. Dropped when the connection ends or the authentication timeout fires.
pub type Later = Box<dyn FnOnce(Rc<Shard>) -> Pin<Box<dyn Future<Output = Verdict>>>>;

/// The answer of an authenticator.
pub enum Decision {
    /// At once.
    Now(Verdict),
    /// When the future is done; the connection is not read meanwhile.
    Later(Later),
}

impl Decision {
    /// A denial, at once.
    pub fn denied(denial: Denial) -> Decision {
        Decision::Now(Err(denial))
    }
}

/// Decides who comes in. Part of a snapshot of the rules: it never changes, and every shard asks the same one.
pub trait Authenticator: Send + Sync {
    /// Whether a client must bring credentials: nothing but CONNECT is taken first, and CONNECT must come in time.
    fn requires_credentials(&self) -> bool;

    /// Whether INFO says so (`auth_required`): not where there is a user for those who bring none.
    fn announces_credentials(&self) -> bool {
        self.requires_credentials()
    }

    /// Whether INFO carries a nonce to sign.
    fn wants_nonce(&self) -> bool;

    /// What a connection gets that sends another operation before CONNECT; `None`: it is refused. Where no credentials are
    /// required it has this from the start.
    fn without_connect(&self, attempt: &Attempt<'_>) -> Option<Arc<Grant>>;

    /// Decides on CONNECT.
    fn decide(&self, attempt: &Attempt<'_>) -> Decision;

    /// Decides again on a connection that is in: the rules changed, or it sent CONNECT without credentials once more.
    /// `attempt.connect` has no secrets any more; [`Grant::credential`] stands for them.
    fn renew(&self, held: &Arc<Grant>, attempt: &Attempt<'_>) -> Decision;
}

/// Lets everybody into one account.
pub struct Everyone {
    grant: Arc<Grant>,
}

impl Everyone {
    /// Everybody may do everything in `account`.
    pub fn into_account(account: AccountId) -> Everyone {
        Everyone {
            grant: Arc::new(Grant::open(account)),
        }
    }
}

impl Authenticator for Everyone {
    fn requires_credentials(&self) -> bool {
        false
    }

    fn wants_nonce(&self) -> bool {
        false
    }

    fn without_connect(&self, _: &Attempt<'_>) -> Option<Arc<Grant>> {
        Some(Arc::clone(&self.grant))
    }

    fn decide(&self, _: &Attempt<'_>) -> Decision {
        Decision::Now(Ok(Arc::clone(&self.grant)))
    }

    fn renew(&self, _: &Arc<Grant>, _: &Attempt<'_>) -> Decision {
        Decision::Now(Ok(Arc::clone(&self.grant)))
    }
}
