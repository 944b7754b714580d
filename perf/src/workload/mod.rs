//! Workload: what the generator does to a server, by kind.
//!
//! `flow`     publishes to subscribers, subscribe churn included
//! `shape`    who publishes to whom in a flow
//! `request`  requests and their answers
//! `standing` connections and subscriptions that only stand there, and how fast they come
//!
//! A workload is built once and run in phases. Each phase checks that every message arrived once.

pub mod flow;
pub mod request;
pub mod shape;
pub mod standing;
