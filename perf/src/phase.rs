//! Phase: one measured stretch of load on one server.
//!
//! Owns: taking CPU and time at both ends of a stretch. The stretch ends when every message has arrived, so each
//! message's cost is inside, and the count is exact.

use crate::clock::Clock;
use crate::failure::Failure;
use crate::generator::thread_cpu_ns;
use crate::histogram::Histogram;
use crate::measure::{CpuSnapshot, CpuUse, Meter};

/// What a stretch of load came to.
#[derive(Debug)]
pub struct Phase {
    /// Deliveries; publishes where nobody subscribes; cycles, requests or connections in rows of those.
    pub message_count: u64,
    /// From the first send to the last arrival.
    pub elapsed_ns: u64,
    /// CPU of the server, where its process is known.
    pub server: Option<CpuUse>,
    /// Intended send to arrival; empty at saturation of one-way rows.
    pub latency: Histogram,
    /// How long the generator worked.
    pub generator_busy_ns: u64,
}

/// Takes the readings at the start of a stretch.
#[derive(Debug)]
pub struct Stopwatch {
    meter: Option<Meter>,
    clock: Clock,
    server_start: Option<CpuSnapshot>,
    start_ns: u64,
    thread_start_ns: u64,
}

impl Stopwatch {
    /// Starts now.
    pub fn start(meter: Option<Meter>, clock: Clock) -> Result<Self, Failure> {
        let server_start = meter.map(|meter| meter.cpu()).transpose()?;
        Ok(Self {
            meter,
            clock,
            server_start,
            start_ns: clock.now_ns(),
            thread_start_ns: thread_cpu_ns(),
        })
    }

    /// When the stretch began, on the generator's clock.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Ends now. `worked_ns` is given by a generator that polls without sleeping, whose CPU time says nothing.
    pub fn finish(
        self,
        message_count: u64,
        latency: Histogram,
        worked_ns: Option<u64>,
    ) -> Result<Phase, Failure> {
        let elapsed_ns = self.clock.now_ns() - self.start_ns;
        let generator_busy_ns = worked_ns.unwrap_or_else(|| thread_cpu_ns() - self.thread_start_ns);
        let server = match (self.meter, self.server_start) {
            (Some(meter), Some(start)) => Some(meter.cpu()?.since(&start)),
            _ => None,
        };
        Ok(Phase {
            message_count,
            elapsed_ns,
            server,
            latency,
            generator_busy_ns,
        })
    }
}

/// The schedule of a paced load: message `n` is due at `start + n / rate`, whatever the server does.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    message_count: u64,
}

impl Schedule {
    /// `rate` messages a second for `duration_ns`, at least one.
    pub fn new(start_ns: u64, rate: f64, duration_ns: u64) -> Self {
        assert!(rate > 0.0);
        let interval_ns = 1e9 / rate;
        let message_count = whole(precise(duration_ns) / interval_ns).max(1);
        Self {
            start_ns,
            interval_ns,
            message_count,
        }
    }

    /// How many messages the whole schedule holds.
    pub fn message_count(&self) -> u64 {
        self.message_count
    }

    /// When message `number` should be sent.
    pub fn due_ns(&self, number: u64) -> u64 {
        self.start_ns + whole(precise(number) * self.interval_ns)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^53: a run lasts minutes"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A count as a number to calculate with; exact below 2^53.
pub fn precise(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedule keeps its rate over the whole stretch, without drift.
    #[test]
    fn schedule_does_not_drift() {
        let schedule = Schedule::new(1_000, 3_000_000.0, 2_000_000_000);
        assert!((5_999_999..=6_000_000).contains(&schedule.message_count()));
        assert_eq!(schedule.due_ns(0), 1_000);
        assert_eq!(schedule.due_ns(3_000_000), 1_000_001_000);
        assert_eq!(Schedule::new(0, 0.1, 1_000_000).message_count(), 1);
    }
}
