//! One core of Pinion: the seams to the outside, the runtime, the mesh between cores, the client
//! protocol, subjects, subscription lists and the router.
//!
//! Not here: JetStream, config files, JWT, raft. See docs/ARCHITECTURE.md for the code map.

pub mod account;
pub mod conn;
pub mod ids;
pub mod io;
pub mod limits;
pub mod mesh;
pub mod proto;
pub mod router;
pub mod rules;
pub mod runtime;
pub mod subject;
pub mod sublist;
