//! One set of expectations for both disks, and what only a simulated one can show: what a power cut leaves.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::io::simulated::{Plan, SimWorld};
use crate::io::{Gate, Queue};

fn pieces(disk: &Disk, bytes: &[u8], count: usize) -> DiskBuffer {
    let mut buffer = disk.buffer(count * PIECE_SIZE);
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer
}

/// What every disk does.
async fn conform(disk: Disk) -> io::Result<()> {
    let dir = Path::new("log");
    disk.create_dir(dir).await?;
    disk.create_dir(dir).await?;
    let segment = dir.join("segment");

    // Opening.
    let missing = disk.open_file(&segment, Access::Durable, Opening::Existing).await;
    let error = missing.err().expect("there is no such file");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("log/segment"), "{error}");
    let file = disk.open_file(&segment, Access::Durable, Opening::New).await?;
    let again = disk.open_file(&segment, Access::Durable, Opening::New).await;
    assert_eq!(
        again.err().map(|error| error.kind()),
        Some(io::ErrorKind::AlreadyExists)
    );
    assert!(file.path().ends_with("log/segment"));
    assert_eq!(file.size()?, 0);

    // Durable writes in pieces, into filled space and behind it; the buffer comes back.
    file.zero_fill(&disk, 8 * PIECE_SIZE as u64).await?;
    assert_eq!(file.size()?, 8 * PIECE_SIZE as u64);
    let (written, mut buffer) = file
        .write_durable(pieces(&disk, b"one", 2), PIECE_SIZE as u64)
        .await;
    written?;
    buffer[..3].copy_from_slice(b"two");
    let (written, _) = file.write_durable(buffer, 8 * PIECE_SIZE as u64).await;
    written?;
    assert_eq!(file.size()?, 10 * PIECE_SIZE as u64);
    let bytes = file.read(0, 4 * PIECE_SIZE).await?;
    assert_eq!(bytes.len(), 4 * PIECE_SIZE);
    assert_eq!(bytes[..PIECE_SIZE], [0; PIECE_SIZE]);
    assert_eq!(&bytes[PIECE_SIZE..PIECE_SIZE + 4], b"one\0");
    assert!(bytes[PIECE_SIZE + 4..].iter().all(|byte| *byte == 0));
    let bytes = file.read(8 * PIECE_SIZE as u64, 16 * PIECE_SIZE).await?;
    assert_eq!(bytes.len(), 2 * PIECE_SIZE, "less only at the end of the file");
    assert_eq!(&bytes[..4], b"two\0");
    assert_eq!(file.read(64 * PIECE_SIZE as u64, PIECE_SIZE).await?.len(), 0);
    file.close().await?;

    // Plain writes at any offset.
    let plain = disk
        .open_file(Path::new("meta.new"), Access::Buffered, Opening::Any)
        .await?;
    plain.write(b"0123456789".to_vec(), 0).await?;
    plain.write(b"abc".to_vec(), 12).await?;
    plain.sync().await?;
    assert_eq!(plain.size()?, 15);
    assert_eq!(&plain.read(8, 100).await?[..], b"89\0\0abc");
    plain.truncate(5).await?;
    assert_eq!(&plain.read(0, 100).await?[..], b"01234");
    plain.truncate(7).await?;
    assert_eq!(&plain.read(0, 100).await?[..], b"01234\0\0");
    plain.allocate(6).await?;
    assert_eq!(plain.size()?, 7, "allocate never cuts");
    plain.allocate(9).await?;
    assert_eq!(plain.size()?, 9);

    // Names.
    let root = Path::new("");
    disk.open_file(Path::new("meta"), Access::Buffered, Opening::New)
        .await?
        .close()
        .await?;
    disk.rename(Path::new("meta.new"), Path::new("meta")).await?;
    disk.sync_dir(root).await?;
    assert_eq!(plain.size()?, 9, "an open file does not care for its name");
    plain.close().await?;
    let names = |listed: Vec<Listed>| -> Vec<(PathBuf, bool, u64)> {
        listed
            .into_iter()
            .map(|it| (it.name, it.is_dir, it.size))
            .collect()
    };
    assert_eq!(
        names(disk.list(root).await?),
        [("log".into(), true, 0), ("meta".into(), false, 9)]
    );
    let refused = disk.remove_dir(dir).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
    disk.remove(&segment).await?;
    assert_eq!(
        disk.remove(&segment).await.unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    disk.remove_dir(dir).await?;
    assert_eq!(disk.list(dir).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    let lost = disk
        .open_file(&segment, Access::Buffered, Opening::New)
        .await
        .err();
    assert_eq!(lost.map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    let space = disk.space().await?;
    assert!(space.free > 0);
    assert!(space.free <= space.total);
    Ok(())
}

/// Runs one future on a shard of a world, to its end.
fn run<T: 'static>(world: &SimWorld, io: &Io, future: impl Future<Output = T> + 'static) -> T {
    let slot = Rc::new(Cell::new(None));
    let result = Rc::clone(&slot);
    io.spawn(Queue::Hot, &Gate::default(), async move {
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

/// The simulated disk does what every disk does, in whatever world without a disk fault.
#[test]
fn simulated_disk_conforms() {
    for seed in 0..20 {
        let mut plan = SimWorld::new(seed).plan().clone();
        plan.disk = simulated::DiskPlan::calm();
        plan.disk.capacity = 64 << 20;
        let world = SimWorld::with_plan(seed, plan);
        let io = world.add_shard(world.add_host());
        let shard = io.clone();
        run(&world, &io, async move {
            conform(Disk::open(&shard, Path::new("/store")).await?).await
        })
        .unwrap();
    }
}

/// The system's disk does what every disk does.
#[test]
fn system_disk_conforms() {
    let root = std::env::temp_dir().join(format!("pinion-disk-{}", std::process::id()));
    let workers = uring::Workers::start(1).expect("the system has a thread");
    let plan = uring::ThreadPlan {
        name: "disk-test".to_owned(),
        core: None,
        base: test_base(),
        workers: workers.queue(),
    };
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let at = root.clone();
    let started = uring::start_shard_thread(plan, move |io| async move {
        let conformed = match Disk::open(&io, &at.join("store")).await {
            Ok(disk) => conform(disk).await,
            Err(error) => Err(error),
        };
        sender.send(conformed).expect("the test waits for it");
    });
    let joined = started.and_then(uring::ShardThread::join);
    if let Err(error) = joined {
        println!(
            "io_uring is not permitted here, the system's disk was not tested: {}",
            error.0
        );
        return;
    }
    receiver.recv().unwrap().unwrap();
    std::fs::remove_dir_all(root).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the start of a real shard's clock")]
fn test_base() -> std::time::Instant {
    std::time::Instant::now()
}

fn cut_and_reopen(world: &SimWorld, host: simulated::HostId) -> Io {
    world.power_cut(host);
    world.add_shard(host)
}

/// A world whose power cuts lose everything that was not synced.
fn forgetful(seed: u64) -> SimWorld {
    SimWorld::with_plan(seed, Plan::calm())
}

/// What returned from a durable write is there after a power cut; what was only written is not.
#[test]
fn power_cut_keeps_what_was_durable() {
    let world = forgetful(1);
    let host = world.add_host();
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
        let durable = disk
            .open_file(Path::new("log"), Access::Durable, Opening::New)
            .await
            .unwrap();
        durable
            .write_durable(pieces(&disk, b"kept", 1), 0)
            .await
            .0
            .unwrap();
        let plain = disk
            .open_file(Path::new("plain"), Access::Buffered, Opening::New)
            .await
            .unwrap();
        plain.write(b"synced".to_vec(), 0).await.unwrap();
        plain.sync().await.unwrap();
        disk.sync_dir(Path::new("")).await.unwrap();
        plain.write(b"forgot".to_vec(), 0).await.unwrap();
        let unnamed = disk
            .open_file(Path::new("unnamed"), Access::Durable, Opening::New)
            .await
            .unwrap();
        unnamed.write_durable(pieces(&disk, b"x", 1), 0).await.0.unwrap();
    });
    let io = cut_and_reopen(&world, host);
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
        let names: Vec<_> = disk.list(Path::new("")).await.unwrap();
        let names: Vec<_> = names.iter().map(|it| it.name.to_str().unwrap()).collect();
        assert_eq!(names, ["log", "plain"], "a create that was not synced is lost");
        let log = disk
            .open_file(Path::new("log"), Access::Durable, Opening::Existing)
            .await
            .unwrap();
        assert_eq!(&log.read(0, PIECE_SIZE).await.unwrap()[..5], b"kept\0");
        let plain = disk
            .open_file(Path::new("plain"), Access::Buffered, Opening::Existing)
            .await
            .unwrap();
        assert_eq!(&plain.read(0, 10).await.unwrap()[..], b"synced");
    });
    assert!(world.hits()["disk_unsynced_lost"] > 0);
}

/// A kill without a power cut loses nothing that was written.
#[test]
fn kill_keeps_what_was_written() {
    let world = forgetful(1);
    let host = world.add_host();
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
        let plain = disk
            .open_file(Path::new("plain"), Access::Buffered, Opening::New)
            .await
            .unwrap();
        plain.write(b"here".to_vec(), 0).await.unwrap();
    });
    world.kill(host);
    let io = world.add_shard(host);
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
        let plain = disk
            .open_file(Path::new("plain"), Access::Buffered, Opening::Existing)
            .await
            .unwrap();
        assert_eq!(&plain.read(0, 10).await.unwrap()[..], b"here");
    });
}

