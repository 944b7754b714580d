//! Who may connect and what they may do, by the configuration: the same files started on the peer and on ours accept and
//! refuse the same clients with the same texts.
//!
//! Owns: a table of configurations and dialogues. What is expected stands in the table, so ours is checked where there is
//! no peer; where there is one it is held to the same lines. Not here: several clients at once (transcripts of
//! `tests/golden`), operator mode.

use nkeys::KeyPair;
use pinion_tests::notice::pass_over;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Event, Wire, PATIENCE};

/// A user's key, made for this test.
const USER_SEED: &str = "SUADS3K2IAGT7INZU2KKWJT6ASTPQHHWHY62BF26ZECNFSKYH5OFRF7QAI";
/// Another one that no configuration names.
const STRANGER_SEED: &str = "SUADJWRAQ6MKT76WLIKM23YI2E4N6S2KUWXT6A3VDWKQQL27WHM6DFXZL4";

/// A configuration and clients of it.
struct Case {
    /// Lines of the file; `KEY` is the public key of `USER_SEED`.
    config: &'static str,
    /// What clients say and hear.
    dialogues: &'static [Dialogue],
}

/// One client: what CONNECT brings, what it does then, and what it hears until the PONG of a last PING or the end.
struct Dialogue {
    /// The fields of CONNECT beside `verbose`; empty: no CONNECT. `SIG` is a signature of the nonce by `USER_SEED`,
    /// `STRANGER` one by `STRANGER_SEED`.
    connect: &'static str,
    /// Lines; `|` stands for CRLF.
    then: &'static str,
    /// Frames, joined by ` / `.
    hears: &'static str,
}

const fn dialogue(connect: &'static str, then: &'static str, hears: &'static str) -> Dialogue {
    Dialogue { connect, then, hears }
}

const VIOLATION: &str = "-ERR 'Authorization Violation' / closed";

