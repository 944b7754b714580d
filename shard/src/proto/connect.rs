//! CONNECT: what the other side says about itself, in the three shapes of client, server and leaf node.
//!
//! Owns: fields, defaults and key order. Not here: what a field leads to (`conn`, `auth`).

use super::json::{document, SubjectPermission};

/// `protocol` of a client that takes no INFO after the first.
pub const PROTOCOL_ORIGINAL: i64 = 0;

/// `protocol` of a client that takes INFO at any time.
pub const PROTOCOL_ASYNC_INFO: i64 = 1;

document! {
    /// CONNECT of a client. The default is what counts before it came: verbose, pedantic, with echo. A second CONNECT
    /// is read over the first.
    pub struct Connect {
        /// Whether the client's own messages come back to it.
        "echo" always echo: bool = true,
        /// Whether each operation is answered with `+OK`.
        "verbose" always verbose: bool = true,
        /// Whether subjects of publications are checked.
        "pedantic" always pedantic: bool = true,
        /// Whether the client wants TLS.
        "tls_required" always tls_required: bool,
        /// The public key of the user.
        "nkey" omitempty nkey: String,
        /// The user JWT.
        "jwt" omitempty jwt: String,
        /// The signed nonce.
        "sig" omitempty sig: String,
        /// The token.
        "auth_token" omitempty auth_token: String,
        /// The user's name.
        "user" omitempty user: String,
        /// The password.
        "pass" omitempty pass: String,
        /// The client's name for itself.
        "name" always name: String,
        /// The language of its library.
        "lang" always lang: String,
        /// The version of its library.
        "version" always version: String,
        /// [`PROTOCOL_ORIGINAL`] or [`PROTOCOL_ASYNC_INFO`]; others are refused.
        "protocol" always protocol: i64,
        /// Refused when set.
        "account" omitempty account: String,
        /// Refused when set.
        "new_account" omitempty new_account: bool,
        /// Whether it takes messages with headers.
        "headers" omitempty headers: bool,
        /// Whether it wants a 503 for a request nobody listens to; needs `headers`.
        "no_responders" omitempty no_responders: bool,
        /// What a route or leaf node may send.
        "import" omitempty import: Option<SubjectPermission>,
        /// What a route or leaf node may ask for.
        "export" omitempty export: Option<SubjectPermission>,
        /// The account on the leaf node's side.
        "remote_account" omitempty remote_account: String,
        /// The nonce signed by a trusted proxy.
        "proxy_sig" omitempty proxy_sig: String,
    }
}

document! {
    /// CONNECT between servers, on routes and gateways.
    pub struct RouteConnect {
        /// Not used.
        "echo" always echo: bool,
        /// Not used.
        "verbose" always verbose: bool,
        /// Not used.
        "pedantic" always pedantic: bool,
        /// The route's user.
        "user" omitempty user: String,
        /// The route's password.
        "pass" omitempty pass: String,
        /// Whether TLS is used.
        "tls_required" always tls_required: bool,
        /// Whether messages with headers are taken.
        "headers" always headers: bool,
        /// The server's id.
        "name" always name: String,
        /// The cluster's name.
        "cluster" always cluster: String,
        /// Whether that name was generated.
        "cluster_dynamic" omitempty cluster_dynamic: bool,
        /// Whether `LS+` with origin is known.
        "lnoc" omitempty lnoc: bool,
        /// Whether `LS-` with origin is known.
        "lnocu" omitempty lnocu: bool,
        /// The gateway's name.
        "gateway" omitempty gateway: String,
    }
}

