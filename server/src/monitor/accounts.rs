//! `/accountz` and `/accstatz`: the accounts, what they are and what they use.
//!
//! Owns: parameters and fields of both pages, sums over the connections of an account. Not here: who may use an account.

use std::collections::BTreeMap;
use std::rc::Rc;

use pinion_shard::conn::Traffic;
use pinion_shard::ids::{AccountId, ConnectionId};
use pinion_shard::runtime::Shard;
use pinion_shard::sublist::Stats;
use serde::Serialize;

use super::answer::{pretty, Answer, ListDocument};
use super::connz::ROWS_IN_A_ROW;
use super::gather::{CONNECTIONS_PAGE, FIRST_CONNECTION};
use super::request::Query;
use super::text::{time, Number};
use super::Monitor;

#[derive(Serialize)]
struct Accountz {
    server_id: String,
    now: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_account: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail>,
}

#[derive(Serialize)]
struct AccountDetail {
    account_name: String,
    update_time: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: u64,
    name_tag: String,
    sublist_stats: SublistStats,
}

/// The numbers of a subscription list, as `/subsz` has them for all.
#[derive(Serialize)]
struct SublistStats {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: Number,
    max_fanout: u64,
    avg_fanout: Number,
}

/// `/accountz`: the names, or one account that is asked for.
pub(super) async fn accountz(monitor: &Monitor, query: &Query) -> Answer {
    let rules = monitor.shard.rules();
    let name_of = |id: AccountId| rules.account(id).map(|account| account.name.to_string());
    let mut document = Accountz {
        server_id: monitor.facts.identity.server_id.clone(),
        now: time(monitor.shard.io().wall()),
        system_account: rules.system_account().and_then(name_of),
        accounts: Vec::new(),
        account_detail: None,
    };
    let name = query.text("acc");
    if name.is_empty() {
        document.accounts = rules.accounts().map(|account| account.name.to_string()).collect();
        return Answer::json(pretty(&document));
    }
    let Some(account) = rules.account_named(name) else {
        return Answer::bad_request(format!("Account {name} does not exist"));
    };
    let use_of = monitor.use_of(account.id).await;
    document.account_detail = Some(AccountDetail {
        account_name: account.name.to_string(),
        update_time: time(monitor.facts.started),
        is_system: rules.system_account() == Some(account.id),
        expired: false,
        complete: true,
        jetstream_enabled: false,
        leafnode_connections: account.counts.leaf_nodes(),
        client_connections: use_of.connections,
        subscriptions: use_of.stats.subscriptions,
        name_tag: tag(&account.label, &account.name),
        sublist_stats: SublistStats {
            num_subscriptions: use_of.stats.subscriptions,
            num_cache: use_of.stats.cached,
            num_inserts: use_of.stats.inserts,
            num_removes: use_of.stats.removes,
            num_matches: use_of.stats.matches,
            cache_hit_rate: Number(use_of.stats.cache_hit_rate()),
            max_fanout: use_of.stats.fanout_max,
            avg_fanout: Number(use_of.stats.fanout_average()),
        },
    });
    Answer::json(pretty(&document))
}

/// What people call an account.
fn tag(label: &str, name: &str) -> String {
    if label.is_empty() { name } else { label }.to_owned()
}

#[derive(Serialize)]
struct Accstatz {
    server_id: String,
    now: String,
}

#[derive(Serialize)]
struct AccountStat {
    acc: String,
    name: String,
    conns: u64,
    leafnodes: u64,
    total_conns: u64,
    num_subscriptions: u64,
    sent: Counted,
    received: Counted,
    slow_consumers: u64,
}

/// Messages and bytes, those of links between servers apart.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    all: MsgBytes,
    gateways: MsgBytes,
    routes: MsgBytes,
    leafs: MsgBytes,
}

#[derive(Serialize, Default)]
struct MsgBytes {
    msgs: u64,
    bytes: u64,
}

impl Counted {
    fn of(msgs: u64, bytes: u64) -> Self {
        Self {
            all: MsgBytes { msgs, bytes },
            gateways: MsgBytes::default(),
            routes: MsgBytes::default(),
            leafs: MsgBytes::default(),
        }
    }
}

