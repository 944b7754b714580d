//! Frames cut anywhere, hostile ones, and the words of the server.

use proptest::prelude::*;

use super::*;

/// A frame as a client sends it.
fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    push_frame(&mut frame, first, payload);
    frame[1] |= MASK;
    let header = frame.len() - payload.len();
    frame.splice(header..header, mask);
    for (index, byte) in frame[header + 4..].iter_mut().enumerate() {
        *byte ^= mask[index & 3];
    }
    frame
}

/// Everything that comes of `bytes`, cut as `sizes` say, over and over.
fn take(frames: &mut Frames, bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, Vec<u8>, Result<Taken, String>) {
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let mut rest = bytes.to_vec();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        let mut part: Vec<u8> = rest.drain(..size).collect();
        match frames.take(&mut part, &mut plain, &mut answer) {
            Ok(Taken::More) => {}
            end => return (plain, answer, end),
        }
    }
    (plain, answer, Ok(Taken::More))
}

fn rules(compresses: bool) -> FrameRules {
    FrameRules {
        compresses,
        ..FrameRules::default()
    }
}

/// What a server sends, as a client reads it: the messages, taken out of their frames.
fn read_back(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (size, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (
                usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(),
                &rest[8..],
            ),
            size => (usize::from(*size), rest),
        };
        frames.push((*first, rest[..size].to_vec()));
        bytes = &rest[size..];
    }
    frames
}

/// The bytes that the server's own frames carry.
fn carried(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut message = Vec::new();
    let mut is_compressed = false;
    for (first, payload) in read_back(bytes) {
        if first & 0xf == BINARY {
            is_compressed = first & RSV1 != 0;
        }
        message.extend_from_slice(&payload);
        if first & FINAL != 0 {
            if is_compressed {
                let mut inflate = Decompress::new(false);
                let mut whole = Vec::with_capacity(4 << 20);
                message.extend_from_slice(&DEFLATE_TAIL);
                inflate
                    .decompress_vec(&message, &mut whole, FlushDecompress::Sync)
                    .unwrap();
                plain.extend_from_slice(&whole);
            } else {
                plain.extend_from_slice(&message);
            }
            message.clear();
        }
    }
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However frames are made and cut, the same bytes come out; pings between fragments are answered.
    #[test]
    fn any_split_equals_whole(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 1..4),
        fragment in 1_usize..5000,
        sizes in prop::collection::vec(1_usize..3000, 1..5),
        mask in any::<[u8; 4]>(),
        compresses in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        let mut pings = 0;
        let sender = Frames::new(rules(compresses), 0);
        for message in &messages {
            let is_compressed = compresses && !message.is_empty();
            let payload = if is_compressed { sender.compressed(message).unwrap() } else { message.clone() };
            let parts: Vec<&[u8]> = if payload.is_empty() { vec![&[]] } else { payload.chunks(fragment).collect() };
            for (index, part) in parts.iter().enumerate() {
                let rsv = if is_compressed && index == 0 { RSV1 } else { 0 };
                let opcode = if index == 0 { BINARY } else { CONTINUATION };
                let last = if index + 1 == parts.len() { FINAL } else { 0 };
                bytes.extend(client_frame(rsv | opcode | last, part, mask));
                if index % 3 == 0 {
                    bytes.extend(client_frame(FINAL | PING, b"there?", mask));
                    pings += 1;
                }
            }
        }
        let mut frames = Frames::new(rules(compresses), 0);
        let (plain, answer, taken) = take(&mut frames, &bytes, &sizes);
        prop_assert_eq!(taken, Ok(Taken::More));
        prop_assert!(plain == messages.concat());
        prop_assert_eq!(read_back(&answer), vec![(FINAL | PONG, b"there?".to_vec()); pings]);
    }

    /// What the server sends carries what it was given, whoever reads it.
    #[test]
    fn sealed_bytes_come_back(
        messages in prop::collection::vec(prop::collection::vec(0_u8..4, 0..70_000), 1..4),
        compresses in any::<bool>(),
        is_browser in any::<bool>(),
        keeps_compressed_whole in any::<bool>(),
    ) {
        let mut frames = Frames::new(FrameRules { compresses, is_browser, keeps_compressed_whole }, 0);
        let mut out = Vec::new();
        for message in &messages {
            frames.seal(message, &mut out);
        }
        prop_assert!(carried(&out) == messages.concat());
        if is_browser {
            for (first, payload) in read_back(&out) {
                let may_be_long = keeps_compressed_whole && first & RSV1 != 0;
                prop_assert!(payload.len() <= BROWSER_FRAME_SIZE || may_be_long);
            }
        }
    }

    /// Any bytes are taken or refused, never a panic, and the same however they are cut.
    #[test]
    fn foreign_bytes_are_taken_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1_usize..20, 1..5),
        compresses in any::<bool>(),
    ) {
        let whole = take(&mut Frames::new(rules(compresses), 1000), &bytes, &[bytes.len().max(1)]);
        let cut = take(&mut Frames::new(rules(compresses), 1000), &bytes, &sizes);
        prop_assert_eq!(&whole.2, &cut.2);
        if whole.2.is_ok() {
            prop_assert_eq!(whole.0, cut.0);
        }
        prop_assert_eq!(whole.1, cut.1);
    }
}

