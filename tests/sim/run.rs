//! One seed: a server, its clients, faults, calm, checks, stop, checks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::io::simulated::{Dice, SimIo, SimWorld, Unfinished};
use pinion_shard::io::Queue;
use pinion_shard::proto::CloseReason;
use pinion_tests::simulated_server::PORT;

use super::checks::{check, Forgiven};
use super::history::{History, SharedHistory};
use super::reload::{self, Strictest};
use super::rules::{denied_in, rules_after, User};
use super::script::{play, Character, Stage};
use super::server::Server;

/// Virtual time of the bad weather.
const STORM: Duration = Duration::from_secs(3);
/// Virtual time in which everything must be done once it is over.
const CALM: Duration = Duration::from_secs(120);
/// Virtual time in which a server must stop.
const STOP: Duration = Duration::from_secs(60);
/// Actions of one client at most.
const ACTIONS_MAX: u64 = 40;

/// What a run came to.
pub(crate) struct Outcome {
    pub trace: u64,
    pub hits: BTreeMap<&'static str, u64>,
    /// What is wrong; empty is good.
    pub wrong: Vec<String>,
}

/// Runs one seed in a world prepared by `prepare`.
pub(crate) fn run(seed: u64, prepare: &dyn Fn(&SimWorld)) -> Outcome {
    let world = SimWorld::new(seed);
    prepare(&world);
    let dice = Dice::from_seed(seed ^ 0xC0DE);
    let server = Server::start(&world, &dice);
    let history = Rc::new(RefCell::new(History::default()));
    let stage = Stage {
        history: Rc::clone(&history),
        address: SimIo::address_of(server.host, PORT),
        is_calm: Rc::new(Cell::new(false)),
        present: Rc::default(),
        running: Rc::new(Cell::new(0)),
        is_mixed: dice.one_in(2),
        next_rules: next_rules(&server, &history),
    };
    let client_hosts: Vec<_> = (0..2).map(|_| world.add_host()).collect();
    for number in 0..dice.size(2, 6) {
        let io = world.add_node(client_hosts[number % client_hosts.len()]);
        let character = Character::draw(&io, ACTIONS_MAX);
        stage.running.set(stage.running.get() + 1);
        io.spawn(Queue::Hot, play(io.clone(), stage.clone(), character));
    }
    let strictest = Rc::new(Cell::new(Strictest {
        payload_size: usize::MAX,
        limits_connections: false,
        changes: 0,
    }));
    if dice.one_in(3) {
        let io = world.add_node(world.add_host());
        let (shards, settings) = (server.handle.clone(), server.shards[0].settings());
        let (is_calm, strictest) = (Rc::clone(&stage.is_calm), Rc::clone(&strictest));
        stage.running.set(stage.running.get() + 1);
        let running = Rc::clone(&stage.running);
        io.clone().spawn(Queue::Hot, async move {
            reload::play(io, shards, settings, is_calm, strictest).await;
            running.set(running.get() - 1);
        });
    }
    let mut wrong = Vec::new();
    let finished = weather(&world, &server, &stage);
    if let Err(what) = finished {
        wrong.push(what);
    } else {
        let hits = world.hits();
        let forgiven = Forgiven {
            answers: server.sum(|shard| shard.mesh().counters().answers_dropped.get()),
            requests: hits.get("bound_open_requests").copied().unwrap_or(0),
        };
        wrong.extend(check(&history.borrow(), forgiven));
        wrong.extend(server.interest_differences());
        wrong.extend(unexpected_closes(&server, &history.borrow(), strictest.get()));
    }
    if wrong.is_empty() {
        server.stop();
        match world.run_until(STOP, || server.has_ended()) {
            Ok(()) => wrong.extend(server.leftovers()),
            Err(why) => wrong.push(format!("the server does not stop: {why:?}")),
        }
        world.run_for(Duration::from_millis(100));
        let tasks = world.tasks_of(server.host);
        if tasks > 0 {
            wrong.push(format!("{tasks} tasks are left after the stop"));
        }
    }
    let mut hits = hits(&world, &server, &history.borrow());
    hits.insert("settings_changed", strictest.get().changes);
    Outcome {
        trace: world.trace(),
        hits,
        wrong,
    }
}

