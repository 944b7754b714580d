//! Files: a directory tree of the store, durable aligned writes, plain ones, reads.
//!
//! Owns: the seam between storage and the system, its sizes, errors that name the path. Not here: what is in
//! a file (the `storage` crate), when something is synced (design section 6).
//! Paths are relative to the root the disk was opened with.
//! Units: offsets and sizes in bytes. A file opened [`Access::Durable`] is read and written in whole
//! [`PIECE_SIZE`] pieces.
//!
//! What is promised
//!   write_durable: on return the bytes survive a power cut; before it, any part of them may be there
//!   write: nothing before `sync` returned; a failed `sync` promises nothing about any write before it
//!   create, rename, remove: nothing before `sync_dir` of the directory returned
//!   a durable write to a range that was never written costs more and may fail on a full disk: `zero_fill`
//!   first (`allocate` reserves space but does not make writes cheap)

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::{simulated, uring, Io};

/// What durable files are read and written in, bytes. glommio says 512 where the device does; 4096 is
/// right everywhere.
pub const PIECE_SIZE: usize = 4096;
/// The most one read returns, bytes. More is a mistake of the caller.
pub const READ_AT_ONCE_SIZE_MAX: usize = 1024 * 1024;
/// The most one durable write takes, bytes. More is a mistake of the caller.
pub const WRITE_AT_ONCE_SIZE_MAX: usize = 4 * 1024 * 1024;
/// What `zero_fill` writes at once, bytes.
const ZERO_FILL_SIZE: usize = 1024 * 1024;

/// How a file is written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Around the page cache, each write on the medium when it returns (`O_DIRECT | O_DSYNC`).
    Durable,
    /// Through the page cache; `sync` makes it durable.
    Buffered,
}

/// What must be there when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The file.
    Existing,
    /// No such file: it is created.
    New,
    /// Either.
    Any,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name in the directory.
    pub name: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size of a file, bytes; 0 of a directory.
    pub size: u64,
}

/// Room on the disk, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Left for this process.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// What went wrong, where: the payload of every [`io::Error`] of this file.
#[derive(Debug)]
pub struct DiskError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.path.display(), self.source)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// `source` with operation and path; its kind stays.
pub(super) fn failed(operation: &'static str, path: &Path, source: io::Error) -> io::Error {
    io::Error::new(
        source.kind(),
        DiskError {
            operation,
            path: path.to_owned(),
            source,
        },
    )
}

/// A directory tree of a shard. Cheap to clone; never leaves its shard.
#[derive(Clone)]
pub enum Disk {
    /// Files of the system.
    Uring(uring::UringDisk),
    /// Files of a simulated host.
    Simulated(simulated::SimDisk),
}

