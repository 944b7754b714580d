//! Tidy: habits of the tree that a compiler does not check. It names file and line; people judge.

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this holds two nouns, or a reason stands in `LONG_FILES`.
const LINES_MAX: usize = 1_000;
/// Long files, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", ".venv", "corpus", "artifacts"];
/// Words that do not reach main.
const FORBIDDEN: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!(")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_path_buf()
}

fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root(), &mut |path| {
        if path.extension().is_some_and(|e| e == extension) {
            let name = path
                .strip_prefix(root())
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            found.push((name, fs::read_to_string(path).expect("source is text")));
        }
    });
    found.sort();
    assert!(
        !found.is_empty(),
        "no .{extension} file found: the walk is broken"
    );
    found
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder)
        .expect("a folder of the tree can be read")
        .flatten()
    {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                walk(&path, visit);
            }
        } else {
            visit(&path);
        }
    }
}

fn report(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

/// Every Rust file opens with a line that says what it owns.
#[test]
fn rust_files_open_with_their_purpose() {
    let bare = files("rs")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name);
    report("these files do not open with `//!`", &bare.collect::<Vec<_>>());
}

/// Notes to oneself and debug prints do not reach main.
#[test]
fn no_leftovers() {
    let mut findings = Vec::new();
    for (name, text) in files("rs") {
        for (index, line) in text.lines().enumerate() {
            if FORBIDDEN.iter().any(|word| line.contains(word)) {
                findings.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    report("leftovers", &findings);
}

/// One noun a file.
#[test]
fn files_are_not_too_long() {
    let mut findings = Vec::new();
    for (name, text) in files("rs") {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(file, _)| *file == name);
        if lines > LINES_MAX && !excused {
            findings.push(format!(
                "{name}: {lines} lines; split it or give a reason in LONG_FILES"
            ));
        }
        if lines <= LINES_MAX && excused {
            findings.push(format!("{name}: no longer long, take it out of LONG_FILES"));
        }
    }
    report("long files", &findings);
}

/// The runtime is a detail of the io seam: nothing else names it.
#[test]
fn only_the_io_seam_names_glommio() {
    let mut findings = Vec::new();
    for (name, text) in files("rs") {
        let may = name.starts_with("shard/src/io") || name.starts_with("perf/") || name.starts_with("tests/");
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // A name inside a string is data: a log target, a message.
            let names_it = code.contains("glommio::") && !code.contains("\"glommio::");
            if !may && names_it {
                findings.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    report("glommio outside shard/src/io", &findings);
}

/// Links of the documents lead to files that exist.
#[test]
fn document_links_are_alive() {
    let mut findings = Vec::new();
    for (name, text) in files("md") {
        let folder = root()
            .join(&name)
            .parent()
            .expect("a file has a folder")
            .to_path_buf();
        for (index, line) in text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default().trim();
                let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
                if !outside && !folder.join(target).exists() {
                    findings.push(format!("{name}:{}: {target} does not exist", index + 1));
                }
            }
        }
    }
    report("dead links", &findings);
}

/// The code map names every room: each module folder of each crate.
#[test]
fn architecture_names_every_module_folder() {
    let Ok(map) = fs::read_to_string(root().join("docs/ARCHITECTURE.md")) else {
        println!("docs/ARCHITECTURE.md is not written yet");
        return;
    };
    let mut findings = Vec::new();
    for crate_folder in [
        "shard",
        "storage",
        "cluster",
        "server",
        "server/jetstream",
        "tests",
        "perf",
    ] {
        let source = root().join(crate_folder).join("src");
        for entry in fs::read_dir(&source).expect("a crate has src").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_module = entry.path().join("mod.rs").exists();
            if is_module && !map.contains(&name) {
                findings.push(format!(
                    "{crate_folder}/src/{name} is not named in docs/ARCHITECTURE.md"
                ));
            }
        }
    }
    report("unmapped modules", &findings);
}
