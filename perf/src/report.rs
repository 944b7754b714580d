//! Report: the results as tables, JSON and Markdown.
//!
//! Owns: which numbers stand in which column, and the description of the machine. Ratios come first: they are what
//! other machines can compare with.

use std::fs;
use std::process::Command;

use serde_json::{json, Map, Value};

use crate::compare::{RowResult, Side, GENERATOR_PERCENT_MAX};
use crate::figure::{LoadPoint, Quantity, Spread};
use crate::goals::Verdict;
use crate::table::Table;

/// Where the numbers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Commit of the tree, `+` when it has changes.
    pub commit: String,
    /// Kernel release.
    pub kernel: String,
    /// CPU model and how many cores.
    pub cpu: String,
}

impl Machine {
    /// Asks git and the kernel; what does not answer is `unknown`.
    pub fn describe() -> Self {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).output().ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
        let mark = if changed { "+" } else { "" };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| format!("{commit}{mark}"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .ok()
            .map(|text| text.trim().to_owned());
        let cpu = fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|text| parse_cpuinfo(&text));
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| String::from("unknown"));
        Self {
            commit: or_unknown(commit),
            kernel: or_unknown(kernel),
            cpu: or_unknown(cpu),
        }
    }
}

/// The tables: ratios, then each side's numbers.
pub fn tables(results: &[RowResult], verdicts: &[Verdict]) -> [Table; 3] {
    [ratios(results, verdicts), throughput(results), latencies(results)]
}

/// Everything for the terminal.
pub fn to_text(results: &[RowResult], verdicts: &[Verdict]) -> String {
    let [ratios, throughput, latencies] = tables(results, verdicts).map(|table| table.to_text());
    format!(
        "{RATIOS_NOTE}\n\n{ratios}\nMedian (min - max) at the row's main load; threads in percent of a core\n\n{throughput}\n\
         Latency in us, p50 / p99 / p99.9, from the intended send time\n\n{latencies}{}",
        missing_lines(verdicts)
    )
}

/// Everything for docs/benchmarks.md.
pub fn to_markdown(results: &[RowResult], verdicts: &[Verdict], machine: &Machine, command: &str) -> String {
    let [ratios, throughput, latencies] = tables(results, verdicts).map(|table| table.to_markdown());
    let rows: String = results
        .iter()
        .map(|result| format!("- `{}`: {}\n", result.row.name, result.row.what))
        .collect();
    format!(
        "# Benchmarks\n\nPinion beside the Go nats-server on the same cores, written by `{command}`.\n\n\
         - commit: {}\n- kernel: {}\n- CPU: {}\n\n## Ratios\n\n{RATIOS_NOTE}\n\n{ratios}\n\
         ## Throughput, CPU, memory\n\nMedian (min - max) over alternating runs at the row's main load.\n\n{throughput}\n\
         ## Latency\n\nMicroseconds, p50 / p99 / p99.9, open loop from the intended send time, the same offered rate \
         for both; closed loop in the `max` column.\n\n{latencies}\n{}## Rows\n\n{rows}",
        machine.commit,
        machine.kernel,
        machine.cpu,
        missing_lines(verdicts)
    )
}

/// `fresh` with the notes of the page it replaces: what a profile showed and what was tried is written by hand.
pub fn keep_notes(fresh: String, replaced: &str) -> String {
    match replaced.find(NOTES_HEADING) {
        Some(start) => fresh + &replaced[start..],
        None => fresh,
    }
}

/// Everything as JSON; each row has `row`, `goal`, `got` and `ok`.
pub fn to_json(results: &[RowResult], verdicts: &[Verdict], machine: &Machine) -> Value {
    let rows: Vec<Value> = results
        .iter()
        .zip(verdicts)
        .map(|(result, verdict)| {
            json!({
                "row": verdict.row,
                "goal": verdict.goal,
                "got": verdict.got,
                "ok": verdict.ok,
                "missing": verdict.missing.as_ref().map(ToString::to_string),
                "generator_busy": result.generator_was_busy(),
                "ours": side_json(&result.ours),
                "theirs": side_json(&result.theirs),
            })
        })
        .collect();
    json!({ "commit": machine.commit, "kernel": machine.kernel, "cpu": machine.cpu, "rows": rows })
}

fn side_json(side: &Side) -> Value {
    let mut loads = Map::new();
    let keys: std::collections::BTreeSet<(LoadPoint, Quantity)> =
        side.runs.iter().flat_map(|run| run.keys().copied()).collect();
    for (load, quantity) in keys {
        let Some(Spread { median, min, max }) = side.spread(load, quantity) else {
            continue;
        };
        let figures = loads
            .entry(load.name())
            .or_insert_with(|| Value::Object(Map::new()));
        figures[quantity.name()] = json!({ "median": median, "min": min, "max": max });
    }
    let threads: Vec<Value> = side
        .threads
        .iter()
        .map(|(name, percent)| json!({ "name": name, "busy_percent": percent }))
        .collect();
    json!({
        "missing": side.missing.as_ref().map(ToString::to_string),
        "run_count": side.runs.len(),
        "loads": loads,
        "threads": threads,
    })
}

