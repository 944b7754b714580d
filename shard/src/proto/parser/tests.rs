//! The parser against its table (`cases.txt`), and the whole against its pieces.

use proptest::prelude::*;

use super::*;
use crate::proto::ops::{RemoteSub, RemoteUnsub, RoutedMsg};

/// Every case of the table, whole and in pieces.
#[test]
fn table_of_streams() {
    let mut count = 0;
    for (index, line) in include_str!("cases.txt").lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let (settings, rest) = line
            .split_once(" | ")
            .unwrap_or_else(|| panic!("line {number}: no input"));
        let (input, expected) = rest
            .rsplit_once(" | ")
            .unwrap_or_else(|| panic!("line {number}: no result"));
        let (input, expected) = (unescape(input), expand(expected));
        let found = run(settings, &[&input]);
        assert_eq!(found, expected, "line {number}: {line}");
        for at in 0..=input.len() {
            let (left, right) = input.split_at(at);
            assert_eq!(
                run(settings, &[left, right]),
                expected,
                "line {number}, split at {at}: {line}"
            );
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(
            run(settings, &bytes),
            expected,
            "line {number}, byte by byte: {line}"
        );
        count += 1;
    }
    assert!(count > 150, "the table has {count} cases");
}

/// What an error makes the caller say, and why the connection closes.
#[test]
fn errors_say_what_to_do() {
    let check = |settings: &str, input: &[u8], reply: Option<&str>, reason: CloseReason, log: &str| {
        let mut parser = parser(settings);
        let error = parser.next(input).unwrap_err();
        assert_eq!(error.reply().map(|reply| reply.text()).as_deref(), reply);
        assert_eq!(error.close_reason(), reason);
        assert_eq!(error.to_string(), log);
    };
    check(
        "client",
        b"GET / HTTP/1.1\r\n",
        Some("Unknown Protocol Operation"),
        CloseReason::ProtocolViolation,
        r#"unknown protocol operation at "GET / HTTP/1.1\r\n""#,
    );
    check(
        "client",
        b"PUB foo\r\n",
        None,
        CloseReason::ProtocolViolation,
        r#"PUB with wrong number of arguments: "foo""#,
    );
    check(
        "client max_payload=4",
        b"PUB foo 5\r\n",
        Some("Maximum Payload Violation"),
        CloseReason::MaxPayloadExceeded,
        "maximum payload exceeded: 5 vs 4",
    );
    check(
        "client max_control_line=4",
        b"SUB foobar",
        Some("maximum control line exceeded"),
        CloseReason::MaxControlLineExceeded,
        "maximum control line exceeded: SUB with more than 4 bytes",
    );
    check(
        "client",
        b"HPUB foo 1 1\r\n",
        None,
        CloseReason::ProtocolViolation,
        "message headers not supported",
    );
    check(
        "client first=connect",
        b"PING\r\n",
        Some("Authorization Violation"),
        CloseReason::AuthenticationFailure,
        "authentication error",
    );
}

/// A connection that may do without CONNECT goes on with the same bytes.
#[test]
fn refused_first_op_is_not_consumed() {
    let mut parser = parser("client first=connect");
    assert_eq!(parser.next(b"PUB a 1\r\nx\r\n"), Err(ParseError::ConnectExpected));
    parser.set_first_op(FirstOp::Any);
    let step = parser.next(b"PUB a 1\r\nx\r\n").unwrap();
    assert_eq!(step.consumed, 12);
    assert_eq!(
        step.op,
        Some(Op::Pub(Pub {
            subject: b"a",
            reply: None,
            payload: b"x"
        }))
    );
}

/// A claimed size costs no memory before bytes come, a held operation is freed with the next call.
#[test]
fn memory_follows_what_arrived() {
    let mut parser = parser("client max_payload=-1");
    assert_eq!(parser.next(b"PUB foo 999999999\r\n").unwrap().op, None);
    assert!(
        parser.partial.capacity() <= RESERVE_SIZE_MAX + 64,
        "{}",
        parser.partial.capacity()
    );
    assert_eq!(parser.missing_size(), Some(999_999_999 + 2));

    let mut parser = self::parser("client max_payload=-1");
    let size = 5 * RESERVE_SIZE_MAX;
    assert_eq!(
        parser.next(format!("PUB foo {size}\r\n").as_bytes()).unwrap().op,
        None
    );
    let piece = vec![b'x'; 65_536];
    for arrived in (piece.len()..=size).step_by(piece.len()) {
        assert_eq!(parser.next(&piece).unwrap().op, None);
        let bound = (2 * arrived).max(RESERVE_SIZE_MAX).min(size) + 64;
        assert!(
            parser.partial.capacity() <= bound,
            "{} > {bound}",
            parser.partial.capacity()
        );
    }
    assert_eq!(parser.missing_size(), Some(2));
    assert!(parser.next(b"\r\n").unwrap().op.is_some());

    let mut parser = self::parser("client");
    assert_eq!(parser.next(b"PUB foo 100000\r\nab").unwrap().op, None);
    let reserved = parser.partial.capacity();
    assert!(reserved >= 100_002, "{reserved}");
    let mut rest = vec![b'c'; 99_998];
    rest.extend_from_slice(b"\r\n");
    let step = parser.next(&rest).unwrap();
    assert!(matches!(step.op, Some(Op::Pub(publish)) if publish.payload.len() == 100_000));
    assert_eq!(step.consumed, rest.len());
    assert_eq!(parser.partial.capacity(), reserved, "reserved once");
    assert_eq!(
        parser.next(b"").unwrap(),
        Step {
            consumed: 0,
            op: None
        }
    );
    assert_eq!(parser.partial.capacity(), 0);
    assert!(parser.is_at_start());
}

