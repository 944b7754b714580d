//! docs/parity.md tells the truth about itself: the rows it must have, three statuses, proofs that exist.
//!
//! Not here: whether the proofs hold, which they say themselves, and whether the facts are right, which the tables of
//! the peer's surface say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The words a status may be.
const STATUSES: [&str; 3] = ["done", "differs", "not yet"];
/// The first line of every table of the page.
const HEADER: &str = "| row | status | shown by | remark |";
/// Lists of rows that the page must have.
const REQUIRED: [&str; 2] = ["client-rows.txt", "parity-rows.txt"];

/// One row of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    line: usize,
    key: String,
    status: String,
    proofs: Vec<String>,
    remark: String,
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the page, in order; a line that cannot be read as a row is a finding.
fn parse(page: &str) -> Result<Vec<Row>, Vec<String>> {
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for (index, line) in page.lines().enumerate() {
        if !line.starts_with('|') || line == HEADER || line.chars().all(|c| matches!(c, '|' | '-')) {
            continue;
        }
        // A bar inside a cell is written `\|`.
        let cells: Vec<String> = line
            .trim_matches('|')
            .replace("\\|", "\0")
            .split('|')
            .map(|cell| cell.trim().replace('\0', "|"))
            .collect();
        let [key, status, proofs, remark] = cells.as_slice() else {
            findings.push(format!(
                "line {}: {} cells, not 4: {line}",
                index + 1,
                cells.len()
            ));
            continue;
        };
        rows.push(Row {
            line: index + 1,
            key: key.trim_matches('`').to_owned(),
            status: status.clone(),
            proofs: proofs
                .split(", ")
                .filter(|proof| !proof.is_empty())
                .map(|proof| proof.trim_matches('`').to_owned())
                .collect(),
            remark: remark.clone(),
        });
    }
    if findings.is_empty() {
        Ok(rows)
    } else {
        Err(findings)
    }
}

/// What the rows say that cannot be so. `is_proof` tells whether a proof exists and may stand for the row.
fn judge(
    rows: &[Row],
    required: &BTreeSet<String>,
    is_proof: &dyn Fn(&str, &str) -> Result<(), String>,
) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen = BTreeMap::new();
    for row in rows {
        let mut say = |what: String| findings.push(format!("line {}: `{}`: {what}", row.line, row.key));
        if let Some(first) = seen.insert(row.key.clone(), row.line) {
            say(format!("stands in line {first} already"));
        }
        if !required.contains(&row.key) {
            say("is in no list of rows (tests/fixtures)".to_owned());
        }
        match row.status.as_str() {
            "done" if row.proofs.is_empty() => say("done, but nothing shows it".to_owned()),
            "done" => {
                for proof in &row.proofs {
                    if let Err(what) = is_proof(&row.key, proof) {
                        say(format!("{proof}: {what}"));
                    }
                }
            }
            "differs" | "not yet" if row.remark.is_empty() => say(format!("{}, but not why", row.status)),
            "differs" | "not yet" if !row.proofs.is_empty() => {
                say(format!("{} has no proof; name it in the remark", row.status));
            }
            status if !STATUSES.contains(&status) => say(format!("{status:?} is no status: {STATUSES:?}")),
            _ => {}
        }
    }
    for key in required {
        if !seen.contains_key(key) {
            findings.push(format!("`{key}` is missing"));
        }
    }
    findings
}

/// The keys of the checked-in lists.
fn required() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in REQUIRED {
        for line in read(&format!("tests/fixtures/{file}")).lines() {
            if !line.is_empty() && !line.starts_with('#') {
                assert!(keys.insert(line.to_owned()), "{file}: {line} stands twice");
            }
        }
    }
    keys
}

/// Whether a proof is in the tree: `name.txt` is a transcript that covers the row, if it is one of those transcripts
/// cover; `path/to/file.rs::name` is a test function.
fn in_tree(key: &str, proof: &str, client_rows: &BTreeSet<String>) -> Result<(), String> {
    if let Some((file, name)) = proof.split_once("::") {
        let text = fs::read_to_string(root().join(file)).map_err(|error| error.to_string())?;
        return is_test(&text, name);
    }
    let text =
        fs::read_to_string(root().join("tests/golden").join(proof)).map_err(|error| error.to_string())?;
    let covers = text
        .lines()
        .find_map(|line| line.strip_prefix("# covers: "))
        .unwrap_or_default();
    if client_rows.contains(key) && !covers.split("; ").any(|row| row == key) {
        return Err("the transcript does not say that it covers this row".to_owned());
    }
    Ok(())
}

