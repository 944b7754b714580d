//! `/connz`: the client connections, open and closed.
//!
//! Owns: its parameters, which connections are shown, their fields. Not here: their order (`sort`).
//! Connections are taken from each shard a page at a time as plain facts; texts are made here, only for what is shown.
//! Lists of subscriptions are fetched last, for the shown ones, in pages of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::conn::{key_digest, Connection, Door, TlsState, Traffic};
use pinion_shard::ids::{ConnectionId, ShardId};
use pinion_shard::io::WallTime;
use pinion_shard::proto::{CloseReason, Connect};
use pinion_shard::rules::Grant;
use pinion_shard::runtime::{ClosedConnection, Shard};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::answer::{pretty, Answer, ListDocument};
use super::gather::{CONNECTIONS_PAGE, FIRST_CONNECTION};
use super::request::Query;
use super::sort::{Sort, Window};
use super::text::{round_trip, text, time, uptime};
use super::Monitor;

/// Rows when nobody says how many.
pub(super) const LIMIT_DEFAULT: usize = 1024;
/// Subscriptions one job looks at.
pub(super) const SUBSCRIPTIONS_PAGE: usize = 1024;
/// Connections whose subscriptions one job may ask for.
const OWNERS_PAGE: usize = 256;
/// The account users without one live in; it is not named.
const GLOBAL_ACCOUNT: &str = "$G";
/// Rows written before others get the core.
pub(super) const ROWS_IN_A_ROW: usize = 64;

/// Which connections are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Open,
    Closed,
    All,
}

/// How much of the subscriptions is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Subs {
    #[default]
    Count,
    Subjects,
    Detail,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnzOptions {
    sort: Sort,
    with_auth: bool,
    subs: Subs,
    offset: usize,
    limit: usize,
    cid: u64,
    state: State,
    user: String,
    account: String,
    mqtt_client: String,
}

/// A position or a count: none below zero.
pub(super) fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// A limit: the default when it is none.
pub(super) fn limit(number: i64) -> usize {
    match size(number) {
        0 => LIMIT_DEFAULT,
        limit => limit,
    }
}

impl ConnzOptions {
    /// Reads the parameters; the first wrong one is told.
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let with_auth = query.boolean("auth")?;
        let subs = match query.text("subs") {
            word if word.eq_ignore_ascii_case("detail") => Subs::Detail,
            _ if query.boolean("subs")? => Subs::Subjects,
            _ => Subs::Count,
        };
        let (offset, limit_asked) = (query.integer("offset")?, query.integer("limit")?);
        let cid = query.unsigned("cid")?;
        let word = query.text("state");
        let state = match word.to_lowercase().as_str() {
            "" | "open" => State::Open,
            "closed" => State::Closed,
            "any" | "all" => State::All,
            _ => return Err(Answer::bad_request(format!("Error decoding state for {word}"))),
        };
        Ok(Self {
            sort: Sort::parse(query.text("sort"), state)?,
            with_auth,
            subs,
            offset: size(offset),
            limit: if cid > 0 { 1 } else { limit(limit_asked) },
            cid,
            state,
            user: query.text("user").to_owned(),
            account: query.text("acc").to_owned(),
            mqtt_client: query.text("mqtt_client").to_owned(),
        })
    }

    fn wants_open(&self) -> bool {
        self.state != State::Closed
    }

    fn wants_closed(&self) -> bool {
        self.state != State::Open
    }

    /// Whether a connection passes the filters. No client is one of MQTT yet.
    fn takes(&self, facts: &ConnectionFacts) -> bool {
        (self.account.is_empty() || facts.account == self.account)
            && (self.user.is_empty() || facts.user == self.user)
            && self.mqtt_client.is_empty()
    }
}

