//! The two lanes between this shard and one other, both directions, with credit.
//!
//! Invariants
//!   in_flight <= credit + one message per generator (checked before a generator goes on, not within a message)
//!   a batch is returned once, by the shard that took it

use super::interest::{InterestChange, Kept};
use super::ring::{ring, Consumer, Producer};
use super::sync::{fence, Arc, AtomicBool, AtomicUsize, Ordering};
use super::{Doorbell, Lane};
use crate::ids::ShardId;
use crate::io::Bell;
use crate::limits;

/// Sizes of the lanes and of what hangs on them; small ones in simulation.
#[derive(Clone, Copy, Debug)]
pub struct MeshSize {
    /// Interest changes in one lane.
    pub interest_capacity: usize,
    /// Batches in one lane.
    pub data_capacity: usize,
    /// Bytes in flight from one shard to another.
    pub credit_size: usize,
    /// Bytes of answers kept for one full lane.
    pub answer_overflow_size: usize,
    /// Requests in several parts whose answers are counted at the same time.
    pub open_requests: usize,
}

impl Default for MeshSize {
    fn default() -> Self {
        Self {
            interest_capacity: limits::INTEREST_LANE_CAPACITY,
            data_capacity: limits::DATA_LANE_CAPACITY,
            credit_size: limits::CREDIT_SIZE,
            answer_overflow_size: limits::ANSWER_OVERFLOW_SIZE_MAX,
            open_requests: limits::OPEN_REQUESTS_MAX,
        }
    }
}

/// Envelopes of one batch.
pub struct Batch {
    /// Whole envelopes, see `envelope`.
    pub bytes: Vec<u8>,
}

/// How one shard tells another that there is news.
pub(super) struct Reach {
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) bell: Bell,
}

/// What both ends of one direction share besides the rings.
struct Flow {
    in_flight: AtomicUsize,
    /// The source waits for room in the data lane or for credit.
    data_wanted: AtomicBool,
    /// The source waits for room in the interest lane.
    interest_wanted: AtomicBool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            data_wanted: AtomicBool::new(false),
            interest_wanted: AtomicBool::new(false),
        }
    }
}

impl Flow {
    /// Raises `wanted`; what the other side does after this is seen by it or by our next look.
    fn want(wanted: &AtomicBool) {
        wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// After room was made: whether the source waits for it.
    fn is_wanted(wanted: &AtomicBool) -> bool {
        fence(Ordering::SeqCst);
        wanted.load(Ordering::Relaxed) && wanted.swap(false, Ordering::Relaxed)
    }
}

/// One shard's side of the lanes to and from one other.
pub(super) struct Link {
    reach: Reach,
    size: MeshSize,
    // Out.
    flow_out: Arc<Flow>,
    /// At least what is in flight: what the target returned is seen when this reaches the credit.
    in_flight_bound: usize,
    data_out: Producer<Batch>,
    empties: Consumer<Vec<u8>>,
    open: Vec<u8>,
    interest_out: Producer<InterestChange>,
    kept: Kept,
    // In.
    flow_in: Arc<Flow>,
    data_in: Consumer<Batch>,
    empties_back: Producer<Vec<u8>>,
    interest_in: Consumer<InterestChange>,
}

/// The two ends of the lanes between shards a and b.
pub(super) fn pair(size: MeshSize, to_a: Reach, to_b: Reach) -> (Link, Link) {
    let (a_data_out, b_data_in) = ring(size.data_capacity);
    let (b_data_out, a_data_in) = ring(size.data_capacity);
    let (a_interest_out, b_interest_in) = ring(size.interest_capacity);
    let (b_interest_out, a_interest_in) = ring(size.interest_capacity);
    let (a_empties_back, b_empties) = ring(size.data_capacity);
    let (b_empties_back, a_empties) = ring(size.data_capacity);
    let (flow_ab, flow_ba) = (Arc::new(Flow::default()), Arc::new(Flow::default()));
    let a = Link {
        reach: to_b,
        size,
        flow_out: Arc::clone(&flow_ab),
        in_flight_bound: 0,
        data_out: a_data_out,
        empties: a_empties,
        open: Vec::new(),
        interest_out: a_interest_out,
        kept: Kept::default(),
        flow_in: Arc::clone(&flow_ba),
        data_in: a_data_in,
        empties_back: a_empties_back,
        interest_in: a_interest_in,
    };
    let b = Link {
        reach: to_a,
        size,
        flow_out: flow_ba,
        in_flight_bound: 0,
        data_out: b_data_out,
        empties: b_empties,
        open: Vec::new(),
        interest_out: b_interest_out,
        kept: Kept::default(),
        flow_in: flow_ab,
        data_in: b_data_in,
        empties_back: b_empties_back,
        interest_in: b_interest_in,
    };
    (a, b)
}

impl Link {
    pub(super) fn announce(&self, lane: Lane, from: ShardId) {
        self.reach.doorbell.mark(lane, from.index());
    }