/// Whether `name` is a test function of this source text: `fn name(` with a test attribute in the lines above it.
fn is_test(source: &str, name: &str) -> Result<(), String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let Some(at) = lines
        .iter()
        .position(|line| line.trim_start_matches("async ").starts_with(&head))
    else {
        return Err("there is no such function".to_owned());
    };
    let above = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let is_test = above
        .into_iter()
        .any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"));
    if is_test {
        Ok(())
    } else {
        Err("the function is no test".to_owned())
    }
}

/// Every required row is on the page, with a status of three, and what is done has a proof that exists.
#[test]
fn parity_page_is_complete_and_proven() {
    let rows = parse(&read("docs/parity.md")).unwrap_or_else(|findings| panic!("{}", findings.join("\n")));
    let client_rows: BTreeSet<String> = read("tests/fixtures/client-rows.txt")
        .lines()
        .map(str::to_owned)
        .collect();
    let findings = judge(&rows, &required(), &|key, proof| {
        in_tree(key, proof, &client_rows)
    });
    assert!(findings.is_empty(), "docs/parity.md\n{}", findings.join("\n"));
    for status in STATUSES {
        let count = rows.iter().filter(|row| row.status == status).count();
        println!("{count} of {} rows: {status}", rows.len());
    }
}

/// The check finds what it is there for: each of these pages has one fault.
#[test]
fn faults_of_a_page_are_found() {
    let required = BTreeSet::from(["a".to_owned(), "b|c".to_owned()]);
    let findings = |page: &str| match parse(page) {
        Ok(rows) => judge(&rows, &required, &|_, proof| match proof {
            "there.txt" => Ok(()),
            _ => Err("gone".to_owned()),
        }),
        Err(findings) => findings,
    };
    let good = "| `a` | done | `there.txt` |  |\n";
    let other = "| `b\\|c` | not yet |  | because |\n";
    assert_eq!(
        findings(&format!("{HEADER}\n|---|---|---|---|\n{good}{other}")),
        [""; 0]
    );
    for (page, expected) in [
        (good.to_owned(), "`b|c` is missing"),
        (
            format!("{good}{good}{other}"),
            "line 2: `a`: stands in line 1 already",
        ),
        (
            format!("| `a` | done |  |  |\n{other}"),
            "line 1: `a`: done, but nothing shows it",
        ),
        (
            format!("| `a` | done | `there.txt`, `lost.txt` |  |\n{other}"),
            "line 1: `a`: lost.txt: gone",
        ),
        (
            format!("| `a` | nearly |  | because |\n{other}"),
            "line 1: `a`: \"nearly\" is no status: [\"done\", \"differs\", \"not yet\"]",
        ),
        (
            format!("| `a` | differs |  |  |\n{other}"),
            "line 1: `a`: differs, but not why",
        ),
        (
            format!("{good}{other}| `x` | not yet |  | because |\n"),
            "line 3: `x`: is in no list of rows (tests/fixtures)",
        ),
        (
            format!("{good}{other}| `x` | not yet |\n"),
            "line 3: 2 cells, not 4: | `x` | not yet |",
        ),
    ] {
        assert_eq!(findings(&page), [expected], "{page}");
    }
}

/// A test function is told from a function, and from nothing.
#[test]
fn test_functions_are_recognised() {
    let source = "#[test]\n/// What for.\nfn one() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn two() {}\nfn three() {}\n";
    assert_eq!(is_test(source, "one"), Ok(()));
    assert_eq!(is_test(source, "two"), Ok(()));
    assert_eq!(
        is_test(source, "three"),
        Err("the function is no test".to_owned())
    );
    assert_eq!(is_test(source, "on"), Err("there is no such function".to_owned()));
}