/// What is known of a connection, as it leaves its shard.
#[derive(Clone, Debug)]
pub(super) struct ConnectionFacts {
    pub(super) shard: ShardId,
    pub(super) cid: u64,
    /// Its number among the closed ones of its shard.
    pub(super) closed_number: Option<u64>,
    pub(super) peer: SocketAddr,
    pub(super) started: WallTime,
    pub(super) stopped: Option<WallTime>,
    pub(super) reason: Option<CloseReason>,
    pub(super) last_active: WallTime,
    pub(super) rtt: Duration,
    pub(super) pending_size: usize,
    pub(super) traffic: Traffic,
    pub(super) stalls: u64,
    pub(super) subscriptions: usize,
    pub(super) name: String,
    pub(super) lang: String,
    pub(super) version: String,
    pub(super) user: String,
    pub(super) door: Door,
    pub(super) tls: Option<Arc<TlsState>>,
    /// Of a closed connection: empty for the global account.
    pub(super) account: String,
}

/// Who a client was found to be, or says it is: its key before its name; of a token only that there was one.
pub(crate) fn user_of(grant: Option<&Arc<Grant>>, connect: &Connect) -> String {
    if let Some(grant) = grant.filter(|grant| !grant.identity.user.is_empty()) {
        return grant.identity.user.to_string();
    }
    let shown = [&connect.nkey, &connect.user, &connect.auth_token];
    let shown = shown.into_iter().find(|name| !name.is_empty());
    shown.cloned().unwrap_or_default()
}

impl ConnectionFacts {
    fn of_open(shard: &Shard, connection: &Connection) -> Self {
        let connect = connection.connect();
        let (started, started_wall) = connection.started();
        Self {
            shard: shard.id(),
            cid: connection.id.0,
            closed_number: None,
            peer: connection.peer(),
            started: started_wall,
            stopped: None,
            reason: None,
            last_active: started_wall + connection.last_active().since(started),
            rtt: connection.rtt(),
            pending_size: connection.pending_size(),
            traffic: connection.traffic(),
            stalls: connection.stalls(),
            subscriptions: connection.subscription_count(),
            name: connect.name.clone(),
            lang: connect.lang.clone(),
            version: connect.version.clone(),
            user: user_of(connection.grant().as_ref(), &connect),
            door: connection.door(),
            tls: connection.tls_state().cloned(),
            account: connection.account().name.to_string(),
        }
    }

    fn of_closed(shard: &Shard, number: u64, closed: &ClosedConnection) -> Self {
        let (started, started_wall) = closed.started;
        let account = &*closed.account;
        Self {
            shard: shard.id(),
            cid: closed.id.0,
            closed_number: Some(number),
            peer: closed.peer,
            started: started_wall,
            stopped: Some(closed.stopped.1),
            reason: Some(closed.reason),
            last_active: started_wall + closed.last_active.since(started),
            rtt: closed.rtt,
            pending_size: closed.pending_size,
            traffic: closed.traffic,
            stalls: closed.stalls,
            subscriptions: closed.subjects.len(),
            name: closed.connect.name.clone(),
            lang: closed.connect.lang.clone(),
            version: closed.connect.version.clone(),
            user: user_of(closed.grant.as_ref(), &closed.connect),
            door: closed.door,
            tls: closed.tls.clone(),
            account: if account == GLOBAL_ACCOUNT {
                String::new()
            } else {
                account.to_owned()
            },
        }
    }
}

#[derive(Serialize)]
struct Connz {
    server_id: String,
    now: String,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
}

/// An account that is not there is answered with less.
#[derive(Serialize)]
struct NoSuchAccount {
    #[serde(flatten)]
    head: Connz,
    connections: Option<()>,
}

#[derive(Serialize)]
struct ConnectionInfo<'a> {
    cid: u64,
    kind: &'static str,
    #[serde(rename = "type")]
    client_type: &'static str,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalls: Option<u64>,
    subscriptions: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_cipher_suite: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_peer_certs: Vec<PeerCertificate>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_first: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    authorized_user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions_list: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions_list_detail: &'a [SubscriptionDetail],
    #[serde(skip_serializing_if = "str::is_empty")]
    name_tag: &'a str,
}

