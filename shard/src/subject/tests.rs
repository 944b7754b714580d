//! The rules and transforms against what the peer answered, and what such a table cannot show.
//!
//! `testdata/peer.txt` holds one case a line, fields parted by tabs, the peer's answer last:
//!   valid SUBJECT -> config, pedantic publish, publish by the server
//!   relate SUBJECT PATTERN -> is subset, collides
//!   transform|import SOURCE DESTINATION SUBJECT -> to SUBJECT | error TEXT | none
//!   mapping SOURCE DESTINATION -> ok | error TEXT

use super::transform::{check_mapping, Transform, Use};
use super::wildcard::{advance, collides, is_subset, matches, Advance};
use super::*;

use proptest::prelude::*;

const PEER: &str = include_str!("testdata/peer.txt");

/// Answers a case in the words of the table.
fn answer(fields: &[&str]) -> String {
    let bytes = |at: usize| fields[at].as_bytes();
    match fields[0] {
        "valid" => {
            format!(
                "{} {} {}",
                is_valid(bytes(1)),
                is_valid_literal(bytes(1)),
                is_valid_publish(bytes(1))
            )
        }
        "relate" => format!(
            "{} {}",
            is_subset(bytes(1), bytes(2)),
            collides(bytes(1), bytes(2))
        ),
        "mapping" => match check_mapping(bytes(1), bytes(2)) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("error {error}"),
        },
        kind => {
            let for_use = if kind == "import" {
                Use::Import
            } else {
                Use::Mapping
            };
            let mut out = Vec::new();
            let transformed = match Transform::compile(bytes(1), bytes(2), for_use) {
                Ok(None) => return "none".to_owned(),
                Ok(Some(transform)) => transform.transform(bytes(3), 0, &mut out),
                Err(error) => Err(error),
            };
            match transformed {
                Ok(()) => format!("to {}", String::from_utf8_lossy(&out)),
                Err(error) => format!("error {error}"),
            }
        }
    }
}

/// Every case of the table is answered as the peer answered it.
/// Covers: TestSubjectTransforms
/// Covers: TestSublistSubjectCollide
/// Covers: TestSublistValidSubjects
#[test]
fn answers_are_the_peers() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in PEER.lines() {
        let (case, expected) = line.split_once("\t-> ").expect("a case and an answer");
        let got = answer(&case.split('\t').collect::<Vec<_>>());
        if got != expected {
            wrong.push(format!("{line}\n    got {got}"));
        }
        count += 1;
    }
    assert!(count >= 400, "the table is there");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

/// subject, is_valid, is_insertable, is_valid_literal (pedantic publish), is_literal
const TABLE: &[(&[u8], bool, bool, bool, bool)] = &[
    (b"foo", true, true, true, true),
    (b"foo.bar.baz", true, true, true, true),
    (b"", false, false, false, true),
    (b".", false, false, false, true),
    (b".foo", false, false, false, true),
    (b"foo.", false, false, false, true),
    (b"foo..bar", false, false, false, true),
    (b"*", true, true, false, false),
    (b">", true, true, false, false),
    (b"foo.*", true, true, false, false),
    (b"foo.*.bar", true, true, false, false),
    (b"foo.>", true, true, false, false),
    (b">.foo", false, false, false, false),
    (b"foo.>.bar", false, false, false, false),
    (b">.>", false, false, false, false),
    (b"foo.>.", false, false, false, false),
    (b"foo*", true, true, true, true),
    (b"*foo", true, true, true, true),
    (b"foo.b*r.baz", true, true, true, true),
    (b"foo.>>", true, true, true, true),
    (b"foo>.bar", true, true, true, true),
    (b">>.bar", true, true, true, true),
    (b"**", true, true, true, true),
    (b"foo bar", false, true, true, true),
    (b"foo. .bar", false, true, true, true),
    (b"foo.\t", false, true, true, true),
    (b"foo.b\x0cr", false, true, true, true),
    (b"foo.b\x0br", true, true, true, true),
    (b"foo.\xff\x00", true, true, true, true),
];

