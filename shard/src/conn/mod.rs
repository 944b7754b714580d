//! Connections: what one is, how it is served, what its operations do.
//!
//! Owns: [`Connection`], its outbound queue and subscriptions; the task that reads it; the operations of a
//! client. Not here: parsing (`proto`), routing (`router`), the order of effects (`runtime::flush`).

mod admit;
mod client;
mod connection;
mod imports;
mod nonce;
mod outbound;
mod permits;
mod ping;
mod pool;
mod protocol_trace;
mod proxy_prefix;
mod serve;
mod subscription;

pub use connection::{Connection, State, Traffic};
pub use outbound::{Flush, Outbound};
pub use pool::BufferPool;
pub(crate) use serve::serve;
pub(crate) use subscription::Shadow;
pub use subscription::{Subscriber, SubscriberKey, Subscription};
