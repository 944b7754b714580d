//! What lies between the bytes of a socket and the operations of a connection that is not plain: TLS, WebSocket, or
//! WebSocket over TLS.
//!
//! Owns: the layers of one connection and its framed bytes on their way out. Not here: the socket (`io`), operations
//! (`proto`), the opening of a connection (`conn::opening`).
//! A plain connection has no transport at all: that is the one branch it pays.

mod frames;
mod settings;
mod tls;
mod upgrade;

use std::io;
use std::task::{Context, Poll};

pub(super) use frames::Frames;
pub use settings::{key_digest, HandshakeFirst, HandshakeRate, TlsSettings, WebSocketSettings};
pub(crate) use tls::TlsSession;
pub use tls::TlsState;
pub(super) use upgrade::{read as read_upgrade, too_large, Refusal, Step};
pub use upgrade::{Origin, UpgradeRules};

use super::outbound::Outbound;
use super::pieces::{Flush, Pieces};
use super::pool::BufferPool;
use crate::io::Stream;
use crate::limits;
use crate::proto::CloseReason;
use frames::Taken;

/// The layers of a connection that is not plain.
pub(crate) struct Transport {
    tls: Option<TlsSession>,
    websocket: Option<Frames>,
    /// Bytes below the operations that wait to be sealed: the answer to an upgrade, control frames.
    control: Vec<u8>,
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
    /// It is no WebSocket frame, or a wrong one.
    Frame(String),
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TransportError::Tls(error) => error.fmt(f),
            TransportError::Frame(error) => f.write_str(error),
        }
    }
}

impl Transport {
    /// No layer yet, or TLS before the first byte of its handshake.
    pub(crate) fn new(tls: Option<TlsSession>) -> Self {
        Self {
            tls,
            websocket: None,
            control: Vec::new(),
            wire: Pieces::default(),
        }
    }

    /// The TLS session.
    pub(crate) fn session(&self) -> Option<&TlsSession> {
        self.tls.as_ref()
    }

    /// The request was taken: `answer` leaves, and frames are spoken from here on.
    pub(crate) fn upgrade(&mut self, answer: &[u8], frames: Option<Frames>, outbound: &mut Outbound) {
        self.control.extend_from_slice(answer);
        self.websocket = frames;
        self.count_framed(outbound);
    }

    /// Where in the read buffer the next read goes: what is unfinished has its place before.
    pub(crate) fn held_size(&self) -> usize {
        self.tls.as_ref().map_or(0, TlsSession::held_size)
    }

    fn count_framed(&self, outbound: &mut Outbound) {
        outbound.framed_size = self.wire.size() + self.control.len();
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
        let received = match (&mut self.tls, &mut self.websocket) {
            (None, None) => {
                plain.extend_from_slice(buffer);
                Ok(Received::More)
            }
            (Some(tls), None) => {
                let received = tls.receive(buffer, plain, self.wire.tail(pool));
                self.wire.settle(pool);
                received
                    .map_err(TransportError::Tls)
                    .map(|()| ended(tls.is_ended()))
            }
            (None, Some(frames)) => take_frames(frames, buffer, plain, &mut self.control),
            (Some(tls), Some(frames)) => {
                let mut middle = pool.take();
                let received = tls.receive(buffer, &mut middle, self.wire.tail(pool));
                self.wire.settle(pool);
                let taken = take_frames(frames, &mut middle, plain, &mut self.control);
                pool.give(middle);
                received
                    .map_err(TransportError::Tls)
                    .and(taken)
                    .map(|received| match received {
                        Received::More => ended(tls.is_ended()),
                        Received::Last => Received::Last,
                    })
            }
        };
        self.count_framed(outbound);
        received
    }

    /// Makes what is pending ready for the socket, up to `FRAMED_SIZE_MAX` in all.
    fn frame(&mut self, outbound: &mut Outbound, pool: &BufferPool) -> io::Result<()> {
        if self.tls.as_ref().is_some_and(|tls| !tls.is_established()) {
            return Ok(());
        }
        if !self.control.is_empty() {
            let control = std::mem::take(&mut self.control);
            self.put(&control, pool)?;
        }
        while outbound.pieces.size() > 0 && self.wire.size() < limits::FRAMED_SIZE_MAX {
            let front = outbound.pieces.front();
            let plain = &front[..front.len().min(limits::OUTBOUND_PIECE_SIZE)];
            let size = plain.len();
            match (&mut self.websocket, &mut self.tls) {
                (Some(frames), None) => frames.seal(plain, self.wire.tail(pool)),
                (Some(frames), Some(_)) => {
                    let mut framed = pool.take();
                    frames.seal(plain, &mut framed);
                    let sealed = self.put(&framed, pool);
                    pool.give(framed);
                    sealed?;
                }
                (None, _) => self.put(plain, pool)?,
            }
            outbound.pieces.advance(size, pool);
        }
        self.count_framed(outbound);
        Ok(())
    }

    /// Appends bytes to what the socket gets, sealed where there is TLS.
    fn put(&mut self, bytes: &[u8], pool: &BufferPool) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.wire.tail(pool).extend_from_slice(bytes);
            return Ok(());
        };
        let sealed = tls.seal(bytes, self.wire.tail(pool));
        self.wire.settle(pool);
        sealed
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
            self.count_framed(outbound);
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
        self.count_framed(outbound);
        Poll::Ready(Ok(written))
    }

    /// Writes what can be written, and the last word of each layer behind it if everything was.
    ///
    /// # Errors
    /// The connection is dead.
    pub(crate) fn write_last(
        &mut self,
        reason: CloseReason,
        outbound: &mut Outbound,
        stream: &Stream,
        pool: &BufferPool,
    ) -> io::Result<()> {
        if self.flush(outbound, stream, pool)? == Flush::Blocked {
            return Ok(());
        }
        if let Some(frames) = &mut self.websocket {
            frames.close(reason, &mut self.control);
            self.frame(outbound, pool)?;
        }
        if let Some(tls) = &mut self.tls {
            let closed = tls.close(self.wire.tail(pool));
            self.wire.settle(pool);
            closed?;
        }
        self.wire.flush(stream, pool).map(drop)
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self, pool: &BufferPool) {
        self.control = Vec::new();
        self.wire.clear(pool);
    }
}

fn ended(is_ended: bool) -> Received {
    if is_ended {
        Received::Last
    } else {
        Received::More
    }
}

fn take_frames(
    frames: &mut Frames,
    input: &mut [u8],
    plain: &mut Vec<u8>,
    answer: &mut Vec<u8>,
) -> Result<Received, TransportError> {
    let taken = frames.take(input, plain, answer).map_err(TransportError::Frame)?;
    Ok(ended(taken == Taken::Closed))
}
