//! How fast this disk lets the commit log be: raw durable writes, then appends from one and many publishers.
//!
//! Run with `cargo run --release -p pinion-storage --example log_speed -- DIRECTORY`; the rows go to docs/benchmarks.md.
#![expect(clippy::print_stdout, reason = "the result is for who started it")]
#![expect(clippy::disallowed_methods, reason = "a measurement asks the clock")]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pinion_shard::io::disk::{Access, Disk, Opening, PIECE_SIZE};
use pinion_shard::io::{uring, Gate, Io, Queue};
use pinion_storage::commit_log::{CommitLog, LogId, LogOptions};

/// How long each row runs.
const ROW: Duration = Duration::from_secs(3);

fn percentile(times: &mut [u64], per_mille: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |ns| *ns as f64 / 1000.0)
}

/// One durable write after the other into zeroed space, around the log.
async fn raw(io: &Io, disk: &Disk, size: usize) -> Result<(), Box<dyn Error>> {
    let path = Path::new("raw");
    let file = disk.open_file(path, Access::Durable, Opening::New).await?;
    let space = 64 << 20;
    file.zero_fill(disk, space).await?;
    let mut buffer = disk.buffer(size);
    let mut times = Vec::new();
    let (began, mut offset) = (io.now(), 0);
    while io.now().since(began) < ROW {
        let start = io.now();
        let (written, back) = file.write_durable(buffer, offset).await;
        written?;
        buffer = back;
        times.push(u64::try_from(io.now().since(start).as_nanos())?);
        offset = (offset + size as u64) % space;
    }
    let (count, p50, p99) = (
        times.len(),
        percentile(&mut times, 500),
        percentile(&mut times, 990),
    );
    let mib = (count * size) as f64 / ROW.as_secs_f64() / f64::from(1 << 20);
    println!(
        "| raw O_DSYNC write of {size} B | | {:.0} | {p50:.0} | {p99:.0} | {mib:.0} | |",
        count as f64 / ROW.as_secs_f64()
    );
    file.close().await?;
    Ok(disk.remove(path).await?)
}

/// `publishers` tasks over `logs` logs, each with `window` entries that are not durable at most.
async fn row(io: &Io, log: &CommitLog, publishers: u64, window: usize, logs: u64, size: usize) {
    let times = Rc::new(RefCell::new(Vec::new()));
    let running = Rc::new(Cell::new(publishers));
    let gate = Gate::default();
    let (before, began) = (log.counts(), io.now());
    for publisher in 0..publishers {
        let (io, log, times, running) = (io.clone(), log.clone(), Rc::clone(&times), Rc::clone(&running));
        io.clone().spawn(Queue::Hot, &gate, async move {
            let bytes = vec![7; size];
            let mut waiting = std::collections::VecDeque::new();
            let mut turn = publisher;
            while io.now().since(began) < ROW {
                while waiting.len() < window {
                    let id = LogId(1 + turn % logs);
                    turn += publishers;
                    log.room(id, size).await.expect("the disk has space");
                    let position = log.append(id, &bytes).expect("there is room");
                    waiting.push_back((io.now(), position));
                }
                let (start, position) = waiting.pop_front().expect("the window is open");
                log.durable(position).await.expect("the disk works");
                times
                    .borrow_mut()
                    .push(u64::try_from(io.now().since(start).as_nanos()).expect("short"));
            }
            running.set(running.get() - 1);
        });
    }
    // What a store does once it has split its entries: let go of the oldest segment.
    while running.get() > 0 {
        io.sleep(Duration::from_millis(5)).await;
        for (id, through) in log.pressure().oldest {
            log.checkpoint(id, through).expect("the log runs");
        }
    }
    gate.wait_empty().await;
    let after = log.counts();
    let times = &mut times.borrow_mut();
    let commits = (after.commits - before.commits).max(1);
    let seconds = io.now().since(began).as_secs_f64();
    println!(
        "| {publishers} publisher(s), window {window}, {logs} log(s), {size} B | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
        times.len() as f64 / seconds,
        commits as f64 / seconds,
        percentile(times, 500),
        percentile(times, 990),
        (after.commit_bytes - before.commit_bytes) as f64 / seconds / f64::from(1 << 20),
        (after.write_ns - before.write_ns) as f64 / commits as f64 / 1000.0,
    );
}

async fn run(io: Io, at: PathBuf) -> Result<(), Box<dyn Error>> {
    let disk = Disk::open(&io, &at).await?;
    println!("| row | appends/s | writes/s | p50 us | p99 us | MiB/s | mean commit us |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for size in [PIECE_SIZE, 64 * 1024, 1024 * 1024] {
        raw(&io, &disk, size).await?;
    }
    let log = CommitLog::open(&io, &disk, Path::new("log"), LogOptions::default(), &mut |_| {})
        .await?
        .log;
    for (publishers, window, logs, size) in [
        (1, 1, 1, 128),
        (20, 1, 20, 128),
        (1, 256, 1, 128),
        (20, 256, 20, 128),
        (20, 256, 1000, 128),
        (20, 1, 20, 16 * 1024),
        (20, 16, 20, 16 * 1024),
    ] {
        row(&io, &log, publishers, window, logs, size).await;
    }
    log.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let at = PathBuf::from(
        std::env::args()
            .nth(1)
            .ok_or("usage: log_speed DIRECTORY, which is made and left")?,
    );
    let workers = uring::Workers::start(1)?;
    let plan = uring::ThreadPlan {
        name: "log".to_owned(),
        core: None,
        base: Instant::now(),
        workers: workers.queue(),
    };
    let thread = uring::start_shard_thread(plan, move |io| async move {
        if let Err(error) = run(io, at).await {
            println!("{error}");
        }
    });
    thread
        .and_then(uring::ShardThread::join)
        .map_err(|error| error.0.into())
}
