//! Files of the system through glommio: `DmaFile` for durable ones, `BufferedFile` for the others.
//!
//! Calls on names (create, rename, list, sync of a directory) run on glommio's blocking thread: they are
//! rare and io_uring has no good form of them on older kernels.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::io::{BufferedFile, DmaFile, OpenOptions, ReadResult};
use rustix::fs::OFlags;

use super::driver::{Driver, HostUse};
use super::UringIo;
use crate::io::disk::{failed, Access, Listed, Opening, Space, PIECE_SIZE};

/// Name of the file that is opened first on a device.
const PRIMER_NAME: &str = ".pinion-primer";
/// Files are for the server's own user and group.
const FILE_MODE: u32 = 0o640;

/// A directory tree of the system.
#[derive(Clone)]
pub struct UringDisk {
    root: Rc<Path>,
    driver: Rc<Driver>,
}

/// Runs a call that blocks on another thread.
async fn blocking<T: Send + 'static>(
    driver: &Rc<Driver>,
    operation: &'static str,
    path: PathBuf,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let _under_way = driver.enter_host();
    glommio::executor()
        .spawn_blocking(move || call(&path).map_err(|error| failed(operation, &path, error)))
        .await
}

fn write_all_zero(path: &Path) -> io::Result<()> {
    let fd = rustix::fs::open(
        path,
        OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC,
        rustix::fs::Mode::from_raw_mode(FILE_MODE),
    )?;
    let written = rustix::io::pwrite(&fd, &[0; PIECE_SIZE], 0)?;
    if written != PIECE_SIZE {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(rustix::fs::fsync(&fd)?)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let fd = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    // `fsync`, not `fdatasync`: new names are metadata.
    Ok(rustix::fs::fsync(&fd)?)
}

impl UringDisk {
    pub(in crate::io) async fn open(io: &UringIo, root: &Path) -> io::Result<Self> {
        let driver = io.driver();
        let root = blocking(driver, "create directory", root.to_owned(), |root| {
            std::fs::create_dir_all(root)?;
            // glommio needs absolute paths: it asks the system about them again later.
            root.canonicalize()
        })
        .await?;
        let primer = root.join(PRIMER_NAME);
        blocking(driver, "write", primer.clone(), write_all_zero).await?;
        let under_way = driver.enter_host();
        let opened = OpenOptions::new().read(true).dma_open(&primer).await;
        let file = opened.map_err(|error| failed("open for direct access", &primer, error.into()))?;
        file.close()
            .await
            .map_err(|error| failed("close", &primer, error.into()))?;
        drop(under_way);
        blocking(driver, "remove", primer, |path| std::fs::remove_file(path)).await?;
        Ok(Self {
            root: root.into(),
            driver: Rc::clone(driver),
        })
    }

    fn at(&self, path: &Path) -> PathBuf {
        assert!(path.is_relative(), "paths start at the root of the disk");
        self.root.join(path)
    }

    pub(in crate::io) async fn create_dir(&self, path: &Path) -> io::Result<()> {
        blocking(
            &self.driver,
            "create directory",
            self.at(path),
            |path| match std::fs::create_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
                done => done,
            },
        )
        .await
    }

    pub(in crate::io) async fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        blocking(&self.driver, "list", self.at(path), |path| {
            let mut listed = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let about = entry.metadata()?;
                listed.push(Listed {
                    name: entry.file_name().into(),
                    is_dir: about.is_dir(),
                    size: if about.is_dir() { 0 } else { about.len() },
                });
            }
            Ok(listed)
        })
        .await
    }

    pub(in crate::io) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let to = self.at(to);
        blocking(&self.driver, "rename", self.at(from), move |from| {
            std::fs::rename(from, to)
        })
        .await
    }

    pub(in crate::io) async fn remove(&self, path: &Path) -> io::Result<()> {
        blocking(&self.driver, "remove", self.at(path), |path| {
            std::fs::remove_file(path)
        })
        .await
    }

    pub(in crate::io) async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        blocking(&self.driver, "remove directory", self.at(path), |path| {
            std::fs::remove_dir(path)
        })
        .await
    }

    pub(in crate::io) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        blocking(&self.driver, "sync directory", self.at(path), sync_directory).await
    }

    pub(in crate::io) async fn space(&self) -> io::Result<Space> {
        blocking(
            &self.driver,
            "ask for the space of",
            self.root.to_path_buf(),
            |path| {
                let about = rustix::fs::statvfs(path)?;
                Ok(Space {
                    free: about.f_bavail * about.f_frsize,
                    total: about.f_blocks * about.f_frsize,
                })
            },
        )
        .await
    }

    pub(in crate::io) async fn open_file(
        &self,
        path: &Path,
        access: Access,
        opening: Opening,
    ) -> io::Result<UringFile> {
        let path = self.at(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(FILE_MODE);
        match opening {
            Opening::Existing => {}
            Opening::New => {
                options.create_new(true);
            }
            Opening::Any => {
                options.create(true);
            }
        }
        let _under_way = self.driver.enter_host();
        let opened = match access {
            Access::Durable => {
                let flags = i32::try_from(OFlags::DSYNC.bits()).expect("open flags are ints");
                options.custom_flags(flags);
                options.dma_open(&path).await.map(Handle::Durable)
            }
            Access::Buffered => options.buffered_open(&path).await.map(Handle::Buffered),
        };
        match opened {
            Ok(handle) => Ok(UringFile {
                handle,
                path,
                host: HostUse::new(&self.driver),
            }),
            Err(error) => Err(failed("open", &path, plain(error))),
        }
    }
}

