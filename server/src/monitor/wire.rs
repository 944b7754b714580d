//! One HTTP connection between hyper and the shard's sockets, and the watch over slow clients.
//!
//! Owns: how long a client may take for a request's head, between two requests, and to read an answer.
//! Not here: HTTP (hyper), what is answered (`pages`).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::future::or;
use pinion_shard::io::{Io, Stream, Time};

/// From the first byte of a request (of a new connection: from its start) to the end of its head. Beyond: closed.
pub(super) const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two requests of one connection. Beyond: closed.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long an answer may make no progress. Beyond: closed.
pub(super) const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// Bytes taken from the socket at a time.
const READ_SIZE: usize = 4096;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a request.
    Idle,
    /// The head of a request comes.
    Head,
    /// The answer is built.
    Building,
    /// The answer is written.
    Writing,
}

/// What a connection does, and since when; for writing: when it last made progress.
pub(super) struct Watch {
    io: Io,
    state: Cell<(Phase, Time)>,
    watcher: RefCell<Option<Waker>>,
}

impl Watch {
    pub(super) fn new(io: Io) -> Rc<Self> {
        let state = Cell::new((Phase::Head, io.now()));
        Rc::new(Self {
            io,
            state,
            watcher: RefCell::default(),
        })
    }

    fn enter(&self, phase: Phase) {
        self.state.set((phase, self.io.now()));
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }

    /// The head of a request is whole.
    pub(super) fn request(&self) {
        self.enter(Phase::Building);
    }

    /// Its answer is ready to be written.
    pub(super) fn answered(&self) {
        self.enter(Phase::Writing);
    }

    fn limit(&self) -> Option<(Time, Duration)> {
        let (phase, since) = self.state.get();
        let limit = match phase {
            Phase::Idle => IDLE_TIME_MAX,
            Phase::Head => HEAD_TIME_MAX,
            Phase::Writing => WRITE_STALL_MAX,
            Phase::Building => return None,
        };
        Some((since + limit, limit))
    }

    /// Ends when the client took too long.
    pub(super) async fn expired(&self) {
        loop {
            let phase = self.state.get().0;
            let changed = poll_fn(|cx| {
                if self.state.get().0 != phase {
                    return Poll::Ready(());
                }
                *self.watcher.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            });
            let Some((due, _)) = self.limit() else {
                changed.await;
                continue;
            };
            let left = due.since(self.io.now());
            if left.is_zero() {
                return;
            }
            or(changed, self.io.sleep(left)).await;
        }
    }
}

/// The socket as hyper wants it.
pub(super) struct Wire {
    stream: Stream,
    watch: Rc<Watch>,
}

impl Wire {
    pub(super) fn new(stream: Stream, watch: Rc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; READ_SIZE];
        let size = chunk.len().min(buffer.remaining());
        let read = match self.stream.poll_read(cx, &mut chunk[..size]) {
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        if read > 0 && self.watch.state.get().0 == Phase::Idle {
            self.watch.enter(Phase::Head);
        }
        buffer.put_slice(&chunk[..read]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(_))) && self.watch.state.get().0 == Phase::Writing {
            self.watch.state.set((Phase::Writing, self.watch.io.now()));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all it has: the answer is out.
        if self.watch.state.get().0 == Phase::Writing {
            self.watch.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.shutdown();
        Poll::Ready(Ok(()))
    }
}