/// `/accstatz`: what accounts use; those without connections only when asked for.
pub(super) async fn accstatz(monitor: &Monitor, with_unused: bool) -> Answer {
    let rules = monitor.shard.rules();
    let head = Accstatz {
        server_id: monitor.facts.identity.server_id.clone(),
        now: time(monitor.shard.io().wall()),
    };
    let mut uses = monitor.uses().await;
    let mut document = ListDocument::new(&head, "account_statz");
    let mut rows = 0;
    for account in rules.accounts() {
        let use_of = uses.remove(&account.id).unwrap_or_default();
        let leafnodes = account.counts.leaf_nodes();
        if !with_unused && use_of.connections + leafnodes == 0 {
            continue;
        }
        let traffic = use_of.traffic;
        document.push(&AccountStat {
            acc: account.name.to_string(),
            name: tag(&account.label, &account.name),
            conns: use_of.connections,
            leafnodes,
            total_conns: use_of.connections + leafnodes,
            num_subscriptions: use_of.stats.subscriptions,
            sent: Counted::of(traffic.out_msgs, traffic.out_bytes),
            received: Counted::of(traffic.in_msgs, traffic.in_bytes),
            slow_consumers: use_of.slow_consumers,
        });
        rows += 1;
        if rows % ROWS_IN_A_ROW == 0 {
            monitor.shard.io().yield_now().await;
        }
    }
    Answer::json(document.finish())
}

/// What one account uses, on one shard or on all.
#[derive(Clone, Debug, Default)]
struct Use {
    connections: u64,
    slow_consumers: u64,
    traffic: Traffic,
    stats: Stats,
}

impl Use {
    fn add(&mut self, other: &Use) {
        self.connections += other.connections;
        self.slow_consumers += other.slow_consumers;
        self.traffic.add(&other.traffic);
        self.stats.add(&other.stats);
    }
}

/// What the accounts of a shard use, their open connections aside.
fn uses_at_rest(shard: &Shard) -> BTreeMap<AccountId, Use> {
    let accounts = shard.accounts();
    let uses = accounts.iter().map(|account| {
        let at_rest = Use {
            connections: account.connections(),
            slow_consumers: account.slow_consumers(),
            traffic: account.closed_traffic(),
            stats: account.subscription_stats(),
        };
        (account.id, at_rest)
    });
    uses.collect()
}

/// The traffic of a page of open connections by account, and where the next page begins.
fn traffic_page(shard: &Shard, after: ConnectionId) -> (BTreeMap<AccountId, Traffic>, Option<ConnectionId>) {
    let page = shard.connections_after(after, CONNECTIONS_PAGE);
    let mut sums: BTreeMap<AccountId, Traffic> = BTreeMap::new();
    for connection in page.iter().filter(|connection| connection.is_open()) {
        let sum = sums.entry(connection.account().id).or_default();
        sum.add(&connection.traffic());
    }
    let next = (page.len() == CONNECTIONS_PAGE).then(|| page[CONNECTIONS_PAGE - 1].id);
    (sums, next)
}

impl Monitor {
    /// What one account uses.
    async fn use_of(&self, account: AccountId) -> Use {
        let mut sum = Use::default();
        for shard in self.shard.shards().ids() {
            let ask = move |shard: &Rc<Shard>| uses_at_rest(shard).remove(&account);
            if let Some(Some(more)) = self.shard.ask(shard, ask).await {
                sum.add(&more);
            }
        }
        sum
    }

    /// What all accounts use.
    async fn uses(&self) -> BTreeMap<AccountId, Use> {
        let mut sums: BTreeMap<AccountId, Use> = BTreeMap::new();
        for shard in self.shard.shards().ids() {
            let at_rest = self.shard.ask(shard, |shard| uses_at_rest(shard)).await;
            for (account, more) in at_rest.unwrap_or_default() {
                sums.entry(account).or_default().add(&more);
            }
            let mut next = Some(FIRST_CONNECTION);
            while let Some(after) = next {
                let asked = self.shard.ask(shard, move |shard| traffic_page(shard, after));
                let Some((traffic, following)) = asked.await else {
                    break;
                };
                for (account, more) in traffic {
                    sums.entry(account).or_default().traffic.add(&more);
                }
                next = following;
            }
        }
        sums
    }
}
