//! From a file to options: read, parse, take over, resolve; and what `-t` says about it.
//!
//! Owns: the order of these steps and the digest of a configuration.
//! Not here: flags. The command line merges its own `RawOptions` over `Loaded::raw` and resolves again.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::apply::{apply, Applied};
use super::diagnostic::{Diagnostic, Severity};
use super::files::{Env, ReadFile};
use super::options::Options;
use super::parser::parse_file;
use super::raw::{RawOptions, PAYLOAD_SIZE_DISCOURAGED};
use super::table::Table;
use super::value::Map;

/// A configuration that the server can start with.
#[derive(Debug)]
pub struct Loaded {
    /// What was written, for flags to be merged over.
    pub raw: RawOptions,
    /// What it means without any flag.
    pub options: Options,
    /// Findings that do not keep the server from starting.
    pub warnings: Vec<Diagnostic>,
    /// `sha256:` and the hash of all values, the same as the peer's.
    pub digest: String,
}

/// Loads the file at `path`. The error holds every finding, warnings among them.
pub fn load(path: &Path, read: &dyn ReadFile, env: &dyn Env) -> Result<Loaded, Vec<Diagnostic>> {
    let map = parse_file(path, read, env)?;
    let Applied { raw, mut diagnostics } = apply(&map, &Table::new());
    if map.is_empty() {
        let text = format!("{}: config has no values or is empty", path.display());
        diagnostics.push(Diagnostic::warning(None, text));
    }
    match raw.resolve() {
        // A setting that was refused by itself has its default here, which may then contradict another one.
        Err(problems) if !has_error(&diagnostics) => diagnostics.extend(problems),
        Ok(options) if !has_error(&diagnostics) => {
            if let Err(problem) = crate::auth::compile(&options.access, None) {
                diagnostics.push(problem);
                return Err(diagnostics);
            }
            if options.limits.payload_size > PAYLOAD_SIZE_DISCOURAGED {
                let at = raw.origins.get("max_payload").cloned();
                let text = "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance";
                diagnostics.push(Diagnostic::notice(at, text));
            }
            if let Err(text) = crate::tls::check(&options, read) {
                diagnostics.push(Diagnostic::error(raw.origins.get("tls").cloned(), text));
                return Err(diagnostics);
            }
            return Ok(Loaded {
                raw,
                options,
                warnings: diagnostics,
                digest: digest(&map),
            });
        }
        _ => {}
    }
    Err(diagnostics)
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Names the values of a configuration, whatever its comments, order and spelling are.
pub fn digest(map: &Map) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(map.to_digest_json()) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// What `-t` answers about a file that `load` was asked for, without the program's name before it: the verdict of a valid
/// file, or all findings. Keys that are known and have no effect come last and change no verdict.
pub fn check(path: &Path, loaded: &Result<Loaded, Vec<Diagnostic>>) -> Result<String, String> {
    let (diagnostics, digest) = match loaded {
        Ok(loaded) => (&loaded.warnings, Some(&loaded.digest)),
        Err(diagnostics) => (diagnostics, None),
    };
    let mut lines: Vec<String> = Vec::new();
    let mut take = |severity: Severity| {
        let found = diagnostics.iter().filter(|found| found.severity == severity);
        lines.extend(found.map(Diagnostic::to_string));
    };
    // Warnings stand before errors, as the peer prints them; for `-t` either is a failure.
    take(Severity::Warning);
    take(Severity::Error);
    take(Severity::Notice);
    let failed = diagnostics.iter().any(|found| found.severity != Severity::Notice);
    match digest {
        Some(digest) if !failed => {
            lines.insert(
                0,
                format!("configuration file {} is valid ({digest})", path.display()),
            );
            Ok(lines.join("\n"))
        }
        _ => Err(lines.join("\n")),
    }
}

#[cfg(test)]
mod tests;
