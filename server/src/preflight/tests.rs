//! Facts of many machines and what they mean.

use nix::errno::Errno;

use super::*;

fn good() -> Facts {
    Facts {
        kernel_release: "6.8.0-45-generic".to_owned(),
        io_uring: IoUring::Works { missing: Vec::new() },
        io_uring_disabled: Some(0),
        seccomp_filter: false,
        may_lock_memory: false,
        memlock: Limit {
            soft: u64::MAX,
            hard: u64::MAX,
        },
        files: Limit {
            soft: 1 << 20,
            hard: 1 << 20,
        },
        affinity: (0..8).collect(),
        online_count: 8,
        quota: None,
    }
}

fn finding(facts: &Facts, subject: &str) -> Finding {
    let report = judge(facts, &Wanted::default());
    report
        .findings
        .into_iter()
        .find(|finding| finding.subject == subject)
        .expect("every subject is judged")
}

fn placed(wanted: &Wanted, facts: &Facts) -> (usize, Option<Vec<usize>>, Verdict) {
    let (placement, finding) = place(wanted, facts);
    (placement.shards, placement.cores, finding.verdict)
}

/// A good machine: nothing to mend, one shard a core, not pinned.
#[test]
fn good_machine() {
    let report = judge(&good(), &Wanted::default());
    assert!(!report.stops_the_server());
    assert_eq!(report.warnings().count(), 0);
    assert_eq!(
        report.placement,
        Placement {
            shards: 8,
            cores: None
        }
    );
    assert_eq!(
        report.table(),
        "ok    kernel     6.8.0-45-generic\n\
         ok    io_uring   works\n\
         ok    memlock    unlimited\n\
         ok    files      1048576, 65856 are needed\n\
         ok    shards     8, not pinned (8 of 8 CPUs)\n\
         The server can run on this machine.\n"
    );
}

/// Each way in which io_uring can fail has its own words and its own mend.
#[test]
fn io_uring_refusals_are_told_apart() {
    let refused = |errno: Errno, disabled, seccomp_filter| {
        let io_uring = IoUring::Refused(errno as i32);
        let facts = Facts {
            io_uring,
            io_uring_disabled: disabled,
            seccomp_filter,
            ..good()
        };
        let report = judge(&facts, &Wanted::default());
        let stop = report.first_stop().expect("stops the server").line();
        assert_eq!(stop.lines().count(), 1);
        assert!(report.table().contains("STOP  io_uring"));
        stop
    };
    let cases = [
        (
            refused(Errno::EPERM, Some(2), false),
            "kernel.io_uring_disabled = 2",
        ),
        (refused(Errno::EPERM, Some(1), true), "kernel.io_uring_group"),
        (refused(Errno::EPERM, Some(0), true), "seccomp filter"),
        (refused(Errno::EPERM, None, true), "seccomp filter"),
        (refused(Errno::ENOSYS, Some(0), true), "seccomp filter"),
        (refused(Errno::EPERM, Some(0), false), "security module"),
        (refused(Errno::ENOSYS, None, false), "CONFIG_IO_URING"),
        (refused(Errno::ENOMEM, None, false), "ulimit -l"),
        (refused(Errno::EMFILE, None, false), "ulimit -n"),
        (refused(Errno::EINVAL, None, false), "uname -a"),
    ];
    for (line, expected) in cases {
        assert!(line.contains(expected), "{line} lacks {expected}");
    }
}

/// A kernel that has io_uring but not all of it stops the server before glommio ends the process.
#[test]
fn missing_operations_stop_the_server() {
    let facts = Facts {
        io_uring: IoUring::Works {
            missing: vec!["SEND", "RECV"],
        },
        ..good()
    };
    assert_eq!(
        finding(&facts, "io_uring").line(),
        "io_uring: the kernel lacks SEND, RECV; use Linux 5.8 or newer"
    );
    assert_eq!(
        finding(
            &Facts {
                io_uring: IoUring::NoProbe,
                ..good()
            },
            "io_uring"
        )
        .verdict,
        Verdict::Stop
    );
}

/// Versions as distributions write them.
#[test]
fn kernel_versions() {
    let cases = [
        ("5.8.0", Verdict::Fine),
        ("5.10.0-33-amd64", Verdict::Fine),
        ("6.1", Verdict::Fine),
        ("6.18.44-fc-v445", Verdict::Fine),
        ("5.7.19", Verdict::Stop),
        ("4.18.0-553.el8_10.x86_64", Verdict::Stop),
        ("3.10.0", Verdict::Stop),
        ("", Verdict::Warn),
        ("six", Verdict::Warn),
    ];
    for (release, verdict) in cases {
        let facts = Facts {
            kernel_release: release.to_owned(),
            ..good()
        };
        assert_eq!(finding(&facts, "kernel").verdict, verdict, "{release}");
    }
}

/// Locked memory: the executor's own bound stops, less than the shards register warns.
#[test]
fn locked_memory() {
    let memlock = |soft, may_lock_memory| {
        let memlock = Limit { soft, hard: soft };
        finding(
            &Facts {
                memlock,
                may_lock_memory,
                ..good()
            },
            "memlock",
        )
        .verdict
    };
    assert_eq!(memlock(64 * 1024, true), Verdict::Stop);
    assert_eq!(memlock(512 * 1024 - 1, false), Verdict::Stop);
    assert_eq!(memlock(512 * 1024, false), Verdict::Warn);
    assert_eq!(memlock(512 * 1024, true), Verdict::Fine);
    assert_eq!(memlock(8 * 3 * 10 * 1024 * 1024, false), Verdict::Fine);
    assert_eq!(memlock(u64::MAX, false), Verdict::Fine);
}

