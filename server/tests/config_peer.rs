//! The configuration language beside the peer: the same files, the same answers.
//!
//! Each file of tests/config opens with what is expected: `valid`, `invalid`, or where the two servers differ on purpose
//! `valid, refused here` and `invalid, accepted here`. Ours is always checked; the peer's `-t` where its binary is found
//! by `PINION_PEER` or on PATH, with its digest where it is valid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinion::config::load::{check, digest, load};
use pinion::config::parser::parse_file;

/// What both servers find in the environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PINION_TEST_PORT", "4333"),
    ("PINION_TEST_NAME", "'from_the_environment'"),
    ("PINION_TEST_LIST", "[a, b]"),
    ("PINION_TEST_CHAIN", "$PINION_TEST_HOST"),
    ("PINION_TEST_HOST", "127.0.0.1"),
    ("PINION_TEST_LOOP", "$PINION_TEST_LOOP"),
    ("PINION_TEST_BROKEN", "a b"),
];

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the corpus is checked in")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    files
}

/// The peer's binary, if there is one of the version that this is made to match.
fn peer() -> Option<PathBuf> {
    let named = std::env::var_os("PINION_PEER").map(PathBuf::from);
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("nats-server"))
            .find(|file| file.is_file())
    });
    let binary = named.or(on_path)?;
    let version = Command::new(&binary).arg("--version").output().ok()?;
    String::from_utf8_lossy(&version.stdout)
        .trim()
        .ends_with("v2.14.5")
        .then_some(binary)
}

struct Answer {
    valid: bool,
    digest: Option<String>,
    text: String,
}

fn ask_pinion(path: &Path) -> Answer {
    let environment: BTreeMap<&str, &str> = ENVIRONMENT.iter().copied().collect();
    let env = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let read = |path: &Path| std::fs::read(path);
    let digest = parse_file(path, &read, &env).ok().map(|map| digest(&map));
    let answer = check(path, &load(path, &read, &env));
    Answer {
        valid: answer.is_ok(),
        digest,
        text: answer.unwrap_or_else(|problems| problems),
    }
}

fn ask_peer(binary: &Path, path: &Path) -> Answer {
    let output = Command::new(binary)
        .arg("-t")
        .arg("-c")
        .arg(path)
        .envs(ENVIRONMENT.iter().copied())
        .output()
        .expect("the peer ran for its version a moment ago");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let digest = text
        .split_once("is valid (")
        .and_then(|(_, rest)| rest.split_once(')'));
    Answer {
        valid: output.status.success(),
        digest: digest.map(|(digest, _)| digest.to_owned()),
        text,
    }
}

/// Every file of the corpus is answered as its first line says, by both.
#[test]
fn files_are_accepted_and_refused_as_by_the_peer() {
    let peer = peer();
    if peer.is_none() {
        println!("skipped in part: no nats-server 2.14.5 by PINION_PEER or on PATH; only our own answers are checked");
    }
    let mut wrong: Vec<String> = Vec::new();
    let files = corpus();
    assert!(files.len() > 90, "{} files", files.len());
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        let (peer_valid, our_valid) = match text.lines().next().unwrap_or("").trim() {
            "# expect: valid" => (true, true),
            "# expect: invalid" => (false, false),
            "# expect: valid, refused here" => (true, false),
            "# expect: invalid, accepted here" => (false, true),
            other => panic!("{name}: first line {other:?}"),
        };
        let ours = ask_pinion(path);
        if ours.valid != our_valid {
            wrong.push(format!("{name}: pinion says {}", ours.text));
        }
        let Some(theirs) = peer.as_deref().map(|binary| ask_peer(binary, path)) else {
            continue;
        };
        if theirs.valid != peer_valid {
            wrong.push(format!("{name}: the peer says {}", theirs.text));
        }
        let same_digest = ours.digest == theirs.digest || ours.digest.is_none();
        if theirs.valid && same_digest == text.contains("\n# digest differs:") {
            wrong.push(format!(
                "{name}: digest {:?}, the peer's {:?}",
                ours.digest, theirs.digest
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
