//! The acceptor: one shard listens and gives each connection to the shard with the fewest.

use std::rc::Rc;
use std::time::Duration;

use super::shard::Shard;
use crate::io::{Accepted, Listener, Queue};

/// The wait after an accept that failed, growing from the first to the second as long as it fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts clients until the listener is taken away (the task is dropped) or the shard stops.
pub async fn serve_listener(shard: Rc<Shard>, listener: Rc<Listener>) {
    let mut back_off = BACK_OFF.0;
    while shard.is_accepting() {
        match listener.accept().await {
            Ok(accepted) if shard.is_accepting() => {
                back_off = BACK_OFF.0;
                shard.place(accepted);
            }
            Ok(_) => return,
            Err(error) => {
                tracing::error!("Error trying to accept a client: {error}; next try in {back_off:?}");
                shard.io().sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

impl Shard {
    fn place(self: &Rc<Self>, accepted: Accepted) {
        let target = self.shards().least_loaded();
        let max = self.settings_ref().connections_max;
        let is_over = max.is_some_and(|max| self.shards().connections() >= max);
        self.shards().load(target).joined();
        let id = self.shards().next_connection_id();
        let job = move |shard: &Rc<Shard>| shard.adopt(accepted, id, is_over);
        if target == self.id() {
            job(self);
        } else if !self.shards().run_on(target, Box::new(job)) {
            tracing::debug!("a connection came while the server stops");
        }
    }

    fn adopt(self: &Rc<Self>, accepted: Accepted, id: crate::ids::ConnectionId, is_over: bool) {
        match self.io().adopt(accepted) {
            Ok(stream) => {
                let shard = Rc::clone(self);
                self.io().spawn(Queue::Hot, &self.gate, async move {
                    crate::conn::serve(shard, stream, id, is_over).await;
                });
            }
            Err(error) => {
                self.shards().load(self.id()).left();
                tracing::debug!("a connection died before it was served: {error}");
            }
        }
    }
}
