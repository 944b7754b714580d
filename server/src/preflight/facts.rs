//! What the machine is like, gathered in one go.
//!
//! Owns: every system call and every file of /proc and /sys that preflight looks at. Decides nothing.
//! What cannot be read is left open rather than guessed.

use std::path::Path;

use io_uring::{IoUring as Ring, Probe};
use nix::sched::{sched_getaffinity, CpuSet};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::unistd::Pid;

use super::cgroup::{cpu_quota, CpuQuota, ReadText};
use super::uring::REQUIRED_OPERATIONS;

/// A soft and a hard limit. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is in force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// What came of trying io_uring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IoUring {
    /// A ring was set up.
    Works {
        /// Operations that the kernel lacks and the shards need.
        missing: Vec<&'static str>,
    },
    /// A ring was set up, but the kernel does not say what it can do.
    NoProbe,
    /// Setting up a ring failed with this errno.
    Refused(i32),
}

/// The machine as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As `uname -r`.
    pub kernel_release: String,
    /// What came of trying.
    pub io_uring: IoUring,
    /// kernel.io_uring_disabled; kernels before 6.6 have none.
    pub io_uring_disabled: Option<u32>,
    /// A seccomp filter is on this process.
    pub seccomp_filter: bool,
    /// CAP_IPC_LOCK: locked memory is not counted.
    pub may_lock_memory: bool,
    /// Locked memory, bytes.
    pub memlock: Limit,
    /// Open files.
    pub files: Limit,
    /// CPUs of the affinity mask, ascending.
    pub affinity: Vec<usize>,
    /// CPUs of the machine that are online.
    pub online_count: usize,
    /// The tightest CPU quota of the cgroups around this process.
    pub quota: Option<CpuQuota>,
}

impl Facts {
    /// Looks at this machine.
    pub fn gather() -> Facts {
        let host = HostFiles;
        let status = host.read(Path::new("/proc/self/status")).unwrap_or_default();
        Facts {
            kernel_release: nix::sys::utsname::uname().map_or_else(
                |_| String::new(),
                |name| name.release().to_string_lossy().into_owned(),
            ),
            io_uring: try_io_uring(),
            io_uring_disabled: host
                .read(Path::new("/proc/sys/kernel/io_uring_disabled"))
                .and_then(|text| text.trim().parse().ok()),
            seccomp_filter: status_field(&status, "Seccomp") == Some("2"),
            may_lock_memory: status_field(&status, "CapEff").is_some_and(has_ipc_lock),
            memlock: limit(Resource::RLIMIT_MEMLOCK),
            files: limit(Resource::RLIMIT_NOFILE),
            affinity: affinity(),
            online_count: host
                .read(Path::new("/sys/devices/system/cpu/online"))
                .map_or(0, |text| count_of_list(text.trim())),
            quota: cpu_quota(&host),
        }
    }
}

/// Raises the soft limits of open files and locked memory to the hard ones. What the kernel refuses shows in
/// the facts.
pub(super) fn raise_soft_limits() {
    for resource in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_MEMLOCK] {
        let limit = limit(resource);
        if limit.soft < limit.hard {
            setrlimit(resource, limit.hard, limit.hard).ok();
        }
    }
}

fn limit(resource: Resource) -> Limit {
    let (soft, hard) = getrlimit(resource).unwrap_or((0, 0));
    Limit { soft, hard }
}

fn try_io_uring() -> IoUring {
    let ring = match Ring::new(8) {
        Ok(ring) => ring,
        Err(error) => return IoUring::Refused(error.raw_os_error().unwrap_or(0)),
    };
    let mut probe = Probe::new();
    if ring.submitter().register_probe(&mut probe).is_err() {
        return IoUring::NoProbe;
    }
    let missing = REQUIRED_OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code));
    IoUring::Works {
        missing: missing.map(|(name, _)| *name).collect(),
    }
}

fn affinity() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// The value of `name:` in /proc/self/status.
fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Bit 14 of the capability mask.
fn has_ipc_lock(mask: &str) -> bool {
    u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << 14) != 0)
}

/// How many there are in a list like `0-3,8`.
fn count_of_list(list: &str) -> usize {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        last.checked_sub(first).map(|more| more + 1)
    });
    ranges.sum()
}

/// The files of this machine.
struct HostFiles;

impl ReadText for HostFiles {
    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as the kernel writes them.
    #[test]
    fn texts_of_the_kernel() {
        let status = "Name:\tpinion\nCapEff:\t0000000000004000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(status_field(status, "Seccomp"), Some("2"));
        assert_eq!(status_field(status, "Nothing"), None);
        assert!(status_field(status, "CapEff").is_some_and(has_ipc_lock));
        assert!(!has_ipc_lock("00000000a80425fb"), "docker's default");
        assert_eq!(count_of_list("0-3,8,10-11"), 7);
        assert_eq!(count_of_list("0"), 1);
        assert_eq!(count_of_list("nonsense,3-1"), 0);
    }

    /// This machine can be looked at at all.
    #[test]
    fn this_machine() {
        let facts = Facts::gather();
        assert!(!facts.kernel_release.is_empty());
        assert!(!facts.affinity.is_empty());
        assert!(facts.online_count >= facts.affinity.len());
        assert!(facts.files.soft > 0);
        assert!(facts.files.soft <= facts.files.hard);
    }
}
