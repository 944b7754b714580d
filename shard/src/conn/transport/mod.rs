//! What lies between the bytes of a socket and the operations of a connection that is not plain: TLS.
//!
//! Owns: the layers of one connection and its framed bytes on their way out. Not here: the socket (`io`), operations
//! (`proto`), the opening of a connection (`conn::opening`).
//! A plain connection has no transport at all: that is the one branch it pays.

mod settings;
mod tls;

use std::io;
use std::task::{Context, Poll};

pub use settings::{key_digest, HandshakeFirst, HandshakeRate, TlsSettings};
pub(crate) use tls::TlsSession;
pub use tls::TlsState;

use super::outbound::Outbound;
use super::pieces::{Flush, Pieces};
use super::pool::BufferPool;
use crate::io::Stream;
use crate::limits;

/// The layers of a connection that is not plain.
pub(crate) struct Transport {
    tls: TlsSession,
    /// Framed bytes that wait for the socket.
    wire: Pieces,
}

/// What the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More may come.
    More,
    /// The client said that nothing more comes.
    Last,
}

/// What is wrong with what the client sent.
#[derive(Debug)]
pub(crate) enum TransportError {
    /// It is no TLS, or wrong TLS.
    Tls(rustls::Error),
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TransportError::Tls(error) => error.fmt(f),
        }
    }
}

impl Transport {
    /// TLS, before the first byte of the handshake.
    pub(crate) fn tls(session: TlsSession) -> Self {
        Self {
            tls: session,
            wire: Pieces::default(),
        }
    }

    /// The session.
    pub(crate) fn session(&self) -> &TlsSession {
        &self.tls
    }

    /// Where in the read buffer the next read goes: what is unfinished has its place before.
    pub(crate) fn held_size(&self) -> usize {
        self.tls.held_size()
    }

    /// Takes what the socket brought, which stands in `buffer` from `held_size` on; operations are appended to `plain`.
    ///
    /// # Errors
    /// The connection is over once the answer is written.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        plain: &mut Vec<u8>,
        outbound: &mut Outbound,
        pool: &BufferPool,
    ) -> Result<Received, TransportError> {
        let received = self.tls.receive(buffer, plain, self.wire.tail(pool));
        self.wire.settle(pool);
        outbound.framed_size = self.wire.size();
        received.map_err(TransportError::Tls)?;
        Ok(if self.tls.is_ended() {
            Received::Last
        } else {
            Received::More
        })
    }

    /// Frames some of what is pending, up to `FRAMED_SIZE_MAX` in all.
    fn frame(&mut self, outbound: &mut Outbound, pool: &BufferPool) -> io::Result<()> {
        if !self.tls.is_established() {
            return Ok(());
        }
        while outbound.pieces.size() > 0 && self.wire.size() < limits::FRAMED_SIZE_MAX {
            let front = outbound.pieces.front();
            let plain = &front[..front.len().min(limits::OUTBOUND_PIECE_SIZE)];
            let size = plain.len();
            let sealed = self.tls.seal(plain, self.wire.tail(pool));
            self.wire.settle(pool);
            sealed?;
            outbound.pieces.advance(size, pool);
        }
        outbound.framed_size = self.wire.size();
        Ok(())
    }

    /// Frames and writes what the socket takes.
    ///
    /// # Errors
    /// The connection is dead.
    pub(crate) fn flush(
        &mut self,
        outbound: &mut Outbound,
        stream: &Stream,
        pool: &BufferPool,
    ) -> io::Result<Flush> {
        loop {
            self.frame(outbound, pool)?;
            if self.wire.size() == 0 {
                return Ok(Flush::Done);
            }
            let flushed = self.wire.flush(stream, pool);
            outbound.framed_size = self.wire.size();
            if flushed? == Flush::Blocked {
                return Ok(Flush::Blocked);
            }
        }
    }

    /// As [`Transport::flush`] one step long, or waits for the socket; 0: there is nothing to write.
    pub(crate) fn poll_write(
        &mut self,
        outbound: &mut Outbound,
        stream: &Stream,
        pool: &BufferPool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.frame(outbound, pool)?;
        if self.wire.size() == 0 {
            return Poll::Ready(Ok(0));
        }
        let written = std::task::ready!(stream.poll_write(cx, self.wire.front()))?;
        self.wire.advance(written, pool);
        outbound.framed_size = self.wire.size();
        Poll::Ready(Ok(written))
    }

    /// Writes what can be written, and the last word of each layer behind it if everything was.
    ///
    /// # Errors
    /// The connection is dead.
    pub(crate) fn write_last(
        &mut self,
        outbound: &mut Outbound,
        stream: &Stream,
        pool: &BufferPool,
    ) -> io::Result<()> {
        if self.flush(outbound, stream, pool)? == Flush::Blocked {
            return Ok(());
        }
        let closed = self.tls.close(self.wire.tail(pool));
        self.wire.settle(pool);
        closed?;
        self.wire.flush(stream, pool).map(drop)
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self, pool: &BufferPool) {
        self.wire.clear(pool);
    }
}
