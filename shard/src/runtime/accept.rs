//! The acceptor: one shard listens and gives each connection to the shard with the fewest.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::shard::Shard;
use crate::conn::Door;
use crate::ids::ConnectionId;
use crate::io::{Accepted, Listener, Queue};
use crate::limits::ACCEPTS_IN_A_ROW_MAX;

/// The wait after an accept that failed, growing from the first to the second as long as it fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Starts accepting on the sockets [`Shard::listen`] and [`Shard::listen_at`] opened, until the shard stops or leaves.
/// The sockets are closed then.
pub fn serve_listener(shard: &Rc<Shard>) {
    let listeners = shard.listeners.take();
    assert!(!listeners.is_empty(), "opened before they are served");
    shard.is_serving.set(true);
    for (door, listener) in listeners {
        let task = Rc::clone(shard);
        shard.io().spawn(Queue::Hot, &shard.gate, async move {
            let stopped = task.wait_leaving();
            or(accept_loop(&task, door, &listener), stopped).await;
        });
    }
}

async fn accept_loop(shard: &Rc<Shard>, door: Door, listener: &Listener) {
    let mut back_off = BACK_OFF.0;
    let mut in_a_row = 0;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                back_off = BACK_OFF.0;
                shard.place(accepted, door);
                in_a_row += 1;
                if in_a_row == ACCEPTS_IN_A_ROW_MAX {
                    in_a_row = 0;
                    shard.io().yield_now().await;
                }
            }
            Err(error) => {
                tracing::error!("Error trying to accept a client: {error}; next try in {back_off:?}");
                shard.io().sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

impl Shard {
    /// Opens the socket clients connect to, on this shard; nobody is accepted before [`serve_listener`].
    ///
    /// # Errors
    /// What the system says: address in use, no permission.
    pub fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.listen_at(Door::Client, address)
    }

    /// As [`Shard::listen`], for any door.
    ///
    /// # Errors
    /// As there.
    pub fn listen_at(&self, door: Door, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = self.io().listen(address)?;
        let bound = listener.local_addr()?;
        self.listeners.borrow_mut().push((door, listener));
        Ok(bound)
    }

    /// Whether this shard accepts clients now: never on shards that do not listen, no more in lame duck mode.
    pub fn is_serving(&self) -> bool {
        self.is_serving.get() && self.is_accepting()
    }

    /// Closes connections that are more than the server may have now: of this shard those from `first` on.
    pub fn refuse_from(&self, first: ConnectionId) {
        let connections = self.connections();
        let surplus = connections.iter().filter(|connection| connection.id >= first);
        surplus.for_each(|connection| self.refuse_one_more(connection));
    }

    fn place(self: &Rc<Self>, accepted: Accepted, door: Door) {
        let target = self.shards().least_loaded();
        let max = self.settings_ref().connections_max;
        let is_over = max.is_some_and(|max| self.shards().connections() >= max);
        self.shards().load(target).joined();
        let id = self.shards().next_connection_id();
        let job = move |shard: &Rc<Shard>| shard.adopt(accepted, id, door, is_over);
        if target == self.id() {
            job(self);
        } else if !self.shards().run_on(target, Box::new(job)) {
            tracing::debug!("a connection came while the server stops");
        }
    }

    fn adopt(self: &Rc<Self>, accepted: Accepted, id: ConnectionId, door: Door, is_over: bool) {
        match self.io().adopt(accepted) {
            Ok(stream) => {
                let shard = Rc::clone(self);
                self.io().spawn(Queue::Hot, &self.gate, async move {
                    crate::conn::serve(shard, stream, id, door, is_over).await;
                });
            }
            Err(error) => {
                self.shards().load(self.id()).left();
                tracing::debug!("a connection died before it was served: {error}");
            }
        }
    }
}
