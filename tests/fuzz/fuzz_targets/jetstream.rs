//! JetStream requests and publishes: no panic, and every answer of the API is JSON with a type.
//!
//! Input: messages, each a byte for what it is, a byte for the size of its headers' text and one for that of its payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_jetstream::api::account::{Account, AccountLimits, ServerRoom};
use pinion_jetstream::api::Facts;
use pinion_jetstream::local::{Incoming, Local, Out};
use pinion_jetstream::stream::PublishLimits;
use pinion_shard::io::WallTime;

const SUBJECTS: [&str; 12] = [
    "$JS.API.STREAM.CREATE.A",
    "$JS.API.STREAM.UPDATE.A",
    "$JS.API.STREAM.INFO.A",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.PURGE.A",
    "$JS.API.STREAM.MSG.GET.A",
    "$JS.API.STREAM.MSG.DELETE.A",
    "$JS.API.DIRECT.GET.A",
    "$JS.API.INFO",
    "a.1",
    "a.2",
];

/// A stream that allows what can be allowed together.
const CONFIG: &[u8] = br#"{"name":"A","storage":"memory","subjects":["a.>"],"allow_direct":true,"allow_msg_ttl":true,
"allow_rollup_hdrs":true,"allow_atomic":true,"allow_msg_schedules":true,"republish":{"dest":"b.>"},"max_msgs":50}"#;

fuzz_target!(|data: &[u8]| {
    let mut account = Account::default();
    account.tiers.insert(String::new(), AccountLimits::default());
    let facts = Facts {
        is_strict: true,
        max_pending: 1 << 20,
        ..Facts::default()
    };
    let room = ServerRoom {
        max_memory: 1 << 30,
        max_storage: 1 << 30,
        duplicate_window_max: 0,
    };
    let limits = PublishLimits {
        max_payload: 1 << 20,
        is_server_full: false,
        account_bytes_left: None,
        batch_size_max: 8,
        batches_max: 4,
        are_batches_full: false,
    };
    let mut server = Local::new(facts, "$G", account, room, limits);
    let mut now = WallTime(1_780_000_000_000_000_000);
    let mut ask = |server: &mut Local, subject: &str, headers: &[u8], payload: &[u8]| {
        now.0 += 700_000_000;
        let mut sent = server.publish(
            Incoming {
                subject: subject.as_bytes(),
                reply: b"_R",
                headers,
                payload,
            },
            now,
        );
        sent.extend(server.tick(now));
        for out in sent {
            let Out::Message { headers, payload, .. } = out else { continue };
            if subject.starts_with("$JS.API.STREAM") && headers.is_empty() {
                let answer: serde_json::Value = serde_json::from_slice(&payload).expect("answers are JSON");
                assert!(answer["type"].is_string(), "{answer}");
            }
        }
    };
    ask(&mut server, SUBJECTS[0], b"", CONFIG);
    let mut rest = data;
    while let [what, headers_size, payload_size, after @ ..] = rest {
        let (headers, after) = after.split_at(usize::from(*headers_size).min(after.len()));
        let (payload, after) = after.split_at(usize::from(*payload_size).min(after.len()));
        let headers = match headers.len() {
            0 => Vec::new(),
            _ => [b"NATS/1.0\r\n", headers, b"\r\n\r\n"].concat(),
        };
        let subject = SUBJECTS[usize::from(*what) % SUBJECTS.len()];
        ask(&mut server, subject, &headers, payload);
        rest = after;
    }
});
