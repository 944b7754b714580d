//! The memory store beside a naive model: any order of operations leaves the same messages and the same answers.

use proptest::prelude::*;

use super::*;

/// All messages in a list, and every question answered by going through it.
#[derive(Default)]
struct Model {
    limits: StoreLimits,
    messages: Vec<StoredMessage>,
    first_seq: u64,
    last_seq: u64,
    last_time: Option<WallTime>,
}

impl Model {
    fn append(&mut self, message: &NewMessage<'_>) -> Vec<u64> {
        self.last_seq += 1;
        self.last_time = Some(message.time);
        self.messages.push(StoredMessage::new(self.last_seq, message));
        let dropped = self.enforce();
        self.settle_first();
        dropped
    }

    fn settle_first(&mut self) {
        self.first_seq = match self.messages.first() {
            Some(message) => message.seq,
            None => self.first_seq.max(self.last_seq + 1),
        };
    }

    fn bytes(&self) -> u64 {
        self.messages.iter().map(size).sum()
    }

    fn enforce(&mut self) -> Vec<u64> {
        let mut dropped = Vec::new();
        if let Some(max) = self.limits.messages_per_subject_max {
            let mut seen: std::collections::BTreeMap<Vec<u8>, u64> = Default::default();
            for message in self.messages.iter().rev() {
                let count = seen.entry(message.subject().to_vec()).or_default();
                *count += 1;
                if *count > max {
                    dropped.push(message.seq);
                }
            }
            self.messages.retain(|message| !dropped.contains(&message.seq));
        }
        while self
            .limits
            .messages_max
            .is_some_and(|max| self.messages.len() as u64 > max)
            || self.limits.bytes_max.is_some_and(|max| self.bytes() > max)
        {
            dropped.push(self.messages.remove(0).seq);
        }
        dropped
    }

    fn purge(&mut self, purge: &Purge) -> u64 {
        if purge.below_seq == 1 {
            return 0;
        }
        let all = purge.filter.as_ref().is_none_or(Filter::is_all);
        let matching: Vec<u64> = self
            .messages
            .iter()
            .filter(|message| {
                purge
                    .filter
                    .as_ref()
                    .is_none_or(|filter| filter.matches(message.subject()))
            })
            .map(|message| message.seq)
            .collect();
        let keep = if all && purge.below_seq > 0 { 0 } else { purge.keep };
        let gone: Vec<u64> = matching[..matching.len().saturating_sub(usize::try_from(keep).unwrap())]
            .iter()
            .copied()
            .filter(|seq| purge.below_seq == 0 || *seq < purge.below_seq)
            .collect();
        self.messages.retain(|message| !gone.contains(&message.seq));
        if all && purge.below_seq > self.last_seq {
            self.last_seq = purge.below_seq - 1;
        }
        self.settle_first();
        gone.len() as u64
    }

    fn matching<'a>(&'a self, filters: &'a [Filter], from: u64) -> impl Iterator<Item = &'a StoredMessage> {
        self.messages.iter().filter(move |message| {
            message.seq >= from
                && (filters.is_empty() || filters.iter().any(|f| f.matches(message.subject())))
        })
    }

