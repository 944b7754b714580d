//! The readiness of descriptors, from one io_uring per shard: who waits for what, and the one call that submits,
//! sleeps and takes completions.
//!
//! Owns: the ring, one slot per wait. Not here: what is read or written (`net`, `bell`), which task runs next
//! (`driver`). A backend on epoll would be another file with the same methods.
//!
//! Invariants
//!   - A poll completes once. Its slot is free for others only after the completion was taken, and carries a
//!     generation that the completion must name.
//!   - A descriptor is closed only after all polls on it have completed: a queued entry names it by number.
//!   - No waker is woken or dropped while something here is borrowed: it may own the last piece of a task, which owns
//!     a stream, which comes back here.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::squeue::Entry;
use io_uring::{opcode, types, IoUring};
use rustix::event::PollFlags;

use super::spin::Spin;

/// Entries that may be queued before they are submitted; a full queue is submitted at once.
const SUBMISSIONS: u32 = 512;
/// Completions the ring holds; beyond, the kernel keeps them until there is room.
const COMPLETIONS: u32 = 4096;

/// A completion nobody waits for: that of a cancellation.
const IGNORED: u64 = u64::MAX;
/// Generations stay below those of [`IGNORED`] and of every [`Signal`].
const GENERATION_MAX: u32 = u32::MAX - 1;

/// What the driver itself waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The timer's descriptor.
    Timer,
    /// A task was woken from another thread.
    Bell,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Timer, Signal::Bell];

    fn user_data(self) -> u64 {
        match self {
            Signal::Timer => u64::MAX - 1,
            Signal::Bell => u64::MAX - 2,
        }
    }
}

/// Which signals came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signals(u8);

impl Signals {
    fn add(&mut self, signal: Signal) {
        self.0 |= 1 << signal as u8;
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    pub(super) fn has(self, signal: Signal) -> bool {
        self.0 & 1 << signal as u8 != 0
    }
}

/// Names a slot in the kernel: its generation above, its index below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(NonZeroU64);

impl Key {
    fn new(index: u32, generation: u32) -> Self {
        let key = u64::from(generation) << 32 | u64::from(index);
        Self(NonZeroU64::new(key).expect("generations start from 1"))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the index")]
    fn index(self) -> usize {
        self.0.get() as u32 as usize
    }

    fn generation(self) -> u32 {
        u32::try_from(self.0.get() >> 32).expect("the upper half")
    }
}

/// One thing to wait for at a time: readable, or writable. It belongs to one ring.
#[derive(Debug, Default)]
pub(super) struct Wait(Cell<Option<Key>>);

enum State {
    Free,
    /// The kernel will tell.
    Armed(Waker),
    /// The kernel has told.
    Ready,
    /// Nobody waits any more; the descriptor stays open until the kernel has let go of it.
    Orphan(#[expect(dead_code, reason = "held, not read")] Rc<OwnedFd>),
}

struct Slot {
    generation: u32,
    state: State,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    fn take(&mut self, waker: Waker) -> Key {
        let state = State::Armed(waker);
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.generation = slot.generation % GENERATION_MAX + 1;
            slot.state = state;
            return Key::new(index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("the kernel has fewer descriptors");
        self.slots.push(Slot { generation: 1, state });
        Key::new(index, 1)
    }

    fn state(&mut self, key: Key) -> &mut State {
        let slot = &mut self.slots[key.index()];
        assert_eq!(
            slot.generation,
            key.generation(),
            "a slot waits for its completion"
        );
        &mut slot.state
    }

    fn free(&mut self, key: Key) {
        let index = u32::try_from(key.index()).expect("came from a u32");
        *self.state(key) = State::Free;
        self.free.push(index);
    }
}

/// The ring of one shard.
pub(super) struct Ring {
    ring: RefCell<IoUring>,
    slots: RefCell<Slots>,
    /// States that completions left, woken or dropped when nothing is borrowed any more.
    left: RefCell<Vec<State>>,
    spin: Spin,
}

impl Ring {
    /// # Errors
    /// A limit or a permission of the kernel.
    pub(super) fn new() -> io::Result<Self> {
        let build = |configure: &dyn Fn(&mut io_uring::Builder)| {
            let mut builder = IoUring::builder();
            builder.setup_cqsize(COMPLETIONS).setup_clamp();
            configure(&mut builder);
            builder.build(SUBMISSIONS)
        };
        // Linux 5.19 and newer: completions do not interrupt the shard, they wait for its next call into the kernel.
        // To defer them further (`DEFER_TASKRUN`) is not for us: such a ring does not tell glommio's that it has news.
        let ring = build(&|builder| {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        })
        .or_else(|_| build(&|_| {}))?;
        Ok(Self {
            ring: RefCell::new(ring),
            slots: RefCell::default(),
            left: RefCell::default(),
            spin: Spin::default(),
        })
    }

