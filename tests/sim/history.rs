//! What happened in one run, as the clients saw it: the checkers read nothing else of them.
//!
//! Units: `at` counts events of the history; virtual time does not matter for what may follow from what.

use std::cell::RefCell;
use std::rc::Rc;

use super::rules::{subject_in, User};

/// A point of the history: events before it are smaller.
pub(crate) type At = u64;

/// The history of one run.
#[derive(Default)]
pub(crate) struct History {
    events: At,
    pub connections: Vec<ConnectionRecord>,
    pub subscriptions: Vec<SubscriptionRecord>,
    pub messages: Vec<MessageRecord>,
    pub rules: RulesProgress,
    /// What no server may ever do, found while reading.
    pub violations: Vec<String>,
}

/// Versions of the rules: the last that is in force for certain, and the last that may be.
#[derive(Clone, Copy)]
pub(crate) struct RulesProgress {
    pub done: u64,
    pub begun: u64,
}

impl Default for RulesProgress {
    fn default() -> Self {
        Self { done: 1, begun: 1 }
    }
}

/// Clones are the same history.
pub(crate) type SharedHistory = Rc<RefCell<History>>;

/// One connection of a client.
pub(crate) struct ConnectionRecord {
    pub user: User,
    pub echo: bool,
    /// When the client knew that it was over, for whatever reason.
    pub ended: Option<At>,
    /// The client closed it.
    pub closed_by_client: bool,
    pub errors: Vec<String>,
    /// Bytes of the largest message it sent, headers included.
    pub largest: usize,
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Unsubscribed,
    ConnectionGone,
}

/// One subscription.
pub(crate) struct SubscriptionRecord {
    pub connection: usize,
    pub sid: u64,
    pub pattern: String,
    pub queue: Option<String>,
    pub subscribed: At,
    /// A PONG came that was asked for after the SUB.
    pub active: Option<At>,
    pub end: Option<(At, End)>,
    /// A PONG came that was asked for after the UNSUB: nothing may come any more.
    pub over: Option<At>,
    /// UNSUB with a count, sent together with the SUB.
    pub max: Option<u64>,
    /// Messages, in the order they came.
    pub received: Vec<(usize, At)>,
}

/// One message.
pub(crate) struct MessageRecord {
    pub connection: usize,
    pub subject: String,
    pub published: At,
    /// A PONG came that was asked for after it: the server has routed it.
    pub confirmed: bool,
    /// Versions of the rules it may have met; no end while it is not confirmed.
    pub versions: (u64, Option<u64>),
    /// Where answers go.
    pub reply: Option<String>,
    /// The request it answers.
    pub cause: Option<usize>,
    pub no_responders: u32,
    pub size: usize,
}

impl History {
    /// The next event.
    pub(crate) fn tick(&mut self) -> At {
        self.events += 1;
        self.events
    }

    /// Under which subject a message comes to the account of `to`, for each version of the rules it may have met.
    pub(crate) fn subjects_in(&self, message: &MessageRecord, to: User) -> Vec<Option<String>> {
        let from = self.connections[message.connection].user;
        let cause = message.cause.map(|cause| &self.messages[cause]);
        let reply = cause.and_then(|cause| cause.reply.as_deref());
        let (first, last) = message.versions;
        // Two versions in a row are all there is.
        let last = last.unwrap_or(self.rules.begun).min(first + 1);
        let subject = |version| subject_in(version, from, &message.subject, reply, to);
        (first..=last).map(subject).collect()
    }

    /// Whether a message is an answer of a service of another account, as seen by `to`: the first one may come.
    pub(crate) fn is_answer_across(&self, message: &MessageRecord, to: User) -> bool {
        let from = self.connections[message.connection].user;
        message.subject.starts_with("_R_.") && from.account() != to.account()
    }

    /// A connection is over.
    pub(crate) fn connection_ended(&mut self, connection: usize) {
        let at = self.tick();
        if self.connections[connection].ended.is_some() {
            return;
        }
        self.connections[connection].ended = Some(at);
        for subscription in &mut self.subscriptions {
            if subscription.connection == connection && subscription.over.is_none() {
                // Overrides an UNSUB that no PONG confirmed: what was on its way is lost with the connection.
                subscription.end = Some((at, End::ConnectionGone));
            }
        }
    }
}

/// Whether a subject matches a pattern: the plain definition, nothing shared with the server's code.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matcher the checkers stand on.
    #[test]
    fn patterns_match() {
        for (pattern, subject, expected) in [
            ("a", "a", true),
            ("a", "a.b", false),
            ("*", "a", true),
            ("*", "a.b", false),
            (">", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("*.x", "a.x", true),
            ("*.x", "x", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
