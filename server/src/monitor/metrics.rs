//! `/metrics`: numbers for Prometheus, text format 0.0.4.
//!
//! Owns: names, help texts, the format. Labels are the direction, the kind and the shard: their number depends on the
//! shards alone, never on clients, accounts or subjects.

use std::fmt::{Display, Write};

use pinion_shard::runtime::{HistogramSnapshot, BATCH_SAMPLE};

use super::answer::{Answer, Content};
use super::gather::{ShardInside, ShardReport};
use super::{usage, Monitor};

const NANOS_PER_SECOND: f64 = 1e9;

/// The page under construction.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("a String takes all text");
    }

    /// One metric with one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// One metric with a value for each value of a label.
    fn labelled<L: Display, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
        }
    }

    /// A histogram of each shard; `unit`: how many of what was counted make one of what is shown.
    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        unit: f64,
        shards: impl IntoIterator<Item = &'a HistogramSnapshot>,
    ) {
        self.head(name, "histogram", help);
        for (shard, histogram) in shards.into_iter().enumerate() {
            for (bound, count) in &histogram.buckets {
                let bound = scaled(*bound, unit);
                self.line(format_args!(
                    "{name}_bucket{{shard=\"{shard}\",le=\"{bound}\"}} {count}"
                ));
            }
            let (count, sum) = (histogram.count, scaled(histogram.sum, unit));
            self.line(format_args!(
                "{name}_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {count}"
            ));
            self.line(format_args!("{name}_sum{{shard=\"{shard}\"}} {sum}"));
            self.line(format_args!("{name}_count{{shard=\"{shard}\"}} {count}"));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric is a float to its reader anyway"
)]
fn scaled(value: u64, unit: f64) -> f64 {
    value as f64 / unit
}

/// The page.
pub(super) async fn metrics(monitor: &Monitor) -> Answer {
    let (mut reports, mut insides) = (Vec::new(), Vec::new());
    for shard in monitor.shard.shards().ids() {
        reports.push(monitor.report(shard).await);
        insides.push(monitor.inside(shard).await);
    }
    let mut page = Exposition::default();
    server(&mut page, monitor);
    clients(&mut page, &reports);
    inside(&mut page, &insides);
    Answer::new(200, Content::Metrics, page.0)
}

fn server(page: &mut Exposition, monitor: &Monitor) {
    let io = monitor.shard.io();
    let uptime = io.now().since(pinion_shard::io::Time(0));
    page.head("pinion_build_info", "gauge", "Versions of this server; always 1.");
    page.line(format_args!(
        "pinion_build_info{{version=\"{}\",nats_version=\"{}\"}} 1",
        crate::PINION_VERSION,
        crate::PEER_VERSION
    ));
    page.single(
        "pinion_shards",
        "gauge",
        "Shards of this server.",
        monitor.shard.shards().count(),
    );
    page.single(
        "pinion_uptime_seconds",
        "gauge",
        "Time since the start.",
        uptime.as_secs_f64(),
    );
    page.single(
        "pinion_resident_memory_bytes",
        "gauge",
        "Resident memory of the process.",
        usage::resident_size(),
    );
    page.single(
        "pinion_cpu_seconds_total",
        "counter",
        "Processor time of all threads.",
        usage::processor_time().as_secs_f64(),
    );
    page.single(
        "pinion_log_lines_dropped_total",
        "counter",
        "Lines of the log that were dropped because it fell behind.",
        monitor.log.dropped_total(),
    );
    page.single(
        "pinion_serving",
        "gauge",
        "1 while clients are accepted, 0 before and in lame duck mode.",
        u8::from(monitor.shard.is_serving()),
    );
}

fn clients(page: &mut Exposition, reports: &[ShardReport]) {
    let mut sum = ShardReport::default();
    reports.iter().for_each(|report| sum.add(report));
    page.labelled(
        "pinion_messages_total",
        "counter",
        "Messages of clients, in: published, out: delivered.",
        "direction",
        [("in", sum.traffic.in_msgs), ("out", sum.traffic.out_msgs)],
    );
    page.labelled(
        "pinion_message_bytes_total",
        "counter",
        "Bytes of these messages, headers included.",
        "direction",
        [("in", sum.traffic.in_bytes), ("out", sum.traffic.out_bytes)],
    );
    let connections = reports.iter().map(|report| report.connections).enumerate();
    page.labelled(
        "pinion_connections",
        "gauge",
        "Open client connections.",
        "shard",
        connections,
    );
    page.single(
        "pinion_connections_accepted_total",
        "counter",
        "Client connections since the start.",
        sum.total_connections,
    );
    let subscriptions = reports.iter().map(|report| report.subscriptions).enumerate();
    page.labelled(
        "pinion_subscriptions",
        "gauge",
        "Subscriptions of clients.",
        "shard",
        subscriptions,
    );
    page.labelled(
        "pinion_slow_consumers_total",
        "counter",
        "Clients found too slow, by what they exceeded.",
        "kind",
        [
            ("max_pending", sum.slow_pending),
            ("write_deadline", sum.slow_deadline),
        ],
    );
    page.single(
        "pinion_stale_connections_total",
        "counter",
        "Clients closed because they did not answer.",
        sum.stale,
    );
    page.single(
        "pinion_producer_stalls_total",
        "counter",
        "Times a producer was held because its consumers are behind.",
        sum.stalled,
    );
}

