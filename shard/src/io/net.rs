//! TCP: listener, accepted connection (may go to another shard), stream (stays on its shard).

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::{simulated, uring};

/// A listening socket.
pub enum Listener {
    /// A kernel socket.
    Uring(uring::UringListener),
    /// A simulated one.
    Simulated(simulated::SimListener),
}

impl Listener {
    /// The next connection.
    ///
    /// # Errors
    /// What the system says; out of file descriptors is the one a caller waits over.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Uring(listener) => Ok(Accepted::Uring(listener.accept().await?)),
            Listener::Simulated(listener) => Ok(Accepted::Simulated(listener.accept().await?)),
        }
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Uring(listener) => listener.local_addr(),
            Listener::Simulated(listener) => Ok(listener.local_addr()),
        }
    }
}

/// A connection that no shard reads yet; it can be sent to the shard that will.
pub enum Accepted {
    /// A kernel socket.
    Uring(uring::UringAccepted),
    /// A simulated one.
    Simulated(simulated::SimAccepted),
}

/// A connected stream. Methods take `&self`: one task reads while others write.
pub enum Stream {
    /// A kernel socket.
    Uring(uring::UringStream),
    /// A simulated one.
    Simulated(simulated::SimStream),
}

impl Stream {
    /// Reads what is there into `buffer`: `Ok(0)` is the end of the stream.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Uring(stream) => stream.poll_read(cx, buffer),
            Stream::Simulated(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// Writes as much as the socket takes now.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; anything else ends the connection.
    #[inline]
    pub fn try_write(&self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Uring(stream) => stream.try_write(buffer),
            Stream::Simulated(stream) => stream.try_write(&[buffer]),
        }
    }

    /// As [`Stream::try_write`], for several pieces in one call.
    #[inline]
    pub fn try_write_vectored(&self, pieces: &[&[u8]]) -> io::Result<usize> {
        match self {
            Stream::Uring(stream) => stream.try_write_vectored(pieces),
            Stream::Simulated(stream) => stream.try_write(pieces),
        }
    }

    /// Writes some of `buffer`, or waits until the socket takes something.
    pub fn poll_write(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Uring(stream) => stream.poll_write(cx, buffer),
            Stream::Simulated(stream) => stream.poll_write(cx, buffer),
        }
    }

    /// Ends both directions: whoever reads gets the end of the stream.
    pub fn shutdown(&self) {
        match self {
            Stream::Uring(stream) => stream.shutdown(),
            Stream::Simulated(stream) => stream.shutdown(),
        }
    }

    /// Gives the socket back to the system. Reading and writing fail from here on.
    pub fn close(&self) {
        match self {
            Stream::Uring(stream) => stream.close(),
            Stream::Simulated(stream) => stream.close(),
        }
    }

    /// The other side.
    pub fn peer_addr(&self) -> SocketAddr {
        match self {
            Stream::Uring(stream) => stream.peer_addr(),
            Stream::Simulated(stream) => stream.peer_addr(),
        }
    }

    /// This side.
    pub fn local_addr(&self) -> SocketAddr {
        match self {
            Stream::Uring(stream) => stream.local_addr(),
            Stream::Simulated(stream) => stream.local_addr(),
        }
    }
}