/// A durable write that a power cut interrupts leaves any mix of old and new: lost, whole, reordered (a
/// later piece without an earlier one) and torn in a piece all happen within some seeds.
#[test]
fn interrupted_write_leaves_anything() {
    let (mut whole, mut lost, mut reordered, mut torn) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut plan = Plan::calm();
        plan.disk.keep_unsynced_per_mille = 500;
        plan.disk.torn_per_mille = 300;
        let world = SimWorld::with_plan(seed, plan);
        let host = world.add_host();
        let io = world.add_shard(host);
        let shard = io.clone();
        let started = Rc::new(Cell::new(false));
        let flag = Rc::clone(&started);
        io.spawn(Queue::Hot, &Gate::default(), async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            let file = disk
                .open_file(Path::new("log"), Access::Durable, Opening::New)
                .await
                .unwrap();
            file.zero_fill(&disk, 3 * PIECE_SIZE as u64).await.unwrap();
            disk.sync_dir(Path::new("")).await.unwrap();
            let mut buffer = disk.buffer(3 * PIECE_SIZE);
            buffer.fill(b'n');
            flag.set(true);
            file.write_durable(buffer, 0).await.0.unwrap();
            unreachable!("the power goes while the write is under way");
        });
        let now = Rc::clone(&started);
        world.run_until(Duration::from_secs(1), || now.get()).unwrap();
        let io = cut_and_reopen(&world, host);
        let shard = io.clone();
        let bytes = run(&world, &io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            let file = disk
                .open_file(Path::new("log"), Access::Durable, Opening::Existing)
                .await
                .unwrap();
            file.read(0, 3 * PIECE_SIZE).await.unwrap().to_vec()
        });
        let kinds: Vec<_> = bytes
            .chunks(PIECE_SIZE)
            .map(|piece| {
                let new = piece.iter().filter(|byte| **byte == b'n').count();
                assert_eq!(new % 512, 0, "a sector is whole");
                match new {
                    0 => 'o',
                    PIECE_SIZE => 'n',
                    _ => 't',
                }
            })
            .collect();
        torn += usize::from(kinds.contains(&'t'));
        whole += usize::from(kinds == ['n', 'n', 'n']);
        lost += usize::from(kinds == ['o', 'o', 'o']);
        reordered += usize::from(kinds[0] == 'o' && kinds[2] == 'n');
    }
    assert!(
        whole > 0 && lost > 0 && reordered > 0 && torn > 0,
        "whole {whole}, lost {lost}, reordered {reordered}, torn {torn}"
    );
}