/// Puts the next version of the rules in force, one version at a time: what the history knows of it.
fn next_rules(server: &Server, history: &SharedHistory) -> Rc<dyn Fn()> {
    let (shards, history) = (server.shards.clone(), Rc::clone(history));
    Rc::new(move || {
        let progress = history.borrow().rules;
        if progress.begun != progress.done {
            return;
        }
        history.borrow_mut().rules.begun += 1;
        let (shards, history) = (shards.clone(), Rc::clone(&history));
        // Any shard may be told.
        let told = usize::try_from(progress.begun).expect("few versions") % shards.len();
        let teller = Rc::clone(&shards[told]);
        let home = Rc::clone(&teller);
        home.spawn(Queue::Control, async move {
            let rules = Arc::new(rules_after(Some(&teller.rules())));
            if !teller.apply_rules(&rules).await {
                // The server stops.
                return;
            }
            let mut history = history.borrow_mut();
            history.rules.done += 1;
            let done = history.rules.done;
            for shard in &shards {
                if shard.rules().version() != done {
                    let (id, version) = (shard.id().0, shard.rules().version());
                    let what =
                        format!("rules {done} are said to be in force, and shard {id} obeys {version}");
                    history.violations.push(what);
                }
            }
        });
    })
}

/// Storm, calm, and the last PING of everyone.
fn weather(world: &SimWorld, server: &Server, stage: &Stage) -> Result<(), String> {
    let stuck = |what: &str, why: Unfinished| Err(format!("{what}: {why:?}"));
    match world.run_until(STORM, || stage.running.get() == 0) {
        Ok(()) | Err(Unfinished::TimeUp) => {}
        Err(why) => return stuck("everything stands still in the storm", why),
    }
    stage.is_calm.set(true);
    world.calm_down();
    if let Err(why) = world.run_until(CALM, || stage.running.get() == 0) {
        return stuck(&format!("{} scripts do not end", stage.running.get()), why);
    }
    for client in stage.present.borrow().iter() {
        client.ping();
    }
    let in_step = || {
        let present = stage.present.borrow();
        let in_step = present
            .iter()
            .all(|client| client.is_over() || client.is_in_step());
        in_step
    };
    if let Err(why) = world.run_until(CALM, in_step) {
        return stuck("a PING is not answered", why);
    }
    let mut waited = Duration::ZERO;
    loop {
        let step = Duration::from_millis(5);
        world.run_for(step);
        if server.is_idle() && world.is_network_idle() {
            // Once more, for what the last bytes caused.
            world.run_for(step);
            if server.is_idle() && world.is_network_idle() {
                return Ok(());
            }
        }
        waited += step;
        if waited > CALM {
            return Err(format!(
                "something is pending for ever: {:?}, network: {:?}",
                server.pending(),
                world.under_way()
            ));
        }
    }
}

/// Connections the server closed though nothing was wrong with them.
fn unexpected_closes(server: &Server, history: &History, strictest: Strictest) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut slow = 0;
    for shard in &server.shards {
        for closed in shard.closed_connections() {
            match closed.reason {
                CloseReason::ClientClosed | CloseReason::ReadError | CloseReason::WriteError => {}
                CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline
                    if server.is_tight =>
                {
                    slow += 1;
                }
                CloseReason::MaxConnectionsExceeded if strictest.limits_connections => {}
                // Looked at below.
                CloseReason::MaxPayloadExceeded => {}
                reason => wrong.push(format!("a connection was closed: {}", reason.text())),
            }
        }
    }
    for (number, connection) in history.connections.iter().enumerate() {
        let may_be_denied = |error: &str| {
            let denied = [1, 2].map(denied_in);
            let text = |subject: &str| format!("Permissions Violation for Publish to \"{subject}\"");
            connection.user == User::Restricted && denied.iter().any(|subject| error.contains(&text(subject)))
        };
        for error in &connection.errors {
            let is_deserved = match error.as_str() {
                "-ERR 'maximum connections exceeded'" => strictest.limits_connections,
                "-ERR 'Maximum Payload Violation'" => connection.largest > strictest.payload_size,
                error if may_be_denied(error) => true,
                error => slow > 0 && error.contains("Slow Consumer"),
            };
            if !is_deserved {
                wrong.push(format!("connection {number} got {error}"));
            }
        }
    }
    wrong
}

