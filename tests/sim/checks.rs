//! What must hold of a history, whatever went wrong in the world.
//!
//! Each rule is exact where the clients' knowledge allows it and says nothing where it does not: a message
//! in doubt (its publisher's connection broke) may be there or not, but never twice, never out of order, and
//! never without those before it.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{matches, At, End, History, MessageRecord, SubscriptionRecord};
use super::rules::User;

/// What a server may lose because a bound was hit, by its own count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgiven {
    /// Answers to mesh input that were dropped: hand-ons, and words that nobody got a request.
    pub answers: u64,
    /// Requests that were forgotten before all their answers came.
    pub requests: u64,
}

/// Everything that is wrong with a history, one line each.
pub(crate) fn check(history: &History, forgiven: Forgiven) -> Vec<String> {
    let mut wrong = history.violations.clone();
    for index in 0..history.subscriptions.len() {
        check_subscription(history, index, &mut wrong);
    }
    let missing = check_groups(history, &mut wrong);
    if missing.len() as u64 > forgiven.answers {
        wrong.extend(missing);
    }
    let unanswered = check_requests(history, &mut wrong);
    if unanswered.len() as u64 > forgiven.answers + forgiven.requests {
        wrong.extend(unanswered);
    }
    wrong
}

fn describe(record: &SubscriptionRecord) -> String {
    let SubscriptionRecord {
        connection,
        sid,
        pattern,
        queue,
        subscribed,
        active,
        end,
        max,
        ..
    } = record;
    format!("connection {connection} sid {sid} ({pattern:?} queue {queue:?} max {max:?}, subscribed at {subscribed}, active {active:?}, end {end:?})")
}

impl History {
    /// Whether a subscription wants a message, time aside: under any rules it may have met, and under all of them.
    fn wants_of(&self, record: &SubscriptionRecord, message: &MessageRecord) -> (bool, bool) {
        let connection = &self.connections[record.connection];
        if record.connection == message.connection && !connection.echo {
            return (false, false);
        }
        let subjects = self.subjects_in(message, connection.user);
        let is_wanted = |subject: &Option<String>| {
            subject
                .as_ref()
                .is_some_and(|subject| matches(&record.pattern, subject))
        };
        let is_certain = subjects.iter().all(is_wanted) && !self.is_answer_across(message, connection.user);
        (subjects.iter().any(is_wanted), is_certain)
    }

    /// Whether the message may come to the subscription, time aside.
    fn may_want(&self, record: &SubscriptionRecord, message: &MessageRecord) -> bool {
        self.wants_of(record, message).0
    }

    /// Whether the message must come to the subscription, time aside.
    fn wants(&self, record: &SubscriptionRecord, message: &MessageRecord) -> bool {
        self.wants_of(record, message).1
    }

    /// It was active in the whole server when the message was published, and is so at the end of the run.
    fn is_stable_for(&self, record: &SubscriptionRecord, message: &MessageRecord) -> bool {
        record.active.is_some_and(|active| active < message.published)
            && record.end.is_none()
            && record.max.is_none()
            && self.wants(record, message)
    }

    /// The message answers one that its subscriber sent after the SUB: whoever got that, knows of the SUB.
    fn must_know(&self, record: &SubscriptionRecord, message: &MessageRecord) -> bool {
        message.cause.is_some_and(|cause| {
            let cause = &self.messages[cause];
            cause.connection == record.connection && cause.published > record.subscribed
        })
    }

    /// It may have been there when the message was routed.
    fn is_possible_for(&self, record: &SubscriptionRecord, message: &MessageRecord) -> bool {
        let over = match record.end {
            Some((_, End::Unsubscribed)) => record.over,
            // The server learns late of a connection that is gone.
            Some((_, End::ConnectionGone)) | None => None,
        };
        over.is_none_or(|over: At| over > message.published) && self.may_want(record, message)
    }
}

