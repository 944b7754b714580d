//! A stream whose log takes its time answers and becomes the same as one whose log is durable at once.

use std::collections::VecDeque;

use pinion_shard::io::WallTime;
use pinion_storage::index::Filter;
use proptest::prelude::*;

use super::*;

/// A request to a stream.
#[derive(Clone, Debug)]
enum Request {
    Publish {
        subject: String,
        headers: Vec<(&'static str, String)>,
        payload: usize,
    },
    Change(Entry),
    /// So many entries become durable.
    Durable(usize),
}

fn header() -> impl Strategy<Value = (&'static str, String)> {
    let number = || (0..6_u64).prop_map(|number| number.to_string());
    prop_oneof![
        4 => "[a-d]".prop_map(|id| ("Nats-Msg-Id", id)),
        2 => number().prop_map(|seq| ("Nats-Expected-Last-Subject-Sequence", seq)),
        1 => Just(("Nats-Expected-Last-Subject-Sequence-Subject", "*.1".to_owned())),
        1 => number().prop_map(|seq| ("Nats-Expected-Last-Sequence", seq)),
        1 => "[a-d]".prop_map(|id| ("Nats-Expected-Last-Msg-Id", id)),
        1 => prop_oneof![Just("sub"), Just("all")].prop_map(|scope| ("Nats-Rollup", scope.to_owned())),
        3 => (-5..5_i64).prop_map(|number| ("Nats-Incr", number.to_string())),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        10 => ("[xy]\\.[12]", proptest::collection::vec(header(), 0..3), 0..30_usize)
            .prop_map(|(subject, headers, payload)| Request::Publish { subject, headers, payload }),
        1 => (0..8_u64).prop_map(|seq| Request::Change(Entry::Delete { seq, erase: false })),
        1 => (0..3_u64, any::<bool>()).prop_map(|(keep, one)| Request::Change(Entry::Purge {
            filter: if one { b"x.*".to_vec() } else { Vec::new() },
            below_seq: 0,
            keep,
        })),
        4 => (0..4_usize).prop_map(Request::Durable),
    ]
}

fn config() -> impl Strategy<Value = StreamConfig> {
    let limit = |max: i64| prop_oneof![Just(-1), 1..max];
    (limit(6), limit(300), limit(3), any::<bool>(), 0..3_u8).prop_map(
        |(messages, bytes, per_subject, new, kind)| {
            let is_counter = kind == 0;
            StreamConfig {
                name: "S".to_owned(),
                subjects: vec![">".to_owned()],
                max_msgs: messages,
                max_bytes: bytes,
                max_msgs_per_subject: per_subject,
                max_msg_size: -1,
                discard: if new && !is_counter {
                    config::Discard::New
                } else {
                    config::Discard::Old
                },
                discard_new_per_subject: new && !is_counter && per_subject > 0 && kind == 1,
                duplicate_window: 1_000,
                allow_rollup_hdrs: true,
                allow_msg_counter: is_counter,
                ..StreamConfig::default()
            }
        },
    )
}

const LIMITS: PublishLimits = PublishLimits {
    max_payload: 1 << 20,
    is_server_full: false,
    account_bytes_left: None,
    batch_size_max: 10,
    batches_max: 5,
    are_batches_full: false,
};

/// A stream and its log.
struct Run {
    stream: Stream,
    log: VecDeque<Entry>,
    effects: Vec<Effect>,
}

impl Run {
    fn new(config: &StreamConfig) -> Self {
        Self {
            stream: Stream::new(config.clone(), WallTime(0), ""),
            log: VecDeque::new(),
            effects: Vec::new(),
        }
    }

    fn durable(&mut self, count: usize) {
        for _ in 0..count {
            let Some(entry) = self.log.pop_front() else { return };
            // What the log holds are bytes.
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let entry = Entry::decode(&bytes).expect("written in the line above");
            self.stream.apply(entry, &mut self.effects);
        }
    }