    pub(super) fn ring_if_asleep(&self) -> bool {
        let asleep = self.reach.doorbell.must_ring();
        if asleep {
            self.reach.bell.ring();
        }
        asleep
    }

    pub(super) fn interest_is_pushed(&self) -> bool {
        self.kept.is_empty()
    }

    /// Pushes what was kept, then `changes`; what does not fit is kept as the newest state per key.
    /// `false`: something is kept.
    pub(super) fn push_interest(&mut self, changes: &[InterestChange]) -> bool {
        let mut changes = changes.iter();
        if self.kept.is_empty() {
            for change in changes.by_ref() {
                if let Err(change) = self.interest_out.push(change.clone()) {
                    self.kept.put(change);
                    break;
                }
            }
        }
        for change in changes {
            self.kept.put(change.clone());
        }
        if self.push_kept() {
            return true;
        }
        Flow::want(&self.flow_out.interest_wanted);
        self.push_kept()
    }

    fn push_kept(&mut self) -> bool {
        while !self.interest_out.is_full() {
            let Some(change) = self.kept.pop() else { break };
            assert!(
                self.interest_out.push(change).is_ok(),
                "only this side fills the lane"
            );
        }
        self.kept.is_empty()
    }

    pub(super) fn pop_interest(&mut self) -> Option<InterestChange> {
        self.interest_in.pop()
    }

    /// After the interest lane was emptied: whether its source waits for room.
    pub(super) fn interest_has_room(&mut self) -> bool {
        Flow::is_wanted(&self.flow_in.interest_wanted)
    }

    pub(super) fn open_batch(&mut self) -> &mut Vec<u8> {
        if self.open.capacity() == 0 {
            if let Some(empty) = self.empties.pop() {
                self.open = empty;
            }
        }
        &mut self.open
    }

    /// Pushes the open batch and gives its size; `None` when the lane has no place, then it stays open.
    pub(super) fn push_batch(&mut self) -> Option<usize> {
        assert!(!self.open.is_empty(), "only open batches are pushed");
        if self.data_out.is_full() {
            Flow::want(&self.flow_out.data_wanted);
            if self.data_out.is_full() {
                return None;
            }
        }
        let bytes = std::mem::take(&mut self.open);
        let size = bytes.len();
        // Before the push, so that the target never subtracts what was not added.
        self.flow_out.in_flight.fetch_add(size, Ordering::Relaxed);
        self.in_flight_bound += size;
        assert!(
            self.data_out.push(Batch { bytes }).is_ok(),
            "only this side fills the lane"
        );
        Some(size)
    }

    fn has_credit(&mut self) -> bool {
        if self.in_flight_bound + self.open.len() >= self.size.credit_size {
            self.in_flight_bound = self.flow_out.in_flight.load(Ordering::Relaxed);
        }
        self.in_flight_bound + self.open.len() < self.size.credit_size && !self.data_out.is_full()
    }

    pub(super) fn is_blocked(&mut self) -> bool {
        if self.has_credit() {
            return false;
        }
        Flow::want(&self.flow_out.data_wanted);
        !self.has_credit()
    }

    pub(super) fn is_overflowing(&self) -> bool {
        self.open.len() > self.size.answer_overflow_size
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flow_out.in_flight.load(Ordering::Relaxed) + self.open.len()
    }

    pub(super) fn pop_batch(&mut self) -> Option<Batch> {
        self.data_in.pop()
    }

    /// Gives credit and buffer back; `true`: the source waits for it.
    pub(super) fn return_batch(&mut self, batch: Batch) -> bool {
        let mut bytes = batch.bytes;
        let before = self.flow_in.in_flight.fetch_sub(bytes.len(), Ordering::Relaxed);
        assert!(before >= bytes.len(), "a batch is returned once");
        if bytes.capacity() <= limits::POOLED_BUFFER_SIZE_MAX {
            bytes.clear();
            // No place: the buffer goes back to the allocator.
            drop(self.empties_back.push(bytes));
        }
        Flow::is_wanted(&self.flow_in.data_wanted)
    }
}