fn check_subscription(history: &History, index: usize, wrong: &mut Vec<String>) {
    let record = &history.subscriptions[index];
    let mut seen = BTreeSet::new();
    let mut last_of_publisher: BTreeMap<usize, usize> = BTreeMap::new();
    for &(message, at) in &record.received {
        let published = &history.messages[message];
        if !seen.insert(message) {
            wrong.push(format!("message {message} came twice to {}", describe(record)));
        }
        if !history.may_want(record, published) {
            wrong.push(format!(
                "message {message} to {:?} came unasked to {}",
                published.subject,
                describe(record)
            ));
        }
        if record.over.is_some_and(|over| at > over) {
            wrong.push(format!(
                "message {message} came after UNSUB was confirmed to {}",
                describe(record)
            ));
        }
        // An answer takes another way than what its publisher publishes.
        let user = history.connections[record.connection].user;
        if record.queue.is_none() && !history.is_answer_across(published, user) {
            let last = last_of_publisher.insert(published.connection, message);
            if last.is_some_and(|last| last > message) {
                wrong.push(format!(
                    "message {message} came after {last:?} of the same publisher to {}",
                    describe(record)
                ));
            }
        }
    }
    check_count(history, record, wrong);
    if record.queue.is_none() {
        check_no_gap(history, record, &seen, wrong);
    }
}

/// UNSUB with a count ends the subscription there. What was delivered between SUB and UNSUB may be more; then
/// nothing published later comes.
fn check_count(history: &History, record: &SubscriptionRecord, wrong: &mut Vec<String>) {
    let (Some(max), Some(active)) = (record.max, record.active) else {
        return;
    };
    let later = |(message, _): &&(usize, At)| history.messages[*message].published > active;
    let count = record.received.len() as u64;
    if count > max && record.received.iter().any(|receipt| later(&receipt)) {
        wrong.push(format!("{count} messages came to {}", describe(record)));
    }
}

/// From the moment a subscription is active, it gets all messages of each publisher up to some point, and
/// that point is behind everything confirmed when the subscription lasted.
fn check_no_gap(
    history: &History,
    record: &SubscriptionRecord,
    seen: &BTreeSet<usize>,
    wrong: &mut Vec<String>,
) {
    let active = record.active.unwrap_or(At::MAX);
    let is_full = record.max.is_some_and(|max| record.received.len() as u64 >= max);
    let mut missing: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, message) in history.messages.iter().enumerate() {
        if !(message.published > active || history.must_know(record, message))
            || !history.wants(record, message)
        {
            continue;
        }
        if seen.contains(&number) {
            if let Some(gap) = missing.get(&message.connection) {
                wrong.push(format!(
                    "message {gap} is missing though {number} of the same publisher came to {}",
                    describe(record)
                ));
            }
            continue;
        }
        missing.entry(message.connection).or_insert(number);
        if message.confirmed && record.end.is_none() && !is_full {
            wrong.push(format!(
                "message {number} to {:?} was routed and is missing at {}",
                message.subject,
                describe(record)
            ));
        }
    }
}

/// Who may get a message for one queue group.
struct GroupView<'a> {
    received: usize,
    members: Vec<&'a SubscriptionRecord>,
}

/// Names a group: a stream that comes to another account finds one group of all members of a name; a service is asked
/// in its own account.
type GroupName<'a> = (Option<&'static str>, &'a str);

fn group_of<'a>(
    history: &History,
    message: &MessageRecord,
    record: &SubscriptionRecord,
    queue: &'a str,
) -> GroupName<'a> {
    let account = |connection: usize| history.connections[connection].user.account();
    let is_asked =
        account(message.connection) == User::Importer.account() || message.subject.starts_with("_R_.");
    (is_asked.then(|| account(record.connection)), queue)
}

/// The groups a message concerns, by name: a group spans the subjects its members subscribed to.
fn groups_of<'a>(
    history: &'a History,
    message: &MessageRecord,
    receipts: &BTreeMap<(usize, GroupName<'a>), usize>,
    number: usize,
) -> BTreeMap<GroupName<'a>, GroupView<'a>> {
    let mut groups: BTreeMap<GroupName<'_>, GroupView<'_>> = BTreeMap::new();
    for record in &history.subscriptions {
        let Some(queue) = record.queue.as_deref() else {
            continue;
        };
        if !history.is_possible_for(record, message) {
            continue;
        }
        let name = group_of(history, message, record, queue);
        let view = groups.entry(name).or_insert_with(|| GroupView {
            received: receipts.get(&(number, name)).copied().unwrap_or(0),
            members: Vec::new(),
        });
        view.members.push(record);
    }
    groups
}

