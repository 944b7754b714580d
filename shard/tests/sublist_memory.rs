//! What a subscription costs in memory and what a match costs in allocations.
//!
//! One test alone in its process, because the counting allocator sees every thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinion_shard::sublist::{Entry, Sublist};

/// Bytes a 64-bit malloc takes for its blocks: 8 bytes of header each, rounded up to 16, at least 32.
static HELD: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn block_size(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

#[expect(
    unsafe_code,
    reason = "a global allocator cannot be counted without implementing the trait"
)]
// SAFETY: every call is passed on to the system's allocator unchanged; the counters touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(block_size(layout.size()), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(block_size(layout.size()), Ordering::Relaxed);
        // SAFETY: `pointer` came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As large as the router's entry: a pointer to a local subscription, or another shard's number and weight.
#[derive(Clone)]
enum Interest {
    Local(Rc<u64>),
    Remote { shard: u16, weight: u32 },
}

impl Entry for Interest {
    type Key = u64;

    fn key(&self) -> u64 {
        match self {
            Interest::Local(id) => **id,
            Interest::Remote { shard, .. } => u64::from(*shard),
        }
    }

    fn weight(&self) -> u32 {
        match self {
            Interest::Local(_) => 1,
            Interest::Remote { weight, .. } => *weight,
        }
    }
}

const REMOTE: Interest = Interest::Remote { shard: 3, weight: 1 };

/// Bytes an entry of a unique subject may cost beyond the bytes of its subject, wherever tables are in their growth.
const ENTRY_BYTES_MAX: usize = 100;

/// Allocations of a match that was not cached: the result, its list, the cache's copy of the subject.
const MISS_CALLS_MAX: usize = 4;

fn inbox(number: u64, last: &str) -> String {
    // 22 characters as client libraries draw them, spread by a multiplication.
    format!("_INBOX.{:022}.{last}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A unique inbox, literal or wildcard, costs at most 100 bytes beyond its subject at every table size, all of it
/// comes back, and a cached match allocates nothing.
#[test]
fn memory_is_within_its_rules() {
    for last in ["1", "*"] {
        let before = HELD.load(Ordering::Relaxed);
        let mut list = Sublist::new(1);
        let (mut subject_bytes, mut worst) = (0, 0);
        for number in 0..200_000 {
            let subject = inbox(number, last);
            list.insert(subject.as_bytes(), None, REMOTE).unwrap();
            subject_bytes += subject.len();
            drop(subject);
            if number >= 1_000 {
                let held = HELD.load(Ordering::Relaxed) - before - subject_bytes;
                worst = worst.max(held / (usize::try_from(number).unwrap() + 1));
            }
        }
        let held = (HELD.load(Ordering::Relaxed) - before - subject_bytes) / list.count();
        println!("_INBOX.<22>.{last}: {held} bytes an entry at 200,000, at worst {worst}");
        assert!(worst <= ENTRY_BYTES_MAX, "{worst} bytes an entry");

        for number in 0..200_000 {
            list.remove(inbox(number, last).as_bytes(), None, 3).unwrap();
        }
        let left = HELD.load(Ordering::Relaxed) - before;
        println!("after all left: {left} bytes");
        assert!(left < 32 * 1024, "{left} bytes stay");
    }

    let mut list = Sublist::new(1);
    list.insert(b"orders.eu", None, Interest::Local(Rc::new(7)))
        .unwrap();
    list.insert(b"orders.*", None, REMOTE).unwrap();
    let count_calls = |list: &mut Sublist<Interest>, subject: &[u8]| {
        let before = CALLS.load(Ordering::Relaxed);
        let result = list.matches(subject);
        assert!(!result.is_empty());
        drop(result);
        CALLS.load(Ordering::Relaxed) - before
    };
    count_calls(&mut list, b"orders.warm-up");
    let misses: usize = (0..100)
        .map(|number| count_calls(&mut list, format!("orders.{number}").as_bytes()))
        .sum();
    let hits: usize = (0..100)
        .map(|_| count_calls(&mut list, b"orders.eu"))
        .sum::<usize>();
    println!("100 misses: {misses} allocations; 100 matches of one subject: {hits}");
    assert!(misses <= 100 * MISS_CALLS_MAX);
    assert!(hits <= MISS_CALLS_MAX, "only the first of them was no hit");
}
