//! From one version of the rules to the next, on every shard.
//!
//! Three rounds through all shards, so that no shard meets an account it does not know:
//!   prepare   every shard knows the accounts of the new version
//!   enforce   every shard obeys the new version: connections are renewed, closed or lose what they may no longer have
//!   forget    accounts that are gone leave no trace
//! Who applies rules may answer when the second round is done everywhere: the new version is in force in the whole server.
//! One version is applied at a time; the caller sees to it.
//!
//! Owns: the rounds, what happens to a connection whose grant changed. Not here: what a grant is (`rules`), binding
//! (`conn::admit`).

use std::rc::Rc;
use std::sync::Arc;

use super::shard::Shard;
use super::shards::Shards;
use futures_lite::future::or;

use crate::conn::{Connection, State};
use crate::io::{Queue, Sabotage};
use crate::proto::{ClientError, CloseReason};
use crate::rules::{Decision, DenialKind, Grant, Rules, Verdict};

impl Shards {
    /// Puts new rules in force; returns when every shard obeys them. Blocks: for threads that are no shard.
    pub fn apply_rules(&self, rules: &Arc<Rules>) {
        let new = Arc::clone(rules);
        self.gather(move |shard| shard.prepare_rules(&new))
            .iter()
            .for_each(drop);
        self.gather(Shard::enforce_rules).iter().for_each(drop);
        self.gather(|shard| shard.forget_accounts()).iter().for_each(drop);
    }
}

impl Shard {
    /// As [`Shards::apply_rules`], for a task of a shard, which goes on meanwhile. `false`: the server stops, and the
    /// rules may be in force or not.
    pub async fn apply_rules(&self, rules: &Arc<Rules>) -> bool {
        let rounds = async {
            self.go_through_rounds(rules).await;
            true
        };
        let stopped = async {
            self.wait_stopping().await;
            false
        };
        or(rounds, stopped).await
    }

    async fn go_through_rounds(&self, rules: &Arc<Rules>) {
        for shard in self.shards().ids() {
            let new = Arc::clone(rules);
            self.ask(shard, move |shard| shard.prepare_rules(&new)).await;
        }
        if self.io().sabotaged(Sabotage::AnswerReloadEarly) {
            self.shards().run_on_all(Shard::enforce_rules);
            return;
        }
        for shard in self.shards().ids() {
            if shard != self.id() && self.io().sabotaged(Sabotage::ApplyRulesOnOneShardOnly) {
                continue;
            }
            self.ask(shard, Shard::enforce_rules).await;
        }
        for shard in self.shards().ids() {
            self.ask(shard, |shard| shard.forget_accounts()).await;
        }
    }

    fn enforce_rules(self: &Rc<Self>) {
        if !self.take_prepared() {
            return;
        }
        for account in self.accounts() {
            if let Some(rules) = self.rules_ref().account(account.id) {
                account.set_rules(Arc::clone(rules));
            }
        }
        for connection in self.connections() {
            self.renew(&connection);
        }
    }

    /// Asks again what a connection may.
    fn renew(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Some(held) = connection.grant().filter(|_| connection.is_open()) else {
            // It has not been let in yet; the new rules decide.
            return;
        };
        let rules = self.rules();
        let decision = {
            let connect = connection.connect();
            let nonce = connection.nonce.borrow();
            let attempt = self.attempt(connection, &connect, &nonce);
            match connection.state() {
                // Let in without CONNECT: as anybody who comes now.
                State::Fresh => match rules.authenticator().without_connect(&attempt) {
                    Some(grant) => Decision::Now(Ok(grant)),
                    None => rules.authenticator().renew(&held, &attempt),
                },
                State::Connected | State::Closed(_) => rules.authenticator().renew(&held, &attempt),
            }
        };
        match decision {
            Decision::Now(verdict) => self.renewed(connection, &held, verdict),
            Decision::Later(begin) => {
                let verdict = begin(Rc::clone(self));
                let (shard, connection) = (Rc::clone(self), Rc::clone(connection));
                self.spawn(Queue::Control, async move {
                    let verdict = or(async { Some(verdict.await) }, async {
                        shard.wait_stopping().await;
                        None
                    });
                    if let Some(verdict) = verdict.await {
                        // A newer version may have asked again meanwhile.
                        if shard.rules().version() == rules.version() {
                            shard.renewed(&connection, &held, verdict);
                            shard.end_batch();
                        }
                    }
                });
            }
        }
    }

    fn renewed(&self, connection: &Rc<Connection>, held: &Arc<Grant>, verdict: Verdict) {
        if !connection.is_open() {
            return;
        }
        let bound = verdict.and_then(|grant| {
            if grant.account != held.account {
                tracing::info!(
                    "{} - moves to another account and must connect again",
                    connection.label()
                );
                self.close(connection, CloseReason::ClientClosed);
                return Ok(());
            }
            self.bind(connection, &self.rules(), grant, None)
        });
        match bound {
            Ok(()) if connection.is_open() => self.check_subscriptions(connection),
            Ok(()) => {}
            // As at the peer: nothing is said to who is not known any more.
            Err(denial) if denial.kind == DenialKind::UserGone => {
                tracing::info!("{} - {denial}", connection.label());
                self.close(connection, CloseReason::ClientClosed);
            }
            Err(denial) => self.deny(connection, denial),
        }
    }

    /// Ends subscriptions that are not allowed any more; looks anew which deliveries must be filtered and which streams of
    /// other accounts come in.
    fn check_subscriptions(&self, connection: &Rc<Connection>) {
        for subscription in connection.subscriptions() {
            let (subject, queue) = (&subscription.subject, subscription.queue.as_deref());
            if connection.may_subscribe(subject, queue) {
                subscription
                    .is_filtered
                    .set(connection.must_filter(subject, queue));
                self.refresh_imports(&subscription);
                continue;
            }
            self.end_subscription(&subscription);
            let sid = &subscription.sid;
            self.send_error(
                connection,
                &ClientError::SubscriptionRevoked { subject, queue, sid },
            );
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            tracing::info!(
                "{} - Removed sub {:?} (sid {:?}) - not authorized",
                connection.label(),
                text(subject),
                text(sid)
            );
        }
    }
}
