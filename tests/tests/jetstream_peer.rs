//! The stories of `tests/jetstream` are true of the peer. With `UPDATE_GOLDEN=1` they are written from what it says.
#![expect(
    clippy::disallowed_methods,
    reason = "a real process: where a story lets time pass, the clock says when it has"
)]

use std::time::{Duration, Instant};

use pinion_tests::jetstream_cases::{comparable, load, Step, Story};
use pinion_tests::notice::pass_over;
use pinion_tests::server::Program;
use pinion_tests::wire::{Event, Frame, Wire, PATIENCE};

/// So long nothing more is said, so that was all.
const QUIET: Duration = Duration::from_millis(400);

fn tell(wire: &mut Wire, story: &Story, record: bool) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for case in &story.cases {
        let mut heard = Vec::new();
        match &case.step {
            Step::Publish {
                subject,
                headers,
                payload,
            } => {
                let mut bytes = match headers.len() {
                    0 => format!("PUB {subject} _R {}\r\n", payload.len()),
                    size => format!("HPUB {subject} _R {size} {}\r\n", size + payload.len()),
                }
                .into_bytes();
                bytes.extend_from_slice(headers);
                bytes.extend_from_slice(payload);
                bytes.extend_from_slice(b"\r\n");
                wire.send(&bytes).expect("the peer reads");
            }
            Step::Pass(time) => {
                // Nothing is said meanwhile; the wait is the passing of time that the story tells of.
                let end = Instant::now() + *time;
                while let Some(left) = end.checked_duration_since(Instant::now()) {
                    if let Event::Frame(frame) = wire.next_said(left) {
                        heard.push(line(&frame));
                    }
                }
            }
        }
        // The peer stores and answers in tasks of its own: where it owes no answer, only silence says that it is done.
        if record || case.answers.is_empty() {
            while let Event::Frame(frame) = wire.next_said(QUIET) {
                heard.push(line(&frame));
            }
        } else {
            while heard.len() < case.answers.len() {
                match wire.next_said(PATIENCE) {
                    Event::Frame(frame) => heard.push(line(&frame)),
                    other => panic!("{}: {other:?} after {heard:#?}", case.text),
                }
            }
        }
        answers.push(heard);
    }
    answers
}

fn line(frame: &Frame) -> String {
    let words: Vec<&str> = frame.line.split(' ').collect();
    let payload = frame.payload.as_deref().unwrap_or_default();
    let headers_size = match words.as_slice() {
        ["HMSG", .., headers, _] => headers.parse().expect("a size"),
        _ => 0,
    };
    let (headers, payload) = payload.split_at(headers_size);
    match words[1] {
        "_R" => comparable(headers, payload),
        again => format!("{again}: {}", comparable(headers, payload)),
    }
}

/// What is recorded is what the peer says.
#[test]
fn stories_are_true_of_the_peer() {
    let Some(peer) = Program::peer() else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
        return;
    };
    let record = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut found = Vec::new();
    for story in load() {
        let folder = std::env::temp_dir().join(format!(
            "pinion-jetstream-peer-{}-{}",
            std::process::id(),
            story.path.file_stem().unwrap_or_default().to_string_lossy()
        ));
        let mut config = format!("jetstream: {{ store_dir: \"{}\" }}\n", folder.display());
        if !story.limits().is_empty() {
            let limits: Vec<String> = story
                .limits()
                .iter()
                .map(|(key, value)| format!("{key}: {value}"))
                .collect();
            let limits = limits.join(", ");
            config.push_str(&format!(
                "accounts {{ A {{ users: [{{user: a, password: b}}], jetstream {{ {limits} }} }} }}\nno_auth_user: a\n"
            ));
        }
        let server = peer.start(&config);
        let mut wire = Wire::open(server.address(), r#"{"verbose":false,"headers":true}"#);
        wire.line("SUB _R 1");
        wire.line("SUB rp.> 2");
        wire.barrier();
        let answers = tell(&mut wire, &story, record);
        if record {
            std::fs::write(&story.path, story.with_answers(&answers)).expect("the story can be written");
        } else {
            found.extend(story.differences(&answers));
        }
        drop(server);
        std::fs::remove_dir_all(&folder).expect("the peer's folder is ours");
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
