//! Row: one line of the comparison, by name.
//!
//! Owns: the table of rows. Not here: who publishes what (`workload::shape`), what a row should reach (`goals`), running
//! it (`trial`).
//!
//! Payloads are 128 B where the name says nothing else. In one-core rows the server has one core and one shard and
//! the generator the other core; in two-core rows both share both cores.

use crate::figure::LoadPoint;
use crate::workload::request::Inbox;
use crate::workload::shape::Shape;

/// One line of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What `--rows` takes.
    pub name: &'static str,
    /// What happens, for the reader of the table.
    pub what: &'static str,
    /// Where server and generator run.
    pub cores: Cores,
    /// Shards of Pinion; `GOMAXPROCS` of the Go server.
    pub shards: u16,
    /// The load.
    pub workload: Workload,
    /// At which loads it is measured, in this order.
    pub loads: &'static [LoadPoint],
}

/// Where server and generator run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// The server on the first core, the generator on the second.
    One,
    /// Both on both cores.
    Two,
}

/// The kinds of load.
#[derive(Debug, Clone, Copy)]
pub enum Workload {
    /// Publishes to subscribers.
    Flow {
        shape: Shape,
        payload_size: usize,
        placement: Placement,
    },
    /// Requests by so many requesters to one responder.
    Request {
        requesters: usize,
        inbox: Inbox,
        placement: Placement,
    },
    /// Connect, PONG, close.
    ConnectRate,
    /// So many connections that do nothing.
    Idle { connections: usize },
    /// So many subscriptions on inboxes.
    Inboxes { subscriptions: usize },
    /// A server with a few connections and no load.
    Quiet { connections: usize },
}

/// On which shards the first two connections sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Wherever the server puts them.
    Any,
    /// On two different shards.
    Across,
}

/// All rows, in the order of the table.
pub fn all() -> &'static [Row] {
    ROWS
}

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

impl Row {
    /// The load that goals and ratios look at.
    pub fn main_load(&self) -> LoadPoint {
        *self
            .loads
            .last()
            .filter(|load| matches!(load, LoadPoint::Hundredth))
            .unwrap_or(&self.loads[0])
    }
}

const FLOW_LOADS: &[LoadPoint] = &[LoadPoint::Saturation, LoadPoint::Fifth, LoadPoint::Half];

const fn flow(name: &'static str, what: &'static str, shape: Shape, payload_size: usize) -> Row {
    let workload = Workload::Flow {
        shape,
        payload_size,
        placement: Placement::Any,
    };
    Row {
        name,
        what,
        cores: Cores::One,
        shards: 1,
        workload,
        loads: FLOW_LOADS,
    }
}

const fn two(name: &'static str, what: &'static str, shape: Shape, payload_size: usize) -> Row {
    // With one publisher and one subscriber the message must cross, or the row would measure one shard.
    let placement = match shape {
        Shape::FanOut(1) => Placement::Across,
        _ => Placement::Any,
    };
    let workload = Workload::Flow {
        shape,
        payload_size,
        placement,
    };
    Row {
        name,
        what,
        cores: Cores::Two,
        shards: 2,
        workload,
        loads: FLOW_LOADS,
    }
}

const fn request(name: &'static str, what: &'static str, requesters: usize, inbox: Inbox) -> Row {
    let workload = Workload::Request {
        requesters,
        inbox,
        placement: Placement::Any,
    };
    Row {
        name,
        what,
        cores: Cores::One,
        shards: 1,
        workload,
        loads: FLOW_LOADS,
    }
}

