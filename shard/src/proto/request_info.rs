//! `Nats-Request-Info`: what a service of another account is told of who asks.
//!
//! Owns: fields, key order, which are left out when empty. Not here: who is told what (`router::service`).

use super::json::document;

/// The header that carries it.
pub const REQUEST_INFO: &[u8] = b"Nats-Request-Info";

document! {
    /// Who asks. Account and round trip are always told, the rest where the import shares it.
    pub struct RequestInfo {
        /// When the connection began, RFC 3339.
        "start" omitempty start: String,
        /// Its address.
        "host" omitempty host: String,
        /// Its number.
        "id" omitempty id: u64,
        /// The account it is bound to.
        "acc" omitempty acc: String,
        /// The account on the way whose import led on.
        "svc" omitempty svc: String,
        /// The user.
        "user" omitempty user: String,
        /// The client's name for itself.
        "name" omitempty name: String,
        /// The language of its library.
        "lang" omitempty lang: String,
        /// The version of its library.
        "ver" omitempty ver: String,
        /// Its round trip, nanoseconds.
        "rtt" omitempty rtt: u64,
        /// The server.
        "server" omitempty server: String,
        /// Its cluster.
        "cluster" omitempty cluster: String,
        /// The user JWT.
        "jwt" omitempty jwt: String,
        /// Who signed it.
        "issuer_key" omitempty issuer_key: String,
        /// The name in it.
        "name_tag" omitempty name_tag: String,
        /// Its tags.
        "tags" omitempty tags: Vec<String>,
        /// The kind of connection.
        "kind" omitempty kind: String,
        /// The protocol of the client.
        "client_type" omitempty client_type: String,
    }
}
