//! The store directory: may it be written, does direct access work there, how long a commit takes, how much is free.
//!
//! Owns: the probe, which works through the seams a store works through, and what its facts mean. A commit is what
//! the commit log does: one durable write of a page onto space that was written before, after the first open that the
//! seam does on a device (otherwise glommio polls for every write, and a commit takes milliseconds of CPU).
//! Not here: the store itself, and whether it is a Go server's.
//! Units: sizes in bytes.
//!
//! A directory that is not there yet is not made: the nearest one above it is looked at. What the probe writes, it
//! removes.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::bounded;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;
use nix::sys::statfs::{statfs, TMPFS_MAGIC};
use pinion_shard::io::disk::{Access, Disk, Opening, Space, PIECE_SIZE};
use pinion_shard::io::uring::{start_shard_thread, ThreadPlan, Workers};
use pinion_shard::io::Io;

use super::Finding;

/// The file the probe writes to.
const PROBE_NAME: &str = ".pinion-preflight";
/// Bytes of it: written once before commits are measured, as a log's segments are.
const PROBE_SIZE: u64 = 1024 * 1024;
/// Commits that are measured.
const COMMITS: u64 = 64;
/// A commit that takes longer is worth a word. A local disk with a cache of its own takes 0.02 to 0.5 ms; 4 ms is
/// what polling costs, and a spinning disk.
const COMMIT_TIME_MAX: Duration = Duration::from_millis(3);
/// Less free space is worth a word.
const FREE_SIZE_MIN: u64 = 1 << 30;
/// With less a store cannot begin: its first log segments do not fit.
const FREE_SIZE_NEEDED: u64 = 128 << 20;

/// What came of trying a directory.
#[derive(Debug)]
pub struct StoreFacts {
    /// The directory that was asked for.
    pub directory: PathBuf,
    /// It is there.
    pub exists: bool,
    /// The one that was looked at: the same, or the nearest above it.
    pub looked_at: PathBuf,
    /// Its files are memory.
    pub is_memory: bool,
    /// What opening a file for direct access said.
    pub direct: io::Result<()>,
    /// What came of writing.
    pub written: io::Result<Written>,
}

/// What writing showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// What one commit in ten takes at most: the disk's time, without what other work on the cores adds.
    pub commit_time: Duration,
    /// And the longest.
    pub commit_time_max: Duration,
    /// How much room there is.
    pub space: Space,
}

