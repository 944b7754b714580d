//! Shape: who publishes to whom in a flow.
//!
//! Owns: subjects, subscriptions and blocks of each shape. Not here: sending and counting (`flow`), which shapes are
//! compared (`row`).

use super::flow::{Check, ClientPlan, FlowPlan};
use super::standing::scatter;
use crate::block::{Block, EntryText};

/// Who publishes to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One publisher, one subject, so many subscribers that all get everything.
    FanOut(usize),
    /// So many pairs of a publisher and a subscriber, each with a subject of its own.
    Pairs(usize),
    /// So many publishers on one subject, one subscriber.
    FanIn(usize),
    /// One publisher, nobody listens.
    Nobody,
    /// One publisher, a queue group of so many members.
    Queue(usize),
    /// One publisher over many subjects; each matches two of so many wildcard subscriptions.
    Wildcards(usize),
    /// Subscribe, publish to it, unsubscribe, on subjects of its own, beside so many standing subscriptions.
    Churn(usize),
    /// So many connections, each publishing to the next one's subject.
    Ring(usize),
}

impl Shape {
    /// How many connections it needs.
    pub fn connection_count(self) -> usize {
        match self {
            Self::FanOut(subscribers) | Self::FanIn(subscribers) | Self::Queue(subscribers) => {
                subscribers + 1
            }
            Self::Pairs(pairs) => pairs * 2,
            Self::Nobody => 1,
            Self::Wildcards(_) => 1 + HOLDER_COUNT,
            Self::Churn(_) => CHURNER_COUNT + HOLDER_COUNT,
            Self::Ring(connections) => connections,
        }
    }

    /// Writes subscriptions and blocks.
    pub fn plan(self, payload_size: usize) -> FlowPlan {
        let block = |publisher: usize, subject: String| {
            Some(Block::new(
                number(publisher),
                payload_size,
                self.entry_count(payload_size),
                |_| EntryText {
                    subject: subject.clone(),
                    ..EntryText::default()
                },
            ))
        };
        let listener = |line: &str| ClientPlan {
            subscriptions: line.as_bytes().to_vec(),
            ..ClientPlan::default()
        };
        let publisher = |index: usize, subject: String| ClientPlan {
            block: block(index, subject),
            ..ClientPlan::default()
        };
        let mut clients = Vec::new();
        match self {
            Self::FanOut(subscribers) => {
                clients.push(publisher(0, String::from("load.a")));
                clients.extend((0..subscribers).map(|_| listener("SUB load.a 1\r\n")));
            }
            Self::Queue(members) => {
                clients.push(publisher(0, String::from("load.a")));
                clients.extend((0..members).map(|_| listener("SUB load.a workers 1\r\n")));
            }
            Self::FanIn(publishers) => {
                clients.extend((0..publishers).map(|index| publisher(index, String::from("load.a"))));
                clients.push(listener("SUB load.a 1\r\n"));
            }
            Self::Pairs(pairs) => {
                clients.extend((0..pairs).map(|index| publisher(index, format!("load.{index}"))));
                clients.extend((0..pairs).map(|index| listener(&format!("SUB load.{index} 1\r\n"))));
            }
            Self::Nobody => clients.push(publisher(0, String::from("load.a"))),
            Self::Ring(connections) => clients.extend((0..connections).map(|index| ClientPlan {
                subscriptions: format!("SUB load.{index} 1\r\n").into_bytes(),
                block: block(index, format!("load.{}", (index + 1) % connections)),
            })),
            Self::Wildcards(subscriptions) => clients.extend(wildcard_clients(subscriptions, payload_size)),
            Self::Churn(subscriptions) => clients.extend(churn_clients(subscriptions, payload_size)),
        }
        assert_eq!(clients.len(), self.connection_count());
        FlowPlan {
            clients,
            deliveries_per_publish: self.deliveries(),
            payload_size,
            check: self.check(),
        }
    }

    fn deliveries(self) -> u32 {
        match self {
            Self::FanOut(subscribers) => number(subscribers),
            Self::Nobody => 0,
            Self::Wildcards(_) => 2,
            Self::Pairs(_) | Self::FanIn(_) | Self::Queue(_) | Self::Churn(_) | Self::Ring(_) => 1,
        }
    }

