//! How fast the subscription list is: `cargo run --release -p pinion-shard --example sublist_speed`.
//!
//! Prints nanoseconds an operation on 100,000 subscriptions. A yardstick for changes to the list, not a benchmark of
//! the server.

use std::hint::black_box;
use std::time::Duration;

use pinion_shard::sublist::{Entry, Sublist};

#[derive(Clone, Copy)]
struct Subscriber {
    id: u64,
    weight: u32,
}

impl Entry for Subscriber {
    type Key = u64;

    fn key(&self) -> u64 {
        self.id
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

const SUBSCRIPTIONS: u64 = 100_000;

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() {
    let mut list = Sublist::new(0x5eed);
    let literals: Vec<String> = (0..SUBSCRIPTIONS / 2)
        .map(|id| format!("orders.eu.{id}.created"))
        .collect();
    let patterns: Vec<String> = (0..SUBSCRIPTIONS / 2)
        .map(|id| format!("_INBOX.{id:022}.*"))
        .collect();
    let all = || literals.iter().chain(&patterns).map(String::as_bytes).zip(0..);
    let entry = |id| Subscriber { id, weight: 1 };

    report("insert, half literal half wildcard", SUBSCRIPTIONS, || {
        for (subject, id) in all() {
            assert!(list.insert(subject, None, entry(id)).is_ok());
        }
    });
    report("match, not cached, literal", 50_000, || {
        for subject in &literals {
            black_box(list.matches(subject.as_bytes()));
        }
    });
    let replies: Vec<String> = patterns.iter().map(|pattern| pattern.replace('*', "7")).collect();
    report("match, not cached, wildcard inbox", 50_000, || {
        for subject in &replies {
            black_box(list.matches(subject.as_bytes()));
        }
    });
    report("match, nobody", 50_000, || {
        for id in 0..50_000_u32 {
            let mut subject = *b"nobody.0000.x";
            subject[7..11].copy_from_slice(&id.to_be_bytes().map(|byte| byte | 0x80));
            black_box(list.matches(&subject));
        }
    });
    list.matches(b"orders.eu.17.created");
    list.matches(b"orders.eu.17.created");
    report("match, cached, one subject", 10_000_000, || {
        for _ in 0..10_000_000 {
            black_box(list.matches(black_box(b"orders.eu.17.created")));
        }
    });
    for subject in literals.iter().take(1_000) {
        list.matches(subject.as_bytes());
        list.matches(subject.as_bytes());
    }
    report("match, cached, 1,000 subjects in turn", 1_000_000, || {
        for _ in 0..1_000 {
            for subject in &literals[..1_000] {
                black_box(list.matches(subject.as_bytes()));
            }
        }
    });
    println!("    cached results now: {}", list.stats().cached);
    report(
        "churn with a full cache, literal (insert + remove)",
        200_000,
        || {
            for id in 0..200_000 {
                assert!(list.insert(b"orders.us.new.created", None, entry(id)).is_ok());
                assert!(list.remove(b"orders.us.new.created", None, id).is_some());
            }
        },
    );
    report(
        "churn with a full cache, _INBOX.new.* (insert + remove)",
        200_000,
        || {
            for id in 0..200_000 {
                assert!(list.insert(b"_INBOX.new.*", None, entry(id)).is_ok());
                assert!(list.remove(b"_INBOX.new.*", None, id).is_some());
            }
        },
    );
    report("churn with a full cache, *.new (insert + remove)", 2_000, || {
        for id in 0..2_000 {
            assert!(list.insert(b"*.new", None, entry(id)).is_ok());
            assert!(list.remove(b"*.new", None, id).is_some());
        }
    });
    report("remove, half literal half wildcard", SUBSCRIPTIONS, || {
        for (subject, id) in all() {
            assert!(list.remove(subject, None, id).is_some());
        }
    });
    report(
        "10,000 subscribers of one subject: insert and remove",
        10_000,
        || {
            for id in 0..10_000 {
                assert!(list.insert(b"news", None, entry(id)).is_ok());
            }
            for id in (0..10_000).rev().step_by(2).chain((0..10_000).step_by(2)) {
                assert!(list.remove(b"news", None, id).is_some());
            }
        },
    );
    assert_eq!(list.count(), 0);
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn report(what: &str, operations: u64, work: impl FnOnce()) {
    let spent = timed(work);
    println!(
        "{:>9.1} ns  {what}",
        spent.as_secs_f64() * 1e9 / operations as f64
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a yardstick needs the clock, and nothing here is simulated"
)]
fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}