/// Every rule decides each subject of the table as the peer does.
/// Covers: TestSublistValidLiteralSubjects
/// Covers: TestSubjectIsLiteral
#[test]
fn rules_decide_as_the_table_says() {
    for &(subject, valid, insertable, pedantic, literal) in TABLE {
        let shown = String::from_utf8_lossy(subject);
        assert_eq!(is_valid(subject), valid, "is_valid {shown:?}");
        assert_eq!(is_insertable(subject), insertable, "is_insertable {shown:?}");
        assert_eq!(is_valid_literal(subject), pedantic, "is_valid_literal {shown:?}");
        assert_eq!(is_literal(subject), literal, "is_literal {shown:?}");
        assert_eq!(
            is_valid_publish(subject),
            valid && literal,
            "is_valid_publish {shown:?}"
        );
    }
}

/// The strict form also refuses NUL, broken UTF-8 and the replacement character.
#[test]
fn strict_subjects_are_clean_text() {
    assert!(is_valid_strict("foo.\u{e9}".as_bytes()));
    for bad in [
        &b"foo.\x00"[..],
        b"foo.\xff",
        "foo.\u{fffd}".as_bytes(),
        b"foo..bar",
    ] {
        assert!(!is_valid_strict(bad), "{bad:?}");
    }
}

/// Tokens come out in order, empty ones included, and can be counted and picked.
#[test]
fn tokens_walk_the_subject() {
    let all = |subject| tokens(subject).collect::<Vec<&[u8]>>();
    assert_eq!(all(b"a.bc.d"), [&b"a"[..], b"bc", b"d"]);
    assert_eq!(all(b".a."), [&b""[..], b"a", b""]);
    assert_eq!(all(b""), [&b""[..]]);
    assert_eq!(
        (token_count(b""), token_count(b"a"), token_count(b"a.b.c")),
        (0, 1, 3)
    );
    assert_eq!(token_at(b"a.b.c", 2), Some(&b"c"[..]));
    assert_eq!(token_at(b"a.b.c", 3), None);
}

