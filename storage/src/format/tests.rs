//! The format cannot change by accident: its constants, its bytes, a log of version 1 that was checked in.

use std::path::Path;

use pinion_shard::io::disk::{Access, Disk, Opening};
use pinion_shard::io::simulated::{Plan, SimWorld};

use super::*;
use crate::commit_log::tests::{open, run, Story, DIR, SMALL};
use crate::commit_log::LogId;
use crate::recover::segment_name;

/// Every constant of the format. A change here is a new version.
#[test]
fn constants() {
    let kinds: Vec<_> = RecordKind::ALL
        .map(|kind| format!("{kind:?}={}", kind.code()))
        .into();
    let all = format!(
        "version {VERSION}\nsegment magic {:?} header {SEGMENT_HEADER_SIZE}\ncommit magic {:?} header {COMMIT_HEADER_SIZE}\n\
         record header {RECORD_HEADER_SIZE} alignment {RECORD_ALIGNMENT}\nkinds {}\nfile {}\nstore {}\n",
        std::str::from_utf8(&SEGMENT_MAGIC).unwrap(),
        std::str::from_utf8(&COMMIT_MAGIC).unwrap(),
        kinds.join(" "),
        segment_name(0xabc).display(),
        crate::recover::STORE_VERSION,
    );
    assert_eq!(
        all,
        "version 1\nsegment magic \"PINIONLG\" header 4096\ncommit magic \"PNCM\" header 64\n\
         record header 32 alignment 8\nkinds Entry=1 Truncate=2 Checkpoint=3 Forget=4 State=5\n\
         file 0000000000000abc.log\nstore 1\n"
    );
}

/// Headers and records come back as they were, byte for byte where the layout says.
#[test]
fn layouts() {
    let segment = SegmentHeader {
        segment: 0x0102,
        salt: 3,
        epoch: 4,
        first_commit: 5,
        previous_checksum: 6,
    };
    let mut piece = vec![0; SEGMENT_HEADER_SIZE];
    segment.encode(&mut piece);
    assert_eq!(piece[..18], *b"PINIONLG\x01\0\0\0\0\0\0\0\x02\x01");
    assert_eq!(SegmentHeader::decode(&piece), Ok(segment));

    let mut record = Vec::new();
    let header = RecordHeader {
        kind: RecordKind::State,
        more: true,
        continues: true,
        carried: true,
        log: 0x0a0b,
        index: 0x0c0d,
    };
    encode_record(header, b"payload", 9, &mut record);
    assert_eq!(record.len(), 40);
    assert_eq!(record[8..18], *b"\x07\0\0\0\x05\x07\0\0\x0b\x0a");
    assert_eq!(record[32..], *b"payload\0");
    let read = Records::new(&record, 9).next().unwrap().unwrap();
    assert_eq!((read.header, read.payload), (header, &b"payload"[..]));
    assert!(Records::new(&record, 8).next().unwrap().is_err(), "another log's");

    let mut commit = vec![0; 4096];
    let sealed = seal_commit(&mut commit, CommitHeader::new(7, 2, 1, 6), 9);
    assert_eq!(commit[..16], *b"PNCM\0\x10\0\0\x07\0\0\0\0\0\0\0");
    assert_eq!(CommitHeader::decode(&commit, 9), Some(sealed));
    assert!(sealed.body_is_whole(&commit, 9));
    assert_eq!(CommitHeader::decode(&commit, 8), None, "another log's");
}

/// No byte of a header or a record can change unseen, and none of it panics.
#[test]
fn every_damaged_byte_is_seen() {
    let mut piece = vec![0; 128];
    let header = SegmentHeader {
        segment: 1,
        salt: 2,
        epoch: 3,
        first_commit: 4,
        previous_checksum: 5,
    };
    header.encode(&mut piece);
    for at in 0..64 {
        let mut damaged = piece.clone();
        damaged[at] ^= 0x40;
        assert_eq!(
            SegmentHeader::decode(&damaged),
            Err(SegmentHeaderError::Damaged),
            "byte {at}"
        );
    }
    let mut record = Vec::new();
    let header = RecordHeader {
        kind: RecordKind::Entry,
        more: false,
        continues: false,
        carried: false,
        log: 1,
        index: 1,
    };
    encode_record(header, b"12345678", 0, &mut record);
    for at in 0..record.len() {
        let mut damaged = record.clone();
        damaged[at] ^= 0x40;
        assert!(Records::new(&damaged, 0).next().unwrap().is_err(), "byte {at}");
    }
    for size in 0..record.len() {
        assert!(
            Records::new(&record[..size], 0).all(|record| record.is_err()),
            "{size} bytes"
        );
    }
}

