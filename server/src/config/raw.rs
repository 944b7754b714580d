//! What was written: each setting as a file or a flag gave it, or `None`. Becomes `Options` by `resolve`.
//!
//! Owns: defaults, the rule that later sources win (`merge`), and checks that need more than one setting.
//! Not here: checks of a single value, which happen where it is read (`apply` for files, the command line for flags).
//! Numbers keep the peer's meaning of zero: where a default stands beside the field, 0 asks for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access::{self, Mapping, RawAccount, User};
use super::block::Written;
use super::diagnostic::{Diagnostic, Position};
use super::operator_mode::{self, Operator, Resolver};
use super::options::{
    ClientListen, Cores, Identity, Limits, Liveness, LogOptions, MonitorListen, Operations, Options, Pin,
    Protocol, TlsListen, WriteTimeout,
};
use super::tls::{TlsBlock, DEFAULT_TIMEOUT};
use super::websocket::{self, RawWebSocket};
use crate::log::{Format, Redacted};
use pinion_shard::proto::duration::format_duration_ns;

/// Address that clients connect to when none is written.
pub const DEFAULT_HOST: &str = "0.0.0.0";
/// Port that clients connect to when none is written.
pub const DEFAULT_PORT: u16 = 4222;
/// Written in place of a port: let the kernel pick one.
pub const RANDOM_PORT: i64 = -1;
/// Payloads above this size draw a warning: they make the server slow for everybody.
pub const PAYLOAD_SIZE_DISCOURAGED: i32 = 8 * 1024 * 1024;
/// More shards than this are refused: the mesh keeps one lane per pair.
pub const SHARDS_MAX: i64 = pinion_shard::limits::SHARDS_MAX as i64;

const DEFAULT_CONTROL_LINE_SIZE: u32 = 4096;
const DEFAULT_PAYLOAD_SIZE: i32 = 1024 * 1024;
const DEFAULT_PENDING_SIZE: i64 = 64 * 1024 * 1024;
const DEFAULT_CONNECTIONS: i64 = 64 * 1024;
const DEFAULT_CLOSED_CLIENTS: i64 = 10_000;
const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(120);
const DEFAULT_PING_MAX: i64 = 2;
const DEFAULT_WRITE_DEADLINE: Duration = Duration::from_secs(10);
const DEFAULT_AUTH_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_LAME_DUCK_DURATION: Duration = Duration::from_secs(120);
const DEFAULT_LAME_DUCK_GRACE_PERIOD: Duration = Duration::from_secs(10);
const DEFAULT_CONNECT_ERROR_REPORTS: i64 = 3600;
const DEFAULT_RECONNECT_ERROR_REPORTS: i64 = 1;

/// Declares `RawOptions` with its merge, so that no field can be forgotten in it.
macro_rules! raw_options {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// Every setting as written; `None` where nothing was.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct RawOptions {
            $($(#[$doc])* pub $field: Option<$kind>,)*
            /// Where a setting was written, by the path of its key; flags leave none.
            pub origins: BTreeMap<&'static str, Position>,
        }

        impl RawOptions {
            /// Takes what `over` sets in place of what is here: flags over the file.
            pub fn merge(&mut self, over: RawOptions) {
                $(if over.$field.is_some() { self.$field = over.$field; })*
                self.origins.extend(over.origins);
            }
        }
    };
}

