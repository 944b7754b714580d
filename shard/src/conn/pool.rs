//! Buffers a shard lends to its connections while they have something to write.

use std::cell::{Cell, RefCell};

use crate::limits;

/// Empty buffers, bounded by count and bytes.
#[derive(Default)]
pub struct BufferPool {
    buffers: RefCell<Vec<Vec<u8>>>,
    size: Cell<usize>,
}

/// What a new buffer starts with, bytes.
const BUFFER_SIZE_START: usize = 4096;

impl BufferPool {
    /// An empty buffer.
    #[inline]
    pub fn take(&self) -> Vec<u8> {
        match self.buffers.borrow_mut().pop() {
            Some(buffer) => {
                self.size.set(self.size.get() - buffer.capacity());
                buffer
            }
            None => Vec::with_capacity(BUFFER_SIZE_START),
        }
    }

    /// Takes a buffer back.
    #[inline]
    pub fn give(&self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size == 0 || size > limits::POOLED_BUFFER_SIZE_MAX {
            return;
        }
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < limits::POOLED_BUFFERS_MAX && self.size.get() + size <= limits::POOL_SIZE_MAX {
            buffer.clear();
            self.size.set(self.size.get() + size);
            buffers.push(buffer);
        }
    }
}
