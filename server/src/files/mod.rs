//! Small files that tell others about this process: its id and its open ports.
//!
//! Owns: writing them so that a reader never sees half of one, and removing them at the end.

mod pid_file;
mod ports_file;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use pid_file::PidFile;
pub use ports_file::{listener_urls, Ports, PortsFile};

/// Writes `content` beside `path` and renames it into place. Readers see the old file or the new one.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(OsString::from(format!(".{}.tmp", std::process::id())));
    let temporary: PathBuf = path.with_file_name(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one.
        std::fs::remove_file(&temporary).ok();
    }
    written
}
