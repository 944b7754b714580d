//! One commit: what one durable write brings. A header, records, zeros up to a whole piece.
//!
//! Layout of the header (64 bytes):
//!   0 magic "PNCM" | 4 size u32 | 8 number u64 | 16 epoch u64 | 24 previous_checksum u64 | 32 durable u64
//!   40 records_size u32 | 44 record_count u32 | 48 body_checksum u64 | 56 checksum u64 of bytes 0..56

use pinion_shard::io::disk::PIECE_SIZE;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{put, u32_at, u64_at};
use crate::limits::COMMIT_SIZE_MAX;

/// Opens every commit.
pub const COMMIT_MAGIC: [u8; 4] = *b"PNCM";
/// Bytes of the header.
pub const COMMIT_HEADER_SIZE: usize = 64;
const CHECKSUM_OFFSET: usize = 56;

/// What a commit says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitHeader {
    /// All of it, padding included: whole pieces.
    pub size: u32,
    /// From 1, one higher with each commit of the log.
    pub number: u64,
    /// That of its segment.
    pub epoch: u64,
    /// `checksum` of the commit before.
    pub previous_checksum: u64,
    /// The last commit known durable when this one was composed; 0: none.
    pub durable: u64,
    /// Bytes of the records, without padding.
    pub records_size: u32,
    /// How many records.
    pub record_count: u32,
    /// Of everything behind the header, padding included.
    pub body_checksum: u64,
    /// Of the header; the next commit repeats it.
    pub checksum: u64,
}

impl CommitHeader {
    /// The header of a commit that [`seal_commit`] completes.
    pub fn new(number: u64, epoch: u64, previous_checksum: u64, durable: u64) -> Self {
        Self {
            size: 0,
            number,
            epoch,
            previous_checksum,
            durable,
            records_size: 0,
            record_count: 0,
            body_checksum: 0,
            checksum: 0,
        }
    }

    /// Reads the header at the start of `bytes`; `None` when there is none that counts.
    pub fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.get(..COMMIT_HEADER_SIZE)?;
        if bytes[..4] != COMMIT_MAGIC {
            return None;
        }
        let header = Self {
            size: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            epoch: u64_at(bytes, 16),
            previous_checksum: u64_at(bytes, 24),
            durable: u64_at(bytes, 32),
            records_size: u32_at(bytes, 40),
            record_count: u32_at(bytes, 44),
            body_checksum: u64_at(bytes, 48),
            checksum: u64_at(bytes, CHECKSUM_OFFSET),
        };
        let size = header.size as usize;
        let holds = header.records_size as usize + COMMIT_HEADER_SIZE <= size;
        let is_sized = size.is_multiple_of(PIECE_SIZE) && size <= COMMIT_SIZE_MAX && holds;
        let is_whole = header.checksum == xxh3_64_with_seed(&bytes[..CHECKSUM_OFFSET], salt);
        (is_sized && is_whole && header.durable < header.number).then_some(header)
    }

    /// Whether `commit`, which starts with this header, is whole.
    pub fn body_is_whole(&self, commit: &[u8], salt: u64) -> bool {
        commit
            .get(COMMIT_HEADER_SIZE..self.size as usize)
            .is_some_and(|body| xxh3_64_with_seed(body, salt) == self.body_checksum)
    }

    /// The records of `commit`, which starts with this header.
    pub fn records<'a>(&self, commit: &'a [u8]) -> &'a [u8] {
        &commit[COMMIT_HEADER_SIZE..COMMIT_HEADER_SIZE + self.records_size as usize]
    }
}

/// Completes a commit whose records stand behind the space of the header: fills in sizes and checksums of `header`,
/// writes it, and gives it back. `commit` is all of it, padding included.
pub fn seal_commit(commit: &mut [u8], mut header: CommitHeader, salt: u64) -> CommitHeader {
    header.size = u32::try_from(commit.len()).expect("a commit is small");
    header.body_checksum = xxh3_64_with_seed(&commit[COMMIT_HEADER_SIZE..], salt);
    put(commit, 0, &COMMIT_MAGIC);
    put(commit, 4, &header.size.to_le_bytes());
    put(commit, 8, &header.number.to_le_bytes());
    put(commit, 16, &header.epoch.to_le_bytes());
    put(commit, 24, &header.previous_checksum.to_le_bytes());
    put(commit, 32, &header.durable.to_le_bytes());
    put(commit, 40, &header.records_size.to_le_bytes());
    put(commit, 44, &header.record_count.to_le_bytes());
    put(commit, 48, &header.body_checksum.to_le_bytes());
    header.checksum = xxh3_64_with_seed(&commit[..CHECKSUM_OFFSET], salt);
    put(commit, CHECKSUM_OFFSET, &header.checksum.to_le_bytes());
    header
}