/// The system's own error out of glommio's wrapping.
fn plain(error: glommio::GlommioError<()>) -> io::Error {
    match error {
        glommio::GlommioError::EnhancedIoError { source, .. } => source,
        other => other.into(),
    }
}

/// Memory aligned for direct access. While a write holds it, it is only read.
pub struct UringBuffer(Rc<glommio::io::DmaBuffer>);

impl UringBuffer {
    pub(in crate::io) fn zeroed(size: usize) -> Self {
        let mut buffer = glommio::allocate_dma_buffer(size);
        buffer.as_bytes_mut().fill(0);
        Self(Rc::new(buffer))
    }

    pub(in crate::io) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(in crate::io) fn bytes_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.0)
            .expect("a write gives the buffer back when it is over")
            .as_bytes_mut()
    }
}

/// Bytes that were read.
pub type UringBytes = ReadResult;

enum Handle {
    Durable(DmaFile),
    Buffered(BufferedFile),
}

/// An open file of the system.
pub struct UringFile {
    handle: Handle,
    path: PathBuf,
    host: HostUse,
}

impl UringFile {
    pub(in crate::io) fn access(&self) -> Access {
        match self.handle {
            Handle::Durable(_) => Access::Durable,
            Handle::Buffered(_) => Access::Buffered,
        }
    }

    pub(in crate::io) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, operation: &'static str, error: glommio::GlommioError<()>) -> io::Error {
        failed(operation, &self.path, plain(error))
    }

    #[expect(unsafe_code, reason = "glommio's files give their descriptor by number only")]
    fn fd(&self) -> BorrowedFd<'_> {
        let fd = match &self.handle {
            Handle::Durable(file) => file.as_raw_fd(),
            Handle::Buffered(file) => file.as_raw_fd(),
        };
        // SAFETY: the file owns the descriptor, and `self` (and so the file) outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    pub(in crate::io) fn size(&self) -> io::Result<u64> {
        // glommio asks by path, which a rename makes wrong.
        let about = rustix::fs::fstat(self.fd()).map_err(|error| failed("stat", &self.path, error.into()))?;
        Ok(u64::try_from(about.st_size).expect("files have no negative size"))
    }

    pub(in crate::io) async fn allocate(&self, size: u64) -> io::Result<()> {
        if size <= self.size()? {
            return Ok(());
        }
        let _under_way = self.host.enter();
        let allocated = match &self.handle {
            Handle::Durable(file) => file.pre_allocate(size, false).await,
            Handle::Buffered(file) => file.pre_allocate(size, false).await,
        };
        allocated.map_err(|error| self.failed("allocate", error))
    }

    pub(in crate::io) async fn truncate(&self, size: u64) -> io::Result<()> {
        let _under_way = self.host.enter();
        let truncated = match &self.handle {
            Handle::Durable(file) => file.truncate(size).await,
            Handle::Buffered(file) => file.truncate(size).await,
        };
        truncated.map_err(|error| self.failed("truncate", error))
    }

    pub(in crate::io) async fn write_durable(&self, buffer: &UringBuffer, offset: u64) -> io::Result<()> {
        let Handle::Durable(file) = &self.handle else {
            unreachable!("checked by the seam")
        };
        let _under_way = self.host.enter();
        let written = file
            .write_rc_at(Rc::clone(&buffer.0), offset)
            .await
            .map_err(|error| self.failed("write", error))?;
        self.all_written(written, buffer.bytes().len(), offset)
    }

    pub(in crate::io) async fn write(&self, bytes: Vec<u8>, offset: u64) -> io::Result<()> {
        let Handle::Buffered(file) = &self.handle else {
            unreachable!("checked by the seam")
        };
        let size = bytes.len();
        let _under_way = self.host.enter();
        let written = file
            .write_at(bytes, offset)
            .await
            .map_err(|error| self.failed("write", error))?;
        self.all_written(written, size, offset)
    }

    /// A short write to a file is a disk that got full on the way.
    fn all_written(&self, written: usize, size: usize, offset: u64) -> io::Result<()> {
        if written == size {
            return Ok(());
        }
        let error = io::Error::new(
            io::ErrorKind::StorageFull,
            format!("{written} of {size} bytes at offset {offset} written"),
        );
        Err(failed("write", &self.path, error))
    }

    pub(in crate::io) async fn sync(&self) -> io::Result<()> {
        let _under_way = self.host.enter();
        let synced = match &self.handle {
            Handle::Durable(file) => file.fdatasync().await,
            Handle::Buffered(file) => file.fdatasync().await,
        };
        synced.map_err(|error| self.failed("sync", error))
    }

    pub(in crate::io) async fn read(&self, offset: u64, size: usize) -> io::Result<UringBytes> {
        let _under_way = self.host.enter();
        let read = match &self.handle {
            Handle::Durable(file) => file.read_at_aligned(offset, size).await,
            Handle::Buffered(file) => file.read_at(offset, size).await,
        };
        read.map_err(|error| self.failed("read", error))
    }

    pub(in crate::io) async fn close(self) -> io::Result<()> {
        let _under_way = self.host.enter();
        let closed = match self.handle {
            Handle::Durable(file) => file.close().await,
            Handle::Buffered(file) => file.close().await,
        };
        closed.map_err(|error| failed("close", &self.path, plain(error)))
    }
}
