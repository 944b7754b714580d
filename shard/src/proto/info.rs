//! INFO: what a server says about itself, to clients and to other servers.
//!
//! Owns: fields, key order, which are left out when empty. Not here: who gets which values and when (`conn`).

use super::json::{document, SubjectPermission};

document! {
    /// The document of INFO. Empty values of most fields are not written.
    pub struct Info {
        /// The id of this process.
        "server_id" always server_id: String,
        /// The configured or generated name.
        "server_name" always server_name: String,
        /// The version that clients gate features on.
        "version" always version: String,
        /// The protocol level.
        "proto" always proto: i64,
        /// The build's commit.
        "git_commit" omitempty git_commit: String,
        /// The toolchain of the build.
        "go" always go: String,
        /// The host to connect to.
        "host" always host: String,
        /// The port to connect to.
        "port" always port: i64,
        /// Whether headers are supported.
        "headers" always headers: bool,
        /// Whether credentials are needed.
        "auth_required" omitempty auth_required: bool,
        /// Whether TLS must be used.
        "tls_required" omitempty tls_required: bool,
        /// Whether a client certificate is wanted.
        "tls_verify" omitempty tls_verify: bool,
        /// Whether TLS may be used.
        "tls_available" omitempty tls_available: bool,
        /// The largest message, in bytes.
        "max_payload" always max_payload: i32,
        /// Whether JetStream is on.
        "jetstream" omitempty jetstream: bool,
        /// The route or gateway URL of this server.
        "ip" omitempty ip: String,
        /// The number of this connection.
        "client_id" omitempty client_id: u64,
        /// The client's address as seen here.
        "client_ip" omitempty client_ip: String,
        /// What the client shall sign.
        "nonce" omitempty nonce: String,
        /// The cluster's name.
        "cluster" omitempty cluster: String,
        /// Whether that name was generated.
        "cluster_dynamic" omitempty cluster_dynamic: bool,
        /// The JetStream domain.
        "domain" omitempty domain: String,
        /// Where else clients can connect.
        "connect_urls" omitempty connect_urls: Vec<String>,
        /// Where else WebSocket clients can connect.
        "ws_connect_urls" omitempty ws_connect_urls: Vec<String>,
        /// Whether the server is in lame duck mode.
        "ldm" omitempty ldm: bool,
        /// The compression mode of routes and leaf nodes.
        "compression" omitempty compression: String,
        /// Whether this INFO answers CONNECT.
        "connect_info" omitempty connect_info: bool,
        /// The account that the connection is bound to.
        "remote_account" omitempty remote_account: String,
        /// Whether that is the system account.
        "acc_is_sys" omitempty acc_is_sys: bool,
        /// The JetStream API level.
        "api_lvl" omitempty api_lvl: i64,
        /// What a route may send.
        "import" omitempty import: Option<SubjectPermission>,
        /// What a route may ask for.
        "export" omitempty export: Option<SubjectPermission>,
        /// Whether `LS+` with origin is known.
        "lnoc" omitempty lnoc: bool,
        /// Whether `LS-` with origin is known.
        "lnocu" omitempty lnocu: bool,
        /// Whether CONNECT will be answered with INFO.
        "info_on_connect" omitempty info_on_connect: bool,
        /// How many routes two servers keep between them.
        "route_pool_size" omitempty route_pool_size: i64,
        /// Which of them this is.
        "route_pool_idx" omitempty route_pool_idx: i64,
        /// The account of a route of its own.
        "route_account" omitempty route_account: String,
        /// The request that such a route answers.
        "route_acc_add_reqid" omitempty route_acc_add_reqid: String,
        /// How the addresses of other servers are passed on: 0 default, 1 disabled, 2 override.
        "gossip_mode" omitempty gossip_mode: u8,
        /// The gateway's name.
        "gateway" omitempty gateway: String,
        /// The gateway URLs of the cluster.
        "gateway_urls" omitempty gateway_urls: Vec<String>,
        /// The gateway URL of this server.
        "gateway_url" omitempty gateway_url: String,
        /// 1 gossip, 2 all subscriptions begin, 3 all subscriptions end.
        "gateway_cmd" omitempty gateway_cmd: u8,
        /// What the command needs, in base64 as it stands on the wire.
        "gateway_cmd_payload" omitempty gateway_cmd_payload: String,
        /// Whether the reply prefix `_GR_` is known.
        "gateway_nrp" omitempty gateway_nrp: bool,
        /// Whether all accounts go to interest-only mode at once.
        "gateway_iom" omitempty gateway_iom: bool,
        /// Where leaf nodes can connect.
        "leafnode_urls" omitempty leafnode_urls: Vec<String>,
        /// The server's public curve key.
        "xkey" omitempty xkey: String,
        /// Pinion's own: the shard that serves this connection, so that tools can place connections.
        "pinion_shard" omitempty pinion_shard: Option<u16>,
    }
}

impl Info {
    /// Appends the whole line, `INFO {...} \r\n`.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        self.write_json(out);
        out.extend_from_slice(b" \r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that the peer sends to a client with the same values, byte for byte.
    #[test]
    fn line_of_a_plain_server() {
        let info = Info {
            server_id: "NABC".into(),
            server_name: "a&b".into(),
            version: "2.14.5".into(),
            proto: 1,
            go: "go1.26".into(),
            host: "127.0.0.1".into(),
            port: 4222,
            headers: true,
            max_payload: 1_048_576,
            client_id: 5,
            client_ip: "127.0.0.1".into(),
            xkey: "XABC".into(),
            ..Info::default()
        };
        let mut out = Vec::new();
        info.write_line(&mut out);
        let expected = concat!(
            r#"INFO {"server_id":"NABC","server_name":"a\u0026b","version":"2.14.5","proto":1,"go":"go1.26","#,
            r#""host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"client_id":5,"#,
            r#""client_ip":"127.0.0.1","xkey":"XABC"} "#,
            "\r\n"
        );
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);

        let mut read = Info::default();
        read.merge_json(&out[b"INFO ".len()..]).unwrap();
        assert_eq!(read, info);
    }

    /// Every field comes back from its JSON.
    #[test]
    fn optional_fields_round_trip() {
        let mut info = Info::default();
        let json = concat!(
            r#"{"server_id":"i","server_name":"n","version":"v","proto":2,"go":"","host":"","port":-1,"headers":false,"#,
            r#""max_payload":0,"cluster":"c","connect_urls":["a:1","b:2"],"ldm":true,"#,
            r#""import":{"allow":["a"]},"export":{},"gossip_mode":2,"gateway_cmd":3,"gateway_cmd_payload":"JEc="}"#
        );
        info.merge_json(json.as_bytes()).unwrap();
        assert_eq!(info.gossip_mode, 2);
        assert_eq!(info.export, Some(SubjectPermission::default()));
        let mut out = Vec::new();
        info.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json);
        assert!(info.merge_json(br#"{"gossip_mode":256}"#).is_err());
    }
}