/// A header of a newer version is told from a damaged one.
#[test]
fn a_newer_version_is_told_from_damage() {
    let mut piece = vec![0; 128];
    SegmentHeader {
        segment: 1,
        salt: 2,
        epoch: 3,
        first_commit: 4,
        previous_checksum: 5,
    }
    .encode(&mut piece);
    piece[8] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&piece[..56]);
    piece[56..64].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&piece), Err(SegmentHeaderError::Newer(2)));
    assert_eq!(SegmentHeader::decode(&[0; 64]), Err(SegmentHeaderError::Blank));
    assert_eq!(SegmentHeader::decode(b"short"), Err(SegmentHeaderError::Blank));
}

/// A segment of version 1, as written by the first build that had it: entries of two logs, one of them in several
/// records, a superseded one, a checkpoint, a state.
const FIXTURE: &[u8] = include_bytes!("../../fixtures/log-v1/0000000000000001.log");
const FIXTURE_STORY: [&str; 8] = [
    "1:1=one",
    "2:1=other",
    "2 state 3=floor",
    "1:2=two",
    "1:3=aaaaaaaaaaaaaaaaaaaa",
    "1:2=TWO",
    "2 checkpoint 1",
    "2:2=last",
];

/// A log of version 1 is read as it was written.
#[test]
fn fixture_of_version_1_is_read() {
    let world = SimWorld::with_plan(1, Plan::calm());
    let io = world.add_shard(world.add_host());
    let shard = io.clone();
    let story = run(&world, &io, async move {
        let disk = Disk::open(&shard, Path::new("/store")).await.unwrap();
        disk.create_dir(Path::new(DIR)).await.unwrap();
        let path = Path::new(DIR).join(segment_name(1));
        let file = disk
            .open_file(&path, Access::Buffered, Opening::New)
            .await
            .unwrap();
        file.write(FIXTURE.to_vec(), 0).await.unwrap();
        file.sync().await.unwrap();
        let story = Story::default();
        let opened = open(&shard, &story).await;
        assert_eq!(opened.findings, []);
        assert_eq!(opened.missing, []);
        assert_eq!(opened.log.epoch(), 2);
        assert_eq!(opened.log.range(LogId(1)), Some((0, 2)));
        assert_eq!(opened.log.range(LogId(2)), Some((1, 2)));
        story.lines()
    });
    assert_eq!(story, FIXTURE_STORY);
}

/// The same steps give the same bytes as ever. `UPDATE_FIXTURES=1` writes the file again: for a new version only.
#[test]
fn fixture_of_version_1_is_still_written() {
    let world = SimWorld::with_plan(1, Plan::calm());
    let io = world.add_shard(world.add_host());
    let shard = io.clone();
    let bytes = run(&world, &io, async move {
        let log = open(&shard, &Story::default()).await.log;
        let (one, two) = (LogId(1), LogId(2));
        log.room(one, 5000).await.unwrap();
        log.append(one, b"one").unwrap();
        log.append(two, b"other").unwrap();
        log.durable(log.set_state(two, 3, b"floor").unwrap())
            .await
            .unwrap();
        log.append(one, b"two").unwrap();
        log.durable(log.append(one, &[b'a'; 5000]).unwrap())
            .await
            .unwrap();
        log.append_at(one, 2, b"TWO").unwrap();
        log.checkpoint(two, 1).unwrap();
        log.durable(log.append(two, b"last").unwrap()).await.unwrap();
        log.close().await;
        let disk = Disk::open(&shard, Path::new("/store")).await.unwrap();
        let path = Path::new(DIR).join(segment_name(1));
        let file = disk
            .open_file(&path, Access::Buffered, Opening::Existing)
            .await
            .unwrap();
        file.read(0, usize::try_from(SMALL.segment_size).unwrap())
            .await
            .unwrap()
            .to_vec()
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log-v1/0000000000000001.log");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(bytes == FIXTURE, "the bytes of version 1 changed");
}
