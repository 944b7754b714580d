//! All transcripts of `tests/golden` against one program, a server for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::runner::{run, Delivery, Outcome};
use super::script::Script;
use crate::server::{Kind, Program};

/// Transcripts that run at the same time; most of their time is waiting.
const WORKERS: usize = 4;

/// The folder of the transcripts.
pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The transcripts to run, by name: all, or with `GOLDEN=part` in the environment those whose name contains it.
pub fn load() -> Vec<Script> {
    let only = std::env::var("GOLDEN").unwrap_or_default();
    let mut scripts = load_all();
    scripts.retain(|script| script.name.contains(&only));
    assert!(!scripts.is_empty(), "no transcript matches GOLDEN={only}");
    scripts
}

/// All transcripts, by name.
pub fn load_all() -> Vec<Script> {
    let files = fs::read_dir(golden_folder()).expect("the golden folder is there");
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(path).expect("a transcript is text");
            Script::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect()
}

/// Runs all; gives the differences, in the order of the files.
pub fn run_all(program: &Program, delivery: Delivery, update: bool) -> Vec<String> {
    let scripts = load();
    let next = AtomicUsize::new(0);
    let mut differences: Vec<(usize, String)> = std::thread::scope(|scope| {
        let worker = || {
            let mut found = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(script) = scripts.get(index) else {
                    return found;
                };
                if let Some(difference) = run_one(script, program, delivery, update) {
                    found.push((index, difference));
                }
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker does not panic"))
            .collect()
    });
    differences.sort();
    differences
        .into_iter()
        .map(|(_, difference)| difference)
        .collect()
}

fn run_one(script: &Script, program: &Program, delivery: Delivery, update: bool) -> Option<String> {
    let mut server = match program.try_start(&script.config) {
        Ok(server) => server,
        Err(failure) => return Some(format!("{}: {failure}", script.name)),
    };
    let delivery = if script.peer_whole && program.kind == Kind::Peer {
        Delivery::Whole
    } else {
        delivery
    };
    match run(script, &mut server, delivery, update) {
        Outcome::Same => None,
        Outcome::Different(difference) => Some(difference),
        Outcome::Rewritten(text) => {
            fs::write(golden_folder().join(&script.name), text).expect("a transcript can be rewritten");
            None
        }
    }
}

/// Fails with all differences and the way to repeat one.
pub fn assert_same(differences: &[String], total: usize, repeat: &str) {
    assert!(
        differences.is_empty(),
        "{} of {total} transcripts differ:\n\n{}\n\nrepeat one: GOLDEN=<part of its name> {repeat}",
        differences.len(),
        differences.join("\n\n")
    );
}
