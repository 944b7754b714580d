//! Test support: server processes under test, the transcript runner, the peer.
