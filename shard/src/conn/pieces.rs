//! Bytes on their way to a socket, in pooled buffers.
//!
//! Owns: the pieces in order, how much of the first is sent. Not here: when to write (`runtime::flush`), what the bytes
//! are (operations in `outbound`, records and frames in `transport`).
//!
//! Invariants
//!   size = sizes of all pieces + tail - sent_size
//!   sent_size < size of the first piece (or of the tail when there is none), or both are 0
//!   nothing pending: no buffer is held

use std::collections::VecDeque;
use std::io;

use super::pool::BufferPool;
use crate::io::Stream;
use crate::limits;

/// Bytes that wait for a socket.
#[derive(Default)]
pub struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    tail: Vec<u8>,
    sent_size: usize,
    /// Sum of the sizes of `pieces`.
    pieces_size: usize,
}

/// What one attempt to write came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is pending.
    Done,
    /// The socket is full.
    Blocked,
}

impl Pieces {
    /// The buffer to append to.
    #[inline]
    pub fn tail(&mut self, pool: &BufferPool) -> &mut Vec<u8> {
        if self.tail.len() >= limits::OUTBOUND_PIECE_SIZE {
            let full = std::mem::replace(&mut self.tail, pool.take());
            self.pieces_size += full.len();
            self.pieces.push_back(full);
        } else if self.tail.capacity() == 0 {
            self.tail = pool.take();
        }
        &mut self.tail
    }

    /// Bytes not yet taken by the socket.
    #[inline]
    pub fn size(&self) -> usize {
        self.pieces_size + self.tail.len() - self.sent_size
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The connection is dead.
    pub fn flush(&mut self, stream: &Stream, pool: &BufferPool) -> io::Result<Flush> {
        while self.size() > 0 {
            let taken = if self.pieces.is_empty() {
                stream.try_write(&self.tail[self.sent_size..])
            } else {
                stream.try_write_vectored(&self.slices())
            };
            match taken {
                Ok(size) => self.advance(size, pool),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flush::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flush::Done)
    }

    fn slices(&self) -> Vec<&[u8]> {
        const SLICES_MAX: usize = 32;
        let mut skip = self.sent_size;
        let mut slices = Vec::with_capacity(self.pieces.len().min(SLICES_MAX) + 1);
        for piece in self
            .pieces
            .iter()
            .chain(std::iter::once(&self.tail))
            .take(SLICES_MAX)
        {
            slices.push(&piece[skip..]);
            skip = 0;
        }
        slices
    }

    /// The bytes to write next, for a writer that waits.
    pub fn front(&self) -> &[u8] {
        &self.pieces.front().unwrap_or(&self.tail)[self.sent_size..]
    }

    /// The socket took `size` bytes.
    pub fn advance(&mut self, size: usize, pool: &BufferPool) {
        assert!(size <= self.size(), "the socket takes what it was given");
        self.sent_size += size;
        while let Some(first) = self.pieces.front() {
            if self.sent_size < first.len() {
                return;
            }
            self.sent_size -= first.len();
            self.pieces_size -= first.len();
            pool.give(self.pieces.pop_front().expect("there is a front"));
        }
        if self.sent_size == self.tail.len() {
            self.sent_size = 0;
            pool.give(std::mem::take(&mut self.tail));
        }
    }

    /// Gives an empty tail back: after [`Pieces::tail`] was asked for and nothing was appended.
    pub fn settle(&mut self, pool: &BufferPool) {
        if self.tail.is_empty() {
            pool.give(std::mem::take(&mut self.tail));
        }
    }

    /// Drops everything that waits.
    pub fn clear(&mut self, pool: &BufferPool) {
        let size = self.size();
        if size > 0 {
            self.advance(size, pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces leave in order whatever sizes the socket takes, and the counts stay true.
    #[test]
    fn advances_over_pieces_in_any_steps() {
        let pool = BufferPool::default();
        for step in [
            1,
            3,
            1000,
            limits::OUTBOUND_PIECE_SIZE,
            limits::OUTBOUND_PIECE_SIZE + 1,
        ] {
            let mut out = Pieces::default();
            let mut sent = Vec::new();
            let mut expected = Vec::new();
            for part in 0..5u8 {
                let bytes = vec![part; 40_000];
                out.tail(&pool).extend_from_slice(&bytes);
                expected.extend_from_slice(&bytes);
            }
            assert_eq!(out.size(), expected.len());
            while out.size() > 0 {
                let take = step.min(out.front().len());
                sent.extend_from_slice(&out.front()[..take]);
                out.advance(take, &pool);
                assert_eq!(out.size(), expected.len() - sent.len());
            }
            assert_eq!(sent, expected, "step {step}");
            assert_eq!(out.tail.capacity(), 0, "nothing pending holds no buffer");
        }
    }
}
