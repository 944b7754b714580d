//! Reading entries back while they are in the log.
//!
//! Owns: record from place. Not here: what counts (`places`).

use std::io;
use std::path::Path;

use pinion_shard::io::disk::{Access, Disk, Opening, PIECE_SIZE, READ_AT_ONCE_SIZE_MAX};

use super::places::Place;
use super::{CommitLog, LogId};
use crate::format::{record_size, Records};
use crate::recover::segment_name;

impl CommitLog {
    /// An entry that is durable; `None` when it is not in the log (any more).
    ///
    /// # Errors
    /// The disk failed, or what it gave is damaged.
    pub async fn read(&self, log: LogId, index: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(places) = self.0.state.borrow().places.entry(log, index) else {
            return Ok(None);
        };
        let mut entry = Vec::new();
        for place in &places {
            let Some(bytes) = self.read_place(*place).await? else {
                let is_still_there = self.0.state.borrow().places.entry(log, index).as_ref() == Some(&places);
                if !is_still_there {
                    // Checkpointed or superseded while it was read.
                    return Ok(None);
                }
                let path = self.0.dir.join(segment_name(place.segment));
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "{}: the record at offset {} is damaged; check this disk",
                        path.display(),
                        place.offset
                    ),
                ));
            };
            entry.extend_from_slice(&bytes);
        }
        Ok(Some(entry))
    }

    pub(super) async fn read_place(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        let salt = self.0.state.borrow().salt;
        read_record(&self.0.disk, &self.0.dir, salt, place).await
    }
}

/// The payload of a record of the log in `dir`; `None` when it is not there or damaged.
pub(crate) async fn read_record(
    disk: &Disk,
    dir: &Path,
    salt: u64,
    place: Place,
) -> io::Result<Option<Vec<u8>>> {
    let path = dir.join(segment_name(place.segment));
    let file = match disk.open_file(&path, Access::Durable, Opening::Existing).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let start = place.offset as usize / PIECE_SIZE * PIECE_SIZE;
    let end = (place.offset as usize + record_size(place.size as usize)).next_multiple_of(PIECE_SIZE);
    let read = file
        .read(start as u64, (end - start).min(READ_AT_ONCE_SIZE_MAX))
        .await?;
    let record = read
        .get(place.offset as usize - start..)
        .and_then(|bytes| Records::new(bytes, salt).next());
    let payload = match record {
        Some(Ok(record)) if record.payload.len() == place.size as usize => Some(record.payload.to_vec()),
        _ => None,
    };
    file.close().await?;
    Ok(payload)
}