    fn check(self) -> Check {
        match self {
            Self::Queue(_) | Self::Wildcards(_) => Check::Sum,
            _ => Check::Sequence,
        }
    }

    /// Publishes in a block: about 128 KiB, fewer where one causes many deliveries or many publishers hold a block.
    fn entry_count(self, payload_size: usize) -> u32 {
        let by_size = number((128 * 1024 / (payload_size + 20)).max(8));
        match self {
            Self::FanOut(subscribers) => by_size.min(number((20_000 / subscribers).max(64))),
            Self::Ring(_) => by_size.min(64),
            _ => by_size,
        }
    }
}

/// A publisher over scattered subjects `wild.N.x`, and holders of `wild.N.*` and `wild.N.>`.
fn wildcard_clients(subscriptions: usize, payload_size: usize) -> Vec<ClientPlan> {
    let subjects = subscriptions / 2;
    let subject_of = |index: u32| {
        let place = scatter(usize::try_from(index).expect("u32 fits usize"))
            % u64::try_from(subjects).expect("usize fits u64");
        EntryText {
            subject: format!("wild.{place}.x"),
            ..EntryText::default()
        }
    };
    let block = Block::new(0, payload_size, WILDCARD_SUBJECT_COUNT, subject_of);
    let mut clients = vec![ClientPlan {
        block: Some(block),
        ..ClientPlan::default()
    }];
    clients.extend((0..HOLDER_COUNT).map(|holder| {
        let mut lines = String::new();
        for subject in (holder..subjects).step_by(HOLDER_COUNT) {
            lines.push_str(&format!("SUB wild.{subject}.* {}\r\n", subject * 2 + 1));
            lines.push_str(&format!("SUB wild.{subject}.> {}\r\n", subject * 2 + 2));
        }
        ClientPlan {
            subscriptions: lines.into_bytes(),
            ..ClientPlan::default()
        }
    }));
    clients
}

/// Clients that subscribe, publish to themselves and unsubscribe, and holders of standing subscriptions.
fn churn_clients(subscriptions: usize, payload_size: usize) -> Vec<ClientPlan> {
    let mut clients: Vec<ClientPlan> = (0..CHURNER_COUNT)
        .map(|churner| {
            let block = Block::new(number(churner), payload_size, CHURN_CYCLE_COUNT, |index| {
                let subject = format!("churn.{churner}.{index}");
                let sid = index + 1;
                EntryText {
                    before: format!("SUB {subject} {sid}\r\n"),
                    after: format!("UNSUB {sid}\r\n"),
                    subject,
                }
            });
            ClientPlan {
                block: Some(block),
                ..ClientPlan::default()
            }
        })
        .collect();
    clients.extend((0..HOLDER_COUNT).map(|holder| {
        let lines: String = (holder..subscriptions)
            .step_by(HOLDER_COUNT)
            .map(|subject| format!("SUB stand.{subject}.x {}\r\n", subject + 1))
            .collect();
        ClientPlan {
            subscriptions: lines.into_bytes(),
            ..ClientPlan::default()
        }
    }));
    clients
}

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("rows are far below 2^32")
}

/// Connections that hold the standing subscriptions.
const HOLDER_COUNT: usize = 10;
/// Connections that churn.
const CHURNER_COUNT: usize = 4;
/// Cycles in a churner's block.
const CHURN_CYCLE_COUNT: u32 = 1000;
/// Subjects that the wildcard row publishes to.
const WILDCARD_SUBJECT_COUNT: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The wildcard subjects lie within the subscriptions, so each publish matches exactly two.
    #[test]
    fn wildcard_subscriptions_cover_the_subjects() {
        let clients = wildcard_clients(1000, 16);
        let lines: String = clients[1..]
            .iter()
            .map(|client| String::from_utf8(client.subscriptions.clone()).unwrap())
            .collect();
        assert_eq!(lines.lines().count(), 1000);
        let block = clients[0].block.as_ref().unwrap();
        let text = String::from_utf8_lossy(block.bytes()).into_owned();
        let first = text.strip_prefix("PUB wild.").unwrap().split('.').next().unwrap();
        assert_eq!(
            lines
                .lines()
                .filter(|line| line.starts_with(&format!("SUB wild.{first}.")))
                .count(),
            2
        );
    }
}