/// Looks at `directory` from a thread of its own with an executor of its own, and judges what it finds.
pub fn examine_store(directory: &Path) -> Vec<Finding> {
    if directory.exists() && !directory.is_dir() {
        let found = format!("{} is no directory", directory.display());
        return vec![Finding::stop("store", found, "name another store_dir")];
    }
    let looked_at = nearest(directory);
    let (sender, receiver) = bounded(1);
    let probed = looked_at.clone();
    let workers = match Workers::start(1) {
        Ok(workers) => workers,
        Err(error) => {
            return vec![Finding::stop(
                "store",
                format!("worker threads: {error}"),
                "raise the limit of threads",
            )]
        }
    };
    let plan = ThreadPlan {
        name: "pinion-preflight".to_owned(),
        core: None,
        base: base_time(),
        workers: workers.queue(),
    };
    let started = start_shard_thread(plan, move |io| async move {
        let written = probe(&io, &probed).await;
        // Whoever asked waits for the end of this thread.
        sender.try_send(written).ok();
    });
    let ended = started.and_then(pinion_shard::io::uring::ShardThread::join);
    workers.stop();
    let written = match (receiver.try_recv(), ended) {
        (Ok(written), _) => written,
        (Err(_), Err(error)) => Err(io::Error::other(error.0)),
        (Err(_), Ok(())) => unreachable!("the probe says how it went before its thread ends"),
    };
    judge_store(&StoreFacts {
        directory: directory.to_owned(),
        exists: directory.is_dir(),
        is_memory: statfs(&looked_at).is_ok_and(|about| about.filesystem_type() == TMPFS_MAGIC),
        direct: try_direct(&looked_at),
        looked_at,
        written,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the clock of a shard's thread begins, as in boot"
)]
fn base_time() -> std::time::Instant {
    std::time::Instant::now()
}

/// `directory`, or the nearest one above it that exists.
fn nearest(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let found = absolute.ancestors().find(|path| path.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// Opens a new file for direct access, without a fallback.
fn try_direct(directory: &Path) -> io::Result<()> {
    let path = directory.join(PROBE_NAME);
    let flags = OFlag::O_CREAT | OFlag::O_RDWR | OFlag::O_DIRECT | OFlag::O_CLOEXEC;
    let opened = open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let removed = std::fs::remove_file(&path);
    drop(opened?);
    removed
}

/// Writes, measures and removes what it wrote.
///
/// # Errors
/// The directory cannot be written, or has no room.
pub async fn probe(io: &Io, directory: &Path) -> io::Result<Written> {
    let disk = Disk::open(io, directory).await?;
    let name = Path::new(PROBE_NAME);
    let times = measure(io, &disk, name).await;
    let removed = disk.remove(name).await;
    let mut times = times?;
    removed?;
    times.sort_unstable();
    Ok(Written {
        commit_time: times[times.len() / 10],
        commit_time_max: times[times.len() - 1],
        space: disk.space().await?,
    })
}

async fn measure(io: &Io, disk: &Disk, name: &Path) -> io::Result<Vec<Duration>> {
    let file = disk.open_file(name, Access::Durable, Opening::Any).await?;
    file.zero_fill(disk, PROBE_SIZE).await?;
    let mut page = disk.buffer(PIECE_SIZE);
    let mut times = Vec::new();
    for commit in 0..COMMITS {
        let began = io.now();
        let (written, back) = file.write_durable(page, commit * PIECE_SIZE as u64).await;
        written?;
        times.push(io.now().since(began));
        page = back;
    }
    file.close().await?;
    Ok(times)
}

/// What the facts mean. Pure.
pub fn judge_store(facts: &StoreFacts) -> Vec<Finding> {
    let directory = facts.directory.display();
    let looked_at = facts.looked_at.display();
    let written = match &facts.written {
        Ok(written) => written,
        Err(error) => return vec![judge_failure(facts, error)],
    };
    let found = if facts.exists {
        format!("{directory} can be written")
    } else {
        format!("{directory} is not there yet, {looked_at} can be written")
    };
    let place = if facts.is_memory {
        Finding::warn(
            "store",
            format!("{found}, but is memory: nothing survives a restart of the machine"),
            "a directory on a disk",
        )
    } else {
        Finding::fine("store", found)
    };
    vec![
        place,
        judge_direct(facts),
        judge_commit(written),
        judge_space(written.space),
    ]
}

fn judge_failure(facts: &StoreFacts, error: &io::Error) -> Finding {
    let directory = facts.directory.display();
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("give {directory} to the user the server runs as (chown), or name another store_dir")
        }
        ErrorKind::ReadOnlyFilesystem => "mount it for writing, or name another store_dir".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room, or name another store_dir".to_owned()
        }
        _ => "see to the disk, or name another store_dir".to_owned(),
    };
    Finding::stop("store", format!("{directory} cannot be used: {error}"), mend)
}

fn judge_direct(facts: &StoreFacts) -> Finding {
    match &facts.direct {
        Ok(()) => Finding::fine("direct I/O", "works"),
        Err(error) => Finding::warn(
            "direct I/O",
            format!("refused ({error}): every write goes through the page cache and costs more"),
            "a directory on ext4, xfs or btrfs",
        ),
    }
}

fn judge_commit(written: &Written) -> Finding {
    let (time, longest) = (written.commit_time, written.commit_time_max);
    let found = format!("{time:.1?}, at most {longest:.1?} of {COMMITS}");
    if time <= COMMIT_TIME_MAX {
        return Finding::fine("commit", found);
    }
    let rate = Duration::from_secs(1).as_nanos() / time.as_nanos().max(1);
    Finding::warn(
        "commit",
        format!("{found}: a publisher that waits for each ack gets {rate} messages a second"),
        "a local SSD or NVMe disk, or sync_interval for those who can lose seconds",
    )
}

