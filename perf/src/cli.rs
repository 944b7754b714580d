//! Cli: the commands `compare`, `load` and `list`.
//!
//! Owns: flags, exit codes. Exit 0: every row has numbers and reached its goal (with `--no-goals`: has numbers);
//! 1: one did not; 2: wrong use or the harness itself failed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use crate::compare::Comparison;
use crate::failure::Failure;
use crate::goals;
use crate::measure::Meter;
use crate::report::{self, Machine};
use crate::row::{self, Row};
use crate::server_process::ServerBinary;
use crate::trial::{self, Pace, Target};

/// A command line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Both servers, a table.
    Compare(CompareFlags),
    /// One row against a server that runs.
    Load {
        row: &'static str,
        port: u16,
        pid: Option<u32>,
        quick: bool,
    },
    /// The rows and their goals.
    List,
    /// The usage.
    Help,
}

/// Flags of `compare`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompareFlags {
    quick: bool,
    build: bool,
    no_goals: bool,
    rows: Option<Vec<&'static str>>,
    run_count: Option<u32>,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
    ours: Option<PathBuf>,
    theirs: Option<PathBuf>,
}

/// Runs the command line `arguments` (without the program's name).
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let outcome =
        Invocation::parse(arguments)
            .map_err(Failure::Setup)
            .and_then(|invocation| match invocation {
                Invocation::Compare(flags) => compare(&flags),
                Invocation::Load {
                    row,
                    port,
                    pid,
                    quick,
                } => load(row, port, pid, quick),
                Invocation::List => list(),
                Invocation::Help => print(USAGE).map(|()| ExitCode::SUCCESS),
            });
    outcome.unwrap_or_else(|failure| {
        // Nobody is left to tell when even stderr is gone.
        writeln!(io::stderr(), "pinion-perf: {failure}").unwrap_or_default();
        ExitCode::from(2)
    })
}

impl Invocation {
    /// Understands a command line.
    pub fn parse(arguments: Vec<OsString>) -> Result<Self, String> {
        let mut words = Vec::new();
        for argument in arguments {
            let word = argument
                .into_string()
                .map_err(|word| format!("not UTF-8: {word:?}"))?;
            // `--flag=value` and `--flag value` are the same.
            match word.strip_prefix("--").and_then(|flag| flag.split_once('=')) {
                Some((flag, value)) => words.extend([format!("--{flag}"), value.to_owned()]),
                None => words.push(word),
            }
        }
        let mut words = words.into_iter();
        match words.next().as_deref() {
            Some("compare") => CompareFlags::parse(words).map(Self::Compare),
            Some("load") => parse_load(words),
            Some("list") => Ok(Self::List),
            None | Some("help" | "--help" | "-h") => Ok(Self::Help),
            Some(other) => Err(format!("unknown command {other:?}\n{USAGE}")),
        }
    }
}

impl CompareFlags {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut flags = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => flags.quick = true,
                "--build" => flags.build = true,
                "--no-goals" => flags.no_goals = true,
                "--rows" => flags.rows = Some(parse_rows(&value()?)?),
                "--runs" => flags.run_count = Some(parse_number(&word, &value()?, 1)?),
                "--json" => flags.json = Some(value()?.into()),
                "--markdown" => flags.markdown = Some(value()?.into()),
                "--ours" => flags.ours = Some(value()?.into()),
                "--theirs" => flags.theirs = Some(value()?.into()),
                _ => return Err(format!("unknown flag {word:?}\n{USAGE}")),
            }
        }
        Ok(flags)
    }

    /// The rows asked for, in the order of the table, and those that their goals need.
    fn selected_rows(&self) -> Vec<&'static Row> {
        let Some(names) = &self.rows else {
            return row::all().iter().collect();
        };
        let needed: Vec<&str> = names.iter().filter_map(|name| goals::base_row(name)).collect();
        row::all()
            .iter()
            .filter(|row| names.contains(&row.name) || needed.contains(&row.name))
            .collect()
    }
}

fn parse_load(mut words: impl Iterator<Item = String>) -> Result<Invocation, String> {
    let (mut row, mut port, mut pid, mut quick) = (None, None, None, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--port" => port = Some(parse_number(&word, &value()?, 1)?),
            "--pid" => pid = Some(parse_number(&word, &value()?, 1)?),
            "--quick" => quick = true,
            name if !name.starts_with('-') && row.is_none() => row = Some(find_row(name)?.name),
            _ => return Err(format!("unexpected {word:?}\n{USAGE}")),
        }
    }
    let row = row.ok_or("load needs a row; `list` names them")?;
    let port = port.ok_or("load needs --port")?;
    let port = u16::try_from(port).map_err(|_| format!("--port {port}: a port is at most 65535"))?;
    Ok(Invocation::Load {
        row,
        port,
        pid,
        quick,
    })
}

fn parse_rows(text: &str) -> Result<Vec<&'static str>, String> {
    text.split(',')
        .map(|name| find_row(name).map(|row| row.name))
        .collect()
}

fn find_row(name: &str) -> Result<&'static Row, String> {
    row::find(name).ok_or_else(|| format!("no row is called {name:?}; `list` names them"))
}

fn parse_number(flag: &str, text: &str, least: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|&number| number >= least);
    number.ok_or_else(|| format!("{flag} {text}: a whole number from {least} on"))
}

