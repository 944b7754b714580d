//! A bell made of an eventfd: the ring is one `write`, the ear one io_uring read that stays armed.

use std::future::Future;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use glommio::io::BufferedFile;
use rustix::event::EventfdFlags;

/// Rings the bell of one shard.
#[derive(Clone)]
pub struct UringBell(Arc<OwnedFd>);

impl UringBell {
    /// A new bell nobody listens to yet.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?)))
    }

    pub(in crate::io) fn ring(&self) {
        // A full counter (2^64 - 2 rings unheard) would block; a ring unheard is as good as many.
        let written = rustix::io::write(self.0.as_fd(), &1u64.to_ne_bytes());
        assert!(written.is_ok(), "an eventfd takes 8 bytes: {written:?}");
    }

    /// The listening side; made on the shard that listens, once.
    #[expect(unsafe_code, reason = "glommio adopts descriptors by number only")]
    pub fn ear(&self) -> std::io::Result<UringEar> {
        use std::os::fd::FromRawFd;
        let fd = self.0.try_clone()?.into_raw_fd();
        // SAFETY: `fd` was just duplicated and given up above, so the file is its only owner.
        let file = unsafe { BufferedFile::from_raw_fd(fd) };
        Ok(UringEar {
            wait: Box::pin(wait(std::rc::Rc::new(file))),
        })
    }
}

/// Listens to one bell.
pub struct UringEar {
    wait: Pin<Box<dyn Future<Output = std::rc::Rc<BufferedFile>>>>,
}

async fn wait(file: std::rc::Rc<BufferedFile>) -> std::rc::Rc<BufferedFile> {
    // The eventfd blocks when its counter is zero, so io_uring holds the read until somebody rings.
    if let Err(error) = file.read_at(0, 8).await {
        tracing::debug!(%error, "the bell could not be read; listening again");
    }
    file
}

impl UringEar {
    pub(in crate::io) fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.wait.as_mut().poll(cx) {
            Poll::Ready(file) => {
                self.wait = Box::pin(wait(file));
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
