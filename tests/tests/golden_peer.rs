//! Every golden transcript against the peer: the transcripts tell the truth about the Go nats-server.
//! With `UPDATE_GOLDEN=1` their expectations are rewritten from what the peer says.

use pinion_tests::server::Program;
use pinion_tests::transcript::{suite, Delivery};

fn peer() -> Option<Program> {
    let peer = Program::peer();
    if peer.is_none() {
        assert!(
            std::env::var_os("PINION_REQUIRE_PEER").is_none(),
            "PINION_REQUIRE_PEER is set, but there is no nats-server on PATH, in NATS_SERVER or in Go's bin folder"
        );
        eprintln!("passed over: no nats-server on this machine (scripts/peer-check installs it)");
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
        eprintln!("passed over: the transcripts are being rewritten");
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
