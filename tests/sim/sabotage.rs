//! Each deliberate bug must be found within its number of seeds: it proves that the checkers see.
//!
//! Run by `scripts/sim --sabotage [NAME]`: the bugs exist only in a build with `--cfg sabotage`.

use std::panic::{catch_unwind, AssertUnwindSafe};

use pinion_shard::io::Sabotage;

use super::run;

/// The first seed that finds a bug, and what it said.
fn first_found(sabotage: Sabotage, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            run::run(seed, |world| world.sabotage(sabotage))
        }));
        match ran {
            Ok(outcome) => outcome.wrong.into_iter().next().map(|what| (seed, what)),
            Err(payload) => Some((
                seed,
                payload
                    .downcast::<String>()
                    .map_or_else(|_| "a panic".to_owned(), |text| *text),
            )),
        }
    })
}

/// Seeds within which a bug is found.
fn seeds_of(sabotage: Sabotage) -> u64 {
    match sabotage {
        // Needs a lane that is full, a socket that is full, and a publisher in that very moment.
        Sabotage::WriteWhileHeld => 2_000,
        // Need a queue group whose last member on a shard leaves while a message is on its way to it.
        Sabotage::DropAHandOn | Sabotage::DoubleDeliveryOnHandOn => 300,
        // The same, of several groups at once, and the message a request.
        Sabotage::AnswerForOnePart | Sabotage::HandOnWithoutTheRequest => 300,
        Sabotage::NeverHandBack | Sabotage::ServeTheClosed => 500,
        Sabotage::SleepWithoutLooking => 300,
        _ => 100,
    }
}

/// Looks for every bug in turn, or for the one named on the command line; those that were not found.
#[expect(clippy::print_stdout, reason = "the result is for who started it")]
pub(crate) fn missed() -> Vec<Sabotage> {
    let mut missed = Vec::new();
    let wanted = std::env::args().nth(2);
    let is_wanted = |sabotage: &Sabotage| {
        wanted
            .as_ref()
            .is_none_or(|name| format!("{sabotage:?}") == *name)
    };
    for sabotage in Sabotage::MESH.into_iter().filter(is_wanted) {
        let seeds = seeds_of(sabotage);
        match first_found(sabotage, seeds) {
            Some((seed, what)) => {
                let what: String = what.chars().take(150).collect();
                println!("{sabotage:?}: found by seed {seed} of {seeds}: {what}");
            }
            None => {
                println!("{sabotage:?}: NOT FOUND in {seeds} seeds");
                missed.push(sabotage);
            }
        }
    }
    missed
}

/// Every bug is found within its seeds.
#[test]
fn sabotage_is_found() {
    let missed = missed();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