raw_options! {
    /// `host`; the empty text asks for the default.
    host: String,
    /// `port`; 0 asks for the default, -1 for any free port.
    port: i64,
    /// `client_advertise`.
    client_advertise: String,
    /// `proxy_protocol`.
    proxy_protocol: bool,
    /// `server_name`.
    server_name: String,
    /// `server_tags`.
    server_tags: Vec<String>,
    /// `server_metadata`.
    server_metadata: BTreeMap<String, String>,
    /// `max_control_line`; 0 asks for the default.
    max_control_line: i64,
    /// `max_payload`; 0 asks for the default, below 0 for no limit.
    max_payload: i64,
    /// `max_pending`; 0 asks for the default.
    max_pending: i64,
    /// `max_connections`; 0 asks for the default here: a file's 0 arrives as -1.
    max_connections: i64,
    /// `max_subscriptions`.
    max_subscriptions: i64,
    /// `max_sub_tokens`.
    max_sub_tokens: u8,
    /// `max_closed_clients`; 0 asks for the default.
    max_closed_clients: i64,
    /// `ping_interval`; zero asks for the default.
    ping_interval: Duration,
    /// `ping_max`; 0 asks for the default.
    ping_max: i64,
    /// `write_deadline`; zero asks for the default.
    write_deadline: Duration,
    /// `write_timeout`.
    write_timeout: WriteTimeout,
    /// `authorization.user`; the empty text asks for none.
    user: Arc<str>,
    /// `authorization.password`, in clear or as a hash.
    password: Redacted<Arc<str>>,
    /// `authorization.token`, in clear or as a hash; the empty text asks for none.
    token: Redacted<Arc<str>>,
    /// `authorization.timeout`; zero asks for the default.
    auth_timeout: Duration,
    /// `authorization.users`; there, and perhaps empty, where the block is.
    authorization_users: Vec<Written<User>>,
    /// `accounts`.
    accounts: Vec<RawAccount>,
    /// `mappings`.
    mappings: Vec<Mapping>,
    /// `system_account`; the empty text asks for the default.
    system_account: Arc<str>,
    /// `no_system_account`.
    no_system_account: bool,
    /// `no_auth_user`; the empty text asks for none.
    no_auth_user: Arc<str>,
    /// `tls`.
    tls: TlsBlock,
    /// `--tls=false`: the file's `tls` does not count.
    tls_off: bool,
    /// `websocket`.
    websocket: RawWebSocket,
    /// `allow_non_tls`.
    allow_non_tls: bool,
    /// `operator`, read from their files.
    operators: Vec<Operator>,
    /// `trusted_keys`.
    trusted_keys: Vec<Arc<str>>,
    /// `resolver`.
    resolver: Written<Resolver>,
    /// `resolver_preload`, tokens by account.
    resolver_preload: BTreeMap<String, String>,
    /// `resolver_pinned_accounts`.
    resolver_pinned_accounts: Vec<Arc<str>>,
    /// `default_sentinel`; the empty text asks for none.
    default_sentinel: Redacted<Arc<str>>,
    /// `no_header_support`.
    no_header_support: bool,
    /// `disable_sublist_cache`.
    disable_sublist_cache: bool,
    /// `no_fast_producer_stall`.
    no_fast_producer_stall: bool,
    /// `debug`.
    debug: bool,
    /// `trace`.
    trace: bool,
    /// `trace_verbose`.
    trace_verbose: bool,
    /// `trace_headers`.
    trace_headers: bool,
    /// `max_traced_msg_len`; 0 and below show all.
    max_traced_msg_len: i64,
    /// `logtime`.
    logtime: bool,
    /// `logtime_utc`.
    logtime_utc: bool,
    /// `log_format`, Pinion's own.
    log_format: Format,
    /// `log_file`; the empty text asks for none.
    log_file: PathBuf,
    /// `log_size_limit`; 0 and below switch rotation off.
    log_size_limit: i64,
    /// `log_max_num`; 0 and below keep all.
    log_max_num: i64,
    /// `syslog`.
    syslog: bool,
    /// `remote_syslog`.
    remote_syslog: String,
    /// Host of `http`; the empty text asks for the client host.
    http_host: String,
    /// `http_port`; 0 switches monitoring off, -1 asks for any free port.
    http_port: i64,
    /// `http_base_path`.
    http_base_path: String,
    /// `pid_file`.
    pid_file: PathBuf,
    /// `ports_file_dir`.
    ports_file_dir: PathBuf,
    /// `lame_duck_duration`; zero asks for the default.
    lame_duck_duration: Duration,
    /// `lame_duck_grace_period`; zero asks for the default.
    lame_duck_grace_period: Duration,
    /// `connect_error_reports`; 0 asks for the default.
    connect_error_reports: i64,
    /// `reconnect_error_reports`; 0 asks for the default.
    reconnect_error_reports: i64,
    /// `shards`, Pinion's own; 1 to `SHARDS_MAX`.
    shards: u16,
    /// `pin`, Pinion's own.
    pin: Pin,
}

