//! The port of WebSocket clients, on both servers where the peer is here: which requests are taken, what frames carry,
//! how connections end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use pinion_tests::certificates::Authority;
use pinion_tests::escape::escape;
use pinion_tests::http;
use pinion_tests::secure_wire::{read_line, SecureClient};
use pinion_tests::server::{Kind, Program, Server, TestFolder};
use pinion_tests::wire::PATIENCE;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

const LISTENING: &str = "Listening for websocket clients on ";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The servers that are here, with the address of their WebSocket port.
fn servers(block: &str) -> Vec<(Server, SocketAddr)> {
    let ours = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"));
    let config = format!("http: \"127.0.0.1:-1\"\nwebsocket {{ host: 127.0.0.1, port: -1, {block} }}\n");
    ours.into_iter()
        .chain(Program::peer())
        .map(|program| {
            let mut server = program.start(&config);
            let line = server.wait_for_log(LISTENING);
            let (_, url) = line.split_once(LISTENING).expect("the line was found by it");
            let (_, address) = url.trim().split_once("://").expect("a URL");
            let address = address.parse().expect("host and port");
            (server, address)
        })
        .collect()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    stream
}

/// The head of the answer to a request, line by line.
fn ask(stream: &mut (impl Read + Write), request: &str) -> Vec<String> {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut lines = Vec::new();
    loop {
        let line = read_line(stream).expect("an answer");
        if line.is_empty() {
            return lines;
        }
        lines.push(line);
    }
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(size @ 0..=125), _) => frame.push(0x80 | size),
        (_, Ok(size)) => {
            frame.push(0x80 | 126);
            frame.extend(size.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ mask[index & 3]),
    );
    frame
}

/// The next frame of the server: its first byte and its payload.
fn next_frame(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    assert_eq!(head[1] & 0x80, 0, "servers do not mask");
    let size = match head[1] {
        126 => {
            let mut size = [0; 2];
            stream.read_exact(&mut size).expect("a length");
            usize::from(u16::from_be_bytes(size))
        }
        127 => {
            let mut size = [0; 8];
            stream.read_exact(&mut size).expect("a length");
            usize::try_from(u64::from_be_bytes(size)).expect("a length of a test")
        }
        size => usize::from(size),
    };
    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).expect("a payload");
    (head[0], payload)
}

/// What frames carry until it ends with `end`.
fn carried(stream: &mut impl Read, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let (first, payload) = next_frame(stream);
        assert_eq!(first, 0x82, "a whole binary frame: {payload:?}");
        text.extend(payload);
    }
    String::from_utf8(text).expect("text")
}

/// INFO, as its frame carries it.
fn info(stream: &mut impl Read) -> Value {
    let text = carried(stream, "\r\n");
    serde_json::from_str(text.trim_start_matches("INFO ")).expect("INFO is JSON")
}

/// Each request is answered with the peer's status and header; what is taken gets INFO as its first frame.
/// Covers: TestWSUpgradeValidationErrors, TestWSCheckOrigin
#[test]
fn requests_are_answered_as_by_the_peer() {
    let block = "no_tls: true, same_origin: true, headers { X-Own: \"mine\" }";
    for (server, address) in servers(block) {
        let kind = server.kind();
        for (from, to, status) in [
            ("", "", "101 Switching Protocols"),
            ("GET", "POST", "405 Method Not Allowed"),
            ("Upgrade: websocket", "Upgrade: h2c", "400 Bad Request"),
            ("Connection: Upgrade", "Connection: close", "400 Bad Request"),
            (
                "Connection: Upgrade",
                "connection: keep-alive, UPGRADE",
                "101 Switching Protocols",
            ),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400 Bad Request"),
            ("Version: 13", "Version: 8", "400 Bad Request"),
            (
                "Host: localhost",
                "Host: localhost\r\nOrigin: http://localhost",
                "101 Switching Protocols",
            ),
            (
                "Host: localhost",
                "Host: localhost\r\nOrigin: http://elsewhere",
                "403 Forbidden",
            ),
            ("GET / ", "GET /any/path?query ", "101 Switching Protocols"),
            ("GET / ", "GET /mqtt ", "404 Not Found"),
        ] {
            let mut stream = connect(address);
            let answer = ask(&mut stream, &REQUEST.replacen(from, to, 1));
            assert_eq!(
                answer[0],
                format!("HTTP/1.1 {status}"),
                "{kind:?}: {from} -> {to}"
            );
            let has = |line: &str| answer.iter().any(|found| found.eq_ignore_ascii_case(line));
            if status.starts_with("101") {
                assert!(
                    has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                    "{kind:?}: {answer:?}"
                );
                assert!(has("X-Own: mine"), "{kind:?}: {answer:?}");
                let info = info(&mut stream);
                assert_eq!(info["port"], address.port(), "{kind:?}");
                assert_eq!(info.get("tls_required"), None, "{kind:?}");
            } else {
                assert!(has("Sec-Websocket-Version: 13"), "{kind:?}: {answer:?}");
                let mut body = vec![0; status.len() - 4 + 1];
                stream.read_exact(&mut body).expect("a body");
                assert_eq!(body, format!("{}\n", &status[4..]).as_bytes(), "{kind:?}");
            }
        }
    }
}