    /// Ready once `fd` is, or is in error; then another call waits anew. At most one task waits on one `wait`.
    pub(super) fn poll_ready(
        &self,
        wait: &Wait,
        fd: &OwnedFd,
        interest: PollFlags,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(key) = wait.0.get() else {
            let key = self.slots.borrow_mut().take(cx.waker().clone());
            wait.0.set(Some(key));
            self.push(poll_entry(fd.as_raw_fd(), interest).user_data(key.0.get()));
            return Poll::Pending;
        };
        let mut slots = self.slots.borrow_mut();
        match slots.state(key) {
            State::Ready => {
                slots.free(key);
                wait.0.set(None);
                Poll::Ready(())
            }
            State::Armed(waker) => {
                let before =
                    (!waker.will_wake(cx.waker())).then(|| std::mem::replace(waker, cx.waker().clone()));
                drop(slots);
                drop(before);
                Poll::Pending
            }
            State::Free | State::Orphan(_) => unreachable!("the wait holds the slot"),
        }
    }

    /// Ends a wait; `fd`, which it waits for, stays open as long as the kernel holds it.
    pub(super) fn release(&self, wait: &Wait, fd: &Rc<OwnedFd>) {
        let Some(key) = wait.0.take() else { return };
        let mut slots = self.slots.borrow_mut();
        if matches!(slots.state(key), State::Ready) {
            slots.free(key);
            return;
        }
        let before = std::mem::replace(slots.state(key), State::Orphan(Rc::clone(fd)));
        drop(slots);
        self.push(opcode::PollRemove::new(key.0.get()).build().user_data(IGNORED));
        drop(before);
    }

    /// [`Ring::look`] will tell once that `fd` can be read. The caller keeps it open as long as the ring.
    pub(super) fn watch(&self, signal: Signal, fd: &OwnedFd) {
        self.push(poll_entry(fd.as_raw_fd(), PollFlags::IN).user_data(signal.user_data()));
    }

    #[expect(unsafe_code, reason = "the kernel reads queued entries later")]
    fn push(&self, entry: Entry) {
        let mut ring = self.ring.borrow_mut();
        loop {
            // SAFETY: polls and their cancellations name no memory, only descriptors, which outlive them (invariant).
            let pushed = unsafe { ring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            submitted(ring.submit());
        }
    }

    /// Submits what is queued and takes what has completed; `sleeps`: waits for the first completion when there is none.
    pub(super) fn look(&self, sleeps: bool) -> Signals {
        let mut signals = Signals::default();
        {
            let mut ring = self.ring.borrow_mut();
            let is_awake = !sleeps || (self.spin.is_worth_it() && self.spin.spin(&mut ring));
            if is_awake {
                submit_if_needed(&mut ring);
            } else {
                submitted(ring.submit_and_wait(1));
            }
            let mut slots = self.slots.borrow_mut();
            let mut left = self.left.borrow_mut();
            for completion in ring.completion() {
                let user_data = completion.user_data();
                if user_data == IGNORED {
                    continue;
                }
                if let Some(signal) = Signal::ALL
                    .into_iter()
                    .find(|signal| signal.user_data() == user_data)
                {
                    signals.add(signal);
                    continue;
                }
                let key = Key(NonZeroU64::new(user_data).expect("every entry has a key"));
                // An error of the poll itself is found by the call that was waited for.
                let before = std::mem::replace(slots.state(key), State::Ready);
                match before {
                    State::Armed(_) => {}
                    State::Orphan(_) => slots.free(key),
                    State::Free | State::Ready => unreachable!("a poll completes once"),
                }
                left.push(before);
            }
        }
        self.wake_left();
        signals
    }

    fn wake_left(&self) {
        let mut left = self.left.take();
        for state in left.drain(..) {
            if let State::Armed(waker) = state {
                waker.wake();
            }
        }
        let empty = self.left.replace(left);
        assert!(empty.is_empty(), "only `look` takes completions");
    }

    /// Lets go of all who wait: the shard ends.
    pub(super) fn clear(&self) {
        let slots = self.slots.take();
        drop(slots);
    }

    /// Lends the ring's own descriptor: readable while completions wait.
    #[expect(unsafe_code, reason = "the ring gives its descriptor by number only")]
    pub(super) fn with_fd<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        let ring = self.ring.borrow();
        // SAFETY: the ring is borrowed until the call has returned, and owns the descriptor.
        call(unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) })
    }
}

/// Submits what is queued, and lets the kernel post the completions it holds back.
pub(super) fn submit_if_needed(ring: &mut IoUring) {
    let queue = ring.submission();
    let must_enter = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
    drop(queue);
    if must_enter {
        submitted(ring.submit());
    }
}

fn poll_entry(fd: RawFd, interest: PollFlags) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), u32::from(interest.bits())).build()
}

/// What an enter may fail with and is tried again: a signal, no memory at the moment, completions not taken yet.
fn submitted(entered: io::Result<usize>) {
    let Err(error) = entered else { return };
    let is_passing = matches!(
        rustix::io::Errno::from_io_error(&error),
        Some(
            rustix::io::Errno::INTR
                | rustix::io::Errno::AGAIN
                | rustix::io::Errno::BUSY
                | rustix::io::Errno::TIME
        )
    );
    assert!(is_passing, "io_uring refuses what it was probed for: {error}");
}