impl RawOptions {
    /// Fills in defaults and checks what depends on several settings. The error holds every finding.
    pub fn resolve(&self) -> Result<Options, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let host = non_empty(self.host.as_deref()).unwrap_or(DEFAULT_HOST).to_owned();
        let options = Options {
            client: ClientListen {
                port: self
                    .resolve_port("port", self.port.unwrap_or(0), &mut problems)
                    .unwrap_or(DEFAULT_PORT),
                advertise: non_empty(self.client_advertise.as_deref()).map(str::to_owned),
                proxy_protocol: self.proxy_protocol.unwrap_or(false),
                host: host.clone(),
            },
            identity: self.resolve_identity(&mut problems),
            access: access::resolve(self, &mut problems),
            operator_mode: operator_mode::resolve(self, &mut problems),
            limits: self.resolve_limits(&mut problems),
            liveness: Liveness {
                ping_interval: non_zero_time(self.ping_interval, DEFAULT_PING_INTERVAL),
                ping_max: non_zero(self.ping_max, DEFAULT_PING_MAX),
                write_deadline: non_zero_time(self.write_deadline, DEFAULT_WRITE_DEADLINE),
                write_timeout: self.write_timeout.unwrap_or_default(),
                auth_timeout: non_zero_time(self.auth_timeout, self.default_auth_timeout()),
            },
            tls: self.listening_tls().map(|block| TlsListen {
                block: block.clone(),
                allows_plain: self.allow_non_tls.unwrap_or(false),
            }),
            websocket: websocket::resolve(
                self.websocket.as_ref(),
                self.origins.get("websocket"),
                &mut problems,
            ),
            protocol: Protocol {
                no_headers: self.no_header_support.unwrap_or(false),
                no_sublist_cache: self.disable_sublist_cache.unwrap_or(false),
                no_fast_producer_stall: self.no_fast_producer_stall.unwrap_or(false),
            },
            log: self.resolve_log(),
            monitor: self
                .resolve_port("http_port", self.http_port.unwrap_or(0), &mut problems)
                .map(|port| MonitorListen {
                    host: non_empty(self.http_host.as_deref()).map_or(host, str::to_owned),
                    port,
                    base_path: normal_base_path(self.http_base_path.as_deref().unwrap_or("")),
                }),
            operations: self.resolve_operations(&mut problems),
            cores: Cores {
                shards: self.shards,
                pin: self.pin.clone().unwrap_or_default(),
            },
        };
        if let (Pin::Cores(cores), Some(shards)) = (&options.cores.pin, options.cores.shards) {
            if cores.len() != usize::from(shards) {
                let text = format!("pin lists {} cores for {shards} shards", cores.len());
                problems.push(Diagnostic::error(self.origin("pin"), text));
            }
        }
        if problems.is_empty() {
            Ok(options)
        } else {
            Err(problems)
        }
    }

    /// The handshake takes its time before CONNECT can come.
    fn default_auth_timeout(&self) -> Duration {
        match self.listening_tls() {
            Some(block) => block.timeout.unwrap_or(DEFAULT_TIMEOUT) + Duration::from_secs(1),
            None => DEFAULT_AUTH_TIMEOUT,
        }
    }

    /// The `tls` block that counts.
    fn listening_tls(&self) -> Option<&TlsBlock> {
        self.tls.as_ref().filter(|_| self.tls_off != Some(true))
    }

    fn resolve_identity(&self, problems: &mut Vec<Diagnostic>) -> Identity {
        let server_name = non_empty(self.server_name.as_deref()).map(str::to_owned);
        if server_name.as_deref().is_some_and(|name| name.contains(' ')) {
            problems.push(Diagnostic::error(
                self.origin("server_name"),
                "server name cannot contain spaces",
            ));
        }
        let mut tags: Vec<String> = Vec::new();
        for tag in self.server_tags.iter().flatten() {
            let tag = tag.trim().to_lowercase();
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Identity {
            server_name,
            tags,
            metadata: self.server_metadata.clone().unwrap_or_default(),
        }
    }

    fn resolve_limits(&self, problems: &mut Vec<Diagnostic>) -> Limits {
        let mut in_i32 = |path: &'static str, written: Option<i64>, default: i32| {
            let value = non_zero(written, i64::from(default));
            i32::try_from(value).unwrap_or_else(|_| {
                problems.push(Diagnostic::error(
                    self.origin(path),
                    format!("{path} value is too big"),
                ));
                default
            })
        };
        let payload_size = in_i32("max_payload", self.max_payload, DEFAULT_PAYLOAD_SIZE);
        let default_control_line = i32::try_from(DEFAULT_CONTROL_LINE_SIZE).expect("a small constant");
        let control_line = in_i32("max_control_line", self.max_control_line, default_control_line);
        let control_line_size = u32::try_from(control_line).unwrap_or_else(|_| {
            let text = "max_control_line value can not be negative";
            problems.push(Diagnostic::error(self.origin("max_control_line"), text));
            DEFAULT_CONTROL_LINE_SIZE
        });
        let pending_size = non_zero(self.max_pending, DEFAULT_PENDING_SIZE);
        if i64::from(payload_size) > pending_size {
            let at = self.origin("max_payload").or_else(|| self.origin("max_pending"));
            let text =
                format!("max_payload ({payload_size}) cannot be higher than max_pending ({pending_size})");
            problems.push(Diagnostic::error(at, text));
        }
        Limits {
            control_line_size,
            payload_size,
            pending_size,
            connections: non_zero(self.max_connections, DEFAULT_CONNECTIONS),
            subscriptions: self.max_subscriptions.unwrap_or(0),
            subject_tokens: self.max_sub_tokens.unwrap_or(0),
            closed_clients: non_zero(self.max_closed_clients, DEFAULT_CLOSED_CLIENTS),
        }
    }

    fn resolve_log(&self) -> LogOptions {
        let trace_verbose = self.trace_verbose.unwrap_or(false);
        let trace_headers = self.trace_headers.unwrap_or(false);
        LogOptions {
            debug: self.debug.unwrap_or(false),
            trace: self.trace.unwrap_or(false),
            trace_verbose,
            trace_headers,
            traced_msg_size_max: count_or_zero(self.max_traced_msg_len),
            time: self.logtime.unwrap_or(true),
            time_utc: self.logtime_utc.unwrap_or(false),
            format: self.log_format.unwrap_or_default(),
            file: non_empty_path(self.log_file.as_ref()),
            file_size_max: count_or_zero(self.log_size_limit),
            file_count_max: count_or_zero(self.log_max_num),
            syslog: self.syslog.unwrap_or(false),
            remote_syslog: non_empty(self.remote_syslog.as_deref()).map(str::to_owned),
        }
    }

    fn resolve_operations(&self, problems: &mut Vec<Diagnostic>) -> Operations {
        let lame_duck_duration = non_zero_time(self.lame_duck_duration, DEFAULT_LAME_DUCK_DURATION);
        let lame_duck_grace_period =
            non_zero_time(self.lame_duck_grace_period, DEFAULT_LAME_DUCK_GRACE_PERIOD);
        if lame_duck_grace_period >= lame_duck_duration {
            let at = self
                .origin("lame_duck_grace_period")
                .or_else(|| self.origin("lame_duck_duration"));
            let text = format!(
                "lame duck grace period ({}) should be strictly lower than lame duck duration ({})",
                show(lame_duck_grace_period),
                show(lame_duck_duration)
            );
            problems.push(Diagnostic::error(at, text));
        }
        Operations {
            pid_file: non_empty_path(self.pid_file.as_ref()),
            ports_file_dir: non_empty_path(self.ports_file_dir.as_ref()),
            lame_duck_duration,
            lame_duck_grace_period,
            connect_error_reports: non_zero(self.connect_error_reports, DEFAULT_CONNECT_ERROR_REPORTS),
            reconnect_error_reports: non_zero(self.reconnect_error_reports, DEFAULT_RECONNECT_ERROR_REPORTS),
        }
    }

    /// `None` where 0 was written: the port's default.
    fn resolve_port(&self, path: &'static str, written: i64, problems: &mut Vec<Diagnostic>) -> Option<u16> {
        match written {
            0 => None,
            RANDOM_PORT => Some(0),
            _ => {
                let port = u16::try_from(written).ok();
                if port.is_none() {
                    let text = format!("{path} {written} is no port: -1 picks a free one, else 1 to 65535");
                    problems.push(Diagnostic::error(self.origin(path), text));
                }
                port
            }
        }
    }

    fn origin(&self, path: &str) -> Option<Position> {
        self.origins.get(path).cloned()
    }
}

fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn non_empty_path(path: Option<&PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty()).cloned()
}

fn non_zero(written: Option<i64>, default: i64) -> i64 {
    written.filter(|value| *value != 0).unwrap_or(default)
}

fn non_zero_time(written: Option<Duration>, default: Duration) -> Duration {
    written.filter(|value| !value.is_zero()).unwrap_or(default)
}

/// Counts where the peer reads zero and everything below as "off".
fn count_or_zero<T: TryFrom<i64> + Default>(written: Option<i64>) -> T {
    written
        .and_then(|value| T::try_from(value.max(0)).ok())
        .unwrap_or_default()
}

fn show(duration: Duration) -> String {
    format_duration_ns(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// Leading slash, no trailing one, no empty, `.` or `..` parts.
fn normal_base_path(written: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(problems: Vec<Diagnostic>) -> Vec<String> {
        problems.iter().map(Diagnostic::to_string).collect()
    }

    /// Rules over several settings carry the peer's words.
    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let raw = RawOptions {
            max_payload: Some(2048),
            max_pending: Some(1024),
            lame_duck_duration: Some(Duration::from_secs(30)),
            lame_duck_grace_period: Some(Duration::from_secs(30)),
            server_name: Some("a b".to_owned()),
            port: Some(70_000),
            ..RawOptions::default()
        };
        assert_eq!(
            texts(raw.resolve().unwrap_err()),
            [
                "port 70000 is no port: -1 picks a free one, else 1 to 65535",
                "server name cannot contain spaces",
                "max_payload (2048) cannot be higher than max_pending (1024)",
                "lame duck grace period (30s) should be strictly lower than lame duck duration (30s)",
            ]
        );
    }

    /// A flag wins over the file, and only where it was given.
    #[test]
    fn merge_takes_what_the_later_source_sets() {
        let mut file = RawOptions {
            port: Some(1),
            debug: Some(true),
            ..RawOptions::default()
        };
        file.merge(RawOptions {
            port: Some(2),
            trace: Some(false),
            ..RawOptions::default()
        });
        assert_eq!(
            (file.port, file.debug, file.trace),
            (Some(2), Some(true), Some(false))
        );
    }

    /// Zero asks for the default, -1 for a free port, and an unset monitor port means none.
    #[test]
    fn zero_and_minus_one_keep_their_meaning() {
        let raw = RawOptions {
            port: Some(-1),
            http_port: Some(-1),
            max_payload: Some(0),
            host: Some("::1".to_owned()),
            ..RawOptions::default()
        };
        let options = raw.resolve().unwrap();
        assert_eq!((options.client.port, options.limits.payload_size), (0, 1_048_576));
        let monitor = options.monitor.unwrap();
        assert_eq!(
            (monitor.host.as_str(), monitor.port, monitor.base_path.as_str()),
            ("::1", 0, "/")
        );
    }

    /// CONNECT may come as long after the handshake as the peer lets it.
    #[test]
    fn auth_timeout_grows_with_tls() {
        let mut raw = RawOptions {
            tls: Some(TlsBlock {
                timeout: Some(Duration::from_millis(1500)),
                ..TlsBlock::default()
            }),
            ..RawOptions::default()
        };
        let timeout = |raw: &RawOptions| raw.resolve().unwrap().liveness.auth_timeout;
        assert_eq!(timeout(&raw), Duration::from_millis(2500));
        raw.auth_timeout = Some(Duration::from_secs(9));
        assert_eq!(timeout(&raw), Duration::from_secs(9));
        (raw.tls_off, raw.auth_timeout) = (Some(true), None);
        assert_eq!(timeout(&raw), Duration::from_secs(2));
        assert_eq!(raw.resolve().unwrap().tls, None);
    }

    /// Base paths come out as the peer cleans them.
    #[test]
    fn base_path_is_normal() {
        for (written, path) in [
            ("", "/"),
            ("/", "/"),
            ("x", "/x"),
            ("/a//b/./c/../d/", "/a/b/d"),
            ("../..", "/"),
        ] {
            assert_eq!(normal_base_path(written), path);
        }
    }
}
