//! The handle by which shards and other threads reach the shards of a server.
//!
//! Owns: the mailboxes, how many connections each shard has, the next connection number. A job is run by
//! its shard between two batches, so it must be short; long answers are built in chunks.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::shard::Shard;
use crate::ids::{ConnectionId, ShardId};
use crate::mesh::Knock;

/// What a shard is asked to do once.
pub type Job = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// How much a shard has to do, as the acceptor sees it.
#[derive(Debug, Default)]
pub struct ShardLoad {
    connections: AtomicUsize,
}

impl ShardLoad {
    /// Connections on the shard or on their way to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn joined(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Entry {
    mailbox: Sender<Job>,
    knock: Knock,
    load: ShardLoad,
}

/// All shards of a server. Clones are the same.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    entries: Box<[Entry]>,
    next_connection: AtomicU64,
}

impl Shards {
    pub(super) fn new(ends: impl Iterator<Item = (Sender<Job>, Knock)>) -> Self {
        let entries = ends
            .map(|(mailbox, knock)| Entry {
                mailbox,
                knock,
                load: ShardLoad::default(),
            })
            .collect();
        Self(Arc::new(Inner {
            entries,
            next_connection: AtomicU64::new(1),
        }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.entries.len()
    }

    /// Each of them.
    pub fn ids(&self) -> impl Iterator<Item = ShardId> {
        (0..self.count()).map(ShardId::from_index)
    }

    /// Gives `job` to a shard. `false`: the shard is gone.
    pub fn run_on(&self, shard: ShardId, job: Job) -> bool {
        let entry = &self.0.entries[shard.index()];
        if entry.mailbox.send(job).is_err() {
            return false;
        }
        entry.knock.knock();
        true
    }

    /// Gives a job to each shard.
    pub fn run_on_all(&self, job: impl Fn(&Rc<Shard>) + Send + Clone + 'static) {
        for shard in self.ids() {
            let job = job.clone();
            self.run_on(shard, Box::new(move |shard| job(shard)));
        }
    }

    /// How much a shard has to do.
    pub fn load(&self, shard: ShardId) -> &ShardLoad {
        &self.0.entries[shard.index()].load
    }

    /// Client connections of the whole server.
    pub fn connections(&self) -> usize {
        self.0.entries.iter().map(|entry| entry.load.connections()).sum()
    }

    /// The shard with the fewest connections.
    pub(super) fn least_loaded(&self) -> ShardId {
        let shards = self
            .ids()
            .min_by_key(|&shard| (self.load(shard).connections(), shard));
        shards.expect("a server has a shard")
    }

    pub(super) fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.0.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks `ask` on every shard; the answers come by shard, in any order, into the channel returned. It is
    /// closed when the last one has answered.
    pub fn gather<T: Send + 'static>(
        &self,
        ask: impl Fn(&Rc<Shard>) -> T + Send + Clone + 'static,
    ) -> crossbeam_channel::Receiver<(ShardId, T)> {
        let (answers, receiver) = crossbeam_channel::bounded(self.count());
        for shard in self.ids() {
            let (ask, answers) = (ask.clone(), answers.clone());
            self.run_on(
                shard,
                Box::new(move |shard| {
                    // Nobody waits any more: the answer is not needed.
                    drop(answers.send((shard.id(), ask(shard))));
                }),
            );
        }
        receiver
    }
}
