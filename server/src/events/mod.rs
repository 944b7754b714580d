//! Events for the system account: who came, who left, who was refused.
//!
//! Owns: their subjects and payloads, and the numbers of events. Not here: who gets them and when they leave (the shards).
//! JSON keys, their order and presence are the peer's (nats-server 2.14.5).

mod payload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use pinion_shard::conn::{Connection, Door};
use pinion_shard::runtime::{Announcement, ConnectionEvent, ConnectionWatcher, Shard, Shards};

use crate::config::Options;
use crate::identity::Identity;
use crate::monitor::{user_of, FEATURE_FLAGS};
use payload::{ClientInfo, ConnectionMessage, Counted, ServerInfo};

/// What does not change while the server runs.
struct Facts {
    options: Options,
    identity: Identity,
    /// Events of the whole server. JSON: `seq`
    count: AtomicU64,
}

/// Tells the system account of the connections of one shard.
struct Events {
    facts: Arc<Facts>,
}

/// Has every shard tell the system account of its connections.
pub fn watch(shards: &Shards, options: &Options, identity: &Identity) {
    let facts = Arc::new(Facts {
        options: options.clone(),
        identity: identity.clone(),
        count: AtomicU64::new(0),
    });
    shards.run_on_all(move |shard| {
        let facts = Arc::clone(&facts);
        shard.watch_connections(Box::new(Events { facts }));
    });
}

impl ConnectionWatcher for Events {
    fn saw(&self, shard: &Shard, connection: &Connection, event: ConnectionEvent) {
        let Some(system) = shard.rules().system_account() else {
            return;
        };
        // Who was never let in is in the global account, as at the peer.
        let account = connection.account();
        let subject = shard.interest_in(system, || match event {
            ConnectionEvent::Connected => format!("$SYS.ACCOUNT.{}.CONNECT", account.name),
            ConnectionEvent::Closed(_) => format!("$SYS.ACCOUNT.{}.DISCONNECT", account.name),
            ConnectionEvent::Refused(_) => {
                format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", self.facts.identity.server_id)
            }
        });
        let Some(subject) = subject else { return };
        let message = self.message(shard, connection, event);
        let payload = serde_json::to_vec(&message).expect("texts and numbers are JSON");
        shard.announce(Announcement {
            account: system,
            subject,
            payload,
        });
    }
}

impl Events {
    fn message(&self, shard: &Shard, connection: &Connection, event: ConnectionEvent) -> ConnectionMessage {
        let now = shard.io().wall().to_string();
        let (connect, grant, account) = (connection.connect(), connection.grant(), connection.account());
        let traffic = connection.traffic();
        let identity = grant
            .as_ref()
            .map(|grant| grant.identity.clone())
            .unwrap_or_default();
        let reason = match event {
            ConnectionEvent::Connected => None,
            ConnectionEvent::Closed(reason) | ConnectionEvent::Refused(reason) => Some(reason.text()),
        };
        let label = account.rules().label.to_string();
        let name_tag = if label.is_empty() {
            account.name.to_string()
        } else {
            label
        };
        let client = ClientInfo {
            start: connection.started().1.to_string(),
            host: connection.peer().ip().to_string(),
            id: connection.id.0,
            acc: account.name.to_string(),
            user: user_of(grant.as_ref(), &connect),
            name: connect.name.clone(),
            lang: connect.lang.clone(),
            ver: connect.version.clone(),
            rtt: reason.map_or(0, |_| connection.rtt().as_nanos()),
            stop: reason.map(|_| now.clone()),
            jwt: connect.jwt.clone(),
            issuer_key: identity.issuer_key.into(),
            name_tag,
            tags: identity.tags.into(),
            kind: "Client",
            client_type: match connection.door() {
                Door::Client => "nats",
                Door::WebSocket => "websocket",
            },
        };
        ConnectionMessage {
            kind: if reason.is_some() {
                payload::DISCONNECT
            } else {
                payload::CONNECT
            },
            id: payload::event_id([shard.io().entropy(), shard.io().entropy()]),
            timestamp: now.clone(),
            server: self.server(shard, now),
            client,
            sent: reason.map(|_| Counted::new(traffic.in_msgs, traffic.in_bytes)),
            received: reason.map(|_| Counted::new(traffic.out_msgs, traffic.out_bytes)),
            reason,
        }
    }

    fn server(&self, shard: &Shard, now: String) -> ServerInfo {
        let (identity, options) = (&self.facts.identity, &self.facts.options.identity);
        ServerInfo {
            name: identity.server_name.clone(),
            host: shard.settings().info.host.clone(),
            id: identity.server_id.clone(),
            ver: crate::PEER_VERSION,
            tags: options.tags.clone(),
            metadata: options.metadata.clone(),
            feature_flags: FEATURE_FLAGS.into_iter().map(|flag| (flag, false)).collect(),
            jetstream: false,
            flags: 0,
            seq: self.facts.count.fetch_add(1, Ordering::Relaxed) + 1,
            time: now,
        }
    }
}
