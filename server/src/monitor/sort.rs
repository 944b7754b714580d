//! The orders of `/connz`, and the window of rows that is kept while all connections pass by.
//!
//! Owns: sort options and their errors. Pure: rows come in any order, the window holds the first `offset + limit`.

use std::collections::BTreeMap;

use pinion_shard::proto::CloseReason;

use super::answer::Answer;
use super::connz::{ConnectionFacts, State};

/// What connections are ordered by; ties go by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Cid,
    Start,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

/// The words of `sort=`.
const WORDS: [(&str, Sort); 15] = [
    ("", Sort::Cid),
    ("cid", Sort::Cid),
    ("start", Sort::Start),
    ("subs", Sort::Subs),
    ("pending", Sort::Pending),
    ("msgs_to", Sort::MsgsTo),
    ("msgs_from", Sort::MsgsFrom),
    ("bytes_to", Sort::BytesTo),
    ("bytes_from", Sort::BytesFrom),
    ("last", Sort::Last),
    ("idle", Sort::Idle),
    ("uptime", Sort::Uptime),
    ("stop", Sort::Stop),
    ("reason", Sort::Reason),
    ("rtt", Sort::Rtt),
];

impl Sort {
    /// Reads `sort=`; some orders make sense for closed connections only.
    pub(super) fn parse(word: &str, state: State) -> Result<Self, Answer> {
        let Some(&(_, sort)) = WORDS.iter().find(|(known, _)| *known == word) else {
            return Err(Answer::bad_request(format!("invalid sorting option: {word}")));
        };
        if matches!(sort, Sort::Stop | Sort::Reason) && state != State::Closed {
            return Err(Answer::bad_request(format!(
                "sort by {word} only valid on closed connections"
            )));
        }
        Ok(sort)
    }

