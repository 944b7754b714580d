//! Who is subscribed to one subject: plain subscribers and queue groups.
//!
//! Owns: the entries at one subject. Not here: the subject itself (`trie`, the literal table), results (`result`).
//! One plain subscriber, the common case by far, lies inline; everything else is one heap block.
//! Invariants
//!   a `Many` holds more than one entry, or one entry of a queue group
//!   queue groups are sorted by name and have at least one member
//!   the index of a member list exists while it is longer than `INDEX_FROM`, and then names every member

use std::rc::Rc;

use hashbrown::hash_table::{Entry as Slot, HashTable};

use super::hash::Seed;
use super::Entry;

/// Member lists longer than this get an index by key, so that leaving is no walk.
const INDEX_FROM: usize = 16;

#[derive(Debug)]
pub(super) enum Subscribers<E: Entry> {
    None,
    One(E),
    Many(Box<Many<E>>),
}

#[derive(Debug)]
pub(super) struct Many<E: Entry> {
    pub(super) plain: Members<E>,
    pub(super) queues: Vec<QueueGroup<E>>,
}

#[derive(Debug)]
pub(super) struct QueueGroup<E: Entry> {
    pub(super) name: Rc<[u8]>,
    pub(super) members: Members<E>,
}

impl<E: Entry> Subscribers<E> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Subscribers::None)
    }

    /// Adds an entry, or puts it in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, queue: Option<&[u8]>, entry: E, seed: Seed) -> Option<E> {
        match (&mut *self, queue) {
            (Subscribers::None, None) => {
                *self = Subscribers::One(entry);
                None
            }
            (Subscribers::One(old), None) if old.key() == entry.key() => Some(std::mem::replace(old, entry)),
            _ => {
                let many = self.make_many(seed);
                match queue {
                    None => many.plain.insert(entry, seed),
                    Some(name) => many.queue_mut(name).insert(entry, seed),
                }
            }
        }
    }

    pub(super) fn remove(&mut self, queue: Option<&[u8]>, key: E::Key, seed: Seed) -> Option<E> {
        match self {
            Subscribers::None => None,
            Subscribers::One(entry) => {
                if queue.is_some() || entry.key() != key {
                    return None;
                }
                match std::mem::replace(self, Subscribers::None) {
                    Subscribers::One(entry) => Some(entry),
                    _ => unreachable!("matched above"),
                }
            }
            Subscribers::Many(many) => {
                let removed = match queue {
                    None => many.plain.remove(key, seed)?,
                    Some(name) => {
                        let at = many.find_queue(name).ok()?;
                        let removed = many.queues[at].members.remove(key, seed)?;
                        if many.queues[at].members.list.is_empty() {
                            many.queues.remove(at);
                        }
                        removed
                    }
                };
                if many.queues.is_empty() && many.plain.list.len() <= 1 {
                    *self = many.plain.list.pop().map_or(Subscribers::None, Subscribers::One);
                }
                Some(removed)
            }
        }
    }

    /// The entries without a queue group.
    pub(super) fn plain(&self) -> &[E] {
        match self {
            Subscribers::None => &[],
            Subscribers::One(entry) => std::slice::from_ref(entry),
            Subscribers::Many(many) => &many.plain.list,
        }
    }

    /// Calls `visit` with the queue and the entry of every subscriber.
    pub(super) fn for_each(&self, visit: &mut impl FnMut(Option<&[u8]>, &E)) {
        match self {
            Subscribers::None => {}
            Subscribers::One(entry) => visit(None, entry),
            Subscribers::Many(many) => {
                many.plain.list.iter().for_each(|entry| visit(None, entry));
                for group in &many.queues {
                    group
                        .members
                        .list
                        .iter()
                        .for_each(|entry| visit(Some(&group.name), entry));
                }
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Subscribers::None => 0,
            Subscribers::One(_) => 1,
            Subscribers::Many(many) => {
                let queued: usize = many.queues.iter().map(|group| group.members.list.len()).sum();
                many.plain.list.len() + queued
            }
        }
    }

    fn make_many(&mut self, seed: Seed) -> &mut Many<E> {
        if !matches!(self, Subscribers::Many(_)) {
            let mut many = Box::new(Many {
                plain: Members::new(),
                queues: Vec::new(),
            });
            if let Subscribers::One(entry) = std::mem::replace(self, Subscribers::None) {
                many.plain.insert(entry, seed);
            }
            *self = Subscribers::Many(many);
        }
        match self {
            Subscribers::Many(many) => many,
            _ => unreachable!("made above"),
        }
    }
}

