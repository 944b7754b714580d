//! What the configuration means to a shard: an immutable snapshot, replaced as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::conn::{TlsSettings, WebSocketSettings};
use crate::proto::Info;

/// What happens to a client whose socket took nothing for `write_deadline`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// It is closed as a slow consumer.
    #[default]
    Close,
    /// It keeps its pending bytes and the wait starts again.
    Retry,
}

/// What a shard must know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// INFO as every client gets it, without what is its own (`client_id`, `client_ip`).
    pub info: Info,
    /// Bytes of a line without payload.
    pub control_line_size_max: i32,
    /// Bytes of a message, headers included; -1: no limit.
    pub payload_size_max: i32,
    /// Bytes pending for one connection; beyond, it is closed as a slow consumer.
    pub pending_size_max: usize,
    /// Subscriptions of one connection; 0: no limit. Beyond: refused with an error.
    pub subscriptions_max: usize,
    /// Tokens of a subscription's subject; 0: no limit.
    pub subject_tokens_max: usize,
    /// Client connections of the server; `None`: no limit. Beyond: closed with an error.
    pub connections_max: Option<usize>,
    /// Whether headers are offered.
    pub headers: bool,
    /// Between two PINGs of the server.
    pub ping_interval: Duration,
    /// Unanswered PINGs after which a connection is stale.
    pub ping_max: u32,
    /// How long a socket may take nothing.
    pub write_deadline: Duration,
    /// And what happens then.
    pub write_timeout: WriteTimeout,
    /// TLS of the client port; `None`: connections are plain.
    pub tls: Option<Arc<TlsSettings>>,
    /// The port of WebSocket clients; `None`: there is none.
    pub websocket: Option<Arc<WebSocketSettings>>,
    /// How long a client may take to CONNECT where the rules require credentials; `None`: as long as it likes.
    pub auth_timeout: Option<Duration>,
    /// Publishers that feed a consumer too fast are held.
    pub stalls_producers: bool,
    /// Whether results of the subscription lists are cached.
    pub caches_matches: bool,
    /// Closed connections to remember: each shard keeps so many, so that the newest of the server are among them.
    pub closed_connections_max: usize,
    /// Connections start with a PROXY header.
    pub proxy_protocol: bool,
    /// Protocol lines of clients are logged.
    pub traces_protocol: bool,
    /// Bytes of a message shown in protocol lines; 0: all.
    pub traced_message_size_max: usize,
    /// Only the header block of a message is shown in protocol lines.
    pub traces_headers_only: bool,
}
