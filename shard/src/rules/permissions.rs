//! What a user may publish and subscribe to.
//!
//! Owns: reading the lists as they are written, the answers for a subject. Not here: remembering answers and the reply
//! subjects a connection may answer to (`conn::permits`), the texts a client gets (`proto::errors`).
//!
//! Rules of the peer
//!   publish    an allow list that is there and empty allows nothing; deny wins
//!   subscribe  an empty allow list is none; an entry `subject queue` is about queue groups: where one takes the subject
//!              it alone decides for queue subscriptions, and no plain subscription is allowed by it
//!   a subject is compared as text: `SUB foo.*` is allowed by `foo.*` and `foo.>`

use std::time::Duration;

use super::patterns::{Pattern, PatternSet};
use crate::subject::wildcard::collides;
use crate::subject::{is_literal, is_valid};

/// Lists of subjects as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowDeny {
    /// What is allowed; `None`: everything.
    pub allow: Option<Vec<String>>,
    /// What is not, though it were allowed.
    pub deny: Vec<String>,
}

/// How a subscriber may answer messages with a reply subject it may not publish to otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePermission {
    /// Messages per request; `None`: no bound. Config: `max`.
    pub messages_max: Option<u64>,
    /// How long after the request; `None`: no bound. Config: `expires`.
    pub expires: Option<Duration>,
}

impl Default for ResponsePermission {
    /// One message within two minutes: what `allow_responses: true` means.
    fn default() -> ResponsePermission {
        ResponsePermission {
            messages_max: Some(1),
            expires: Some(Duration::from_secs(120)),
        }
    }
}

/// Permissions as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionSpec {
    /// `None`: everything.
    pub publish: Option<AllowDeny>,
    /// `None`: everything.
    pub subscribe: Option<AllowDeny>,
    /// `None`: no answers beyond `publish`.
    pub responses: Option<ResponsePermission>,
}

/// Permissions, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    publish_allow: Option<PatternSet>,
    publish_deny: Option<PatternSet>,
    subscribe_allow: Option<PatternSet>,
    subscribe_deny: Option<PatternSet>,
    responses: Option<ResponsePermission>,
}

/// An entry of a permission list that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionsError {
    /// `publish` or `subscribe`.
    pub list: &'static str,
    /// The entry.
    pub entry: String,
}

impl std::fmt::Display for PermissionsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "subject {:?} is not a valid subject", self.entry)
    }
}

impl std::error::Error for PermissionsError {}

impl Permissions {
    /// Compiles lists.
    ///
    /// # Errors
    /// The first entry that is no subject: every entry protects something, so none is left out.
    pub fn compile(spec: &PermissionSpec) -> Result<Permissions, PermissionsError> {
        let mut compiled = Permissions {
            responses: spec.responses,
            ..Permissions::default()
        };
        if let Some(publish) = &spec.publish {
            let allow = publish.allow.as_deref();
            compiled.publish_allow = allow
                .map(|list| compile_list("publish", list, read_subject))
                .transpose()?;
            compiled.publish_deny = some_if_any(compile_list("publish", &publish.deny, read_subject)?);
        }
        if spec.responses.is_some() {
            // Who may answer may do nothing else, unless a list says so.
            compiled.publish_allow.get_or_insert_default();
        }
        if let Some(subscribe) = &spec.subscribe {
            let allow = subscribe.allow.as_deref().unwrap_or_default();
            let compile = |list| compile_list("subscribe", list, read_subject_and_queue).map(some_if_any);
            compiled.subscribe_allow = compile(allow)?;
            compiled.subscribe_deny = compile(&subscribe.deny)?;
        }
        Ok(compiled)
    }

    /// Whether publishing is limited at all.
    #[inline]
    pub fn limits_publish(&self) -> bool {
        self.publish_allow.is_some() || self.publish_deny.is_some()
    }

