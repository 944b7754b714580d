//! Servers together: routes, gateways, leaf nodes, raft groups. Nothing here yet; docs/parity.md says what is missing.
