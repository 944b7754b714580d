//! What clients do in one run: drawn from the seed, few subjects so that everything meets everything.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use pinion_shard::io::simulated::SimIo;

use super::client::{Client, Pace, Publication};
use super::history::{matches, SharedHistory};
use super::rules::{User, SERVICE};

const SUBJECTS: [&str; 6] = ["a", "b", "a.x", "b.x", "a.y.z", "c"];
const PATTERNS: [&str; 12] = [
    "a", "b", "a.x", "b.x", "c", "*", "a.*", "*.x", "a.>", ">", "imp.>", "imp.*.x",
];
const QUEUES: [&str; 2] = ["q1", "q2"];

/// What the clients of a run share.
#[derive(Clone)]
pub(crate) struct Stage {
    pub history: SharedHistory,
    pub address: SocketAddr,
    pub is_calm: Rc<Cell<bool>>,
    /// Connected clients, in the order they came.
    pub present: Rc<RefCell<Vec<Rc<Client>>>>,
    /// Scripts that have not ended.
    pub running: Rc<Cell<usize>>,
    /// Clients are different users; else all are free ones of one account.
    pub is_mixed: bool,
    /// Puts the next version of the rules in force.
    pub next_rules: Rc<dyn Fn()>,
}

/// How one client of a run behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Character {
    pub pace: Pace,
    pub actions: u64,
    pub padding_max: usize,
    /// May break its connection.
    pub is_rude: bool,
}

impl Character {
    pub(crate) fn draw(io: &SimIo, actions_max: u64) -> Self {
        let dice = io.dice();
        Self {
            pace: Pace {
                chunk: dice.pick(&[16, 100, 4_096, 65_536]),
                pause: Duration::from_micros(dice.pick(&[0, 0, 50, 2_000])),
                asleep: dice.one_in(8),
            },
            actions: dice.between(5, actions_max),
            padding_max: dice.pick(&[0, 10, 200, 2_000]),
            is_rude: dice.one_in(4),
        }
    }
}

/// Plays one client to the end of its script. Its last connection stays open.
pub(crate) async fn play(io: SimIo, stage: Stage, character: Character) {
    let mut client = connect(&io, &stage, character).await;
    let mut subscriptions = Vec::new();
    for _ in 0..character.actions {
        if client.is_over() {
            subscriptions.clear();
            client = connect(&io, &stage, character).await;
        }
        act(&io, &stage, &client, &mut subscriptions, character).await;
    }
    client.sync().await;
    stage.running.set(stage.running.get() - 1);
}

