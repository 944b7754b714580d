//! The sequences of one subject's messages, in order.
//!
//! Owns: a sorted list that costs nothing extra for a subject with one message. Removing near either end is cheap.

use std::collections::VecDeque;

/// Never empty: a subject without messages is not in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::box_collection,
    reason = "most subjects have one message: a value of 16 bytes, not 32, in each node of the tree"
)]
pub(super) enum Sequences {
    One(u64),
    Many(Box<VecDeque<u64>>),
}

impl Sequences {
    pub(super) fn push(&mut self, seq: u64) {
        match self {
            Self::One(first) => *self = Self::Many(Box::new(VecDeque::from([*first, seq]))),
            Self::Many(list) => list.push_back(seq),
        }
    }

    /// Returns whether the list is empty now, and has to go.
    #[must_use]
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        match self {
            Self::One(only) => {
                assert_eq!(*only, seq, "the index knows every message");
                true
            }
            Self::Many(list) => {
                let at = list.binary_search(&seq).expect("the index knows every message");
                list.remove(at);
                if list.len() == 1 {
                    *self = Self::One(list[0]);
                }
                false
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(list) => list.len() as u64,
        }
    }

    pub(super) fn first(&self) -> u64 {
        match self {
            Self::One(only) => *only,
            Self::Many(list) => list[0],
        }
    }

    pub(super) fn last(&self) -> u64 {
        match self {
            Self::One(only) => *only,
            Self::Many(list) => list[list.len() - 1],
        }
    }

    /// The first one at `from` or above.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        match self {
            Self::One(only) => (*only >= from).then_some(*only),
            Self::Many(list) => list.get(list.partition_point(|seq| *seq < from)).copied(),
        }
    }

    /// The last one at `up_to` or below.
    pub(super) fn last_up_to(&self, up_to: u64) -> Option<u64> {
        match self {
            Self::One(only) => (*only <= up_to).then_some(*only),
            Self::Many(list) => match list.partition_point(|seq| *seq <= up_to) {
                0 => None,
                count => Some(list[count - 1]),
            },
        }
    }

    /// How many there are at `from` or above.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        match self {
            Self::One(only) => u64::from(*only >= from),
            Self::Many(list) => (list.len() - list.partition_point(|seq| *seq < from)) as u64,
        }
    }

    /// Adds those below `below` to `out`.
    pub(super) fn below(&self, below: u64, out: &mut Vec<u64>) {
        match self {
            Self::One(only) => out.extend((*only < below).then_some(*only)),
            Self::Many(list) => out.extend(list.iter().take_while(|seq| **seq < below)),
        }
    }
}
