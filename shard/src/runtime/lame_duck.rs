//! Leaving: lame duck mode and the end of a shard.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;

use super::shard::Shard;
use crate::io::Queue;
use crate::proto::CloseReason;

/// How a shard lets its clients go.
#[derive(Clone, Copy, Debug)]
pub struct LameDuck {
    /// From the INFO that says so to the first close.
    pub grace_period: Duration,
    /// Over which the clients of all shards are closed.
    pub duration: Duration,
}

/// The longest wait between two closes of a server.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The shortest wait between two closes of a shard: with more clients several are closed at once.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// As a divisor: at least 1.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

impl Shard {
    /// Whether new clients are taken.
    pub fn is_accepting(&self) -> bool {
        !self.is_leaving.get() && !self.is_stopping.get()
    }

    /// Tells the clients that this server goes (`ldm` in INFO), then closes them one after the other.
    /// `done` is called when the last one is gone.
    pub fn start_lame_duck(self: &Rc<Self>, plan: LameDuck, done: impl FnOnce() + 'static) {
        self.is_leaving.set(true);
        self.waits.wake_all();
        let mut settings = (*self.settings()).clone();
        settings.info.ldm = true;
        self.set_settings(Arc::new(settings));
        self.send_info_to_all();
        self.end_batch();
        let shard = Rc::clone(self);
        self.io().spawn(Queue::Hot, &self.gate, async move {
            let leave = async {
                shard.io().sleep(plan.grace_period).await;
                shard.close_paced(plan.duration).await;
                done();
            };
            or(leave, shard.wait_stopping()).await;
        });
    }

    /// Closes this shard's clients, evenly over the time in which the whole server's are closed, each shard a step
    /// after the one before: together they go at the pace that one shard with all clients would have.
    async fn close_paced(self: &Rc<Self>, duration: Duration) {
        let connections = self.connections();
        let count_of_all = count(self.shards().connections());
        let span = duration.min(INTERVAL_MAX.saturating_mul(count_of_all));
        let turn = u32::from(self.id().0);
        self.io().sleep(span / count_of_all * turn).await;
        let interval = (span / count(connections.len())).max(INTERVAL_MIN);
        let steps = usize::try_from(span.as_nanos() / interval.as_nanos())
            .unwrap_or(usize::MAX)
            .max(1);
        let at_once = connections.len().div_ceil(steps).max(1);
        for (step, group) in connections.chunks(at_once).enumerate() {
            if step > 0 {
                // Half to full, at random, so that clients of several servers do not come back in step.
                let full = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
                let random = Duration::from_nanos(self.io().entropy() % full);
                self.io().sleep(random.max(interval / 2)).await;
            }
            for connection in group {
                self.close(connection, CloseReason::ServerShutdown);
            }
            self.end_batch();
        }
    }

    /// Stops accepting and reading, so that what is on its way between shards can arrive before [`Shard::stop`].
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.is_leaving.set(true);
        self.waits.wake_all();
    }

    /// Closes all connections; the shard's tasks end when the last one is gone and the mesh is drained.
    pub fn stop(self: &Rc<Self>) {
        self.is_stopping.set(true);
        self.waits.wake_all();
        self.announcements.wake();
        for connection in self.connections() {
            self.close(&connection, CloseReason::ServerShutdown);
        }
        self.end_batch();
        self.timers.wake();
        self.wake_mesh_task();
    }
}