/// Open files against max_connections.
#[test]
fn open_files() {
    let files = |soft| {
        finding(
            &Facts {
                files: Limit { soft, hard: soft },
                ..good()
            },
            "files",
        )
    };
    assert_eq!(files(65536 + 64 + 8 * 32).verdict, Verdict::Fine);
    assert_eq!(files(65536 + 64 + 8 * 32 - 1).verdict, Verdict::Warn);
    assert_eq!(files(64 + 8 * 32 + 16).verdict, Verdict::Warn);
    assert_eq!(files(64 + 8 * 32 + 15).verdict, Verdict::Stop);
    assert_eq!(
        files(20000).line(),
        "files: 20000: about 19680 connections of the 65536 that max_connections allows; \
         ulimit -n 65856 (systemd: LimitNOFILE=65856), or set max_connections"
    );
}

/// The number of shards and when they are pinned.
#[test]
fn placement() {
    let auto = Wanted::default();
    let with = |shards, pin| Wanted {
        shards,
        pin,
        ..Wanted::default()
    };
    let quota = |millicpus| Some(CpuQuota { millicpus });
    let narrowed = Facts {
        affinity: vec![2, 5],
        ..good()
    };

    assert_eq!(placed(&auto, &good()), (8, None, Verdict::Fine));
    assert_eq!(
        placed(&with(None, Pin::On), &good()),
        (8, Some((0..8).collect()), Verdict::Fine)
    );
    assert_eq!(
        placed(&with(Some(3), Pin::On), &good()),
        (3, Some(vec![0, 1, 2]), Verdict::Fine)
    );
    assert_eq!(
        placed(&with(Some(3), Pin::Auto), &good()),
        (3, None, Verdict::Fine)
    );
    assert_eq!(placed(&with(Some(9), Pin::On), &good()), (9, None, Verdict::Warn));
    assert_eq!(
        placed(&with(Some(0), Pin::Auto), &good()),
        (1, None, Verdict::Fine)
    );

    // A narrowed mask is ours: each core of it has its shard.
    assert_eq!(placed(&auto, &narrowed), (2, Some(vec![2, 5]), Verdict::Fine));
    assert_eq!(placed(&with(None, Pin::Off), &narrowed), (2, None, Verdict::Fine));
    assert_eq!(
        placed(&with(Some(1), Pin::Auto), &narrowed),
        (1, None, Verdict::Fine)
    );
    assert_eq!(
        placed(&with(Some(4), Pin::Auto), &narrowed),
        (4, None, Verdict::Warn)
    );

    // A quota sets the number, never the place.
    assert_eq!(
        placed(
            &auto,
            &Facts {
                quota: quota(2500),
                ..good()
            }
        ),
        (2, None, Verdict::Fine)
    );
    assert_eq!(
        placed(
            &auto,
            &Facts {
                quota: quota(300),
                ..good()
            }
        ),
        (1, None, Verdict::Fine)
    );
    assert_eq!(
        placed(
            &auto,
            &Facts {
                quota: quota(64_000),
                ..good()
            }
        ),
        (8, None, Verdict::Fine)
    );
    assert_eq!(
        placed(
            &auto,
            &Facts {
                quota: quota(1000),
                ..narrowed.clone()
            }
        ),
        (1, None, Verdict::Fine)
    );
    assert_eq!(
        placed(
            &with(Some(4), Pin::Auto),
            &Facts {
                quota: quota(1000),
                ..good()
            }
        ),
        (4, None, Verdict::Warn)
    );

    // Large machines and unreadable ones.
    let large = Facts {
        affinity: (0..128).collect(),
        online_count: 128,
        ..good()
    };
    assert_eq!(placed(&auto, &large), (64, None, Verdict::Fine));
    assert_eq!(placed(&with(Some(65), Pin::On), &large).2, Verdict::Stop);
    assert_eq!(
        placed(
            &auto,
            &Facts {
                affinity: Vec::new(),
                ..good()
            }
        ),
        (1, None, Verdict::Fine)
    );

    // Cores by name set the place, and the number too when nothing else does.
    let listed = |cores: &[u32]| Pin::Cores(cores.to_vec());
    assert_eq!(
        placed(&with(None, listed(&[3, 1])), &good()),
        (2, Some(vec![3, 1]), Verdict::Fine)
    );
    assert_eq!(
        placed(&with(Some(2), listed(&[5, 2])), &narrowed),
        (2, Some(vec![5, 2]), Verdict::Fine)
    );
    assert_eq!(placed(&with(None, listed(&[3])), &narrowed).2, Verdict::Stop);
}

/// The options' words for the same.
#[test]
fn wanted_from_options() {
    let mut options = Options::default();
    assert_eq!(Wanted::from_options(&options), Wanted::default());
    options.cores.shards = Some(3);
    options.cores.pin = Pin::Off;
    options.limits.connections = -1;
    let wanted = Wanted::from_options(&options);
    assert_eq!(
        (wanted.shards, wanted.pin, wanted.connections_max),
        (Some(3), Pin::Off, 0)
    );
}
