//! The first piece of a segment file: which segment it is, under which epoch, and where the log stood.
//!
//! Layout (64 bytes used of a piece of 4,096; the rest is zero):
//!   0 magic "PINIONLG" | 8 version u32 | 12 reserved u32 | 16 segment u64 | 24 salt u64 | 32 epoch u64
//!   40 first_commit u64 | 48 previous_checksum u64 | 56 checksum u64 of bytes 0..56, unseeded
//! Magic, version and checksum stay where they are in every version, so that a newer one can be told from rot.

use xxhash_rust::xxh3::xxh3_64;

use super::{put, u32_at, u64_at, VERSION};

/// Opens every segment file.
pub const SEGMENT_MAGIC: [u8; 8] = *b"PINIONLG";
/// Bytes before the first commit: one piece of the disk.
pub const SEGMENT_HEADER_SIZE: usize = pinion_shard::io::disk::PIECE_SIZE;
/// Where the checksum stands, and so what it covers.
const CHECKSUM_OFFSET: usize = 56;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the segment, from 1, as in its file name. Another number: the file was recycled and not yet used.
    pub segment: u64,
    /// Seed of the checksums of this log, drawn when the log was made.
    pub salt: u64,
    /// Start of the server that wrote this segment; each takes a higher one than all before.
    pub epoch: u64,
    /// Number of the first commit here. All commits before it are durable; what older segments hold from this
    /// number on was cut.
    pub first_commit: u64,
    /// Checksum of the commit before the first one here, 0 when there was none.
    pub previous_checksum: u64,
}

/// Why a piece is no header of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeaderError {
    /// It is all zero: never written.
    Blank,
    /// Not a header, or a damaged one.
    Damaged,
    /// Written by a newer version, which it names.
    Newer(u32),
}

impl SegmentHeader {
    /// Writes the header to the start of a zeroed piece.
    pub fn encode(&self, piece: &mut [u8]) {
        put(piece, 0, &SEGMENT_MAGIC);
        put(piece, 8, &VERSION.to_le_bytes());
        put(piece, 12, &0u32.to_le_bytes());
        put(piece, 16, &self.segment.to_le_bytes());
        put(piece, 24, &self.salt.to_le_bytes());
        put(piece, 32, &self.epoch.to_le_bytes());
        put(piece, 40, &self.first_commit.to_le_bytes());
        put(piece, 48, &self.previous_checksum.to_le_bytes());
        let checksum = xxh3_64(&piece[..CHECKSUM_OFFSET]);
        put(piece, CHECKSUM_OFFSET, &checksum.to_le_bytes());
    }

    /// Reads the header of a file's first piece.
    ///
    /// # Errors
    /// There is none, or not one of this version.
    pub fn decode(piece: &[u8]) -> Result<Self, SegmentHeaderError> {
        let Some(bytes) = piece.get(..CHECKSUM_OFFSET + 8) else {
            return Err(SegmentHeaderError::Blank);
        };
        if piece.iter().all(|byte| *byte == 0) {
            return Err(SegmentHeaderError::Blank);
        }
        if bytes[..8] != SEGMENT_MAGIC || u64_at(bytes, CHECKSUM_OFFSET) != xxh3_64(&bytes[..CHECKSUM_OFFSET])
        {
            return Err(SegmentHeaderError::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self {
                segment: u64_at(bytes, 16),
                salt: u64_at(bytes, 24),
                epoch: u64_at(bytes, 32),
                first_commit: u64_at(bytes, 40),
                previous_checksum: u64_at(bytes, 48),
            }),
            newer if newer > VERSION => Err(SegmentHeaderError::Newer(newer)),
            _ => Err(SegmentHeaderError::Damaged),
        }
    }
}