/// Operations go through frames of every cut, to clients of the other port too; the pages know the connection.
#[test]
fn operations_go_through_frames() {
    for (mut server, address) in servers("no_tls: true, handshake_timeout: \"2s\"") {
        let kind = server.kind();
        let mut stream = connect(address);
        ask(&mut stream, REQUEST);
        info(&mut stream);
        let operations = b"CONNECT {\"verbose\":false,\"name\":\"page\"}\r\nSUB from.client 1\r\nPING\r\n";
        for (index, part) in operations.chunks(10).enumerate() {
            let last = if (index + 1) * 10 >= operations.len() {
                0x80
            } else {
                0
            };
            let opcode = if index == 0 { 1 } else { 0 };
            stream.write_all(&frame(last | opcode, part)).expect("sent");
            if last != 0 {
                continue;
            }
            stream.write_all(&frame(0x89, b"ping")).expect("sent");
            assert_eq!(next_frame(&mut stream), (0x8a, b"ping".to_vec()), "{kind:?}");
        }
        carried(&mut stream, "PONG\r\n");
        let mut other = server.client();
        other.line("SUB from.page 1");
        other.barrier();
        for size in [0, 125, 126, 65_535, 65_536, 300_000] {
            let payload = "x".repeat(size);
            let publish = format!("PUB from.page {size}\r\n{payload}\r\n");
            stream.write_all(&frame(0x82, publish.as_bytes())).expect("sent");
            assert_eq!(
                other.expect_frame().to_text(),
                format!("MSG from.page 1 {size} | {}", escape(payload.as_bytes())),
                "{kind:?}"
            );
            other.line(&format!("PUB from.client {size}\r\n{payload}"));
            let text = carried(&mut stream, &format!("{payload}\r\n"));
            assert_eq!(
                text,
                format!("MSG from.client 1 {size}\r\n{payload}\r\n"),
                "{kind:?}"
            );
        }
        let monitor = http::monitor_address(&mut server);
        let page = http::get(monitor, "/connz?sort=cid").json();
        let types: Vec<&Value> = page["connections"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| &row["type"])
            .collect();
        assert_eq!(types, ["websocket", "nats"], "{kind:?}");
        let part = &http::get(monitor, "/varz").json()["websocket"];
        assert_eq!(
            (
                &part["host"],
                &part["port"],
                &part["no_tls"],
                &part["handshake_timeout"]
            ),
            (
                &Value::from("127.0.0.1"),
                &Value::from(address.port()),
                &Value::from(true),
                &Value::from(2_000_000_000_i64)
            ),
            "{kind:?}"
        );
    }
}

