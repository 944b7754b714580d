//! A bounded single-producer single-consumer ring between two shards.
//!
//! Owns: the slots and the two cursors. Not here: waking anybody (`doorbell`).
//! Written here, not taken from a library, so that `loom` can look at the very code that runs: the ring
//! and the wake protocol are checked together (`doorbell::loom_tests`, ADR-0002).
//!
//! Invariants
//!   head <= tail <= head + capacity      (both count up and never wrap in 64 bits)
//!   slots head..tail are initialised; only the consumer moves head, only the producer moves tail

use std::mem::MaybeUninit;

#[cfg(pinion_loom)]
use loom::cell::UnsafeCell;

use super::sync::{Arc, AtomicUsize, Ordering};

#[cfg(not(pinion_loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(pinion_loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Keeps the two cursors on cache lines of their own.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by one side at a time (the cursors' invariants), so handing the values of a
// `Send` type from one thread to the other is all that happens.
#[expect(unsafe_code, reason = "the ring hands values between two threads")]
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "the ring hands values between two threads")]
unsafe impl<T: Send> Sync for Shared<T> {}

/// The side that pushes.
pub(super) struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
}

/// The side that pops.
pub(super) struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// A ring for `capacity` values, at least one.
pub(super) fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring holds at least one value");
    let slots = (0..capacity)
        .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
        .collect();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots,
    });
    (
        Producer {
            shared: Arc::clone(&shared),
            tail: 0,
            head_seen: 0,
        },
        Consumer {
            shared,
            head: 0,
            tail_seen: 0,
        },
    )
}

impl<T> Producer<T> {
    /// Puts `value` at the end, or gives it back when the ring is full.
    pub(super) fn push(&mut self, value: T) -> Result<(), T> {
        if self.is_full() {
            return Err(value);
        }
        let slot = self.tail % self.shared.slots.len();
        self.shared.slots[slot].with_mut(|cell| {
            // SAFETY: the slot lies outside head..tail, so the consumer does not look at it.
            #[expect(unsafe_code, reason = "see the cursors' invariants")]
            unsafe {
                (*cell).write(value)
            };
        });
        self.tail += 1;
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Whether the next push would be refused.
    pub(super) fn is_full(&mut self) -> bool {
        if self.tail - self.head_seen < self.shared.slots.len() {
            return false;
        }
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.tail - self.head_seen == self.shared.slots.len()
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let slot = self.head % self.shared.slots.len();
        let value = self.shared.slots[slot].with_mut(|cell| {
            // SAFETY: the pointer is that of a slot of ours, which nobody else touches now.
            #[expect(unsafe_code, reason = "see the cursors' invariants")]
            let cell = unsafe { &*cell };
            // SAFETY: the slot lies in head..tail, so it was written and the producer leaves it alone.
            #[expect(unsafe_code, reason = "see the cursors' invariants")]
            unsafe {
                cell.assume_init_read()
            }
        });
        self.head += 1;
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // What the producer pushes after this leaks its heap memory; both sides end together.
        while self.pop().is_some() {}
    }
}

#[cfg(all(test, not(pinion_loom)))]
mod tests {
    use super::*;

    /// A ring of two keeps order, refuses the third, and drops what nobody took.
    #[test]
    fn keeps_order_and_refuses_when_full() {
        let (mut producer, mut consumer) = ring::<Box<u32>>(2);
        assert!(consumer.pop().is_none());
        assert!(producer.push(Box::new(1)).is_ok());
        assert!(producer.push(Box::new(2)).is_ok());
        assert_eq!(producer.push(Box::new(3)).map_err(|value| *value), Err(3));
        assert_eq!(consumer.pop().as_deref(), Some(&1));
        assert!(producer.push(Box::new(4)).is_ok());
        assert!(producer.is_full());
        assert_eq!(consumer.pop().as_deref(), Some(&2));
        assert_eq!(consumer.pop().as_deref(), Some(&4));
        assert!(consumer.pop().is_none());
    }
}
