//! A log in a simulated world without faults but those a test asks for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use pinion_shard::io::simulated::{HostId, Plan, SimWorld};

use super::*;
use crate::recover::{segment_name, Finding, Replay};

/// A segment holds three commits, so that a few entries meet every bound.
pub(crate) const SMALL: LogOptions = LogOptions {
    segment_size: 64 * 1024,
    segments_max: 6,
    segments_before_carrying: 3,
    commit_size_max: 16 * 1024,
    quantum_size: 2 * 1024,
    second_write_size_min: 12 * 1024,
    log_pending_size_max: 24 * 1024,
    pending_size_max: 32 * 1024,
};

pub(crate) const DIR: &str = "log";

/// Runs one future on a shard of a world, to its end.
pub(crate) fn run<T: 'static>(world: &SimWorld, io: &Io, future: impl Future<Output = T> + 'static) -> T {
    let slot = Rc::new(Cell::new(None));
    let result = Rc::clone(&slot);
    io.spawn(pinion_shard::io::Queue::Hot, &Gate::default(), async move {
        result.set(Some(future.await));
    });
    let mut value = None;
    world
        .run_until(Duration::from_secs(600), || {
            value = slot.take();
            value.is_some()
        })
        .unwrap();
    value.expect("the run ended with it")
}

/// What was replayed, in words.
#[derive(Clone, Default)]
pub(crate) struct Story(Rc<RefCell<Vec<String>>>);

impl Story {
    pub(crate) fn sink(&self) -> impl FnMut(Replay<'_>) + use<> {
        let story = Rc::clone(&self.0);
        move |replay| {
            story.borrow_mut().push(match replay {
                Replay::Entry { log, index, bytes } => {
                    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
                    format!("{}:{index}={text}", log.0)
                }
                Replay::Copy { log, index, .. } => format!("{}:{index} copy", log.0),
                Replay::Truncate { log, from } => format!("{} truncate {from}", log.0),
                Replay::Checkpoint { log, through } => format!("{} checkpoint {through}", log.0),
                Replay::Forget { log } => format!("{} forget", log.0),
                Replay::State { log, slot, bytes } => {
                    format!("{} state {slot}={}", log.0, String::from_utf8_lossy(bytes))
                }
            });
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

pub(crate) async fn open(io: &Io, story: &Story) -> Opened {
    let disk = Disk::open(io, Path::new("/store")).await.unwrap();
    CommitLog::open(io, &disk, Path::new(DIR), SMALL, &mut story.sink())
        .await
        .unwrap()
}

async fn append(log: &CommitLog, id: u64, bytes: &[u8]) -> Position {
    log.room(LogId(id), bytes.len()).await.unwrap();
    log.append(LogId(id), bytes).unwrap()
}

fn world() -> (SimWorld, HostId, Io) {
    let world = SimWorld::with_plan(1, Plan::calm());
    let host = world.add_host();
    let io = world.add_shard(host);
    (world, host, io)
}

/// What is durable is replayed after a power cut, in order; indexes go on where they were.
#[test]
fn entries_survive_a_power_cut() {
    let (world, host, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        for n in 0..10 {
            append(&log, 1 + n % 2, format!("entry {n}").as_bytes()).await;
        }
        let last = append(&log, 3, b"last").await;
        log.durable(last).await.unwrap();
        assert_eq!(log.durable_index(LogId(1)), 5);
        assert_eq!(
            log.read(LogId(2), 3).await.unwrap().as_deref(),
            Some(&b"entry 5"[..])
        );
        assert_eq!(log.read(LogId(2), 6).await.unwrap(), None);
    });
    world.power_cut(host);
    let io = world.add_shard(host);
    let shard = io.clone();
    let lines = run(&world, &io, async move {
        let story = Story::default();
        let opened = open(&shard, &story).await;
        assert_eq!(opened.findings, []);
        assert_eq!(opened.log.next_index(LogId(1)), 6);
        assert_eq!(opened.log.epoch(), 2);
        story.lines()
    });
    let of = |log: &str| -> Vec<String> {
        lines
            .iter()
            .filter(|line| line.starts_with(log))
            .cloned()
            .collect()
    };
    assert_eq!(
        of("1:"),
        [
            "1:1=entry 0",
            "1:2=entry 2",
            "1:3=entry 4",
            "1:4=entry 6",
            "1:5=entry 8"
        ]
    );
    assert_eq!(of("2:").len(), 5);
    assert_eq!(of("3:"), ["3:1=last"]);
}

/// `next_durable` tells of every entry once, in the order of each log, and ends after the last.
#[test]
fn durable_news_are_in_order() {
    let (world, _, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        for n in 1..=5u64 {
            append(&log, n, b"first").await;
            append(&log, n, b"second").await;
        }
        let closing = log.clone();
        closing.0.state.borrow_mut().is_closing = true;
        let mut seen = BTreeMap::new();
        while let Ok(news) = log.next_durable().await {
            for durable in news {
                let before = seen.insert(durable.log, durable.index).unwrap_or(0);
                assert!(before < durable.index);
            }
        }
        assert_eq!(seen, (1..=5).map(|n| (LogId(n), 2)).collect());
    });
}

/// An entry longer than a record, and longer than a segment, comes back whole; one that is too long is refused.
#[test]
fn long_entries_come_back_whole() {
    let (world, host, io) = world();
    let long: Vec<u8> = (0..30_000u32)
        .flat_map(|n| n.to_le_bytes())
        .take(100_001)
        .collect();
    let (shard, written) = (io.clone(), long.clone());
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        append(&log, 1, b"before").await;
        let position = append(&log, 1, &written).await;
        append(&log, 1, b"after").await;
        log.durable(position).await.unwrap();
        assert_eq!(
            log.read(LogId(1), 2).await.unwrap().as_deref(),
            Some(&written[..])
        );
        let refused = log.room(LogId(1), limits::ENTRY_SIZE_MAX + 1).await;
        assert!(matches!(refused, Err(AppendError::TooLarge)));
        let refused = log.append(LogId(1), &[0; 6 * 64 * 1024]);
        assert!(matches!(refused, Err(AppendError::TooLarge)));
        log.close().await;
    });
    world.power_cut(host);
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let found = Rc::new(RefCell::new(Vec::new()));
        let sizes = Rc::clone(&found);
        let disk = Disk::open(&shard, Path::new("/store")).await.unwrap();
        CommitLog::open(&shard, &disk, Path::new(DIR), SMALL, &mut |replay| {
            if let Replay::Entry { bytes, .. } = replay {
                sizes.borrow_mut().push(bytes.to_vec());
            }
        })
        .await
        .unwrap();
        assert_eq!(*found.borrow(), [b"before".to_vec(), long, b"after".to_vec()]);
    });
}

