//! One simulated world: hosts with shards, virtual time, one seed, one thread.
//!
//! Owns: the scheduler, time, timers, faults of scheduling, the trace. Not here: sockets (`net`), disks
//! (`disk`), what a fault is called and how likely it is (`plan`).
//!
//! Invariants
//!   nothing of the world is borrowed while a task runs
//!   the same seed and the same program give the same trace

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use async_task::{Runnable, Task};
use crossbeam_channel::{Receiver, Sender};

use super::bell::Heard;
use super::disk::DiskState;
use super::net::Net;
use super::{Dice, Plan, SimBell, SimIo};
use crate::io::{Io, Point, Queue};

/// Shards that may stand on the stack at the same time, each inside an `interleave` of the one before.
const NESTED_MAX: usize = 4;
/// Steps of one run without the end in sight; more is a program that spins.
const STEPS_MAX: u64 = 1_000_000;
/// Where the wall clock stands when a world begins: 2026-01-01 UTC.
const WALL_START_NS: u64 = 1_767_225_600_000_000_000;

/// A server's machine, or a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub(super) usize);

/// A simulated world. Dropping it ends every task in it.
pub struct SimWorld {
    world: Rc<World>,
}

/// What is wrong with a run that did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The virtual time was up.
    TimeUp,
    /// Nothing runs, nothing will: no timer, nothing on its way.
    Deadlock,
}

