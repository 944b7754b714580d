//! What waits to be written to one connection.
//!
//! Owns: the operations in order, who writes them. Not here: when to write (`runtime::flush`), what it means to be
//! behind (`router::deliver`), what a transport makes of the bytes (`transport`).

use super::pieces::Pieces;
use super::pool::BufferPool;

/// The outbound queue of a connection.
#[derive(Default)]
pub struct Outbound {
    /// Operations as the client will see them.
    pub(crate) pieces: Pieces,
    /// Bytes that left `pieces`, were framed by the transport and wait for the socket; 0 on a plain connection.
    pub(crate) framed_size: usize,
    /// A task waits for the socket and writes; nobody else does.
    pub has_writer: bool,
    /// The connection is in the list of those to flush at the end of the batch.
    pub is_touched: bool,
}

impl Outbound {
    /// The buffer to append to.
    #[inline]
    pub fn tail(&mut self, pool: &BufferPool) -> &mut Vec<u8> {
        self.pieces.tail(pool)
    }

    /// Bytes not yet taken by the socket.
    #[inline]
    pub fn pending_size(&self) -> usize {
        self.pieces.size() + self.framed_size
    }
}
