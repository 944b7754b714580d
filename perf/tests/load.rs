//! Load: rows against a fake server in this process, and against the Go server where it is installed.
//!
//! The fake proves that the generator speaks the protocol and that a server which loses, doubles or cuts a message
//! fails its row.
#![expect(
    clippy::disallowed_methods,
    reason = "the fake server is a thread with sockets"
)]

#[cfg(test)]
mod fake;

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use fake::{Fake, Mischief};
use pinion_perf::compare::{Comparison, Missing};
use pinion_perf::failure::Failure;
use pinion_perf::figure::{Figures, LoadPoint, Quantity};
use pinion_perf::measure::Meter;
use pinion_perf::row::{self, Cores, Placement, Row, Workload};
use pinion_perf::server_process::ServerBinary;
use pinion_perf::trial::{self, Pace, Target};
use pinion_perf::workload::request::Inbox;
use pinion_perf::workload::shape::Shape;

const TINY: Pace = Pace {
    idle: Duration::from_millis(1),
    warm_up: Duration::from_millis(5),
    saturation: Duration::from_millis(30),
    paced: Duration::from_millis(30),
};

fn flow_row(shape: Shape, placement: Placement) -> Row {
    Row {
        name: "test",
        what: "",
        cores: Cores::One,
        shards: 1,
        workload: Workload::Flow {
            shape,
            payload_size: 32,
            placement,
        },
        loads: &[LoadPoint::Saturation, LoadPoint::Half, LoadPoint::Fixed(2000)],
    }
}

fn request_row(requesters: usize, inbox: Inbox, placement: Placement) -> Row {
    Row {
        name: "test",
        what: "",
        cores: Cores::Two,
        shards: 2,
        workload: Workload::Request {
            requesters,
            inbox,
            placement,
        },
        loads: &[LoadPoint::Saturation, LoadPoint::Half],
    }
}

fn run(row: &Row, fake: &Fake) -> Result<Figures, Failure> {
    let target = Target {
        address: fake.address(),
        meter: Some(Meter::new(std::process::id())),
        must_tell_shard: true,
        spin: false,
    };
    trial::run(row, target, TINY, None).map(|trial| trial.figures)
}

/// Every shape of flow gets all its messages, with a rate at saturation and latencies when paced.
#[test]
fn flows_run_against_a_right_server() {
    let shapes = [
        Shape::FanOut(1),
        Shape::FanOut(5),
        Shape::Pairs(3),
        Shape::FanIn(3),
        Shape::Nobody,
        Shape::Queue(4),
        Shape::Wildcards(40),
        Shape::Churn(40),
        Shape::Ring(6),
    ];
    for shape in shapes {
        let fake = Fake::start(Mischief::None, 1);
        let figures = run(&flow_row(shape, Placement::Any), &fake)
            .unwrap_or_else(|failure| panic!("{shape:?}: {failure}"));
        assert!(figures[&(LoadPoint::Saturation, Quantity::Rate)] > 0.0);
        assert!(figures[&(LoadPoint::Saturation, Quantity::CpuPerMessage)] > 0.0);
        for load in [LoadPoint::Half, LoadPoint::Fixed(2000)] {
            let has_latency = figures.contains_key(&(load, Quantity::P999));
            assert_eq!(has_latency, shape != Shape::Nobody, "{shape:?} {load:?}");
        }
    }
}

/// Requests are answered in all styles, from one requester and from several.
#[test]
fn requests_run_against_a_right_server() {
    for (requesters, inbox) in [(1, Inbox::Standing), (1, Inbox::PerRequest), (4, Inbox::Standing)] {
        let fake = Fake::start(Mischief::None, 2);
        let figures = run(&request_row(requesters, inbox, Placement::Across), &fake)
            .unwrap_or_else(|failure| panic!("{requesters} {inbox:?}: {failure}"));
        assert!(figures[&(LoadPoint::Saturation, Quantity::P50)] > 0.0);
        assert!(figures[&(LoadPoint::Half, Quantity::P50)] > 0.0);
    }
}