/// An earlier index supersedes what stood there and behind; a truncation and a forgotten log leave nothing.
#[test]
fn later_records_supersede() {
    let (world, host, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        for text in ["a", "b", "c", "d"] {
            append(&log, 1, text.as_bytes()).await;
        }
        log.append_at(LogId(1), 2, b"B").unwrap();
        assert_eq!(log.next_index(LogId(1)), 3);
        append(&log, 2, b"x").await;
        append(&log, 2, b"y").await;
        log.truncate(LogId(2), 2).unwrap();
        append(&log, 3, b"gone").await;
        log.set_state(LogId(3), 1, b"gone").unwrap();
        log.forget(LogId(3)).unwrap();
        log.set_state(LogId(4), 7, b"old").unwrap();
        let last = log.set_state(LogId(4), 7, b"new").unwrap();
        log.durable(last).await.unwrap();
        assert_eq!(log.range(LogId(1)), Some((0, 2)));
        assert_eq!(log.read(LogId(1), 2).await.unwrap().as_deref(), Some(&b"B"[..]));
        assert_eq!(log.range(LogId(2)), Some((0, 1)));
        assert_eq!(log.range(LogId(3)), None);
        log.close().await;
    });
    world.power_cut(host);
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        assert_eq!(log.range(LogId(1)), Some((0, 2)));
        assert_eq!(log.range(LogId(2)), Some((0, 1)));
        assert_eq!(log.range(LogId(3)), None);
        assert_eq!(log.0.state.borrow().places.states(LogId(4)).len(), 1);
    });
}

/// Checkpointed segments are used again; a log that has no checkpoint keeps its segment and then holds appends back;
/// small state and checkpoints survive the recycling of their segment.
#[test]
fn segments_are_recycled_and_state_is_carried() {
    let (world, host, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        log.set_state(LogId(9), 1, b"vote").unwrap();
        append(&log, 8, b"idle").await;
        let idle = log.checkpoint(LogId(8), 1).unwrap();
        log.durable(idle).await.unwrap();
        for n in 0..200u64 {
            let position = append(&log, 1, &[b'x'; 4000]).await;
            log.durable(position).await.unwrap();
            if n % 5 == 0 {
                log.checkpoint(LogId(1), position.index).unwrap();
            }
        }
        let counts = log.counts();
        assert!(counts.segments_recycled > 5, "{counts:?}");
        assert!(log.pressure().segments <= SMALL.segments_max);
        log.close().await;
    });
    assert!(world.hits()["state_carried"] > 0);
    assert!(world.hits()["checkpoint_carried"] > 0);
    world.power_cut(host);
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let story = Story::default();
        let log = open(&shard, &story).await.log;
        assert_eq!(log.next_index(LogId(1)), 201);
        assert_eq!(log.next_index(LogId(8)), 2, "the index of an idle log goes on");
        assert!(story.lines().contains(&"9 state 1=vote".to_owned()));
        // Now a log that is never checkpointed: appends end with "no room", and a checkpoint helps.
        let blocked = loop {
            if log.append(LogId(5), &[b'y'; 3000]).is_err() {
                shard.sleep(Duration::from_millis(50)).await;
                if log.append(LogId(5), &[b'y'; 3000]).is_err() {
                    break log.pressure();
                }
            }
            shard.sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(blocked.segments, SMALL.segments_max);
        assert!(!blocked.oldest.is_empty(), "{blocked:?}");
        for _ in 0..3 {
            for (id, index) in log.pressure().oldest {
                log.durable(log.checkpoint(id, index).unwrap()).await.unwrap();
            }
            shard.sleep(Duration::from_millis(50)).await;
        }
        log.room(LogId(5), 3000).await.unwrap();
    });
    assert!(world.hits()["segments_max"] > 0);
}

