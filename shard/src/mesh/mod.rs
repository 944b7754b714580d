//! The mesh: what routes are between servers, lanes are between the shards of one server.
//!
//! Owns: for each pair of shards two lanes (interest, data), credit, the doorbells. Not here: what
//! interest means (`sublist`), who gets a message (`router`).
//!
//! Rules (design section 4)
//!   - The end of a batch is always: interest -> data -> sockets. While an interest lane is full nothing
//!     later leaves this shard ([`Mesh::push_interest`] says so).
//!   - Interest may overtake data, never the reverse: whoever routes drains the interest lanes first.
//!   - A generator of data stops while [`Mesh::is_blocked`] says so for a shard it feeds.
//!   - Credit returns when the target took the batch, not when its client read it.

mod doorbell;
mod envelope;
mod interest;
mod link;
mod ring;
mod sync;

pub use doorbell::{Doorbell, Lane};
pub(crate) use envelope::append_message;
pub use envelope::{Envelope, Envelopes, Groups, Message};
pub use interest::{InterestChange, InterestKey};
pub use link::{Batch, MeshSize};

use std::cell::{Cell, RefCell};

use crate::ids::{ConnectionId, ShardId};
use crate::io::{Bell, Io, Point, Sabotage};
use link::Link;
use sync::Arc;

/// One shard's end of the mesh, before its thread has started. May cross threads.
pub struct MeshEnd {
    id: ShardId,
    size: MeshSize,
    doorbell: Arc<Doorbell>,
    links: Vec<Option<Link>>,
}

/// One shard's end of the mesh.
pub struct Mesh {
    id: ShardId,
    size: MeshSize,
    doorbell: Arc<Doorbell>,
    /// By shard; `None` at our own place.
    links: Box<[Option<RefCell<Link>>]>,
    /// Interest that changed in this batch.
    changes: RefCell<Vec<InterestChange>>,
    /// Shards with an open batch.
    open: Cell<u64>,
    /// Shards that got news and may have to be rung.
    told: Cell<u64>,
    counters: MeshCounters,
}

/// What the mesh counted on this shard.
#[derive(Default)]
pub struct MeshCounters {
    /// Batches pushed.
    pub batches: Cell<u64>,
    /// Bytes pushed.
    pub bytes: Cell<u64>,
    /// Bells rung.
    pub rings: Cell<u64>,
    /// Times an interest lane was full at the end of a batch.
    pub interest_full: Cell<u64>,
    /// Times a data lane had no place for a batch.
    pub data_full: Cell<u64>,
    /// Answers dropped because their lane was full for too long.
    pub answers_dropped: Cell<u64>,
}

fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

/// Connects the shards whose bells are `bells`, each with each.
pub fn build(bells: &[Bell], size: MeshSize) -> Vec<MeshEnd> {
    let doorbells: Vec<_> = bells.iter().map(|_| Arc::new(Doorbell::default())).collect();
    let mut ends: Vec<MeshEnd> = doorbells
        .iter()
        .enumerate()
        .map(|(index, doorbell)| MeshEnd {
            id: ShardId::from_index(index),
            size,
            doorbell: Arc::clone(doorbell),
            links: bells.iter().map(|_| None).collect(),
        })
        .collect();
    for a in 0..bells.len() {
        for b in a + 1..bells.len() {
            let to_a = link::Reach {
                doorbell: Arc::clone(&doorbells[a]),
                bell: bells[a].clone(),
            };
            let to_b = link::Reach {
                doorbell: Arc::clone(&doorbells[b]),
                bell: bells[b].clone(),
            };
            let (link_a, link_b) = link::pair(size, to_a, to_b);
            ends[a].links[b] = Some(link_a);
            ends[b].links[a] = Some(link_b);
        }
    }
    ends
}

/// Tells a shard, from any thread, that its mailbox has a job.
#[derive(Clone)]
pub struct Knock {
    doorbell: Arc<Doorbell>,
    bell: Bell,
}

