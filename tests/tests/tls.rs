//! TLS of the client port: who is let in, who is not, and what everybody sees of it; on both servers where the peer is
//! here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use pinion_tests::certificates::{Authority, Pair};
use pinion_tests::http;
use pinion_tests::secure_wire::{read_line, SecureClient};
use pinion_tests::server::{Program, Server, TestFolder};
use pinion_tests::wire::PATIENCE;
use serde_json::Value;

/// What the certificates of a test are made of, in a folder of their own.
struct Material {
    folder: TestFolder,
    authority: Authority,
    client: Arc<Pair>,
    stranger: Arc<Pair>,
}

impl Material {
    fn new() -> Self {
        let folder = TestFolder::create();
        let authority = Authority::new("test authority");
        authority.write(folder.path(), "ca");
        authority
            .sign(&["localhost", "127.0.0.1"])
            .write(folder.path(), "server");
        Self {
            client: Arc::new(authority.sign(&["client.example.com"])),
            stranger: Arc::new(Authority::new("another authority").sign(&["client.example.com"])),
            folder,
            authority,
        }
    }

    fn file(&self, name: &str) -> String {
        format!("{:?}", self.folder.path().join(name).display().to_string())
    }

    /// A `tls` block with the server's certificate and `more`.
    fn block(&self, more: &str) -> String {
        let (cert, key, ca) = (
            self.file("server.pem"),
            self.file("server.key"),
            self.file("ca.pem"),
        );
        let more = more.replace("$CA", &ca);
        format!("tls {{ cert_file: {cert}, key_file: {key}, {more} }}\n")
    }

    fn trusting(&self) -> SecureClient {
        SecureClient::trusting(self.authority.certificate())
    }
}

/// How a client comes.
#[derive(Clone, Copy, Debug)]
enum Comes {
    Plain,
    Tls,
    Tls12,
    WithCertificate,
    AsStranger,
    First,
}

/// What a client sees: of INFO, of the handshake, of its first operations.
fn outcome(server: &Server, material: &Material, comes: Comes) -> String {
    if matches!(comes, Comes::Plain) {
        return plain_outcome(server);
    }
    let mut client = material.trusting();
    match comes {
        Comes::Plain | Comes::Tls => {}
        Comes::Tls12 => client.versions = TLS12,
        Comes::WithCertificate => client.identity = Some(Arc::clone(&material.client)),
        Comes::AsStranger => client.identity = Some(Arc::clone(&material.stranger)),
        Comes::First => client.is_first = true,
    }
    let Ok(mut wire) = client.connect(server.address()) else {
        return "refused".to_owned();
    };
    let info = said_of_tls(&wire.info);
    let version = wire.stream.conn.protocol_version().expect("shaken hands");
    let suite = wire
        .stream
        .conn
        .negotiated_cipher_suite()
        .expect("shaken hands")
        .suite();
    match wire.barrier("CONNECT {\"verbose\":false}\r\n") {
        Ok(()) => format!("{info}, {version:?} {suite:?}, served"),
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        Err(_) => "refused".to_owned(),
    }
}

fn plain_outcome(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    let Ok(info) = read_line(&mut stream) else {
        return "no INFO".to_owned();
    };
    let info = said_of_tls(&info);
    if stream
        .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
        .is_err()
    {
        return format!("{info}, refused");
    }
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return format!("{info}, refused"),
            Ok(size) => answer.extend_from_slice(&part[..size]),
        }
        if answer.ends_with(b"PONG\r\n") {
            return format!("{info}, served");
        }
    }
}

fn said_of_tls(info: &str) -> String {
    let json: Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO is JSON");
    let said: Vec<&str> = ["tls_required", "tls_available", "tls_verify"]
        .into_iter()
        .filter(|key| json.get(*key) == Some(&Value::Bool(true)))
        .map(|key| &key[4..])
        .collect();
    said.join(" ")
}

