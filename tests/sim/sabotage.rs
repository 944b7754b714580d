//! Each deliberate bug must be found within its number of seeds: it proves that the checkers see.
//!
//! Run by `scripts/sim --sabotage [NAME]`: the bugs exist only in a build with `--cfg sabotage`.

use pinion_shard::io::Sabotage;

use super::Subject;

/// The first seed that finds a bug, and what it said.
fn first_found(subject: Subject, sabotage: Sabotage, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| {
        let outcome = subject.run_caught(seed, &|world| world.sabotage(sabotage));
        outcome.wrong.into_iter().next().map(|what| (seed, what))
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
        // Needs the same bytes again after a crash that tore the first of two writes in flight.
        Sabotage::KeepTheEpoch => 3_000,
        // Needs a damaged bit, and another crash before the damage is recycled.
        Sabotage::CutRotAsTear => 500,
        Sabotage::TrustTheCache => 500,
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
    let mesh = Sabotage::MESH.map(|sabotage| (Subject::Server, sabotage));
    let storage = Sabotage::STORAGE.map(|sabotage| (Subject::Storage, sabotage));
    let all = mesh.into_iter().chain(storage);
    for (subject, sabotage) in all.filter(|(_, sabotage)| is_wanted(sabotage)) {
        let seeds = seeds_of(sabotage);
        match first_found(subject, sabotage, seeds) {
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