/// After a failed sync nothing before it is promised, even when the next one succeeds.
#[test]
fn failed_sync_forgets() {
    let mut plan = Plan::calm();
    plan.disk.error_per_mille = 300;
    let mut forgot = 0;
    for seed in 0..200 {
        let world = SimWorld::with_plan(seed, plan.clone());
        let host = world.add_host();
        let io = world.add_shard(host);
        let shard = io.clone();
        let failed_once = run(&world, &io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await?;
            let file = disk
                .open_file(Path::new("plain"), Access::Buffered, Opening::New)
                .await?;
            disk.sync_dir(Path::new("")).await?;
            file.write(b"data".to_vec(), 0).await?;
            let failed = file.sync().await.is_err();
            file.sync().await?;
            io::Result::Ok(failed)
        });
        let Ok(failed_once) = failed_once else {
            continue;
        };
        let io = cut_and_reopen(&world, host);
        world.calm_down();
        let shard = io.clone();
        let bytes = run(&world, &io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            let file = disk
                .open_file(Path::new("plain"), Access::Buffered, Opening::Existing)
                .await
                .unwrap();
            file.read(0, 100).await.unwrap().to_vec()
        });
        if failed_once {
            assert_ne!(bytes, b"data");
            forgot += 1;
        } else {
            assert_eq!(bytes, b"data");
        }
    }
    assert!(forgot > 0, "no seed of 200 had a failed sync");
}

