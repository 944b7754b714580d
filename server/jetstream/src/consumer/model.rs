//! Random operations against a naive model, and the state made anew from the log after each of them.

use std::collections::{BTreeMap, BTreeSet};

use pinion_shard::io::WallTime;
use pinion_storage::index::Filter;
use pinion_storage::memory::MemoryStore;
use pinion_storage::stream_store::{Life, NewMessage, Purge, StoreLimits, StreamStore};
use proptest::prelude::*;

use super::ack::AckSubject;
use super::config::{AckPolicy, ConsumerConfig};
use super::entry::Create;
use super::progress::Floor;
use super::{Around, Change, Consumer, Effect, Entry, Home};
use crate::stream::StreamConfig;

#[derive(Clone, Debug)]
enum Operation {
    Publish(bool),
    Fetch(u8),
    Ack(u8),
    Nak(u8),
    Delay(u8),
    Term(u8),
    Pass(u8),
    Remove(u8),
    PurgeBelow(u8),
    Bound(u8),
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        4 => any::<bool>().prop_map(Publish),
        4 => (1..6_u8).prop_map(Fetch),
        3 => any::<u8>().prop_map(Ack),
        1 => any::<u8>().prop_map(Nak),
        1 => any::<u8>().prop_map(Delay),
        1 => any::<u8>().prop_map(Term),
        2 => (1..4_u8).prop_map(Pass),
        1 => any::<u8>().prop_map(Remove),
        1 => any::<u8>().prop_map(PurgeBelow),
        1 => (1..6_u8).prop_map(Bound),
        1 => Just(Restart),
    ]
}

/// The stream's log: what its own entries and those of the consumer say, in order.
#[derive(Clone, Debug)]
enum Logged {
    Append(&'static str),
    Remove(u64),
    PurgeBelow(u64),
    Change(Vec<u8>),
}

struct World {
    create: Create,
    log: Vec<Logged>,
    store: StreamStore,
    consumer: Consumer,
    now: WallTime,
    /// The model: how often each message was delivered that is not done, and which were given up.
    open: BTreeMap<u64, u64>,
    given_up: BTreeSet<u64>,
    last_new: u64,
    floor: Floor,
}

const DELIVERIES_MAX: u64 = 3;

fn empty_store() -> StreamStore {
    StreamStore::Memory(MemoryStore::new(StoreLimits::default()))
}

fn append(store: &mut StreamStore, subject: &str) -> u64 {
    let message = NewMessage {
        subject: subject.as_bytes(),
        headers: b"",
        payload: b"",
        time: WallTime(1),
        life: Life::Stream,
    };
    store.append(&message, &mut |_, _| {})
}

fn purge_below(store: &mut StreamStore, below_seq: u64) {
    let purge = Purge {
        below_seq,
        ..Purge::default()
    };
    store.purge(&purge);
}

impl World {
    fn new() -> Self {
        let store = empty_store();
        let config = ConsumerConfig {
            durable_name: "C".to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: 2_000_000_000,
            max_deliver: i64::try_from(DELIVERIES_MAX).expect("it is small"),
            max_ack_pending: 4,
            max_waiting: 512,
            filter_subject: "a.*".to_owned(),
            ..ConsumerConfig::default()
        };
        let now = WallTime(1_780_000_000_000_000_000);
        let create = Consumer::create(&config, &StreamConfig::default(), &store, now);
        let consumer = Consumer::new("C", Home::default(), &create);
        let mut world = Self {
            create,
            log: Vec::new(),
            store,
            consumer,
            now,
            open: BTreeMap::new(),
            given_up: BTreeSet::new(),
            last_new: 0,
            floor: Floor::default(),
        };
        world.event(|consumer, around, _| consumer.serve(around));
        world
    }

    fn event(&mut self, act: impl FnOnce(&mut Consumer, &Around<'_>, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        let around = Around {
            store: &self.store,
            now: self.now,
            random: 7,
            listens: &|_| true,
        };
        act(&mut self.consumer, &around, &mut out);
        for effect in out {
            if let Effect::Persist { change, .. } = effect {
                self.learn(&change);
                let consumer = "C".to_owned();
                let mut bytes = Vec::new();
                Entry { consumer, change }.encode(&mut bytes);
                self.log.push(Logged::Change(bytes));
            }
        }
    }

    fn learn(&mut self, change: &Change) {
        match change {
            Change::Deliver(deliveries) => {
                for delivery in deliveries {
                    let seq = delivery.stream_seq;
                    let before = self.open.get(&seq).copied().unwrap_or(0);
                    assert_eq!(delivery.count, before + 1, "deliveries are counted");
                    assert!(delivery.count <= DELIVERIES_MAX);
                    if before == 0 {
                        assert!(seq > self.last_new, "new messages come in order, once");
                        let expected = self.store.next(&[Filter::new(b"a.*")], self.last_new + 1);
                        assert_eq!(Some(seq), expected, "none is left out");
                        self.last_new = seq;
                    }
                    self.open.insert(seq, delivery.count);
                }
            }
            Change::Ack { stream_seq, .. } => {
                self.open.remove(stream_seq);
                self.given_up.remove(stream_seq);
            }
            Change::GiveUp { stream_seq, .. } => {
                assert_eq!(
                    self.open.remove(stream_seq),
                    Some(DELIVERIES_MAX),
                    "not too early"
                );
                self.given_up.insert(*stream_seq);
            }
            _ => {}
        }
    }

    fn choose(&self, index: u8) -> Option<u64> {
        let open: Vec<u64> = self.open.keys().copied().collect();
        (!open.is_empty()).then(|| open[usize::from(index) % open.len()])
    }