/// A certificate that a client showed.
#[derive(Serialize)]
struct PeerCertificate {
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    spki_sha256: String,
    cert_sha256: String,
}

impl PeerCertificate {
    fn of(certificate: &[u8]) -> Self {
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            subject: crate::tls::subject(certificate).unwrap_or_default(),
            spki_sha256: key_digest(certificate).map_or_else(String::new, |digest| hex(&digest)),
            cert_sha256: hex(&Sha256::digest(certificate)),
        }
    }
}

/// A subscription as `/connz` and `/subsz` show it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SubscriptionDetail {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) account_tag: String,
    pub(super) subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) qgroup: String,
    pub(super) sid: String,
    pub(super) msgs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u64>,
    pub(super) cid: u64,
}

fn row<'a>(
    facts: &'a ConnectionFacts,
    now: WallTime,
    with_auth: bool,
    subjects: &'a [&'a str],
    details: &'a [SubscriptionDetail],
) -> ConnectionInfo<'a> {
    let until = facts.stopped.unwrap_or(now);
    let since = |earlier: WallTime| Duration::from_nanos(until.0.saturating_sub(earlier.0));
    let account = if with_auth { facts.account.as_str() } else { "" };
    let tls = facts.tls.as_deref();
    ConnectionInfo {
        cid: facts.cid,
        kind: "Client",
        client_type: match facts.door {
            Door::Client => "nats",
            Door::WebSocket => "websocket",
        },
        ip: facts.peer.ip().to_string(),
        port: facts.peer.port(),
        start: time(facts.started),
        last_activity: time(facts.last_active),
        stop: facts.stopped.map(time),
        reason: facts.reason.map(CloseReason::text),
        rtt: round_trip(facts.rtt),
        uptime: uptime(since(facts.started)),
        idle: uptime(since(facts.last_active)),
        pending_bytes: facts.pending_size,
        in_msgs: facts.traffic.in_msgs,
        out_msgs: facts.traffic.out_msgs,
        in_bytes: facts.traffic.in_bytes,
        out_bytes: facts.traffic.out_bytes,
        stalls: Some(facts.stalls).filter(|&stalls| stalls > 0),
        subscriptions: facts.subscriptions,
        name: &facts.name,
        lang: &facts.lang,
        version: &facts.version,
        tls_version: tls.map_or("", |tls| tls.version),
        tls_cipher_suite: tls.map_or("", |tls| &tls.cipher_suite),
        tls_peer_certs: tls.filter(|_| with_auth).map_or_else(Vec::new, |tls| {
            tls.peer_certificates
                .iter()
                .map(|certificate| PeerCertificate::of(certificate))
                .collect()
        }),
        tls_first: tls.is_some_and(|tls| tls.is_first),
        authorized_user: if with_auth { &facts.user } else { "" },
        account: if account == GLOBAL_ACCOUNT { "" } else { account },
        subscriptions_list: subjects,
        subscriptions_list_detail: details,
        name_tag: account,
    }
}