/// Each rule that a frame breaks is named in the close frame.
#[test]
fn broken_frames_close() {
    let frame = |first: u8, payload: &[u8]| client_frame(first, payload, [1, 2, 3, 4]);
    let mut unmasked = Vec::new();
    push_frame(&mut unmasked, FINAL | BINARY, b"x");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (frame(FINAL | 0x20 | BINARY, b"x"), "RSV2 and RSV3 must be clear"),
        (
            frame(FINAL | RSV1 | BINARY, b"x"),
            "compressed frame received without negotiated permessage-deflate",
        ),
        (unmasked, "mask bit missing"),
        (
            frame(FINAL | PING, &[0; 126]),
            "control frame length bigger than maximum allowed of 125 bytes",
        ),
        (frame(PING, b""), "control frame does not have final bit set"),
        (
            [frame(BINARY, b"x"), frame(BINARY, b"x")].concat(),
            "new message started before final frame for previous message was received",
        ),
        (frame(FINAL | CONTINUATION, b"x"), "invalid continuation frame"),
        (frame(FINAL | 3, b"x"), "unknown opcode 3"),
        (frame(FINAL | CLOSE, b"x"), "close frame payload cannot be 1 byte"),
        (
            frame(FINAL | CLOSE, &1005_u16.to_be_bytes()),
            "invalid close status code 1005",
        ),
        (
            [&[FINAL | BINARY, MASK | 127][..], &[0xff; 8], &[0; 4]].concat(),
            "invalid 64-bit payload length",
        ),
    ];
    for (bytes, message) in cases {
        let mut frames = Frames::new(rules(false), 0);
        let (_, answer, taken) = take(&mut frames, &bytes, &[7]);
        assert_eq!(taken, Err(message.to_owned()));
        let expected = [&PROTOCOL_ERROR.to_be_bytes(), message.as_bytes()].concat();
        assert_eq!(read_back(&answer), [(FINAL | CLOSE, expected)], "{message}");
        let mut out = Vec::new();
        frames.close(CloseReason::ServerShutdown, &mut out);
        assert!(out.is_empty(), "one close frame is enough");
    }
}

/// The client's close frame is answered with its code, and nothing is taken behind it.
#[test]
fn close_frames_are_answered() {
    let close = |payload: &[u8]| {
        let bytes = [
            client_frame(FINAL | CLOSE, payload, [9; 4]),
            client_frame(FINAL | BINARY, b"late", [0; 4]),
        ]
        .concat();
        let (plain, answer, taken) = take(&mut Frames::new(rules(false), 0), &bytes, &[1000]);
        assert_eq!((plain.as_slice(), taken), (&b""[..], Ok(Taken::Closed)));
        read_back(&answer)
    };
    let expected =
        |code: u16, body: &str| vec![(FINAL | CLOSE, [&code.to_be_bytes(), body.as_bytes()].concat())];
    assert_eq!(close(b"\x03\xe8bye"), expected(1000, "bye"));
    assert_eq!(close(b"\x0b\xb8"), expected(3000, ""));
    assert_eq!(close(b""), [(FINAL | CLOSE, Vec::new())]);
    assert_eq!(
        close(b"\x03\xe8\xff"),
        expected(INVALID_PAYLOAD, "invalid utf8 body in close frame")
    );
}

/// Reasons have the codes of the peer, and their text.
#[test]
fn reasons_have_codes() {
    for (reason, code) in [
        (CloseReason::ClientClosed, 1000),
        (CloseReason::ServerShutdown, 1001),
        (CloseReason::StaleConnection, 1001),
        (CloseReason::ParseError, 1002),
        (CloseReason::AuthenticationFailure, 1008),
        (CloseReason::SlowConsumerPendingBytes, 1008),
        (CloseReason::MaxPayloadExceeded, 1009),
        (CloseReason::TlsHandshakeError, 1015),
        (CloseReason::WrongPort, 1011),
    ] {
        let mut out = Vec::new();
        Frames::new(rules(false), 0).close(reason, &mut out);
        let expected = [&u16::to_be_bytes(code), reason.text().as_bytes()].concat();
        assert_eq!(read_back(&out), [(FINAL | CLOSE, expected)]);
    }
}

/// A few bytes that become many are stopped.
#[test]
fn bombs_are_stopped() {
    let bomb = Frames::new(rules(true), 0).compressed(&[0; 20_000]).unwrap();
    let bytes = client_frame(FINAL | RSV1 | BINARY, &bomb, [5; 4]);
    let (plain, _, taken) = take(&mut Frames::new(rules(true), 1000), &bytes, &[10_000]);
    assert_eq!(
        taken,
        Err("decompressed message is larger than allowed".to_owned())
    );
    assert!(plain.is_empty());
    let (plain, _, taken) = take(&mut Frames::new(rules(true), 2500), &bytes, &[10_000]);
    assert_eq!((plain.len(), taken), (20_000, Ok(Taken::More)));
}
