//! Chance of a simulated world: one seed, always the same throws.

use crate::io::Entropy;

/// A seeded generator with the questions a simulation asks.
#[derive(Clone)]
pub struct Dice(Entropy);

impl Dice {
    /// Dice that throw the same for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        let dice = Self(Entropy::from_seed(seed ^ 0x5049_4E49_4F4E_2121));
        // Neighbouring seeds start from neighbouring states; two throws part them.
        dice.next();
        dice.next();
        dice
    }

    /// Any number.
    pub fn next(&self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.next() % bound
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index below `count`.
    pub fn index(&self, count: usize) -> usize {
        assert!(count > 0, "there is something to choose from");
        usize::try_from(self.below(count as u64)).expect("below a usize")
    }

    /// A size from `low` to `high`, both included.
    pub fn size(&self, low: usize, high: usize) -> usize {
        low + self.index(high.saturating_sub(low) + 1)
    }

    /// True `count` times in a million.
    pub fn per_million(&self, count: u32) -> bool {
        count > 0 && self.below(1_000_000) < u64::from(count)
    }

    /// True `count` times in a thousand.
    pub fn per_mille(&self, count: u32) -> bool {
        count > 0 && self.below(1_000) < u64::from(count)
    }

    /// True once in `count`.
    pub fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }
}