impl SimWorld {
    /// A world whose faults are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let plan = Plan::draw(&Dice::from_seed(!seed));
        Self::with_plan(seed, plan)
    }

    /// A world with these faults.
    pub fn with_plan(seed: u64, plan: Plan) -> Self {
        Self {
            world: Rc::new(World {
                seed,
                dice: Dice::from_seed(seed),
                plan,
                now: Cell::new(1),
                trace: Cell::new(seed),
                steps: Cell::new(0),
                faults: Cell::new(true),
                #[cfg(sabotage)]
                sabotage: Cell::new(None),
                nodes: RefCell::default(),
                hosts: RefCell::default(),
                timers: RefCell::default(),
                timer_seq: Cell::new(0),
                stack: RefCell::default(),
                burst: Cell::new((0, 0)),
                bells: RefCell::default(),
                net: RefCell::default(),
                hits: RefCell::default(),
            }),
        }
    }

    /// Puts a deliberate bug into every shard of the world.
    #[cfg(sabotage)]
    pub fn sabotage(&self, sabotage: crate::io::Sabotage) {
        self.world.sabotage.set(Some(sabotage));
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// What may go wrong here.
    pub fn plan(&self) -> &Plan {
        &self.world.plan
    }

    /// A machine with a disk and an address of its own.
    pub fn add_host(&self) -> HostId {
        self.world.add_host()
    }

    /// A shard (or a client) on a machine: the handle its program runs on.
    pub fn add_shard(&self, host: HostId) -> Io {
        Io::Simulated(self.add_node(host))
    }

    /// As [`SimWorld::add_shard`], as the simulated handle itself.
    pub fn add_node(&self, host: HostId) -> SimIo {
        SimIo {
            node: self.world.add_node(host),
            world: Rc::clone(&self.world),
        }
    }

    /// Nanoseconds since the world began.
    pub fn now_ns(&self) -> u64 {
        self.world.now.get()
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.world.steps.get()
    }

    /// A hash over every step so far.
    pub fn trace(&self) -> u64 {
        self.world.trace.get()
    }

    /// How often each fault was hit, by name.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.world.hits.borrow().clone()
    }

    /// Counts that something happened.
    pub fn hit(&self, name: &'static str) {
        self.world.hit(name);
    }

    /// Ends all faults of scheduling and network that are not yet running, so that a program can settle:
    /// partitions heal, pauses end, nothing is reset any more.
    pub fn calm_down(&self) {
        self.world.faults.set(false);
        for node in self.world.nodes.borrow().iter() {
            node.paused_until.set(0);
        }
        self.world.heal_all();
    }

    /// Runs until `done`, for at most `limit` of virtual time.
    ///
    /// # Errors
    /// The end was not reached.
    ///
    /// # Panics
    /// When the program does, with the seed in the message.
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> Result<(), Unfinished> {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let end = self.world.now.get() + nanos(limit);
            let mut steps = 0u64;
            loop {
                if done() {
                    return Ok(());
                }
                if self.world.now.get() > end {
                    return Err(Unfinished::TimeUp);
                }
                if !self.world.step() && !self.world.skip_ahead() {
                    return Err(Unfinished::Deadlock);
                }
                steps += 1;
                assert!(
                    steps < STEPS_MAX,
                    "{STEPS_MAX} steps without reaching the end at {} ns: something spins; steps by node: {:?}",
                    self.world.now.get(),
                    self.world.nodes.borrow().iter().map(|node| node.steps.get()).collect::<Vec<_>>()
                );
            }
        }));
        match ran {
            Ok(result) => result,
            Err(payload) => {
                let what = if let Some(text) = payload.downcast_ref::<&str>() {
                    (*text).to_owned()
                } else if let Some(text) = payload.downcast_ref::<String>() {
                    text.clone()
                } else {
                    resume_unwind(payload)
                };
                if what.starts_with("simulation seed ") {
                    resume_unwind(payload);
                }
                resume_unwind(Box::new(format!(
                    "simulation seed {} at step {}: {what}",
                    self.world.seed,
                    self.world.steps.get()
                )))
            }
        }
    }

    /// Runs for this much virtual time, or until nothing is left to run.
    pub fn run_for(&self, duration: Duration) {
        // Both ends of such a run are as good.
        match self.run_until(duration, || false) {
            Ok(()) | Err(Unfinished::TimeUp | Unfinished::Deadlock) => {}
        }
    }

    /// The process on `host` dies: its tasks are gone, its connections break, its files stay.
    pub fn kill(&self, host: HostId) {
        self.hit("kill");
        self.world.kill(host);
    }

    /// The machine loses power: as [`SimWorld::kill`], and its disk loses what was not synced.
    pub fn power_cut(&self, host: HostId) {
        self.hit("power_cut");
        self.world.kill(host);
        let disk = Rc::clone(&self.world.hosts.borrow()[host.0].disk);
        disk.borrow_mut().power_cut(&self.world);
    }

    /// Whether no byte is on its way or waits to be read.
    pub fn is_network_idle(&self) -> bool {
        self.world.net.borrow().under_way().next().is_none()
    }

    /// What is on its way or waits to be read: connection, side that wrote it (0 connected, 1 accepted),
    /// parcels on the way, bytes arrived.
    pub fn under_way(&self) -> Vec<(u64, usize, usize, usize)> {
        self.world.net.borrow().under_way().collect()
    }

    /// Nothing passes between the two until healed.
    pub fn partition(&self, a: HostId, b: HostId) {
        self.world.partition(a, b);
    }

    /// Ends a partition.
    pub fn heal(&self, a: HostId, b: HostId) {
        self.world.heal(a, b);
    }

    /// Moves the wall clock of a host.
    pub fn jump_wall(&self, host: HostId, by_ns: i64) {
        self.world.jump_wall(host.0, by_ns);
    }

    /// Flips a bit of what `host` has on disk at `offset` of a file. `false`: there is no such byte.
    pub fn rot(&self, host: HostId, path: &std::path::Path, offset: usize) -> bool {
        let disk = Rc::clone(&self.world.hosts.borrow()[host.0].disk);
        let rotten = disk.borrow_mut().rot(&self.world, path, offset);
        rotten
    }

    /// Tasks of a host that have not ended.
    pub fn tasks_of(&self, host: HostId) -> usize {
        let nodes = self.world.nodes.borrow();
        nodes
            .iter()
            .filter(|node| node.host == host.0)
            .map(|node| node.tasks.borrow().len())
            .sum()
    }
}

impl Drop for SimWorld {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.world.stack.borrow().is_empty() {
            // A task panicked: the others in an unknown state. One leak per failed seed is the lesser evil.
            return;
        }
        let hosts = self.world.hosts.borrow().len();
        for host in 0..hosts {
            self.world.kill(HostId(host));
        }
        self.world.timers.take();
        self.world.bells.take();
    }
}

type Call = Box<dyn FnOnce(&Rc<World>)>;

/// Something that happens at a point in time.
pub(super) enum Event {
    Wake(Waker),
    Call(Call),
}

struct Host {
    disk: Rc<RefCell<DiskState>>,
    wall_offset_ns: i64,
}

struct BellEntry {
    node: usize,
    bell: SimBell,
    heard: Rc<Heard>,
    /// When a ring that was seen is delivered.
    due: Option<u64>,
}

/// The tasks of one queue that can run.
struct RunQueue {
    sender: Sender<Runnable>,
    receiver: Receiver<Runnable>,
    ready: RefCell<VecDeque<Runnable>>,
}

