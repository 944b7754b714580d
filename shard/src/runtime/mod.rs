//! One shard at run time: its state, its tasks, the order of effects.
//!
//! Owns: [`Shard`] and what happens at the end of a batch (`flush`), the mesh task (`turn`), time outs
//! (`timers`), questions between shards (`ask`), how threads start (`start`), the handle others reach shards by (`shards`).
//! Not here: what an operation does (`conn`), who gets a message (`router`).

mod accept;
mod announce;
mod apply_rules;
mod ask;
mod flush;
mod histogram;
mod lame_duck;
mod offload;
mod settings;
mod shard;
mod shards;
mod start;
mod timers;
mod turn;

pub use accept::serve_listener;
pub use announce::{Announcement, ConnectionEvent, ConnectionWatcher};
pub use histogram::{Histogram, HistogramSnapshot};
pub use lame_duck::LameDuck;
pub use settings::{Settings, WriteTimeout};
pub use shard::{ClosedConnection, ClosedSubscription, Counters, Shard, BATCH_SAMPLE};
pub use shards::{Job, ShardLoad, Shards};
pub use start::{start, Parts, ShardPlan};
