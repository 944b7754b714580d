//! Subject matching: one pattern alone and the subscription list agree with a matcher that is too simple to be wrong.
//!
//! Input: the pattern, a NUL, the subject.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_shard::subject::{has_empty_token, is_insertable, wildcard};
use pinion_shard::sublist::{Entry, Sublist};

#[derive(Clone)]
struct Subscriber(u8);

impl Entry for Subscriber {
    type Key = u8;

    fn key(&self) -> u8 {
        self.0
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|&byte| byte == 0) else {
        return;
    };
    let (pattern, subject) = (&data[..end], &data[end + 1..]);
    let mut list = Sublist::new(7);
    assert_eq!(list.insert(pattern, None, Subscriber(1)).is_ok(), is_insertable(pattern));
    assert_eq!(is_insertable(pattern), naive_is_insertable(pattern));
    let reaches = is_insertable(pattern) && naive(pattern, subject);
    if is_insertable(pattern) && !has_empty_token(subject) {
        assert_eq!(wildcard::matches(subject, pattern), reaches);
    }
    assert_eq!(list.has_interest(subject), reaches);
    // The second time from the cache.
    for _ in 0..2 {
        assert_eq!(list.matches(subject).plain.len(), usize::from(reaches));
    }
    // A queue group at the same place, then each goes as it came: the cached answer must follow.
    if is_insertable(pattern) {
        assert!(list.insert(pattern, Some(b"q"), Subscriber(2)).is_ok_and(|other| other.is_none()));
        assert_eq!(list.matches(subject).queues.len(), usize::from(reaches));
        assert!(list.remove(pattern, None, 1).is_some());
        assert_eq!(list.matches(subject).plain.len(), 0);
        assert_eq!(list.has_interest(subject), reaches);
        assert!(list.remove(pattern, Some(b"q"), 2).is_some());
        assert!(list.matches(subject).is_empty());
        assert!(!list.has_interest(subject));
        assert_eq!(list.count(), 0);
    }
});

fn split(subject: &[u8]) -> Vec<&[u8]> {
    subject.split(|&byte| byte == b'.').collect()
}

fn naive_is_insertable(pattern: &[u8]) -> bool {
    let tokens = split(pattern);
    let rest = tokens.iter().position(|token| token == b">");
    tokens.iter().all(|token| !token.is_empty()) && rest.is_none_or(|at| at == tokens.len() - 1)
}

/// Token by token; an empty token in the subject matches nothing.
fn naive(pattern: &[u8], subject: &[u8]) -> bool {
    let (wanted, tokens) = (split(pattern), split(subject));
    if tokens.iter().any(|token| token.is_empty()) {
        return false;
    }
    let has_rest = wanted.last() == Some(&b">".as_slice());
    let fixed = wanted.len() - usize::from(has_rest);
    let count_fits = if has_rest { tokens.len() > fixed } else { tokens.len() == fixed };
    count_fits && wanted[..fixed].iter().zip(&tokens).all(|(a, b)| *a == b"*" || a == b)
}