fn ratios(results: &[RowResult], verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&[
        "row",
        "CPU less by",
        "rate",
        "p50 20%",
        "p99 20%",
        "p50 50%",
        "p99 50%",
        "RSS",
        "goal",
        "got",
        "ok",
        "",
    ]);
    for (result, verdict) in results.iter().zip(verdicts) {
        let load = result.row.main_load();
        let share = |load, quantity| times(result.share_of_theirs(load, quantity));
        table.push(vec![
            result.row.name.to_owned(),
            times(result.cpu_ratio()),
            share(load, Quantity::Rate),
            share(LoadPoint::Fifth, Quantity::P50),
            share(LoadPoint::Fifth, Quantity::P99),
            share(LoadPoint::Half, Quantity::P50),
            share(LoadPoint::Half, Quantity::P99),
            share(load, Quantity::Rss),
            verdict.goal.clone().unwrap_or_default(),
            verdict.got.map(|got| format!("{got:.2}")).unwrap_or_default(),
            judged(verdict),
            if result.generator_was_busy() {
                String::from("*")
            } else {
                String::new()
            },
        ]);
    }
    table
}

fn throughput(results: &[RowResult]) -> Table {
    let mut table = Table::new(&[
        "row",
        "server",
        "msg/s",
        "CPU ns/msg",
        "CPU %",
        "RSS MiB",
        "bytes each",
        "threads %",
        "generator %",
    ]);
    for result in results {
        for (server, side) in [("ours", &result.ours), ("theirs", &result.theirs)] {
            let load = result.row.main_load();
            let cell = |quantity, digits| range(side.spread(load, quantity), digits);
            let each = [
                Quantity::BytesPerConnection,
                Quantity::BytesPerSubscribedConnection,
                Quantity::BytesPerSubscription,
            ]
            .into_iter()
            .filter_map(|quantity| side.median(load, quantity))
            .map(|bytes| format!("{bytes:.0}"))
            .collect::<Vec<_>>();
            let threads: Vec<String> = side
                .threads
                .iter()
                .take(8)
                .map(|(_, percent)| format!("{percent:.0}"))
                .collect();
            table.push(vec![
                result.row.name.to_owned(),
                server.to_owned(),
                cell(Quantity::Rate, 0),
                cell(Quantity::CpuPerMessage, 0),
                cell(Quantity::CpuPercent, 2),
                cell(Quantity::Rss, 1),
                each.join(" / "),
                threads.join(" "),
                side.median(load, Quantity::Generator)
                    .map(|busy| format!("{busy:.0}"))
                    .unwrap_or_default(),
            ]);
        }
    }
    table
}

fn latencies(results: &[RowResult]) -> Table {
    let mut table = Table::new(&["row", "server", "max", "50%", "20%", "1% or fixed"]);
    for result in results {
        for (server, side) in [("ours", &result.ours), ("theirs", &result.theirs)] {
            let cell = |load| percentiles(side, load);
            let slow = result
                .row
                .loads
                .iter()
                .find(|load| matches!(load, LoadPoint::Hundredth | LoadPoint::Fixed(_)))
                .map(|&load| cell(load))
                .unwrap_or_default();
            let cells = [
                cell(LoadPoint::Saturation),
                cell(LoadPoint::Half),
                cell(LoadPoint::Fifth),
                slow,
            ];
            if cells.iter().any(|cell| !cell.is_empty()) {
                table.push(
                    [
                        vec![result.row.name.to_owned(), server.to_owned()],
                        cells.to_vec(),
                    ]
                    .concat(),
                );
            }
        }
    }
    table
}

fn percentiles(side: &Side, load: LoadPoint) -> String {
    let values: Option<Vec<String>> = [Quantity::P50, Quantity::P99, Quantity::P999]
        .into_iter()
        .map(|quantity| side.median(load, quantity).map(|us| format!("{us:.0}")))
        .collect();
    values.map(|values| values.join(" / ")).unwrap_or_default()
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}x"))
}

fn range(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(
        || String::from("-"),
        |Spread { median, min, max }| format!("{median:.digits$} ({min:.digits$} - {max:.digits$})"),
    )
}

fn judged(verdict: &Verdict) -> String {
    let text = match (&verdict.missing, &verdict.goal, verdict.ok) {
        (Some(crate::compare::Missing::Absent(_)), ..) => "absent",
        (Some(crate::compare::Missing::Failed(_)), ..) => "failed",
        (None, None, _) => "",
        (None, Some(_), true) => "yes",
        (None, Some(_), false) => "NO",
    };
    text.to_owned()
}

