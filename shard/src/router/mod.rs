//! The router: a message comes in, from a connection or from the mesh, and goes to who wants it.
//!
//! Owns: the walk over a match, the pick of queue members, what happens when a target has nobody.
//! Not here: matching (`sublist`), lanes (`mesh`), writing sockets (`runtime::flush`).
//!
//! Rules (design section 4): whoever routes has drained the interest lanes; one crossing per message and
//! target shard; the origin picks queue members by weight; a hand-on carries only its group and never
//! visits a shard twice.

mod deliver;
mod last_match;
mod publish;
mod remote;
mod requests;
mod service;
mod service_replies;

pub use deliver::Inbound;
pub(crate) use last_match::LastMatch;
pub(crate) use publish::Publication;
pub(crate) use requests::OpenRequests;
pub(crate) use service_replies::ServiceReplies;