/// Each end has its close frame, and the page its reason.
#[test]
fn ends_have_their_codes() {
    for (server, address) in servers("no_tls: true") {
        let kind = server.kind();
        let opened = || {
            let mut stream = connect(address);
            ask(&mut stream, REQUEST);
            info(&mut stream);
            stream
        };
        let closed = |mut stream: TcpStream, bytes: &[u8]| {
            stream.write_all(bytes).expect("sent");
            loop {
                let (first, payload) = next_frame(&mut stream);
                if first == 0x88 {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).unwrap_or_default();
                    assert!(rest.is_empty(), "{kind:?}: nothing comes behind: {rest:?}");
                    return payload;
                }
                assert_eq!(first, 0x82);
            }
        };
        let code = |code: u16, text: &str| [&code.to_be_bytes(), text.as_bytes()].concat();
        let bye = code(1000, "bye");
        assert_eq!(closed(opened(), &frame(0x88, &bye)), bye, "{kind:?}");
        assert_eq!(closed(opened(), &frame(0x88, b"")), b"", "{kind:?}");
        if kind == Kind::Pinion {
            // The peer closes such connections without a frame.
            assert_eq!(
                closed(opened(), &[0x82, 1, b'x']),
                code(1002, "mask bit missing"),
                "{kind:?}"
            );
            assert_eq!(
                closed(opened(), &frame(0x83, b"x")),
                code(1002, "unknown opcode 3"),
                "{kind:?}"
            );
            assert_eq!(
                closed(opened(), &frame(0x82, b"NOTHING\r\n")),
                code(1002, "Protocol Violation"),
                "{kind:?}"
            );
        }
        assert_eq!(
            closed(opened(), &frame(0x82, b"PUB a 2000000\r\n")),
            code(1009, "Maximum Message Payload Exceeded"),
            "{kind:?}"
        );
        let mut stream = opened();
        server.signal("TERM");
        assert_eq!(
            next_frame(&mut stream),
            (0x88, code(1001, "Server Shutdown")),
            "{kind:?}"
        );
    }
}

/// Messages are compressed where both sides want it, small ones are not.
#[test]
fn messages_are_compressed() {
    let request = REQUEST.replace("Host", "Sec-WebSocket-Extensions: permessage-deflate\r\nHost");
    for (server, address) in servers("no_tls: true, compression: true") {
        let kind = server.kind();
        let mut stream = connect(address);
        let answer = ask(&mut stream, &request);
        let extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert!(
            answer.iter().any(|line| line == extension),
            "{kind:?}: {answer:?}"
        );
        let (first, _) = next_frame(&mut stream);
        assert_eq!(first, 0xc2, "{kind:?}: INFO is long enough");
        // A stored block: what any deflate stream may hold.
        let operations = b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n";
        let size = u16::try_from(operations.len()).expect("short");
        let mut stored = vec![0];
        stored.extend(size.to_le_bytes());
        stored.extend((!size).to_le_bytes());
        stored.extend(operations);
        stored.push(0);
        stream.write_all(&frame(0xc2, &stored)).expect("sent");
        assert_eq!(
            carried(&mut stream, "PONG\r\n"),
            "PONG\r\n",
            "{kind:?}: 6 bytes stay as they are"
        );
        let mut other = server.client();
        other.line(&format!("PUB a 10000\r\n{}", "x".repeat(10_000)));
        let (first, payload) = next_frame(&mut stream);
        assert_eq!(first, 0xc2, "{kind:?}");
        assert!(payload.len() < 1000, "{kind:?}: {}", payload.len());
    }
}

/// The port has TLS of its own.
#[test]
fn frames_go_through_tls() {
    let folder = TestFolder::create();
    let authority = Authority::new("test authority");
    authority.sign(&["localhost"]).write(folder.path(), "server");
    let file = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
    let block = format!(
        "tls {{ cert_file: {}, key_file: {} }}",
        file("server.pem"),
        file("server.key")
    );
    for (mut server, address) in servers(&block) {
        let kind = server.kind();
        let client = SecureClient::trusting(authority.certificate());
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(Arc::new(client.config()), name).expect("a configuration");
        let mut stream = StreamOwned::new(session, connect(address));
        let answer = ask(&mut stream, REQUEST);
        assert_eq!(answer[0], "HTTP/1.1 101 Switching Protocols", "{kind:?}");
        let info = info(&mut stream);
        assert_eq!(
            (&info["tls_required"], &info["tls_available"]),
            (&Value::from(true), &Value::from(true)),
            "{kind:?}"
        );
        let operations = b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n";
        stream.write_all(&frame(0x82, operations)).expect("sent");
        assert_eq!(
            carried(&mut stream, "PONG\r\n"),
            "MSG a 1 2\r\nhi\r\nPONG\r\n",
            "{kind:?}"
        );
        let monitor = http::monitor_address(&mut server);
        let row = &http::get(monitor, "/connz").json()["connections"][0];
        assert_eq!(
            (&row["type"], &row["tls_version"]),
            (&Value::from("websocket"), &Value::from("1.3")),
            "{kind:?}"
        );
        let mut plain = connect(address);
        plain.write_all(REQUEST.as_bytes()).expect("sent");
        let mut said = Vec::new();
        plain.read_to_end(&mut said).unwrap_or_default();
        assert!(!said.starts_with(b"HTTP/1.1 101"), "{kind:?}");
    }
}
