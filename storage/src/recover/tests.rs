//! What a start makes of what it finds: tears, rot, directories of others, former shards.

use std::path::Path;

use pinion_shard::io::disk::{Access, Disk, Opening, PIECE_SIZE};
use pinion_shard::io::simulated::{HostId, Plan, SimWorld};
use pinion_shard::io::Io;

use super::*;
use crate::commit_log::tests::{open, run, Story, DIR, SMALL};
use crate::commit_log::CommitLog;
use crate::format::{encode_record, seal_commit, RecordHeader, COMMIT_HEADER_SIZE};

const SALT: u64 = 77;

/// A segment of commits with one entry each; `change` alters a commit before it is sealed.
fn segment(count: u64, mut change: impl FnMut(u64, &mut CommitHeader)) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_HEADER_SIZE];
    let mut checksum = 0;
    for number in 1..=count {
        let mut commit = vec![0; COMMIT_HEADER_SIZE];
        let header = RecordHeader {
            kind: RecordKind::Entry,
            more: false,
            continues: false,
            carried: false,
            log: 1,
            index: number,
        };
        encode_record(header, b"entry", SALT, &mut commit);
        let mut header = CommitHeader::new(number, 1, checksum, number - 1);
        header.records_size = u32::try_from(commit.len() - COMMIT_HEADER_SIZE).unwrap();
        header.record_count = 1;
        commit.resize(PIECE_SIZE, 0);
        change(number, &mut header);
        checksum = seal_commit(&mut commit, header, SALT).checksum;
        bytes.extend_from_slice(&commit);
    }
    bytes.resize(bytes.len() + 4 * PIECE_SIZE, 0);
    bytes
}

use crate::format::CommitHeader;

fn judged(bytes: &[u8], next_first: Option<u64>) -> (Vec<u64>, Verdict) {
    let question = Question {
        salt: SALT,
        cursor: Cursor {
            number: 1,
            checksum: Some(0),
            epoch: 1,
        },
        next_first,
        blind_to_rot: false,
    };
    let mut indexes = Vec::new();
    let verdict = judge(bytes, question, |_, record| indexes.push(record.header.index));
    (indexes, verdict)
}

/// Where commit `number` starts in the segment.
fn at(number: usize) -> usize {
    SEGMENT_HEADER_SIZE + (number - 1) * PIECE_SIZE
}

/// A log that ends cleanly is read to its end, and nothing is reported.
#[test]
fn a_clean_end_is_no_finding() {
    let (indexes, verdict) = judged(&segment(3, |_, _| {}), None);
    assert_eq!(indexes, [1, 2, 3]);
    assert_eq!(verdict.cursor.number, 4);
    assert_eq!(verdict.end, at(4) as u64);
    assert_eq!((verdict.rot.len(), verdict.cut), (0, None));
}

/// A damaged last commit is cut, whichever part of it is damaged, and said to be possibly acknowledged.
#[test]
fn a_bad_last_commit_is_cut_and_reported() {
    for offset in [0, 20, COMMIT_HEADER_SIZE + 3, PIECE_SIZE - 1] {
        let mut bytes = segment(3, |_, _| {});
        bytes[at(3) + offset] ^= 1;
        let (indexes, verdict) = judged(&bytes, None);
        assert_eq!(indexes, [1, 2]);
        assert_eq!(verdict.rot, []);
        assert_eq!(verdict.cut.map(|cut| cut.number), Some(3), "offset {offset}");
    }
}

/// A damaged commit below a later header's durable position is rot; the others are read.
#[test]
fn damage_below_a_durable_position_is_rot() {
    for offset in [0, 20, COMMIT_HEADER_SIZE + 3, PIECE_SIZE - 1] {
        let mut bytes = segment(4, |_, _| {});
        bytes[at(2) + offset] ^= 1;
        let (indexes, verdict) = judged(&bytes, None);
        let saved = verdict.rot[0].records_saved;
        assert_eq!(indexes.len(), 3 + saved as usize);
        assert_eq!(
            (verdict.rot[0].first, verdict.rot[0].last),
            (2, 2),
            "offset {offset}"
        );
        assert_eq!(
            saved,
            u32::from(offset == PIECE_SIZE - 1),
            "only the padding is damaged"
        );
        assert_eq!(verdict.cut, None);
        assert_eq!(verdict.cursor.number, 5);
    }
}

