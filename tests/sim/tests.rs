//! What every `cargo test` runs of the simulation.

use super::*;

/// Seeds of one test; two tests so that two cores share them.
const SEEDS: u64 = 100;

/// Nothing is wrong with some seeds, and every twentieth of them gives the same run twice.
fn check_seeds(first: u64) {
    for seed in first..first + SEEDS {
        let outcome = run_caught(seed);
        assert!(
            outcome.wrong.is_empty(),
            "seed {seed} (replay: scripts/sim --seed {seed}): {:#?}",
            outcome.wrong
        );
        if seed % 20 == 0 {
            assert_eq!(run_caught(seed).trace, outcome.trace, "seed {seed} runs two ways");
        }
    }
}

/// The first seeds hold.
#[test]
fn first_seeds_hold() {
    check_seeds(0);
}

/// So do the next.
#[test]
fn next_seeds_hold() {
    check_seeds(SEEDS);
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
        let seed: u64 = seed.parse().expect("a seed a line, then # and why");
        let outcome = run_caught(seed);
        assert!(outcome.wrong.is_empty(), "seed {seed}: {:#?}", outcome.wrong);
        ran += 1;
    }
    assert!(ran > 0, "seeds.txt holds a seed");
}
