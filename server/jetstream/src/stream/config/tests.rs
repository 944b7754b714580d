//! Table tests of configurations, with the answers of the peer.
