//! What a consumer does, case by case: pull requests, acks, redelivery, pushing, priority groups.

use pinion_shard::io::WallTime;
use pinion_storage::memory::MemoryStore;
use pinion_storage::stream_store::{Life, NewMessage, StoreLimits, StreamStore};

use super::ack::AckSubject;
use super::advisory::Advisory;
use super::config::{check, check_update, set_defaults, ConsumerBounds};
use super::{Around, Change, Consumer, ConsumerConfig, Effect, Home};
use crate::stream::StreamConfig;

const SECOND: u64 = 1_000_000_000;
const BEGIN: WallTime = WallTime(1_780_000_000 * SECOND);

/// A stream's store, one consumer of it, and what it says.
struct Desk {
    store: StreamStore,
    consumer: Consumer,
    now: WallTime,
    effects: Vec<Effect>,
}

impl Desk {
    fn new(config: &str, messages: &[&str]) -> Self {
        let mut store = StreamStore::Memory(MemoryStore::new(StoreLimits::default()));
        for subject in messages {
            append(&mut store, subject);
        }
        let mut config = ConsumerConfig::from_json(config.as_bytes()).expect("the test writes it right");
        let stream = StreamConfig {
            num_replicas: 1,
            ..StreamConfig::default()
        };
        let bounds = ConsumerBounds::default();
        set_defaults(&mut config, &stream, &bounds, false).expect("nothing is pedantic");
        check(&config, &stream, &bounds).expect("the test wants what is allowed");
        let create = Consumer::create(&config, &stream, &store, BEGIN);
        let home = Home {
            stream: "S".to_owned(),
            burst: 1 << 20,
            ..Home::default()
        };
        let consumer = Consumer::new("C", home, &create);
        let mut desk = Self {
            store,
            consumer,
            now: BEGIN,
            effects: Vec::new(),
        };
        desk.with(|consumer, around, _| consumer.serve(around));
        desk
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Consumer, &Around<'_>, &mut Vec<Effect>) -> T) -> T {
        let around = Around {
            store: &self.store,
            now: self.now,
            random: self.now.0,
            listens: &|subject| subject != b"gone",
        };
        act(&mut self.consumer, &around, &mut self.effects)
    }

    fn pull(&mut self, reply: &str, body: &str) -> Vec<String> {
        let reply = reply.as_bytes();
        self.with(|consumer, around, out| consumer.on_pull(body.as_bytes(), reply, reply, around, out));
        self.said()
    }

    fn ack(&mut self, stream_seq: u64, delivery_seq: u64, payload: &str) -> Vec<String> {
        let subject = AckSubject {
            stream: b"S",
            consumer: b"C",
            deliveries: 1,
            stream_seq,
            delivery_seq,
        };
        self.with(|consumer, around, out| consumer.on_ack(&subject, payload.as_bytes(), b"ok", around, out));
        self.said()
    }

    fn publish(&mut self, subject: &str) -> Vec<String> {
        let seq = append(&mut self.store, subject);
        self.with(|consumer, around, out| consumer.on_stored(seq, subject.as_bytes(), around, out));
        self.said()
    }

    fn pass(&mut self, seconds: u64) -> Vec<String> {
        self.now = WallTime(self.now.0 + seconds * SECOND);
        self.with(|consumer, around, out| consumer.on_timer(around, out));
        self.said()
    }

    /// What went out, in short; entries and the time in acks are left out.
    fn said(&mut self) -> Vec<String> {
        self.effects
            .drain(..)
            .filter_map(|effect| short(&effect))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn short(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Deliver { to, reply, .. } => {
            let reply = text(reply);
            let words: Vec<&str> = reply.split('.').collect();
            format!(
                "{} {}.{}.{} +{}",
                text(to),
                words[4],
                words[5],
                words[6],
                words[8]
            )
        }
        Effect::Status { to, headers, .. } => {
            let headers = text(headers).replace("NATS/1.0 ", "");
            let lines: Vec<&str> = headers.trim_end().split("\r\n").collect();
            format!("{} {}", text(to), lines.join("|"))
        }
        Effect::Reply { to, .. } => text(to),
        Effect::Advisory(Advisory::MaxDeliveries { stream_seq, .. }) => format!("exceeded {stream_seq}"),
        Effect::Advisory(Advisory::Terminated { reason, .. }) => format!("terminated {reason}"),
        Effect::Advisory(Advisory::Pinned { .. }) => "pinned".to_owned(),
        Effect::Advisory(Advisory::Unpinned { reason, .. }) => format!("unpinned {reason}"),
        Effect::Abandoned => "abandoned".to_owned(),
        _ => return None,
    })
}

