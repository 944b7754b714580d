//! One seed: lives of a host between crashes, and what each start finds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use pinion_shard::io::disk::Disk;
use pinion_shard::io::simulated::{Dice, HostId, Plan, SimWorld};
use pinion_shard::io::{Io, Queue};
use pinion_storage::commit_log::{CommitLog, LogOptions};
use pinion_storage::recover::{
    open_store_dir, settle_former_shards, shard_dir, Finding, RecoverError, StoreDirError,
};

use super::appender::{append, Character};
use super::model::{Excuses, Found, Log, Model};
use crate::run::Outcome;

/// Virtual time in which a start must be done once nothing fails any more.
const CALM: Duration = Duration::from_secs(60);
/// Steps of the world in one life, at most.
const LIFE_STEPS_MAX: u64 = 6_000;

/// What a start found.
struct Start {
    shards: Vec<(Io, CommitLog)>,
    found: BTreeMap<u64, Log>,
    /// The log each log id is in.
    homes: BTreeMap<u64, usize>,
    findings: Vec<Finding>,
}

fn options(dice: &Dice) -> LogOptions {
    LogOptions {
        segment_size: dice.pick(&[64, 96, 256]) * 1024,
        segments_max: dice.pick(&[4, 8, 40]),
        segments_before_carrying: 3,
        commit_size_max: 16 * 1024,
        quantum_size: dice.pick(&[512, 4096]),
        second_write_size_min: dice.pick(&[256, 4096, 12 * 1024]),
        log_pending_size_max: dice.pick(&[1024, 16 * 1024]),
        pending_size_max: 24 * 1024,
    }
}

enum Failed {
    /// The disk said no; a process would end, and be started again.
    Disk,
    /// What no fault explains.
    Wrong(String),
}

impl From<RecoverError> for Failed {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Io(_) => Failed::Disk,
            newer => Failed::Wrong(newer.to_string()),
        }
    }
}

/// Starts all shards of a host, as a server does.
async fn start(ios: Vec<Io>, options: LogOptions) -> Result<Start, Failed> {
    let first = &ios[0];
    let disk = Disk::open(first, Path::new("/store"))
        .await
        .map_err(|_| Failed::Disk)?;
    match open_store_dir(&disk).await {
        Ok(()) => {}
        // The line that says the version may have rotted; an operator would write it again.
        Err(StoreDirError::Unreadable(_)) => {
            disk.remove(Path::new("store")).await.map_err(|_| Failed::Disk)?;
            return Err(Failed::Disk);
        }
        Err(StoreDirError::Io(_)) => return Err(Failed::Disk),
        Err(error) => return Err(Failed::Wrong(error.to_string())),
    }
    let mut findings = settle_former_shards(first, &disk, ios.len(), options).await?;
    let mut found = Found::default();
    let mut homes = BTreeMap::new();
    let mut shards = Vec::new();
    for (at, io) in ios.into_iter().enumerate() {
        let disk = Disk::open(&io, Path::new("/store"))
            .await
            .map_err(|_| Failed::Disk)?;
        let mut here = Found::default();
        let opened = CommitLog::open(&io, &disk, &shard_dir(at), options, &mut |replay| {
            here.take(replay)
        })
        .await?;
        findings.extend(opened.findings);
        for id in opened.log.logs() {
            if let Some(other) = homes.insert(id.0, at) {
                return Err(Failed::Wrong(format!(
                    "log {id:?} is on shard {other} and on shard {at}"
                )));
            }
            let log = here.logs.entry(id.0).or_default();
            let range = (log.base, log.last());
            if opened.log.range(id) != Some(range) {
                let says = opened.log.range(id);
                return Err(Failed::Wrong(format!(
                    "log {id:?} was replayed as {range:?}, the log says {says:?}"
                )));
            }
        }
        found.logs.extend(here.logs);
        shards.push((io, opened.log));
    }
    Ok(Start {
        shards,
        found: found.logs,
        homes,
        findings,
    })
}

struct Sim {
    world: SimWorld,
    dice: Dice,
    host: HostId,
    options: LogOptions,
    model: Rc<RefCell<Model>>,
    /// Rot of the disk that was seen.
    rot_seen: u64,
}

impl Sim {
    /// Begins a start: its result comes into the slot.
    fn begin(&self, shards: usize) -> Rc<RefCell<Option<Result<Start, Failed>>>> {
        let slot = Rc::new(RefCell::new(None));
        let result = Rc::clone(&slot);
        let nodes: Vec<_> = (0..shards).map(|_| self.world.add_node(self.host)).collect();
        let ios = nodes.iter().map(|node| Io::Simulated(node.clone())).collect();
        let options = self.options;
        nodes[0].spawn(Queue::Hot, async move {
            let started = start(ios, options).await;
            *result.borrow_mut() = Some(started);
        });
        slot
    }

    /// Compares what a start found with the model.
    fn judge(&mut self, start: &Start) -> Result<(), String> {
        let rot = self.world.hits().get("disk_rot").copied().unwrap_or(0);
        let is_rotten = rot > 0;
        // One bit damages one commit; more may damage the last one and the one that it would have vouched for.
        let is_badly_rotten = rot > self.rot_seen + 1;
        self.rot_seen = rot;
        let mut excuses = Excuses::default();
        for finding in &start.findings {
            match finding {
                Finding::Cut(..) => {
                    self.world.hit("cut");
                    excuses.cut |= is_rotten;
                    excuses.rot |= is_badly_rotten;
                }
                Finding::Rot(..) | Finding::HeaderRot(_) | Finding::Hole { .. } | Finding::Quarantined(_) => {
                    self.world.hit("rot_reported");
                    if !is_rotten {
                        return Err(format!("reported though the disk is sound: {finding}"));
                    }
                    excuses.rot = true;
                }
                Finding::Unknown(path) => return Err(format!("{} is not known", path.display())),
            }
        }
        let excused = self.model.borrow_mut().restart(&start.found, excuses)?;
        if excused > 0 && !excuses.rot {
            self.world.hit("possibly_acknowledged");
        }
        Ok(())
    }

