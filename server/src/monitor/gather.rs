//! What every shard is asked for more than one page: sums over connections, and counters.
//!
//! Owns: walking a shard's connections in short jobs. Not here: how the sums are shown.

use pinion_shard::conn::Traffic;
use pinion_shard::ids::{ConnectionId, ShardId};
use pinion_shard::runtime::{HistogramSnapshot, Shard};

use super::Monitor;

/// Connections one job looks at.
pub(super) const CONNECTIONS_PAGE: usize = 512;

/// The start of a walk over connections: their numbers count from 1.
pub(super) const FIRST_CONNECTION: ConnectionId = ConnectionId(0);

/// What one shard counted.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardReport {
    pub(super) connections: u64,
    pub(super) subscriptions: u64,
    pub(super) traffic: Traffic,
    pub(super) total_connections: u64,
    pub(super) slow_pending: u64,
    pub(super) slow_deadline: u64,
    pub(super) stale: u64,
    pub(super) stalled: u64,
}

impl ShardReport {
    fn of(shard: &Shard) -> Self {
        let counters = shard.counters();
        Self {
            connections: shard.connection_count() as u64,
            subscriptions: shard
                .accounts()
                .iter()
                .map(|account| account.subscription_count())
                .sum(),
            traffic: shard.closed_traffic(),
            total_connections: counters.total_connections.get(),
            slow_pending: counters.slow_consumers_pending.get(),
            slow_deadline: counters.slow_consumers_deadline.get(),
            stale: counters.stale_connections.get(),
            stalled: counters.stalled_clients.get(),
        }
    }

    /// Adds another shard's counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.subscriptions += other.subscriptions;
        self.traffic.add(&other.traffic);
        self.total_connections += other.total_connections;
        self.slow_pending += other.slow_pending;
        self.slow_deadline += other.slow_deadline;
        self.stale += other.stale;
        self.stalled += other.stalled;
    }
}

/// What only the metrics show of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardInside {
    pub(super) busy_per_mille: u32,
    pub(super) received: u64,
    pub(super) hand_ons_dropped: u64,
    pub(super) unknown_account: u64,
    pub(super) batch_sizes: HistogramSnapshot,
    pub(super) batch_times: HistogramSnapshot,
    pub(super) mesh_batches: u64,
    pub(super) mesh_bytes: u64,
    pub(super) mesh_rings: u64,
    pub(super) mesh_interest_full: u64,
    pub(super) mesh_data_full: u64,
    pub(super) mesh_answers_dropped: u64,
    pub(super) mesh_in_flight: u64,
}

impl ShardInside {
    fn of(shard: &Shard) -> Self {
        let (counters, mesh) = (shard.counters(), shard.mesh().counters());
        Self {
            busy_per_mille: shard.io().busy_per_mille(),
            received: counters.received.get(),
            hand_ons_dropped: counters.hand_ons_dropped.get(),
            unknown_account: counters.unknown_account.get(),
            batch_sizes: counters.batch_sizes.snapshot(),
            batch_times: counters.batch_times.snapshot(),
            mesh_batches: mesh.batches.get(),
            mesh_bytes: mesh.bytes.get(),
            mesh_rings: mesh.rings.get(),
            mesh_interest_full: mesh.interest_full.get(),
            mesh_data_full: mesh.data_full.get(),
            mesh_answers_dropped: mesh.answers_dropped.get(),
            mesh_in_flight: shard.mesh().in_flight() as u64,
        }
    }
}

/// Traffic of one page of open connections, and where the next begins.
fn traffic_page(shard: &Shard, after: ConnectionId) -> (Traffic, Option<ConnectionId>) {
    let page = shard.connections_after(after, CONNECTIONS_PAGE);
    let mut sum = Traffic::default();
    // The traffic of closed ones was counted when they were closed.
    for connection in page.iter().filter(|connection| connection.is_open()) {
        sum.add(&connection.traffic());
    }
    let next = (page.len() == CONNECTIONS_PAGE).then(|| page[CONNECTIONS_PAGE - 1].id);
    (sum, next)
}

fn larger(one: &Traffic, other: &Traffic) -> Traffic {
    Traffic {
        in_msgs: one.in_msgs.max(other.in_msgs),
        in_bytes: one.in_bytes.max(other.in_bytes),
        out_msgs: one.out_msgs.max(other.out_msgs),
        out_bytes: one.out_bytes.max(other.out_bytes),
    }
}

impl Monitor {
    /// What one shard counted; all zero when it is gone.
    pub(super) async fn report(&self, shard: ShardId) -> ShardReport {
        let first =
            move |shard: &std::rc::Rc<Shard>| (ShardReport::of(shard), traffic_page(shard, FIRST_CONNECTION));
        let Some((mut report, (traffic, mut next))) = self.shard.ask(shard, first).await else {
            return ShardReport::default();
        };
        report.traffic.add(&traffic);
        while let Some(after) = next {
            let Some((traffic, following)) = self
                .shard
                .ask(shard, move |shard| traffic_page(shard, after))
                .await
            else {
                break;
            };
            report.traffic.add(&traffic);
            next = following;
        }
        let mut shown = self.shown_traffic.borrow_mut();
        let shown = &mut shown[shard.index()];
        *shown = larger(shown, &report.traffic);
        report.traffic = *shown;
        report
    }

    /// The sum of all shards.
    pub(super) async fn report_of_all(&self) -> ShardReport {
        let mut sum = ShardReport::default();
        for shard in self.shard.shards().ids() {
            sum.add(&self.report(shard).await);
        }
        sum
    }

    /// What only the metrics show.
    pub(super) async fn inside(&self, shard: ShardId) -> ShardInside {
        let inside = self.shard.ask(shard, |shard| ShardInside::of(shard)).await;
        inside.unwrap_or_default()
    }
}