fn append(store: &mut StreamStore, subject: &str) -> u64 {
    let message = NewMessage {
        subject: subject.as_bytes(),
        headers: b"",
        payload: b"hi",
        time: BEGIN,
        life: Life::Stream,
    };
    store.append(&message, &mut |_, _| {})
}

const EXPLICIT: &str = r#"{"durable_name":"C","ack_policy":"explicit"}"#;

#[test]
fn a_fetch_gets_what_there_is_and_then_its_status() {
    let mut desk = Desk::new(EXPLICIT, &["a", "a", "a"]);
    assert_eq!(desk.pull("r", "2"), ["r 1.1.1 +2", "r 1.2.2 +1"]);
    let got = desk.pull("r", r#"{"batch":5,"no_wait":true}"#);
    assert_eq!(got, ["r 1.3.3 +0", "r 404 No Messages"]);
    let none = desk.pull("r", r#"{"batch":5,"no_wait":true}"#);
    assert_eq!(none, ["r 404 No Messages"]);
    assert!(desk.pull("r", r#"{"batch":2,"expires":1000000000}"#).is_empty());
    assert_eq!(desk.publish("a"), ["r 1.4.4 +0"]);
    let timeout = "r 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0";
    assert_eq!(desk.pass(1), [timeout]);
}

#[test]
fn requests_that_cannot_be_granted_are_told_why() {
    let config = r#"{"durable_name":"C","ack_policy":"explicit","max_batch":2,"max_expires":1500000000,"max_bytes":9,"max_waiting":1}"#;
    let mut desk = Desk::new(config, &[]);
    let cases = [
        ("3", "r 409 Exceeded MaxRequestBatch of 2"),
        (
            r#"{"batch":1,"expires":2000000000}"#,
            "r 409 Exceeded MaxRequestExpires of 1.5s",
        ),
        (
            r#"{"batch":1,"max_bytes":10}"#,
            "r 409 Exceeded MaxRequestMaxBytes of 9",
        ),
        (
            r#"{"batch":1,"expires":2,"idle_heartbeat":2}"#,
            "r 400 Bad Request - heartbeat value too large",
        ),
        (
            r#"{"batch":1,"id":"x"}"#,
            "r 400 Bad Request - Not a Pinned Client Priority consumer",
        ),
        (
            r#"{"batch":1,"min_pending":1}"#,
            "r 400 Bad Request - Not a Overflow Priority consumer",
        ),
        (
            r#"{"batch":1,"priority":10}"#,
            "r 400 Bad Request - Priority must be between 0 and 9",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(desk.pull("r", body), [expected], "{body}");
    }
    assert!(desk.pull("r", "1").is_empty());
    assert_eq!(desk.pull("s", "1"), ["s 409 Exceeded MaxWaiting"]);
}

#[test]
fn a_message_goes_again_until_it_went_as_often_as_it_may() {
    let config = r#"{"durable_name":"C","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":2}"#;
    let mut desk = Desk::new(config, &["a"]);
    assert_eq!(desk.pull("r", "1"), ["r 1.1.1 +0"]);
    assert!(desk.pull("r", "5").is_empty());
    assert_eq!(desk.pass(1), ["r 2.1.2 +0"]);
    assert_eq!(desk.pass(1), ["exceeded 1"]);
    let info = desk.consumer.info(desk.now);
    assert_eq!((info.num_ack_pending, info.num_redelivered), (0, 1));
    assert_eq!((info.ack_floor.consumer_seq, info.ack_floor.stream_seq), (2, 1));
}

#[test]
fn acks_naks_and_terms() {
    let mut desk = Desk::new(EXPLICIT, &["a", "a", "a"]);
    assert_eq!(desk.pull("r", "5").len(), 3);
    assert_eq!(desk.ack(2, 2, ""), ["ok"]);
    assert_eq!(desk.consumer.progress().floor.stream_seq, 0);
    assert_eq!(desk.ack(1, 1, "-NAK"), ["ok", "r 2.1.4 +0"]);
    assert_eq!(desk.ack(1, 4, "+ACK"), ["ok"]);
    assert_eq!(desk.consumer.progress().floor.stream_seq, 2);
    assert_eq!(desk.ack(3, 3, "-NAK {\"delay\":2000000000}"), ["ok"]);
    assert!(desk.pass(1).is_empty());
    assert_eq!(desk.pass(1), ["r 2.3.5 +0"]);
    assert_eq!(desk.ack(3, 5, "+TERM no use"), ["terminated no use", "ok"]);
    assert_eq!(desk.consumer.progress().floor.delivery_seq, 5);
    // What was never delivered cannot be acked, and is not answered.
    assert!(desk.ack(9, 9, "").is_empty());
}

#[test]
fn an_ack_of_all_takes_those_before_it() {
    let config = r#"{"durable_name":"C","ack_policy":"all","max_ack_pending":3}"#;
    let mut desk = Desk::new(config, &["a", "a", "a", "a"]);
    assert_eq!(desk.pull("r", "9").len(), 3);
    assert_eq!(desk.ack(2, 2, ""), ["ok", "r 1.4.4 +0"]);
    assert_eq!(desk.consumer.info(desk.now).num_ack_pending, 2);
}

#[test]
fn the_last_of_each_subject_comes_first() {
    let config = r#"{"durable_name":"C","ack_policy":"none","deliver_policy":"last_per_subject","filter_subject":"a.*"}"#;
    let mut desk = Desk::new(config, &["a.1", "a.2", "b", "a.1", "b"]);
    assert_eq!(desk.consumer.info(desk.now).num_pending, 2);
    assert_eq!(desk.pull("r", "9"), ["r 1.2.1 +1", "r 1.4.2 +0"]);
    assert_eq!(desk.publish("a.2"), ["r 1.6.3 +0"]);
}

#[test]
fn pushing_needs_somebody_who_listens() {
    let config = r#"{"name":"C","deliver_subject":"d","idle_heartbeat":1000000000,"flow_control":true}"#;
    let mut desk = Desk::new(config, &["a"]);
    assert!(desk.publish("a").is_empty());
    desk.with(|consumer, around, out| consumer.on_interest(true, around, out));
    assert_eq!(desk.said(), ["d 1.1.1 +1", "d 1.2.2 +0"]);
    assert_eq!(
        desk.pass(1),
        ["d 100 Idle Heartbeat|Nats-Last-Consumer: 2|Nats-Last-Stream: 2"]
    );
    desk.with(|consumer, around, out| consumer.on_interest(false, around, out));
    assert_eq!(desk.pass(6), ["abandoned"]);
}

#[test]
fn one_client_is_pinned() {
    let config = r#"{"durable_name":"C","ack_policy":"explicit","priority_groups":["A"],"priority_policy":"pinned_client","priority_timeout":2000000000}"#;
    let mut desk = Desk::new(config, &["a", "a"]);
    assert_eq!(
        desk.pull("r", "{\"batch\":1}"),
        ["r 400 Bad Request - Priority Group missing"]
    );
    assert_eq!(
        desk.pull("r", r#"{"batch":1,"group":"A"}"#),
        ["pinned", "r 1.1.1 +1"]
    );
    assert!(desk.pull("s", r#"{"batch":1,"group":"A"}"#).is_empty());
    assert_eq!(
        desk.pull("t", r#"{"batch":1,"group":"A","id":"x"}"#),
        ["t 423 Nats-Pin-Id mismatch"]
    );
    assert_eq!(desk.pass(2), ["unpinned timeout", "pinned", "s 1.2.2 +0"]);
}

#[test]
fn what_may_not_change_is_refused() {
    let desk = Desk::new(EXPLICIT, &[]);
    let old = desk.consumer.config().clone();
    let mut new = old.clone();
    new.max_deliver = 5;
    assert_eq!(check_update(&old, &new, false), Ok(()));
    new.deliver_subject = "d".to_owned();
    let refused = check_update(&old, &new, false).expect_err("its kind changes");
    assert_eq!(refused.description, "can not update pull consumer to push based");
}

#[test]
fn a_reset_goes_on_from_where_it_says() {
    let mut desk = Desk::new(EXPLICIT, &["a", "a", "a"]);
    assert_eq!(desk.pull("r", "3").len(), 3);
    assert_eq!(
        desk.with(|consumer, around, out| consumer.reset(2, around, out)),
        Ok(2)
    );
    let persisted = desk.effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Persist {
                change: Change::Reset { next_seq: 2 },
                is_lazy: false
            }
        )
    });
    assert!(persisted);
    assert_eq!(desk.pull("r", "3"), ["r 1.2.1 +1", "r 1.3.2 +0"]);
}
