//! The NATS protocol: bytes in, operations out, and back. Pure: no sockets, no clock.
//!
//! Owns: the parser and its operations, the writers of what the server sends, the error texts of the
//! wire, header blocks, the CONNECT and INFO documents, the PROXY prefix of a connection.
//! Not here: what an operation does (`conn`, `router`), who may do it (`account`).
//!
//! The road: read buffer -> [`Parser`] -> [`Op`] -> router -> [`writer`] -> write buffer.

pub mod close_reason;
pub mod connect;
pub mod duration;
pub mod errors;
pub mod headers;
pub mod info;
mod json;
pub mod kind;
pub mod line;
pub mod ops;
pub mod parser;
pub mod proxy;
pub mod quote;
mod request_info;
pub mod verb;
pub mod writer;

pub use close_reason::CloseReason;
pub use connect::{Connect, LeafConnect, RouteConnect};
pub use errors::ClientError;
pub use info::Info;
pub use json::{write_json, JsonError, SubjectPermission};
pub use kind::ConnKind;
pub use ops::{Hpub, Op, Pub, RemoteSub, RemoteUnsub, RoutedMsg, Sub, Unsub};
pub use parser::{FirstOp, Limits, ParseError, Parser, Step, NO_LIMIT};
pub use request_info::{RequestInfo, REQUEST_INFO};
pub use verb::Verb;