async fn connect(io: &SimIo, stage: &Stage, character: Character) -> Rc<Client> {
    let users = [
        User::Free,
        User::Free,
        User::Restricted,
        User::Importer,
        User::Importer,
    ];
    loop {
        let user = if stage.is_mixed {
            io.dice().pick(&users)
        } else {
            User::Free
        };
        match Client::connect(
            io,
            stage.address,
            user,
            &stage.history,
            character.pace,
            &stage.is_calm,
        )
        .await
        {
            Ok(client) => {
                stage.present.borrow_mut().push(Rc::clone(&client));
                return client;
            }
            Err(_) => io.sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn act(
    io: &SimIo,
    stage: &Stage,
    client: &Rc<Client>,
    subscriptions: &mut Vec<usize>,
    character: Character,
) {
    let dice = io.dice();
    match dice.below(100) {
        0..=29 => {
            for _ in 0..dice.between(1, 8) {
                publish(io, client, character);
            }
        }
        30..=44 => {
            let pattern = dice.pick(&PATTERNS);
            let queue = dice.one_in(2).then(|| dice.pick(&QUEUES));
            let max = dice.one_in(6).then(|| dice.between(1, 4));
            subscriptions.push(client.subscribe(pattern, queue, max));
            if dice.one_in(2) {
                client.sync().await;
                poke_others(io, stage, character, pattern);
            }
        }
        45..=56 => {
            if !subscriptions.is_empty() {
                let index = dice.index(subscriptions.len());
                client.unsubscribe(subscriptions.swap_remove(index));
            }
        }
        57 => {
            (stage.next_rules)();
        }
        58..=77 => {
            client.sync().await;
            poke_others(io, stage, character, ">");
        }
        78..=79 => {
            // Members of every group at two clients, gone while requests are on their way to them. Few others listen.
            let subject = "gone.by";
            let other = any_present(io, stage);
            let members: Vec<_> = [Some(client), other.as_ref()]
                .into_iter()
                .flatten()
                .flat_map(|client| QUEUES.map(|queue| (client, client.subscribe(subject, Some(queue), None))))
                .collect();
            client.sync().await;
            if let Some(other) = &other {
                other.ping();
            }
            ask_others(io, stage, character, subject);
            for (client, member) in members {
                client.unsubscribe(member);
            }
            ask_others(io, stage, character, subject);
        }
        80..=89 => {
            io.sleep(Duration::from_micros(dice.below(3_000))).await;
        }
        90..=95 => {
            // More changes of interest than a small lane takes.
            let many: Vec<usize> = (0..dice.between(5, 30))
                .map(|number| client.subscribe(&format!("flood.{number}"), None, None))
                .collect();
            let pattern = dice.pick(&PATTERNS);
            subscriptions.push(client.subscribe(pattern, None, None));
            if dice.one_in(2) {
                client.sync().await;
                poke_others(io, stage, character, pattern);
            } else {
                client.ping();
            }
            for subscription in many {
                client.unsubscribe(subscription);
            }
        }
        96 => {
            // Leaves as a client that drains does: no message is lost by it.
            for subscription in subscriptions.drain(..) {
                client.unsubscribe(subscription);
            }
            client.sync().await;
        }
        _ => {
            if character.is_rude {
                client.close(dice.one_in(2));
            }
        }
    }
}

fn publish(io: &SimIo, client: &Client, character: Character) {
    publish_to(io, client, character, io.dice().pick(&SUBJECTS));
}

fn publish_to(io: &SimIo, client: &Client, character: Character, subject: &str) {
    let dice = io.dice();
    let asks_across = client.user == User::Importer && dice.one_in(3);
    let subject = if asks_across { SERVICE } else { subject };
    let padding = dice.size(0, character.padding_max);
    if dice.one_in(6) {
        client.request_with_new_inbox(subject, padding);
        return;
    }
    let inbox = dice.one_in(4).then(|| client.standing_inbox());
    client.publish(&Publication {
        subject,
        reply: inbox.as_deref(),
        cause: None,
        with_headers: dice.one_in(4),
        padding,
    });
}

/// A client that is connected, drawn from all.
fn any_present(io: &SimIo, stage: &Stage) -> Option<Rc<Client>> {
    let mut present = stage.present.borrow_mut();
    present.retain(|client| !client.is_over());
    (!present.is_empty()).then(|| Rc::clone(&present[io.dice().index(present.len())]))
}

/// Others send requests in the very moment something changed.
fn ask_others(io: &SimIo, stage: &Stage, character: Character, subject: &str) {
    let dice = io.dice();
    for _ in 0..dice.between(0, 3) {
        let Some(other) = any_present(io, stage) else {
            return;
        };
        other.request_with_new_inbox(subject, dice.size(0, character.padding_max));
    }
}

/// What a PONG said must hold for everybody at once: others publish in the very moment it was read.
fn poke_others(io: &SimIo, stage: &Stage, character: Character, pattern: &str) {
    let dice = io.dice();
    for _ in 0..dice.between(0, 3) {
        let Some(other) = any_present(io, stage) else {
            return;
        };
        let fitting: Vec<&str> = SUBJECTS
            .into_iter()
            .filter(|subject| matches(pattern, subject) || matches(pattern, &format!("imp.{subject}")))
            .collect();
        publish_to(io, &other, character, dice.pick(&fitting));
    }
}