/// A write that fails is never acknowledged, and nothing is after it.
#[test]
fn a_failed_write_stops_the_log() {
    let mut plan = Plan::calm();
    plan.disk.error_per_mille = 30;
    let world = SimWorld::with_plan(5, plan);
    let host = world.add_host();
    let io = world.add_shard(host);
    let shard = io.clone();
    let stopped = run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/store")).await.unwrap();
        let log = loop {
            let opened = CommitLog::open(&shard, &disk, Path::new(DIR), SMALL, &mut |_| {}).await;
            if let Ok(opened) = opened {
                break opened.log;
            }
        };
        loop {
            if log.room(LogId(1), 100).await.is_err() {
                break;
            }
            let position = log.append(LogId(1), &[0; 100]).unwrap();
            if log.durable(position).await.is_err() {
                break;
            }
        }
        assert!(matches!(
            log.append(LogId(1), b"more"),
            Err(AppendError::Stopped(_))
        ));
        log.next_durable().await.ok();
        log.stopped()
    });
    let stopped = stopped.expect("it is");
    assert!(stopped.reason.contains("/store/log/"), "{stopped}");
}

/// A full disk refuses appends, harms nothing, and lets them through again when there is space.
#[test]
fn a_full_disk_refuses_and_resumes() {
    let mut plan = Plan::calm();
    plan.disk.capacity = 3 * SMALL.segment_size;
    let world = SimWorld::with_plan(1, plan);
    let host = world.add_host();
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        let mut last = None;
        let refused = loop {
            match log.room(LogId(1), 3000).await {
                Ok(()) => last = Some(log.append(LogId(1), &[b'z'; 3000]).unwrap()),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::NoSpace), "{refused}");
        let last = last.expect("some fitted");
        log.durable(last).await.unwrap();
        assert!(log.stopped().is_none());
        // Space comes from a checkpoint here; from a removed file it would be the same.
        log.durable(log.checkpoint(LogId(1), last.index).unwrap())
            .await
            .unwrap();
        shard.sleep(Duration::from_secs(2)).await;
        log.room(LogId(1), 3000).await.unwrap();
        let position = log.append(LogId(1), &[b'z'; 3000]).unwrap();
        log.durable(position).await.unwrap();
    });
    assert!(world.hits()["disk_full_met"] > 0);
}

/// Damage to what a later commit knows durable is reported, and the rest is read.
#[test]
fn rot_is_reported_and_the_rest_is_read() {
    let (world, host, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        for n in 1..=4u64 {
            let position = append(&log, 1, format!("entry {n}").as_bytes()).await;
            log.durable(position).await.unwrap();
        }
        log.close().await;
    });
    world.power_cut(host);
    let path = Path::new(DIR).join(segment_name(1));
    // The second entry's commit: its payload.
    let offset = SEGMENT_HEADER_SIZE + PIECE_SIZE + crate::format::COMMIT_HEADER_SIZE + 34;
    assert!(world.rot(host, &path, offset));
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let story = Story::default();
        let opened = open(&shard, &story).await;
        assert_eq!(story.lines(), ["1:1=entry 1", "1:3=entry 3", "1:4=entry 4"]);
        assert_eq!(opened.missing.len(), 1);
        assert_eq!((opened.missing[0].first, opened.missing[0].count), (2, 1));
        let [Finding::Rot(_, rot), Finding::Quarantined(copy)] = &opened.findings[..] else {
            panic!("{:?}", opened.findings)
        };
        assert_eq!((rot.first, rot.last), (2, 2));
        assert!(copy.starts_with("log/quarantine"));
        assert_eq!(opened.log.next_index(LogId(1)), 5);
    });
}