impl Knock {
    /// Marks the job and wakes the shard.
    pub fn knock(&self) {
        self.doorbell.mark(Lane::Job, 0);
        if self.doorbell.must_ring() {
            self.bell.ring();
        }
    }
}

impl MeshEnd {
    /// A way to reach this shard from any thread; `bell` is its own.
    pub fn knock(&self, bell: Bell) -> Knock {
        Knock {
            doorbell: Arc::clone(&self.doorbell),
            bell,
        }
    }
}

/// The shards of a bitmap, lowest first.
pub fn shards_of(mut bits: u64) -> impl Iterator<Item = usize> + Clone {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let index = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        Some(index)
    })
}

impl Mesh {
    /// Takes the end of this shard into its thread.
    pub fn new(end: MeshEnd) -> Self {
        Self {
            id: end.id,
            size: end.size,
            doorbell: end.doorbell,
            links: end.links.into_iter().map(|link| link.map(RefCell::new)).collect(),
            changes: RefCell::default(),
            open: Cell::new(0),
            told: Cell::new(0),
            counters: MeshCounters::default(),
        }
    }

    /// This shard.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// How large its parts are.
    pub fn size(&self) -> MeshSize {
        self.size
    }

    /// Shards of the server, this one included.
    pub fn shard_count(&self) -> usize {
        self.links.len()
    }

    /// The news of this shard.
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// What was counted.
    pub fn counters(&self) -> &MeshCounters {
        &self.counters
    }

    fn link(&self, shard: usize) -> &RefCell<Link> {
        self.links[shard].as_ref().expect("a shard has no lane to itself")
    }