    /// Whether a message may be published to `subject`, answers to requests aside.
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        self.publish_allow
            .as_ref()
            .is_none_or(|allow| allow.takes(subject))
            && !self.publish_deny.as_ref().is_some_and(|deny| deny.takes(subject))
    }

    /// Whether `SUB subject [queue]` is allowed.
    pub fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let allowed = match (&self.subscribe_allow, queue) {
            (None, _) => true,
            (Some(allow), None) => allow.takes(subject),
            (Some(allow), Some(queue)) => {
                let takes = allow.takes_queue(subject, queue);
                takes.queue.unwrap_or(takes.plain)
            }
        };
        allowed && !self.denies(subject, queue)
    }

    /// Whether a message to `subject` must not be delivered to a subscription, though that was allowed.
    pub fn denies(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        match (&self.subscribe_deny, queue) {
            (None, _) => false,
            (Some(deny), None) => deny.takes(subject),
            (Some(deny), Some(queue)) => {
                let takes = deny.takes_queue(subject, queue);
                takes.plain || takes.queue == Some(true)
            }
        }
    }

    /// Whether an allowed subscription could match denied messages: each must be looked at before it is delivered.
    pub fn must_filter(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        (queue.is_some() || !is_literal(subject))
            && self
                .subscribe_deny
                .as_ref()
                .is_some_and(|deny| deny.subjects().any(|denied| collides(denied, subject)))
    }

    /// How requests may be answered.
    #[inline]
    pub fn responses(&self) -> Option<ResponsePermission> {
        self.responses
    }

    /// The lists, to be shown.
    pub fn spec(&self) -> PermissionSpec {
        let list = |set: &Option<PatternSet>| set.as_ref().map(written);
        let both = |allow: &Option<PatternSet>, deny: &Option<PatternSet>| {
            (allow.is_some() || deny.is_some()).then(|| AllowDeny {
                allow: list(allow),
                deny: list(deny).unwrap_or_default(),
            })
        };
        PermissionSpec {
            publish: both(&self.publish_allow, &self.publish_deny),
            subscribe: both(&self.subscribe_allow, &self.subscribe_deny),
            responses: self.responses,
        }
    }
}

fn written(set: &PatternSet) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    set.patterns()
        .map(|pattern| match pattern.queue {
            None => text(&pattern.subject),
            Some(queue) => format!("{} {}", text(&pattern.subject), text(&queue)),
        })
        .collect()
}

/// A list with no entry limits nothing.
fn some_if_any(set: PatternSet) -> Option<PatternSet> {
    let is_empty = set.subjects().next().is_none();
    (!is_empty).then_some(set)
}

fn compile_list(
    list: &'static str,
    entries: &[String],
    read: impl Fn(&str) -> Option<Pattern>,
) -> Result<PatternSet, PermissionsError> {
    let wrong = |entry: &String| PermissionsError {
        list,
        entry: entry.clone(),
    };
    let patterns: Result<Vec<_>, _> = entries
        .iter()
        .map(|entry| read(entry).ok_or_else(|| wrong(entry)))
        .collect();
    Ok(PatternSet::new(patterns?))
}

fn read_subject(entry: &str) -> Option<Pattern> {
    is_valid(entry.as_bytes()).then(|| Pattern {
        subject: entry.as_bytes().into(),
        queue: None,
    })
}

