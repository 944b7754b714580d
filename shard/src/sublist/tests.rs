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

/// Ten thousand subscribers of one subject leave in any order without walks over the others, and the rest stays right.
#[test]
fn many_subscribers_of_one_subject_come_and_go() {
    let mut list = Sublist::new(SEED);
    let all = 10_000;
    for (subject, queue) in [(&b"a.b"[..], None), (b"a.*", Some(&b"q"[..]))] {
        for key in 0..all {
            assert_eq!(list.insert(subject, queue, sub(key)), Ok(None));
        }
        assert_eq!(
            list.insert(subject, queue, Sub { key: 7, weight: 2 }),
            Ok(Some(sub(7)))
        );
        for key in (0..all).filter(|key| key % 2 == 0) {
            assert_eq!(list.remove(subject, queue, key), Some(sub(key)));
            assert_eq!(list.remove(subject, queue, key), None);
        }
    }
    let (plain, queues) = answer_of(&list.matches(b"a.b"));
    let odd: Vec<u32> = (0..all).filter(|key| key % 2 == 1).collect();
    let keys = |subs: &[Sub]| subs.iter().map(|sub| sub.key).collect::<Vec<_>>();
    assert_eq!(keys(&plain), odd);
    assert_eq!(keys(&queues[&b"q"[..]]), odd);
    assert_eq!(list.matches(b"a.b").queues[0].weight_sum(), 5001);
    for &key in odd.iter().rev() {
        assert!(list.remove(b"a.b", None, key).is_some());
        assert!(list.remove(b"a.*", Some(b"q"), key).is_some());
    }
    assert_eq!((list.count(), list.has_interest(b"a.b")), (0, false));
}

/// Groups of the same name at several patterns are one group of a message; other names are their own.
/// Covers: TestSublistBasicQueueResults
#[test]
fn groups_of_one_name_are_joined() {
    let mut list = Sublist::new(SEED);
    let subs: [(&[u8], &[u8]); 4] = [(b"a.b", b"q"), (b"a.*", b"q"), (b">", b"p"), (b"a.>", b"q")];
    for (key, (subject, queue)) in subs.into_iter().enumerate() {
        list.insert(subject, Some(queue), sub(u32::try_from(key).unwrap()))
            .unwrap();
    }
    let result = list.matches(b"a.b");
    let sizes: Vec<_> = result
        .queues
        .iter()
        .map(|queue| (&*queue.name, queue.members.len()))
        .collect();
    assert_eq!(sizes, [(&b"p"[..], 1), (b"q", 3)]);
    assert_eq!(result.fanout(), 2);
}

/// A full cache keeps its size, keeps what is used, does not let single subjects in, and marks what leaves it.
/// Covers: TestSublistCache
#[test]
fn full_cache_keeps_what_is_used() {
    let mut list = Sublist::with_cache_size(SEED, 8);
    list.insert(b"a.*", None, sub(1)).unwrap();
    let subject = |number: u32| format!("a.{number}").into_bytes();
    let kept: Vec<_> = (0..8).map(|number| list.matches(&subject(number))).collect();
    for number in 100..200 {
        let once = list.matches(&subject(number));
        assert_eq!((once.plain.len(), once.is_stale()), (1, true));
    }
    assert!(kept.iter().all(|result| !result.is_stale()));
    assert_eq!(list.stats().cached, 8);
    for number in 1..8 {
        assert!(Rc::ptr_eq(
            &list.matches(&subject(number)),
            &kept[number as usize]
        ));
    }
    assert!(list.matches(b"a.twice").is_stale());
    assert!(!list.matches(b"a.twice").is_stale());
    let stale: Vec<bool> = kept.iter().map(|result| result.is_stale()).collect();
    assert_eq!(stale, [true, false, false, false, false, false, false, false]);
    assert_eq!(list.stats().cached, 8);
    drop(list);
    assert!(kept.iter().all(|result| result.is_stale()));
}

/// Large results push others out, so that the cache's memory stays bounded.
#[test]
fn large_results_have_a_budget() {
    let mut list = Sublist::new(SEED);
    let subscribers = u32::try_from(RESULT_ENTRIES_MAX / 4).unwrap();
    for key in 0..subscribers {
        list.insert(b"big.*", None, sub(key)).unwrap();
    }
    let kept: Vec<_> = (0..6)
        .map(|number| list.matches(format!("big.{number}").as_bytes()))
        .collect();
    assert_eq!(kept.iter().filter(|result| !result.is_stale()).count(), 4);
    assert_eq!(list.stats().cached, 4);
    for key in 0..subscribers * 5 {
        list.insert(b"big.*", None, sub(key)).unwrap();
    }
    assert!(!list.matches(b"big.1").is_stale());
    assert_eq!(list.stats().cached, 1);
}

