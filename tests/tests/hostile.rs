//! Hostile and broken clients: each gets its error, the others notice nothing.
//!
//! A witness (a publisher and a subscriber) works through every test; the server must be alive at its end.

use std::time::Duration;

use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, Wire, PATIENCE};

fn start(config: &str) -> Option<Server> {
    Some(Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?.start(config))
}

/// Two well-behaved clients.
struct Witness {
    publisher: Wire,
    subscriber: Wire,
    count: u32,
}

impl Witness {
    fn new(server: &Server) -> Self {
        let mut subscriber = server.client();
        subscriber.line("SUB witness 1");
        subscriber.barrier();
        Self {
            publisher: server.client(),
            subscriber,
            count: 0,
        }
    }

    /// One message goes through, and nothing else had come.
    fn check(&mut self) {
        self.count += 1;
        let text = self.count.to_string();
        let size = text.len();
        self.publisher.line(&format!("PUB witness {size}\r\n{text}"));
        loop {
            let frame = self.subscriber.expect_frame().to_text();
            if frame != "PING" {
                assert_eq!(frame, format!("MSG witness 1 {size} | {text}"));
                return;
            }
        }
    }
}

/// What the server says to a client that sent `bytes`, until it closes.
fn answers_until_closed(server: &Server, bytes: &[u8]) -> Vec<String> {
    let mut wire = server.client();
    // The server may close while we still send.
    wire.send(bytes).unwrap_or_default();
    let mut answers = Vec::new();
    loop {
        match wire.next_said(PATIENCE) {
            Event::Frame(frame) => answers.push(frame.to_text()),
            Event::Closed => return answers,
            Event::Silence => panic!("the server neither answers nor closes; it said {answers:?}"),
        }
    }
}

/// Bytes that are no protocol end their connection, with the error of their kind.
#[test]
fn broken_input_closes_its_own_connection() {
    const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'";
    let Some(mut server) = start("") else { return };
    let mut witness = Witness::new(&server);
    let mut state = 12_345_u32;
    let mut garbage: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] | 0x80
    })
    .take(65_536)
    .collect();
    garbage.extend_from_slice(b"\r\n");
    let no_end = [b"SUB ".as_slice(), &[b'x'; 100_000]].concat();
    let cases: [(&str, &[u8], &[&str]); 10] = [
        ("garbage", &garbage, &[UNKNOWN]),
        ("a NUL", b"\0", &[UNKNOWN]),
        ("a NUL after a verb", b"PING\r\n\0PING\r\n", &["PONG", UNKNOWN]),
        ("a wrong end of payload", b"PUB x 2\r\nhi\n\rPING\r\n", &[UNKNOWN]),
        ("a payload longer than said", b"PUB x 2\r\nhello\r\n", &[UNKNOWN]),
        (
            "a length of 1 GB",
            b"PUB x 999999999\r\n",
            &["-ERR 'Maximum Payload Violation'"],
        ),
        ("a length of ten digits", b"PUB x 1073741824\r\n", &[]),
        (
            "a line without end",
            &no_end,
            &["-ERR 'maximum control line exceeded'"],
        ),
        (
            "a request for a page",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            &[UNKNOWN],
        ),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            &[UNKNOWN],
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(answers_until_closed(&server, bytes), expected, "{name}");
        witness.check();
    }
    assert!(server.is_running());
}

/// Half a line, half a payload, no CONNECT, nothing at all: they wait, and hold up nobody.
#[test]
fn unfinished_clients_hold_up_nobody() {
    let Some(mut server) = start("") else { return };
    let mut witness = Witness::new(&server);
    let halves: [&[u8]; 6] = [
        b"",
        b"S",
        b"SUB foo",
        b"PUB witness 5\r\nhe",
        b"PUB witness 2\r\nhi\r",
        b"HPUB witness 12 1",
    ];
    let mut waiting = Vec::new();
    for _ in 0..20 {
        for half in halves {
            let mut wire = server.client();
            wire.send(half).expect("the server reads");
            waiting.push(wire);
            waiting.push(server.connect());
        }
    }
    witness.check();
    // They can still finish: the half was kept, not lost.
    for (wire, half) in waiting.iter_mut().step_by(2).zip(halves.iter().cycle()) {
        let rest: &[u8] = match *half {
            b"" => b"",
            b"S" => b"UB foo 1\r\n",
            b"SUB foo" => b" 1\r\n",
            b"PUB witness 5\r\nhe" => b"llo\r\n",
            b"PUB witness 2\r\nhi\r" => b"\n",
            _ => b"4\r\nNATS/1.0\r\n\r\nhi\r\n",
        };
        wire.send(rest).expect("the server reads");
        wire.barrier();
    }
    for _ in 0..60 {
        let text = witness.subscriber.expect_frame().to_text();
        let known = [
            "MSG witness 1 5 | hello",
            "MSG witness 1 2 | hi",
            "HMSG witness 1 12 14 | NATS/1.0\\r\\n\\r\\nhi",
        ];
        assert!(known.contains(&text.as_str()), "{text}");
    }
    witness.check();
    assert!(server.is_running());
}

/// A reader that never reads is closed as a slow consumer; the others get every message.
#[test]
fn reader_that_never_reads_is_a_slow_consumer() {
    let config = "max_pending: 4194304\nwrite_deadline: \"1s\"\n";
    let Some(mut server) = start(config) else { return };
    let mut witness = Witness::new(&server);
    let mut lazy = server.client();
    lazy.line("SUB flood 1");
    lazy.barrier();
    let mut publisher = server.client();
    let message = [b"PUB flood 65536\r\n".as_slice(), &vec![b'x'; 65_536], b"\r\n"].concat();
    // Far more than the socket buffers of both ends and max_pending hold together.
    for index in 0..1_024 {
        publisher
            .send(&message)
            .expect("the server reads the publisher, slow consumer or not");
        if index % 128 == 0 {
            witness.check();
        }
    }
    publisher.barrier();
    server.wait_for_log("Slow Consumer Detected");
    let mut last = Event::Silence;
    loop {
        match lazy.next(PATIENCE) {
            Event::Closed => break,
            Event::Silence => panic!("the slow consumer is not closed; last came {last:?}"),
            event => last = event,
        }
    }
    witness.check();
    assert!(server.is_running());
}

/// Clients that vanish in the middle of everything leave no trace.
#[test]
fn vanishing_clients_leave_nothing_behind() {
    let Some(mut server) = start("") else { return };
    let mut witness = Witness::new(&server);
    for round in 0..200 {
        let mut wire = server.client();
        wire.line("SUB gone.* 1");
        wire.line("SUB gone.> q 2");
        wire.line("PUB gone.x 5\r\nhello");
        // Dropped with unread messages: the kernel answers the server with a reset.
        wire.send(b"PUB gone.y 100\r\nhalf of it")
            .expect("the server reads");
        drop(wire);
        if round % 50 == 0 {
            witness.check();
        }
    }
    // The subscriptions are gone with their clients: a request finds nobody.
    let mut asking = Wire::open(
        server.address(),
        r#"{"verbose":false,"headers":true,"no_responders":true}"#,
    );
    asking.line("SUB inbox 1");
    let mut tries = 0;
    loop {
        asking.line("PUB gone.z inbox 0\r\n");
        let mut answered = matches!(asking.next(Duration::from_millis(50)), Event::Frame(frame) if frame.line.starts_with("HMSG"));
        tries += 1;
        if tries > 200 {
            answered = false;
        }
        if answered {
            break;
        }
        assert!(tries <= 200, "subscriptions of vanished clients are still there");
    }
    witness.check();
    assert!(server.is_running());
}
