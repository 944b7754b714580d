//! Which member of a queue group gets a message.
//!
//! Owns: the weighted pick. Not here: randomness (it is passed in), what to do when the picked one cannot take it.

use std::rc::Rc;

use super::Entry;

/// The members of one queue group that match a subject, from all its subscriptions.
#[derive(Debug)]
pub struct QueueMatch<E> {
    /// The name of the group.
    pub name: Rc<[u8]>,
    /// At least one.
    pub members: Vec<E>,
    weight_sum: u64,
    /// Every member weighs 1, so that a pick needs no walk.
    uniform: bool,
}

impl<E: Entry> QueueMatch<E> {
    pub(super) fn new(name: Rc<[u8]>, members: &[E]) -> QueueMatch<E> {
        let mut queue = QueueMatch {
            name,
            members: Vec::new(),
            weight_sum: 0,
            uniform: true,
        };
        queue.extend(members);
        queue
    }

    pub(super) fn extend(&mut self, members: &[E]) {
        self.members.extend_from_slice(members);
        for member in members {
            self.weight_sum += u64::from(member.weight());
            self.uniform &= member.weight() == 1;
        }
    }

    /// The sum of all weights: how many subscribers stand behind the members.
    pub fn weight_sum(&self) -> u64 {
        self.weight_sum
    }

    /// The position of the member that `random` (any of all u64, evenly) chooses, each as likely as its weight says.
    /// None when all weigh nothing.
    #[inline]
    pub fn pick(&self, random: u64) -> Option<usize> {
        if self.uniform {
            return usize::try_from(scale(random, self.weight_sum))
                .ok()
                .filter(|&at| at < self.members.len());
        }
        self.pick_among(random, |_| true)
    }

    /// As [`QueueMatch::pick`], among the members that `allowed` lets pass: the second choice, or local members only.
    pub fn pick_among(&self, random: u64, allowed: impl Fn(&E) -> bool) -> Option<usize> {
        let weight = |member: &E| {
            if allowed(member) {
                u64::from(member.weight())
            } else {
                0
            }
        };
        let sum = self.members.iter().map(weight).sum();
        let mut left = scale(random, sum);
        for (at, member) in self.members.iter().enumerate() {
            let weight = weight(member);
            if left < weight {
                return Some(at);
            }
            left -= weight;
        }
        None
    }
}

/// Maps all of u64 evenly onto `0..bound`; 0 when the bound is 0.
#[inline]
pub fn scale(random: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(random) * u128::from(bound)) >> 64).expect("a product shifted by 64 bits fits")
}