fn transformed(transform: &Transform, subject: &str, random: u64) -> String {
    let mut out = Vec::new();
    transform.transform(subject.as_bytes(), random, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn compiled(source: &str, destination: &str, for_use: Use) -> Transform {
    Transform::compile(source.as_bytes(), destination.as_bytes(), for_use)
        .unwrap()
        .unwrap()
}

/// Going there and back ends where it began, for any order of the wildcards.
/// Covers: TestSubjectTransformHelpers
#[test]
fn reverse_leads_back() {
    let cases = [
        ("foo", "bar", "foo"),
        ("foo.*.*", "bar.$2.$1", "foo.x.y"),
        ("foo.*.*.*", "bar.$2.$3.$1", "foo.x.y.z"),
        ("*.*.>", "q.$2.{{wildcard(1)}}.>", "a.b.c.d"),
        (">", "in.>", "a.b"),
    ];
    for (source, destination, subject) in cases {
        let there = compiled(source, destination, Use::Import);
        let back = there.reverse().unwrap();
        assert_eq!(
            transformed(&back, &transformed(&there, subject, 0), 0),
            subject,
            "{source} {destination}"
        );
    }
    for (source, destination) in [
        ("foo.*.*", "bar.$1"),
        ("foo.*", "bar.{{left(1,1)}}"),
        ("foo.*", "$1.$1.{{random(2)}}"),
    ] {
        assert!(
            compiled(source, destination, Use::Mapping).reverse().is_none(),
            "{source} {destination}"
        );
    }
    assert_eq!(transform::number_wildcards(b"foo.*.bar.*.>"), b"foo.$1.bar.$2.>");
}

/// Random numbers stay below their bound, reach all of it, and repeat with the argument; two calls draw apart.
#[test]
fn random_functions_use_the_argument() {
    let transform = compiled(
        "foo.*",
        "$1.{{random(4)}}.{{random(4)}}.{{random(0)}}",
        Use::Mapping,
    );
    let mut seen = std::collections::BTreeSet::new();
    for random in 0..400 {
        let out = transformed(&transform, "foo.x", random);
        assert_eq!(out, transformed(&transform, "foo.x", random));
        seen.insert(out);
    }
    let expected = (0..4).flat_map(|one| (0..4).map(move |two| format!("x.{one}.{two}.0")));
    assert_eq!(seen, expected.collect());
}

/// A subject with fewer tokens than the destination asks for leaves gaps and does not panic.
/// Covers: TestSubjectTransformDoesntPanicTransformingMissingToken
#[test]
fn missing_tokens_are_empty() {
    let transform = compiled(
        "a.*.*.>",
        "$2.{{left(2,1)}}.{{partition(3,2)}}.{{split(2,-)}}.>",
        Use::Mapping,
    );
    let mut out = Vec::new();
    transform.apply(b"a.b", 0, &mut out);
    assert_eq!(out, b"..1..");
}

/// Whether a pattern matches, decided by the shortest words: token by token, `>` takes all that is left.
fn naive_matches(subject: &[&str], pattern: &[&str]) -> bool {
    match (subject, pattern) {
        ([], []) => true,
        ([_, ..], [">"]) => true,
        ([token, subject @ ..], [wanted, pattern @ ..]) => {
            (*wanted == "*" || token == wanted) && naive_matches(subject, pattern)
        }
        _ => false,
    }
}

/// Every literal subject of one to four tokens from a small alphabet: enough to tell any two short patterns apart.
fn all_subjects() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = vec![vec![]];
    for at in 0..341 {
        if all.len() > 340 {
            break;
        }
        for token in ["a", "b", "ab", "x"] {
            let mut longer = all[at].clone();
            longer.push(token);
            all.push(longer);
        }
    }
    all.split_off(1)
}

fn pattern() -> impl Strategy<Value = Vec<&'static str>> {
    let token = prop::sample::select(vec!["a", "b", "ab", "*", "*"]);
    (prop::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest || tokens.is_empty() {
            tokens.push(">");
        }
        tokens
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Matching equals the naive matcher, also where the subject's tokens read `*` or `>`.
    #[test]
    fn matching_equals_the_naive_matcher(
        pattern in pattern(),
        subject in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "*", ">"]), 1..6),
    ) {
        let (whole_subject, whole_pattern) = (subject.join("."), pattern.join("."));
        let expected = naive_matches(&subject, &pattern);
        prop_assert_eq!(matches(whole_subject.as_bytes(), whole_pattern.as_bytes()), expected);
        // Where the pattern ends early, the rest of the subject starts behind as many tokens as the pattern has.
        if let Advance::Continues(at) = advance(whole_pattern.as_bytes(), whole_subject.as_bytes()) {
            prop_assert_eq!(&whole_subject[at..], subject[pattern.len()..].join("."));
        }
    }

    /// A pattern is a subset of another when all its subjects are the other's, and two collide when they share one.
    #[test]
    fn relations_of_patterns_are_those_of_their_subjects(one in pattern(), other in pattern()) {
        let (whole_one, whole_other) = (one.join("."), other.join("."));
        let (mut is_covered, mut shared) = (true, false);
        for subject in all_subjects() {
            let (in_one, in_other) = (naive_matches(&subject, &one), naive_matches(&subject, &other));
            is_covered &= !in_one || in_other;
            shared |= in_one && in_other;
        }
        prop_assert_eq!(is_subset(whole_one.as_bytes(), whole_other.as_bytes()), is_covered);
        prop_assert_eq!(collides(whole_one.as_bytes(), whole_other.as_bytes()), shared);
    }

    /// No bytes make reading or running a transform panic.
    #[test]
    fn transforms_of_any_bytes_do_not_panic(
        source in "[a*>.]{0,8}",
        destination in r"[a$123.{}(),\->é ]{0,6}(\{\{(wildcard|partition|split|left|random|sliceFromRight)\([0-9,\- é]{0,6}\)\}\}){0,1}[.>]{0,2}",
        subject in prop::collection::vec(any::<u8>(), 0..20),
        random in any::<u64>(),
    ) {
        if let Ok(Some(transform)) = Transform::compile(source.as_bytes(), destination.as_bytes(), Use::Mapping) {
            let mut out = Vec::new();
            transform.apply(&subject, random, &mut out);
            let mut back = Vec::new();
            if let Some(reverse) = transform.reverse() {
                reverse.apply(&subject, random, &mut back);
            }
        }
    }
}
