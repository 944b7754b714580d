//! What a segment's bytes say: which commits count, where the log ends, what is rot and what a tear.
//!
//! Owns: the rules of recovery (docs/formats/commit-log.md, "Reading a log"). Pure: bytes in, verdict out. Not
//! here: reading files, what the records mean.
//!
//! The rules
//!   a commit counts when it is whole, has the next number, follows the checksum before it, and its epoch is not
//!     lower than that before it
//!   a bad commit at or below the durable position of a later header is rot: it was acknowledged; what can be read
//!     of it counts, and the log goes on behind it
//!   any other bad commit is where the log ends: a tear

use pinion_shard::io::disk::PIECE_SIZE;

use crate::format::{CommitHeader, Record, Records, COMMIT_HEADER_SIZE, COMMIT_MAGIC, SEGMENT_HEADER_SIZE};

/// Where the log stands between two commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the next commit.
    pub number: u64,
    /// Checksum of the one before; `None` when it is not known.
    pub checksum: Option<u64>,
    /// Epoch of the one before, or of the segment.
    pub epoch: u64,
}

/// Acknowledged commits that cannot be read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rot {
    /// Where it starts in the file, bytes.
    pub offset: u64,
    /// First commit that is damaged.
    pub first: u64,
    /// Last one.
    pub last: u64,
    /// Records that could be read of them.
    pub records_saved: u32,
}

/// What was cut at the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the log ends in the file, bytes.
    pub offset: u64,
    /// Number of the first commit that was cut. If the disk damaged it after it was written, and not a crash
    /// while it was, it was possibly acknowledged.
    pub number: u64,
}

/// What a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where the log stands behind it.
    pub cursor: Cursor,
    /// Where the last commit that counts ends, bytes.
    pub end: u64,
    /// Damage to what was acknowledged.
    pub rot: Vec<Rot>,
    /// Something stood behind the end that does not count. Only in the last segment.
    pub cut: Option<Cut>,
    /// The highest epoch seen, in what was cut too.
    pub epoch_seen: u64,
}

/// What is known of a segment before its commits are read.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Seed of the checksums.
    pub salt: u64,
    /// Where the log stands before it.
    pub cursor: Cursor,
    /// First commit of the next segment; `None` for the last one.
    pub next_first: Option<u64>,
    /// A deliberate bug: damage is always taken for the end.
    pub blind_to_rot: bool,
}

struct Walk<'a> {
    bytes: &'a [u8],
    question: Question,
    cursor: Cursor,
    offset: usize,
}

impl Walk<'_> {
    fn header_at(&self, offset: usize) -> Option<CommitHeader> {
        CommitHeader::decode(self.bytes.get(offset..)?, self.question.salt)
    }

    /// The header at the cursor, where it is the one that must come, whole or not.
    fn expected(&self) -> Option<CommitHeader> {
        let header = self.header_at(self.offset)?;
        let follows = self
            .cursor
            .checksum
            .is_none_or(|checksum| checksum == header.previous_checksum);
        let fits = header.number == self.cursor.number && header.epoch >= self.cursor.epoch && follows;
        fits.then_some(header)
    }

    /// Headers behind the cursor that belong to what follows it.
    fn later(&self) -> impl Iterator<Item = (usize, CommitHeader)> + '_ {
        let from = self.offset + PIECE_SIZE;
        (from..self.bytes.len()).step_by(PIECE_SIZE).filter_map(|offset| {
            let header = self.header_at(offset)?;
            let belongs = header.number > self.cursor.number
                && header.epoch >= self.cursor.epoch
                && self.question.next_first.is_none_or(|next| header.number < next);
            belongs.then_some((offset, header))
        })
    }
}

