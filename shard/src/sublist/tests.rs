//! The list against a naive one, and the promises a model cannot see.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::subject::tokens;

const SEED: u64 = 0x5eed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sub {
    key: u32,
    weight: u32,
}

impl Entry for Sub {
    type Key = u32;

    fn key(&self) -> u32 {
        self.key
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

fn sub(key: u32) -> Sub {
    Sub { key, weight: 1 }
}

type Address = (Vec<u8>, Option<Vec<u8>>, u32);

/// What the list should be: a map, and a matcher over token vectors.
#[derive(Default)]
struct Naive {
    subs: BTreeMap<Address, Sub>,
}

/// A result without the order that nobody promised: plain subscribers, and members by group.
type Answer = (Vec<Sub>, BTreeMap<Vec<u8>, Vec<Sub>>);

impl Naive {
    fn answer(&self, subject: &[u8]) -> Answer {
        let (mut plain, mut queues) = (Vec::new(), BTreeMap::<_, Vec<Sub>>::new());
        for ((pattern, queue, _), &sub) in &self.subs {
            if naive_match(subject, pattern) {
                match queue {
                    None => plain.push(sub),
                    Some(name) => queues.entry(name.clone()).or_default().push(sub),
                }
            }
        }
        plain.sort();
        queues.values_mut().for_each(|members| members.sort());
        (plain, queues)
    }
}

fn naive_match(subject: &[u8], pattern: &[u8]) -> bool {
    let subject: Vec<&[u8]> = tokens(subject).collect();
    let pattern: Vec<&[u8]> = tokens(pattern).collect();
    if subject.iter().any(|token| token.is_empty()) {
        return false;
    }
    if let Some((&b">", fixed)) = pattern.split_last() {
        return subject.len() > fixed.len() && same(&subject[..fixed.len()], fixed);
    }
    subject.len() == pattern.len() && same(&subject, &pattern)
}

fn same(subject: &[&[u8]], pattern: &[&[u8]]) -> bool {
    subject
        .iter()
        .zip(pattern)
        .all(|(token, wanted)| wanted == b"*" || token == wanted)
}

fn answer_of(result: &MatchResult<Sub>) -> Answer {
    let mut plain = result.plain.clone();
    plain.sort();
    let sorted = |queue: &QueueMatch<Sub>| {
        let mut members = queue.members.clone();
        members.sort();
        (queue.name.to_vec(), members)
    };
    (plain, result.queues.iter().map(sorted).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, Option<Vec<u8>>, Sub),
    Remove(Vec<u8>, Option<Vec<u8>>, u32),
    Match(Vec<u8>),
}

/// Few tokens, so that subjects meet; `ab` shares its start with `a`.
fn subject() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![4 => Just("a"), 3 => Just("b"), 2 => Just("ab"), 3 => Just("*"), 1 => Just(">"), 1 => Just("")];
    prop::collection::vec(token, 1..6).prop_map(|tokens| tokens.join(".").into_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let queue =
        || prop_oneof![3 => Just(None), 1 => Just(Some(b"q".to_vec())), 1 => Just(Some(b"r".to_vec()))];
    prop_oneof![
        3 => (subject(), queue(), 0..4u32, 0..3u32)
            .prop_map(|(subject, queue, key, weight)| Step::Insert(subject, queue, Sub { key, weight })),
        2 => (subject(), queue(), 0..4u32).prop_map(|(subject, queue, key)| Step::Remove(subject, queue, key)),
        4 => subject().prop_map(Step::Match),
    ]
}

/// Runs steps on both lists and compares everything that can be seen after each.
fn check_steps(steps: Vec<Step>, cache_size: usize) {
    let mut list = Sublist::with_cache_size(SEED, cache_size);
    let mut naive = Naive::default();
    let mut kept: BTreeMap<Vec<u8>, Rc<MatchResult<Sub>>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Insert(subject, queue, sub) => {
                let inserted = list.insert(&subject, queue.as_deref(), sub);
                if is_insertable(&subject) {
                    assert_eq!(inserted, Ok(naive.subs.insert((subject, queue, sub.key), sub)));
                } else {
                    assert_eq!(inserted, Err(InvalidSubject));
                }
            }
            Step::Remove(subject, queue, key) => {
                let removed = list.remove(&subject, queue.as_deref(), key);
                assert_eq!(removed, naive.subs.remove(&(subject, queue, key)));
            }
            Step::Match(subject) => {
                let expected = naive.answer(&subject);
                let nobody = expected.0.is_empty() && expected.1.is_empty();
                assert_eq!(list.has_interest(&subject), !nobody, "before the match");
                let result = list.matches(&subject);
                assert_eq!(
                    answer_of(&result),
                    expected,
                    "{}",
                    String::from_utf8_lossy(&subject)
                );
                assert_eq!(list.has_interest(&subject), !nobody, "from the cache");
                kept.insert(subject, result);
            }
        }
        for (subject, result) in &kept {
            if !result.is_stale() {
                assert_eq!(
                    answer_of(result),
                    naive.answer(subject),
                    "kept: {}",
                    String::from_utf8_lossy(subject)
                );
            }
        }
        list.wildcards.check();
        assert_eq!(list.count(), naive.subs.len());
        assert!(list.stats().cached <= cache_size as u64);
    }
    // Pages of any size show every entry once.
    let mut shown = BTreeMap::new();
    let mut cursor = Some(Cursor::START);
    while let Some(from) = cursor {
        cursor = list.for_each_from(from, 2, |subject, queue, sub| {
            let address = (subject.to_vec(), queue.map(<[u8]>::to_vec), sub.key);
            assert_eq!(shown.insert(address, *sub), None, "shown twice");
        });
    }
    assert_eq!(shown, naive.subs);
    // Everything leaves, and nothing is left behind.
    for (subject, queue, key) in naive.subs.into_keys() {
        assert!(list.remove(&subject, queue.as_deref(), key).is_some());
    }
    assert_eq!(
        (list.count(), list.wildcards.node_count(), list.literals.used()),
        (0, 0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Inserts, removes and matches in any order give what a naive list gives, and kept results that are not
    /// stale stay true.
    #[test]
    fn list_equals_the_naive_list(steps in prop::collection::vec(step(), 1..80)) {
        check_steps(steps, RESULTS_MAX);
    }

    /// The same with a cache that is always full.
    #[test]
    fn list_equals_the_naive_list_with_a_tiny_cache(steps in prop::collection::vec(step(), 1..80)) {
        check_steps(steps, 2);
    }
}

/// A change touches exactly the cached results it affects.
/// Covers: TestSublistInsertWithWildcardsAsLiterals
#[test]
fn only_affected_results_become_stale() {
    let mut list = Sublist::new(SEED);
    for (key, subject) in [&b"a.b.c"[..], b"a.*.c", b"x.y"].into_iter().enumerate() {
        list.insert(subject, None, sub(u32::try_from(key).unwrap()))
            .unwrap();
    }
    let subjects = [
        &b"a.b.c"[..],
        b"a.b.d",
        b"a.z.c",
        b"x.y",
        b"a",
        b"a.*",
        b"a.b.c.d",
    ];
    // What changes, and which of the subjects above it reaches.
    let changes: [(&[u8], &[usize]); 8] = [
        (b"a.b.c", &[0]),
        (b"a.b.*", &[0, 1]),
        (b"a.b.>", &[0, 1, 6]),
        (b"a.*", &[5]),
        (b"*.y", &[3]),
        (b"a.>", &[0, 1, 2, 5, 6]),
        (b">", &[0, 1, 2, 3, 4, 5, 6]),
        (b"nobody.>", &[]),
    ];
    for (change, reached) in changes {
        for insert in [true, false] {
            let results = subjects.map(|subject| list.matches(subject));
            assert!(results.iter().all(|result| !result.is_stale()));
            if insert {
                list.insert(change, None, sub(99)).unwrap();
            } else {
                assert_eq!(list.remove(change, None, 99), Some(sub(99)));
            }
            let stale: Vec<usize> = (0..subjects.len()).filter(|&at| results[at].is_stale()).collect();
            assert_eq!(
                stale,
                reached,
                "{} insert={insert}",
                String::from_utf8_lossy(change)
            );
        }
    }
}