/// Two commits in flight: the first is torn and the second whole, which knows nothing of the first. Both are cut.
#[test]
fn a_tear_before_a_whole_commit_is_cut() {
    let mut bytes = segment(4, |number, header| {
        header.durable = header.durable.min(number.saturating_sub(2))
    });
    bytes[at(3) + 100] ^= 1;
    let (indexes, verdict) = judged(&bytes, None);
    assert_eq!(indexes, [1, 2]);
    assert_eq!(verdict.rot, []);
    assert_eq!(
        verdict.cut,
        Some(Cut {
            offset: at(3) as u64,
            number: 3
        })
    );
}

/// Damage at the end of a segment is rot when there is a next one, whose header says where this one ended.
#[test]
fn a_next_segment_knows_what_was_durable() {
    let mut bytes = segment(3, |_, _| {});
    bytes[at(3) + 20] ^= 1;
    let (indexes, verdict) = judged(&bytes, Some(4));
    assert_eq!(indexes, [1, 2]);
    assert_eq!((verdict.rot[0].first, verdict.rot[0].last), (3, 3));
    assert_eq!(verdict.cursor.number, 4);
    // And what it says was cut is not read, whole or not.
    let (indexes, verdict) = judged(&segment(3, |_, _| {}), Some(3));
    assert_eq!(indexes, [1, 2]);
    assert_eq!((verdict.rot.len(), verdict.cut), (0, None));
}

/// A lower epoch, another checksum or another number than the one that must come ends the log.
#[test]
fn what_does_not_follow_ends_the_log() {
    let lower = segment(3, |number, header| header.epoch = if number == 2 { 9 } else { 1 });
    assert_eq!(judged(&lower, None).0, [1, 2]);
    let unchained = segment(3, |number, header| {
        header.previous_checksum ^= u64::from(number == 2)
    });
    assert_eq!(
        judged(&unchained, None).1.rot[0].first,
        2,
        "it was durable: reported, not cut in silence"
    );
    let unchained = segment(2, |number, header| {
        header.previous_checksum ^= u64::from(number == 2)
    });
    assert_eq!(judged(&unchained, None).0, [1]);
    let skipped = segment(2, |number, header| {
        if number == 2 {
            (header.number, header.durable) = (3, 0);
        }
    });
    assert_eq!(judged(&skipped, None).0, [1]);
}

proptest::proptest! {
    /// Whatever the bytes, reading them ends, does not panic, and nothing counts twice.
    #[test]
    fn any_damage_is_survived(damage in proptest::collection::vec((0..8 * PIECE_SIZE, 1..=255u8), 0..20), next in 0..8u64) {
        let mut bytes = segment(5, |_, _| {});
        for (offset, xor) in damage {
            let offset = offset % bytes.len();
            bytes[offset] ^= xor;
        }
        let (indexes, verdict) = judged(&bytes, Some(next).filter(|next| *next > 0));
        proptest::prop_assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]));
        proptest::prop_assert!(verdict.end <= bytes.len() as u64);
    }
}

fn world() -> (SimWorld, HostId, Io) {
    let world = SimWorld::with_plan(3, Plan::calm());
    let host = world.add_host();
    let io = world.add_shard(host);
    (world, host, io)
}

async fn disk(io: &Io) -> Disk {
    Disk::open(io, Path::new("/store")).await.unwrap()
}

async fn put(disk: &Disk, path: &Path, bytes: &[u8]) {
    let file = disk
        .open_file(path, Access::Buffered, Opening::Any)
        .await
        .unwrap();
    file.write(bytes.to_vec(), 0).await.unwrap();
    file.sync().await.unwrap();
}

