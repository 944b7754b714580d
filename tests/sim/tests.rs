//! What every `cargo test` runs of the simulation.

use super::*;

/// Seeds of one test; two tests so that two cores share them.
const SEEDS: u64 = 100;
/// Seeds of the commit log.
const STORAGE_SEEDS: u64 = 300;

/// Nothing is wrong with some seeds, and every twentieth of them gives the same run twice.
fn check_seeds(subject: Subject, first: u64, count: u64) {
    for seed in first..first + count {
        let outcome = subject.run_caught(seed, &|_| {});
        assert!(
            outcome.wrong.is_empty(),
            "seed {seed} (replay: scripts/sim {}--seed {seed}): {:#?}",
            match subject {
                Subject::Server => "",
                Subject::Storage => "--storage ",
            },
            outcome.wrong
        );
        if seed % 20 == 0 {
            assert_eq!(
                subject.run_caught(seed, &|_| {}).trace,
                outcome.trace,
                "seed {seed} runs two ways"
            );
        }
    }
}

/// The first seeds hold.
#[test]
fn first_seeds_hold() {
    check_seeds(Subject::Server, 0, SEEDS);
}

/// So do the next.
#[test]
fn next_seeds_hold() {
    check_seeds(Subject::Server, SEEDS, SEEDS);
}

/// The commit log loses nothing in the first seeds.
#[test]
fn first_storage_seeds_hold() {
    check_seeds(Subject::Storage, 0, STORAGE_SEEDS);
}

/// Every seed that failed once holds now.
#[test]
fn seeds_that_failed_once_hold() {
    let mut ran = 0;
    for line in include_str!("seeds.txt").lines() {
        let Some(seed) = line
            .split('#')
            .next()
            .map(str::trim)
            .filter(|seed| !seed.is_empty())
        else {
            continue;
        };
        let (subject, seed) = match seed.strip_prefix("storage ") {
            Some(seed) => (Subject::Storage, seed),
            None => (Subject::Server, seed),
        };
        let seed: u64 = seed.parse().expect("a seed a line, then # and why");
        let outcome = subject.run_caught(seed, &|_| {});
        assert!(outcome.wrong.is_empty(), "seed {seed}: {:#?}", outcome.wrong);
        ran += 1;
    }
    assert!(ran > 0, "seeds.txt holds a seed");
}
