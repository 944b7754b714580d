//! A bell made of an eventfd: the ring is one `write`, the ear waits until it can be read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{EventfdFlags, PollFlags};

use super::driver::Driver;
use super::ring::Wait;
use super::UringIo;

/// Rings the bell of one shard.
#[derive(Clone)]
pub struct UringBell(Arc<OwnedFd>);

impl UringBell {
    /// A new bell nobody listens to yet.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(rustix::event::eventfd(0, flags)?)))
    }

    pub(in crate::io) fn ring(&self) {
        ring_eventfd(&self.0);
    }

    /// The listening side; made on the shard that listens, once.
    pub(in crate::io) fn ear(&self, io: &UringIo) -> io::Result<UringEar> {
        Ok(UringEar {
            fd: Rc::new(self.0.try_clone()?),
            wait: Wait::default(),
            driver: Rc::clone(io.driver()),
        })
    }
}

/// Rings an eventfd.
pub(super) fn ring_eventfd(fd: &OwnedFd) {
    let rung = rustix::io::write(fd.as_fd(), &1u64.to_ne_bytes());
    // A full counter (2^64 - 2 rings unheard) is a bell that rings already.
    assert!(
        matches!(rung, Ok(8) | Err(rustix::io::Errno::AGAIN)),
        "an eventfd takes 8 bytes: {rung:?}"
    );
}

/// Whether an eventfd was rung since it was last asked.
pub(super) fn take_eventfd(fd: &OwnedFd) -> bool {
    let heard = rustix::io::read(fd, &mut [0; 8]);
    assert!(
        matches!(heard, Ok(8) | Err(rustix::io::Errno::AGAIN)),
        "an eventfd gives 8 bytes: {heard:?}"
    );
    heard.is_ok()
}

/// Listens to one bell.
pub struct UringEar {
    fd: Rc<OwnedFd>,
    wait: Wait,
    driver: Rc<Driver>,
}

impl UringEar {
    pub(in crate::io) fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self
                .driver
                .ring()
                .poll_ready(&self.wait, &self.fd, PollFlags::IN, cx)
                .is_pending()
            {
                return Poll::Pending;
            }
            if take_eventfd(&self.fd) {
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for UringEar {
    fn drop(&mut self) {
        self.driver.ring().release(&self.wait, &self.fd);
    }
}
