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
fn scale(random: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(random) * u128::from(bound)) >> 64).expect("a product shifted by 64 bits fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Member(u32);

    impl Entry for Member {
        type Key = u32;

        fn key(&self) -> u32 {
            self.0
        }

        fn weight(&self) -> u32 {
            self.0
        }
    }

    /// How often each member is picked in `draws` draws spread evenly over all of u64.
    fn picks(
        weights: &[u32],
        draws: u32,
        pick: impl Fn(&QueueMatch<Member>, u64) -> Option<usize>,
    ) -> Vec<u32> {
        let members: Vec<Member> = weights.iter().map(|&weight| Member(weight)).collect();
        let queue = QueueMatch::new(Rc::from(&b"q"[..]), &members);
        assert_eq!(
            queue.weight_sum(),
            weights.iter().map(|&weight| u64::from(weight)).sum::<u64>()
        );
        let mut counts = vec![0; weights.len()];
        let step = u64::MAX / u64::from(draws);
        for draw in 0..draws {
            if let Some(at) = pick(&queue, step * u64::from(draw) + step / 2) {
                counts[at] += 1;
            }
        }
        counts
    }

    /// Each member is picked as often as its weight says; weight 0 never.
    /// Covers: TestSublistRemoteQueueSubscriptions
    #[test]
    fn weights_decide_how_often() {
        let pick = |queue: &QueueMatch<Member>, random| queue.pick(random);
        assert_eq!(picks(&[1, 1, 1, 1], 400, pick), [100, 100, 100, 100]);
        assert_eq!(picks(&[3, 0, 1, 6], 1000, pick), [300, 0, 100, 600]);
        assert_eq!(picks(&[0, 2], 100, pick), [0, 100]);
        assert_eq!(picks(&[0, 0], 100, pick), [0, 0]);
        assert!(picks(&[], 100, pick).is_empty());
        assert_eq!(picks(&[1, 1], 1, |queue, _| queue.pick(u64::MAX)), [0, 1]);
    }

    /// A second choice leaves out those it may not take and keeps the weights of the others.
    #[test]
    fn second_choice_is_among_the_allowed() {
        let light = |queue: &QueueMatch<Member>, random| queue.pick_among(random, |member| member.0 < 5);
        assert_eq!(picks(&[3, 9, 1], 400, light), [300, 0, 100]);
        assert_eq!(picks(&[9, 9], 10, light), [0, 0]);
    }
}
