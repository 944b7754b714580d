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
    /// Over which the clients are closed.
    pub duration: Duration,
}

/// The longest wait between two closes.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The shortest: with more clients several are closed at once.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

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

    async fn close_paced(self: &Rc<Self>, duration: Duration) {
        let connections = self.connections();
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
        let interval = (duration / count).clamp(INTERVAL_MIN, INTERVAL_MAX);
        let steps = usize::try_from(duration.as_nanos() / interval.as_nanos())
            .unwrap_or(usize::MAX)
            .max(1);
        let at_once = connections.len().div_ceil(steps).max(1);
        for group in connections.chunks(at_once) {
            for connection in group {
                self.close(connection, CloseReason::ServerShutdown);
            }
            self.end_batch();
            // Half to full, at random, so that clients of several servers do not come back in step.
            let half = interval / 2;
            let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
            self.io()
                .sleep(half + Duration::from_nanos(self.io().entropy() % spread))
                .await;
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
        for connection in self.connections() {
            self.close(&connection, CloseReason::ServerShutdown);
        }
        self.end_batch();
        self.timers.wake();
        self.wake_mesh_task();
    }
}
