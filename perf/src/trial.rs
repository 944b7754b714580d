//! Trial: one row, run once against one running server.
//!
//! Owns: opening the connections, the idle wait, the loads of the row in order, turning phases into figures.
//! Not here: starting servers (`server_process`), alternating between them (`compare`).

use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::seconds;
use crate::failure::Failure;
use crate::figure::{Figures, LoadPoint, Quantity};
use crate::generator::Generator;
use crate::measure::Meter;
use crate::phase::{precise, Phase};
use crate::row::{Placement, Row, Workload};
use crate::workload::flow::Flow;
use crate::workload::request::{Inbox, Requests};
use crate::workload::shape::Shape;
use crate::workload::standing;

/// The server a row runs against.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process, where CPU and memory can be read.
    pub meter: Option<Meter>,
    /// Whether its INFO must tell the shard of a connection.
    pub must_tell_shard: bool,
    /// Whether the generator has a core of its own and may poll without sleeping.
    pub spin: bool,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Connections stay idle this long before the load.
    pub idle: Duration,
    /// Load before the measurement.
    pub warm_up: Duration,
    /// Measured time at saturation and of standing loads.
    pub saturation: Duration,
    /// Measured time at each paced load.
    pub paced: Duration,
}

/// What a trial came to.
#[derive(Debug, Default)]
pub struct Trial {
    /// The numbers.
    pub figures: Figures,
    /// How busy each thread of the server was at the row's main load, busiest first, percent of a core.
    pub threads: Vec<(String, f64)>,
}

impl Pace {
    /// For numbers to keep.
    pub const FULL: Self = Self {
        idle: Duration::from_secs(2),
        warm_up: Duration::from_millis(500),
        saturation: Duration::from_secs(2),
        paced: Duration::from_secs(2),
    };
    /// For seeing that every row still runs.
    pub const QUICK: Self = Self {
        idle: Duration::from_millis(300),
        warm_up: Duration::from_millis(50),
        saturation: Duration::from_millis(350),
        paced: Duration::from_millis(200),
    };
}

/// Runs `row`. `peer_maximum` is the Go server's messages per second in this row; without it the loads that depend on
/// it are parts of this server's own maximum.
pub fn run(row: &Row, target: Target, pace: Pace, peer_maximum: Option<f64>) -> Result<Trial, Failure> {
    let mut generator = Generator::new(target.address, target.spin)?;
    let mut trial = Trial::default();
    match row.workload {
        Workload::Flow {
            shape,
            payload_size,
            placement,
        } => {
            let mut flow = open_flow(&mut generator, target, pace, (shape, payload_size, placement))?;
            let per_publish = precise(flow.messages_per_publish());
            run_loads(
                row,
                target,
                pace,
                peer_maximum,
                &mut trial,
                |load, time| match load {
                    Some(rate) => flow.pace(&mut generator, target.meter, rate / per_publish, time),
                    None => flow.saturate(&mut generator, target.meter, time),
                },
            )?;
        }
        Workload::Request {
            requesters,
            inbox,
            placement,
        } => {
            let mut requests = open_requests(&mut generator, target, pace, (requesters, inbox, placement))?;
            run_loads(
                row,
                target,
                pace,
                peer_maximum,
                &mut trial,
                |load, time| match load {
                    Some(rate) => requests.open_loop(&mut generator, target.meter, rate, time),
                    None => requests.closed_loop(&mut generator, target.meter, time),
                },
            )?;
        }
        Workload::ConnectRate => {
            run_loads(row, target, pace, peer_maximum, &mut trial, |_, time| {
                standing::connect_rate(&mut generator, target.meter, time)
            })?;
        }
        Workload::Idle { connections } => {
            let meter = need_meter(target)?;
            let (idle, subscribed) =
                standing::idle_connections(&mut generator, meter, connections, pace.idle)?;
            trial.put(LoadPoint::Standing, Quantity::BytesPerConnection, idle);
            trial.put(
                LoadPoint::Standing,
                Quantity::BytesPerSubscribedConnection,
                subscribed,
            );
            trial.put_rss(LoadPoint::Standing, target)?;
        }
        Workload::Inboxes { subscriptions } => {
            let meter = need_meter(target)?;
            let bytes = standing::inboxes(&mut generator, meter, subscriptions, 1000, pace.idle)?;
            trial.put(LoadPoint::Standing, Quantity::BytesPerSubscription, bytes);
            trial.put_rss(LoadPoint::Standing, target)?;
        }
        Workload::Quiet { connections } => {
            generator.open(connections)?;
            generator.stay_idle(pace.idle)?;
            let phase = standing::quiet(&mut generator, target.meter, pace.saturation)?;
            trial.take(LoadPoint::Standing, &phase, row);
            trial.put_rss(LoadPoint::Standing, target)?;
        }
    }
    Ok(trial)
}

