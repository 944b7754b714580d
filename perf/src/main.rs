//! `pinion-perf`: the load generator and the side-by-side harness.

fn main() {}
