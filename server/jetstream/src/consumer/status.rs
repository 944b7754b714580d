//! Status messages: header blocks without a payload that tell a client how its request ended.

/// Header block of a status line.
pub(super) fn line(code: u16, text: &str) -> Vec<u8> {
    format!("NATS/1.0 {code} {text}\r\n\r\n").into_bytes()
}

/// Header block of a status line that says what a request did not get.
pub(super) fn unfinished(code: u16, text: &str, messages: i64, bytes: i64) -> Vec<u8> {
    format!(
        "NATS/1.0 {code} {text}\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// A sign of life: how far deliveries are, and what flow control waits for.
pub(super) fn heartbeat(delivery_seq: u64, stream_seq: u64, stalled: Option<&[u8]>) -> Vec<u8> {
    let mut block = format!(
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {delivery_seq}\r\nNats-Last-Stream: {stream_seq}\r\n"
    )
    .into_bytes();
    if let Some(subject) = stalled {
        block.extend_from_slice(b"Nats-Consumer-Stalled: ");
        block.extend_from_slice(subject);
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\r\n");
    block
}