/// Blanks and ignored text are not held, however long they are.
#[test]
fn nothing_is_held_of_what_is_not_looked_at() {
    let mut parser = parser("client");
    let blanks = vec![b' '; 100_000];
    assert_eq!(parser.next(b"SUB").unwrap().op, None);
    assert_eq!(parser.next(&blanks).unwrap().op, None);
    assert_eq!(parser.partial.capacity(), 0);
    assert!(matches!(parser.next(b"a 1\r\n").unwrap().op, Some(Op::Sub(_))));
    assert_eq!(parser.next(b"PING").unwrap().op, None);
    assert_eq!(parser.next(&blanks).unwrap().op, None);
    assert_eq!(parser.partial.capacity(), 0);
    assert_eq!(parser.next(b"\n").unwrap().op, Some(Op::Ping));
}

proptest! {
    /// Pieces give what the whole gives, for streams made of likely and unlikely parts.
    #[test]
    fn pieces_equal_the_whole(
        settings in proptest::sample::select(vec![
            "client headers", "client max_control_line=9 max_payload=3", "route", "gateway", "leaf",
        ]),
        parts in proptest::collection::vec(part(), 1..12),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let stream: Vec<u8> = parts.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(&stream[start..cut]);
            start = cut;
        }
        pieces.push(&stream[start..]);
        prop_assert_eq!(run(settings, &pieces), run(settings, &[&stream]));
    }
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"PUB foo 5\r\nhello\r\n",
        b"HPUB foo 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
        b"SUB foo 1\r\n",
        b"UNSUB 1 3\r\n",
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"CONNECT {}\r\n",
        b"INFO {}\r\n",
        b"-ERR x\r\n",
        b"RMSG A foo + r q 2\r\nab\r\n",
        b"LMSG A foo | q 2\r\nab\r\n",
        b"HMSG A foo r 1 2\r\nab\r\n",
        b"RS+ A foo\r\n",
        b"LS- A foo\r\n",
        b"A+ x\r\n",
        b"PUB ",
        b"SUB ",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"3",
        b"foo",
        b"0",
        b"-1",
        b"+",
        b"|",
        b"RS+ ",
        b"LMSG ",
        b"HMSG ",
        b"CONNECT",
        b"PING",
        b"\x00",
        b"\xff",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn parser(settings: &str) -> Parser {
    let mut words = settings.split(' ');
    let kind = match words.next().unwrap() {
        "client" => ConnKind::Client,
        "route" => ConnKind::Route,
        "gateway" => ConnKind::Gateway,
        "leaf" => ConnKind::Leaf,
        "system" => ConnKind::System,
        "jetstream" => ConnKind::JetStream,
        "account" => ConnKind::Account,
        other => panic!("no kind: {other}"),
    };
    let mut parser = Parser::new(kind, Limits::default());
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("headers", _) => parser.set_headers(true),
            ("max_payload", max) => parser.set_max_payload(max.parse().unwrap()),
            ("max_control_line", max) => parser.set_max_control_line(max.parse().unwrap()),
            ("first", "connect") => parser.set_first_op(FirstOp::Connect),
            ("first", "info") => parser.set_first_op(FirstOp::ConnectOrInfo),
            ("implied", _) => {
                parser.set_line_form(LineForm {
                    account_is_implied: true,
                    ..LineForm::default()
                });
            }
            ("unsub_origin", _) => {
                parser.set_line_form(LineForm {
                    unsub_has_origin: true,
                    ..LineForm::default()
                });
            }
            _ => panic!("no setting: {word}"),
        }
    }
    parser
}

/// What the pieces give, written as the table writes it.
fn run(settings: &str, pieces: &[&[u8]]) -> String {
    let mut parser = parser(settings);
    let mut found: Vec<String> = Vec::new();
    for piece in pieces {
        let mut at = 0;
        loop {
            let hot = parser.next_publish(&piece[at..]);
            let step = parser.next(&piece[at..]);
            if let Some((publish, consumed)) = hot {
                assert_eq!(
                    step,
                    Ok(Step {
                        consumed,
                        op: Some(Op::Pub(publish))
                    })
                );
            }
            match step {
                Ok(Step {
                    consumed,
                    op: Some(op),
                }) => {
                    assert!(consumed > 0);
                    at += consumed;
                    found.push(show(op));
                }
                Ok(Step { consumed, op: None }) => {
                    assert_eq!(at + consumed, piece.len(), "the last step takes all");
                    break;
                }
                Err(error) => {
                    found.push(show_error(&error));
                    return found.join("; ");
                }
            }
        }
    }
    if !parser.is_at_start() {
        found.push("...".to_owned());
    } else {
        assert_eq!(parser.partial.capacity(), 0);
    }
    found.join("; ")
}