/// A message that is doubled or cut fails the row, wherever receivers share messages or not.
#[test]
fn doubled_and_cut_messages_fail_the_row() {
    for shape in [Shape::FanOut(1), Shape::Queue(3), Shape::Pairs(2)] {
        for mischief in [Mischief::Double, Mischief::Shorten] {
            let fake = Fake::start(mischief, 1);
            let failure = run(&flow_row(shape, Placement::Any), &fake).expect_err("the fake misbehaves");
            assert!(
                matches!(failure, Failure::Message(_) | Failure::Count { .. }),
                "{shape:?} {mischief:?}: {failure}"
            );
        }
    }
}

/// A lost message is seen at the next one, where order is known.
#[test]
fn lost_message_fails_the_row() {
    let fake = Fake::start(Mischief::Lose, 1);
    let failure = run(&flow_row(Shape::FanOut(1), Placement::Any), &fake).expect_err("the fake misbehaves");
    assert!(matches!(failure, Failure::Message(_)), "{failure}");
}

/// On a server with one shard a row across shards fails in place of measuring something else.
#[test]
fn placement_that_cannot_be_had_fails() {
    let fake = Fake::start(Mischief::None, 1);
    let failure =
        run(&flow_row(Shape::FanOut(1), Placement::Across), &fake).expect_err("there is one shard only");
    assert!(failure.to_string().contains("another shard"), "{failure}");
    let fake = Fake::start(Mischief::None, 3);
    run(&flow_row(Shape::FanOut(1), Placement::Across), &fake).expect("three shards in turn");
}

/// Connections come and go, and idle ones stand.
#[test]
fn standing_rows_run() {
    let fake = Fake::start(Mischief::None, 1);
    let mut row = *row::find("connect-rate").expect("a row of the table");
    let figures = run(&row, &fake).expect("the fake is right");
    assert!(figures[&(LoadPoint::Saturation, Quantity::P99)] > 0.0);
    row.workload = Workload::Idle { connections: 50 };
    let figures = run(&row, &fake).expect("the fake is right");
    assert!(figures.contains_key(&(LoadPoint::Standing, Quantity::BytesPerConnection)));
    row.workload = Workload::Quiet { connections: 5 };
    let figures = run(&row, &fake).expect("the fake is right");
    assert!(figures.contains_key(&(LoadPoint::Standing, Quantity::CpuPercent)));
}

/// The whole comparison, the Go server on both sides; without it, both sides are absent and say how to get it.
#[test]
fn comparison_runs_the_go_server_or_says_it_is_absent() {
    let found = ServerBinary::find_peer().is_ok();
    let comparison = Comparison {
        ours: ServerBinary::find_peer(),
        theirs: ServerBinary::find_peer(),
        rows: vec![row::find("1to1-16").expect("a row of the table")],
        run_count: 2,
        pace: TINY,
    };
    let mut progress = Vec::new();
    let results = comparison.run(&mut progress).expect("the harness works");
    assert_eq!(results.len(), 1);
    assert!(String::from_utf8(progress)
        .expect("text")
        .starts_with("[1/1] 1to1-16: theirs "));
    for side in [&results[0].ours, &results[0].theirs] {
        if found {
            assert_eq!(side.missing, None);
            assert_eq!(side.runs.len(), 2);
            assert!(side
                .median(LoadPoint::Saturation, Quantity::CpuPerMessage)
                .is_some());
        } else {
            assert!(matches!(&side.missing, Some(Missing::Absent(why)) if why.contains("go install")));
        }
    }
    if !found {
        writeln!(std::io::stderr(), "nats-server is not installed: ran without it").expect("stderr is open");
    }
}

/// The command tells goals and rows, and refuses wrong use with its own exit code.
#[test]
fn command_lists_and_refuses() {
    let command = env!("CARGO_BIN_EXE_pinion-perf");
    let listed = Command::new(command)
        .arg("list")
        .output()
        .expect("the command starts");
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).expect("text");
    assert_eq!(text.lines().count(), row::all().len() + 1);
    assert!(text
        .lines()
        .any(|line| line.starts_with("20x20 ") && line.contains("CPU lower by 3.5x")));
    let refused = Command::new(command)
        .args(["compare", "--rows", "nope"])
        .output()
        .expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no row is called \"nope\""));
}