/// A log of a newer version is refused, and not touched.
#[test]
fn a_newer_log_is_refused() {
    let (world, _, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = disk(&shard).await;
        disk.create_dir(Path::new(DIR)).await.unwrap();
        let mut piece = vec![0; PIECE_SIZE];
        SegmentHeader {
            segment: 1,
            salt: 1,
            epoch: 1,
            first_commit: 1,
            previous_checksum: 0,
        }
        .encode(&mut piece);
        piece[8] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64(&piece[..56]);
        piece[56..64].copy_from_slice(&checksum.to_le_bytes());
        put(&disk, &Path::new(DIR).join(segment_name(1)), &piece).await;
        let refused = CommitLog::open(&shard, &disk, Path::new(DIR), SMALL, &mut |_| {}).await;
        let said = refused.map(|_| ()).unwrap_err().to_string();
        assert!(
            said.contains("written by a newer server (format 9, this one reads up to 1)"),
            "{said}"
        );
        assert_eq!(disk.list(Path::new(DIR)).await.unwrap().len(), 1);
    });
}

/// A file that is no segment is left where it is; a damaged one that never was whole is kept as a copy.
#[test]
fn what_is_not_understood_is_kept() {
    let (world, _, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        log.close().await;
        let disk = disk(&shard).await;
        put(&disk, &Path::new(DIR).join("notes.txt"), b"mine").await;
        put(&disk, &Path::new(DIR).join(segment_name(9)), &[7; 2 * PIECE_SIZE]).await;
        let findings = open(&shard, &Story::default()).await.findings;
        assert!(
            matches!(&findings[0], Finding::Unknown(path) if path.ends_with("notes.txt")),
            "{findings:?}"
        );
        assert!(matches!(&findings[1], Finding::Quarantined(_)), "{findings:?}");
        let copy = Path::new(DIR).join("quarantine").join(segment_name(9));
        let file = disk
            .open_file(&copy, Access::Buffered, Opening::Existing)
            .await
            .unwrap();
        assert_eq!(file.read(0, 3).await.unwrap()[..], [7, 7, 7]);
        assert!(disk
            .open_file(
                &Path::new(DIR).join("notes.txt"),
                Access::Buffered,
                Opening::Existing
            )
            .await
            .is_ok());
    });
}

/// The first start writes the store's version; a newer one, and one that cannot be read, are refused.
#[test]
fn the_version_of_the_store_is_looked_at() {
    let (world, _, io) = world();
    let shard = io.clone();
    run(&world, &io, async move {
        let disk = disk(&shard).await;
        open_store_dir(&disk).await.unwrap();
        open_store_dir(&disk).await.unwrap();
        let file = disk
            .open_file(Path::new("store"), Access::Buffered, Opening::Existing)
            .await
            .unwrap();
        assert_eq!(&file.read(0, 100).await.unwrap()[..], b"pinion store 1\n");
        put(&disk, Path::new("store"), b"pinion store 2\n").await;
        assert!(matches!(
            open_store_dir(&disk).await,
            Err(StoreDirError::Newer(2))
        ));
        put(&disk, Path::new("store"), b"pinion storx 1\n").await;
        let said = open_store_dir(&disk).await.unwrap_err().to_string();
        assert!(said.contains("\"pinion storx 1\""), "{said}");
    });
}

/// The directory of a Go server is recognised, whether its own or the one around it is given, and nothing is
/// written into it.
#[test]
fn the_store_of_a_go_server_is_refused() {
    for around in ["", "jetstream"] {
        let (world, _, io) = world();
        let shard = io.clone();
        run(&world, &io, async move {
            let disk = disk(&shard).await;
            let mut dir = PathBuf::new();
            for part in [around, "$G", "streams", "ORDERS", "msgs"] {
                dir.push(part);
                if !part.is_empty() {
                    disk.create_dir(&dir).await.unwrap();
                }
            }
            put(&disk, &dir.join("1.blk"), b"block").await;
            put(&disk, &dir.parent().unwrap().join("meta.inf"), b"{}").await;
            let before = disk.list(Path::new("")).await.unwrap();
            let said = open_store_dir(&disk).await.unwrap_err().to_string();
            assert!(
                said.contains("streams of a Go nats-server") && said.contains("nats account backup"),
                "{said}"
            );
            assert_eq!(disk.list(Path::new("")).await.unwrap(), before);
        });
    }
}

