//! What may go wrong in one simulated world, and how strongly: drawn once per seed ("swarm"), so that some
//! worlds are calm but for one fault and others bad in every way.

use super::Dice;
use crate::io::Point;

/// Places of [`Point`].
pub(super) const POINTS: [Point; 6] = [
    Point::BetweenLanes,
    Point::PushedNotAnnounced,
    Point::AnnouncedNotRung,
    Point::LanesNotFlushed,
    Point::FlaggedNotParked,
    Point::TriggeredNotDrained,
];

/// Faults of a world. Times in nanoseconds, chances per mille or per million as the name says.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What one step of a task takes at most.
    pub step_ns_max: u64,
    /// How likely others run at each [`Point`].
    pub interleave_per_mille: [u32; POINTS.len()],
    /// Steps others get at a point, at most.
    pub interleave_steps_max: u64,
    /// Steps one shard gets in a row, at most.
    pub burst_max: u64,
    /// Tasks of a shard run in any order instead of in turn.
    pub shuffle_tasks: bool,
    /// A shard stops for a while, at any step.
    pub pause_per_million: u32,
    /// For how long at most.
    pub pause_ns_max: u64,
    /// `yield_now` yields.
    pub yield_per_mille: u32,
    /// A ring comes late.
    pub bell_delay_per_mille: u32,
    /// By how much at most.
    pub bell_delay_ns_max: u64,
    /// Timers fire late by up to this.
    pub timer_slack_ns: u64,
    /// Bytes a connection holds per direction: from, to.
    pub socket_capacity: (usize, usize),
    /// How long bytes travel: from, to.
    pub travel_ns: (u64, u64),
    /// A write takes less than it could, a read gives less than there is.
    pub partial_per_mille: u32,
    /// Bytes travel in pieces of at most this.
    pub piece_size_max: usize,
    /// A connection is doomed: it is reset at some moment.
    pub reset_per_mille: u32,
    /// A doomed connection lives at most this long.
    pub reset_after_ns_max: u64,
    /// A connect is refused though somebody listens.
    pub refuse_per_mille: u32,
    /// Two hosts cannot hear each other for a while; drawn at any step.
    pub partition_per_million: u32,
    /// For how long at most.
    pub partition_ns_max: u64,
    /// The wall clock of a host jumps; drawn at any step.
    pub wall_jump_per_million: u32,
    /// By how much at most, either way.
    pub wall_jump_ns_max: u64,
    /// What the disks do.
    pub disk: DiskPlan,
}

/// Faults of the disks of a world.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// A durable write or a sync takes: from, to.
    pub sync_ns: (u64, u64),
    /// A read or a buffered write takes: from, to.
    pub access_ns: (u64, u64),
    /// An operation takes a hundred times as long.
    pub slow_per_mille: u32,
    /// An operation fails with an I/O error.
    pub error_per_mille: u32,
    /// At a power cut, a piece that was written but not synced is kept anyway.
    pub keep_unsynced_per_mille: u32,
    /// At a power cut, a piece in between is torn in the middle.
    pub torn_per_mille: u32,
    /// At a power cut, a rename or create that was not synced is kept anyway.
    pub keep_unsynced_name_per_mille: u32,
    /// At a power cut, a synced piece rots: per million pieces.
    pub rot_per_million: u32,
    /// Bytes the disk holds.
    pub capacity: u64,
}

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

impl Plan {
    /// Nothing goes wrong; things take a little time.
    pub fn calm() -> Self {
        Self {
            step_ns_max: US,
            interleave_per_mille: [0; POINTS.len()],
            interleave_steps_max: 0,
            burst_max: 1,
            shuffle_tasks: false,
            pause_per_million: 0,
            pause_ns_max: 0,
            yield_per_mille: 0,
            bell_delay_per_mille: 0,
            bell_delay_ns_max: 0,
            timer_slack_ns: 0,
            socket_capacity: (64 * 1024, 64 * 1024),
            travel_ns: (10 * US, 10 * US),
            partial_per_mille: 0,
            piece_size_max: usize::MAX,
            reset_per_mille: 0,
            reset_after_ns_max: 0,
            refuse_per_mille: 0,
            partition_per_million: 0,
            partition_ns_max: 0,
            wall_jump_per_million: 0,
            wall_jump_ns_max: 0,
            disk: DiskPlan::calm(),
        }
    }