impl RunQueue {
    fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded();
        Self {
            sender,
            receiver,
            ready: RefCell::default(),
        }
    }

    fn count(&self) -> usize {
        let mut ready = self.ready.borrow_mut();
        ready.extend(self.receiver.try_iter());
        ready.len()
    }

    fn take(&self, index: usize) -> Option<Runnable> {
        self.ready.borrow_mut().remove(index)
    }
}

/// A shard, or a client: one thread of its host.
pub(super) struct Node {
    pub(super) index: usize,
    pub(super) host: usize,
    pub(super) dice: Dice,
    hot: RunQueue,
    control: RunQueue,
    alive: Cell<bool>,
    paused_until: Cell<u64>,
    /// Steps so far.
    steps: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task<()>>>,
    next_task: Cell<u64>,
    finished: RefCell<Vec<u64>>,
}

impl Node {
    fn ready_count(&self) -> usize {
        self.hot.count() + self.control.count()
    }

    fn take_ready(&self, dice: &Dice, shuffle: bool) -> Runnable {
        let (hot, control) = (self.hot.count(), self.control.count());
        // The control queue gets its share even while the hot one is busy.
        let queue = if hot == 0 || (control > 0 && dice.one_in(8)) {
            &self.control
        } else {
            &self.hot
        };
        let index = if shuffle { dice.index(queue.count()) } else { 0 };
        queue.take(index).expect("the queue was counted")
    }

    fn reap(&self) {
        for id in self.finished.take() {
            let task = self.tasks.borrow_mut().remove(&id);
            drop(task);
        }
    }
}

