//! The last subject somebody routed to, and who gets it: most publishers stay with one subject for a while.
//!
//! Owns: one remembered answer, valid while it is not stale. One per connection, one for the mesh.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::service::services;
use crate::account::Account;
use crate::conn::Subscriber;
use crate::ids::AccountId;
use crate::rules::ServiceRoute;
use crate::sublist::MatchResult;

/// A remembered answer of a subscription list.
#[derive(Default)]
pub(crate) struct LastMatch {
    account: Option<AccountId>,
    subject: Vec<u8>,
    result: Option<Rc<MatchResult<Subscriber>>>,
    /// The service imports that take the subject, and of which rules of the account they are.
    services: Option<(u64, Rc<[Arc<ServiceRoute>]>)>,
}

impl LastMatch {
    /// Who gets a message to `subject`: the remembered answer while it holds, else the list's, remembered.
    #[inline]
    pub(crate) fn find(
        last: &RefCell<LastMatch>,
        account: &Account,
        subject: &[u8],
    ) -> Rc<MatchResult<Subscriber>> {
        let mut last = last.borrow_mut();
        if let Some(result) = &last.result {
            if last.subject == subject && !result.is_stale() && last.account == Some(account.id) {
                return Rc::clone(result);
            }
        }
        let result = account.sublist.borrow_mut().matches(subject);
        last.account = Some(account.id);
        last.subject.clear();
        last.subject.extend_from_slice(subject);
        last.result = Some(Rc::clone(&result));
        last.services = None;
        result
    }

    /// The service imports of the account that take the subject [`LastMatch::find`] was just asked for.
    pub(crate) fn services(
        last: &RefCell<LastMatch>,
        account: &Account,
        subject: &[u8],
    ) -> Rc<[Arc<ServiceRoute>]> {
        let mut last = last.borrow_mut();
        if last.subject != subject || last.account != Some(account.id) {
            return services(account, subject);
        }
        match &last.services {
            Some((count, known)) if *count == account.rules_count.get() => Rc::clone(known),
            _ => {
                let found = services(account, subject);
                last.services = Some((account.rules_count.get(), Rc::clone(&found)));
                found
            }
        }
    }
}
