//! Every golden transcript against Pinion: in whole lines on one shard, in small pieces on two.

use pinion_tests::server::Program;
use pinion_tests::transcript::{suite, Delivery};

fn check(shards: usize, delivery: Delivery) {
    let Some(pinion) = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let differences = suite::run_all(&pinion.with_shards(shards), delivery, false);
    suite::assert_same(
        &differences,
        suite::load().len(),
        "cargo test -p pinion-tests --test golden_pinion",
    );
}

/// The answers are the peer's, byte for byte.
#[test]
fn pinion_follows_every_transcript_on_one_shard() {
    check(1, Delivery::Whole);
}

/// However the bytes are cut into packets, and whichever shard the clients are on, the answers are the same.
#[test]
fn pinion_follows_every_transcript_in_pieces_on_two_shards() {
    check(2, Delivery::Pieces);
}
