//! Which rows of the client protocol have a transcript: all but a checked-in list that can only shrink.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pinion_tests::transcript::suite;

/// The rows of a fixture: the text before the tab, comments left out.
fn rows(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file);
    let text = fs::read_to_string(path).expect("the fixture is there");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
        .collect()
}

/// The transcripts cover what they say, and every row is covered or listed with a reason.
#[test]
fn every_client_row_has_a_transcript_or_a_reason() {
    let known = rows("client-rows.txt");
    let listed = rows("rows-without-transcript.txt");
    let covered: BTreeSet<String> = suite::load_all()
        .into_iter()
        .flat_map(|script| script.covers)
        .collect();
    let unknown: Vec<_> = covered.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "`# covers:` names rows that do not exist: {unknown:#?}"
    );
    let missing: Vec<_> = known
        .difference(&covered)
        .filter(|row| !listed.contains(*row))
        .collect();
    assert!(
        missing.is_empty(),
        "rows without a transcript that are not listed: {missing:#?}"
    );
    let done: Vec<_> = listed
        .iter()
        .filter(|row| covered.contains(*row) || !known.contains(*row))
        .collect();
    assert!(
        done.is_empty(),
        "take these out of fixtures/rows-without-transcript.txt: {done:#?}"
    );
    println!(
        "{} of {} client rows have a transcript",
        known.len() - listed.len(),
        known.len()
    );
}

/// A row without a transcript says why.
#[test]
fn every_listed_row_has_a_reason() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rows-without-transcript.txt");
    let text = fs::read_to_string(path).expect("the fixture is there");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let reason = line.split('\t').nth(1).unwrap_or_default();
        assert!(reason.len() > 5, "no reason: {line}");
    }
}