    /// Does a request, waiting where the stream says so.
    fn take(&mut self, request: &Request, now: WallTime) {
        match request {
            Request::Durable(_) => {}
            Request::Change(entry) => {
                self.stream.propose(entry);
                self.log.push_back(entry.clone());
            }
            Request::Publish {
                subject,
                headers,
                payload,
            } => {
                let lines: String = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"))
                    .collect();
                let block = format!("NATS/1.0\r\n{lines}\r\n");
                let payload = vec![b'x'; *payload];
                let is_counter = headers.iter().any(|(name, _)| *name == "Nats-Incr");
                let publish = Publish {
                    subject: subject.as_bytes(),
                    reply: b"reply",
                    headers: if headers.is_empty() { b"" } else { block.as_bytes() },
                    payload: if is_counter { b"" } else { &payload },
                    now,
                    random: 0,
                    origin: Origin::Client,
                };
                let mut next = self.stream.publish(&publish, &LIMITS, &mut self.effects);
                if next == Next::Wait {
                    self.durable(usize::MAX);
                    next = self.stream.publish(&publish, &LIMITS, &mut self.effects);
                }
                match next {
                    Next::Propose(entries) => self.log.extend(entries),
                    Next::Done => {}
                    other => panic!("with nothing pending: {other:?}"),
                }
            }
        }
    }

    /// The acks, in any order: one that needs no entry is ready before those that do.
    fn acks(&self) -> Vec<Vec<u8>> {
        let mut acks: Vec<Vec<u8>> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Reply { body, .. } => Some(body.clone()),
                _ => None,
            })
            .collect();
        acks.sort_unstable();
        acks
    }

    fn messages(&self) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
        let store = self.stream.store();
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(seq) = store.next(&[Filter::all()], from) {
            let pinion_storage::stream_store::Load::Found(message) = store.load(seq) else {
                panic!("the index named it");
            };
            found.push((seq, message.subject().to_vec(), message.payload().to_vec()));
            from = seq + 1;
        }
        found
    }
}

/// Checks on pending state say what they would say if nothing were pending.
#[test]
fn a_slow_log_changes_nothing() {
    proptest!(ProptestConfig::with_cases(600), |(
        config in config(),
        requests in proptest::collection::vec(request(), 1..40),
    )| {
        let mut at_once = Run::new(&config);
        let mut slow = Run::new(&config);
        for (index, request) in requests.iter().enumerate() {
            let now = WallTime(index as u64 * 40);
            at_once.take(request, now);
            at_once.durable(usize::MAX);
            slow.take(request, now);
            if let Request::Durable(count) = request {
                slow.durable(*count);
            }
        }
        slow.durable(usize::MAX);
        prop_assert_eq!(at_once.acks(), slow.acks());
        prop_assert_eq!(at_once.messages(), slow.messages());
        prop_assert_eq!(at_once.stream.store().state(), slow.stream.store().state());
    });
}

/// A batch whose last message never came into the log leaves nothing, whatever follows.
#[test]
fn half_a_batch_in_the_log_counts_for_nothing() {
    let mut stream = Stream::new(
        StreamConfig {
            name: "S".to_owned(),
            allow_atomic: true,
            ..StreamConfig::default()
        },
        WallTime(0),
        "",
    );
    let message = |seq, commit| {
        Entry::Message(entry::Message {
            subject: b"a".to_vec(),
            batch: Some(entry::BatchPart { seq, commit }),
            ..entry::Message::default()
        })
    };
    let mut out = Vec::new();
    stream.apply(message(1, false), &mut out);
    stream.apply(message(2, false), &mut out);
    assert_eq!(stream.store().state().messages, 0);
    stream.apply(message(1, false), &mut out);
    stream.apply(message(2, true), &mut out);
    assert_eq!(stream.store().state().messages, 2);
    stream.apply(message(1, false), &mut out);
    stream.apply(
        Entry::Message(entry::Message {
            subject: b"b".to_vec(),
            ..entry::Message::default()
        }),
        &mut out,
    );
    assert_eq!(stream.store().state().messages, 3);
}
