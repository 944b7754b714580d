//! Small files that are there whole or not at all.
//!
//! Owns: the order of writing one: a temporary file, its sync, the rename, the sync of the directory. Not here: what
//! is in them.

use std::io;
use std::path::Path;

use pinion_shard::io::disk::{Access, Disk, Opening};

/// Ends the name of a file that is being written. One that is left over from a crash means nothing.
const TEMPORARY: &str = ".tmp";
/// Bytes written at once.
const CHUNK_SIZE: usize = 1024 * 1024;

/// Whether a name belongs to a file of this kind that was not finished.
pub(super) fn is_metadata(name: &str) -> bool {
    name.ends_with(TEMPORARY)
}

/// Writes `bytes` as the file `name` in `dir`, in place of what was there. When this returns, the new one survives
/// a power cut; before, the old one or the new one does, whole.
///
/// # Errors
/// The disk is full or failed; the old file is still there.
pub async fn write_metadata(disk: &Disk, dir: &Path, name: &Path, bytes: Vec<u8>) -> io::Result<()> {
    let temporary = dir.join(format!("{}{TEMPORARY}", name.display()));
    let file = disk.open_file(&temporary, Access::Buffered, Opening::Any).await?;
    file.truncate(0).await?;
    let mut offset = 0;
    for chunk in bytes.chunks(CHUNK_SIZE) {
        file.write(chunk.to_vec(), offset).await?;
        offset += chunk.len() as u64;
    }
    file.sync().await?;
    file.close().await?;
    disk.rename(&temporary, &dir.join(name)).await?;
    disk.sync_dir(dir).await
}
