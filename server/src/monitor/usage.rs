//! What the process uses: resident memory and processor time, from the kernel.
//!
//! These are pseudo files and calls that do not wait; they stand outside the io seam because a simulated server has
//! no process of its own.

use std::cell::Cell;
use std::time::Duration;

use nix::sys::resource::{getrusage, UsageWho};
use nix::sys::time::TimeValLike;
use pinion_shard::io::Time;

/// A share of the processor is measured over at least this time.
const SAMPLE_MIN: Duration = Duration::from_secs(1);

/// Resident memory in bytes; 0 when the kernel does not say.
pub(super) fn resident_size() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    resident_size_in(&status).unwrap_or(0)
}

fn resident_size_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads since the start; zero when the kernel does not say.
pub(super) fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Cores the process may use.
pub(super) fn cores() -> usize {
    let this_process = nix::unistd::Pid::from_raw(0);
    let Ok(set) = nix::sched::sched_getaffinity(this_process) else {
        return 1;
    };
    (0..nix::sched::CpuSet::count())
        .filter(|&core| set.is_set(core).unwrap_or(false))
        .count()
        .max(1)
}

/// The share of the processor the process used lately.
#[derive(Default)]
pub(super) struct ProcessorShare {
    seen: Cell<(Time, Duration)>,
    percent: Cell<f64>,
}

impl ProcessorShare {
    /// Percent of one core, with one digit behind the point, since the last measurement at least a second ago.
    pub(super) fn percent(&self, now: Time, used: Duration) -> f64 {
        let (seen_at, seen) = self.seen.get();
        let passed = now.since(seen_at);
        if passed >= SAMPLE_MIN {
            let share = used.saturating_sub(seen).as_secs_f64() / passed.as_secs_f64();
            self.percent.set((share * 1000.0).round() / 10.0);
            self.seen.set((now, used));
        }
        self.percent.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share is that of the time between two measurements.
    #[test]
    fn processor_share_is_measured_over_the_time_between() {
        let share = ProcessorShare::default();
        let second = |seconds: u64| Time(seconds * 1_000_000_000);
        for (now, used_ms, percent) in [
            (2, 1_000, 50.0),
            (4, 1_000, 0.0),
            (5, 3_000, 200.0),
            (5, 4_000, 200.0),
            (8, 3_001, 0.0),
        ] {
            assert_eq!(
                share.percent(second(now), Duration::from_millis(used_ms)),
                percent,
                "at {now} s"
            );
        }
    }

    /// The kernel's line is found and is in KiB.
    #[test]
    fn resident_memory_is_read() {
        assert_eq!(resident_size_in("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident_size_in("Name:\tx\n"), None);
        assert!(resident_size() > 0);
        assert!(cores() > 0);
    }
}
