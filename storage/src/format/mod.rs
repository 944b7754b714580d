//! The commit log on disk, version 1: segment headers, commit headers, records, and their checksums.
//!
//! Owns: layouts and constants, bytes to values and back. Pure. Not here: which of them count (`recover`), when
//! they are written (`commit_log`). Described for readers in docs/formats/commit-log.md.
//! All integers are little endian; sizes and offsets in bytes. A checksum is xxh3_64 and covers what its doc says;
//! but for that of the segment header it is seeded with the log's salt, so that bytes from elsewhere (an old file, a
//! payload that looks like a commit) never count.

mod commit;
mod record;
mod segment;
#[cfg(test)]
mod tests;

pub use commit::{seal_commit, CommitHeader, COMMIT_HEADER_SIZE, COMMIT_MAGIC};
pub use record::{
    encode_record, record_size, Record, RecordHeader, RecordKind, Records, RECORD_ALIGNMENT,
    RECORD_HEADER_SIZE,
};
pub use segment::{SegmentHeader, SegmentHeaderError, SEGMENT_HEADER_SIZE, SEGMENT_MAGIC};

/// The version this build writes, and the newest it reads.
pub const VERSION: u32 = 1;

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
