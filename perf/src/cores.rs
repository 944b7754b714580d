//! Cores: which of the machine's cores server and generator may use.
//!
//! Owns: the affinity of the harness's thread; children inherit it.

use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

use crate::failure::Failure;
use crate::row::Cores;

/// A set of cores.
#[derive(Debug, Clone)]
pub struct CoreSet {
    set: CpuSet,
}

/// Where server and generator of one row run.
#[derive(Debug, Clone)]
pub struct CorePlan {
    /// The server's cores.
    pub server: CoreSet,
    /// The generator's cores.
    pub generator: CoreSet,
    /// Whether the generator has its core for itself.
    pub generator_alone: bool,
}

impl CoreSet {
    /// The cores of the calling thread.
    pub fn current() -> Result<Self, Failure> {
        let set = sched_getaffinity(None).map_err(|e| Failure::io("read the affinity", e.into()))?;
        Ok(Self { set })
    }

    /// Runs `action` on these cores; afterwards the thread has its own again.
    pub fn while_pinned<T>(&self, action: impl FnOnce() -> T) -> Result<T, Failure> {
        let before = Self::current()?;
        self.apply()?;
        let result = action();
        before.apply()?;
        Ok(result)
    }

    fn apply(&self) -> Result<(), Failure> {
        sched_setaffinity(None, &self.set).map_err(|e| Failure::io("set the affinity", e.into()))
    }

    /// The first `count` cores of this set, from the `skip`th on.
    fn part(&self, skip: usize, count: usize) -> Self {
        let mut set = CpuSet::new();
        let members = (0..CpuSet::MAX_CPU).filter(|&core| self.set.is_set(core));
        members.skip(skip).take(count).for_each(|core| set.set(core));
        Self { set }
    }

    fn count(&self) -> u32 {
        self.set.count()
    }
}

impl CorePlan {
    /// The plan for a row on the cores in `available`. A machine with one core runs both there.
    pub fn new(cores: Cores, available: &CoreSet) -> Self {
        if available.count() < 2 {
            return Self {
                server: available.clone(),
                generator: available.clone(),
                generator_alone: false,
            };
        }
        match cores {
            Cores::One => Self {
                server: available.part(0, 1),
                generator: available.part(1, 1),
                generator_alone: true,
            },
            Cores::Two => {
                let both = available.part(0, 2);
                Self {
                    server: both.clone(),
                    generator: both,
                    generator_alone: false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a one-core row server and generator never meet; in a two-core row they share.
    #[test]
    fn one_core_rows_keep_server_and_generator_apart() {
        let mut available = CpuSet::new();
        [1, 4, 6].into_iter().for_each(|core| available.set(core));
        let available = CoreSet { set: available };
        let plan = CorePlan::new(Cores::One, &available);
        assert!(plan.server.set.is_set(1) && plan.generator.set.is_set(4));
        assert_eq!((plan.server.count(), plan.generator.count()), (1, 1));
        assert!(plan.generator_alone);
        let plan = CorePlan::new(Cores::Two, &available);
        assert_eq!((plan.server.count(), plan.generator.count()), (2, 2));
        assert!(!plan.generator_alone);
        let single = available.part(2, 1);
        assert!(!CorePlan::new(Cores::One, &single).generator_alone);
    }

    /// The thread has its own cores again after a pinned action.
    #[test]
    fn affinity_is_restored() {
        let own = CoreSet::current().unwrap();
        let inside = own
            .part(0, 1)
            .while_pinned(|| CoreSet::current().unwrap().count())
            .unwrap();
        assert_eq!(inside, 1);
        assert_eq!(CoreSet::current().unwrap().set, own.set);
    }
}
