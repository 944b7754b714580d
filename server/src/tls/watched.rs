//! The files behind a listener's TLS: have they changed?
//!
//! Owns: what each file looked like when it was last read. Not here: reading them (`tls`), when to look (`boot`).

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::tls::TlsBlock;

/// What a file looked like; `None`: it was not there.
type Look = Option<(SystemTime, u64)>;

/// The files of some blocks.
#[derive(Debug)]
pub struct WatchedFiles {
    files: Vec<(PathBuf, Look)>,
}

impl WatchedFiles {
    /// The files that `blocks` name, as they are now.
    pub fn of<'a>(blocks: impl IntoIterator<Item = &'a TlsBlock>) -> Self {
        let mut files = Vec::new();
        for block in blocks {
            let pairs = block
                .certificates
                .iter()
                .flat_map(|files| [&files.cert_file, &files.key_file]);
            files.extend(pairs.chain(&block.ca_file).map(|path| (path.clone(), look(path))));
        }
        Self { files }
    }

    /// Whether one of them looks different since the last time this was asked.
    pub fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.files {
            let now = look(path);
            changed |= now != *seen;
            *seen = now;
        }
        changed
    }
}

fn look(path: &PathBuf) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