fn judge_space(space: Space) -> Finding {
    let found = format!("{} MiB free of {} MiB", space.free >> 20, space.total >> 20);
    if space.free < FREE_SIZE_NEEDED {
        let needed = FREE_SIZE_NEEDED >> 20;
        Finding::stop("space", format!("{found}, {needed} MiB are needed"), "make room")
    } else if space.free < FREE_SIZE_MIN {
        Finding::warn("space", found, "make room before streams need it")
    } else {
        Finding::fine("space", found)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use pinion_shard::io::simulated::{Plan, SimWorld};
    use pinion_shard::io::{Gate, Queue};

    use super::super::Verdict;
    use super::*;

    fn simulated(change: impl FnOnce(&mut Plan)) -> io::Result<Written> {
        let mut plan = Plan::calm();
        change(&mut plan);
        let world = SimWorld::with_plan(1, plan);
        let io = world.add_shard(world.add_host());
        let result = Rc::new(RefCell::new(None));
        let (task, gate, out) = (io.clone(), Gate::default(), Rc::clone(&result));
        io.spawn(Queue::Hot, &gate, async move {
            let probed = probe(&task, Path::new("/store")).await;
            if probed.is_ok() {
                let disk = Disk::open(&task, Path::new("/store")).await;
                let disk = disk.expect("it was opened before");
                let left = disk.list(Path::new("")).await.expect("it can be listed");
                assert_eq!(left, [], "what was written is removed");
            }
            *out.borrow_mut() = Some(probed);
        });
        world
            .run_until(Duration::from_secs(60), || result.borrow().is_some())
            .expect("the probe ends");
        result.take().expect("it has ended")
    }

    fn facts(written: io::Result<Written>) -> StoreFacts {
        StoreFacts {
            directory: "/store".into(),
            exists: true,
            looked_at: "/store".into(),
            is_memory: false,
            direct: Ok(()),
            written,
        }
    }

    fn lines(facts: &StoreFacts) -> Vec<(Verdict, String)> {
        let findings = judge_store(facts);
        findings
            .iter()
            .map(|finding| (finding.verdict, finding.line()))
            .collect()
    }

    /// The probe measures what a commit takes, sees a full disk, and leaves nothing.
    #[test]
    fn probe_measures_commits() {
        let written = simulated(|plan| plan.disk.sync_ns = (250_000, 250_000)).unwrap();
        // What the tasks' own steps take comes on top.
        for time in [written.commit_time, written.commit_time_max] {
            let range = Duration::from_micros(250)..Duration::from_micros(260);
            assert!(range.contains(&time), "{time:?}");
        }
        let full = simulated(|plan| plan.disk.capacity = 64 << 10).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let broken = simulated(|plan| plan.disk.error_per_mille = 1000);
        assert!(broken.is_err());
    }

    /// A good disk has nothing to mend.
    #[test]
    fn good_store() {
        let mut facts = facts(Ok(Written {
            commit_time: Duration::from_micros(90),
            commit_time_max: Duration::from_micros(1500),
            space: Space {
                free: 10 << 30,
                total: 100 << 30,
            },
        }));
        facts.looked_at = "/".into();
        facts.exists = false;
        assert_eq!(
            lines(&facts),
            [
                (
                    Verdict::Fine,
                    "store: /store is not there yet, / can be written".to_owned()
                ),
                (Verdict::Fine, "direct I/O: works".to_owned()),
                (Verdict::Fine, "commit: 90.0µs, at most 1.5ms of 64".to_owned()),
                (Verdict::Fine, "space: 10240 MiB free of 102400 MiB".to_owned()),
            ]
        );
    }

    /// Each fault is a line with its mend.
    #[test]
    fn bad_stores() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(
            lines(&facts(Err(denied))),
            [(
                Verdict::Stop,
                "store: /store cannot be used: permission denied; give /store to the user the server runs as (chown), or name another store_dir".to_owned()
            )]
        );
        let slow = StoreFacts {
            is_memory: true,
            direct: Err(io::Error::from_raw_os_error(22)),
            ..facts(Ok(Written {
                commit_time: Duration::from_millis(4),
                commit_time_max: Duration::from_millis(9),
                space: Space {
                    free: 100 << 20,
                    total: 1 << 30,
                },
            }))
        };
        let found = lines(&slow);
        let verdicts: Vec<Verdict> = found.iter().map(|(verdict, _)| *verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Warn, Verdict::Warn, Verdict::Warn, Verdict::Stop]
        );
        for (finding, text) in found.iter().zip([
            "is memory",
            "page cache",
            "250 messages a second",
            "128 MiB are needed",
        ]) {
            assert!(finding.1.contains(text), "{}", finding.1);
        }
    }

    /// A directory that is not there is not made by looking.
    #[test]
    fn nearest_directory() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("a/b/c");
        assert_eq!(nearest(&missing), directory.path());
        assert_eq!(nearest(directory.path()), directory.path());
        assert!(!directory.path().join("a").exists());
    }
}