/// `subject`, or `subject queue`.
fn read_subject_and_queue(entry: &str) -> Option<Pattern> {
    let mut words = entry.split_whitespace();
    let (subject, queue, rest) = (words.next()?, words.next(), words.next());
    if rest.is_some() {
        return None;
    }
    let queue = queue.map(|queue| queue.as_bytes().into());
    read_subject(subject).map(|pattern| Pattern { queue, ..pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed and what is denied.
    type Lists<'a> = (Option<&'a [&'a str]>, &'a [&'a str]);
    type Queue<'a> = Option<&'a [u8]>;

    fn list(allow: Option<&[&str]>, deny: &[&str]) -> Option<AllowDeny> {
        let strings = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
        Some(AllowDeny {
            allow: allow.map(strings),
            deny: strings(deny),
        })
    }

    fn publish(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
        let spec = PermissionSpec {
            publish: list(allow, deny),
            ..PermissionSpec::default()
        };
        Permissions::compile(&spec).unwrap()
    }

    fn subscribe(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
        let spec = PermissionSpec {
            subscribe: list(allow, deny),
            ..PermissionSpec::default()
        };
        Permissions::compile(&spec).unwrap()
    }

    /// Deny wins; no list allows all, an empty one nothing; wildcards and empty tokens.
    #[test]
    fn publish_lists_decide() {
        let cases: [(Lists<'_>, &[u8], bool); 9] = [
            ((None, &[]), b"a", true),
            ((Some(&[]), &[]), b"a", false),
            ((Some(&["a", "b.*"]), &[]), b"b.c", true),
            ((Some(&["a", "b.*"]), &[]), b"b.c.d", false),
            ((Some(&["a.>"]), &["a.b.>"]), b"a.b", true),
            ((Some(&["a.>"]), &["a.b.>"]), b"a.b.c", false),
            ((None, &["a"]), b"a", false),
            ((None, &["a"]), b"b", true),
            ((Some(&[">"]), &[]), b"a..b", false),
        ];
        for ((allow, deny), subject, wanted) in cases {
            let allowed = publish(allow, deny).may_publish(subject);
            assert_eq!(
                allowed,
                wanted,
                "{allow:?} {deny:?} {}",
                String::from_utf8_lossy(subject)
            );
        }
    }

    /// Entries with a queue group decide for queue subscriptions where they take the subject.
    #[test]
    fn subscribe_lists_decide() {
        let cases: [(Lists<'_>, &[u8], Queue<'_>, bool); 14] = [
            ((Some(&[]), &[]), b"a", None, true),
            ((Some(&["a"]), &[]), b"a", Some(b"q"), true),
            ((Some(&["a v1"]), &[]), b"a", None, false),
            ((Some(&["a v1"]), &[]), b"a", Some(b"v1"), true),
            ((Some(&["a", "a v1"]), &[]), b"a", Some(b"v2"), false),
            ((Some(&["a", "a v1"]), &[]), b"a", None, true),
            ((Some(&["a v1.*"]), &[]), b"a", Some(b"v1.x"), true),
            ((Some(&["a v1.*"]), &[]), b"a", Some(b"v1.*"), true),
            ((Some(&["a.*"]), &[]), b"a.*", None, true),
            ((Some(&["a.b"]), &[]), b"a.*", None, false),
            ((None, &["a q"]), b"a", None, true),
            ((None, &["a q"]), b"a", Some(b"q"), false),
            ((None, &["a"]), b"a", Some(b"q"), false),
            ((None, &["a.b"]), b"a.*", None, true),
        ];
        for ((allow, deny), subject, queue, wanted) in cases {
            let allowed = subscribe(allow, deny).may_subscribe(subject, queue);
            let shown = (
                String::from_utf8_lossy(subject),
                queue.map(String::from_utf8_lossy),
            );
            assert_eq!(allowed, wanted, "{allow:?} {deny:?} {shown:?}");
        }
    }

    /// Only subscriptions that could match a denied message are filtered.
    #[test]
    fn wildcards_over_denied_subjects_are_filtered() {
        let permissions = subscribe(None, &["a.secret", "jobs bad"]);
        for (subject, queue, wanted) in [
            ("a.*", None, true),
            (">", None, true),
            ("b.*", None, false),
            ("a.x", None, false),
            ("jobs", Some("good"), true),
            ("jobs", None, false),
        ] {
            let filtered = permissions.must_filter(subject.as_bytes(), queue.map(str::as_bytes));
            assert_eq!(filtered, wanted, "{subject} {queue:?}");
        }
        assert!(permissions.denies(b"a.secret", None));
        assert!(permissions.denies(b"jobs", Some(b"bad")));
        assert!(!permissions.denies(b"jobs", Some(b"good")));
        assert!(!permissions.denies(b"jobs", None));
    }

    /// What is no pattern is an error and not left out; what was read can be shown again.
    #[test]
    fn entries_are_patterns() {
        for wrong in ["", "a..b", "a b c", ">.a", ".a"] {
            let spec = PermissionSpec {
                subscribe: list(None, &["fine", wrong]),
                ..PermissionSpec::default()
            };
            assert_eq!(Permissions::compile(&spec).unwrap_err().entry, wrong);
        }
        let spec = PermissionSpec {
            publish: list(Some(&["a", "b.*"]), &["c"]),
            subscribe: list(Some(&["a", "a q"]), &[]),
            responses: Some(ResponsePermission::default()),
        };
        assert_eq!(Permissions::compile(&spec).unwrap().spec(), spec);
    }
}
