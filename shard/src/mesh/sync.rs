//! The atomics of the mesh: the real ones, or those of `loom` under `--cfg pinion_loom` (scripts/loom).

#[cfg(pinion_loom)]
pub(super) use loom::sync::{
    atomic::{fence, AtomicBool, AtomicU64, AtomicUsize, Ordering},
    Arc,
};
#[cfg(not(pinion_loom))]
pub(super) use std::sync::{
    atomic::{fence, AtomicBool, AtomicU64, AtomicUsize, Ordering},
    Arc,
};
