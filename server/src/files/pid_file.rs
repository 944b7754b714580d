//! The pid file: the process id in decimal, no line end.
//!
//! Invariant: dropping it removes the file only while it still holds this process's id, so that a server that
//! ends late does not remove the file of its successor. (The Go server leaves its file behind.)

use std::io;
use std::path::{Path, PathBuf};

use super::write_atomically;
use crate::cli::go_syntax::os_error;

/// Only the owner writes and reads, as with the Go server.
const FILE_MODE: u32 = 0o600;

/// The written pid file; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes this process's id to `path`. The error is the line to log as fatal.
    pub fn write(path: &Path) -> Result<PidFile, String> {
        let content = std::process::id().to_string();
        write_atomically(path, content.as_bytes(), FILE_MODE)
            .map_err(|error| could_not_write(path, &error))?;
        Ok(PidFile {
            path: path.to_owned(),
            content,
        })
    }
}

fn could_not_write(path: &Path, error: &io::Error) -> String {
    format!(
        "Could not write pidfile: open {}: {}",
        path.display(),
        os_error(error)
    )
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            // Nobody is left who could mend it; the content tells a reader that the process is gone.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written whole, readable by `--signal`, gone at the end, and the successor's file stays.
    #[test]
    fn written_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.pid");
        std::fs::write(&path, "1234567890 of a server that crashed").unwrap();
        let pid_file = PidFile::write(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            std::process::id().to_string()
        );
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
        drop(pid_file);
        assert!(!path.exists());

        let pid_file = PidFile::write(&path).unwrap();
        std::fs::write(&path, "1").unwrap();
        drop(pid_file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1");
    }

    /// The Go server's words.
    #[test]
    fn missing_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no/such.pid");
        assert_eq!(
            PidFile::write(&path).unwrap_err(),
            format!(
                "Could not write pidfile: open {}: no such file or directory",
                path.display()
            )
        );
    }
}