/// The inside of a world, shared by all its handles.
pub(super) struct World {
    seed: u64,
    pub(super) dice: Dice,
    pub(super) plan: Plan,
    now: Cell<u64>,
    trace: Cell<u64>,
    steps: Cell<u64>,
    /// Whether new faults begin.
    pub(super) faults: Cell<bool>,
    /// The deliberate bug that is on.
    #[cfg(sabotage)]
    pub(super) sabotage: Cell<Option<crate::io::Sabotage>>,
    nodes: RefCell<Vec<Rc<Node>>>,
    hosts: RefCell<Vec<Host>>,
    timers: RefCell<BTreeMap<(u64, u64), Event>>,
    timer_seq: Cell<u64>,
    /// Nodes that are inside a step, outermost first.
    stack: RefCell<Vec<usize>>,
    /// Which node has steps left in a row.
    burst: Cell<(usize, u64)>,
    bells: RefCell<Vec<BellEntry>>,
    pub(super) net: RefCell<Net>,
    hits: RefCell<BTreeMap<&'static str, u64>>,
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl World {
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    pub(super) fn hit(&self, name: &'static str) {
        *self.hits.borrow_mut().entry(name).or_insert(0) += 1;
    }

    /// Makes `value` part of the trace.
    pub(super) fn mix(&self, value: u64) {
        let mixed = (self.trace.get() ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.trace.set(mixed ^ (mixed >> 29));
    }

    fn add_host(&self) -> HostId {
        let mut hosts = self.hosts.borrow_mut();
        hosts.push(Host {
            disk: Rc::new(RefCell::new(DiskState::new(self.plan.disk.capacity))),
            wall_offset_ns: 0,
        });
        HostId(hosts.len() - 1)
    }

    fn add_node(&self, host: HostId) -> Rc<Node> {
        let mut nodes = self.nodes.borrow_mut();
        let index = nodes.len();
        let node = Rc::new(Node {
            index,
            host: host.0,
            dice: Dice::from_seed(self.seed.wrapping_add((index as u64 + 1) << 32)),
            hot: RunQueue::new(),
            control: RunQueue::new(),
            alive: Cell::new(true),
            paused_until: Cell::new(0),
            steps: Cell::new(0),
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            finished: RefCell::default(),
        });
        nodes.push(Rc::clone(&node));
        node
    }

    pub(super) fn disk_of(&self, host: usize) -> Rc<RefCell<DiskState>> {
        Rc::clone(&self.hosts.borrow()[host].disk)
    }

    pub(super) fn wall(&self, host: usize) -> u64 {
        let offset = self.hosts.borrow()[host].wall_offset_ns;
        (WALL_START_NS + self.now()).saturating_add_signed(offset)
    }

    fn jump_wall(&self, host: usize, by_ns: i64) {
        self.hit("wall_jump");
        let offset = &mut self.hosts.borrow_mut()[host].wall_offset_ns;
        *offset = offset.saturating_add(by_ns);
    }

    pub(super) fn spawn(
        self: &Rc<Self>,
        node: &Rc<Node>,
        queue: Queue,
        future: impl Future<Output = ()> + 'static,
    ) {
        if !node.alive.get() {
            // A task of a dead process that is being taken apart wants to start another.
            return;
        }
        let id = node.next_task.get();
        node.next_task.set(id + 1);
        let sender = match queue {
            Queue::Hot => node.hot.sender.clone(),
            Queue::Control => node.control.sender.clone(),
        };
        let owner = Rc::downgrade(node);
        let (runnable, task) = async_task::spawn_local(
            async move {
                future.await;
                if let Some(owner) = owner.upgrade() {
                    owner.finished.borrow_mut().push(id);
                }
            },
            // Fails only when the world is gone, and then nothing runs any more.
            move |runnable| drop(sender.send(runnable)),
        );
        node.tasks.borrow_mut().insert(id, task);
        runnable.schedule();
    }

    pub(super) fn at(&self, time: u64, event: Event) -> (u64, u64) {
        let seq = self.timer_seq.get();
        self.timer_seq.set(seq + 1);
        self.timers.borrow_mut().insert((time, seq), event);
        (time, seq)
    }

    pub(super) fn rearm(&self, key: (u64, u64), waker: &Waker) {
        self.timers.borrow_mut().insert(key, Event::Wake(waker.clone()));
    }

    pub(super) fn disarm(&self, key: (u64, u64)) {
        // Dropped after the borrow: a waker may be the last one of its task.
        let removed = self.timers.borrow_mut().remove(&key);
        drop(removed);
    }

    pub(super) fn call_at(&self, time: u64, call: impl FnOnce(&Rc<World>) + 'static) {
        self.at(time, Event::Call(Box::new(call)));
    }

    pub(super) fn register_bell(&self, node: usize, bell: &SimBell, heard: &Rc<Heard>) {
        self.bells.borrow_mut().push(BellEntry {
            node,
            bell: bell.clone(),
            heard: Rc::clone(heard),
            due: None,
        });
    }

    fn fire_due(self: &Rc<Self>) {
        loop {
            let mut timers = self.timers.borrow_mut();
            match timers.first_entry() {
                Some(first) if first.key().0 <= self.now.get() => {
                    let event = first.remove();
                    drop(timers);
                    match event {
                        Event::Wake(waker) => waker.wake(),
                        Event::Call(call) => call(self),
                    }
                }
                _ => return,
            }
        }
    }

    fn deliver_rings(&self) {
        let mut bells = self.bells.borrow_mut();
        for entry in bells.iter_mut() {
            if entry.due.is_none() && entry.bell.is_rung() {
                let late = self.faults.get() && self.dice.per_mille(self.plan.bell_delay_per_mille);
                let delay = if late {
                    self.hit("bell_delay");
                    self.dice.between(1, self.plan.bell_delay_ns_max)
                } else {
                    0
                };
                entry.due = Some(self.now.get() + delay);
            }
            if entry.due.is_some_and(|due| due <= self.now.get()) {
                entry.due = None;
                if entry.bell.take() {
                    self.mix(entry.node as u64 + 1000);
                    entry.heard.deliver();
                }
            }
        }
    }

    fn begin_faults(self: &Rc<Self>) {
        if !self.faults.get() {
            return;
        }
        if self.dice.per_million(self.plan.pause_per_million) {
            let nodes = self.nodes.borrow();
            let node = &nodes[self.dice.index(nodes.len())];
            self.hit("pause");
            node.paused_until
                .set(self.now.get() + self.dice.between(1, self.plan.pause_ns_max));
        }
        let hosts = self.hosts.borrow().len();
        if self.dice.per_million(self.plan.partition_per_million) && hosts > 1 {
            let a = self.dice.index(hosts);
            let b = (a + 1 + self.dice.index(hosts - 1)) % hosts;
            self.partition(HostId(a), HostId(b));
            let heal = self.now.get() + self.dice.between(1, self.plan.partition_ns_max);
            self.call_at(heal, move |world| world.heal(HostId(a), HostId(b)));
        }
        if self.dice.per_million(self.plan.wall_jump_per_million) {
            let by = i64::try_from(self.dice.below(self.plan.wall_jump_ns_max)).unwrap_or(i64::MAX);
            let by = if self.dice.one_in(2) { by } else { -by };
            self.jump_wall(self.dice.index(hosts), by);
        }
    }

    fn choose(&self) -> Option<Rc<Node>> {
        let nodes = self.nodes.borrow();
        let stack = self.stack.borrow();
        let now = self.now.get();
        let can_run = |node: &Rc<Node>| {
            node.alive.get()
                && node.paused_until.get() <= now
                && !stack.contains(&node.index)
                && node.ready_count() > 0
        };
        let (bursting, left) = self.burst.get();
        if left > 0 && nodes.get(bursting).is_some_and(can_run) {
            self.burst.set((bursting, left - 1));
            return Some(Rc::clone(&nodes[bursting]));
        }
        let count = nodes.iter().filter(|node| can_run(node)).count();
        if count == 0 {
            return None;
        }
        let chosen = nodes
            .iter()
            .filter(|node| can_run(node))
            .nth(self.dice.index(count))?;
        self.burst
            .set((chosen.index, self.dice.below(self.plan.burst_max)));
        Some(Rc::clone(chosen))
    }

    /// Runs one task of one shard that is not inside a step already. `false`: none can run now.
    fn step(self: &Rc<Self>) -> bool {
        self.now
            .set(self.now.get() + self.dice.between(1, self.plan.step_ns_max));
        self.fire_due();
        self.deliver_rings();
        self.reap_unadopted();
        self.begin_faults();
        let Some(node) = self.choose() else {
            return false;
        };
        let shuffle = self.plan.shuffle_tasks;
        let runnable = node.take_ready(&self.dice, shuffle);
        self.steps.set(self.steps.get() + 1);
        self.mix(self.now.get() << 8 | node.index as u64);
        node.steps.set(node.steps.get() + 1);
        self.stack.borrow_mut().push(node.index);
        runnable.run();
        self.stack.borrow_mut().pop();
        node.reap();
        true
    }

    /// Moves time to the next thing that happens by itself. `false`: there is none.
    fn skip_ahead(&self) -> bool {
        let timer = self.timers.borrow().first_key_value().map(|(key, _)| key.0);
        let ring = self.bells.borrow().iter().filter_map(|entry| entry.due).min();
        let pause = self
            .nodes
            .borrow()
            .iter()
            .filter(|node| node.alive.get() && node.ready_count() > 0)
            .map(|node| node.paused_until.get())
            .min();
        match [timer, ring, pause].into_iter().flatten().min() {
            Some(next) => {
                self.now.set(self.now.get().max(next));
                true
            }
            None => false,
        }
    }

    /// Lets other shards run inside a step of the shard on top of the stack.
    pub(super) fn interleave(self: &Rc<Self>, point: Point) {
        let place = super::plan::POINTS
            .iter()
            .position(|other| *other == point)
            .expect("every point has its chance");
        if self.stack.borrow().len() >= NESTED_MAX
            || !self.faults.get()
            || !self.dice.per_mille(self.plan.interleave_per_mille[place])
        {
            return;
        }
        self.hit(match point {
            Point::BetweenLanes => "interleave_between_lanes",
            Point::PushedNotAnnounced => "interleave_pushed_not_announced",
            Point::AnnouncedNotRung => "interleave_announced_not_rung",
            Point::LanesNotFlushed => "interleave_lanes_not_flushed",
            Point::FlaggedNotParked => "interleave_flagged_not_parked",
            Point::TriggeredNotDrained => "interleave_triggered_not_drained",
        });
        for _ in 0..self.dice.between(1, self.plan.interleave_steps_max) {
            if !self.step() {
                return;
            }
        }
    }

    fn kill(self: &Rc<Self>, host: HostId) {
        self.break_connections(host.0);
        let nodes: Vec<_> = self
            .nodes
            .borrow()
            .iter()
            .filter(|node| node.host == host.0 && node.alive.get())
            .map(Rc::clone)
            .collect();
        for node in &nodes {
            assert!(
                !self.stack.borrow().contains(&node.index),
                "a host is killed from outside"
            );
            node.alive.set(false);
            self.bells.borrow_mut().retain(|entry| entry.node != node.index);
        }
        for node in &nodes {
            // A cancelled task is run once more to drop what it holds; that may wake others.
            let tasks = node.tasks.take();
            drop(tasks);
            while node.ready_count() > 0 {
                node.take_ready(&self.dice, false).run();
            }
        }
    }
}
