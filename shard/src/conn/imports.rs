//! Streams of other accounts that come to subscriptions here.
//!
//! A subscription that a stream import is about has a *shadow* in the exporting account's list, on the same shard: interest
//! tells the other shards of it as of any subscription there, and one crossing serves it. What the shadow takes is
//! delivered by the subscription it stands for, under the subject of its own account.
//!
//! Owns: making and ending shadows. Not here: which part of an import a subscription is about (`rules::StreamRoute`),
//! delivering (`router::deliver`).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::subscription::{Shadow, Subscription};
use crate::account::Account;
use crate::rules::StreamRoute;
use crate::runtime::Shard;

impl Shard {
    /// Lets the streams that `account` imports come to a new subscription of it.
    pub(crate) fn begin_shadows(&self, account: &Account, subscription: &Rc<Subscription>) {
        let rules = Arc::clone(&account.rules());
        let shadows: Vec<_> = rules
            .stream_routes
            .iter()
            .filter_map(|route| self.begin_shadow(route, subscription))
            .collect();
        if !shadows.is_empty() {
            account.shadows.borrow_mut().insert(subscription.number, shadows);
        }
    }

    fn begin_shadow(&self, route: &Arc<StreamRoute>, of: &Rc<Subscription>) -> Option<Rc<Subscription>> {
        let subject = route.subscription_there(&of.subject)?;
        let account = self.account(route.account)?;
        let shadow = Rc::new(Subscription {
            number: self.next_subscription_number(),
            connection: Rc::clone(&of.connection),
            sid: of.sid.clone(),
            subject: subject.into(),
            queue: of.queue.clone(),
            delivered: Cell::new(0),
            delivered_max: Cell::new(0),
            is_filtered: Cell::new(false),
            shadow: Some(Box::new(Shadow {
                of: Rc::clone(of),
                account: Rc::clone(&account),
                route: Arc::clone(route),
            })),
            is_live: Cell::new(true),
        });
        let change = account.subscribe(&shadow).ok()?;
        self.tell_interest(change);
        Some(shadow)
    }

    /// Ends the shadows of a subscription.
    pub(crate) fn end_shadows(&self, account: &Account, subscription: &Subscription) {
        let shadows = account.shadows.borrow_mut().remove(&subscription.number);
        for shadow in shadows.into_iter().flatten() {
            shadow.is_live.set(false);
            let place = shadow.shadow.as_ref().expect("only shadows are kept here");
            self.tell_interest(place.account.unsubscribe(&shadow));
        }
    }

    /// The rules changed: looks which streams come to a subscription now. Where that is as before, nothing happens.
    pub(crate) fn refresh_imports(&self, subscription: &Rc<Subscription>) {
        let account = subscription.connection.account();
        let rules = Arc::clone(&account.rules());
        let is_about = |route: &&Arc<StreamRoute>| route.subscription_there(&subscription.subject).is_some();
        let is_as_before = {
            let shadows = account.shadows.borrow();
            let before = shadows.get(&subscription.number).into_iter().flatten();
            let before = before
                .filter_map(|shadow| shadow.shadow.as_ref())
                .map(|shadow| &shadow.route);
            let now = rules.stream_routes.iter().filter(is_about);
            before.clone().count() == now.clone().count() && before.zip(now).all(|(a, b)| a.is_same(b))
        };
        if !is_as_before {
            self.end_shadows(&account, subscription);
            self.begin_shadows(&account, subscription);
        }
    }
}