    fn ack(&mut self, index: u8, payload: &[u8]) {
        let Some(seq) = self.choose(index) else {
            return;
        };
        let subject = AckSubject {
            stream: b"S",
            consumer: b"C",
            deliveries: 1,
            stream_seq: seq,
            delivery_seq: self.consumer.progress().pending[&seq].delivery_seq,
        };
        self.event(|consumer, around, out| consumer.on_ack(&subject, payload, b"", around, out));
    }

    fn forget(&mut self) {
        let store = &self.store;
        let is_there = |seq: u64| store.next(&[], seq) == Some(seq);
        self.open.retain(|seq, _| is_there(*seq));
        self.given_up.retain(|seq| is_there(*seq));
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(is_wanted) => {
                let subject = if *is_wanted { "a.1" } else { "b.1" };
                let seq = append(&mut self.store, subject);
                self.log.push(Logged::Append(subject));
                self.event(|consumer, around, out| consumer.on_stored(seq, subject.as_bytes(), around, out));
            }
            Operation::Fetch(batch) => {
                let body = format!("{{\"batch\":{batch},\"no_wait\":true}}");
                self.event(|consumer, around, out| {
                    consumer.on_pull(body.as_bytes(), b"r", b"r", around, out)
                });
            }
            Operation::Ack(index) => self.ack(*index, b""),
            Operation::Nak(index) => self.ack(*index, b"-NAK"),
            Operation::Delay(index) => self.ack(*index, b"-NAK 3s"),
            Operation::Term(index) => self.ack(*index, b"+TERM"),
            Operation::Pass(seconds) => {
                self.now = WallTime(self.now.0 + u64::from(*seconds) * 1_000_000_000);
                self.event(|consumer, around, out| consumer.on_timer(around, out));
            }
            Operation::Remove(index) => {
                let last = self.store.state().last_seq;
                let seq = u64::from(*index) % (last + 1);
                if self.store.next(&[], seq) != Some(seq) {
                    return;
                }
                let is_wanted = self.store.next(&[Filter::new(b"a.*")], seq) == Some(seq);
                let subject = if is_wanted { "a.1" } else { "b.1" };
                assert!(self.store.remove(seq, false));
                self.log.push(Logged::Remove(seq));
                self.forget();
                self.event(|consumer, around, out| consumer.on_removed(seq, subject.as_bytes(), around, out));
            }
            Operation::PurgeBelow(index) => {
                let below_seq = u64::from(*index) % (self.store.state().last_seq + 2);
                if below_seq == 0 {
                    return;
                }
                purge_below(&mut self.store, below_seq);
                self.log.push(Logged::PurgeBelow(below_seq));
                self.forget();
                self.event(|consumer, around, out| consumer.on_purged(around, out));
            }
            Operation::Bound(bound) => {
                let mut config = self.consumer.config().clone();
                config.max_ack_pending = i64::from(*bound);
                self.event(|consumer, around, out| consumer.configure(&config, around, out));
            }
            Operation::Restart => {
                self.consumer = self.rebuilt();
                self.event(|consumer, around, _| consumer.serve(around));
            }
        }
    }

    /// The consumer that the log makes.
    fn rebuilt(&self) -> Consumer {
        let mut store = empty_store();
        let mut consumer = Consumer::new("C", Home::default(), &self.create);
        for logged in &self.log {
            match logged {
                Logged::Append(subject) => {
                    append(&mut store, subject);
                }
                Logged::Remove(seq) => {
                    assert!(store.remove(*seq, false));
                    consumer.forget_removed(*seq);
                }
                Logged::PurgeBelow(below_seq) => {
                    purge_below(&mut store, *below_seq);
                    consumer.forget_purged(&store);
                }
                Logged::Change(bytes) => {
                    let entry = Entry::decode(bytes).expect("written by this test");
                    consumer.apply(&entry.change);
                }
            }
        }
        consumer
    }

    fn check(&mut self) {
        let progress = self.consumer.progress();
        let pending: Vec<u64> = progress.pending.keys().copied().collect();
        assert_eq!(pending, self.open.keys().copied().collect::<Vec<_>>());
        assert!(pending.len() <= 5, "the largest bound on missing acks");
        assert!(pending.iter().all(|seq| *seq > progress.floor.stream_seq));
        for seq in &self.given_up {
            assert!(
                self.consumer.needs(*seq, b"a.1"),
                "what was given up stays for a look"
            );
        }
        let mut uncounted = 0;
        let mut from = progress.next_stream_seq;
        while let Some(seq) = self.store.next(&[Filter::new(b"a.*")], from) {
            uncounted += 1;
            from = seq + 1;
        }
        assert_eq!(self.consumer.info(self.now).num_pending, uncounted);
        assert!(
            progress.floor.stream_seq >= self.floor.stream_seq,
            "floors never go back"
        );
        assert!(
            progress.floor.delivery_seq >= self.floor.delivery_seq,
            "floors never go back"
        );
        self.floor = progress.floor;
        let rebuilt = self.rebuilt();
        assert_eq!(rebuilt.progress(), progress);
        assert_eq!(rebuilt.config(), self.consumer.config());
    }
}

/// Whatever happens, the consumer does what the model does, and its log tells all of it.
#[test]
fn random_operations_agree_with_the_model() {
    proptest!(ProptestConfig::with_cases(300), |(operations in proptest::collection::vec(operation(), 1..60))| {
        let mut world = World::new();
        for operation in &operations {
            world.run(operation);
            world.check();
        }
    });
}