fn inside(page: &mut Exposition, shards: &[ShardInside]) {
    /// Name, type, help, value.
    type Metric = (&'static str, &'static str, &'static str, fn(&ShardInside) -> u64);
    let busy = shards
        .iter()
        .map(|shard| f64::from(shard.busy_per_mille) / 1000.0);
    page.labelled(
        "pinion_shard_busy_ratio",
        "gauge",
        "Share of its core a shard used since it was last asked.",
        "shard",
        busy.enumerate(),
    );
    let metrics: [Metric; 10] = [
        (
            "pinion_mesh_batches_total",
            "counter",
            "Batches sent to other shards.",
            |shard| shard.mesh_batches,
        ),
        (
            "pinion_mesh_bytes_total",
            "counter",
            "Bytes of these batches.",
            |shard| shard.mesh_bytes,
        ),
        (
            "pinion_mesh_wakes_total",
            "counter",
            "Sleeping shards woken.",
            |shard| shard.mesh_rings,
        ),
        (
            "pinion_mesh_in_flight_bytes",
            "gauge",
            "Bytes sent to other shards and not taken yet.",
            |shard| shard.mesh_in_flight,
        ),
        (
            "pinion_mesh_interest_lane_full_total",
            "counter",
            "Times a lane for interest was full.",
            |shard| shard.mesh_interest_full,
        ),
        (
            "pinion_mesh_data_lane_full_total",
            "counter",
            "Times a lane for data was full.",
            |shard| shard.mesh_data_full,
        ),
        (
            "pinion_mesh_answers_dropped_total",
            "counter",
            "Answers to other shards dropped because a lane stayed full.",
            |shard| shard.mesh_answers_dropped,
        ),
        (
            "pinion_mesh_messages_received_total",
            "counter",
            "Messages from other shards.",
            |shard| shard.received,
        ),
        (
            "pinion_queue_messages_dropped_total",
            "counter",
            "Queue messages that no shard could deliver any more.",
            |shard| shard.hand_ons_dropped,
        ),
        (
            "pinion_unknown_account_messages_total",
            "counter",
            "Messages from other shards for an account that is gone.",
            |shard| shard.unknown_account,
        ),
    ];
    for (name, kind, help, value) in metrics {
        page.labelled(name, kind, help, "shard", shards.iter().map(value).enumerate());
    }
    page.histograms(
        "pinion_batch_size_bytes",
        "Bytes that one read of a connection brought.",
        1.0,
        shards.iter().map(|shard| &shard.batch_sizes),
    );
    page.histograms(
        "pinion_batch_duration_seconds",
        &format!(
            "From the read of a batch until its effects have left; one batch in {BATCH_SAMPLE} is timed."
        ),
        NANOS_PER_SECOND,
        shards.iter().map(|shard| &shard.batch_times),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram shows growing bounds, all values under the last, and their sum.
    #[test]
    fn histograms_are_cumulative() {
        let mut page = Exposition::default();
        let histogram = HistogramSnapshot {
            buckets: vec![(1_000_000, 1), (4_000_000, 3)],
            count: 4,
            sum: 9_500_000,
        };
        page.histograms("x_seconds", "Help.", NANOS_PER_SECOND, [&histogram]);
        assert_eq!(
            page.0,
            "# HELP x_seconds Help.\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{shard=\"0\",le=\"0.001\"} 1\n\
             x_seconds_bucket{shard=\"0\",le=\"0.004\"} 3\n\
             x_seconds_bucket{shard=\"0\",le=\"+Inf\"} 4\n\
             x_seconds_sum{shard=\"0\"} 0.0095\n\
             x_seconds_count{shard=\"0\"} 4\n"
        );
    }
}
