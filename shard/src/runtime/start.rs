//! Builds the shards of a server and runs one on its thread.

use std::rc::Rc;
use std::sync::Arc;

use super::settings::Settings;
use super::shard::{Shard, ShardParts};
use super::shards::{Job, Shards};
use crate::io::{Bell, BellEar, Io, Queue};
use crate::mesh::{build, Mesh, MeshEnd, MeshSize};
use crate::rules::Rules;

/// Jobs that wait for one shard. Beyond: who sends waits.
const MAILBOX_CAPACITY: usize = 65_536;

/// What one shard needs to start; goes to its thread.
pub struct ShardPlan {
    end: MeshEnd,
    mailbox: crossbeam_channel::Receiver<Job>,
    shards: Shards,
    settings: Arc<Settings>,
    rules: Arc<Rules>,
}

/// The plans of all shards, and the handle to them.
pub struct Parts {
    /// By shard.
    pub plans: Vec<ShardPlan>,
    /// Reaches them once they run; jobs sent before wait.
    pub shards: Shards,
}

impl Parts {
    /// Connects as many shards as there are bells.
    pub fn build(bells: &[Bell], size: MeshSize, settings: &Arc<Settings>, rules: &Arc<Rules>) -> Self {
        let ends = build(bells, size);
        let (senders, mailboxes): (Vec<_>, Vec<_>) = bells
            .iter()
            .map(|_| crossbeam_channel::bounded(MAILBOX_CAPACITY))
            .unzip();
        let knocks = ends.iter().zip(bells).map(|(end, bell)| end.knock(bell.clone()));
        let shards = Shards::new(senders.into_iter().zip(knocks));
        let plans = ends
            .into_iter()
            .zip(mailboxes)
            .map(|(end, mailbox)| ShardPlan {
                end,
                mailbox,
                shards: shards.clone(),
                settings: Arc::clone(settings),
                rules: Arc::clone(rules),
            })
            .collect();
        Self { plans, shards }
    }
}

/// Starts a shard's tasks. The future ends when the shard was stopped and its last task is done.
pub fn start(plan: ShardPlan, io: Io, ear: BellEar) -> (Rc<Shard>, impl std::future::Future<Output = ()>) {
    let ShardPlan {
        end,
        mailbox,
        shards,
        settings,
        rules,
    } = plan;
    let shard = Shard::new(ShardParts {
        io,
        mesh: Mesh::new(end),
        shards,
        settings,
        rules,
        mailbox,
    });
    let tasks = Rc::clone(&shard);
    let run = async move {
        let gate = tasks.gate.clone();
        tasks
            .io()
            .spawn(Queue::Hot, &gate, Rc::clone(&tasks).mesh_task(ear));
        tasks
            .io()
            .spawn(Queue::Hot, &gate, Rc::clone(&tasks).timer_task());
        gate.wait_empty().await;
    };
    (shard, run)
}