/// The servers that are here.
fn servers(config: &str) -> Vec<Server> {
    let ours = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"));
    ours.into_iter()
        .chain(Program::peer())
        .map(|program| program.start(config))
        .collect()
}

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const AES_128: &str = "TLSv1_3 TLS13_AES_128_GCM_SHA256, served";
const AES_128_OLD: &str = "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, served";
const AES_256_OLD: &str = "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, served";

/// Each configuration lets in whom the peer lets in, and says the same of itself.
/// Covers: TestTLSConnection, TestTLSClientCertificate, TestTLSPinnedCertsClient
#[test]
fn the_same_clients_are_let_in() {
    use Comes::{AsStranger, First, Plain, Tls, Tls12, WithCertificate};
    let material = Material::new();
    let pinned = hex(&pinion_shard::conn::key_digest(&material.client.certificate).unwrap());
    let right = format!("ca_file: $CA, verify: true, pinned_certs: [\"{pinned}\"]");
    let wrong = format!(
        "ca_file: $CA, verify: true, pinned_certs: [\"{}\"]",
        "0".repeat(64)
    );
    let required = |rest: &str| format!("required, {rest}");
    let verified = |rest: &str| format!("required verify, {rest}");
    /// Its name, the configuration, and what each client sees.
    type Case = (String, String, Vec<(Comes, String)>);
    let cases: Vec<Case> = vec![
        (
            "nothing more".to_owned(),
            material.block(""),
            vec![
                (Plain, "required, refused".to_owned()),
                (Tls, required(AES_128)),
                (Tls12, required(AES_128_OLD)),
                (WithCertificate, required(AES_128)),
                (AsStranger, required(AES_128)),
            ],
        ),
        (
            "verify".to_owned(),
            material.block("ca_file: $CA, verify: true"),
            vec![
                (Plain, "required verify, refused".to_owned()),
                (Tls, "refused".to_owned()),
                (WithCertificate, verified(AES_128)),
                (AsStranger, "refused".to_owned()),
            ],
        ),
        (
            "its key is pinned".to_owned(),
            material.block(&right),
            vec![(WithCertificate, verified(AES_128))],
        ),
        (
            "another key is pinned".to_owned(),
            material.block(&wrong),
            vec![(WithCertificate, "refused".to_owned())],
        ),
        (
            "min_version".to_owned(),
            material.block("min_version: \"1.3\""),
            vec![(Tls, required(AES_128)), (Tls12, "refused".to_owned())],
        ),
        (
            "cipher_suites".to_owned(),
            material.block("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]"),
            vec![(Tls, required(AES_128)), (Tls12, required(AES_256_OLD))],
        ),
        (
            "cipher_suites without one of this key".to_owned(),
            material.block("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]"),
            vec![(Tls12, "refused".to_owned())],
        ),
        (
            "allow_non_tls".to_owned(),
            format!("allow_non_tls: true\n{}", material.block("")),
            vec![
                (Plain, "available, served".to_owned()),
                (Tls, format!("available, {AES_128}")),
            ],
        ),
        (
            "handshake_first".to_owned(),
            material.block("handshake_first: true"),
            vec![(First, required(AES_128))],
        ),
        (
            "handshake_first with a way back".to_owned(),
            material.block("handshake_first: \"100ms\""),
            vec![
                (First, required(AES_128)),
                (Tls, required(AES_128)),
                (Plain, "required, refused".to_owned()),
            ],
        ),
        (
            "handshake_first or nothing".to_owned(),
            format!("allow_non_tls: true\n{}", material.block("handshake_first: auto")),
            vec![
                (First, format!("required available, {AES_128}")),
                (Tls, format!("available, {AES_128}")),
                (Plain, "available, served".to_owned()),
            ],
        ),
    ];
    for (name, config, clients) in cases {
        for server in servers(&config) {
            for (comes, expected) in &clients {
                let seen = outcome(&server, &material, *comes);
                assert_eq!(&seen, expected, "{name}: {comes:?} at {:?}", server.kind());
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";
const MONITOR: &str = "http: \"127.0.0.1:-1\"\n";

/// The rows that `/connz` shows, without what is a connection's own.
fn rows(server: &mut Server, query: &str) -> Value {
    let address = http::monitor_address(server);
    let page = http::get(address, &format!("/connz?{query}")).json();
    let keys = [
        "reason",
        "tls_version",
        "tls_cipher_suite",
        "tls_peer_certs",
        "tls_first",
    ];
    let connections = page["connections"]
        .as_array()
        .expect("a list of connections")
        .clone();
    connections
        .iter()
        .map(|row| {
            keys.iter()
                .filter_map(|&key| Some((key.to_owned(), row.get(key)?.clone())))
                .collect::<serde_json::Map<_, _>>()
        })
        .map(Value::Object)
        .collect()
}

/// `/connz` and `/varz` say of TLS what the peer says.
#[test]
fn pages_show_tls() {
    let material = Material::new();
    let config = material.block("ca_file: $CA, verify: true, handshake_first: true, timeout: 1.5");
    let spki = hex(&pinion_shard::conn::key_digest(&material.client.certificate).expect("a certificate"));
    for mut server in servers(&format!("{MONITOR}{config}")) {
        let mut client = material.trusting();
        client.identity = Some(Arc::clone(&material.client));
        client.is_first = true;
        let mut wire = client.connect(server.address()).expect("let in");
        wire.barrier(CONNECT).expect("served");
        let shown = rows(&mut server, "auth=1");
        let row = &shown[0];
        assert_eq!(row["tls_version"], "1.3", "{:?}", server.kind());
        assert_eq!(row["tls_cipher_suite"], "TLS_AES_128_GCM_SHA256");
        assert_eq!(row["tls_first"], true);
        assert_eq!(
            row["tls_peer_certs"][0]["subject"],
            "CN=client.example.com,O=acme"
        );
        assert_eq!(row["tls_peer_certs"][0]["spki_sha256"], spki.as_str());
        assert_eq!(row["tls_peer_certs"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            rows(&mut server, "")[0].get("tls_peer_certs"),
            None,
            "{:?}",
            server.kind()
        );
        let address = http::monitor_address(&mut server);
        let varz = http::get(address, "/varz").json();
        assert_eq!(varz["tls_required"], true);
        assert_eq!(varz["tls_verify"], true);
        assert_eq!(varz["tls_timeout"], 1.5);
        assert_eq!(varz["tls_cert_not_after"], "4096-01-01T00:00:00Z");
    }
}

/// Bytes that are no handshake, or stop in it, end their own connection, with the peer's reason.
#[test]
fn hostile_handshakes_are_closed() {
    let material = Material::new();
    let config = material.block("timeout: \"300ms\"");
    for mut server in servers(&format!("{MONITOR}{config}")) {
        let mut witness = material.trusting().connect(server.address()).expect("let in");
        let long: Vec<u8> = [0x16, 3, 1, 0xff, 0xff].into_iter().chain([7; 70_000]).collect();
        let records: [&[u8]; 7] = [
            b"",
            b"CONNECT {}\r\nPING\r\n",
            &[0x16, 3, 1],
            &[
                0x16, 3, 1, 0, 16, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97,
            ],
            &[0x15, 3, 3, 0, 2, 2, 80],
            &[0x17, 3, 3, 0, 1, 0],
            &long,
        ];
        for record in records {
            let mut stream = TcpStream::connect(server.address()).expect("the server listens");
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a timeout can be set");
            read_line(&mut stream).expect("INFO");
            // The server may close while we still send.
            stream.write_all(record).unwrap_or_default();
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{record:?}"),
            }
            assert!(
                rest.is_empty() || rest[0] == 0x15,
                "an alert or nothing: {rest:?}"
            );
        }
        witness.barrier(CONNECT).expect("the others notice nothing");
        let closed = rows(&mut server, "state=closed");
        // The start of the server was probed too.
        let reasons: Vec<&Value> = closed
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| &row["reason"])
            .collect();
        assert!(reasons.len() >= records.len(), "{:?}: {reasons:?}", server.kind());
        assert!(
            reasons.iter().all(|reason| *reason == "TLS Handshake Failure"),
            "{reasons:?}"
        );
    }
}

/// Handshakes beyond the limit of a second are told to come again.
#[test]
fn handshakes_are_limited_by_rate() {
    let material = Material::new();
    let config = material.block("connection_rate_limit: 2");
    for server in servers(&config) {
        // The second may end while we count: then the next one holds more than we can make in it.
        let throttled = (0..200).any(|_| {
            let mut stream = TcpStream::connect(server.address()).expect("the server listens");
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a timeout can be set");
            read_line(&mut stream).expect("INFO");
            stream.write_all(&[0x16]).unwrap_or_default();
            stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
            let error = "-ERR 'Connection throttling is active. Please try again later.'";
            read_line(&mut stream).is_ok_and(|line| line == error)
        });
        assert!(throttled, "{:?}", server.kind());
    }
}

/// Operations of every size go through both versions, in order, to a subscriber on another core too.
#[test]
fn messages_of_every_size_go_through() {
    let material = Material::new();
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let server = program.with_shards(2).start(&material.block(""));
    let mut old = material.trusting();
    old.versions = TLS12;
    for (client, other) in [(material.trusting(), old.clone()), (old, material.trusting())] {
        let mut subscriber = client.connect(server.address()).expect("let in");
        subscriber
            .barrier(&format!("{CONNECT}SUB a 1\r\n"))
            .expect("served");
        let mut publisher = other.connect(server.address()).expect("let in");
        publisher.barrier(CONNECT).expect("served");
        for size in [0, 1, 100, 16_383, 16_384, 16_385, 70_000, 1_000_000] {
            let payload: Vec<u8> = (0..size)
                .map(|index| u8::try_from(index % 251).expect("below 256"))
                .collect();
            publisher
                .send(format!("PUB a {size}\r\n").as_bytes())
                .expect("sent");
            publisher.send(&payload).expect("sent");
            publisher.send(b"\r\n").expect("sent");
            assert_eq!(subscriber.line().expect("a message"), format!("MSG a 1 {size}"));
            assert!(subscriber.exactly(size).expect("a message") == payload, "{size}");
            assert_eq!(subscriber.line().expect("the end of a message"), "");
        }
        publisher.send(b"NOTHING\r\n").expect("sent");
        assert_eq!(
            publisher.line().expect("an error"),
            "-ERR 'Unknown Protocol Operation'"
        );
        let mut rest = Vec::new();
        publisher
            .stream
            .read_to_end(&mut rest)
            .expect("the end is announced");
        assert!(rest.is_empty());
    }
}

/// A client that does not read is closed as a slow consumer, as on a plain connection.
#[test]
fn slow_consumers_are_closed() {
    let material = Material::new();
    let config = format!(
        "{MONITOR}max_pending: 200000\nmax_payload: 100000\n{}",
        material.block("")
    );
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start(&config);
    let mut subscriber = material.trusting().connect(server.address()).expect("let in");
    subscriber
        .barrier(&format!("{CONNECT}SUB a 1\r\n"))
        .expect("served");
    let mut publisher = material.trusting().connect(server.address()).expect("let in");
    publisher.barrier(CONNECT).expect("served");
    let message = [b"PUB a 100000\r\n".as_slice(), &[7; 100_000], b"\r\n"].concat();
    let reason = (0..1000).find_map(|_| {
        publisher.send(&message).expect("sent");
        publisher.barrier("").expect("the publisher is served on");
        let closed = rows(&mut server, "state=closed");
        let closed = closed.as_array().expect("rows").iter();
        // The start of the server was probed too.
        let mut reasons = closed
            .map(|row| row["reason"].clone())
            .filter(|reason| reason != "TLS Handshake Failure");
        reasons.next()
    });
    assert_eq!(reason, Some(Value::from("Slow Consumer (Pending Bytes)")));
}

/// The certificate is chosen by the name that the client asks for, and new files are served without a restart; who is
/// connected stays.
#[test]
fn certificates_by_name_and_changed_on_disk() {
    let material = Material::new();
    let folder = material.folder.path();
    material
        .authority
        .sign(&["other.example.com"])
        .write(folder, "other");
    let files = |name: &str| {
        let (cert, key) = (
            material.file(&format!("{name}.pem")),
            material.file(&format!("{name}.key")),
        );
        format!("{{ cert_file: {cert}, key_file: {key} }}")
    };
    let config = format!("tls {{ certs: [{}, {}] }}\n", files("server"), files("other"));
    for server in servers(&config) {
        for name in ["localhost", "other.example.com"] {
            let mut client = material.trusting();
            client.name = name;
            let mut wire = client
                .connect(server.address())
                .expect("the certificate bears the name");
            wire.barrier(CONNECT).expect("served");
        }
        let mut client = material.trusting();
        client.name = "third.example.com";
        assert!(
            client.connect(server.address()).is_err(),
            "no certificate bears the name"
        );
    }
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start(&config);
    let mut connected = material.trusting().connect(server.address()).expect("let in");
    std::fs::write(folder.join("other.pem"), "nothing").expect("the test folder takes a file");
    server.wait_for_log(
        "have changed on disk and the old ones stay: error parsing X509 certificate/key pair 2/2",
    );
    material
        .trusting()
        .connect(server.address())
        .expect("the old ones stay");
    let renewed = Authority::new("a new authority");
    renewed.sign(&["other.example.com"]).write(folder, "other");
    renewed.sign(&["localhost"]).write(folder, "server");
    server.wait_for_log("new connections get the new ones");
    SecureClient::trusting(renewed.certificate())
        .connect(server.address())
        .expect("the new one is served");
    assert!(
        material.trusting().connect(server.address()).is_err(),
        "the old one is not"
    );
    connected.barrier(CONNECT).expect("who is connected stays");
}

/// A server does not start with half of its TLS; it says which file is wrong.
#[test]
fn broken_files_keep_the_server_from_starting() {
    let material = Material::new();
    material
        .authority
        .sign(&["localhost"])
        .write(material.folder.path(), "stranger");
    std::fs::write(material.folder.path().join("text.pem"), "text").expect("the test folder takes a file");
    let Some(program) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    for (block, complaint) in [
        (
            "cert_file: $none.pem, key_file: $server.key",
            "no such file or directory",
        ),
        (
            "cert_file: $text.pem, key_file: $server.key",
            "no certificate in it",
        ),
        (
            "cert_file: $server.pem, key_file: $text.pem",
            "no private key in it",
        ),
        (
            "cert_file: $server.pem, key_file: $stranger.key",
            "does not match public key",
        ),
        (
            "cert_file: $server.pem, key_file: $server.key, verify: true, ca_file: $text.pem",
            "failed to parse root ca",
        ),
        ("verify: false", "no certificate is configured"),
    ] {
        let mut block = block.to_owned();
        for name in ["none.pem", "text.pem", "server.key", "server.pem", "stranger.key"] {
            block = block.replace(&format!("${name}"), &material.file(name));
        }
        let failure = program
            .try_start(&format!("tls {{ {block} }}\n"))
            .err()
            .unwrap_or_else(|| panic!("{block}: the server started"));
        let said = failure.to_string();
        assert!(said.contains(complaint), "{block}: {said}");
        assert!(said.contains("server.conf:"), "{said}");
    }
}
