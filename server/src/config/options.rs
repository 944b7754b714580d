//! What the configuration means: `Options`, complete and valid, as the rest of the server uses it.
//!
//! Owns: the meaning, unit and default of every effective setting.
//! Not here: what was written and merging of flags (`raw`), the text of a file (`parser`), the list of all keys (`table`).
//! Units: `*_size` in bytes; durations are `Duration`; ports are `u16` where 0 means "let the kernel pick".
//!
//! Invariants (checked by `RawOptions::resolve`, the only way to build one besides `Default`)
//!   limits.payload_size <= limits.pending_size
//!   operations.lame_duck_grace_period < operations.lame_duck_duration
//!   identity.server_name and identity.tags hold no space that would split them in INFO or placement

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::access::Access;
use super::operator_mode::OperatorMode;
use super::raw::RawOptions;
use super::tls::TlsBlock;
use super::websocket::WebSocketListen;
use crate::log::Format;

/// Every setting of a running server, valid and with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect.
    pub client: ClientListen,
    /// Who this server is.
    pub identity: Identity,
    /// Who may connect, and what they may do.
    pub access: Access,
    /// Users come in by tokens; `access` has none then.
    pub operator_mode: Option<OperatorMode>,
    /// What one client, or all of them, may use.
    pub limits: Limits,
    /// When a connection counts as dead or too slow.
    pub liveness: Liveness,
    /// TLS of the client port; `None`: connections are plain. Key `tls`.
    pub tls: Option<TlsListen>,
    /// The port of WebSocket clients; `None` when it is off. Key `websocket`.
    pub websocket: Option<WebSocketListen>,
    /// Switches of the client protocol and the router.
    pub protocol: Protocol,
    /// What is logged and where to.
    pub log: LogOptions,
    /// The monitoring port; `None` when it is off.
    pub monitor: Option<MonitorListen>,
    /// Files for operators, shutdown, reporting.
    pub operations: Operations,
    /// Cores and pinning.
    pub cores: Cores,
}

impl Default for Options {
    fn default() -> Options {
        RawOptions::default()
            .resolve()
            .expect("the defaults are valid, checked by a test")
    }
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientListen {
    /// Name or address to bind. Key `host`.
    pub host: String,
    /// Port to bind; 0 lets the kernel pick (the file says -1). Key `port`.
    pub port: u16,
    /// `host:port` told to clients in place of the bound one. Key `client_advertise`.
    pub advertise: Option<String>,
    /// Connections open with a PROXY protocol header. Key `proxy_protocol`.
    pub proxy_protocol: bool,
}

/// Who this server is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// `None`: the server's id serves as its name. Key `server_name`.
    pub server_name: Option<String>,
    /// Lower case, trimmed, unique, in the order written. Key `server_tags`.
    pub tags: Vec<String>,
    /// Shown in monitoring. Key `server_metadata`.
    pub metadata: BTreeMap<String, String>,
}

/// What one client, or all of them, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest protocol line without payload. Key `max_control_line`.
    pub control_line_size: u32,
    /// Largest payload; negative means no limit, as clients are told in INFO. Key `max_payload`.
    pub payload_size: i32,
    /// Bytes waiting for one client before it counts as slow. Key `max_pending`.
    pub pending_size: i64,
    /// Clients of this server; 0 in the file is -1 here and means none may connect. Key `max_connections`.
    pub connections: i64,
    /// Subscriptions of one connection; 0 and below mean no limit. Key `max_subscriptions`.
    pub subscriptions: i64,
    /// Tokens in the subject of a subscription; 0 means no limit. Key `max_sub_tokens`.
    pub subject_tokens: u8,
    /// Closed connections remembered for `/connz?state=closed`. Key `max_closed_clients`.
    pub closed_clients: i64,
}

/// What happens to a connection whose write missed `write_deadline`. Key `write_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WriteTimeout {
    /// `default`: close clients, retry routes, gateways and leaf nodes.
    #[default]
    Default,
    /// `close`: close the connection.
    Close,
    /// `retry`: keep what is left and write on.
    Retry,
}

/// When a connection counts as dead or too slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Key `ping_interval`.
    pub ping_interval: Duration,
    /// Unanswered pings before a connection is stale. Key `ping_max`.
    pub ping_max: i64,
    /// Key `write_deadline`.
    pub write_deadline: Duration,
    /// Key `write_timeout`.
    pub write_timeout: WriteTimeout,
    /// Time for CONNECT to arrive where credentials are required. Key `authorization.timeout`.
    pub auth_timeout: Duration,
}

/// TLS of the client port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsListen {
    /// What is asked of it.
    pub block: TlsBlock,
    /// Clients may come without TLS. Key `allow_non_tls`.
    pub allows_plain: bool,
}

/// Switches of the client protocol and the router.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Protocol {
    /// Headers are not offered. Key `no_header_support`.
    pub no_headers: bool,
    /// No cache in front of the subscription lists. Key `disable_sublist_cache`.
    pub no_sublist_cache: bool,
    /// Publishers are not slowed down for slow subscribers. Key `no_fast_producer_stall`.
    pub no_fast_producer_stall: bool,
}