/// The page.
pub(super) async fn connz(monitor: &Monitor, options: ConnzOptions) -> Answer {
    let now = monitor.shard.io().wall();
    let mut head = Connz {
        server_id: monitor.facts.identity.server_id.clone(),
        now: time(now),
        num_connections: 0,
        total: 0,
        offset: options.offset,
        limit: options.limit,
    };
    let is_there = monitor.shard.rules().account_named(&options.account).is_some();
    if !options.account.is_empty() && !is_there {
        head.server_id.clear();
        return Answer::json(pretty(&NoSuchAccount {
            head,
            connections: None,
        }));
    }
    let mut walk = Walk {
        monitor,
        options: &options,
        now,
        total: 0,
        window: Window::new(options.offset, options.limit),
    };
    // Closed ones first: a connection that closes meanwhile is not shown twice.
    let closed = if options.wants_closed() {
        walk.closed().await
    } else {
        Vec::new()
    };
    let mut found_open = false;
    if options.wants_open() {
        found_open = if options.cid > 0 {
            walk.open_one().await
        } else {
            walk.open().await
        };
    }
    if options.cid == 0 || !found_open {
        let wanted = |facts: &ConnectionFacts| options.cid == 0 || facts.cid == options.cid;
        closed
            .into_iter()
            .filter(wanted)
            .for_each(|facts| walk.show(facts));
    }
    head.total = walk.total;
    let rows = walk.window.into_rows();
    head.num_connections = rows.len();
    let mut lists = if options.subs == Subs::Count {
        BTreeMap::new()
    } else {
        subscriptions_of(monitor, &rows).await
    };
    let mut document = ListDocument::new(&head, "connections");
    for (index, facts) in rows.iter().enumerate() {
        let details = lists.remove(&facts.cid).unwrap_or_default();
        let (subjects, details) = match options.subs {
            Subs::Detail => (Vec::new(), &details[..]),
            _ => (
                details.iter().map(|detail| detail.subject.as_str()).collect(),
                &[][..],
            ),
        };
        document.push(&row(facts, now, options.with_auth, &subjects, details));
        if index % ROWS_IN_A_ROW == ROWS_IN_A_ROW - 1 {
            monitor.shard.io().yield_now().await;
        }
    }
    Answer::json(document.finish())
}

/// One request's walk over all connections.
struct Walk<'a> {
    monitor: &'a Monitor,
    options: &'a ConnzOptions,
    now: WallTime,
    total: usize,
    window: Window<ConnectionFacts>,
}

impl Walk<'_> {
    fn show(&mut self, facts: ConnectionFacts) {
        let is_asked_by_number = self.options.cid > 0 && facts.stopped.is_none();
        if is_asked_by_number || self.options.takes(&facts) {
            let rank = self.options.sort.rank(&facts, self.now.0);
            self.window.push(rank, facts.cid, facts);
        }
    }

    /// Shows all open connections.
    async fn open(&mut self) -> bool {
        for shard in self.monitor.shard.shards().ids() {
            let mut next = Some(FIRST_CONNECTION);
            while let Some(after) = next {
                let page = self
                    .monitor
                    .shard
                    .ask(shard, move |shard| open_page(shard, after))
                    .await;
                let Some((page, following)) = page else { break };
                for facts in page {
                    let counts = self.options.account.is_empty() || facts.account == self.options.account;
                    self.total += usize::from(counts);
                    self.show(facts);
                }
                next = following;
                self.monitor.shard.io().yield_now().await;
            }
        }
        true
    }

    /// Shows one connection by number, whatever the other filters say; `false`: it is not open.
    async fn open_one(&mut self) -> bool {
        let (cid, account) = (ConnectionId(self.options.cid), self.options.account.clone());
        let mut found = None;
        for shard in self.monitor.shard.shards().ids() {
            let account = account.clone();
            let ask = move |shard: &Rc<Shard>| {
                let count = match shard.accounts().iter().find(|other| *other.name == *account) {
                    Some(account) => usize::try_from(account.connections()).unwrap_or(usize::MAX),
                    None => shard.connection_count(),
                };
                let connection = shard.connection(cid).filter(|connection| connection.is_open());
                (
                    count,
                    connection.map(|connection| ConnectionFacts::of_open(shard, &connection)),
                )
            };
            if let Some((count, connection)) = self.monitor.shard.ask(shard, ask).await {
                self.total += count;
                found = found.or(connection);
            }
        }
        let is_found = found.is_some();
        if let Some(facts) = found {
            self.show(facts);
        }
        is_found
    }

    /// The closed connections the server remembers, of the account asked for.
    async fn closed(&mut self) -> Vec<ConnectionFacts> {
        let max = self.monitor.shard.settings().closed_connections_max;
        // By the time of the close: every shard remembers as many as the server may.
        let mut newest = BTreeMap::new();
        for shard in self.monitor.shard.shards().ids() {
            let mut from = 0;
            loop {
                let page = self
                    .monitor
                    .shard
                    .ask(shard, move |shard| closed_page(shard, from))
                    .await;
                let Some((page, next)) = page.filter(|(page, _)| !page.is_empty()) else {
                    break;
                };
                for facts in page {
                    newest.insert((facts.stopped, facts.cid), facts);
                }
                while newest.len() > max {
                    newest.pop_first();
                }
                from = next;
                self.monitor.shard.io().yield_now().await;
            }
        }
        let account = &self.options.account;
        let of_account = |facts: &ConnectionFacts| account.is_empty() || facts.account == *account;
        let closed: Vec<_> = newest.into_values().filter(of_account).collect();
        self.total += closed.len();
        closed
    }
}