fn missing_lines(verdicts: &[Verdict]) -> String {
    let lines: String = verdicts
        .iter()
        .filter_map(|verdict| Some(format!("- {}: {}\n", verdict.row, verdict.missing.as_ref()?)))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\nRows without numbers:\n\n{lines}\n")
}

/// `model name` of the first core, and how many there are.
fn parse_cpuinfo(text: &str) -> Option<String> {
    let models: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, model)| model.trim())
        .collect();
    Some(format!("{} x {}", models.len(), models.first()?))
}

/// From here on a page is written by hand.
const NOTES_HEADING: &str = "\n## Notes\n";

const RATIOS_NOTE: &str =
    "CPU less by: theirs / ours per message. The others: ours / theirs (rate: more is better; latency, RSS: less is). \
     * the generator used over 80 % of its core, so the maximum may be the generator's.";
const _: () = assert!(GENERATOR_PERCENT_MAX == 80.0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Missing;
    use crate::goals::judge;
    use crate::goals::tests::result;

    fn machine() -> Machine {
        Machine {
            commit: String::from("abc"),
            kernel: String::from("6.18"),
            cpu: String::from("2 x Some CPU"),
        }
    }

    /// JSON carries row, goal, got and ok, and null where there is nothing.
    #[test]
    fn json_has_the_verdict() {
        let cpu = |name| result(name, LoadPoint::Saturation, Quantity::CpuPerMessage, 100.0, 450.0);
        let mut absent = cpu("1to1-1k");
        absent.ours.missing = Some(Missing::Absent(String::from("no binary")));
        let results = [cpu("1to1-16"), absent];
        let value = to_json(&results, &judge(&results), &machine());
        assert_eq!(value["commit"], "abc");
        let rows = value["rows"].as_array().unwrap();
        assert_eq!(rows[0]["row"], "1to1-16");
        assert_eq!(rows[0]["goal"], "CPU lower by 4x");
        assert_eq!(rows[0]["got"], 4.5);
        assert_eq!(rows[0]["ok"], true);
        assert_eq!(
            rows[0]["theirs"]["loads"]["max"]["cpu_per_message_ns"]["median"],
            450.0
        );
        assert_eq!(rows[1]["goal"], Value::Null);
        assert_eq!(rows[1]["ok"], false);
        assert_eq!(rows[1]["missing"], "absent (no binary)");
        assert_eq!(rows[1]["ours"]["loads"], json!({}));
    }

    /// The table says the ratio, the goal, and marks a busy generator.
    #[test]
    fn table_has_ratio_goal_and_mark() {
        let mut row = result(
            "1to1-16",
            LoadPoint::Saturation,
            Quantity::CpuPerMessage,
            100.0,
            390.0,
        );
        row.theirs.runs[0].insert((LoadPoint::Saturation, Quantity::Generator), 81.0);
        let results = [row];
        let text = to_text(&results, &judge(&results));
        let line = text.lines().find(|line| line.starts_with("1to1-16 ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], "3.90x");
        assert_eq!(words[words.len() - 3..], ["3.90", "NO", "*"]);
    }

    /// Markdown names commit, kernel and CPU, and why a row has no numbers.
    #[test]
    fn markdown_names_the_machine() {
        let mut row = result("20x20", LoadPoint::Saturation, Quantity::Rate, 1.0, 1.0);
        row.ours.missing = Some(Missing::Failed(String::from("3 of 9 messages lost")));
        let results = [row];
        let text = to_markdown(&results, &judge(&results), &machine(), "pinion-perf compare");
        for part in [
            "commit: abc",
            "kernel: 6.18",
            "CPU: 2 x Some CPU",
            "- 20x20: failed (3 of 9 messages lost)",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    /// What was written by hand survives a new run; the first page has none.
    #[test]
    fn notes_are_kept() {
        let old = "# Benchmarks\nold\n\n## Notes\n\nqueue-10 misses because ...\n";
        let expected = "# Benchmarks\nnew\n\n## Notes\n\nqueue-10 misses because ...\n";
        let fresh = String::from("# Benchmarks\nnew\n");
        assert_eq!(keep_notes(fresh.clone(), old), expected);
        assert_eq!(keep_notes(fresh.clone(), "# Benchmarks\nold\n"), fresh);
        assert_eq!(
            keep_notes(
                expected
                    .to_owned()
                    .replace("\n## Notes\n\nqueue-10 misses because ...\n", ""),
                expected
            ),
            expected
        );
    }

    /// Two cores of one model.
    #[test]
    fn cpuinfo_is_parsed() {
        let text =
            "processor\t: 0\nmodel name\t: A CPU @ 1GHz\n\nprocessor\t: 1\nmodel name\t: A CPU @ 1GHz\n";
        assert_eq!(parse_cpuinfo(text).as_deref(), Some("2 x A CPU @ 1GHz"));
        assert_eq!(parse_cpuinfo("processor : 0"), None);
    }
}