/// A file of metadata is the old one or the new one after a power cut, never half of one.
#[test]
fn metadata_is_whole_or_old() {
    for seed in 0..40 {
        let mut plan = Plan::calm();
        plan.disk.keep_unsynced_per_mille = 500;
        plan.disk.torn_per_mille = 500;
        plan.disk.keep_unsynced_name_per_mille = 500;
        let world = SimWorld::with_plan(seed, plan);
        let host = world.add_host();
        let io = world.add_shard(host);
        let shard = io.clone();
        run(&world, &io, async move {
            write_metadata(
                &disk(&shard).await,
                Path::new(""),
                Path::new("meta"),
                vec![1; 9000],
            )
            .await
            .unwrap();
        });
        let shard = io.clone();
        io.spawn(
            pinion_shard::io::Queue::Hot,
            &pinion_shard::io::Gate::default(),
            async move {
                write_metadata(
                    &disk(&shard).await,
                    Path::new(""),
                    Path::new("meta"),
                    vec![2; 9000],
                )
                .await
                .unwrap();
            },
        );
        world.run_for(std::time::Duration::from_micros(10 * seed));
        world.power_cut(host);
        let io = world.add_shard(host);
        let shard = io.clone();
        let bytes = run(&world, &io, async move {
            let file = disk(&shard)
                .await
                .open_file(Path::new("meta"), Access::Buffered, Opening::Existing)
                .await
                .unwrap();
            read_all(&file).await.unwrap()
        });
        assert!(
            bytes == vec![1; 9000] || bytes == vec![2; 9000],
            "seed {seed}: {} bytes",
            bytes.len()
        );
    }
}

/// Fewer shards, then more again: every log is in one place, whole, wherever a power cut came in between.
#[test]
fn logs_of_former_shards_move() {
    for cut_after_us in [0u64, 200, 500, 900, 1500, 2500, 4000, 6000, 9000, 1_000_000] {
        let (world, host, io) = world();
        let shard = io.clone();
        run(&world, &io, async move {
            let disk = disk(&shard).await;
            for at in 0..3usize {
                let log = CommitLog::open(&shard, &disk, &shard_dir(at), SMALL, &mut |_| {})
                    .await
                    .unwrap()
                    .log;
                let id = LogId(at as u64);
                for n in 0..20 {
                    log.room(id, 2000).await.unwrap();
                    log.append(id, format!("{at}-{n:0>1990}").as_bytes()).unwrap();
                }
                log.set_state(id, 1, b"state").unwrap();
                log.checkpoint(id, 5).unwrap();
                log.close().await;
            }
        });
        let shard = io.clone();
        io.spawn(
            pinion_shard::io::Queue::Hot,
            &pinion_shard::io::Gate::default(),
            async move {
                settle_former_shards(&shard, &disk(&shard).await, 1, SMALL)
                    .await
                    .unwrap();
            },
        );
        world.run_for(std::time::Duration::from_micros(cut_after_us));
        world.power_cut(host);
        let io = world.add_shard(host);
        let shard = io.clone();
        run(&world, &io, async move {
            let disk = disk(&shard).await;
            settle_former_shards(&shard, &disk, 2, SMALL).await.unwrap();
            let mut found = Vec::new();
            for at in 0..2 {
                let mut options = SMALL;
                options.segments_max = 20;
                let log = CommitLog::open(&shard, &disk, &shard_dir(at), options, &mut |_| {})
                    .await
                    .unwrap()
                    .log;
                for id in log.logs() {
                    assert_eq!(log.range(id), Some((5, 20)), "{id:?} after {cut_after_us} us");
                    for index in 6..=20 {
                        let entry = log.read(id, index).await.unwrap().unwrap();
                        assert!(entry.starts_with(format!("{}-", id.0).as_bytes()));
                        assert!(entry.ends_with(format!("0{}", index - 1).as_bytes()));
                    }
                    found.push(id);
                }
                log.close().await;
            }
            found.sort();
            assert_eq!(found, [LogId(0), LogId(1), LogId(2)], "after {cut_after_us} us");
            let dirs = disk.list(Path::new("")).await.unwrap();
            assert!(
                !dirs.iter().any(|listed| listed.name == shard_dir(2)),
                "its files are gone"
            );
        });
    }
}
