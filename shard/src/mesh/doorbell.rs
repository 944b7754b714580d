//! What a shard is told by others: one word of news per kind of lane, and whether it sleeps.
//!
//! Owns: the news bits and the sleep protocol. Not here: the lanes, the bell itself (`io::Bell`).
//!
//! The protocol, which `loom` checks (`loom_tests`):
//!   to tell:   push to the lane; set the bit; full fence; read the flag; if it was up, ring.
//!   to sleep:  raise the flag; full fence; look at all bits again; none: park until the bell rings.
//! Either the sleeper sees the bit or the teller sees the flag, so no news is slept over.

use super::sync::{fence, AtomicBool, AtomicU64, Ordering};

/// Which lane of a pair has news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Interest changed there.
    Interest,
    /// Messages.
    Data,
    /// A lane to there has room again.
    Room,
    /// A job in the mailbox (the bit is that of shard 0, whoever sent it).
    Job,
}

/// News for one shard.
#[derive(Debug)]
pub struct Doorbell {
    interest: AtomicU64,
    data: AtomicU64,
    room: AtomicU64,
    job: AtomicU64,
    sleeping: AtomicBool,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self {
            interest: AtomicU64::new(0),
            data: AtomicU64::new(0),
            room: AtomicU64::new(0),
            job: AtomicU64::new(0),
            sleeping: AtomicBool::new(false),
        }
    }
}

impl Doorbell {
    fn word(&self, lane: Lane) -> &AtomicU64 {
        match lane {
            Lane::Interest => &self.interest,
            Lane::Data => &self.data,
            Lane::Room => &self.room,
            Lane::Job => &self.job,
        }
    }

    /// Says that `lane` of shard `from` has news. What was pushed before is visible to who takes the bit.
    #[inline]
    pub fn mark(&self, lane: Lane, from: usize) {
        self.word(lane).fetch_or(1 << from, Ordering::Release);
    }

    /// After marks: whether the shard sleeps and this caller must ring.
    #[inline]
    #[must_use]
    pub fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed)
    }

    /// Takes the bits of `lane`: bit `n` means shard `n` has news there.
    #[inline]
    pub fn take(&self, lane: Lane) -> u64 {
        let word = self.word(lane);
        if word.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        word.swap(0, Ordering::Acquire)
    }

    /// Whether any lane has news; `with_data`: the data lanes count too.
    #[inline]
    pub fn has_news(&self, with_data: bool) -> bool {
        let data = if with_data {
            self.data.load(Ordering::Relaxed)
        } else {
            0
        };
        let rest = self.interest.load(Ordering::Relaxed)
            | self.room.load(Ordering::Relaxed)
            | self.job.load(Ordering::Relaxed);
        data | rest != 0
    }

    /// Raises the sleeping flag; the caller then asks [`Doorbell::has_news`] once more before it parks.
    #[inline]
    pub fn fall_asleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Lowers the sleeping flag: the shard is awake for whatever reason.
    #[inline]
    pub fn wake_up(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }
}

#[cfg(all(test, pinion_loom))]
mod loom_tests {
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::super::ring::ring;
    use super::*;

    /// Two values pushed by another thread are always taken, however the sleep interleaves.
    #[test]
    fn no_news_is_slept_over() {
        loom::model(|| {
            let doorbell = Arc::new(Doorbell::default());
            let bell = Arc::new(Notify::new());
            let (mut producer, mut consumer) = ring::<u32>(2);
            let teller = {
                let (doorbell, bell) = (doorbell.clone(), bell.clone());
                thread::spawn(move || {
                    for value in [1, 2] {
                        producer.push(value).expect("two fit");
                        doorbell.mark(Lane::Data, 1);
                        if doorbell.must_ring() {
                            bell.notify();
                        }
                    }
                })
            };
            let mut got = Vec::new();
            while got.len() < 2 {
                if doorbell.take(Lane::Data) != 0 {
                    while let Some(value) = consumer.pop() {
                        got.push(value);
                    }
                    continue;
                }
                doorbell.fall_asleep();
                if doorbell.has_news(true) {
                    doorbell.wake_up();
                    continue;
                }
                bell.wait();
            }
            assert_eq!(got, [1, 2]);
            teller.join().expect("the teller ends");
        });
    }

    /// A ring of one between two threads loses nothing and keeps order.
    #[test]
    fn ring_hands_over_in_order() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring::<Box<u32>>(1);
            let pusher = thread::spawn(move || {
                let mut refused = 0;
                for value in 0..2 {
                    let mut value = Box::new(value);
                    while let Err(back) = producer.push(value) {
                        value = back;
                        refused += 1;
                        thread::yield_now();
                    }
                }
                refused
            });
            let mut next = 0;
            while next < 2 {
                match consumer.pop() {
                    Some(value) => {
                        assert_eq!(*value, next);
                        next += 1;
                    }
                    None => thread::yield_now(),
                }
            }
            pusher.join().expect("the pusher ends");
        });
    }
}
