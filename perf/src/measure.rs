//! Measure: what /proc says about the server's process.
//!
//! Owns: CPU time of all threads, resident memory. Units: nanoseconds, KiB.
//!
//! CPU comes from `task/*/schedstat`, whose first field is the time on CPU in ns. Kernel workers that io_uring starts
//! for the process are tasks of it and so count. A thread that ended meanwhile took its own figure along; then the
//! process total of `stat` (clock ticks, ended threads included) is used in its place.

use std::collections::BTreeMap;
use std::fs;

use crate::failure::Failure;

/// A process under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    pid: u32,
}

/// CPU times at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuSnapshot {
    /// Time on CPU by thread id.
    threads: BTreeMap<u32, ThreadCpu>,
    /// `utime + stime` of the whole process.
    process_ticks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ThreadCpu {
    name: String,
    cpu_ns: u64,
}

/// CPU used between two snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CpuUse {
    /// All threads together.
    pub total_ns: u64,
    /// Busiest first.
    pub threads: Vec<(String, u64)>,
}

impl Meter {
    /// A meter for the process `pid`.
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<CpuSnapshot, Failure> {
        let mut snapshot = CpuSnapshot {
            threads: BTreeMap::new(),
            process_ticks: parse_stat_ticks(&self.read("stat")?).ok_or_else(|| self.malformed("stat"))?,
        };
        let tasks = format!("/proc/{}/task", self.pid);
        let entries = fs::read_dir(&tasks).map_err(|e| Failure::io(format!("list {tasks}"), e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Failure::io(format!("list {tasks}"), e))?;
            let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may end between the listing and the reading: then it is not there.
            let (Ok(stat), Ok(name)) = (
                fs::read_to_string(entry.path().join("schedstat")),
                fs::read_to_string(entry.path().join("comm")),
            ) else {
                continue;
            };
            let cpu_ns = parse_schedstat(&stat).ok_or_else(|| self.malformed("schedstat"))?;
            snapshot.threads.insert(
                tid,
                ThreadCpu {
                    name: name.trim().to_owned(),
                    cpu_ns,
                },
            );
        }
        Ok(snapshot)
    }

    /// Resident memory now.
    pub fn rss_kib(&self) -> Result<u64, Failure> {
        parse_status_kib(&self.read("status")?, "VmRSS").ok_or_else(|| self.malformed("status"))
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).map_err(|e| Failure::io(format!("read {path} (did the server end?)"), e))
    }

    fn malformed(&self, file: &str) -> Failure {
        Failure::Setup(format!("/proc/{}/{file} has an unknown form", self.pid))
    }
}

impl CpuSnapshot {
    /// What was used from `before` until this snapshot.
    pub fn since(&self, before: &Self) -> CpuUse {
        let mut threads: Vec<(String, u64)> = self
            .threads
            .iter()
            .map(|(tid, thread)| {
                let earlier = before.threads.get(tid).map_or(0, |thread| thread.cpu_ns);
                (thread.name.clone(), thread.cpu_ns.saturating_sub(earlier))
            })
            .collect();
        threads.sort_by_key(|(_, cpu_ns)| std::cmp::Reverse(*cpu_ns));
        let mut total_ns = threads.iter().map(|(_, cpu_ns)| cpu_ns).sum();
        if before.threads.keys().any(|tid| !self.threads.contains_key(tid)) {
            let ticks = self.process_ticks.saturating_sub(before.process_ticks);
            total_ns = u64::max(total_ns, ticks * NS_PER_TICK);
        }
        CpuUse { total_ns, threads }
    }
}

/// First field of `schedstat`: nanoseconds on CPU.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// `utime + stime` of `/proc/PID/stat`. The name in parentheses may hold spaces and parentheses.
fn parse_stat_ticks(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

/// A `Key:   123 kB` line of `/proc/PID/status`.
fn parse_status_kib(text: &str, key: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Linux reports `stat` in hundredths of a second on every platform Pinion runs on.
const NS_PER_TICK: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Real lines of /proc, a hostile thread name included.
    #[test]
    fn proc_files_are_parsed() {
        assert_eq!(parse_schedstat("98095 131658 2\n"), Some(98095));
        assert_eq!(parse_schedstat(""), None);
        let stat =
            "71 (a) b) S 1 71 71 0 -1 4194560 901 0 0 0 12 30 0 0 20 0 9 0 5 100 50 18446744073709551615";
        assert_eq!(parse_stat_ticks(stat), Some(42));
        assert_eq!(parse_stat_ticks("71 (a S 1"), None);
        let status = "Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t    8124 kB\n";
        assert_eq!(parse_status_kib(status, "VmRSS"), Some(8124));
        assert_eq!(parse_status_kib(status, "VmSwap"), None);
    }

    fn snapshot(process_ticks: u64, threads: &[(u32, u64)]) -> CpuSnapshot {
        let threads = threads
            .iter()
            .map(|&(tid, cpu_ns)| {
                (
                    tid,
                    ThreadCpu {
                        name: format!("t{tid}"),
                        cpu_ns,
                    },
                )
            })
            .collect();
        CpuSnapshot {
            threads,
            process_ticks,
        }
    }

    /// New threads count from zero, and the busiest comes first.
    #[test]
    fn use_is_the_difference_per_thread() {
        let used = snapshot(0, &[(1, 150), (2, 90)]).since(&snapshot(0, &[(1, 100)]));
        assert_eq!(used.total_ns, 140);
        assert_eq!(used.threads, [(String::from("t2"), 90), (String::from("t1"), 50)]);
    }

    /// A thread that ended does not hide its time.
    #[test]
    fn ended_thread_is_covered_by_the_process_total() {
        let used = snapshot(7, &[(1, 150)]).since(&snapshot(3, &[(1, 100), (2, 5)]));
        assert_eq!(used.total_ns, 4 * NS_PER_TICK);
    }

    /// This very process can be measured.
    #[test]
    fn own_process_is_measured() {
        let meter = Meter::new(std::process::id());
        let before = meter.cpu().unwrap();
        let mut sum = 0u64;
        while meter.cpu().unwrap().since(&before).total_ns < 1_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(meter.rss_kib().unwrap() > 100);
        assert!(sum > 0);
    }
}
