//! `/subsz`: the subscription lists of all accounts, and the subscriptions in them.
//!
//! Owns: its parameters and fields. Every shard has a list per account; their numbers are added up, and entries that
//! stand for other shards are nobody's subscription.

use std::rc::Rc;

use pinion_shard::conn::Subscriber;
use pinion_shard::ids::{AccountId, ShardId};
use pinion_shard::runtime::Shard;
use pinion_shard::subject::{is_valid_literal, wildcard};
use pinion_shard::sublist::{Cursor, Stats};
use serde::Serialize;

use super::answer::{pretty, Answer, ListDocument};
use super::connz::{limit, size, SubscriptionDetail, ROWS_IN_A_ROW, SUBSCRIPTIONS_PAGE};
use super::request::Query;
use super::text::{text, time, Number};
use super::Monitor;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubszOptions {
    with_list: bool,
    offset: usize,
    limit: usize,
    /// Only what a message to this subject would match.
    test: String,
    account: String,
}

impl SubszOptions {
    /// Reads the parameters; the first wrong one is told.
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let options = Self {
            with_list: query.boolean("subs")?,
            offset: size(query.integer("offset")?),
            limit: limit(query.integer("limit")?),
            test: query.text("test").to_owned(),
            account: query.text("acc").to_owned(),
        };
        let test = &options.test;
        if !test.is_empty() && !is_valid_literal(test.as_bytes()) {
            let error = format!("invalid test subject, must be valid publish subject: {test}");
            return Err(Answer::bad_request(error));
        }
        Ok(options)
    }
}

#[derive(Serialize)]
struct Subsz {
    server_id: String,
    now: String,
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: Number,
    max_fanout: u64,
    avg_fanout: Number,
    total: usize,
    offset: usize,
    limit: usize,
}

/// The page.
pub(super) async fn subsz(monitor: &Monitor, options: SubszOptions) -> Answer {
    let rules = monitor.shard.rules();
    let accounts: Vec<(AccountId, String)> = rules
        .accounts()
        .map(|account| (account.id, account.name.to_string()))
        .filter(|(_, name)| options.account.is_empty() || *name == options.account)
        .collect();
    let mut stats = Stats::default();
    let mut list = List {
        rows: Vec::new(),
        seen: 0,
        options: &options,
    };
    for (account, name) in &accounts {
        let account = *account;
        for shard in monitor.shard.shards().ids() {
            let ask =
                move |shard: &Rc<Shard>| shard.account(account).map(|account| account.subscription_stats());
            if let Some(Some(more)) = monitor.shard.ask(shard, ask).await {
                stats.add(&more);
            }
            if options.with_list {
                list.take(monitor, shard, account, name).await;
            }
        }
    }
    let head = Subsz {
        server_id: monitor.facts.identity.server_id.clone(),
        now: time(monitor.shard.io().wall()),
        num_subscriptions: stats.subscriptions,
        num_cache: stats.cached,
        num_inserts: stats.inserts,
        num_removes: stats.removes,
        num_matches: stats.matches,
        cache_hit_rate: Number(stats.cache_hit_rate()),
        max_fanout: stats.fanout_max,
        avg_fanout: Number(stats.fanout_average()),
        total: list.seen,
        offset: options.offset,
        limit: options.limit,
    };
    if list.rows.is_empty() {
        return Answer::json(pretty(&head));
    }
    let mut document = ListDocument::new(&head, "subscriptions_list");
    for rows in list.rows.chunks(ROWS_IN_A_ROW) {
        rows.iter().for_each(|row| document.push(row));
        monitor.shard.io().yield_now().await;
    }
    Answer::json(document.finish())
}

/// The subscriptions that match, of which those in the window are kept.
struct List<'a> {
    options: &'a SubszOptions,
    rows: Vec<SubscriptionDetail>,
    seen: usize,
}

impl List<'_> {
    /// Walks the list of one account on one shard.
    async fn take(&mut self, monitor: &Monitor, shard: ShardId, account: AccountId, name: &str) {
        let mut next = Some(Cursor::START);
        while let Some(cursor) = next {
            let skip = self.options.offset.saturating_sub(self.seen);
            let wanted = self.options.limit - self.rows.len();
            let test = self.options.test.clone();
            let ask = move |shard: &Rc<Shard>| page(shard, account, cursor, &test, skip, wanted);
            let Some(Some(page)) = monitor.shard.ask(shard, ask).await else {
                break;
            };
            self.seen += page.matched;
            self.rows
                .extend(page.rows.into_iter().map(|row| SubscriptionDetail {
                    account: name.to_owned(),
                    account_tag: name.to_owned(),
                    ..row
                }));
            next = page.next;
            monitor.shard.io().yield_now().await;
        }
    }
}

struct Page {
    rows: Vec<SubscriptionDetail>,
    /// Subscriptions that passed the test, shown or not.
    matched: usize,
    next: Option<Cursor>,
}

/// One page of the list: `skip` of what matches are passed over, then up to `wanted` kept.
fn page(
    shard: &Shard,
    account: AccountId,
    cursor: Cursor,
    test: &str,
    skip: usize,
    wanted: usize,
) -> Option<Page> {
    let account = shard.account(account)?;
    let mut page = Page {
        rows: Vec::new(),
        matched: 0,
        next: None,
    };
    page.next = account.with_sublist(|list| {
        list.for_each_from(cursor, SUBSCRIPTIONS_PAGE, |subject, _, entry| {
            let Subscriber::Local(subscription) = entry else {
                return;
            };
            if !test.is_empty() && !wildcard::matches(test.as_bytes(), subject) {
                return;
            }
            page.matched += 1;
            if page.matched <= skip || page.rows.len() >= wanted {
                return;
            }
            page.rows.push(SubscriptionDetail {
                subject: text(subject),
                qgroup: subscription.queue.as_deref().map(text).unwrap_or_default(),
                sid: text(&subscription.sid),
                msgs: subscription.delivered.get(),
                max: Some(subscription.delivered_max.get()).filter(|&max| max > 0),
                cid: subscription.connection.id.0,
                ..SubscriptionDetail::default()
            });
        })
    });
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters, defaults, errors.
    /// Covers: TestMonitorSubszTestPubSubject
    #[test]
    fn parameters() {
        let default = SubszOptions {
            limit: 1024,
            ..SubszOptions::default()
        };
        for (query, expected) in [
            ("", Ok(default.clone())),
            ("offset=-1&limit=-1", Ok(default.clone())),
            (
                "subs=1&offset=2&limit=3&acc=A",
                Ok(SubszOptions {
                    with_list: true,
                    offset: 2,
                    limit: 3,
                    account: "A".to_owned(),
                    ..default.clone()
                }),
            ),
            (
                "test=foo.foo",
                Ok(SubszOptions {
                    test: "foo.foo".to_owned(),
                    ..default.clone()
                }),
            ),
            (
                "test=foo.*",
                Err("invalid test subject, must be valid publish subject: foo.*"),
            ),
            (
                "test=foo..bar",
                Err("invalid test subject, must be valid publish subject: foo..bar"),
            ),
            (
                "subs=xxx",
                Err("Error decoding boolean for 'subs': strconv.ParseBool: parsing \"xxx\": invalid syntax"),
            ),
            (
                "offset=xxx",
                Err("Error decoding int for 'offset': strconv.Atoi: parsing \"xxx\": invalid syntax"),
            ),
        ] {
            let parsed = SubszOptions::parse(&Query::parse(query))
                .map_err(|answer| String::from_utf8(answer.into_body()).unwrap());
            assert_eq!(parsed, expected.map_err(str::to_owned), "{query}");
        }
    }
}