    /// Where a connection stands: smaller is earlier. `now_ns`: wall time of the request.
    pub(super) fn rank(self, facts: &ConnectionFacts, now_ns: u64) -> u64 {
        let largest_first = |value: u64| u64::MAX - value;
        let stopped_ns = facts.stopped.map(|stopped| stopped.0);
        match self {
            Sort::Cid | Sort::Start => facts.cid,
            Sort::Subs => largest_first(facts.subscriptions as u64),
            Sort::Pending => largest_first(facts.pending_size as u64),
            Sort::MsgsTo => largest_first(facts.traffic.out_msgs),
            Sort::MsgsFrom => largest_first(facts.traffic.in_msgs),
            Sort::BytesTo => largest_first(facts.traffic.out_bytes),
            Sort::BytesFrom => largest_first(facts.traffic.in_bytes),
            Sort::Last => largest_first(facts.last_active.0),
            Sort::Idle => largest_first(now_ns.saturating_sub(facts.last_active.0)),
            Sort::Uptime => stopped_ns.unwrap_or(now_ns).saturating_sub(facts.started.0),
            Sort::Stop => largest_first(stopped_ns.unwrap_or(0)),
            Sort::Reason => facts.reason.map_or(0, reason_rank),
            Sort::Rtt => largest_first(u64::try_from(facts.rtt.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

/// Reasons in the order of their texts.
fn reason_rank(reason: CloseReason) -> u64 {
    let text = reason.text();
    CloseReason::ALL
        .iter()
        .filter(|other| other.text() < text)
        .count() as u64
}

/// The rows from `offset` on, at most `limit`, of all that pass by.
pub(super) struct Window<T> {
    offset: usize,
    size: usize,
    rows: BTreeMap<(u64, u64), T>,
}

impl<T> Window<T> {
    pub(super) fn new(offset: usize, limit: usize) -> Self {
        Self {
            offset,
            size: offset.saturating_add(limit),
            rows: BTreeMap::new(),
        }
    }

    /// Adds a row; the last one falls out when there are too many.
    pub(super) fn push(&mut self, rank: u64, cid: u64, row: T) {
        self.rows.insert((rank, cid), row);
        if self.rows.len() > self.size {
            self.rows.pop_last();
        }
    }

    /// What is left, in order.
    pub(super) fn into_rows(self) -> Vec<T> {
        self.rows.into_values().skip(self.offset).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::connz::tests::facts;

    /// Each order, on three connections whose numbers say where they belong.
    /// Covers: TestMonitorConnzSortedByReason TestMonitorConnzSortByRTT TestMonitorConnzSortedByUptime
    #[test]
    fn orders() {
        type Change = fn(&mut ConnectionFacts, u64);
        const NOW: u64 = 1_000;
        let cases: [(&str, Change, [u64; 3]); 14] = [
            ("", |_, _| {}, [1, 2, 3]),
            ("cid", |_, _| {}, [1, 2, 3]),
            ("start", |_, _| {}, [1, 2, 3]),
            (
                "subs",
                |facts, cid| facts.subscriptions = usize::try_from(cid % 3).unwrap(),
                [2, 1, 3],
            ),
            (
                "pending",
                |facts, cid| facts.pending_size = usize::try_from(cid).unwrap(),
                [3, 2, 1],
            ),
            ("msgs_to", |facts, cid| facts.traffic.out_msgs = cid, [3, 2, 1]),
            ("msgs_from", |facts, cid| facts.traffic.in_msgs = cid, [3, 2, 1]),
            ("bytes_to", |facts, cid| facts.traffic.out_bytes = cid, [3, 2, 1]),
            ("bytes_from", |facts, cid| facts.traffic.in_bytes = cid, [3, 2, 1]),
            ("last", |facts, cid| facts.last_active.0 = cid, [3, 2, 1]),
            ("idle", |facts, cid| facts.last_active.0 = cid, [1, 2, 3]),
            ("uptime", |facts, cid| facts.started.0 = cid, [3, 2, 1]),
            (
                "rtt",
                |facts, cid| facts.rtt = std::time::Duration::from_nanos(cid % 3),
                [2, 1, 3],
            ),
            ("msgs_to", |_, _| {}, [1, 2, 3]),
        ];
        for (word, change, order) in cases {
            let sort = Sort::parse(word, State::Open).unwrap();
            let mut window = Window::new(0, 10);
            for cid in [2, 3, 1] {
                let mut facts = facts(cid);
                change(&mut facts, cid);
                window.push(sort.rank(&facts, NOW), cid, cid);
            }
            assert_eq!(window.into_rows(), order, "{word}");
        }
        let closed: [(&str, Change, [u64; 3]); 3] = [
            (
                "stop",
                |facts, cid| facts.stopped = Some(pinion_shard::io::WallTime(cid)),
                [3, 2, 1],
            ),
            (
                "reason",
                |facts, cid| {
                    facts.reason = Some(match cid {
                        1 => CloseReason::SlowConsumerPendingBytes,
                        2 => CloseReason::ClientClosed,
                        _ => CloseReason::AuthenticationFailure,
                    });
                },
                [3, 2, 1],
            ),
            (
                "uptime",
                |facts, cid| facts.stopped = Some(pinion_shard::io::WallTime(cid)),
                [1, 2, 3],
            ),
        ];
        for (word, change, order) in closed {
            let sort = Sort::parse(word, State::Closed).unwrap();
            let mut window = Window::new(0, 10);
            for cid in [2, 3, 1] {
                let mut facts = facts(cid);
                change(&mut facts, cid);
                window.push(sort.rank(&facts, NOW), cid, cid);
            }
            assert_eq!(window.into_rows(), order, "closed, {word}");
        }
    }

    /// Orders that are none, or make no sense for what is asked.
    /// Covers: TestMonitorConnzSortBadRequest TestMonitorConnzSortedByStopOnOpen TestMonitorConnzSortedByReasonOnOpen
    #[test]
    fn wrong_orders_are_refused() {
        for (word, state, error) in [
            ("foo", State::Open, "invalid sorting option: foo"),
            ("CID", State::Open, "invalid sorting option: CID"),
            (
                "stop",
                State::Open,
                "sort by stop only valid on closed connections",
            ),
            (
                "stop",
                State::All,
                "sort by stop only valid on closed connections",
            ),
            (
                "reason",
                State::All,
                "sort by reason only valid on closed connections",
            ),
        ] {
            let answer = Sort::parse(word, state).unwrap_err();
            assert_eq!(
                (answer.status, answer.body),
                (400, error.as_bytes().to_vec()),
                "{word}"
            );
        }
    }

    /// Paging: every window of ten rows.
    /// Covers: TestMonitorConnzOffsetOverflow
    #[test]
    fn windows() {
        for (offset, limit, rows) in [
            (0, 3, vec![0, 1, 2]),
            (2, 2, vec![2, 3]),
            (8, 5, vec![8, 9]),
            (10, 1, vec![]),
            (50, 1, vec![]),
            (0, usize::MAX, (0..10).collect()),
            (5, usize::MAX, (5..10).collect()),
        ] {
            let mut window = Window::new(offset, limit);
            for row in [5, 3, 9, 0, 7, 1, 8, 2, 6, 4] {
                window.push(row, row, row);
            }
            assert_eq!(window.into_rows(), rows, "{offset} {limit}");
        }
    }
}
