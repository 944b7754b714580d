//! The last subject somebody routed to, and who gets it: most publishers stay with one subject for a while.
//!
//! Owns: one remembered answer, valid while it is not stale. One per connection, one for the mesh.

use std::cell::RefCell;
use std::rc::Rc;

use crate::account::Account;
use crate::conn::Subscriber;
use crate::ids::AccountId;
use crate::sublist::MatchResult;

/// A remembered answer of a subscription list.
#[derive(Default)]
pub(crate) struct LastMatch {
    account: Option<AccountId>,
    subject: Vec<u8>,
    result: Option<Rc<MatchResult<Subscriber>>>,
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
        result
    }
}