/// How often each group got each message.
fn group_receipts(history: &History) -> BTreeMap<(usize, GroupName<'_>), usize> {
    let mut receipts = BTreeMap::new();
    for record in &history.subscriptions {
        if let Some(queue) = record.queue.as_deref() {
            for (message, _) in &record.received {
                let name = group_of(history, &history.messages[*message], record, queue);
                *receipts.entry((*message, name)).or_insert(0) += 1;
            }
        }
    }
    receipts
}

/// Whether the group must have got it: a member was there all the time, and none took it into its grave.
fn must_get(history: &History, message: &MessageRecord, view: &GroupView<'_>) -> bool {
    message.confirmed
        && view
            .members
            .iter()
            .any(|member| history.is_stable_for(member, message))
        && !view
            .members
            .iter()
            .any(|member| matches!(member.end, Some((_, End::ConnectionGone))))
}

/// Returns what is missing in groups.
fn check_groups(history: &History, wrong: &mut Vec<String>) -> Vec<String> {
    let mut missing = Vec::new();
    let receipts = group_receipts(history);
    for ((message, queue), count) in &receipts {
        if *count > 1 {
            wrong.push(format!("message {message} came {count} times to group {queue:?}"));
        }
    }
    for (number, message) in history.messages.iter().enumerate() {
        for (queue, view) in groups_of(history, message, &receipts, number) {
            if view.received == 0 && must_get(history, message, &view) {
                let members: Vec<_> = view.members.iter().map(|member| describe(member)).collect();
                missing.push(format!(
                    "message {number} to {:?} published at {} is missing in group {queue:?}: {members:#?}",
                    message.subject, message.published
                ));
            }
        }
    }
    missing
}

/// Returns the requests that were neither received nor answered with a 503.
fn check_requests(history: &History, wrong: &mut Vec<String>) -> Vec<String> {
    let mut unanswered = Vec::new();
    let receipts = group_receipts(history);
    let mut received: BTreeMap<usize, usize> = BTreeMap::new();
    for record in &history.subscriptions {
        for (message, _) in &record.received {
            *received.entry(*message).or_insert(0) += 1;
        }
    }
    for (number, message) in history.messages.iter().enumerate() {
        if message.reply.is_none() {
            if message.no_responders > 0 {
                wrong.push(format!("503 for message {number}, which is no request"));
            }
            continue;
        }
        if message.no_responders > 1 {
            wrong.push(format!("request {number} got {} x 503", message.no_responders));
        }
        let got = received.get(&number).copied().unwrap_or(0);
        if message.no_responders > 0 && got > 0 {
            wrong.push(format!("request {number} was received and got a 503"));
        }
        let possible: Vec<_> = history
            .subscriptions
            .iter()
            .filter(|record| history.is_possible_for(record, message))
            .collect();
        let stable_group = groups_of(history, message, &receipts, number)
            .values()
            .any(|view| must_get(history, message, view));
        let has_stable = stable_group
            || possible
                .iter()
                .any(|record| record.queue.is_none() && history.is_stable_for(record, message));
        if has_stable && message.no_responders > 0 {
            wrong.push(format!("request {number} got a 503 though somebody was there"));
        }
        let requester = &history.connections[message.connection];
        let nobody_lost = possible
            .iter()
            .all(|record| !matches!(record.end, Some((_, End::ConnectionGone))));
        // Who may not publish is told so and gets no 503.
        let may_be_denied = history.subjects_in(message, requester.user).contains(&None);
        if message.confirmed
            && !may_be_denied
            && requester.ended.is_none()
            && nobody_lost
            && got == 0
            && message.no_responders == 0
        {
            let possible: Vec<_> = possible.iter().map(|record| describe(record)).collect();
            unanswered.push(format!(
                "request {number} to {:?} published at {} was neither received nor got a 503: {possible:#?}",
                message.subject, message.published
            ));
        }
    }
    unanswered
}
