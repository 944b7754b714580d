//! What a connection was granted when it came in.
//!
//! Owns: [`Grant`] and its parts. Immutable and shared by the connections of a user where the authenticator keeps one.
//! Not here: who decides (`authenticator`), the account's own limits (`account_rules`).

use std::sync::Arc;

use super::permissions::Permissions;
use crate::ids::AccountId;
use crate::io::WallTime;

/// Ways in which a client may be connected, as `allowed_connection_types` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionType {
    /// TCP or TLS.
    Standard,
    /// WebSocket.
    WebSocket,
    /// A leaf node.
    Leaf,
    /// A leaf node over WebSocket.
    LeafWebSocket,
    /// MQTT.
    Mqtt,
    /// MQTT over WebSocket.
    MqttWebSocket,
    /// From within the process.
    InProcess,
}

impl ConnectionType {
    /// Each of them.
    pub const ALL: [ConnectionType; 7] = [
        ConnectionType::Standard,
        ConnectionType::WebSocket,
        ConnectionType::Leaf,
        ConnectionType::LeafWebSocket,
        ConnectionType::Mqtt,
        ConnectionType::MqttWebSocket,
        ConnectionType::InProcess,
    ];

    /// The word of configuration and JWT.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionType::Standard => "STANDARD",
            ConnectionType::WebSocket => "WEBSOCKET",
            ConnectionType::Leaf => "LEAFNODE",
            ConnectionType::LeafWebSocket => "LEAFNODE_WS",
            ConnectionType::Mqtt => "MQTT",
            ConnectionType::MqttWebSocket => "MQTT_WS",
            ConnectionType::InProcess => "IN_PROCESS",
        }
    }

    /// The type of a word, whatever its case.
    pub fn from_name(name: &str) -> Option<ConnectionType> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

/// A set of connection types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTypes(u8);

impl ConnectionTypes {
    /// Every type.
    pub const ALL: ConnectionTypes = ConnectionTypes(u8::MAX);
    /// None.
    pub const NONE: ConnectionTypes = ConnectionTypes(0);

    /// With `kind` too.
    #[must_use]
    pub fn with(self, kind: ConnectionType) -> ConnectionTypes {
        ConnectionTypes(self.0 | 1 << kind as u8)
    }

    /// Whether `kind` is one of them.
    pub fn allows(self, kind: ConnectionType) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

/// Limits of one connection that its user brings. `None`: the account's and the server's alone count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Subscriptions.
    pub subscriptions: Option<usize>,
    /// Bytes of a message.
    pub payload_size: Option<i32>,
    /// Bytes in all. The peer reads this limit and does not enforce it; neither do we.
    pub data_size: Option<u64>,
}

/// Who it is, for logs, events and monitoring. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user as `/connz` shows it: name, public key, or `[REDACTED]` for a token. JSON: `authorized_user`, `user`.
    pub user: Box<str>,
    /// The public key, where one was used. JSON: `nkey`.
    pub nkey: Box<str>,
    /// Who signed the user's JWT. JSON: `issuer_key`.
    pub issuer_key: Box<str>,
    /// The name in the user's JWT. JSON: `name_tag`.
    pub name_tag: Box<str>,
    /// Tags of the user's JWT. JSON: `tags`.
    pub tags: Box<[String]>,
    /// The key of the trusted proxy it came through.
    pub proxy_key: Box<str>,
}

/// What a connection may do until it ends or the rules change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose subject space it lives in.
    pub account: AccountId,
    /// `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// What the user may use.
    pub limits: UserLimits,
    /// When it ends: the JWT's expiry or the end of a time window, whichever is first.
    pub expires: Option<WallTime>,
    /// Ways in which this user may be connected.
    pub connection_types: ConnectionTypes,
    /// Who it is.
    pub identity: Identity,
    /// Names the credential that was accepted, so that new rules can say whether it still would be: a digest of what the
    /// server has (the configured hash, the claims), never of what the client sent.
    pub credential: Box<[u8]>,
}

impl Grant {
    /// Everything in an account, for nobody in particular.
    pub fn open(account: AccountId) -> Grant {
        Grant {
            account,
            permissions: None,
            limits: UserLimits::default(),
            expires: None,
            connection_types: ConnectionTypes::ALL,
            identity: Identity::default(),
            credential: Box::default(),
        }
    }
}
