//! A set of patterns and the question whether one of them takes a subject.
//!
//! Owns: literal patterns in order, wildcard patterns in a list. Not here: what the set is for, caching of answers
//! (`conn::permits`). The cost of a question is one binary search and a walk of the wildcard patterns.

use crate::subject::wildcard::{is_subset, matches};
use crate::subject::{has_empty_token, is_literal};

/// A pattern, and the queue groups it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The subject, wildcards included.
    pub subject: Box<[u8]>,
    /// Only for queue groups that this takes (`v1`, `v1.*`); `None`: whatever the group.
    pub queue: Option<Box<[u8]>>,
}

/// Patterns without queue groups, and those with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternSet {
    /// Sorted, each once.
    literals: Box<[Box<[u8]>]>,
    wildcards: Box<[Box<[u8]>]>,
    /// Subject and queue groups, in the order they were written.
    queued: Box<[Queued]>,
}

type Queued = (Box<[u8]>, Box<[u8]>);

/// What a set says about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    /// A pattern without queue group takes the subject.
    pub(crate) plain: bool,
    /// A pattern with a queue group takes the subject: whether one of them takes the group asked for.
    pub(crate) queue: Option<bool>,
}

impl PatternSet {
    /// Compiles valid patterns.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> PatternSet {
        let (mut literals, mut wildcards, mut queued) = (Vec::new(), Vec::new(), Vec::new());
        for Pattern { subject, queue } in patterns {
            match queue {
                Some(queue) => queued.push((subject, queue)),
                None if is_literal(&subject) => literals.push(subject),
                None => wildcards.push(subject),
            }
        }
        literals.sort_unstable();
        literals.dedup();
        PatternSet {
            literals: literals.into(),
            wildcards: wildcards.into(),
            queued: queued.into(),
        }
    }

    /// Whether a pattern without queue group takes `subject`. Its tokens are text, wildcards among them too; a subject
    /// with an empty token is taken by none.
    #[inline]
    pub fn takes(&self, subject: &[u8]) -> bool {
        !has_empty_token(subject)
            && (self
                .literals
                .binary_search_by(|literal| (**literal).cmp(subject))
                .is_ok()
                || self.wildcards.iter().any(|pattern| matches(subject, pattern)))
    }

    /// As [`PatternSet::takes`], for a queue group too.
    pub(crate) fn takes_queue(&self, subject: &[u8], queue: &[u8]) -> Takes {
        let mut answer = Takes {
            plain: self.takes(subject),
            queue: None,
        };
        if has_empty_token(subject) {
            return answer;
        }
        for (pattern, groups) in &self.queued {
            if matches(subject, pattern) {
                let takes = *queue == **groups || (!is_literal(groups) && is_subset(queue, groups));
                answer.queue = Some(takes || answer.queue == Some(true));
            }
        }
        answer
    }

    /// Every pattern, queue group or not: literals, then wildcards, then those with a group.
    pub fn subjects(&self) -> impl Iterator<Item = &[u8]> {
        let plain = self.literals.iter().chain(&self.wildcards);
        plain
            .map(|pattern| &**pattern)
            .chain(self.queued.iter().map(|(subject, _)| &**subject))
    }

    /// Every pattern, as it could be written again.
    pub fn patterns(&self) -> impl Iterator<Item = Pattern> + '_ {
        let plain = self
            .literals
            .iter()
            .chain(&self.wildcards)
            .map(|subject| Pattern {
                subject: subject.clone(),
                queue: None,
            });
        plain.chain(self.queued.iter().map(|(subject, queue)| Pattern {
            subject: subject.clone(),
            queue: Some(queue.clone()),
        }))
    }
}