document! {
    /// CONNECT of a leaf node to its hub.
    pub struct LeafConnect {
        /// The server's version.
        "version" omitempty version: String,
        /// The public key of the user.
        "nkey" omitempty nkey: String,
        /// The user JWT.
        "jwt" omitempty jwt: String,
        /// The signed nonce.
        "sig" omitempty sig: String,
        /// The user's name.
        "user" omitempty user: String,
        /// The password.
        "pass" omitempty pass: String,
        /// The token.
        "auth_token" omitempty auth_token: String,
        /// The server's id.
        "server_id" omitempty server_id: String,
        /// The JetStream domain.
        "domain" omitempty domain: String,
        /// The server's name.
        "name" omitempty name: String,
        /// Whether the sender acts as hub.
        "is_hub" omitempty is_hub: bool,
        /// The cluster's name.
        "cluster" omitempty cluster: String,
        /// Whether messages with headers are taken.
        "headers" omitempty headers: bool,
        /// Whether JetStream is on.
        "jetstream" omitempty jetstream: bool,
        /// Subjects the hub shall not send.
        "deny_pub" omitempty deny_pub: Vec<String>,
        /// Whether interest of other leaf nodes is kept away.
        "isolate" omitempty isolate: bool,
        /// The compression mode.
        "compress_mode" omitempty compress_mode: String,
        /// Set by a gateway that came to the wrong port.
        "gateway" omitempty gateway: String,
        /// The account on the leaf node's side.
        "remote_account" omitempty remote_account: String,
        /// The protocol level.
        "protocol" omitempty protocol: i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Connect, String> {
        read_bytes(json.as_bytes())
    }

    fn read_bytes(json: &[u8]) -> Result<Connect, String> {
        let mut connect = Connect::default();
        connect
            .merge_json(json)
            .map(|()| connect)
            .map_err(|error| error.to_string())
    }

    /// What the peer takes: any case, null, unknown keys, the last of two.
    #[test]
    fn accepts_what_the_peer_accepts() {
        let connect = read(
            r#" {"VERBOSE":false,"Pedantic":false,"protocol":1,"name":null,"lang":"rust","lang":"go",
                "unknown":{"deep":[1,2,{"x":null}]},"headers":true,"import":{"allow":["a",null],"deny":null}} "#,
        )
        .unwrap();
        assert!(!connect.verbose);
        assert!(!connect.pedantic);
        assert!(connect.echo);
        assert_eq!(connect.protocol, PROTOCOL_ASYNC_INFO);
        assert_eq!(connect.name, "");
        assert_eq!(connect.lang, "go");
        assert_eq!(connect.import.unwrap().allow, ["a", ""]);
        assert_eq!(read("{}").unwrap(), Connect::default());
        assert_eq!(read("null").unwrap(), Connect::default());
    }

    /// Bytes that are not text do not refuse a client.
    #[test]
    fn broken_text_is_replaced() {
        assert_eq!(read_bytes(b"{\"name\":\"a\xffb\"}").unwrap().name, "a\u{fffd}b");
        assert_eq!(read(r#"{"name":"a\ud800b"}"#).unwrap().name, "a\u{fffd}b");
        assert_eq!(read(r#"{"name":"\ud83d\ude00"}"#).unwrap().name, "\u{1f600}");
        assert!(read_bytes(b"{\"\xff\":1,\"echo\":false}").is_ok_and(|connect| !connect.echo));
    }

    /// What the peer closes on.
    #[test]
    fn refuses_what_the_peer_refuses() {
        for json in [
            "",
            "\r",
            "[]",
            "5",
            "\"x\"",
            "{} x",
            "{",
            "{\"verbose\":\"x\"}",
            "{\"protocol\":1.0}",
            "{\"protocol\":\"1\"}",
            "{\"protocol\":99999999999999999999}",
            "{\"import\":5}",
            "{\"name\":5}",
            "{\"import\":{\"allow\":\"a\"}}",
            "{\"name\":\"\n\"}",
            "{verbose:true}",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    /// A second CONNECT changes what it names and nothing else.
    #[test]
    fn second_connect_is_read_over_the_first() {
        let mut connect = read(r#"{"verbose":false,"name":"a","export":{"deny":["x"]}}"#).unwrap();
        connect
            .merge_json(br#"{"user":"u","export":{"allow":["y"]}}"#)
            .unwrap();
        assert!(!connect.verbose);
        assert_eq!((connect.name.as_str(), connect.user.as_str()), ("a", "u"));
        let export = connect.export.unwrap();
        assert_eq!(
            (export.allow, export.deny),
            (vec!["y".to_owned()], vec!["x".to_owned()])
        );
    }

    /// A password never reaches a log through `Debug`.
    #[test]
    fn secrets_are_not_shown() {
        let connect = read(r#"{"user":"ann","pass":"s3cret","jwt":"s3cret","auth_token":"s3cret"}"#).unwrap();
        let shown = format!("{connect:?}");
        assert!(shown.contains("ann"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    /// The documents servers send, with the peer's order and omissions.
    #[test]
    fn servers_write_their_documents() {
        let mut out = Vec::new();
        let connect = RouteConnect {
            name: "N1".into(),
            cluster: "C".into(),
            lnoc: true,
            ..Default::default()
        };
        connect.write_json(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"echo":false,"verbose":false,"pedantic":false,"tls_required":false,"headers":false,"name":"N1","cluster":"C","lnoc":true}"#
        );
        let mut out = Vec::new();
        let leaf = LeafConnect {
            name: "a<b".into(),
            deny_pub: vec!["x.>".into()],
            ..Default::default()
        };
        leaf.write_json(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"name":"a\u003cb","deny_pub":["x.\u003e"]}"#
        );
    }
}
