//! Figure: the numbers a row comes to.
//!
//! Owns: their names and units, the medians over alternating runs.

use std::collections::BTreeMap;

/// How hard the server is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadPoint {
    /// As fast as it takes.
    Saturation,
    /// 20 % of the Go server's maximum.
    Fifth,
    /// 50 % of it.
    Half,
    /// 1 % of it.
    Hundredth,
    /// So many messages a second.
    Fixed(u32),
    /// No messages.
    Standing,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Messages per second.
    Rate,
    /// CPU of all server threads per message, ns.
    CpuPerMessage,
    /// CPU of all server threads, percent of one core.
    CpuPercent,
    /// Median latency, us.
    P50,
    /// 99th percentile, us.
    P99,
    /// 99.9th percentile, us.
    P999,
    /// Resident memory at the end, MiB.
    Rss,
    /// Resident memory per idle connection, bytes.
    BytesPerConnection,
    /// Resident memory per connection with a subscription, bytes.
    BytesPerSubscribedConnection,
    /// Resident memory per subscription, bytes.
    BytesPerSubscription,
    /// How busy the generator was, percent of one core.
    Generator,
}

/// The numbers of one run.
pub type Figures = BTreeMap<(LoadPoint, Quantity), f64>;

/// Median, smallest and largest over the runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle value; the mean of the two middle ones for an even number.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl LoadPoint {
    /// The part of the Go server's maximum that is offered.
    pub fn fraction(self) -> Option<f64> {
        match self {
            Self::Fifth => Some(0.2),
            Self::Half => Some(0.5),
            Self::Hundredth => Some(0.01),
            Self::Saturation | Self::Fixed(_) | Self::Standing => None,
        }
    }

    /// Its name in tables and JSON.
    pub fn name(self) -> String {
        match self {
            Self::Saturation => String::from("max"),
            Self::Fifth => String::from("20%"),
            Self::Half => String::from("50%"),
            Self::Hundredth => String::from("1%"),
            Self::Fixed(rate) => format!("{rate}/s"),
            Self::Standing => String::from("idle"),
        }
    }
}

impl Quantity {
    /// Its name in JSON, unit last.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "messages_per_second",
            Self::CpuPerMessage => "cpu_per_message_ns",
            Self::CpuPercent => "cpu_percent",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::Rss => "rss_mib",
            Self::BytesPerConnection => "connection_bytes",
            Self::BytesPerSubscribedConnection => "subscribed_connection_bytes",
            Self::BytesPerSubscription => "subscription_bytes",
            Self::Generator => "generator_percent",
        }
    }
}

impl Spread {
    /// The spread of some values; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            min,
            max,
        })
    }
}

/// The spread of one number over several runs.
pub fn spread(runs: &[Figures], load: LoadPoint, quantity: Quantity) -> Option<Spread> {
    Spread::of(
        runs.iter()
            .filter_map(|run| run.get(&(load, quantity)).copied())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Odd, even and no values.
    #[test]
    fn median_is_the_middle() {
        let of = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(
            of(&[3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        assert_eq!(
            of(&[4.0, 1.0, 2.0, 100.0]),
            Some(Spread {
                median: 3.0,
                min: 1.0,
                max: 100.0
            })
        );
        assert_eq!(of(&[]), None);
    }

    /// A run without the number does not count as zero.
    #[test]
    fn missing_numbers_are_left_out() {
        let key = (LoadPoint::Half, Quantity::P99);
        let runs = [
            Figures::from([(key, 5.0)]),
            Figures::new(),
            Figures::from([(key, 7.0)]),
        ];
        assert_eq!(
            spread(&runs, key.0, key.1),
            Some(Spread {
                median: 6.0,
                min: 5.0,
                max: 7.0
            })
        );
        assert_eq!(spread(&runs, LoadPoint::Fifth, key.1), None);
    }
}
