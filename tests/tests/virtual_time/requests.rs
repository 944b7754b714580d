//! A request whose responders leave while it is on its way: somebody takes it or its requester is told, never both.
//!
//! Every moment of leaving is tried, a step of virtual time apart, so that the one between the pick of a shard and the
//! delivery there is among them.

use std::time::Duration;

use pinion_shard::io::simulated::Plan;

use super::{ms, Stage};

/// Between two moments that are tried; a step of a task takes up to 1 us.
const STEP: Duration = Duration::from_nanos(500);
/// Moments around the request at which the first member leaves.
const MOMENTS: u32 = 80;
/// Moments after the first one at which each next member leaves.
const GAPS: u32 = 16;

/// A requester on the first shard, a client with a member of each of its groups on each other one; these leave at each
/// moment around a request, one after the other.
fn try_every_moment(shard_count: usize, groups: &[&[&str]]) {
    let plan = Plan {
        bell_delay_per_mille: 1_000,
        bell_delay_ns_max: 10_000,
        ..Stage::plan()
    };
    let stage = Stage::start_in(plan, shard_count, |_| ());
    let requester = stage.connect();
    requester.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB inbox 1\r\n");
    let members: Vec<_> = groups.iter().map(|_| stage.client()).collect();
    let delivered = || members.iter().map(|member| member.count("MSG s ")).sum::<usize>();
    let told = || requester.count("NATS/1.0 503");
    let gaps = if members.len() > 1 { GAPS } else { 1 };
    let mut outcomes = Vec::new();
    for (moment, gap) in (0..MOMENTS).flat_map(|moment| (0..gaps).map(move |gap| (moment, gap))) {
        for (member, groups) in members.iter().zip(groups) {
            for (sid, group) in groups.iter().enumerate() {
                member.send(&format!("SUB s {group} {sid}\r\n"));
            }
        }
        stage.pass(ms(1));
        let before = (delivered(), told());
        let mut steps: Vec<(u32, Option<usize>)> = vec![(MOMENTS / 2, None)];
        steps.extend(
            (0..)
                .zip(0..members.len())
                .map(|(n, member)| (moment + n * gap, Some(member))),
        );
        steps.sort_unstable();
        let began = stage.now();
        for (step, member) in steps {
            stage.pass_until(began + STEP * step);
            match member {
                None => requester.send("PUB s inbox 2\r\nhi\r\n"),
                Some(member) => {
                    let sids = 0..groups[member].len();
                    members[member].send(&sids.map(|sid| format!("UNSUB {sid}\r\n")).collect::<String>());
                }
            }
        }
        stage.pass(ms(1));
        outcomes.push((delivered() - before.0, told() - before.1));
    }
    check(&outcomes);
    assert!(
        stage.hits("not_delivered") > 0,
        "some left between pick and delivery"
    );
    if members.len() > 1 {
        assert!(stage.hits("hand_on") > 0, "and some was asked in their place");
    }
}

/// Each moment brought (deliveries, 503s): one 503 where nobody took the request, none where somebody did.
fn check(outcomes: &[(usize, usize)]) {
    for (moment, &(delivered, told)) in outcomes.iter().enumerate() {
        let wanted = usize::from(delivered == 0);
        assert_eq!(
            told, wanted,
            "moment {moment}: {delivered} deliveries, {told} x 503"
        );
    }
    assert!(outcomes.iter().any(|outcome| outcome.0 > 0));
    assert!(outcomes.iter().any(|outcome| outcome.1 > 0));
}

/// One group, its one member elsewhere.
#[test]
fn requester_is_told_when_a_group_is_gone() {
    try_every_moment(2, &[&["q1"]]);
}

/// Two groups at one shard that find nobody there.
#[test]
fn requester_is_told_once_when_two_groups_are_gone() {
    try_every_moment(2, &[&["q1", "q2"]]);
}

/// Two groups with members on two other shards: what one shard has nobody for is handed on to the other, which answers
/// in its place.
#[test]
fn requester_is_told_once_when_two_groups_are_gone_on_two_shards() {
    try_every_moment(3, &[&["q1", "q2"], &["q1", "q2"]]);
}