/// A full disk refuses what does not fit, keeps what was there, and takes more once there is room.
#[test]
fn full_disk_refuses_and_recovers() {
    let mut plan = Plan::calm();
    plan.disk.capacity = 4 * PIECE_SIZE as u64;
    let world = SimWorld::with_plan(1, plan);
    let io = world.add_shard(world.add_host());
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
        let file = disk
            .open_file(Path::new("log"), Access::Durable, Opening::New)
            .await
            .unwrap();
        file.write_durable(pieces(&disk, b"kept", 3), 0).await.0.unwrap();
        let (refused, _) = file
            .write_durable(pieces(&disk, b"more", 2), 3 * PIECE_SIZE as u64)
            .await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.space().await.unwrap().free, PIECE_SIZE as u64);
        assert_eq!(&file.read(0, PIECE_SIZE).await.unwrap()[..4], b"kept");
        file.truncate(PIECE_SIZE as u64).await.unwrap();
        file.write_durable(pieces(&disk, b"more", 2), PIECE_SIZE as u64)
            .await
            .0
            .unwrap();
    });
    assert_eq!(world.hits()["disk_full"], 1);
}

/// Rot changes one bit of what was synced, for reads now and after a power cut.
#[test]
fn rot_flips_a_bit() {
    let world = forgetful(3);
    let host = world.add_host();
    let io = world.add_shard(host);
    let read = |io: &Io| {
        let shard = io.clone();
        run(&world, io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            let file = disk
                .open_file(Path::new("log"), Access::Durable, Opening::Any)
                .await
                .unwrap();
            if file.size().unwrap() == 0 {
                file.write_durable(disk.buffer(PIECE_SIZE), 0).await.0.unwrap();
                disk.sync_dir(Path::new("")).await.unwrap();
            }
            file.read(0, PIECE_SIZE).await.unwrap().to_vec()
        })
    };
    assert_eq!(read(&io), [0; PIECE_SIZE]);
    assert!(world.rot(host, Path::new("log"), 77));
    assert!(!world.rot(host, Path::new("log"), PIECE_SIZE));
    let rotten = read(&io);
    assert_eq!(rotten.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert_ne!(rotten[77], 0);
    let io = cut_and_reopen(&world, host);
    assert_eq!(read(&io), rotten);
}

/// Of renames that were not synced, a power cut leaves the old name or the new one, never both or neither.
#[test]
fn unsynced_rename_is_old_or_new() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..50 {
        let mut plan = Plan::calm();
        plan.disk.keep_unsynced_name_per_mille = 500;
        let world = SimWorld::with_plan(seed, plan);
        let host = world.add_host();
        let io = world.add_shard(host);
        let shard = io.clone();
        run(&world, &io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            let (old, new) = (Path::new("old"), Path::new("new"));
            let file = disk.open_file(old, Access::Durable, Opening::New).await.unwrap();
            file.write_durable(pieces(&disk, b"content", 1), 0)
                .await
                .0
                .unwrap();
            disk.sync_dir(Path::new("")).await.unwrap();
            disk.rename(old, new).await.unwrap();
        });
        let io = cut_and_reopen(&world, host);
        let shard = io.clone();
        let listed = run(&world, &io, async move {
            let disk = Disk::open(&shard, Path::new("/")).await.unwrap();
            disk.list(Path::new("")).await.unwrap()
        });
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].size, PIECE_SIZE as u64);
        match listed[0].name.to_str() {
            Some("old") => old += 1,
            Some("new") => new += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(old > 0 && new > 0, "old {old}, new {new}");
}