fn compare(flags: &CompareFlags) -> Result<ExitCode, Failure> {
    raise_file_limit()?;
    let ours = match &flags.ours {
        Some(path) => Ok(ServerBinary::at(path.clone())),
        None => find_or_build_ours(flags.build),
    };
    let theirs = match &flags.theirs {
        Some(path) => Ok(ServerBinary::at(path.clone())),
        None => ServerBinary::find_peer(),
    };
    let comparison = Comparison {
        ours,
        theirs,
        rows: flags.selected_rows(),
        run_count: flags.run_count.unwrap_or(if flags.quick { 1 } else { RUN_COUNT }),
        pace: if flags.quick { Pace::QUICK } else { Pace::FULL },
    };
    let results = comparison.run(&mut io::stderr())?;
    let verdicts = goals::judge(&results);
    print(&format!("\n{}", report::to_text(&results, &verdicts)))?;
    let machine = Machine::describe();
    if let Some(path) = &flags.json {
        let text = serde_json::to_string_pretty(&report::to_json(&results, &verdicts, &machine))
            .expect("a JSON value has string keys only");
        write_file(path, &(text + "\n"))?;
    }
    if let Some(path) = &flags.markdown {
        let fresh = report::to_markdown(&results, &verdicts, &machine, COMMAND);
        let text = match fs::read_to_string(path) {
            Ok(replaced) => report::keep_notes(fresh, &replaced),
            Err(e) if e.kind() == io::ErrorKind::NotFound => fresh,
            Err(e) => return Err(Failure::io(format!("read {}", path.display()), e)),
        };
        write_file(path, &text)?;
    }
    let good = verdicts.iter().all(|verdict| match flags.no_goals {
        true => verdict.missing.is_none(),
        false => verdict.ok,
    });
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn find_or_build_ours(build: bool) -> Result<ServerBinary, Failure> {
    if !build {
        if let Ok(found) = ServerBinary::find_ours() {
            return Ok(found);
        }
    }
    let status = Command::new("cargo")
        .args(["build", "--release", "-p", "pinion"])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(Failure::Setup(String::from(
            "cargo build --release -p pinion did not succeed",
        )));
    }
    ServerBinary::find_ours()
}

fn load(row: &str, port: u16, pid: Option<u32>, quick: bool) -> Result<ExitCode, Failure> {
    raise_file_limit()?;
    let row = row::find(row).expect("parsed by find_row");
    let target = Target {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        meter: pid.map(Meter::new),
        must_tell_shard: false,
        spin: false,
    };
    let pace = if quick { Pace::QUICK } else { Pace::FULL };
    let trial = trial::run(row, target, pace, None)?;
    let mut text = format!("{}: {}\n", row.name, row.what);
    for ((load, quantity), value) in &trial.figures {
        text.push_str(&format!(
            "{:>10}  {:<28} {value:.2}\n",
            load.name(),
            quantity.name()
        ));
    }
    for (name, percent) in &trial.threads {
        text.push_str(&format!("{:>10}  {name:<28} {percent:.1} %\n", "thread"));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> Result<ExitCode, Failure> {
    let mut table = crate::table::Table::new(&["row", "goal", "what"]);
    for row in row::all() {
        let goal = goals::goal_of(row.name)
            .map(|goal| goal.to_string())
            .unwrap_or_default();
        table.push(vec![row.name.to_owned(), goal, row.what.to_owned()]);
    }
    print(&table.to_text())?;
    Ok(ExitCode::SUCCESS)
}

/// The row with 10,000 connections needs as many files here and in the server, which inherits the limit.
fn raise_file_limit() -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .map_err(|e| Failure::io("raise the limit of open files", e.into()))
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|e| Failure::io("print", e))
}

fn write_file(path: &PathBuf, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|e| Failure::io(format!("write {}", path.display()), e))
}

/// Alternating runs when nothing else is asked for.
const RUN_COUNT: u32 = 3;

const COMMAND: &str = "cargo run --release -p pinion-perf -- compare --markdown docs/benchmarks.md";

const USAGE: &str = "\
usage: pinion-perf compare [--quick] [--rows A,B] [--runs N] [--json FILE] [--markdown FILE] [--no-goals]
                           [--build] [--ours PATH] [--theirs PATH]
       pinion-perf load ROW --port P [--pid PID] [--quick]
       pinion-perf list
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, String> {
        Invocation::parse(line.split_whitespace().map(OsString::from).collect())
    }

    /// Flags with a space and with an equals sign mean the same.
    #[test]
    fn compare_flags_are_understood() {
        let spaced = parse("compare --quick --rows 20x20,churn --runs 5 --json x --no-goals").unwrap();
        assert_eq!(
            spaced,
            parse("compare --no-goals --json=x --runs=5 --rows=20x20,churn --quick").unwrap()
        );
        let Invocation::Compare(flags) = spaced else {
            unreachable!("asked for compare")
        };
        assert_eq!(flags.rows, Some(vec!["20x20", "churn"]));
        assert_eq!(flags.run_count, Some(5));
        assert!(flags.no_goals && flags.quick && !flags.build);
    }

    /// A two-core row brings the row along that its goal is measured against.
    #[test]
    fn selection_brings_the_base_row() {
        let Ok(Invocation::Compare(flags)) = parse("compare --rows 2c-20x20") else {
            unreachable!("a compare command")
        };
        let names: Vec<&str> = flags.selected_rows().iter().map(|row| row.name).collect();
        assert_eq!(names, ["20x20", "2c-20x20"]);
    }

    /// Wrong use is told, not guessed.
    #[test]
    fn wrong_use_is_refused() {
        for line in [
            "compere",
            "compare --rows nope",
            "compare --runs 0",
            "compare --json",
            "compare extra",
            "load",
            "load 20x20",
            "load 20x20 --port 70000",
            "load nope --port 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let expected = Invocation::Load {
            row: "20x20",
            port: 4222,
            pid: Some(7),
            quick: true,
        };
        assert_eq!(parse("load 20x20 --port 4222 --pid 7 --quick"), Ok(expected));
    }
}