fn open_page(shard: &Shard, after: ConnectionId) -> (Vec<ConnectionFacts>, Option<ConnectionId>) {
    let page = shard.connections_after(after, CONNECTIONS_PAGE);
    let next = (page.len() == CONNECTIONS_PAGE).then(|| page[CONNECTIONS_PAGE - 1].id);
    let open = page.iter().filter(|connection| connection.is_open());
    let facts = open.map(|connection| ConnectionFacts::of_open(shard, connection));
    (facts.collect(), next)
}

fn closed_page(shard: &Shard, from: u64) -> (Vec<ConnectionFacts>, u64) {
    let (page, next) = shard.closed_connections_from(from, CONNECTIONS_PAGE);
    let first = next - page.len() as u64;
    let facts = (first..next)
        .zip(&page)
        .map(|(number, closed)| ConnectionFacts::of_closed(shard, number, closed));
    (facts.collect(), next)
}

/// A connection whose subscriptions are wanted.
#[derive(Clone, Copy)]
struct Owner {
    cid: u64,
    closed_number: Option<u64>,
}

/// How far the walk over the subscriptions of several connections has come.
#[derive(Clone, Default)]
struct SubscriptionCursor {
    owner: usize,
    /// The last sid seen of an open connection.
    sid: Option<Box<[u8]>>,
    /// The next one of a closed connection.
    index: usize,
}

/// The subscriptions of the connections shown, by number of the connection.
async fn subscriptions_of(
    monitor: &Monitor,
    rows: &[ConnectionFacts],
) -> BTreeMap<u64, Vec<SubscriptionDetail>> {
    let mut lists: BTreeMap<u64, Vec<SubscriptionDetail>> = BTreeMap::new();
    for shard in monitor.shard.shards().ids() {
        let owners: Vec<Owner> = rows
            .iter()
            .filter(|facts| facts.shard == shard && facts.subscriptions > 0)
            .map(|facts| Owner {
                cid: facts.cid,
                closed_number: facts.closed_number,
            })
            .collect();
        for owners in owners.chunks(OWNERS_PAGE) {
            let mut next = Some(SubscriptionCursor::default());
            while let Some(cursor) = next {
                let owners = owners.to_vec();
                let page = monitor
                    .shard
                    .ask(shard, move |shard| subscriptions_page(shard, &owners, cursor))
                    .await;
                let Some((page, following)) = page else { break };
                for detail in page {
                    lists.entry(detail.cid).or_default().push(detail);
                }
                next = following;
                monitor.shard.io().yield_now().await;
            }
        }
    }
    lists
}

fn subscriptions_page(
    shard: &Shard,
    owners: &[Owner],
    mut cursor: SubscriptionCursor,
) -> (Vec<SubscriptionDetail>, Option<SubscriptionCursor>) {
    let mut page = Vec::new();
    while let Some(owner) = owners.get(cursor.owner) {
        let left = SUBSCRIPTIONS_PAGE - page.len();
        if left == 0 {
            return (page, Some(cursor));
        }
        let taken = match owner.closed_number {
            Some(number) => closed_subscriptions(shard, number, cursor.index, left, &mut page),
            None => open_subscriptions(shard, owner.cid, &mut cursor, left, &mut page),
        };
        if taken == left {
            cursor.index += taken;
        } else {
            cursor = SubscriptionCursor {
                owner: cursor.owner + 1,
                ..SubscriptionCursor::default()
            };
        }
    }
    (page, None)
}