/// Reads a segment. `bytes` is the whole file; every record that counts goes to `on_record` with the offset of
/// its commit's records in the file.
pub fn judge(bytes: &[u8], question: Question, mut on_record: impl FnMut(usize, Record<'_>)) -> Verdict {
    let mut walk = Walk {
        bytes,
        question,
        cursor: question.cursor,
        offset: SEGMENT_HEADER_SIZE,
    };
    let mut verdict = Verdict {
        cursor: question.cursor,
        end: SEGMENT_HEADER_SIZE as u64,
        rot: Vec::new(),
        cut: None,
        epoch_seen: question.cursor.epoch,
    };
    loop {
        if question.next_first == Some(walk.cursor.number) {
            break;
        }
        let expected = walk.expected();
        if let Some(header) = expected {
            let commit = &bytes[walk.offset..];
            if header.body_is_whole(commit, question.salt) {
                let records_at = walk.offset + COMMIT_HEADER_SIZE;
                for record in Records::new(header.records(commit), question.salt) {
                    // Whole and yet not readable: not written by this version.
                    let Ok(record) = record else {
                        verdict.rot.push(Rot {
                            offset: walk.offset as u64,
                            first: header.number,
                            last: header.number,
                            records_saved: 0,
                        });
                        break;
                    };
                    on_record(records_at, record);
                }
                walk.cursor = Cursor {
                    number: header.number + 1,
                    checksum: Some(header.checksum),
                    epoch: header.epoch,
                };
                walk.offset += header.size as usize;
                verdict.end = walk.offset as u64;
                continue;
            }
        }
        let is_rot = !question.blind_to_rot
            && (question.next_first.is_some()
                || walk
                    .later()
                    .any(|(_, header)| header.durable >= walk.cursor.number));
        if !is_rot {
            verdict.cut = cut_at(&walk, expected);
            verdict.epoch_seen = walk
                .later()
                .map(|(_, header)| header.epoch)
                .fold(walk.cursor.epoch, u64::max);
            break;
        }
        let mut rot = Rot {
            offset: walk.offset as u64,
            first: walk.cursor.number,
            last: walk.cursor.number,
            records_saved: 0,
        };
        let next = match expected {
            // Only its body is damaged: where the next one starts is known, and records may be whole.
            Some(header) if walk.offset + header.size as usize <= bytes.len() => {
                let records_at = walk.offset + COMMIT_HEADER_SIZE;
                for record in Records::new(header.records(&bytes[walk.offset..]), question.salt).flatten() {
                    rot.records_saved += 1;
                    on_record(records_at, record);
                }
                walk.cursor = Cursor {
                    number: header.number + 1,
                    checksum: Some(header.checksum),
                    epoch: header.epoch,
                };
                Some(walk.offset + header.size as usize)
            }
            _ => {
                let next = walk.later().next();
                next.map(|(offset, header)| {
                    rot.last = header.number - 1;
                    walk.cursor = Cursor {
                        number: header.number,
                        checksum: None,
                        ..walk.cursor
                    };
                    offset
                })
            }
        };
        let ends = next.is_none();
        if let Some(next_first) = question.next_first.filter(|_| ends) {
            rot.last = next_first - 1;
            walk.cursor = Cursor {
                number: next_first,
                checksum: None,
                ..walk.cursor
            };
        }
        verdict.rot.push(rot);
        match next {
            Some(offset) => {
                walk.offset = offset;
                verdict.end = offset as u64;
            }
            None => break,
        }
    }
    verdict.cursor = walk.cursor;
    verdict.epoch_seen = verdict.epoch_seen.max(walk.cursor.epoch);
    verdict
}

/// What stands at the end of the log and does not count, if anything does.
fn cut_at(walk: &Walk<'_>, expected: Option<CommitHeader>) -> Option<Cut> {
    let piece = walk.bytes.get(walk.offset..)?;
    // A damaged header cannot be checked; one that looks like the next commit's is reported all the same.
    let claims = piece.len() >= COMMIT_HEADER_SIZE && walk.header_at(walk.offset).is_none() && {
        let follows = walk.cursor.checksum.filter(|checksum| *checksum != 0);
        let is_numbered = piece[..4] == COMMIT_MAGIC && piece[8..16] == walk.cursor.number.to_le_bytes();
        is_numbered || follows.is_some_and(|checksum| piece[24..32] == checksum.to_le_bytes())
    };
    let is_followed = walk.later().next().is_some();
    if expected.is_none() && !claims && !is_followed {
        return None;
    }
    Some(Cut {
        offset: walk.offset as u64,
        number: walk.cursor.number,
    })
}
