//! Histogram: latencies in buckets that grow with their value.
//!
//! Owns: buckets, counts, percentiles. Units: nanoseconds. Each power of two is cut into 64 buckets, so a value is
//! reported at most 1.6 % too high; memory is fixed.

/// Counts of latencies.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKET_COUNT],
            total: 0,
        }
    }
}

impl Histogram {
    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        self.counts[bucket_of(value_ns)] += 1;
        self.total += 1;
    }

    /// How many latencies were recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The smallest bucket end that at least `per_mille` of 1,000 latencies do not exceed; `None` when empty.
    pub fn at_per_mille(&self, per_mille: u64) -> Option<u64> {
        assert!(per_mille <= 1000);
        if self.total == 0 {
            return None;
        }
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(bucket_end_ns(bucket));
            }
        }
        unreachable!("the counts add up to the total");
    }
}

#[inline]
fn bucket_of(value_ns: u64) -> usize {
    if value_ns < PER_POWER {
        return usize::try_from(value_ns).expect("below 64");
    }
    let shift = value_ns.ilog2() - PER_POWER_LOG2;
    let within = (value_ns >> shift) - PER_POWER;
    usize::try_from(u64::from(shift + 1) * PER_POWER + within).expect("at most the bucket count")
}

/// The largest value that falls in `bucket`.
fn bucket_end_ns(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).expect("usize fits u64");
    if bucket < PER_POWER {
        return bucket;
    }
    let shift = bucket / PER_POWER - 1;
    let start = (bucket % PER_POWER + PER_POWER) << shift;
    start + ((1 << shift) - 1)
}

const PER_POWER_LOG2: u32 = 6;
const PER_POWER: u64 = 1 << PER_POWER_LOG2;
const BUCKET_COUNT: usize = 64 * 59;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value lies in its bucket, and the bucket is at most 1/64 wide.
    #[test]
    fn buckets_are_tight() {
        let mut values: Vec<u64> = (0..2000).collect();
        for power in 11..64 {
            values.extend([
                (1 << power) - 1,
                1 << power,
                (1 << power) + 1,
                (1u64 << power) / 3 * 4,
            ]);
        }
        values.push(u64::MAX);
        for value in values {
            let end = bucket_end_ns(bucket_of(value));
            assert!(end >= value, "{value} ends at {end}");
            assert!(end - value <= value / 64, "{value} ends at {end}");
            assert!(bucket_of(value) < BUCKET_COUNT);
        }
    }

    /// Percentiles of 1..=1000 microseconds are those microseconds.
    #[test]
    fn percentiles_match_a_known_series() {
        let mut histogram = Histogram::default();
        for us in 1..=1000u64 {
            histogram.record(us * 1000);
        }
        for (per_mille, expected_us) in [(500, 500), (990, 990), (999, 999), (1000, 1000), (0, 1)] {
            let got = histogram.at_per_mille(per_mille).unwrap();
            let expected = expected_us * 1000;
            assert!(
                got >= expected && got <= expected + expected / 64,
                "{per_mille}: {got} against {expected}"
            );
        }
        assert_eq!(histogram.total(), 1000);
    }

    /// One slow message of a thousand shows at the very end only.
    #[test]
    fn one_outlier_is_beyond_p999() {
        let mut histogram = Histogram::default();
        (0..999).for_each(|_| histogram.record(10));
        histogram.record(1_000_000);
        assert_eq!(histogram.at_per_mille(999), Some(10));
        assert!(histogram.at_per_mille(1000).unwrap() >= 1_000_000);
        assert_eq!(Histogram::default().at_per_mille(500), None);
    }
}