fn open_subscriptions(
    shard: &Shard,
    cid: u64,
    cursor: &mut SubscriptionCursor,
    count: usize,
    page: &mut Vec<SubscriptionDetail>,
) -> usize {
    let Some(connection) = shard.connection(ConnectionId(cid)) else {
        return 0;
    };
    let subscriptions = connection.subscriptions_after(cursor.sid.as_deref(), count);
    for subscription in &subscriptions {
        page.push(SubscriptionDetail {
            subject: text(&subscription.subject),
            qgroup: subscription.queue.as_deref().map(text).unwrap_or_default(),
            sid: text(&subscription.sid),
            msgs: subscription.delivered.get(),
            max: Some(subscription.delivered_max.get()).filter(|&max| max > 0),
            cid,
            ..SubscriptionDetail::default()
        });
    }
    cursor.sid = subscriptions.last().map(|subscription| subscription.sid.clone());
    subscriptions.len()
}

fn closed_subscriptions(
    shard: &Shard,
    number: u64,
    from: usize,
    count: usize,
    page: &mut Vec<SubscriptionDetail>,
) -> usize {
    let (closed, next) = shard.closed_connections_from(number, 1);
    let (Some(closed), true) = (closed.first(), next == number + 1) else {
        // Forgotten meanwhile.
        return 0;
    };
    let before = page.len();
    for subscription in closed.subjects.iter().skip(from).take(count) {
        page.push(SubscriptionDetail {
            account: closed.account.to_string(),
            account_tag: closed.account.to_string(),
            subject: text(&subscription.subject),
            qgroup: subscription.queue.as_deref().map(text).unwrap_or_default(),
            sid: text(&subscription.sid),
            msgs: subscription.delivered,
            // A closed connection shows no end of its subscriptions, as at the peer.
            max: None,
            cid: closed.id.0,
        });
    }
    page.len() - before
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A connection like any other, by number.
    pub(in crate::monitor) fn facts(cid: u64) -> ConnectionFacts {
        ConnectionFacts {
            shard: ShardId(0),
            cid,
            closed_number: None,
            peer: "127.0.0.1:4000".parse().unwrap(),
            started: WallTime(0),
            stopped: None,
            reason: None,
            last_active: WallTime(0),
            rtt: Duration::ZERO,
            pending_size: 0,
            traffic: Traffic::default(),
            stalls: 0,
            subscriptions: 0,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            user: String::new(),
            door: Door::Client,
            tls: None,
            account: GLOBAL_ACCOUNT.to_owned(),
        }
    }

    fn options(query: &str) -> ConnzOptions {
        ConnzOptions::parse(&Query::parse(query)).unwrap_or_else(|answer| panic!("{query}: {answer:?}"))
    }

    /// Parameters and their defaults.
    #[test]
    fn parameters() {
        let default = ConnzOptions {
            limit: LIMIT_DEFAULT,
            ..ConnzOptions::default()
        };
        for (query, expected) in [
            ("", default.clone()),
            ("limit=-5&offset=-1&cid=0&state=OPEN", default.clone()),
            (
                "limit=7&offset=3",
                ConnzOptions {
                    limit: 7,
                    offset: 3,
                    ..default.clone()
                },
            ),
            (
                "cid=9&limit=7",
                ConnzOptions {
                    cid: 9,
                    limit: 1,
                    ..default.clone()
                },
            ),
            (
                "subs=Detail",
                ConnzOptions {
                    subs: Subs::Detail,
                    ..default.clone()
                },
            ),
            (
                "subs=1&auth=t",
                ConnzOptions {
                    subs: Subs::Subjects,
                    with_auth: true,
                    ..default.clone()
                },
            ),
            (
                "state=any",
                ConnzOptions {
                    state: State::All,
                    ..default.clone()
                },
            ),
            (
                "state=closed&sort=stop",
                ConnzOptions {
                    state: State::Closed,
                    sort: Sort::Stop,
                    ..default.clone()
                },
            ),
            // Only requests through the system account filter by subject.
            ("filter_subject=foo", default.clone()),
        ] {
            assert_eq!(options(query), expected, "{query}");
        }
    }

    /// The first wrong parameter is told.
    /// Covers: TestMonitorConnzBadParams
    #[test]
    fn wrong_parameters_are_told() {
        for (query, error) in [
            (
                "auth=xxx&subs=xxx",
                "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"xxx\": invalid syntax",
            ),
            (
                "subs=xxx",
                "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"xxx\": invalid syntax",
            ),
            (
                "offset=xxx",
                "Error decoding int for 'offset': strconv.Atoi: parsing \"xxx\": invalid syntax",
            ),
            (
                "limit=xxx",
                "Error decoding int for 'limit': strconv.Atoi: parsing \"xxx\": invalid syntax",
            ),
            ("state=xxx", "Error decoding state for xxx"),
            ("state=xxx&sort=foo", "Error decoding state for xxx"),
            ("sort=foo", "invalid sorting option: foo"),
        ] {
            let answer = ConnzOptions::parse(&Query::parse(query)).unwrap_err();
            assert_eq!(
                (answer.status, String::from_utf8(answer.into_body()).unwrap()),
                (400, error.to_owned()),
                "{query}"
            );
        }
    }

    /// Filters by account, user and MQTT client.
    #[test]
    fn filters() {
        let joe = ConnectionFacts {
            user: "joe".to_owned(),
            ..facts(1)
        };
        let closed = ConnectionFacts {
            account: String::new(),
            ..joe.clone()
        };
        for (query, facts, takes) in [
            ("", &joe, true),
            ("user=joe", &joe, true),
            ("user=jim", &joe, false),
            ("acc=$G", &joe, true),
            ("acc=A", &joe, false),
            ("acc=$G&user=jim", &joe, false),
            ("acc=$G", &closed, false),
            ("mqtt_client=m", &joe, false),
        ] {
            assert_eq!(options(query).takes(facts), takes, "{query}");
        }
    }

    /// Keys a row shows only when there is something to show.
    #[test]
    fn rows_leave_out_what_is_empty() {
        let second = 1_000_000_000;
        let facts = ConnectionFacts {
            started: WallTime(second),
            last_active: WallTime(3 * second),
            user: "joe".to_owned(),
            ..facts(7)
        };
        let json = |facts: &ConnectionFacts, with_auth| {
            serde_json::to_string(&row(facts, WallTime(65 * second), with_auth, &[], &[])).unwrap()
        };
        let start = r#"{"cid":7,"kind":"Client","type":"nats","ip":"127.0.0.1","port":4000,"start":"1970-01-01T00:00:01Z","last_activity":"1970-01-01T00:00:03Z","#;
        let middle = r#""pending_bytes":0,"in_msgs":0,"out_msgs":0,"in_bytes":0,"out_bytes":0,"#;
        assert_eq!(
            json(&facts, false),
            format!(r#"{start}"rtt":"0s","uptime":"1m4s","idle":"1m2s",{middle}"subscriptions":0}}"#)
        );
        assert_eq!(
            json(&facts, true),
            format!(
                r#"{start}"rtt":"0s","uptime":"1m4s","idle":"1m2s",{middle}"subscriptions":0,"authorized_user":"joe","name_tag":"$G"}}"#
            )
        );
        let closed = ConnectionFacts {
            stopped: Some(WallTime(5 * second)),
            reason: Some(CloseReason::ClientClosed),
            stalls: 2,
            name: "n".to_owned(),
            account: "A".to_owned(),
            ..facts
        };
        assert_eq!(
            json(&closed, true),
            format!(
                r#"{start}"stop":"1970-01-01T00:00:05Z","reason":"Client Closed","rtt":"0s","uptime":"4s","idle":"2s",{middle}"stalls":2,"subscriptions":0,"name":"n","authorized_user":"joe","account":"A","name_tag":"A"}}"#
            )
        );
    }
}
