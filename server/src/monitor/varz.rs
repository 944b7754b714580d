//! `/varz`: settings in force and what the server counted.
//!
//! Owns: the fields, in the peer's order. Parts of the server that are not built yet are there and empty, as they are
//! at a peer where they are switched off.

use std::collections::BTreeMap;
use std::time::Duration;

use pinion_shard::runtime::Settings;
use serde::Serialize;

use super::answer::{pretty, Answer};
use super::text::{time, uptime, Number};
use super::{usage, Monitor};
use crate::config::options::WriteTimeout;
use crate::config::Options;

/// Seconds a TLS handshake may take, as the peer shows it where TLS is not configured.
const TLS_TIMEOUT_SECONDS: f64 = 2.0;
/// Switches of parts that are not built yet, as the peer shows them by default.
pub(crate) const FEATURE_FLAGS: [&str; 2] = ["js_ack_fc_v2", "js_raft_delete_range"];

/// A part of the server that is not configured: `{}`.
#[derive(Serialize)]
struct Absent {}

/// The port of WebSocket clients; `{}` where there is none.
#[derive(Default, Serialize)]
struct WebSocketPart {
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_zero")]
    port: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    advertise: String,
    #[serde(skip_serializing_if = "is_zero")]
    handshake_timeout: i64,
    #[serde(skip_serializing_if = "is_false")]
    no_tls: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_pinned_certs: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    same_origin: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_origins: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    compression: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_not_after: Option<String>,
}

impl WebSocketPart {
    fn of(options: &Options, settings: &Settings) -> Self {
        let Some((listen, now)) = options.websocket.as_ref().zip(settings.websocket.as_ref()) else {
            return Self::default();
        };
        let block = &listen.block;
        let pinned = block.tls.as_ref().and_then(|tls| tls.pinned_keys.as_ref());
        let hex = |key: &[u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            host: now.host.clone(),
            port: now.port,
            advertise: block.advertise.clone(),
            handshake_timeout: block
                .handshake_timeout
                .map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
            no_tls: block.no_tls,
            tls_pinned_certs: pinned.map_or_else(Vec::new, |keys| keys.iter().map(hex).collect()),
            same_origin: block.upgrade.same_origin,
            allowed_origins: block.allowed_origins.clone(),
            compression: block.upgrade.compression,
            tls_cert_not_after: now.tls.as_ref().and_then(|tls| seconds_text(tls.not_after?)),
        }
    }
}

#[derive(Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    fn clients(clients: u64) -> Self {
        Self {
            clients,
            routes: 0,
            gateways: 0,
            leafs: 0,
        }
    }
}

