//! docs/configuration.md, written from the one table of keys.
//!
//! A test fails when the file is stale; `UPDATE_DOCS=1 cargo test -p pinion config::docs` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use super::table::{Key, Reload, Status, Table};

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from server/src/config/keys.tsv: `UPDATE_DOCS=1 cargo test -p pinion config::docs` -->

Pinion reads the configuration file of nats-server 2.14.5, with every form of its language. Each key is in one of three
states:

- **effective**: it does what it does there.
- **warned**: it is understood and has no effect yet, which is harmless. The server starts and says so once.
- **refused**: it is understood and has no effect yet, and silence about that would weaken protection, durability or
  topology. The server does not start and says where the key stands. A value that switches off what is not there anyway
  (`jetstream: false`) is let pass.

Keys that nats-server does not know are refused, unless a `$variable` used them. `pinion -t -c file` checks a file: all
findings at once, each as `file:line:column: what is wrong`, and the digest that nats-server prints for the same values.

Reload: **hot** keys take a new value with a reload, **restart** keys with a restart only, **partly** some changes.
A reload that changes a key for a restart is refused as a whole and names each of them. Operator mode and `pinned_certs`
need a restart here; nats-server takes some of their changes. Since: the release of nats-server that first has the key.

## Where the language differs from nats-server

All of these concern files that nats-server refuses, or reads in a way that nobody meant:

- Columns count from 1 on every line; nats-server counts from 0 on the first.
- A key inside a map without a value, a number with an unknown suffix, and a number that does not fit into 64 bits are
  errors. nats-server drops a key, or wraps the number around.
- `[1, 2]` is a list of two numbers. nats-server makes `2]` a text. With a suffix (`[1k]`) it is a text in both.
- A block string whose closing `)` ends the file does not contain that `)`.
- A single `/` where a key could stand, a NUL byte anywhere, and text that is not UTF-8 are errors.
- An include that leads back to itself is an error; nats-server does not come back from it. Bounds: maps and lists 128
  deep, 32 includes in a row, 256 MiB of text in all.
- Where two keys set the same thing (`listen` and `port`, `trace_verbose: true` and `trace: false`), the later one in the
  file wins, and `trace_verbose` always brings `trace` with it. In nats-server chance decides.
- `-t` also finds what keeps nats-server from starting only later: contradictions between keys, ports out of range,
  negative intervals.
";

fn configuration_md(table: &Table) -> String {
    let mut page = INTRODUCTION.to_owned();
    let rows =
        |wanted: &dyn Fn(&Key) -> bool| table.keys().iter().filter(|key| wanted(key)).collect::<Vec<_>>();

    section(&mut page, "Pinion's own keys", &rows(&|key| is_own(key)));
    let plain = rows(&|key| !key.is_syntax() && !is_own(key) && key.parent().is_empty());
    section(&mut page, "Top level", &plain);
    page.push_str("\n### Why keys are warned or refused\n\n| key | status | because |\n|---|---|---|\n");
    for key in plain.iter().filter(|key| key.status != Status::Effective) {
        let because = match key.status {
            Status::Refused => format!("without it {}", key.why),
            _ => key.why.to_owned(),
        };
        push(
            &mut page,
            format_args!("| `{}` | {} | {because} |\n", key.path, status(key)),
        );
    }
    for top in plain.iter().filter(|key| table.knows_below(key.path)) {
        let below = format!("{}.", top.path);
        section(
            &mut page,
            &format!("`{}`", top.path),
            &rows(&|key| key.path.starts_with(&below)),
        );
    }
    section(&mut page, "The language", &rows(&Key::is_syntax));
    page
}

fn is_own(key: &Key) -> bool {
    key.since.starts_with("pinion")
}

fn section(page: &mut String, title: &str, keys: &[&Key]) {
    assert!(!keys.is_empty(), "{title} has no keys");
    push(page, format_args!("\n## {title}\n\n"));
    page.push_str(
        "| key | type | default | reload | status | since | note |\n|---|---|---|---|---|---|---|\n",
    );
    for key in keys {
        let mut name = format!("`{}`", key.path);
        for alias in &key.aliases {
            push(&mut name, format_args!(", `{alias}`"));
        }
        let is_number = !key.default.is_empty() && key.default.bytes().all(|byte| byte.is_ascii_digit());
        let unit = if is_number && !key.unit.is_empty() {
            format!(" {}", key.unit)
        } else {
            String::new()
        };
        let reload = match key.reload {
            Reload::Hot => "hot",
            Reload::Restart => "restart",
            Reload::Partly => "partly",
        };
        let default = cell(&format!("{}{unit}", key.default));
        push(
            page,
            format_args!(
                "| {name} | {} | {default} | {reload} | {} | {} | {} |\n",
                cell(key.kind),
                status(key),
                cell(key.since),
                cell(key.note)
            ),
        );
    }
}

fn status(key: &Key) -> &'static str {
    match key.status {
        Status::Effective => "effective",
        Status::Warned => "warned",
        Status::Refused => "refused",
    }
}

/// Text that Markdown shows as it is.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('*', "\\*")
        .replace('_', "\\_")
        .replace("$ ", "\\$ ")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a String cannot fail");
}

/// The page says what the table says.
#[test]
fn configuration_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = configuration_md(&Table::new());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test -p pinion config::docs"
    );
}

/// Every row of the table has a row on the page.
#[test]
fn configuration_page_shows_every_key() {
    let table = Table::new();
    let page = configuration_md(&table);
    let shown = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() >= 6)
        .count();
    assert_eq!(shown, table.keys().len());
}
