//! What the options mean to a shard.

use std::sync::Arc;

use pinion_shard::conn::TlsSettings;
use pinion_shard::proto::Info;
use pinion_shard::runtime::{Settings, WriteTimeout};

use crate::config::options::{self, Options};
use crate::identity::Identity;

/// The level of the client protocol. JSON: `proto`.
const CLIENT_PROTOCOL: i64 = 1;

/// The level of the JetStream API of the release we stand for; told whether or not JetStream is on. JSON: `api_lvl`.
const JETSTREAM_API_LEVEL: i64 = 4;

/// The snapshot the shards start with.
pub fn shard_settings(options: &Options, identity: &Identity, tls: Option<Arc<TlsSettings>>) -> Settings {
    let limits = &options.limits;
    let headers = !options.protocol.no_headers;
    let count = |limit: i64| usize::try_from(limit).unwrap_or(0);
    Settings {
        info: Info {
            server_id: identity.server_id.clone(),
            server_name: identity.server_name.clone(),
            version: crate::PEER_VERSION.to_owned(),
            proto: CLIENT_PROTOCOL,
            go: crate::RUNTIME_VERSION.to_owned(),
            headers,
            max_payload: limits.payload_size,
            api_lvl: JETSTREAM_API_LEVEL,
            xkey: identity.xkey.clone(),
            tls_required: tls.as_ref().is_some_and(|tls| !tls.allows_plain),
            tls_available: tls.as_ref().is_some_and(|tls| tls.allows_plain),
            tls_verify: tls.as_ref().is_some_and(|tls| tls.verifies),
            ..Info::default()
        },
        control_line_size_max: i32::try_from(limits.control_line_size).unwrap_or(i32::MAX),
        payload_size_max: limits.payload_size,
        pending_size_max: count(limits.pending_size),
        subscriptions_max: count(limits.subscriptions),
        subject_tokens_max: usize::from(limits.subject_tokens),
        // 0 is the default by now; below it nobody may connect.
        connections_max: (limits.connections != 0).then(|| count(limits.connections)),
        headers,
        ping_interval: options.liveness.ping_interval,
        ping_max: u32::try_from(options.liveness.ping_max).unwrap_or(0),
        write_deadline: options.liveness.write_deadline,
        write_timeout: match options.liveness.write_timeout {
            options::WriteTimeout::Default | options::WriteTimeout::Close => WriteTimeout::Close,
            options::WriteTimeout::Retry => WriteTimeout::Retry,
        },
        tls,
        // Told when it is known where the port is.
        websocket: None,
        auth_timeout: Some(options.liveness.auth_timeout),
        stalls_producers: !options.protocol.no_fast_producer_stall,
        caches_matches: !options.protocol.no_sublist_cache,
        closed_connections_max: count(limits.closed_clients),
        proxy_protocol: options.client.proxy_protocol,
        traces_protocol: options.log.trace,
        traced_message_size_max: options.log.traced_msg_size_max,
        traces_headers_only: options.log.trace_headers,
    }
}