    fn expired(&self, now: WallTime) -> Vec<u64> {
        let too_old = |message: &StoredMessage| {
            let age = self.limits.age_max_ns.map(|age| message.time.0 + age);
            match message.life {
                Life::Forever => false,
                Life::Stream => age.is_some_and(|age| age <= now.0),
                Life::Until(end) => end <= now || age.is_some_and(|age| age <= now.0),
            }
        };
        self.messages
            .iter()
            .filter(|m| too_old(m))
            .map(|m| m.seq)
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Append {
        subject: String,
        size: usize,
        ttl: Option<u64>,
        forever: bool,
    },
    Skip,
    Remove(u64),
    Purge(Purge),
    SetLimits(StoreLimits),
    Expire,
}

fn subject() -> impl Strategy<Value = String> {
    "[ab](\\.[abc]){0,2}"
}

fn filter() -> impl Strategy<Value = Filter> {
    "([ab]|\\*)(\\.([abc]|\\*)){0,2}(\\.>)?|>".prop_map(|pattern| Filter::new(pattern.as_bytes()))
}

fn limits() -> impl Strategy<Value = StoreLimits> {
    let limit = |max: u64| proptest::option::of(1..max);
    (limit(40), limit(2_000), limit(4), limit(60)).prop_map(|(messages, bytes, per_subject, age)| {
        StoreLimits {
            messages_max: messages,
            bytes_max: bytes,
            messages_per_subject_max: per_subject,
            age_max_ns: age,
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (subject(), 0..60_usize, proptest::option::of(1..50_u64), proptest::bool::weighted(0.1)).prop_map(
            |(subject, size, ttl, forever)| Operation::Append { subject, size, ttl, forever }
        ),
        1 => Just(Operation::Skip),
        3 => any::<u64>().prop_map(Operation::Remove),
        2 => (proptest::option::of(filter()), 0..60_u64, 0..4_u64)
            .prop_map(|(filter, below_seq, keep)| Operation::Purge(Purge { filter, below_seq, keep })),
        1 => limits().prop_map(Operation::SetLimits),
        1 => Just(Operation::Expire),
    ]
}

fn agree(store: &MemoryStore, model: &Model, filters: &[Filter], now: WallTime) {
    let state = store.state();
    assert_eq!(state.messages, model.messages.len() as u64);
    assert_eq!(state.bytes, model.bytes());
    assert_eq!(
        (state.first_seq, state.last_seq),
        (model.first_seq, model.last_seq)
    );
    assert_eq!(
        state.first_time,
        model.messages.first().map(|message| message.time)
    );
    assert_eq!(state.last_time, model.last_time);
    for message in &model.messages {
        assert_eq!(store.load(message.seq), Load::Found(Rc::new(message.clone())));
    }
    let mut deleted = Vec::new();
    store.deleted_ranges(&mut |first, last| {
        deleted.extend(first..=last);
        true
    });
    let gone = (model.first_seq..=model.last_seq).filter(|seq| model.messages.iter().all(|m| m.seq != *seq));
    assert_eq!(deleted, gone.collect::<Vec<_>>());
    assert_eq!(state.deleted(), deleted.len() as u64);
    let expired = model.expired(now);
    assert_eq!(store.expired(now, usize::MAX), expired);
    match store.next_expiry() {
        Some(next) => assert_eq!(next <= now, !expired.is_empty()),
        None => assert!(expired.is_empty()),
    }
    for one in filters {
        assert_eq!(
            store.last(one),
            model.matching(std::slice::from_ref(one), 0).last().map(|m| m.seq)
        );
    }
    for from in [0, state.first_seq + 3, state.last_seq] {
        for asked in [filters, &filters[..1], &[]] {
            assert_eq!(
                store.next(asked, from),
                model.matching(asked, from).next().map(|m| m.seq)
            );
        }
        assert_eq!(
            store.pending(&filters[..1], from),
            model.matching(&filters[..1], from).count() as u64
        );
        let last_of = |message: &StoredMessage, up_to| {
            let same = |other: &&StoredMessage| other.subject() == message.subject() && other.seq <= up_to;
            model.messages.iter().rfind(same).map(|m| m.seq)
        };
        let lasts = |up_to| -> BTreeSet<u64> {
            model
                .matching(filters, 0)
                .filter_map(|m| last_of(m, up_to))
                .collect()
        };
        assert_eq!(
            store.last_per_subject(filters, from, usize::MAX),
            Ok(lasts(from).into_iter().collect())
        );
        let first_filter: BTreeSet<u64> = model
            .matching(&filters[..1], 0)
            .filter_map(|m| last_of(m, u64::MAX))
            .filter(|last| *last >= from)
            .collect();
        assert_eq!(
            store.pending_last_per_subject(&filters[..1], from),
            first_filter.len() as u64
        );
    }
    for time in [0, now.0 / 2, now.0] {
        let first = model.messages.iter().find(|message| message.time.0 >= time);
        assert_eq!(
            store.seq_at(WallTime(time)),
            first.map_or(model.last_seq + 1, |m| m.seq)
        );
    }
}

/// Random operations on the store and on the model.
#[test]
fn agrees_with_a_naive_model() {
    proptest!(ProptestConfig::with_cases(300), |(
        start in limits(),
        operations in proptest::collection::vec(operation(), 1..80),
        filters in proptest::collection::vec(filter(), 2..4),
    )| {
        let mut store = MemoryStore::new(start);
        let mut model = Model { limits: start, ..Model::default() };
        for (index, operation) in operations.into_iter().enumerate() {
            let now = WallTime(index as u64 * 3);
            let mut dropped = Vec::new();
            let mut on_dropped = |seq, _: &[u8]| dropped.push(seq);
            match operation {
                Operation::Append { subject, size, ttl, forever } => {
                    let payload = vec![b'x'; size];
                    let message = NewMessage {
                        subject: subject.as_bytes(),
                        headers: b"NATS/1.0\r\n\r\n",
                        payload: &payload,
                        time: now,
                        life: match ttl {
                            _ if forever => Life::Forever,
                            Some(ttl) => Life::Until(WallTime(now.0 + ttl)),
                            None => Life::Stream,
                        },
                    };
                    let seq = store.append(&message, &mut on_dropped);
                    let mut expected = model.append(&message);
                    prop_assert_eq!(seq, model.last_seq);
                    dropped.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(dropped, expected);
                }
                Operation::Skip => {
                    store.skip(now);
                    model.last_seq += 1;
                    model.last_time = Some(now);
                    model.settle_first();
                }
                Operation::Remove(seq) => {
                    let seq = seq % (model.last_seq + 2);
                    let before = model.messages.len();
                    model.messages.retain(|message| message.seq != seq);
                    if model.messages.len() < before {
                        model.settle_first();
                    }
                    prop_assert_eq!(store.remove(seq, true), model.messages.len() < before);
                }
                Operation::Purge(purge) => {
                    prop_assert_eq!(store.purge(&purge).messages, model.purge(&purge));
                }
                Operation::SetLimits(limits) => {
                    model.limits = limits;
                    store.set_limits(limits, &mut on_dropped);
                    // The order of limits is seen where count comes first, so let the model do the same.
                    model.limits.messages_per_subject_max = None;
                    model.enforce();
                    model.limits = limits;
                    model.enforce();
                    if store.state().messages > 0 || model.first_seq > 0 {
                        model.settle_first();
                    }
                }
                Operation::Expire => {
                    for seq in store.expired(now, usize::MAX) {
                        store.remove(seq, false);
                        model.messages.retain(|message| message.seq != seq);
                        model.settle_first();
                    }
                }
            }
            if model.last_seq > 0 {
                agree(&store, &model, &filters, now);
            }
        }
    });
}

/// An empty store has the figures of a stream that was just made; the first sequence can be chosen.
#[test]
fn a_new_store_counts_from_zero_or_where_told() {
    let mut store = MemoryStore::default();
    assert_eq!(store.state(), StoreState::default());
    store.start_at(100);
    assert_eq!((store.state().first_seq, store.state().last_seq), (100, 99));
    let message = NewMessage {
        subject: b"a",
        headers: b"",
        payload: b"",
        time: WallTime(1),
        life: Life::Stream,
    };
    assert_eq!(store.append(&message, &mut |_, _| {}), 100);
}

/// A wildcard finds what lies far behind many messages that do not match.
#[test]
fn a_rare_subject_is_found_behind_many_others() {
    let mut store = MemoryStore::default();
    for index in 0..2_000 {
        let subject = if index == 1_999 {
            "rare.1".to_owned()
        } else {
            format!("often.{}", index % 7)
        };
        let message = NewMessage {
            subject: subject.as_bytes(),
            headers: b"",
            payload: b"",
            time: WallTime(index),
            life: Life::Stream,
        };
        store.append(&message, &mut |_, _| {});
    }
    assert_eq!(store.next(&[Filter::new(b"rare.*")], 1), Some(2_000));
    assert_eq!(store.next(&[Filter::new(b"never.*")], 1), None);
}
