//! The stories of `tests/jetstream`, told to the handlers of this server: the same answers as recorded from the peer.

use std::time::Duration;

use pinion_jetstream::api::account::{Account, AccountLimits, ServerRoom};
use pinion_jetstream::api::Facts;
use pinion_jetstream::local::{Incoming, Local, Out};
use pinion_jetstream::stream::PublishLimits;
use pinion_shard::io::WallTime;
use pinion_tests::jetstream_cases::{comparable, load, Step, Story};

const REPLY: &[u8] = b"_R";

fn server(story: &Story) -> Local {
    let facts = Facts {
        server_name: "S".to_owned(),
        is_strict: true,
        max_pending: 64 << 20,
        ..Facts::default()
    };
    let mut of_account = AccountLimits::default();
    for (key, value) in story.limits() {
        if key == "max_bytes_required" {
            of_account.max_bytes_required = value == "true";
            continue;
        }
        let limit = match key {
            "max_mem" => &mut of_account.max_memory,
            "max_file" => &mut of_account.max_storage,
            "max_streams" => &mut of_account.max_streams,
            "max_consumers" => &mut of_account.max_consumers,
            "mem_max_stream_bytes" => &mut of_account.memory_max_stream_bytes,
            "disk_max_stream_bytes" => &mut of_account.storage_max_stream_bytes,
            other => panic!("no limit is called {other}"),
        };
        *limit = value.parse().expect("a number");
    }
    let mut account = Account::default();
    account.tiers.insert(String::new(), of_account);
    let room = ServerRoom {
        max_memory: 1 << 40,
        max_storage: 1 << 40,
        duplicate_window_max: 0,
    };
    let limits = PublishLimits {
        max_payload: 1 << 20,
        is_server_full: false,
        account_bytes_left: None,
        batch_size_max: 1_000,
        batches_max: 50,
        are_batches_full: false,
    };
    Local::new(facts, "$G", account, room, limits)
}

/// What the answers to each line are.
fn tell(story: &Story) -> Vec<Vec<String>> {
    let mut server = server(story);
    // Some time in 2026, so that dates of the stories lie before and after it.
    let mut now = WallTime(1_780_000_000_000_000_000);
    let mut answers = Vec::new();
    for case in &story.cases {
        now = now + Duration::from_millis(1);
        let sent = match &case.step {
            Step::Publish {
                subject,
                headers,
                payload,
            } => {
                let message = Incoming {
                    subject: subject.as_bytes(),
                    reply: REPLY,
                    headers,
                    payload,
                };
                server.publish(message, now)
            }
            Step::Pass(time) => {
                let end = now + *time;
                let mut sent = Vec::new();
                while let Some(due) = server.next_due().filter(|due| *due <= end) {
                    now = now.max(due);
                    sent.extend(server.tick(now));
                }
                now = end;
                sent
            }
        };
        answers.push(sent.iter().filter_map(heard).collect());
    }
    answers
}

/// What the asker hears of it: answers, and what is sent again to `rp.>`.
fn heard(out: &Out) -> Option<String> {
    let Out::Message {
        subject,
        headers,
        payload,
    } = out
    else {
        return None;
    };
    match subject.as_slice() {
        REPLY => Some(comparable(headers, payload)),
        again if again.starts_with(b"rp.") => {
            let again = String::from_utf8_lossy(again);
            Some(format!("{again}: {}", comparable(headers, payload)))
        }
        _ => None,
    }
}

/// Messages made from those of the stories by changing, dropping and doubling bytes.
#[test]
fn damaged_requests_are_answered_or_dropped() {
    /// How often every story is told.
    const ROUNDS: u64 = 40;
    let stories = load();
    let mut answered = 0;
    for round in 0..ROUNDS {
        for (index, story) in stories.iter().enumerate() {
            let mut chance = Chance(round * 1_000 + index as u64 + 1);
            let mut server = server(story);
            let mut now = WallTime(1_780_000_000_000_000_000);
            for case in &story.cases {
                let Step::Publish {
                    subject,
                    headers,
                    payload,
                } = &case.step
                else {
                    continue;
                };
                // Half of the messages stay whole, so that there are streams to damage.
                let (mut headers, mut payload) = (headers.clone(), payload.clone());
                if chance.below(2) == 0 {
                    chance.damage(&mut headers);
                    chance.damage(&mut payload);
                }
                let message = Incoming {
                    subject: subject.as_bytes(),
                    reply: REPLY,
                    headers: &headers,
                    payload: &payload,
                };
                now = now + Duration::from_millis(chance.below(700));
                answered += server.publish(message, now).len();
                server.tick(now);
            }
        }
    }
    assert!(answered > 10_000, "{answered} answers");
}

/// Chance that is the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound as u64
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound)).expect("below a usize")
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.index(bytes.len());
            match self.below(4) {
                0 => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
                1 => {
                    bytes.remove(at);
                }
                2 => bytes.truncate(at),
                _ => {
                    let doubled = bytes[at..].to_vec();
                    bytes.extend_from_slice(&doubled);
                }
            }
        }
    }
}

/// Covers: TestJetStreamBasicAckPublish, TestJetStreamPublishExpect, TestJetStreamDirectGetBatch
#[test]
fn handlers_answer_as_the_peer() {
    let mut found = Vec::new();
    for story in load() {
        let answers = tell(&story);
        let answered: usize = story.cases.iter().map(|case| case.answers.len()).sum();
        assert!(answered > 5, "{} was recorded", story.path.display());
        found.extend(story.differences(&answers));
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