    /// Draws which faults are on and how strong each is.
    pub fn draw(dice: &Dice) -> Self {
        let mut plan = Self::calm();
        let on = || dice.one_in(2);
        plan.step_ns_max = dice.pick(&[200, US, 5 * US, 50 * US]);
        if on() {
            plan.interleave_per_mille = POINTS.map(|_| dice.pick(&[0, 10, 100, 500]));
            plan.interleave_steps_max = dice.pick(&[1, 4, 20, 100]);
        }
        if on() {
            plan.burst_max = dice.pick(&[2, 8, 50, 400]);
        }
        plan.shuffle_tasks = on();
        if on() {
            plan.pause_per_million = dice.pick(&[50, 500, 5_000]);
            plan.pause_ns_max = dice.pick(&[50 * US, MS, 30 * MS]);
        }
        if on() {
            plan.yield_per_mille = dice.pick(&[20, 300, 1000]);
        }
        if on() {
            plan.bell_delay_per_mille = dice.pick(&[50, 500, 1000]);
            plan.bell_delay_ns_max = dice.pick(&[20 * US, 500 * US, 10 * MS]);
        }
        if on() {
            plan.timer_slack_ns = dice.pick(&[50 * US, 5 * MS]);
        }
        plan.socket_capacity = dice.pick(&[
            (64 * 1024, 64 * 1024),
            (40, 256),
            (64, 4096),
            (100, 256 * 1024),
            (1024 * 1024, 1024 * 1024),
        ]);
        plan.travel_ns = dice.pick(&[(0, 0), (US, 50 * US), (10 * US, 2 * MS), (50 * US, 50 * US)]);
        if on() {
            plan.partial_per_mille = dice.pick(&[50, 500, 1000]);
        }
        if on() {
            plan.piece_size_max = dice.pick(&[3, 16, 100, 1500]);
        }
        if dice.one_in(3) {
            plan.reset_per_mille = dice.pick(&[50, 300]);
            plan.reset_after_ns_max = dice.pick(&[2 * MS, 50 * MS]);
        }
        if dice.one_in(4) {
            plan.refuse_per_mille = 100;
        }
        if dice.one_in(4) {
            plan.partition_per_million = dice.pick(&[20, 200]);
            plan.partition_ns_max = dice.pick(&[MS, 100 * MS]);
        }
        if dice.one_in(4) {
            plan.wall_jump_per_million = 100;
            plan.wall_jump_ns_max = dice.pick(&[10 * MS, 3_600_000 * MS]);
        }
        plan.disk = DiskPlan::draw(dice);
        plan
    }
}

impl DiskPlan {
    /// Nothing goes wrong but that a power cut loses what was not synced.
    pub fn calm() -> Self {
        Self {
            sync_ns: (90 * US, 90 * US),
            access_ns: (2 * US, 2 * US),
            slow_per_mille: 0,
            error_per_mille: 0,
            keep_unsynced_per_mille: 0,
            torn_per_mille: 0,
            keep_unsynced_name_per_mille: 0,
            rot_per_million: 0,
            capacity: u64::MAX,
        }
    }

    /// Draws which faults are on.
    pub fn draw(dice: &Dice) -> Self {
        let mut plan = Self::calm();
        plan.sync_ns = dice.pick(&[(20 * US, 100 * US), (MS, 10 * MS)]);
        if dice.one_in(3) {
            plan.slow_per_mille = dice.pick(&[5, 100]);
        }
        if dice.one_in(4) {
            plan.error_per_mille = dice.pick(&[1, 20]);
        }
        plan.keep_unsynced_per_mille = dice.pick(&[0, 100, 500, 900, 1000]);
        plan.torn_per_mille = dice.pick(&[0, 50, 500]);
        plan.keep_unsynced_name_per_mille = dice.pick(&[0, 500, 1000]);
        if dice.one_in(4) {
            plan.rot_per_million = dice.pick(&[100, 10_000]);
        }
        if dice.one_in(4) {
            plan.capacity = dice.pick(&[1 << 20, 16 << 20]);
        }
        plan
    }
}
