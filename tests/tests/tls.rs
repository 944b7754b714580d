//! TLS of the client port: who is let in, who is not, and what everybody sees of it; on both servers where the peer is
//! here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use pinion_tests::certificates::{Authority, Pair};
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
