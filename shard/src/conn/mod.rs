//! Connections: what one is, how it is served, what its operations do.
//!
//! Owns: [`Connection`], its outbound queue and subscriptions; the task that reads it; the operations of a
//! client. Not here: parsing (`proto`), routing (`router`), the order of effects (`runtime::flush`).

mod admit;
mod client;
mod connection;
mod imports;
mod nonce;
mod opening;
mod outbound;
mod permits;
mod pieces;
mod ping;
mod pool;
mod protocol_trace;
mod proxy_prefix;
mod serve;
mod subscription;
mod transport;

pub use connection::{Connection, Door, State, Traffic};
pub use outbound::Outbound;
pub use pieces::{Flush, Pieces};
pub use pool::BufferPool;
pub(crate) use serve::serve;
pub(crate) use subscription::Shadow;
pub use subscription::{Subscriber, SubscriberKey, Subscription};
pub use transport::{
    key_digest, HandshakeFirst, HandshakeRate, Origin, TlsSettings, TlsState, UpgradeRules, WebSocketSettings,
};
