//! Block: publishes written once and sent again and again.
//!
//! Owns: the bytes of a run of publishes and where each begins, ends and carries its payload.
//! Layout of a payload (little endian): stamp_ns u64 | publisher u32 << 32 + index u32 | filler up to the size
//!   stamp_ns   intended send time on the generator's clock; 0 at saturation, where nobody measures it
//!   index      position in the block; the receiver knows which one comes next, so a lost or doubled message shows
//! A publisher stops only at the end of its block, so what was published is always blocks x entries.

/// The publishes of one publisher.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// One publish in the block, with what goes before and after it (SUB, UNSUB).
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    end: usize,
    payload_start: usize,
}

/// What one entry consists of.
#[derive(Debug, Default, Clone)]
pub struct EntryText {
    /// Protocol lines before the publish, each with CRLF.
    pub before: String,
    /// The subject published to.
    pub subject: String,
    /// Protocol lines after it, each with CRLF.
    pub after: String,
}

impl Block {
    /// Writes a block of `entry_count` publishes by `publisher`.
    pub fn new(
        publisher: u32,
        payload_size: usize,
        entry_count: u32,
        mut text: impl FnMut(u32) -> EntryText,
    ) -> Self {
        assert!(payload_size >= PAYLOAD_SIZE_MIN);
        assert!(entry_count > 0);
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for index in 0..entry_count {
            let text = text(index);
            let start = bytes.len();
            bytes.extend_from_slice(text.before.as_bytes());
            bytes.extend_from_slice(format!("PUB {} {payload_size}\r\n", text.subject).as_bytes());
            let payload_start = bytes.len();
            bytes.extend_from_slice(&0u64.to_le_bytes());
            bytes.extend_from_slice(&Mark { publisher, index }.encode());
            bytes.resize(payload_start + payload_size, b'x');
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(text.after.as_bytes());
            entries.push(Entry {
                start,
                end: bytes.len(),
                payload_start,
            });
        }
        Self { bytes, entries }
    }

    /// All publishes, ready to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many publishes the block holds.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Copies one publish to the end of `out`, with its intended send time.
    pub fn append_stamped(&self, index: usize, stamp_ns: u64, out: &mut Vec<u8>) {
        let entry = self.entries[index];
        let stamp_start = out.len() + entry.payload_start - entry.start;
        out.extend_from_slice(&self.bytes[entry.start..entry.end]);
        out[stamp_start..stamp_start + 8].copy_from_slice(&stamp_ns.to_le_bytes());
    }
}

/// Who published a message and which of its block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Number of the publisher within the row.
    pub publisher: u32,
    /// Position in the publisher's block.
    pub index: u32,
}

impl Mark {
    /// The eight bytes that stand in a payload.
    pub fn encode(self) -> [u8; 8] {
        (u64::from(self.publisher) << 32 | u64::from(self.index)).to_le_bytes()
    }

    /// Reads stamp and mark of a payload; `None` when it is too short.
    #[inline]
    pub fn decode(payload: &[u8]) -> Option<(u64, Self)> {
        let (stamp, rest) = payload.split_first_chunk::<8>()?;
        let (mark, _) = rest.split_first_chunk::<8>()?;
        let [a, b, c, d, e, f, g, h] = *mark;
        let index = u32::from_le_bytes([a, b, c, d]);
        let publisher = u32::from_le_bytes([e, f, g, h]);
        Some((u64::from_le_bytes(*stamp), Self { publisher, index }))
    }
}

/// Stamp and mark need this much.
pub const PAYLOAD_SIZE_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are NATS protocol, and a stamped copy differs in its stamp only.
    #[test]
    fn stamped_copy_differs_in_the_stamp_only() {
        let block = Block::new(7, 20, 3, |index| EntryText {
            before: format!("SUB s{index} 1\r\n"),
            subject: format!("s{index}"),
            after: String::from("UNSUB 1\r\n"),
        });
        assert_eq!(block.entry_count(), 3);
        let mut copy = Vec::new();
        (0..3).for_each(|index| block.append_stamped(index, 0, &mut copy));
        assert_eq!(copy, block.bytes());
        let mut stamped = Vec::new();
        block.append_stamped(2, 0x0102_0304, &mut stamped);
        assert!(stamped.starts_with(b"SUB s2 1\r\nPUB s2 20\r\n"));
        assert!(stamped.ends_with(b"xxxx\r\nUNSUB 1\r\n"));
        let payload = &stamped[b"SUB s2 1\r\nPUB s2 20\r\n".len()..];
        assert_eq!(
            Mark::decode(payload),
            Some((
                0x0102_0304,
                Mark {
                    publisher: 7,
                    index: 2
                }
            ))
        );
    }

    /// A payload below sixteen bytes carries no mark.
    #[test]
    fn short_payload_has_no_mark() {
        assert_eq!(Mark::decode(b"fifteen bytes.."), None);
    }
}