fn show(op: Op<'_>) -> String {
    match op {
        Op::Connect(json) => format!("CONNECT {}", text(json)),
        Op::Info(json) => format!("INFO {}", text(json)),
        Op::Pub(Pub {
            subject,
            reply,
            payload,
        }) => {
            format!("PUB {} {} {}", text(subject), optional(reply), text(payload))
        }
        Op::Hpub(publish) => format!(
            "HPUB {} {} {} {}",
            text(publish.subject),
            optional(publish.reply),
            publish.header_size,
            text(publish.message)
        ),
        Op::Sub(sub) => format!(
            "SUB {} {} {}",
            text(sub.subject),
            optional(sub.queue),
            text(sub.sid)
        ),
        Op::Unsub(unsub) => {
            let max = unsub.max.map_or("-".to_owned(), |max| max.to_string());
            format!("UNSUB {} {max}", text(unsub.sid))
        }
        Op::Ping => "PING".to_owned(),
        Op::Pong => "PONG".to_owned(),
        Op::Ok => "OK".to_owned(),
        Op::Err(message) => format!("ERR {}", text(message)),
        Op::AccountSub(account) => format!("A+ {}", text(account)),
        Op::AccountUnsub(account) => format!("A- {}", text(account)),
        Op::RoutedMsg(routed) => {
            let queues: Vec<String> = routed.queues().map(text).collect();
            let RoutedMsg {
                origin,
                account,
                subject,
                reply,
                header_size,
                message,
                ..
            } = routed;
            format!(
                "MSG origin={} account={} {} reply={} queues=[{}] header={} {}",
                optional(origin),
                optional(account),
                text(subject),
                optional(reply),
                queues.join(" "),
                header_size.map_or("-".to_owned(), |size| size.to_string()),
                text(message)
            )
        }
        Op::RemoteSub(RemoteSub {
            from_leaf,
            origin,
            account,
            subject,
            queue,
        }) => format!(
            "{}S+ origin={} account={} {} queue={}",
            if from_leaf { 'L' } else { 'R' },
            optional(origin),
            optional(account),
            text(subject),
            queue.map_or("-".to_owned(), |(queue, weight)| format!(
                "{}:{weight}",
                text(queue)
            ))
        ),
        Op::RemoteUnsub(RemoteUnsub {
            from_leaf,
            origin,
            account,
            subject,
            queue,
        }) => format!(
            "{}S- origin={} account={} {} queue={}",
            if from_leaf { 'L' } else { 'R' },
            optional(origin),
            optional(account),
            text(subject),
            queue.map_or("-".to_owned(), |queue| format!("-:{}", text(queue)))
        ),
    }
}

fn show_error(error: &ParseError) -> String {
    match error {
        ParseError::UnknownOperation { .. } => "!unknown".to_owned(),
        ParseError::BadArguments { verb, what, .. } => {
            let what = match what {
                BadArgument::Count => "count",
                BadArgument::Size => "size",
                BadArgument::HeaderSize => "header size",
                BadArgument::HeaderBeyondTotal => "header beyond total",
                BadArgument::ReplyIndicator => "reply indicator",
            };
            format!("!arguments {} {what}", verb.text())
        }
        ParseError::ControlLineTooLong { verb, limit } => format!("!line {} {limit}", verb.text()),
        ParseError::PayloadTooLarge { size, max_payload } => format!("!payload {size} {max_payload}"),
        ParseError::HeadersNotSupported => "!headers".to_owned(),
        ParseError::ConnectExpected => "!connect".to_owned(),
    }
}

fn optional(bytes: Option<&[u8]>) -> String {
    bytes.map_or("-".to_owned(), text)
}

fn text(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "''".to_owned();
    }
    let escape = |byte: &u8| match byte {
        b'"' | b'\'' => char::from(*byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    };
    bytes.iter().map(escape).collect()
}

/// `{a*3}` becomes `aaa`.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let repeat = rest[start + 1..].split_once('}').and_then(|(inner, after)| {
            let (what, count) = inner.split_once('*')?;
            Some((what.repeat(count.parse().ok()?), after))
        });
        match repeat {
            Some((repeated, after)) => {
                out.push_str(&rest[..start]);
                out.push_str(&repeated);
                rest = after;
            }
            None => {
                out.push_str(&rest[..=start]);
                rest = &rest[start + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn unescape(text: &str) -> Vec<u8> {
    let text = expand(text);
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
            }
            other => panic!("no escape: {other}"),
        }
    }
    out
}