impl<E: Entry> Many<E> {
    fn find_queue(&self, name: &[u8]) -> Result<usize, usize> {
        self.queues
            .binary_search_by(|group| group.name.as_ref().cmp(name))
    }

    fn queue_mut(&mut self, name: &[u8]) -> &mut Members<E> {
        let at = self.find_queue(name).unwrap_or_else(|at| {
            self.queues.insert(
                at,
                QueueGroup {
                    name: Rc::from(name),
                    members: Members::new(),
                },
            );
            at
        });
        &mut self.queues[at].members
    }
}

/// A list of entries with different keys, in no order that anyone may rely on.
#[derive(Debug)]
pub(super) struct Members<E: Entry> {
    pub(super) list: Vec<E>,
    /// Positions in `list` by the hash of the key.
    index: Option<Box<HashTable<u32>>>,
}

impl<E: Entry> Members<E> {
    fn new() -> Members<E> {
        Members {
            list: Vec::new(),
            index: None,
        }
    }

    fn insert(&mut self, entry: E, seed: Seed) -> Option<E> {
        let key = entry.key();
        let Some(index) = &mut self.index else {
            if let Some(old) = self.list.iter_mut().find(|old| old.key() == key) {
                return Some(std::mem::replace(old, entry));
            }
            self.list.push(entry);
            if self.list.len() > INDEX_FROM {
                self.build_index(seed);
            }
            return None;
        };
        let list = &mut self.list;
        match index.entry(
            seed.key(&key),
            |&at| list[at as usize].key() == key,
            hash_at(list, seed),
        ) {
            Slot::Occupied(slot) => Some(std::mem::replace(&mut list[*slot.get() as usize], entry)),
            Slot::Vacant(slot) => {
                slot.insert(position(list.len()));
                list.push(entry);
                None
            }
        }
    }

    fn remove(&mut self, key: E::Key, seed: Seed) -> Option<E> {
        let Some(index) = &mut self.index else {
            let at = self.list.iter().position(|entry| entry.key() == key)?;
            return Some(self.list.swap_remove(at));
        };
        let list = &mut self.list;
        let slot = index
            .find_entry(seed.key(&key), |&at| list[at as usize].key() == key)
            .ok()?;
        let (at, _) = slot.remove();
        let last = position(list.len() - 1);
        if at != last {
            let moved = list[last as usize].key();
            let slot = index.find_mut(seed.key(&moved), |&other| other == last);
            *slot.expect("the index names every member") = at;
        }
        let removed = list.swap_remove(at as usize);
        if list.len() <= INDEX_FROM / 2 {
            self.index = None;
            list.shrink_to_fit();
        } else if list.len() < list.capacity() / 4 {
            list.shrink_to(list.len() * 2);
            index.shrink_to(list.len() * 2, hash_at(list, seed));
        }
        Some(removed)
    }

    fn build_index(&mut self, seed: Seed) {
        let mut index = Box::new(HashTable::with_capacity(self.list.len() * 2));
        for (at, entry) in self.list.iter().enumerate() {
            index.insert_unique(seed.key(&entry.key()), position(at), hash_at(&self.list, seed));
        }
        self.index = Some(index);
    }
}

fn hash_at<E: Entry>(list: &[E], seed: Seed) -> impl Fn(&u32) -> u64 + '_ {
    move |&at| seed.key(&list[at as usize].key())
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than u32::MAX subscribers fit into memory")
}