const ROWS: &[Row] = &[
    flow(
        "1to1-16",
        "one publisher, one subscriber, 16 B",
        Shape::FanOut(1),
        16,
    ),
    flow(
        "1to1-128",
        "one publisher, one subscriber, 128 B",
        Shape::FanOut(1),
        128,
    ),
    flow(
        "1to1-1k",
        "one publisher, one subscriber, 1 KiB",
        Shape::FanOut(1),
        1024,
    ),
    flow(
        "1to1-16k",
        "one publisher, one subscriber, 16 KiB",
        Shape::FanOut(1),
        16 * 1024,
    ),
    flow(
        "fanout-10",
        "one publisher, 10 subscribers",
        Shape::FanOut(10),
        128,
    ),
    flow(
        "fanout-1000",
        "one publisher, 1,000 subscribers",
        Shape::FanOut(1000),
        128,
    ),
    flow(
        "20x20",
        "20 publishers to 20 subscribers, in pairs",
        Shape::Pairs(20),
        128,
    ),
    flow(
        "no-subscriber",
        "one publisher, nobody subscribes",
        Shape::Nobody,
        128,
    ),
    flow("20to1", "20 publishers, one subscriber", Shape::FanIn(20), 128),
    flow(
        "queue-10",
        "one publisher, a queue group of 10",
        Shape::Queue(10),
        128,
    ),
    flow(
        "wildcards",
        "10,000 subjects over 100,000 wildcard subscriptions",
        Shape::Wildcards(100_000),
        128,
    ),
    flow(
        "churn",
        "subscribe, publish, unsubscribe beside 100,000 subscriptions",
        Shape::Churn(100_000),
        16,
    ),
    Row {
        name: "1000-connections",
        what: "1,000 connections at 100 messages a second each",
        cores: Cores::One,
        shards: 1,
        workload: Workload::Flow {
            shape: Shape::Ring(1000),
            payload_size: 128,
            placement: Placement::Any,
        },
        loads: &[LoadPoint::Fixed(100_000)],
    },
    request(
        "request-one-shard",
        "one requester, one responder, one shard",
        1,
        Inbox::Standing,
    ),
    Row {
        name: "request-across-shards",
        what: "one requester, one responder, on two shards that sleep in between",
        cores: Cores::Two,
        shards: 2,
        workload: Workload::Request {
            requesters: 1,
            inbox: Inbox::Standing,
            placement: Placement::Across,
        },
        loads: FLOW_LOADS,
    },
    request(
        "request-new-inbox",
        "one requester, a new inbox per request",
        1,
        Inbox::PerRequest,
    ),
    request("request-50", "50 requesters, one responder", 50, Inbox::Standing),
    Row {
        name: "connect-rate",
        what: "connect, PONG, close, 16 under way",
        cores: Cores::One,
        shards: 1,
        workload: Workload::ConnectRate,
        loads: &[LoadPoint::Saturation],
    },
    Row {
        name: "idle-10000",
        what: "10,000 idle connections, memory",
        cores: Cores::One,
        shards: 1,
        workload: Workload::Idle { connections: 10_000 },
        loads: &[LoadPoint::Standing],
    },
    Row {
        name: "inboxes-2",
        what: "100,000 inboxes on 2 shards, memory",
        cores: Cores::Two,
        shards: 2,
        workload: Workload::Inboxes {
            subscriptions: 100_000,
        },
        loads: &[LoadPoint::Standing],
    },
    Row {
        name: "inboxes-8",
        what: "100,000 inboxes on 8 shards, memory",
        cores: Cores::Two,
        shards: 8,
        workload: Workload::Inboxes {
            subscriptions: 100_000,
        },
        loads: &[LoadPoint::Standing],
    },
    Row {
        name: "cpu-idle",
        what: "100 connections, no load, CPU",
        cores: Cores::One,
        shards: 1,
        workload: Workload::Quiet { connections: 100 },
        loads: &[LoadPoint::Standing],
    },
    Row {
        name: "cpu-1-percent",
        what: "one publisher, one subscriber, 128 B at 1 % of Go's maximum, CPU",
        cores: Cores::One,
        shards: 1,
        workload: Workload::Flow {
            shape: Shape::FanOut(1),
            payload_size: 128,
            placement: Placement::Any,
        },
        loads: &[LoadPoint::Saturation, LoadPoint::Hundredth],
    },
    two(
        "2c-1to1-16",
        "two cores: one publisher, one subscriber, 16 B",
        Shape::FanOut(1),
        16,
    ),
    two(
        "2c-1to1-128",
        "two cores: one publisher, one subscriber, 128 B",
        Shape::FanOut(1),
        128,
    ),
    two(
        "2c-1to1-1k",
        "two cores: one publisher, one subscriber, 1 KiB",
        Shape::FanOut(1),
        1024,
    ),
    two(
        "2c-1to1-16k",
        "two cores: one publisher, one subscriber, 16 KiB",
        Shape::FanOut(1),
        16 * 1024,
    ),
    two(
        "2c-fanout-10",
        "two cores: one publisher, 10 subscribers",
        Shape::FanOut(10),
        128,
    ),
    two(
        "2c-fanout-1000",
        "two cores: one publisher, 1,000 subscribers",
        Shape::FanOut(1000),
        128,
    ),
    two(
        "2c-20x20",
        "two cores: 20 publishers to 20 subscribers",
        Shape::Pairs(20),
        128,
    ),
    two(
        "2c-no-subscriber",
        "two cores: one publisher, nobody subscribes",
        Shape::Nobody,
        128,
    ),
    two(
        "2c-20to1",
        "two cores: 20 publishers, one subscriber",
        Shape::FanIn(20),
        128,
    ),
    two(
        "2c-queue-10",
        "two cores: one publisher, a queue group of 10",
        Shape::Queue(10),
        128,
    ),
    two(
        "2c-wildcards",
        "two cores: 100,000 wildcard subscriptions",
        Shape::Wildcards(100_000),
        128,
    ),
    two(
        "2c-churn",
        "two cores: subscribe churn on 100,000 subscriptions",
        Shape::Churn(100_000),
        16,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are unique, and each flow's plan holds what its shape promises.
    #[test]
    fn rows_are_named_once_and_plan_well() {
        let names: std::collections::BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            assert!(!row.loads.is_empty());
            if let Workload::Flow {
                shape, payload_size, ..
            } = row.workload
            {
                let plan = shape.plan(payload_size);
                assert!(
                    plan.clients.iter().any(|client| client.block.is_some()),
                    "{}",
                    row.name
                );
                assert_eq!(plan.payload_size, payload_size);
            }
        }
    }
}