#[derive(Serialize, Default)]
struct DiskWait {
    waiters: i64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

#[derive(Serialize)]
struct Varz {
    server_id: String,
    server_name: String,
    version: &'static str,
    /// Ours.
    pinion_version: &'static str,
    /// Ours.
    shards: usize,
    proto: i64,
    go: &'static str,
    host: String,
    port: i64,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    max_connections: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_subscriptions: i64,
    ping_interval: u64,
    ping_max: i64,
    http_host: String,
    http_port: i64,
    http_base_path: String,
    https_port: i64,
    auth_timeout: Number,
    max_control_line: u32,
    max_payload: i32,
    max_pending: i64,
    cluster: Absent,
    gateway: Absent,
    leaf: Absent,
    mqtt: Absent,
    websocket: WebSocketPart,
    jetstream: Absent,
    tls_timeout: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_not_after: Option<String>,
    write_deadline: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    write_timeout: &'static str,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: Number,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: u64,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    feature_flags: BTreeMap<&'static str, bool>,
    #[serde(skip_serializing_if = "String::is_empty")]
    system_account: String,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWait,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(on: &bool) -> bool {
    !*on
}

/// A time of a certificate, which has whole seconds.
fn seconds_text(seconds: u64) -> Option<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_string())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The name of the system account; empty where there is none.
fn system_account(monitor: &Monitor) -> String {
    let rules = monitor.shard.rules();
    let account = rules.system_account().and_then(|id| rules.account(id));
    account
        .map(|account| account.name.to_string())
        .unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The page.
pub(super) async fn varz(monitor: &Monitor) -> Answer {
    let sum = monitor.report_of_all().await;
    let facts = &monitor.facts;
    let configured = monitor.configured();
    let (options, io) = (&configured.options, monitor.shard.io());
    let (now, wall) = (io.now(), io.wall());
    let settings = monitor.shard.settings();
    let used = usage::processor_time();
    let shards = monitor.shard.shards().count();
    let started = time(facts.started);
    let document = Varz {
        server_id: facts.identity.server_id.clone(),
        server_name: facts.identity.server_name.clone(),
        version: crate::PEER_VERSION,
        pinion_version: crate::PINION_VERSION,
        shards,
        proto: settings.info.proto,
        go: crate::RUNTIME_VERSION,
        host: settings.info.host.clone(),
        port: settings.info.port,
        tls_required: settings.info.tls_required,
        tls_verify: settings.info.tls_verify,
        max_connections: options.limits.connections,
        max_subscriptions: options.limits.subscriptions,
        ping_interval: nanos(options.liveness.ping_interval),
        ping_max: options.liveness.ping_max,
        http_host: facts.listen.host.clone(),
        // As written: -1 asks for any free port.
        http_port: match facts.listen.port {
            0 => -1,
            port => i64::from(port),
        },
        http_base_path: match facts.listen.base_path.as_str() {
            "/" => String::new(),
            path => path.to_owned(),
        },
        https_port: 0,
        auth_required: monitor.shard.rules().authenticator().requires_credentials(),
        auth_timeout: Number(options.liveness.auth_timeout.as_secs_f64()),
        max_control_line: options.limits.control_line_size,
        max_payload: options.limits.payload_size,
        max_pending: options.limits.pending_size,
        cluster: Absent {},
        gateway: Absent {},
        leaf: Absent {},
        mqtt: Absent {},
        websocket: WebSocketPart::of(options, &settings),
        jetstream: Absent {},
        tls_timeout: Number(
            settings
                .tls
                .as_ref()
                .map_or(TLS_TIMEOUT_SECONDS, |tls| tls.handshake_timeout.as_secs_f64()),
        ),
        tls_cert_not_after: settings.tls.as_ref().and_then(|tls| seconds_text(tls.not_after?)),
        write_deadline: nanos(options.liveness.write_deadline),
        write_timeout: match options.liveness.write_timeout {
            WriteTimeout::Default => "",
            WriteTimeout::Close => "close",
            WriteTimeout::Retry => "retry",
        },
        config_load_time: configured.reloaded.map_or_else(|| started.clone(), time),
        start: started,
        now: time(wall),
        uptime: uptime(now.since(pinion_shard::io::Time(0))),
        mem: usage::resident_size(),
        cores: usage::cores(),
        gomaxprocs: shards,
        cpu: Number(monitor.processor.percent(now, used)),
        connections: sum.connections,
        total_connections: sum.total_connections,
        routes: 0,
        remotes: 0,
        leafnodes: 0,
        in_msgs: sum.traffic.in_msgs,
        in_bytes: sum.traffic.in_bytes,
        in_client_msgs: sum.traffic.in_msgs,
        in_client_bytes: sum.traffic.in_bytes,
        out_msgs: sum.traffic.out_msgs,
        out_bytes: sum.traffic.out_bytes,
        out_client_msgs: sum.traffic.out_msgs,
        out_client_bytes: sum.traffic.out_bytes,
        slow_consumers: sum.slow_pending + sum.slow_deadline,
        stale_connections: sum.stale,
        stalled_clients: sum.stalled,
        subscriptions: sum.subscriptions,
        http_req_stats: monitor.requests.borrow().clone(),
        config_digest: configured.digest.clone(),
        tags: options.identity.tags.clone(),
        metadata: options.identity.metadata.clone(),
        feature_flags: FEATURE_FLAGS.into_iter().map(|flag| (flag, false)).collect(),
        system_account: system_account(monitor),
        slow_consumer_stats: ByKind::clients(sum.slow_pending + sum.slow_deadline),
        stale_connection_stats: ByKind::clients(sum.stale),
        disk_io_wait_stats: DiskWait::default(),
    };
    Answer::json(pretty(&document))
}