fn open_flow(
    generator: &mut Generator,
    target: Target,
    pace: Pace,
    (shape, payload_size, placement): (Shape, usize, Placement),
) -> Result<Flow, Failure> {
    match placement {
        Placement::Any => generator.open(shape.connection_count())?,
        Placement::Across => {
            assert_eq!(shape.connection_count(), 2);
            generator.open(1)?;
            generator.open_beside_first(true, target.must_tell_shard)?;
        }
    }
    let flow = Flow::subscribe(shape.plan(payload_size), generator)?;
    generator.stay_idle(pace.idle)?;
    Ok(flow)
}

fn open_requests(
    generator: &mut Generator,
    target: Target,
    pace: Pace,
    (requesters, inbox, placement): (usize, Inbox, Placement),
) -> Result<Requests, Failure> {
    generator.open(requesters)?;
    match placement {
        Placement::Any => generator.open(1)?,
        Placement::Across => generator.open_beside_first(true, target.must_tell_shard)?,
    }
    let requests = Requests::subscribe(inbox, generator)?;
    generator.stay_idle(pace.idle)?;
    Ok(requests)
}

/// Runs each load of the row: `None` is saturation, `Some` a rate in messages a second.
fn run_loads(
    row: &Row,
    target: Target,
    pace: Pace,
    peer_maximum: Option<f64>,
    trial: &mut Trial,
    mut run: impl FnMut(Option<f64>, Duration) -> Result<Phase, Failure>,
) -> Result<(), Failure> {
    for &load in row.loads {
        let rate = match load {
            LoadPoint::Fixed(rate) => Some(f64::from(rate)),
            _ => load.fraction().map(|fraction| {
                let own = trial
                    .figures
                    .get(&(LoadPoint::Saturation, Quantity::Rate))
                    .copied();
                fraction
                    * peer_maximum
                        .or(own)
                        .expect("saturation comes first in every row with fractions")
            }),
        };
        let phase = match rate {
            Some(rate) => run(Some(rate), pace.paced)?,
            None => {
                run(None, pace.warm_up)?;
                run(None, pace.saturation)?
            }
        };
        trial.take(load, &phase, row);
        trial.put_rss(load, target)?;
    }
    Ok(())
}

fn need_meter(target: Target) -> Result<Meter, Failure> {
    target
        .meter
        .ok_or_else(|| Failure::Setup(String::from("memory needs the server's process: pass --pid")))
}

impl Trial {
    fn put(&mut self, load: LoadPoint, quantity: Quantity, value: f64) {
        self.figures.insert((load, quantity), value);
    }

    fn put_rss(&mut self, load: LoadPoint, target: Target) -> Result<(), Failure> {
        if let Some(meter) = target.meter {
            self.put(load, Quantity::Rss, precise(meter.rss_kib()?) / 1024.0);
        }
        Ok(())
    }

    fn take(&mut self, load: LoadPoint, phase: &Phase, row: &Row) {
        let elapsed = seconds(phase.elapsed_ns);
        let messages = precise(phase.message_count);
        if phase.message_count > 0 {
            self.put(load, Quantity::Rate, messages / elapsed);
        }
        self.put(
            load,
            Quantity::Generator,
            seconds(phase.generator_busy_ns) / elapsed * 100.0,
        );
        let percentiles = [(Quantity::P50, 500), (Quantity::P99, 990), (Quantity::P999, 999)];
        for (quantity, per_mille) in percentiles {
            if let Some(ns) = phase.latency.at_per_mille(per_mille) {
                self.put(load, quantity, precise(ns) / 1000.0);
            }
        }
        let Some(server) = &phase.server else { return };
        self.put(
            load,
            Quantity::CpuPercent,
            seconds(server.total_ns) / elapsed * 100.0,
        );
        if phase.message_count > 0 {
            self.put(load, Quantity::CpuPerMessage, precise(server.total_ns) / messages);
        }
        if load == row.main_load() {
            self.threads = server
                .threads
                .iter()
                .map(|(name, cpu_ns)| (name.clone(), seconds(*cpu_ns) / elapsed * 100.0))
                .filter(|(_, percent)| *percent >= THREAD_PERCENT_MIN)
                .collect();
        }
    }
}

/// Threads less busy than this are not listed.
const THREAD_PERCENT_MIN: f64 = 1.0;
