//! JetStream: streams, consumers and their API. Nothing here yet; docs/parity.md says what is missing.
