//! Counts of values by size, in fixed buckets that grow fourfold: one addition per value.

use std::cell::Cell;

/// `N` buckets with upper bounds `first`, `4 * first`, ... and one more for all above.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    first_log2: u32,
    counts: [Cell<u64>; N],
    above: Cell<u64>,
    sum: Cell<u64>,
}

impl<const N: usize> Histogram<N> {
    /// An empty one whose first bucket ends at `2^first_log2`.
    pub const fn new(first_log2: u32) -> Self {
        Self {
            first_log2,
            counts: [const { Cell::new(0) }; N],
            above: Cell::new(0),
            sum: Cell::new(0),
        }
    }

    /// Counts one value.
    #[inline]
    pub fn add(&self, value: u64) {
        let quotient = value.saturating_sub(1) >> self.first_log2;
        let bits = u64::BITS - quotient.leading_zeros();
        let bucket = self.counts.get(bits.div_ceil(2) as usize).unwrap_or(&self.above);
        bucket.set(bucket.get() + 1);
        self.sum.set(self.sum.get() + value);
    }

    /// What it holds: pairs of upper bound and values at most that large, growing.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut bound = 1 << self.first_log2;
        let mut buckets = Vec::with_capacity(N);
        for bucket in &self.counts {
            count += bucket.get();
            buckets.push((bound, count));
            bound <<= 2;
        }
        HistogramSnapshot {
            buckets,
            count: count + self.above.get(),
            sum: self.sum.get(),
        }
    }
}

/// What a histogram held at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bound, and how many values were at most that large.
    pub buckets: Vec<(u64, u64)>,
    /// All values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value on a bound belongs to the bucket of that bound; what is above the last is in the count only.
    #[test]
    fn values_fall_into_the_bucket_that_ends_at_or_after_them() {
        for (value, first_with) in [
            (0, Some(64)),
            (1, Some(64)),
            (64, Some(64)),
            (65, Some(256)),
            (256, Some(256)),
            (257, Some(1024)),
            (1024, Some(1024)),
            (1025, None),
            (u64::MAX / 2, None),
        ] {
            let histogram = Histogram::<3>::new(6);
            histogram.add(value);
            let shown = histogram.snapshot();
            let found = shown.buckets.iter().find(|(_, count)| *count == 1);
            assert_eq!(found.map(|(bound, _)| *bound), first_with, "{value}");
            assert_eq!((shown.count, shown.sum), (1, value));
        }
    }
}