/// The numbers of /subsz count what happened.
/// Covers: TestSublistAddCacheHitRate
#[test]
fn stats_count() {
    let mut list = Sublist::new(SEED);
    assert_eq!(list.stats(), Stats::default());
    assert_eq!(
        (list.stats().cache_hit_rate(), list.stats().fanout_average()),
        (0.0, 0.0)
    );
    list.insert(b"a.b", None, sub(1)).unwrap();
    list.insert(b"a.>", None, sub(2)).unwrap();
    list.insert(b"a.>", Some(b"q"), sub(3)).unwrap();
    list.insert(b"x", None, sub(4)).unwrap();
    list.remove(b"x", None, 4).unwrap();
    assert_eq!(list.remove(b"x", None, 4), None);
    for subject in [&b"a.b"[..], b"a.b", b"a.c", b"nobody", b"a..b"] {
        list.matches(subject);
    }
    let mut stats = list.stats();
    let expected = Stats {
        subscriptions: 3,
        cached: 3,
        inserts: 4,
        removes: 1,
        matches: 5,
        cache_hits: 1,
        fanout_max: 3,
        fanout_sum: 5,
    };
    assert_eq!(stats, expected);
    stats.add(&expected);
    assert_eq!(
        (stats.subscriptions, stats.fanout_max, stats.fanout_sum),
        (6, 3, 10)
    );
    assert_eq!(
        (stats.cache_hit_rate(), stats.fanout_average()),
        (0.2, 10.0 / 6.0)
    );
}

/// While a page walk goes on, others come and go: what stays is shown once.
#[test]
fn pages_survive_changes() {
    let mut list = Sublist::new(SEED);
    let subject = |key: u32| match key % 3 {
        0 => format!("lit.{key}"),
        1 => format!("wild.{key}.*"),
        _ => format!("wild.{}.*.deep.{key}.>", key / 6),
    };
    for key in 0..3000 {
        list.insert(subject(key).as_bytes(), None, sub(key)).unwrap();
    }
    let mut shown = BTreeMap::<u32, u32>::new();
    let mut cursor = Some(Cursor::START);
    let mut round = 0;
    while let Some(from) = cursor {
        cursor = list.for_each_from(from, 50, |shown_subject, queue, sub| {
            assert_eq!((shown_subject, queue), (subject(sub.key).as_bytes(), None));
            *shown.entry(sub.key).or_default() += 1;
        });
        for key in (0..3000).filter(|key| key % 7 == round % 7) {
            // Every seventh of the numbers not divisible by 5 goes or comes back.
            if key % 5 != 0 && list.remove(subject(key).as_bytes(), None, key).is_none() {
                list.insert(subject(key).as_bytes(), None, sub(key)).unwrap();
            }
        }
        list.wildcards.check();
        round += 1;
    }
    assert!(round > 20);
    assert!((0..3000).filter(|key| key % 5 == 0).all(|key| shown[&key] == 1));
}

/// Two lists with the same seed and history show the same order; hash tables do not shine through.
#[test]
fn equal_histories_give_equal_orders() {
    let order = |seed| {
        let mut list = Sublist::new(seed);
        for key in 0..500 {
            list.insert(format!("{}.x.{key}", key % 10).as_bytes(), None, sub(key))
                .unwrap();
            list.insert(format!("{}.*.{key}", key % 10).as_bytes(), None, sub(key))
                .unwrap();
        }
        let mut order = Vec::new();
        list.for_each_from(Cursor::START, usize::MAX, |subject, _, sub| {
            order.push((subject.to_vec(), sub.key))
        });
        order
    };
    assert_eq!(order(1), order(1));
    assert_eq!(order(1), order(2));
}

/// Patterns a thousand tokens deep, with a fork at each level, neither overflow the stack nor take for ever.
#[test]
fn deep_patterns_are_walked_without_recursion() {
    let mut list = Sublist::new(SEED);
    let depth = 1000;
    let stars = |count: u32| vec!["*"; count as usize].join(".");
    for count in 1..=depth {
        list.insert(stars(count).as_bytes(), None, sub(count)).unwrap();
        list.insert(format!("{}.a", stars(count)).as_bytes(), None, sub(count))
            .unwrap();
    }
    let subject = vec!["a"; depth as usize].join(".");
    let (plain, _) = answer_of(&list.matches(subject.as_bytes()));
    assert_eq!(plain, [sub(depth - 1), sub(depth)]);
    list.wildcards.check();
    for count in 1..=depth {
        assert!(list.remove(stars(count).as_bytes(), None, count).is_some());
        assert!(list
            .remove(format!("{}.a", stars(count)).as_bytes(), None, count)
            .is_some());
    }
    assert_eq!(list.wildcards.node_count(), 0);
}