impl Disk {
    /// The tree below `root`, which is created where it is missing. The first open on a device decides how
    /// glommio writes to it (design section 10, rule 12), so this comes before any other.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub async fn open(io: &Io, root: &Path) -> io::Result<Self> {
        match io {
            Io::Uring(io) => Ok(Disk::Uring(uring::UringDisk::open(io, root).await?)),
            Io::Simulated(io) => Ok(Disk::Simulated(simulated::SimDisk::open(io, root))),
        }
    }

    /// Creates a directory. One that is there is not an error.
    ///
    /// # Errors
    /// What the system says.
    pub async fn create_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.create_dir(path).await,
            Disk::Simulated(disk) => disk.create_dir(path).await,
        }
    }

    /// What a directory holds, by name.
    ///
    /// # Errors
    /// There is no such directory, or what the system says.
    pub async fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = match self {
            Disk::Uring(disk) => disk.list(path).await?,
            Disk::Simulated(disk) => disk.list(path).await?,
        };
        listed.sort();
        Ok(listed)
    }

    /// Gives a file another name, in place of what had it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.rename(from, to).await,
            Disk::Simulated(disk) => disk.rename(from, to).await,
        }
    }

    /// Removes a file. Who has it open keeps it.
    ///
    /// # Errors
    /// There is none, or what the system says.
    pub async fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.remove(path).await,
            Disk::Simulated(disk) => disk.remove(path).await,
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not empty, or what the system says.
    pub async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.remove_dir(path).await,
            Disk::Simulated(disk) => disk.remove_dir(path).await,
        }
    }

    /// Makes durable which names a directory holds.
    ///
    /// # Errors
    /// What the system says; nothing is promised then.
    pub async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.sync_dir(path).await,
            Disk::Simulated(disk) => disk.sync_dir(path).await,
        }
    }

    /// Room on the disk of the root.
    ///
    /// # Errors
    /// What the system says.
    pub async fn space(&self) -> io::Result<Space> {
        match self {
            Disk::Uring(disk) => disk.space().await,
            Disk::Simulated(disk) => Ok(disk.space()),
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// It is there and must not be, or the other way round, or what the system says.
    pub async fn open_file(&self, path: &Path, access: Access, opening: Opening) -> io::Result<File> {
        match self {
            Disk::Uring(disk) => Ok(File::Uring(disk.open_file(path, access, opening).await?)),
            Disk::Simulated(disk) => Ok(File::Simulated(disk.open_file(path, access, opening).await?)),
        }
    }

    /// A zeroed buffer for durable writes; `size` is a multiple of [`PIECE_SIZE`].
    pub fn buffer(&self, size: usize) -> DiskBuffer {
        assert!(size.is_multiple_of(PIECE_SIZE), "{size} B are not whole pieces");
        assert!(size <= WRITE_AT_ONCE_SIZE_MAX, "{size} B at once are too many");
        match self {
            Disk::Uring(_) => DiskBuffer::Uring(uring::UringBuffer::zeroed(size)),
            Disk::Simulated(_) => DiskBuffer::Simulated(vec![0; size]),
        }
    }
}

/// Aligned memory for durable writes.
pub enum DiskBuffer {
    /// Aligned for the device.
    Uring(uring::UringBuffer),
    /// Plain memory.
    Simulated(Vec<u8>),
}

impl Deref for DiskBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            DiskBuffer::Uring(buffer) => buffer.bytes(),
            DiskBuffer::Simulated(buffer) => buffer,
        }
    }
}

impl std::ops::DerefMut for DiskBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            DiskBuffer::Uring(buffer) => buffer.bytes_mut(),
            DiskBuffer::Simulated(buffer) => buffer,
        }
    }
}

/// Bytes that were read.
pub enum DiskBytes {
    /// In memory of the ring.
    Uring(uring::UringBytes),
    /// Plain memory.
    Simulated(Vec<u8>),
}

impl Deref for DiskBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            DiskBytes::Uring(bytes) => bytes,
            DiskBytes::Simulated(bytes) => bytes,
        }
    }
}

/// An open file of this shard.
pub enum File {
    /// A file of the system.
    Uring(uring::UringFile),
    /// A file of a simulated host.
    Simulated(simulated::SimFile),
}

impl File {
    fn access(&self) -> Access {
        match self {
            File::Uring(file) => file.access(),
            File::Simulated(file) => file.access(),
        }
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        match self {
            File::Uring(file) => file.path(),
            File::Simulated(file) => file.path(),
        }
    }

