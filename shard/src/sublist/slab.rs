//! Numbered slots in chunks: compact nodes without a heap block each.
//!
//! Owns: the memory of nodes of one kind and the numbers that name them. A number stays valid until it is freed and
//! is reused afterwards. A chunk whose slots are all free gives its memory back, the first one excepted; once no slot
//! is in use, nothing else is kept.

/// The name of a slot.
pub(super) type Id = u32;

/// No slot.
pub(super) const NONE: Id = Id::MAX;

/// Slots a chunk. More makes the index of chunks shorter, fewer lets memory go back sooner.
const CHUNK_SLOTS: usize = 128;

#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    free: Vec<Id>,
    slot_count: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    /// Empty when the chunk was given back: its slots are free then.
    slots: Vec<Option<T>>,
    used: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            chunks: Vec::new(),
            free: Vec::new(),
            slot_count: 0,
        }
    }

    /// Stores a value. At `u32::MAX` values of one kind this stops: memory ends long before.
    pub(super) fn insert(&mut self, value: T) -> Id {
        if let Some(id) = self.free.pop() {
            let chunk = &mut self.chunks[chunk_of(id)];
            if chunk.slots.is_empty() {
                chunk.slots.resize_with(CHUNK_SLOTS, || None);
            }
            chunk.slots[slot_of(id)] = Some(value);
            chunk.used += 1;
            return id;
        }
        let id = Id::try_from(self.slot_count).expect("fewer than u32::MAX nodes fit into memory");
        assert!(id != NONE);
        if chunk_of(id) == self.chunks.len() {
            // The first chunk grows slowly, because most lists are small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_SLOTS };
            self.chunks.push(Chunk {
                slots: Vec::with_capacity(capacity),
                used: 0,
            });
        }
        let chunk = &mut self.chunks[chunk_of(id)];
        chunk.slots.push(Some(value));
        chunk.used += 1;
        self.slot_count += 1;
        id
    }

    /// Frees a slot in use.
    pub(super) fn remove(&mut self, id: Id) -> T {
        let index = chunk_of(id);
        let chunk = &mut self.chunks[index];
        let value = chunk.slots[slot_of(id)]
            .take()
            .expect("only slots in use are removed");
        chunk.used -= 1;
        if chunk.used == 0 && index > 0 && chunk.slots.len() == CHUNK_SLOTS {
            chunk.slots = Vec::new();
        }
        self.free.push(id);
        if self.free.len() == self.slot_count {
            self.reset();
        }
        value
    }

    fn reset(&mut self) {
        self.chunks.truncate(1);
        self.chunks.shrink_to(1);
        self.chunks[0].slots.clear();
        self.slot_count = 0;
        self.free.clear();
        self.free.shrink_to(CHUNK_SLOTS);
    }

    /// The first slot in use at or after `id`.
    pub(super) fn next_used(&self, id: Id) -> Option<(Id, &T)> {
        let mut at = id as usize;
        while at < self.slot_count {
            let chunk = &self.chunks[at / CHUNK_SLOTS];
            if chunk.used == 0 {
                at = (at / CHUNK_SLOTS + 1) * CHUNK_SLOTS;
                continue;
            }
            if let Some(value) = &chunk.slots[at % CHUNK_SLOTS] {
                return Some((Id::try_from(at).expect("bounded by slot_count"), value));
            }
            at += 1;
        }
        None
    }

    /// How many slots are in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.used).sum()
    }
}

impl<T> std::ops::Index<Id> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: Id) -> &T {
        self.chunks[chunk_of(id)].slots[slot_of(id)]
            .as_ref()
            .expect("an id names a slot in use")
    }
}

impl<T> std::ops::IndexMut<Id> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: Id) -> &mut T {
        self.chunks[chunk_of(id)].slots[slot_of(id)]
            .as_mut()
            .expect("an id names a slot in use")
    }
}

#[inline]
fn chunk_of(id: Id) -> usize {
    id as usize / CHUNK_SLOTS
}

#[inline]
fn slot_of(id: Id) -> usize {
    id as usize % CHUNK_SLOTS
}
