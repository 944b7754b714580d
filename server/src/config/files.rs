//! What the configuration needs of the outside: bytes of files and variables of the environment.
//!
//! Both come in through traits, so that tests and simulation hand in their own; closures will do.

use std::io;
use std::path::{Path, PathBuf};

/// Reads whole files.
pub trait ReadFile {
    /// The bytes of the file at `path`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

impl<F: Fn(&Path) -> io::Result<Vec<u8>>> ReadFile for F {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

/// Looks up variables of the environment.
pub trait Env {
    /// The value of `name`, if it is set and is text.
    fn var(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Where the file named by an include lies: below the folder of the including file, whatever it starts with.
/// The peer joins an absolute path to that folder as well.
pub(super) fn include_path(including: &str, written: &str) -> PathBuf {
    let folder = including
        .rsplit_once('/')
        .map_or("", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    clean(&format!("{folder}/{written}"), folder.is_empty())
}

/// The path without `.`, `..` and empty parts where that can be said without looking at the disk.
fn clean(path: &str, relative: bool) -> PathBuf {
    let absolute = path.starts_with('/') && !relative;
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    PathBuf::from(match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Includes are found beside the including file.
    #[test]
    fn include_paths_join_the_folder_of_the_including_file() {
        for (including, written, path) in [
            ("a.conf", "b.conf", "b.conf"),
            ("a.conf", "./x/../b.conf", "b.conf"),
            ("a.conf", "../b.conf", "../b.conf"),
            ("a.conf", "/b.conf", "b.conf"),
            ("/etc/nats/a.conf", "b.conf", "/etc/nats/b.conf"),
            ("/etc/nats/a.conf", "/b.conf", "/etc/nats/b.conf"),
            ("/a.conf", "../../b.conf", "/b.conf"),
            ("", "b.conf", "b.conf"),
            ("x/a.conf", "..", "."),
        ] {
            assert_eq!(
                include_path(including, written),
                PathBuf::from(path),
                "{including} {written}"
            );
        }
    }
}