    /// One life of the host: a start, work, a crash.
    fn live(&mut self, life: u64, character: Character) -> Result<(), String> {
        let shards = self.dice.size(1, 3);
        let slot = self.begin(shards);
        let end = self.world.steps() + self.dice.between(1, LIFE_STEPS_MAX);
        // Most lives get beyond their start.
        let waits = self.dice.one_in(4);
        let world = &self.world;
        let started = world.run_until(CALM, || {
            slot.borrow().is_some() || (waits && world.steps() >= end)
        });
        let result = slot.borrow_mut().take();
        let start = match (started, result) {
            (_, Some(Ok(start))) => start,
            (_, Some(Err(Failed::Wrong(what)))) => return Err(what),
            (_, Some(Err(Failed::Disk))) => {
                world.hit("start_failed");
                self.crash();
                return Ok(());
            }
            (Ok(()), None) => {
                world.hit("crash_while_opening");
                self.crash();
                return Ok(());
            }
            (Err(stuck), None) => return Err(format!("a start did not end: {stuck:?}")),
        };
        self.judge(&start)?;
        let logs: Vec<_> = start.shards.iter().map(|(_, log)| log.clone()).collect();
        let count = self.dice.between(1, 5);
        for (at, (io, log)) in start.shards.into_iter().enumerate() {
            let Io::Simulated(node) = io else {
                unreachable!("this world is simulated")
            };
            let home = |id: &u64| {
                start
                    .homes
                    .get(id)
                    .copied()
                    .unwrap_or(usize::try_from(*id).expect("small") % shards)
            };
            let ids: Vec<u64> = (1..=count).filter(|id| home(id) == at).collect();
            if !ids.is_empty() {
                let model = Rc::clone(&self.model);
                node.clone()
                    .spawn(Queue::Hot, append(node, log, ids, model, character, life));
            }
        }
        let work = self.world.steps() + self.dice.between(1, LIFE_STEPS_MAX);
        let world = &self.world;
        // A world where nothing moves any more is as good a moment to crash as any.
        if world.run_until(CALM, || world.steps() >= work).is_err() {
            world.hit("all_done_before_the_crash");
        }
        if logs.iter().any(|log| log.stopped().is_some()) {
            self.world.hit("log_stopped");
        } else if self.dice.one_in(5) {
            self.world.hit("close");
            let closed = Rc::new(Cell::new(false));
            let done = Rc::clone(&closed);
            self.world.add_node(self.host).spawn(Queue::Hot, async move {
                for log in logs {
                    log.close().await;
                }
                done.set(true);
            });
            let world = &self.world;
            if world.run_until(CALM, || closed.get()).is_err() {
                return Err("a log did not close".to_owned());
            }
        }
        self.crash();
        Ok(())
    }

    fn crash(&self) {
        if self.dice.one_in(3) {
            self.world.kill(self.host);
        } else {
            self.world.power_cut(self.host);
        }
    }

    /// The last start: nothing fails any more, and it must come to its end.
    fn last(&mut self) -> Result<(), String> {
        self.world.calm_down();
        // The store's version file may have rotted.
        for _ in 0..2 {
            let slot = self.begin(1);
            let ended = self.world.run_until(CALM, || slot.borrow().is_some());
            let result = slot.borrow_mut().take();
            match result {
                Some(Ok(start)) => return self.judge(&start),
                Some(Err(Failed::Wrong(what))) => return Err(what),
                Some(Err(Failed::Disk)) => self.world.kill(self.host),
                None => return Err(format!("the last start did not end: {ended:?}")),
            }
        }
        if self.world.plan().disk.capacity == u64::MAX && self.rot_seen == 0 {
            return Err("the last start failed though nothing does any more".to_owned());
        }
        self.world.hit("last_start_failed");
        Ok(())
    }
}

/// Runs one seed in a world prepared by `prepare`.
pub(crate) fn run(seed: u64, prepare: &dyn Fn(&SimWorld)) -> Outcome {
    let dice = Dice::from_seed(seed ^ 0x5704_A6E0);
    let mut plan = Plan::draw(&Dice::from_seed(seed));
    if plan.disk.capacity < u64::MAX {
        plan.disk.capacity = dice.pick(&[512 << 10, 1 << 20, 4 << 20]);
    }
    let world = SimWorld::with_plan(seed, plan);
    prepare(&world);
    let host = world.add_host();
    let options = options(&dice);
    let character = Character {
        steps_max: dice.pick(&[4, 40, 400]),
        repeats: dice.one_in(4),
        is_long: dice.one_in(3),
        only_entries: dice.one_in(4),
        pause_ns_max: dice.pick(&[0, 20_000, 300_000]),
    };
    let mut sim = Sim {
        world,
        dice,
        host,
        options,
        model: Rc::default(),
        rot_seen: 0,
    };
    let lives = sim.dice.between(2, 10);
    let mut wrong = Vec::new();
    let lived = (0..lives)
        .try_for_each(|life| sim.live(life, character))
        .and_then(|()| sim.last());
    wrong.extend(lived.err());
    Outcome {
        trace: sim.world.trace(),
        hits: sim.world.hits(),
        wrong,
    }
}