/// What is logged and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Key `debug`.
    pub debug: bool,
    /// Protocol lines of clients. Key `trace`.
    pub trace: bool,
    /// Protocol lines of the system account as well. Key `trace_verbose`.
    pub trace_verbose: bool,
    /// Of traced messages log the headers only. Key `trace_headers`.
    pub trace_headers: bool,
    /// Bytes of a traced message that are shown; 0 means all. Key `max_traced_msg_len`.
    pub traced_msg_size_max: usize,
    /// Lines carry the time. Key `logtime`.
    pub time: bool,
    /// How lines look. Pinion's own key `log_format`.
    pub format: Format,
    /// In UTC. Key `logtime_utc`.
    pub time_utc: bool,
    /// Key `log_file`.
    pub file: Option<PathBuf>,
    /// Size at which the file is rotated; 0 means never. Key `log_size_limit`.
    pub file_size_max: u64,
    /// Rotated files kept beside the current one; 0 means all. Key `log_max_num`.
    pub file_count_max: u64,
    /// Log to the local syslog. Key `syslog`.
    pub syslog: bool,
    /// Log to a syslog at this URL. Key `remote_syslog`.
    pub remote_syslog: Option<String>,
}

/// The monitoring port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorListen {
    /// Name or address to bind; the client host where the file names none. Key `http`.
    pub host: String,
    /// 0 lets the kernel pick (the file says -1). Key `http_port`.
    pub port: u16,
    /// Starts with a slash and ends with none, except for `/` itself. Key `http_base_path`.
    pub base_path: String,
}

/// Files for operators, shutdown, reporting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Key `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// Key `ports_file_dir`.
    pub ports_file_dir: Option<PathBuf>,
    /// Over this time clients are closed in lame duck mode. Key `lame_duck_duration`.
    pub lame_duck_duration: Duration,
    /// Waited before the first close. Key `lame_duck_grace_period`.
    pub lame_duck_grace_period: Duration,
    /// Every nth failed first connect to another server is logged. Key `connect_error_reports`.
    pub connect_error_reports: i64,
    /// Every nth failed reconnect is logged. Key `reconnect_error_reports`.
    pub reconnect_error_reports: i64,
}

/// When shards are bound to cores. Pinion's own key `pin`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Pin {
    /// Bound only when the affinity mask was narrowed to ours.
    #[default]
    Auto,
    /// Bound to the first cores of the affinity mask.
    On,
    /// Never bound.
    Off,
    /// Shard `n` is bound to the nth core of this list; no core twice.
    Cores(Vec<u32>),
}

/// Cores and pinning. Pinion's own keys.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cores {
    /// `None`: as many as the affinity mask and the cgroup quota give. Key `shards`.
    pub shards: Option<u16>,
    /// Key `pin`.
    pub pin: Pin,
}

impl Options {
    /// A copy that may be logged: user information in URLs and everything secret is replaced by `xxxxx`.
    #[must_use]
    pub fn redacted(&self) -> Options {
        let mut shown = self.clone();
        if let Some(url) = &mut shown.log.remote_syslog {
            *url = redact_url(url);
        }
        shown
    }
}

/// Hides the password of `scheme://user:password@host`, or the whole user part where it may be a token.
fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let Some((user, host)) = authority.rsplit_once('@') else {
        return url.to_owned();
    };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:xxxxx@{host}{tail}"),
        None => format!("{scheme}://xxxxx@{host}{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are those of the peer.
    /// Covers: TestDefaultOptions
    #[test]
    fn defaults_are_the_peers() {
        let options = Options::default();
        assert_eq!(
            (options.client.host.as_str(), options.client.port),
            ("0.0.0.0", 4222)
        );
        assert_eq!(options.limits.payload_size, 1_048_576);
        assert_eq!(options.limits.pending_size, 67_108_864);
        assert_eq!(options.limits.control_line_size, 4096);
        assert_eq!(options.limits.connections, 65_536);
        assert_eq!(options.limits.closed_clients, 10_000);
        assert_eq!(options.liveness.ping_interval, Duration::from_secs(120));
        assert_eq!(options.liveness.ping_max, 2);
        assert_eq!(options.liveness.write_deadline, Duration::from_secs(10));
        assert_eq!(options.operations.lame_duck_duration, Duration::from_secs(120));
        assert_eq!(options.operations.lame_duck_grace_period, Duration::from_secs(10));
        assert!(options.log.time);
        assert_eq!(options.monitor, None);
    }

    /// A password in a URL does not reach the log.
    #[test]
    fn redacted_hides_user_information_of_urls() {
        for (url, shown) in [
            ("udp://joe:secret@127.0.0.1:514", "udp://joe:xxxxx@127.0.0.1:514"),
            ("udp://s3cr3t@127.0.0.1:514/x@y", "udp://xxxxx@127.0.0.1:514/x@y"),
            ("udp://127.0.0.1:514", "udp://127.0.0.1:514"),
            ("localhost:514", "localhost:514"),
        ] {
            let mut options = Options::default();
            options.log.remote_syslog = Some(url.to_owned());
            assert_eq!(options.redacted().log.remote_syslog.as_deref(), Some(shown));
        }
    }
}
