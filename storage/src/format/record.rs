//! One record: a step of one log.
//!
//! Layout: header of 32 bytes, payload, zeros up to 8 bytes.
//!   0 checksum u64 of what follows up to the end of the payload | 8 size u32 | 12 kind u8 | 13 flags u8
//!   14 reserved u16 | 16 log u64 | 24 index u64 | 32 payload

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{put, u16_at, u32_at, u64_at};

/// Bytes before the payload.
pub const RECORD_HEADER_SIZE: usize = 32;
/// Records start at multiples of this.
pub const RECORD_ALIGNMENT: usize = 8;
/// Flag: the entry goes on in the next record of the same log.
const FLAG_MORE: u8 = 1;
/// Flag: the record goes on with the entry of the record before it of the same log.
const FLAG_CONTINUES: u8 = 2;
/// Flag: a copy of an earlier record, written again so that the earlier one's segment can be recycled.
const FLAG_CARRIED: u8 = 4;

/// What a record does to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Puts an entry at `index`. One at or below the last index supersedes it and everything after it.
    Entry,
    /// Everything from `index` on is void.
    Truncate,
    /// Everything up to `index` is not needed any more.
    Checkpoint,
    /// The log is gone.
    Forget,
    /// The newest value of the slot `index`, in place of the one before; an empty one removes it.
    State,
}

impl RecordKind {
    /// Each of them.
    pub const ALL: [RecordKind; 5] = [
        RecordKind::Entry,
        RecordKind::Truncate,
        RecordKind::Checkpoint,
        RecordKind::Forget,
        RecordKind::State,
    ];

    /// As it stands on disk.
    pub fn code(self) -> u8 {
        match self {
            RecordKind::Entry => 1,
            RecordKind::Truncate => 2,
            RecordKind::Checkpoint => 3,
            RecordKind::Forget => 4,
            RecordKind::State => 5,
        }
    }
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it does.
    pub kind: RecordKind,
    /// The entry goes on in the next record of the same log.
    pub more: bool,
    /// It goes on with the entry of the record before it of the same log.
    pub continues: bool,
    /// A copy of an earlier record.
    pub carried: bool,
    /// Which log.
    pub log: u64,
    /// Index or slot.
    pub index: u64,
}

/// A record among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it says of itself.
    pub header: RecordHeader,
    /// Where it starts among the bytes it was found in.
    pub offset: usize,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Bytes a record with this payload takes, padding included.
pub fn record_size(payload_size: usize) -> usize {
    (RECORD_HEADER_SIZE + payload_size).next_multiple_of(RECORD_ALIGNMENT)
}

/// Appends a record.
pub fn encode_record(header: RecordHeader, payload: &[u8], salt: u64, to: &mut Vec<u8>) {
    let start = to.len();
    to.resize(start + RECORD_HEADER_SIZE, 0);
    let size = u32::try_from(payload.len()).expect("a payload is bounded");
    let mut flags = 0;
    for (is_set, flag) in [
        (header.more, FLAG_MORE),
        (header.continues, FLAG_CONTINUES),
        (header.carried, FLAG_CARRIED),
    ] {
        if is_set {
            flags |= flag;
        }
    }
    let bytes = &mut to[start..];
    put(bytes, 8, &size.to_le_bytes());
    put(bytes, 12, &[header.kind.code(), flags]);
    put(bytes, 16, &header.log.to_le_bytes());
    put(bytes, 24, &header.index.to_le_bytes());
    to.extend_from_slice(payload);
    let checksum = xxh3_64_with_seed(&to[start + 8..], salt);
    put(&mut to[start..], 0, &checksum.to_le_bytes());
    to.resize(start + record_size(payload.len()), 0);
}

/// Walks the records of a commit. Ends with an error at the first that is not whole; what follows it cannot be
/// found.
pub struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
    salt: u64,
}

/// The records from this offset on are not readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Bytes from the first record.
    pub offset: usize,
}

impl<'a> Records<'a> {
    /// The records in `bytes`, which is as long as they are together.
    pub fn new(bytes: &'a [u8], salt: u64) -> Self {
        Self {
            bytes,
            offset: 0,
            salt,
        }
    }

    fn decode(&self) -> Option<Record<'a>> {
        let bytes = self.bytes.get(self.offset..)?;
        let head = bytes.get(..RECORD_HEADER_SIZE)?;
        let size = u32_at(head, 8) as usize;
        let covered = bytes.get(8..RECORD_HEADER_SIZE.checked_add(size)?)?;
        if u64_at(head, 0) != xxh3_64_with_seed(covered, self.salt) || u16_at(head, 14) != 0 {
            return None;
        }
        let kind = RecordKind::ALL.into_iter().find(|kind| kind.code() == head[12])?;
        if head[13] & !(FLAG_MORE | FLAG_CONTINUES | FLAG_CARRIED) != 0 {
            return None;
        }
        Some(Record {
            header: RecordHeader {
                kind,
                more: head[13] & FLAG_MORE != 0,
                continues: head[13] & FLAG_CONTINUES != 0,
                carried: head[13] & FLAG_CARRIED != 0,
                log: u64_at(head, 16),
                index: u64_at(head, 24),
            },
            offset: self.offset,
            payload: &covered[RECORD_HEADER_SIZE - 8..],
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let Some(record) = self.decode() else {
            let offset = std::mem::replace(&mut self.offset, self.bytes.len());
            return Some(Err(BadRecord { offset }));
        };
        self.offset += record_size(record.payload.len());
        Some(Ok(record))
    }
}
