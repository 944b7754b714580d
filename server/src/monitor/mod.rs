//! The monitoring port: what the server says of itself over HTTP.
//!
//! Owns: the port, its connections and their bounds, the pages and how their data is gathered from all shards.
//! Not here: HTTP itself (hyper), what is measured (the shards).
//!
//! ```text
//! listener -> wire <-> hyper -> pages -> varz | connz | subsz | accounts | healthz | metrics | index
//!                                          |
//!                                        gather: short questions to each shard, page by page
//! ```
//!
//! It all runs on shard 0 in the task queue for control work, so clients of the NATS port come first.
//! JSON keys, their order and presence, texts and status codes are the peer's (nats-server 2.14.5).
//!
//! Invariants
//!   a job on a shard looks at no more than a page of connections or subscriptions
//!   at most `CONNECTIONS_MAX` connections, of which `GATHERS_MAX` gather at the same time

mod accounts;
mod answer;
mod connz;
mod gather;
mod healthz;
mod index;
mod listener;
mod metrics;
mod pages;
mod permits;
mod request;
mod sort;
mod subsz;
mod text;
mod usage;
mod varz;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use crossbeam_channel::{bounded, unbounded, Receiver, Sender};
use pinion_shard::conn::Traffic;
use pinion_shard::ids::ShardId;
use pinion_shard::io::{Queue, WallTime};
use pinion_shard::runtime::{Shard, Shards};

use crate::config::options::{MonitorListen, Options};
use crate::identity::Identity;
use crate::log::LogHandle;
pub(crate) use connz::user_of;
use permits::Permits;
use usage::ProcessorShare;
pub(crate) use varz::FEATURE_FLAGS;

/// Connections of the monitoring port. Beyond: told 503 and closed.
const CONNECTIONS_MAX: usize = 128;
/// Answers that are gathered from the shards at the same time. Beyond: they wait.
const GATHERS_MAX: usize = 4;

/// What does not change while the server runs.
struct Facts {
    listen: MonitorListen,
    identity: Identity,
    started: WallTime,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What it means.
    pub options: Options,
    /// The digest of its file; empty without one.
    pub digest: String,
    /// When a reload put it in force; `None`: it is there from the start.
    pub reloaded: Option<WallTime>,
}

/// An open monitoring port.
pub struct Opened {
    /// Where.
    pub bound: SocketAddr,
    /// Takes the configuration that a reload puts in force.
    pub configured: Sender<Configured>,
}

/// The monitoring port of a running server; lives on shard 0.
struct Monitor {
    shard: Rc<Shard>,
    facts: Facts,
    configured: RefCell<Rc<Configured>>,
    /// What reloads put in force since this was last looked at.
    reloads: Receiver<Configured>,
    log: LogHandle,
    /// Requests by page. JSON: `http_req_stats`
    requests: RefCell<BTreeMap<&'static str, u64>>,
    connections: Permits,
    gathers: Permits,
    processor: ProcessorShare,
    /// By shard: what was last shown. A count that is gathered in pages may miss a connection that closes meanwhile;
    /// it never goes back.
    shown_traffic: RefCell<Vec<Traffic>>,
}

impl Monitor {
    /// The configuration in force now.
    fn configured(&self) -> Rc<Configured> {
        if let Some(newest) = self.reloads.try_iter().last() {
            *self.configured.borrow_mut() = Rc::new(newest);
        }
        Rc::clone(&self.configured.borrow())
    }
}

/// Opens the monitoring port.
///
/// # Errors
/// The address cannot be bound.
pub fn start(
    shards: &Shards,
    listen: &MonitorListen,
    configured: Configured,
    identity: &Identity,
    log: &LogHandle,
) -> Result<Opened, String> {
    let address = crate::boot::resolve(&listen.host, listen.port)?;
    let (listen, identity, log) = (listen.clone(), identity.clone(), log.clone());
    let (sender, reloads) = unbounded();
    let (answer, answered) = bounded(1);
    let job = move |shard: &Rc<Shard>| {
        let io = shard.io();
        let bound = io.listen(address).and_then(|listener| {
            let bound = listener.local_addr()?;
            // The shards count their time from the start of the server.
            let started = io.wall() - io.now().since(pinion_shard::io::Time(0));
            let monitor = Rc::new(Monitor {
                facts: Facts {
                    listen,
                    identity,
                    started,
                },
                configured: RefCell::new(Rc::new(configured)),
                reloads,
                log,
                requests: RefCell::default(),
                connections: Permits::new(CONNECTIONS_MAX),
                gathers: Permits::new(GATHERS_MAX),
                processor: ProcessorShare::default(),
                shown_traffic: RefCell::new(vec![Traffic::default(); shard.shards().count()]),
                shard: Rc::clone(shard),
            });
            shard.spawn(Queue::Control, listener::run(monitor, listener));
            Ok(bound)
        });
        if answer.send(bound).is_err() {
            tracing::debug!("the start gave up waiting");
        }
    };
    if !shards.run_on(ShardId(0), Box::new(job)) {
        return Err("shard 0 is gone".to_owned());
    }
    let bound = answered.recv().map_err(|_| "shard 0 is gone".to_owned())?;
    let bound = bound.map_err(|error| format!("can't listen to the monitor port: {error}"))?;
    Ok(Opened {
        bound,
        configured: sender,
    })
}
