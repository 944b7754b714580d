//! A message as a store takes it and gives it back.
//!
//! Owns: its layout in memory. Not here: its layout on disk (each store's), what headers mean.

use pinion_shard::io::WallTime;

/// How long a message lives, apart from the stream's limits by count and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As long as the stream's `max_age` lets it.
    Stream,
    /// Until this time at most, and no longer than `max_age`.
    Until(WallTime),
    /// `max_age` does not count.
    Forever,
}

/// A message to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// Its subject, literal.
    pub subject: &'a [u8],
    /// The whole header block, or nothing.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// When it was accepted; not before the message before it.
    pub time: WallTime,
    /// How long it lives.
    pub life: Life,
}

/// A stored message.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence.
    pub seq: u64,
    /// When it was accepted.
    pub time: WallTime,
    /// How long it lives.
    pub life: Life,
    subject_size: u32,
    headers_size: u32,
    /// Subject, headers and payload, one after the other.
    bytes: Box<[u8]>,
}

impl StoredMessage {
    /// The message under this sequence.
    pub fn new(seq: u64, message: &NewMessage<'_>) -> Self {
        let mut bytes =
            Vec::with_capacity(message.subject.len() + message.headers.len() + message.payload.len());
        bytes.extend_from_slice(message.subject);
        bytes.extend_from_slice(message.headers);
        bytes.extend_from_slice(message.payload);
        let size = |part: &[u8]| u32::try_from(part.len()).expect("the protocol bounds messages below 4 GiB");
        Self {
            seq,
            time: message.time,
            life: message.life,
            subject_size: size(message.subject),
            headers_size: size(message.headers),
            bytes: bytes.into(),
        }
    }

    /// Its subject.
    pub fn subject(&self) -> &[u8] {
        &self.bytes[..self.subject_size as usize]
    }

    /// The whole header block; empty without one.
    pub fn headers(&self) -> &[u8] {
        &self.bytes[self.subject_size as usize..][..self.headers_size as usize]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[(self.subject_size + self.headers_size) as usize..]
    }

    /// Overwrites headers and payload.
    pub fn erase(&mut self) {
        self.bytes[self.subject_size as usize..].fill(0);
    }
}

impl std::fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredMessage")
            .field("seq", &self.seq)
            .field("time", &self.time)
            .field("life", &self.life)
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("headers", &String::from_utf8_lossy(self.headers()))
            .field("payload_size", &self.payload().len())
            .finish()
    }
}