    fn others(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.links.len()).filter(|&shard| shard != self.id.index())
    }

    /// Notes that this shard's interest changed; it leaves at the end of the batch.
    pub fn change_interest(&self, change: InterestChange) {
        if self.links.len() > 1 {
            self.changes.borrow_mut().push(change);
        }
    }

    /// Pushes all changed interest. `false`: a lane is full, nothing later may leave this shard until a
    /// later call says `true`.
    #[must_use]
    pub fn push_interest(&self, io: &Io) -> bool {
        let changes = self.changes.take();
        let mut all = true;
        for shard in self.others() {
            let link = self.link(shard);
            if changes.is_empty() && link.borrow().interest_is_pushed() {
                continue;
            }
            io.interleave(Point::BetweenLanes);
            let pushed = link.borrow_mut().push_interest(&changes);
            io.interleave(Point::PushedNotAnnounced);
            link.borrow().announce(Lane::Interest, self.id);
            self.told.set(self.told.get() | 1 << shard);
            if !pushed {
                all = false;
                add(&self.counters.interest_full, 1);
            }
        }
        all
    }

    /// Appends a message to the batch for `target`.
    pub fn send_message<'g>(
        &self,
        target: usize,
        message: &Message<'_>,
        groups: impl Iterator<Item = &'g [u8]> + Clone,
    ) {
        self.open.set(self.open.get() | 1 << target);
        append_message(self.link(target).borrow_mut().open_batch(), message, groups);
    }

    /// Appends an answer to a batch that came from `target`; dropped and counted beyond the overflow bound.
    pub fn send_answer(&self, target: usize, append: impl FnOnce(&mut Vec<u8>)) {
        let mut link = self.link(target).borrow_mut();
        if link.is_overflowing() {
            add(&self.counters.answers_dropped, 1);
            return;
        }
        self.open.set(self.open.get() | 1 << target);
        append(link.open_batch());
    }

    /// As [`Mesh::send_answer`]: nobody here got these parts of the request.
    pub fn send_not_delivered(
        &self,
        target: usize,
        origin: ConnectionId,
        request: u32,
        parts: u32,
        subject: &[u8],
        reply: &[u8],
    ) {
        self.send_answer(target, |out| {
            envelope::append_not_delivered(out, origin, request, parts, subject, reply)
        });
    }

    /// As [`Mesh::send_answer`]: hold this publisher for a moment.
    pub fn send_stall(&self, target: usize, origin: ConnectionId) {
        self.send_answer(target, |out| envelope::append_stall(out, origin));
    }

    /// Pushes the open batches; call only after [`Mesh::push_interest`] said `true`.
    pub fn push_data(&self, io: &Io) {
        for shard in shards_of(self.open.get()) {
            io.interleave(Point::BetweenLanes);
            if io.sabotaged(Sabotage::WakeBeforePublish) {
                self.link(shard).borrow().announce(Lane::Data, self.id);
                self.told.set(self.told.get() | 1 << shard);
                self.ring_told(io);
            }
            let pushed = self.link(shard).borrow_mut().push_batch();
            match pushed {
                Some(size) => {
                    self.open.set(self.open.get() & !(1 << shard));
                    add(&self.counters.batches, 1);
                    add(&self.counters.bytes, size as u64);
                    if io.sabotaged(Sabotage::WakeBeforePublish) {
                        continue;
                    }
                    io.interleave(Point::PushedNotAnnounced);
                    self.link(shard).borrow().announce(Lane::Data, self.id);
                    self.told.set(self.told.get() | 1 << shard);
                }
                None => {
                    add(&self.counters.data_full, 1);
                    if io.sabotaged(Sabotage::ForgetTheOpenBatch) {
                        self.open.set(self.open.get() & !(1 << shard));
                    }
                }
            }
        }
    }

    /// Rings the shards that were told something since the last call and sleep.
    pub fn ring_told(&self, io: &Io) {
        for shard in shards_of(self.told.take()) {
            io.interleave(Point::AnnouncedNotRung);
            if self.link(shard).borrow().ring_if_asleep() {
                add(&self.counters.rings, 1);
            }
        }
    }

    /// Whether something waits in an open batch for a place in its lane.
    pub fn has_open(&self) -> bool {
        self.open.get() != 0
    }

    /// Whether generators must not send to `target` now. Once it said `true`, news on [`Lane::Room`] come
    /// when that changed.
    pub fn is_blocked(&self, target: usize) -> bool {
        self.link(target).borrow_mut().is_blocked()
    }

    /// Applies all interest the others have announced.
    pub fn drain_interest(&self, io: &Io, mut apply: impl FnMut(ShardId, InterestChange)) {
        let mut news = self.doorbell.take(Lane::Interest);
        while news != 0 {
            for shard in shards_of(news) {
                io.interleave(Point::BetweenLanes);
                if io.sabotaged(Sabotage::SkipALane) && shard + 1 == self.links.len() {
                    continue;
                }
                loop {
                    let change = self.link(shard).borrow_mut().pop_interest();
                    let Some(change) = change else { break };
                    apply(ShardId::from_index(shard), change);
                }
                if self.link(shard).borrow_mut().interest_has_room() && !io.sabotaged(Sabotage::ForgetRoom) {
                    self.link(shard).borrow().announce(Lane::Room, self.id);
                    self.told.set(self.told.get() | 1 << shard);
                }
            }
            news = self.doorbell.take(Lane::Interest);
        }
    }

    /// Takes the next batch of `source`. Give it back with [`Mesh::batch_done`].
    pub fn pop_batch(&self, source: usize) -> Option<Batch> {
        self.link(source).borrow_mut().pop_batch()
    }

    /// The batch was taken to its connections: its credit returns to `source`.
    pub fn batch_done(&self, source: usize, batch: Batch) {
        if self.link(source).borrow_mut().return_batch(batch) {
            self.link(source).borrow().announce(Lane::Room, self.id);
            self.told.set(self.told.get() | 1 << source);
        }
    }

    /// Bytes in flight to all others.
    pub fn in_flight(&self) -> usize {
        self.others()
            .map(|shard| self.link(shard).borrow().in_flight())
            .sum()
    }
}