    /// Its size, bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            File::Uring(file) => file.size(),
            File::Simulated(file) => Ok(file.size()),
        }
    }

    /// Reserves space up to `size` and makes the file at least that large; what is new reads as zeros.
    ///
    /// # Errors
    /// The disk is full, or what the system says.
    pub async fn allocate(&self, size: u64) -> io::Result<()> {
        match self {
            File::Uring(file) => file.allocate(size).await,
            File::Simulated(file) => file.allocate(size).await,
        }
    }

    /// Cuts the file to `size`, or makes it that large.
    ///
    /// # Errors
    /// What the system says.
    pub async fn truncate(&self, size: u64) -> io::Result<()> {
        match self {
            File::Uring(file) => file.truncate(size).await,
            File::Simulated(file) => file.truncate(size).await,
        }
    }

    /// Writes zeros from the end of the file to `size` and makes them durable, so that later durable writes
    /// into them find written blocks.
    ///
    /// # Errors
    /// The disk is full, or what the system says.
    pub async fn zero_fill(&self, disk: &Disk, size: u64) -> io::Result<()> {
        assert!(
            size.is_multiple_of(PIECE_SIZE as u64),
            "{size} B are not whole pieces"
        );
        let mut offset = self.size()? / PIECE_SIZE as u64 * PIECE_SIZE as u64;
        self.allocate(size).await?;
        let mut zeros = disk.buffer(ZERO_FILL_SIZE);
        while offset < size {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            if left < zeros.len() {
                zeros = disk.buffer(left);
            }
            let count = zeros.len();
            match self.access() {
                Access::Durable => {
                    let (written, buffer) = self.write_durable(zeros, offset).await;
                    written?;
                    zeros = buffer;
                }
                Access::Buffered => self.write(zeros.to_vec(), offset).await?,
            }
            offset += count as u64;
        }
        match self.access() {
            // The size of the file changed, and `O_DSYNC` made that durable too.
            Access::Durable => Ok(()),
            Access::Buffered => self.sync().await,
        }
    }

    /// Writes all of `buffer` at `offset`, both in whole pieces; on return it is durable. The buffer comes
    /// back for the next write.
    ///
    /// # Errors
    /// The disk is full or failed. Then any part of it may be on the medium, now or later: never write the
    /// same again and call it done.
    pub async fn write_durable(&self, buffer: DiskBuffer, offset: u64) -> (io::Result<()>, DiskBuffer) {
        assert!(
            self.access() == Access::Durable,
            "durable writes need a file opened for them"
        );
        assert!(
            offset.is_multiple_of(PIECE_SIZE as u64),
            "offset {offset} is not that of a piece"
        );
        match (self, buffer) {
            (File::Uring(file), DiskBuffer::Uring(buffer)) => {
                let written = file.write_durable(&buffer, offset).await;
                (written, DiskBuffer::Uring(buffer))
            }
            (File::Simulated(file), DiskBuffer::Simulated(buffer)) => {
                let written = file.write_durable(&buffer, offset).await;
                (written, DiskBuffer::Simulated(buffer))
            }
            _ => unreachable!("a buffer never changes its world"),
        }
    }

    /// Writes all of `bytes` at `offset`, not durable before [`File::sync`].
    ///
    /// # Errors
    /// The disk is full, or what the system says.
    pub async fn write(&self, bytes: Vec<u8>, offset: u64) -> io::Result<()> {
        assert!(
            self.access() == Access::Buffered,
            "plain writes need a file opened for them"
        );
        match self {
            File::Uring(file) => file.write(bytes, offset).await,
            File::Simulated(file) => file.write(&bytes, offset).await,
        }
    }

    /// Makes all earlier writes durable.
    ///
    /// # Errors
    /// What the system says: nothing is known then about any write since the last success, and a second
    /// `sync` that succeeds does not change that.
    pub async fn sync(&self) -> io::Result<()> {
        match self {
            File::Uring(file) => file.sync().await,
            File::Simulated(file) => file.sync().await,
        }
    }

    /// Reads up to `size` bytes at `offset`; less only at the end of the file. In whole pieces on durable
    /// files.
    ///
    /// # Errors
    /// What the system says.
    pub async fn read(&self, offset: u64, size: usize) -> io::Result<DiskBytes> {
        assert!(size <= READ_AT_ONCE_SIZE_MAX, "{size} B at once are too many");
        if self.access() == Access::Durable {
            assert!(
                offset.is_multiple_of(PIECE_SIZE as u64),
                "offset {offset} is not that of a piece"
            );
            assert!(size.is_multiple_of(PIECE_SIZE), "{size} B are not whole pieces");
        }
        match self {
            File::Uring(file) => Ok(DiskBytes::Uring(file.read(offset, size).await?)),
            File::Simulated(file) => Ok(DiskBytes::Simulated(file.read(offset, size).await?)),
        }
    }

    /// Closes the file and says how that went; dropping it closes it too.
    ///
    /// # Errors
    /// What the system says.
    pub async fn close(self) -> io::Result<()> {
        match self {
            File::Uring(file) => file.close().await,
            File::Simulated(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