/// How often what was hit in this run: faults of the world, bounds of the server, events of the clients.
fn hits(world: &SimWorld, server: &Server, history: &History) -> BTreeMap<&'static str, u64> {
    let mut hits = world.hits();
    hits.retain(|name, _| !name.starts_with("disk_"));
    let mut add = |name, count: u64| *hits.entry(name).or_insert(0) += count;
    add(
        "bound_interest_lane_full",
        server.sum(|shard| shard.mesh().counters().interest_full.get()),
    );
    add(
        "bound_data_lane_full",
        server.sum(|shard| shard.mesh().counters().data_full.get()),
    );
    add(
        "bell_rung",
        server.sum(|shard| shard.mesh().counters().rings.get()),
    );
    add(
        "mesh_messages",
        server.sum(|shard| shard.counters().received.get()),
    );
    add(
        "bound_pending_size",
        server.sum(|shard| shard.counters().slow_consumers_pending.get()),
    );
    add(
        "bound_write_deadline",
        server.sum(|shard| shard.counters().slow_consumers_deadline.get()),
    );
    add(
        "producer_stalled",
        server.sum(|shard| shard.counters().stalled_clients.get()),
    );
    add(
        "hand_on_dropped",
        server.sum(|shard| shard.counters().hand_ons_dropped.get()),
    );
    add(
        "bound_answer_overflow",
        server.sum(|shard| shard.mesh().counters().answers_dropped.get()),
    );
    for (name, reason) in [
        ("bound_connections", CloseReason::MaxConnectionsExceeded),
        ("bound_payload_size", CloseReason::MaxPayloadExceeded),
    ] {
        let closed = server.shards.iter().flat_map(|shard| shard.closed_connections());
        add(
            name,
            closed.filter(|closed| closed.reason == reason).count() as u64,
        );
    }
    add("rules_applied", history.rules.done - 1);
    for record in &history.subscriptions {
        let to = history.connections[record.connection].user;
        for (message, _) in &record.received {
            let message = &history.messages[*message];
            let from = history.connections[message.connection].user;
            match (from.account() == to.account(), from) {
                (true, _) => {}
                (false, User::Importer) => add("came_by_service", 1),
                (false, _) if history.is_answer_across(message, to) => add("answered_by_service", 1),
                (false, _) => add("came_by_stream", 1),
            }
        }
    }
    let denied = history
        .connections
        .iter()
        .flat_map(|connection| &connection.errors);
    add(
        "denied",
        denied
            .filter(|error| error.contains("Permissions Violation"))
            .count() as u64,
    );
    add("messages", history.messages.len() as u64);
    add(
        "received",
        history
            .subscriptions
            .iter()
            .map(|record| record.received.len() as u64)
            .sum(),
    );
    add(
        "no_responders",
        history
            .messages
            .iter()
            .map(|message| u64::from(message.no_responders))
            .sum(),
    );
    add(
        "auto_unsubscribed",
        history
            .subscriptions
            .iter()
            .filter(|record| record.max.is_some_and(|max| record.received.len() as u64 == max))
            .count() as u64,
    );
    add(
        "connections_lost",
        history
            .connections
            .iter()
            .filter(|connection| connection.ended.is_some() && !connection.closed_by_client)
            .count() as u64,
    );
    hits
}
