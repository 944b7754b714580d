//! Standing: connections and subscriptions that only stand there, and how fast connections come.
//!
//! Owns: the connect loop, idle connections and inboxes with their share of the server's memory, a quiet stretch.
//! Units: bytes of resident memory; what the kernel keeps per socket is not in it, for neither server.

use std::time::Duration;

use crate::clock::duration_ns;
use crate::failure::Failure;
use crate::generator::{Generator, POLL_WAIT};
use crate::histogram::Histogram;
use crate::measure::Meter;
use crate::phase::{precise, Phase, Stopwatch};

/// Connects, waits for the PONG and closes, with a few connections under way, for `duration` or `CONNECT_COUNT_MAX`.
/// Latency is from connect to PONG.
pub fn connect_rate(
    generator: &mut Generator,
    meter: Option<Meter>,
    duration: Duration,
) -> Result<Phase, Failure> {
    let clock = generator.clock();
    let first = generator.client_count();
    generator.open(CONNECT_SLOT_COUNT)?;
    let watch = Stopwatch::start(meter, clock)?;
    let stop_ns = watch.start_ns() + duration_ns(duration);
    let mut started_ns = [0; CONNECT_SLOT_COUNT];
    for (slot, started_ns) in started_ns.iter_mut().enumerate() {
        *started_ns = clock.now_ns();
        generator.replace(first + slot)?;
    }
    let mut latency = Histogram::default();
    let mut count = 0;
    let mut open = CONNECT_SLOT_COUNT;
    let mut deadline = generator.deadline_ns();
    while open > 0 {
        if generator.poll(POLL_WAIT, &mut |_, _, _, _| Err(unasked()))? > 0 {
            deadline = generator.deadline_ns();
        }
        let now_ns = clock.now_ns();
        for (slot, started_ns) in started_ns.iter_mut().enumerate() {
            if *started_ns == 0 || generator.client(first + slot).pong_count() == 0 {
                continue;
            }
            latency.record(now_ns.saturating_sub(*started_ns));
            count += 1;
            if now_ns < stop_ns && count < CONNECT_COUNT_MAX {
                *started_ns = clock.now_ns();
                generator.replace(first + slot)?;
            } else {
                *started_ns = 0;
                open -= 1;
            }
        }
        generator.check_deadline(deadline, || String::from("the PONG of a new connection"))?;
    }
    let phase = watch.finish(count, latency, None)?;
    for _ in 0..CONNECT_SLOT_COUNT {
        generator.remove_last()?;
    }
    Ok(phase)
}

/// Resident bytes per idle connection, then per connection that holds one subscription.
pub fn idle_connections(
    generator: &mut Generator,
    meter: Meter,
    count: usize,
    settle: Duration,
) -> Result<(f64, f64), Failure> {
    let before = meter.rss_kib()?;
    generator.open(count)?;
    generator.stay_idle(settle)?;
    let idle = meter.rss_kib()?;
    for index in 0..count {
        generator
            .client(index)
            .queue(format!("SUB idle.{index} 1\r\n").as_bytes());
    }
    generator.round_trip(0, count, |_, _| Err(unasked()))?;
    generator.stay_idle(settle)?;
    let subscribed = meter.rss_kib()?;
    Ok((
        growth_per(before, idle, count),
        growth_per(before, subscribed, count),
    ))
}

/// Resident bytes per inbox subscription, `per_connection` of them on each connection.
pub fn inboxes(
    generator: &mut Generator,
    meter: Meter,
    count: usize,
    per_connection: usize,
    settle: Duration,
) -> Result<f64, Failure> {
    generator.open(count / per_connection)?;
    generator.stay_idle(settle)?;
    let before = meter.rss_kib()?;
    for index in 0..count / per_connection {
        for number in 0..per_connection {
            // As long and as unlike each other as a client library's.
            let id = scatter(index * per_connection + number);
            let line = format!("SUB _INBOX.{id:016x}{number:06} {}\r\n", number + 1);
            generator.client(index).queue(line.as_bytes());
        }
        generator.round_trip(index, index + 1, |_, _| Err(unasked()))?;
    }
    generator.stay_idle(settle)?;
    Ok(growth_per(before, meter.rss_kib()?, count))
}

/// Nothing happens for `duration`; the phase tells what CPU that took.
pub fn quiet(generator: &mut Generator, meter: Option<Meter>, duration: Duration) -> Result<Phase, Failure> {
    let watch = Stopwatch::start(meter, generator.clock())?;
    generator.stay_idle(duration)?;
    watch.finish(0, Histogram::default(), None)
}

/// A number without visible order for each input, the same in every run.
pub fn scatter(value: usize) -> u64 {
    let mut mixed = u64::try_from(value)
        .expect("usize fits u64")
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn growth_per(before_kib: u64, after_kib: u64, count: usize) -> f64 {
    let growth = after_kib.saturating_sub(before_kib) * 1024;
    precise(growth) / precise(u64::try_from(count).expect("usize fits u64"))
}

fn unasked() -> Failure {
    Failure::Message(String::from("arrived though nothing was published"))
}

/// Connections under way at a time.
const CONNECT_SLOT_COUNT: usize = 16;
/// Closed connections keep their local port for a while; more than this could run out of ports.
const CONNECT_COUNT_MAX: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Growth is never negative and counts bytes.
    #[test]
    fn growth_is_bytes_per_piece() {
        assert!((growth_per(1000, 1060, 10) - 6144.0).abs() < f64::EPSILON);
        assert!(growth_per(1000, 900, 10).abs() < f64::EPSILON);
    }

    /// Subjects stay unlike each other.
    #[test]
    fn scatter_has_no_collisions() {
        let values: std::collections::BTreeSet<u64> = (0..100_000).map(scatter).collect();
        assert_eq!(values.len(), 100_000);
    }
}
