//! Every golden transcript against the peer: the transcripts tell the truth about the Go nats-server.
//! With `UPDATE_GOLDEN=1` their expectations are rewritten from what the peer says.

use std::time::Duration;

use pinion_tests::notice::pass_over;
use pinion_tests::server::Program;
use pinion_tests::transcript::{runner, suite, Delivery, Outcome, Script};

fn peer() -> Option<Program> {
    let peer = Program::peer();
    if peer.is_none() {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        pass_over("no nats-server on this machine (scripts/peer-check installs it)");
    }
    peer
}

/// A transcript that the peer does not follow is wrong, whatever Pinion does.
#[test]
fn peer_follows_every_transcript() {
    let Some(peer) = peer() else { return };
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let differences = suite::run_all(&peer, Delivery::Whole, update);
    suite::assert_same(
        &differences,
        suite::load().len(),
        "cargo test -p pinion-tests --test golden_peer",
    );
}

/// The truth does not depend on how the bytes are cut into packets.
#[test]
fn peer_follows_every_transcript_in_pieces() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        pass_over("the transcripts are being rewritten");
        return;
    }
    let Some(peer) = peer() else { return };
    let differences = suite::run_all(&peer, Delivery::Pieces, false);
    suite::assert_same(
        &differences,
        suite::load().len(),
        "cargo test -p pinion-tests --test golden_peer",
    );
}

/// The runner sees what is wrong: each of these transcripts is one lie about the peer.
#[test]
fn untrue_transcripts_are_found() {
    let Some(peer) = peer() else { return };
    let lies = [
        ("another payload", "a> SUB foo 1\na> PUB foo 2 | hi\na< MSG foo 1 2 | ho"),
        ("an unexpected message at the end", "a> SUB foo 1\na> PUB foo 2 | hi"),
        ("an unexpected error at the end", "a> SUB foo..bar 1"),
        ("a close that does not come", "a> SUB foo..bar 1\na closed"),
        ("a close that is not expected", "a> NONSENSE\na< -ERR 'Unknown Protocol Operation'"),
        ("more after the error", "a> NONSENSE\na< -ERR 'Unknown Protocol Operation'\na< PONG"),
        ("both got it, not one", "a> SUB foo 1\na> PING\na< PONG\nb> SUB foo 1\nb> PUB foo 0 |\none of a,b < MSG foo 1 0 |"),
        ("another order", "a> SUB foo 1\na>> PUB foo 1\\r\\n1\\r\\nPUB foo 1\\r\\n2\\r\\n\na< MSG foo 1 1 | 2\na< MSG foo 1 1 | 1"),
        ("one of two in any order", "a> SUB foo 1\na> PUB foo 1 | 1\nany order {\na< MSG foo 1 1 | 1\na< MSG foo 1 1 | 1\n}\na> PING"),
        ("another INFO", "raw a\na< INFO {\"max_payload\":1,\"...\":\"...\"}"),
        ("two captures that differ", "raw a\na< INFO {\"client_id\":\"${ID}\",\"...\":\"...\"}\nraw b\nb< INFO {\"client_id\":\"${ID}\",\"...\":\"...\"}"),
    ];
    for (name, lines) in lies {
        let script = Script::parse(name, &format!("# covers: none/none\n{lines}\n"))
            .expect("the text is a transcript");
        let mut server = peer.start("");
        let patience = Duration::from_millis(500);
        let outcome = runner::run_with_patience(&script, &mut server, Delivery::Whole, patience);
        assert!(matches!(outcome, Outcome::Different(_)), "{name}: {outcome:?}");
    }
}
