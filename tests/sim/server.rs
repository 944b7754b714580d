//! One simulated server: some shards with small lanes, an acceptor, limits drawn per seed.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use pinion_shard::conn::Subscriber;
use pinion_shard::io::simulated::{Dice, SimWorld};
use pinion_shard::mesh::MeshSize;
use pinion_shard::runtime::{Settings, Shard, WriteTimeout};
use pinion_shard::sublist::Cursor;
use pinion_tests::simulated_server::{default_settings, SimulatedServer};

use super::rules::rules_after;

/// A running server.
pub(crate) struct Server {
    simulated: SimulatedServer,
    /// Slow consumers are expected.
    pub is_tight: bool,
}

impl Deref for Server {
    type Target = SimulatedServer;

    fn deref(&self) -> &SimulatedServer {
        &self.simulated
    }
}

/// Draws the limits of a server.
fn draw_settings(dice: &Dice) -> (Settings, MeshSize, bool) {
    let size = MeshSize {
        interest_capacity: dice.pick(&[1, 2, 8, 1024]),
        data_capacity: dice.pick(&[1, 2, 8, 256]),
        credit_size: dice.pick(&[1, 200, 4096, 1024 * 1024]),
        answer_overflow_size: dice.pick(&[100, 1_000, 100_000, 4 << 20]),
        open_requests: dice.pick(&[1, 4, 4096, 4096]),
    };
    let is_tight = dice.one_in(4);
    let mut settings = default_settings();
    settings.write_deadline = Duration::from_secs(3600);
    if is_tight {
        settings.pending_size_max = dice.size(2_000, 20_000);
        settings.write_deadline = Duration::from_millis(dice.between(20, 2_000));
    }
    if dice.one_in(4) {
        settings.write_timeout = WriteTimeout::Retry;
    }
    settings.stalls_producers = !dice.one_in(3);
    (settings, size, is_tight)
}

impl Server {
    /// Starts a server on a host of its own.
    pub(crate) fn start(world: &SimWorld, dice: &Dice) -> Self {
        let count = dice.size(1, 4).max(if dice.one_in(8) { 1 } else { 2 });
        let (settings, size, is_tight) = draw_settings(dice);
        Self {
            simulated: SimulatedServer::start(world, count, size, settings, rules_after(None)),
            is_tight,
        }
    }

    /// Whether nothing is under way inside: no batch, no pending byte.
    pub(crate) fn is_idle(&self) -> bool {
        self.shards.iter().all(|shard| {
            shard.mesh().in_flight() == 0
                && !shard.mesh().has_open()
                && shard
                    .connections()
                    .iter()
                    .all(|connection| connection.pending_size() == 0)
        })
    }

    /// What [`Server::is_idle`] waits for, in words.
    pub(crate) fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        for shard in &self.shards {
            let (id, mesh) = (shard.id().0, shard.mesh());
            if mesh.in_flight() > 0 || mesh.has_open() {
                let (in_flight, open) = (mesh.in_flight(), mesh.has_open());
                pending.push(format!("shard {id}: {in_flight} B in flight, open batch: {open}"));
            }
            for connection in shard.connections() {
                if connection.pending_size() > 0 {
                    let (number, size) = (connection.id.0, connection.pending_size());
                    pending.push(format!("shard {id}: {size} B for connection {number}"));
                }
            }
        }
        pending
    }

    /// Begins the stop of all shards.
    pub(crate) fn stop(&self) {
        self.handle.run_on_all(|shard| shard.stop());
    }

    /// What is not as it was before the first client came, after the stop.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for shard in &self.shards {
            let id = shard.id().0;
            if shard.connection_count() != 0 {
                left.push(format!(
                    "shard {id} keeps {} connections",
                    shard.connection_count()
                ));
            }
            let load = self.handle.load(shard.id()).connections();
            if load != 0 {
                left.push(format!("shard {id} counts {load} connections"));
            }
            for account in shard.accounts() {
                if account.connections() != 0 {
                    left.push(format!(
                        "account {} on shard {id} counts connections",
                        account.name
                    ));
                }
                let local = self.local_interest(shard, &account.name);
                if !local.is_empty() {
                    left.push(format!("shard {id} keeps subscriptions {local:?}"));
                }
            }
        }
        left
    }

    /// Local interest of a shard by (subject, queue group): members of the group, 1 for plain.
    fn local_interest(&self, shard: &Shard, account_name: &str) -> Interest {
        let mut interest = Interest::new();
        each_entry(shard, account_name, |subject, queue, entry| {
            if matches!(entry, Subscriber::Local(_)) {
                let weight = interest.entry(key_of(subject, queue)).or_insert(0);
                *weight = if queue.is_some() { *weight + 1 } else { 1 };
            }
        });
        interest
    }

    fn remote_interest(&self, shard: &Shard, account_name: &str, of: u16) -> Interest {
        let mut interest = Interest::new();
        each_entry(shard, account_name, |subject, queue, entry| {
            if let Subscriber::Remote { shard, weight } = entry {
                if shard.0 == of {
                    interest.insert(key_of(subject, queue), *weight);
                }
            }
        });
        interest
    }

    /// What each shard believes of the others, where it is not so.
    pub(crate) fn interest_differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for shard in &self.shards {
            for account in shard.accounts() {
                let local = self.local_interest(shard, &account.name);
                for other in self.shards.iter().filter(|other| other.id() != shard.id()) {
                    let believed = self.remote_interest(other, &account.name, shard.id().0);
                    for (key, weight) in &local {
                        if believed.get(key) != Some(weight) {
                            differences.push(format!(
                                "shard {} has {key:?} x{weight}, shard {} believes {:?}",
                                shard.id().0,
                                other.id().0,
                                believed.get(key)
                            ));
                        }
                    }
                    for (key, weight) in believed.iter().filter(|(key, _)| !local.contains_key(*key)) {
                        differences.push(format!(
                            "shard {} has no {key:?}, shard {} believes x{weight}",
                            shard.id().0,
                            other.id().0
                        ));
                    }
                }
            }
        }
        differences
    }
}

type Interest = BTreeMap<(String, Option<String>), u32>;

fn key_of(subject: &[u8], queue: Option<&[u8]>) -> (String, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(subject), queue.map(text))
}

fn each_entry(shard: &Shard, account_name: &str, mut visit: impl FnMut(&[u8], Option<&[u8]>, &Subscriber)) {
    let accounts = shard.accounts();
    // A shard has the accounts it has to do with.
    let Some(account) = accounts.iter().find(|account| &*account.name == account_name) else {
        return;
    };
    account.with_sublist(|sublist| {
        let mut cursor = Some(Cursor::START);
        while let Some(from) = cursor {
            cursor = sublist.for_each_from(from, 1000, &mut visit);
        }
    });
}
