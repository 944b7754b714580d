//! Bytes on disk: commit log, blocks, indexes, recovery. Nothing here yet; docs/parity.md says what is missing.
