//! A server in simulation: shards, an acceptor, and its settings, in a world that a test made.
//!
//! Owns: how its parts are put together. Not here: clients, faults, what must hold (`tests/sim`,
//! `tests/tests/virtual_time`).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::io::simulated::{HostId, SimBell, SimIo, SimWorld};
use pinion_shard::io::{Bell, Gate, Io, Queue};
use pinion_shard::mesh::MeshSize;
use pinion_shard::proto::Info;
use pinion_shard::rules::Rules;
use pinion_shard::runtime::{serve_listener, start, Parts, Settings, Shard, Shards, WriteTimeout};

/// Where clients connect.
pub const PORT: u16 = 4222;

/// The settings of a server that is configured by nothing.
pub fn default_settings() -> Settings {
    Settings {
        caches_matches: true,
        info: Info {
            version: "2.14.5".to_owned(),
            max_payload: 1 << 20,
            headers: true,
            ..Info::default()
        },
        control_line_size_max: 4096,
        payload_size_max: 1 << 20,
        pending_size_max: 64 << 20,
        subscriptions_max: 0,
        subject_tokens_max: 0,
        connections_max: None,
        headers: true,
        ping_interval: Duration::from_secs(120),
        ping_max: 2,
        write_deadline: Duration::from_secs(10),
        write_timeout: WriteTimeout::Close,
        tls: None,
        websocket: None,
        auth_timeout: None,
        stalls_producers: true,
        closed_connections_max: 10_000,
        proxy_protocol: false,
        traces_protocol: false,
        traced_message_size_max: 0,
        traces_headers_only: false,
    }
}

/// A running server.
pub struct SimulatedServer {
    /// Where it runs.
    pub host: HostId,
    /// Its shards.
    pub shards: Vec<Rc<Shard>>,
    /// Reaches them as other threads do.
    pub handle: Shards,
    running: Gate,
}

impl SimulatedServer {
    /// Starts `shard_count` shards on a host of their own; the first one listens.
    pub fn start(
        world: &SimWorld,
        shard_count: usize,
        size: MeshSize,
        settings: Settings,
        rules: Rules,
    ) -> Self {
        let host = world.add_host();
        let nodes: Vec<SimIo> = (0..shard_count).map(|_| world.add_node(host)).collect();
        let bells: Vec<Bell> = nodes.iter().map(|_| Bell::Simulated(SimBell::new())).collect();
        let Parts {
            plans,
            shards: handle,
        } = Parts::build(&bells, size, &Arc::new(settings), &Arc::new(rules));
        let running = Gate::default();
        let mut shards = Vec::new();
        for ((plan, node), bell) in plans.into_iter().zip(&nodes).zip(&bells) {
            let io = Io::Simulated(node.clone());
            let ear = bell.ear(&io).expect("a simulated bell");
            let (shard, run) = start(plan, io.clone(), ear);
            io.spawn(Queue::Hot, &running, run);
            shards.push(shard);
        }
        shards[0]
            .listen(([0, 0, 0, 0], PORT).into())
            .expect("the port is free");
        serve_listener(&shards[0]);
        Self {
            host,
            shards,
            handle,
            running,
        }
    }

    /// Whether every task has ended.
    pub fn has_ended(&self) -> bool {
        self.running.inside() == 0
    }

    /// Sums a counter over the shards.
    pub fn sum(&self, counter: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| counter(shard)).sum()
    }
}