const CASES: &[Case] = &[
    // Nothing is asked for, whatever a client brings.
    Case {
        config: "",
        dialogues: &[
            dialogue("", "", "PONG"),
            dialogue(r#""user":"joe","pass":"x""#, "SUB a 1", "PONG"),
        ],
    },
    // One user for everybody.
    Case {
        config: "authorization { user: joe, password: s3cret }",
        dialogues: &[
            dialogue(r#""user":"joe","pass":"s3cret""#, "SUB a 1|PUB a 0|", "MSG a 1 0 |  / PONG"),
            dialogue(r#""user":"joe","pass":"S3cret""#, "", VIOLATION),
            dialogue(r#""user":"joe","pass":"""#, "", VIOLATION),
            dialogue(r#""user":"jim","pass":"s3cret""#, "", VIOLATION),
            dialogue(r#""auth_token":"s3cret""#, "", VIOLATION),
            dialogue(r#""name":"nobody""#, "", VIOLATION),
            dialogue("", "", VIOLATION),
        ],
    },
    // A hash in place of the password, and one that is none.
    Case {
        config: "authorization { user: joe, password: \"$2a$04$dNNNuHpr/XQV9gKjVgrj/eRgqWDmiKBoBhIXLmv9LO1Mr1wwBieFy\" }",
        dialogues: &[
            dialogue(r#""user":"joe","pass":"s3cret""#, "SUB a 1", "PONG"),
            dialogue(r#""user":"joe","pass":"$2a$04$dNNNuHpr/XQV9gKjVgrj/eRgqWDmiKBoBhIXLmv9LO1Mr1wwBieFy""#, "", VIOLATION),
            dialogue(r#""user":"joe","pass":"""#, "", VIOLATION),
            dialogue(r#""user":"jim","pass":"s3cret""#, "", VIOLATION),
        ],
    },
    Case {
        config: "authorization { user: joe, password: \"$2a$04$x\" }",
        dialogues: &[
            dialogue(r#""user":"joe","pass":"$2a$04$x""#, "", VIOLATION),
            dialogue(r#""user":"joe","pass":"x""#, "", VIOLATION),
        ],
    },
    // A token, in clear and hashed.
    Case {
        config: "authorization { token: t0ken }",
        dialogues: &[
            dialogue(r#""auth_token":"t0ken""#, "SUB a 1", "PONG"),
            dialogue(r#""auth_token":"t0kem""#, "", VIOLATION),
            dialogue(r#""user":"joe","pass":"t0ken""#, "", VIOLATION),
            dialogue(r#""user":"joe","auth_token":"t0ken""#, "", "PONG"),
            dialogue("", "", VIOLATION),
        ],
    },
    Case {
        config: "authorization { token: \"$2a$04$dNNNuHpr/XQV9gKjVgrj/eRgqWDmiKBoBhIXLmv9LO1Mr1wwBieFy\" }",
        dialogues: &[
            dialogue(r#""auth_token":"s3cret""#, "", "PONG"),
            dialogue(r#""auth_token":"S3cret""#, "", VIOLATION),
        ],
    },
    // Several users; one without a password, one with a hash.
    Case {
        config: "authorization { users: [ { user: ann, password: a }, { user: bob, password: \
                 \"$2a$04$dNNNuHpr/XQV9gKjVgrj/eRgqWDmiKBoBhIXLmv9LO1Mr1wwBieFy\" }, { user: open } ] }",
        dialogues: &[
            dialogue(r#""user":"ann","pass":"a""#, "", "PONG"),
            dialogue(r#""user":"ann","pass":"s3cret""#, "", VIOLATION),
            dialogue(r#""user":"bob","pass":"s3cret""#, "", "PONG"),
            dialogue(r#""user":"bob","pass":"a""#, "", VIOLATION),
            dialogue(r#""user":"open""#, "", "PONG"),
            dialogue(r#""user":"open","pass":"x""#, "", VIOLATION),
            dialogue(r#""user":"cyd","pass":"a""#, "", VIOLATION),
            dialogue(r#""pass":"a""#, "", VIOLATION),
            dialogue(r#""nkey":"KEY","sig":"SIG""#, "", VIOLATION),
        ],
    },
    // An nkey, alone and beside users.
    Case {
        config: "authorization { users: [ { nkey: KEY } ] }",
        dialogues: &[
            dialogue(r#""nkey":"KEY","sig":"SIG""#, "SUB a 1|PUB a 0|", "MSG a 1 0 |  / PONG"),
            dialogue(r#""nkey":"KEY","sig":"STRANGER""#, "", VIOLATION),
            dialogue(r#""nkey":"KEY","sig":"!!""#, "", VIOLATION),
            dialogue(r#""nkey":"KEY""#, "", VIOLATION),
            dialogue(r#""nkey":"UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK","sig":"SIG""#, "", VIOLATION),
            dialogue(r#""user":"KEY","pass":"SIG""#, "", VIOLATION),
        ],
    },
    Case {
        config: "accounts { A { users: [ { nkey: KEY, permissions: { subscribe: a } }, { user: ann, password: a } ] } }",
        dialogues: &[
            dialogue(
                r#""nkey":"KEY","sig":"SIG""#,
                "SUB b 1",
                "-ERR 'Permissions Violation for Subscription to \"b\"' / PONG",
            ),
            // The key decides, though the user beside it were right.
            dialogue(r#""nkey":"KEY","user":"ann","pass":"a""#, "", VIOLATION),
            dialogue(r#""user":"ann","pass":"a""#, "SUB b 1", "PONG"),
        ],
    },
    // A user for those who bring nothing.
    Case {
        config: "no_auth_user: ann\nauthorization { users: [ { user: ann, password: a, permissions: { publish: x } }, \
                 { user: bob, password: b } ] }",
        dialogues: &[
            dialogue("", "", "PONG"),
            dialogue("", "PUB y 0|", "-ERR 'Permissions Violation for Publish to \"y\"' / PONG"),
            dialogue(r#""name":"nobody""#, "PUB y 0|", "-ERR 'Permissions Violation for Publish to \"y\"' / PONG"),
            dialogue(r#""user":"bob","pass":"b""#, "PUB y 0|", "PONG"),
            dialogue(r#""user":"bob","pass":"a""#, "", VIOLATION),
            dialogue(r#""pass":"a""#, "", VIOLATION),
            dialogue(r#""auth_token":"a""#, "", VIOLATION),
        ],
    },
    Case {
        config: "no_auth_user: KEY\nauthorization { users: [ { nkey: KEY, permissions: { publish: x } }, { user: bob, password: b } ] }",
        dialogues: &[
            dialogue("", "", VIOLATION),
            dialogue(r#""name":"nobody""#, "PUB y 0|", "-ERR 'Permissions Violation for Publish to \"y\"' / PONG"),
            dialogue(r#""nkey":"KEY""#, "", "PONG"),
            dialogue(r#""user":"bob","pass":"b""#, "PUB y 0|", "PONG"),
        ],
    },
    Case {
        config: "no_auth_user: ann\naccounts { A { users: [ { user: ann, password: \
                 \"$2a$04$dNNNuHpr/XQV9gKjVgrj/eRgqWDmiKBoBhIXLmv9LO1Mr1wwBieFy\" } ] } }",
        dialogues: &[
            dialogue(r#""name":"nobody""#, "", VIOLATION),
            dialogue(r#""user":"ann","pass":"s3cret""#, "", "PONG"),
        ],
    },
    // Users of the system account only: the others come and go as they like.
    Case {
        config: "accounts { $SYS { users: [ { user: admin, password: a } ] } }",
        dialogues: &[
            dialogue("", "SUB a 1", "PONG"),
            dialogue(r#""name":"nobody""#, "SUB a 1", "PONG"),
            dialogue(r#""user":"admin","pass":"a""#, "", "PONG"),
            dialogue(r#""user":"admin","pass":"b""#, "", VIOLATION),
            dialogue(r#""user":"joe","pass":"b""#, "", VIOLATION),
        ],
    },
    // Permissions: lists, wildcards, queues, replies.
    Case {
        config: "authorization { users: [ { user: u, permissions: { publish: { allow: [ \"a.>\", b ], deny: a.x }, \
                 subscribe: { allow: [ \"a.>\", \"q.* v1.*\", _INBOX.> ], deny: [ a.x, \"a.q bad\" ] } } } ] }",
        dialogues: &[
            dialogue(r#""user":"u""#, "PUB a.b.c 0||PUB b 0|", "PONG"),
            dialogue(r#""user":"u""#, "PUB a.x 0|", "-ERR 'Permissions Violation for Publish to \"a.x\"' / PONG"),
            dialogue(r#""user":"u""#, "PUB a 0||PUB c 0|", "-ERR 'Permissions Violation for Publish to \"a\"' / -ERR 'Permissions Violation for Publish to \"c\"' / PONG"),
            dialogue(r#""user":"u""#, "SUB a.x 1", "-ERR 'Permissions Violation for Subscription to \"a.x\"' / PONG"),
            dialogue(r#""user":"u""#, "SUB > 1", "-ERR 'Permissions Violation for Subscription to \">\"' / PONG"),
            dialogue(r#""user":"u""#, "SUB a.> 1|PUB a.b 0|", "MSG a.b 1 0 |  / PONG"),
            dialogue(r#""user":"u""#, "SUB q.1 v1.x 1|SUB q.1 v2.x 2", "-ERR 'Permissions Violation for Subscription to \"q.1\" using queue \"v2.x\"' / PONG"),
            dialogue(r#""user":"u""#, "SUB q.1 1", "-ERR 'Permissions Violation for Subscription to \"q.1\"' / PONG"),
            dialogue(r#""user":"u""#, "SUB a.q bad 1|SUB a.q good 2", "-ERR 'Permissions Violation for Subscription to \"a.q\" using queue \"bad\"' / PONG"),
        ],
    },
    // Defaults, and users that have their own.
    Case {
        config: "authorization { default_permissions: { publish: x }, users: [ { user: u }, { user: v, permissions: {} } ] }",
        dialogues: &[
            dialogue(r#""user":"u""#, "PUB y 0|", "-ERR 'Permissions Violation for Publish to \"y\"' / PONG"),
            dialogue(r#""user":"v""#, "PUB y 0|", "PONG"),
        ],
    },
    // Answers are all that may be published.
    Case {
        config: "authorization { users: [ { user: u, permissions: { subscribe: s, allow_responses: true } }, { user: v, \
                 permissions: { publish: [], subscribe: [] } } ] }",
        dialogues: &[
            dialogue(r#""user":"u""#, "PUB r 0|", "-ERR 'Permissions Violation for Publish to \"r\"' / PONG"),
            dialogue(r#""user":"v""#, "SUB s 1|PUB s 0|", "MSG s 1 0 |  / PONG"),
        ],
    },
    // Kinds of connection.
    Case {
        config: "authorization { users: [ { user: u, allowed_connection_types: [ websocket, mqtt ] }, { user: v, \
                 allowed_connection_types: [ Standard ] }, { user: w, connection_types: [] } ] }",
        dialogues: &[
            dialogue(r#""user":"u""#, "", VIOLATION),
            dialogue(r#""user":"v""#, "", "PONG"),
            dialogue(r#""user":"w""#, "", "PONG"),
        ],
    },
    // CONNECT once more: as somebody else, as before, and wrongly.
    Case {
        config: "accounts { A { users: [ { user: a, password: a } ] }, B { users: [ { user: b, password: b, permissions: { publish: x } } ] } }",
        dialogues: &[
            dialogue(
                r#""user":"a","pass":"a""#,
                r#"SUB x 1|CONNECT {"verbose":false,"user":"b","pass":"b"}|PUB x 0||PUB y 0|"#,
                "-ERR 'Permissions Violation for Publish to \"y\"' / PONG",
            ),
            dialogue(r#""user":"a","pass":"a""#, r#"CONNECT {"verbose":false}|SUB x 1|PUB x 0|"#, "MSG x 1 0 |  / PONG"),
            dialogue(r#""user":"a","pass":"a""#, r#"CONNECT {"verbose":false,"pass":"b"}"#, VIOLATION),
            dialogue(r#""user":"a","pass":"a""#, r#"CONNECT {"verbose":false,"user":"b"}"#, VIOLATION),
            dialogue(r#""user":"a","pass":"a","account":"A""#, "", VIOLATION),
        ],
    },
    // Limits of an account.
    Case {
        config: "accounts { A { users: [ { user: a } ], limits: { max_subs: 2, max_payload: 4, max_connections: 1 } }, \
                 B { users: [ { user: b } ], limits: { max_conn: 0 } } }",
        dialogues: &[
            dialogue(r#""user":"a""#, "SUB a 1|SUB b 2|SUB c 3", "-ERR 'maximum subscriptions exceeded' / PONG"),
            dialogue(r#""user":"a""#, "PUB a 5|12345", "-ERR 'Maximum Payload Violation' / closed"),
            dialogue(r#""user":"b""#, "", "-ERR 'maximum account active connections exceeded' / closed"),
        ],
    },
    // Mappings: of everybody's account and of a named one, with wildcards and weights.
    Case {
        config: "mappings { a: b, \"c.*\": \"d.$1.x\", e: { dest: f, weight: 100% }, g: [ { destination: h, weight: 0 } ] }",
        dialogues: &[
            dialogue(r#""name":"n""#, "SUB > 1|PUB a 0|", "MSG b 1 0 |  / PONG"),
            dialogue(r#""name":"n""#, "SUB > 1|PUB c.1 0|", "MSG d.1.x 1 0 |  / PONG"),
            dialogue(r#""name":"n""#, "SUB > 1|PUB e 0|", "MSG f 1 0 |  / PONG"),
            dialogue(r#""name":"n""#, "SUB > 1|PUB g 0|", "MSG g 1 0 |  / PONG"),
        ],
    },
    Case {
        config: "accounts { A { users: [ { user: a, permissions: { publish: { deny: b } } } ], mappings: { a: b, c: d } } }",
        dialogues: &[
            dialogue(r#""user":"a""#, "SUB > 1|PUB c 0|", "MSG d 1 0 |  / PONG"),
            dialogue(
                r#""user":"a""#,
                "SUB > 1|PUB a 0|",
                "-ERR 'Permissions Violation for Publish to \"b\"' / PONG",
            ),
        ],
    },
];

fn ours() -> Option<Program> {
    Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"))
}

fn peer() -> Option<Program> {
    let peer = Program::peer();
    if peer.is_none() {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
    }
    peer
}

fn key(seed: &str) -> KeyPair {
    KeyPair::from_seed(seed).expect("the seed is one")
}

fn with_key(text: &str) -> String {
    text.replace("KEY", &key(USER_SEED).public_key())
}

/// Plays one dialogue; what the client heard.
fn play(server: &Server, dialogue: &Dialogue) -> String {
    let mut wire = server.connect();
    let info = wire.expect_frame().line;
    let info: serde_json::Value =
        serde_json::from_str(info.strip_prefix("INFO ").expect("INFO comes first")).expect("INFO is JSON");
    let nonce = info["nonce"].as_str().unwrap_or_default();
    let signed = |seed: &str| {
        let signature = key(seed).sign(nonce.as_bytes()).expect("a seed signs");
        data_encoding::BASE64URL_NOPAD.encode(&signature)
    };
    let fill = |text: &str| {
        with_key(text)
            .replace("SIG", &signed(USER_SEED))
            .replace("STRANGER", &signed(STRANGER_SEED))
    };
    let mut heard = Vec::new();
    if !dialogue.connect.is_empty() {
        let connect = format!(
            "CONNECT {{\"verbose\":false,{}}}\r\nPING\r\n",
            fill(dialogue.connect)
        );
        // What comes in one packet with CONNECT may escape the peer's mappings: the rest comes after the PONG.
        if !hear(&mut wire, &connect, &mut heard) {
            return heard.join(" / ");
        }
        if !dialogue.then.is_empty() {
            heard.pop();
        }
    }
    if !dialogue.then.is_empty() || dialogue.connect.is_empty() {
        let lines = dialogue.then.split('|').filter(|_| !dialogue.then.is_empty());
        let mut said: String = lines.map(|line| format!("{line}\r\n")).collect();
        said.push_str("PING\r\n");
        hear(&mut wire, &said, &mut heard);
    }
    heard.join(" / ")
}

/// Says something and listens until the PONG; `false`: the server closed.
fn hear(wire: &mut Wire, said: &str, heard: &mut Vec<String>) -> bool {
    // A server that has closed reads no more.
    wire.send(said.as_bytes()).unwrap_or_default();
    loop {
        match wire.next_said(PATIENCE) {
            // The peer tells again who it is, where the account is another one.
            Event::Frame(frame) if frame.line.starts_with("INFO ") => {}
            Event::Frame(frame) if frame.line == "+OK" => {}
            Event::Frame(frame) => {
                let text = frame.to_text();
                let is_end = text == "PONG";
                heard.push(text);
                if is_end {
                    return true;
                }
            }
            Event::Closed => {
                heard.push("closed".to_owned());
                return false;
            }
            Event::Silence => panic!("{said:?}: nothing more after {heard:?}"),
        }
    }
}

/// Every dialogue of the table on one program; what differs from it.
fn differences(program: &Program) -> Vec<String> {
    let mut found = Vec::new();
    for case in CASES {
        let server = program.start(&with_key(case.config));
        for dialogue in case.dialogues {
            let heard = play(&server, dialogue);
            if heard != dialogue.hears {
                found.push(format!(
                    "{}\n  CONNECT {}\n  {}\n  hears   {heard}\n  table   {}",
                    case.config, dialogue.connect, dialogue.then, dialogue.hears
                ));
            }
        }
    }
    found
}

/// The table tells the truth about the peer.
#[test]
fn peer_accepts_and_refuses_as_the_table_says() {
    let Some(peer) = peer() else { return };
    let found = differences(&peer);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Covers: TestUserPass, TestBcrypt, TestNoAuthUserNkey
#[test]
fn pinion_accepts_and_refuses_as_the_table_says() {
    let Some(ours) = ours() else { return };
    for shards in [1, 2] {
        let found = differences(&ours.clone().with_shards(shards));
        assert!(found.is_empty(), "{shards} shards\n{}", found.join("\n\n"));
    }
}
