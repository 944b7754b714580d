//! The NATS client protocol: bytes in, operations out, and back.
