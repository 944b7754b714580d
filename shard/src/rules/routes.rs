//! Imports, compiled: where a subject here goes there, and back.
//!
//! Owns: matching a local subject or subscription with an import, rewriting subjects both ways, refusing imports that
//! lead back to where they came from. Not here: carrying messages (`router::service`, `router::stream`).

use std::sync::Arc;
use std::time::Duration;

use super::account_rules::AccountRules;
use super::exports::{Latency, ResponseType, RESPONSE_THRESHOLD};
use super::imports::{ServiceImport, StreamImport};
use crate::ids::AccountId;
use crate::subject::transform::{number_wildcards, Transform, TransformError, Use};
use crate::subject::wildcard::{collides, intersection, matches};
use crate::subject::{is_literal, is_valid};

/// Accounts one import may lead through. Beyond: refused.
pub const IMPORT_DEPTH_MAX: usize = 1024;

/// How a subject changes its account.
#[derive(Clone, Debug)]
enum Rewrite {
    /// It stays.
    Same,
    /// It becomes this.
    Literal(Box<[u8]>),
    /// Its wildcards go elsewhere.
    Transform(Transform),
}

impl Rewrite {
    fn apply(&self, subject: &[u8], out: &mut Vec<u8>) {
        match self {
            Rewrite::Same => out.extend_from_slice(subject),
            Rewrite::Literal(literal) => out.extend_from_slice(literal),
            Rewrite::Transform(transform) => transform.apply(subject, 0, out),
        }
    }
}

/// The subject of an import here and there.
#[derive(Clone, Debug)]
struct Crossing {
    /// Here: a pattern, its wildcards not named.
    local: Box<[u8]>,
    /// There.
    remote: Box<[u8]>,
    /// From here to there.
    outward: Rewrite,
    /// From there to here.
    inward: Rewrite,
}

impl Crossing {
    fn compile(local: &str, remote: &str) -> Result<Crossing, TransformError> {
        let (local, remote) = (local.as_bytes(), remote.as_bytes());
        let local = if local.is_empty() { remote } else { local };
        if !is_valid(remote) || !is_valid(local) {
            return Err(TransformError::BadSubject);
        }
        if local == remote {
            return Ok(Crossing {
                local: local.into(),
                remote: remote.into(),
                outward: Rewrite::Same,
                inward: Rewrite::Same,
            });
        }
        if is_literal(remote) {
            if !is_literal(local) {
                return Err(TransformError::BadSubject);
            }
            return Ok(Crossing {
                local: local.into(),
                remote: remote.into(),
                outward: Rewrite::Literal(remote.into()),
                inward: Rewrite::Literal(local.into()),
            });
        }
        let inward = Transform::compile(remote, &number_wildcards(local), Use::Import)?;
        let inward = inward.ok_or(TransformError::BadSubject)?;
        let outward = inward.reverse().ok_or(TransformError::BadSubject)?;
        Ok(Crossing {
            local: outward.source().into(),
            remote: remote.into(),
            outward: Rewrite::Transform(outward),
            inward: Rewrite::Transform(inward),
        })
    }

    fn is_same(&self, other: &Crossing) -> bool {
        let destination = |crossing: &Crossing| match &crossing.outward {
            Rewrite::Transform(transform) => transform.destination().to_vec(),
            Rewrite::Same | Rewrite::Literal(_) => crossing.remote.to_vec(),
        };
        self.local == other.local && self.remote == other.remote && destination(self) == destination(other)
    }
}

/// A service import: requests to a subject here go there.
#[derive(Debug)]
pub struct ServiceRoute {
    crossing: Crossing,
    /// The exporting account.
    pub account: AccountId,
    /// The subject of the export there, which names it.
    pub export: Box<str>,
    /// How many answers.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
    /// The service is told who asks.
    pub share: bool,
    /// Measured, and how.
    pub latency: Option<Arc<Latency>>,
    /// Message traces go on there.
    pub allow_trace: bool,
}

impl ServiceRoute {
    pub(super) fn compile(
        import: &ServiceImport,
        exporter: &AccountRules,
    ) -> Result<ServiceRoute, TransformError> {
        let export = exporter.exports.service(&import.subject);
        Ok(ServiceRoute {
            crossing: Crossing::compile(&import.local, &import.subject)?,
            account: exporter.id,
            export: export.map_or("", |export| &export.subject).into(),
            response: export.map_or_else(ResponseType::default, |export| export.response),
            threshold: export
                .and_then(|export| export.threshold)
                .unwrap_or(RESPONSE_THRESHOLD),
            share: import.share,
            latency: export.and_then(|export| export.latency.clone()).map(Arc::new),
            allow_trace: export.is_some_and(|export| export.allow_trace),
        })
    }

    /// Whether a message published to `subject` here is a request to the service.
    pub fn takes(&self, subject: &[u8]) -> bool {
        matches(subject, &self.crossing.local)
    }

    /// Appends the subject there.
    pub fn rewrite(&self, subject: &[u8], out: &mut Vec<u8>) {
        self.crossing.outward.apply(subject, out);
    }

    /// The pattern here.
    pub fn local(&self) -> &[u8] {
        &self.crossing.local
    }
}

/// A stream import: messages there come to subscriptions here.
#[derive(Debug)]
pub struct StreamRoute {
    crossing: Crossing,
    /// The exporting account.
    pub account: AccountId,
    /// Message traces go on here.
    pub allow_trace: bool,
}

impl StreamRoute {
    pub(super) fn compile(
        import: &StreamImport,
        exporter: &AccountRules,
    ) -> Result<StreamRoute, TransformError> {
        Ok(StreamRoute {
            crossing: Crossing::compile(&import.local, &import.subject)?,
            account: exporter.id,
            allow_trace: import.allow_trace,
        })
    }

    /// What a subscription here must listen to there: the part of the import it is about; `None`: it is not.
    pub fn subscription_there(&self, subject: &[u8]) -> Option<Vec<u8>> {
        let common = intersection(subject, &self.crossing.local)?;
        if common == *self.crossing.local {
            return Some(self.crossing.remote.to_vec());
        }
        let mut there = Vec::new();
        self.crossing.outward.apply(&common, &mut there);
        Some(there)
    }

    /// Appends the subject here of a message published there.
    pub fn rewrite(&self, subject: &[u8], out: &mut Vec<u8>) {
        self.crossing.inward.apply(subject, out);
    }

    /// Whether subscriptions fare the same with both.
    pub(crate) fn is_same(&self, other: &StreamRoute) -> bool {
        self.account == other.account && self.crossing.is_same(&other.crossing)
    }
}

/// What both kinds of import are to the search for cycles.
pub(super) trait Route {
    /// The pattern here.
    fn local(&self) -> &[u8];
    /// The pattern there.
    fn remote(&self) -> &[u8];
    /// The account there.
    fn account(&self) -> AccountId;
}

impl Route for Arc<ServiceRoute> {
    fn local(&self) -> &[u8] {
        &self.crossing.local
    }

    fn remote(&self) -> &[u8] {
        &self.crossing.remote
    }

    fn account(&self) -> AccountId {
        self.account
    }
}

impl Route for Arc<StreamRoute> {
    fn local(&self) -> &[u8] {
        &self.crossing.local
    }

    fn remote(&self) -> &[u8] {
        &self.crossing.remote
    }

    fn account(&self) -> AccountId {
        self.account
    }
}

/// Whether what `start` imports can come back to an account it went through, or goes through too many.
pub(super) fn leads_back<'a, R: Route + 'a>(
    importer: AccountId,
    start: &R,
    routes_of: impl Fn(AccountId) -> &'a [R],
) -> bool {
    /// Ways that were begun in one account and not followed yet.
    struct Step<'s> {
        account: AccountId,
        subject: &'s [u8],
        next: usize,
    }
    let mut path = vec![Step {
        account: start.account(),
        subject: start.remote(),
        next: 0,
    }];
    if start.account() == importer {
        return true;
    }
    while let Some(step) = path.last_mut() {
        let routes = routes_of(step.account);
        let Some(route) = routes.get(step.next) else {
            path.pop();
            continue;
        };
        step.next += 1;
        if !collides(step.subject, route.local()) {
            continue;
        }
        let account = route.account();
        if account == importer || path.iter().any(|step| step.account == account) {
            return true;
        }
        if path.len() >= IMPORT_DEPTH_MAX {
            return true;
        }
        path.push(Step {
            account,
            subject: route.remote(),
            next: 0,
        });
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(there: &str, here: &str) -> StreamRoute {
        StreamRoute {
            crossing: Crossing::compile(here, there).unwrap(),
            account: AccountId(9),
            allow_trace: false,
        }
    }

    /// A subscription listens there to what it has in common with the import, and to nothing else.
    #[test]
    fn subscriptions_are_narrowed_to_the_import() {
        for (there, here, subscription, wanted) in [
            ("a", "", "a", Some("a")),
            ("a", "", ">", Some("a")),
            ("a", "x.a", "x.*", Some("a")),
            ("a", "x.a", "a", None),
            ("a.*", "", "a.b", Some("a.b")),
            ("a.>", "", "*.b", Some("a.b")),
            ("a.>", "p.a.>", "p.a.b.*", Some("a.b.*")),
            ("a.>", "p.a.>", "p.*.b", Some("a.b")),
            ("a.>", "p.a.>", "p.a", None),
            ("a.*.*", "$2.$1", "x.y", Some("a.y.x")),
            ("a.*.*", "$2.$1", "*.y", Some("a.y.*")),
            ("a.*.*", "$2.$1", ">", Some("a.*.*")),
            ("a.*.*", "$2.$1", "x.y.z", None),
        ] {
            let subject = route(there, here).subscription_there(subscription.as_bytes());
            let subject = subject.map(|subject| String::from_utf8(subject).unwrap());
            assert_eq!(
                subject.as_deref(),
                wanted,
                "{there} as {here:?} for {subscription}"
            );
        }
    }

    /// Subjects go there and come back the same.
    #[test]
    fn subjects_come_back() {
        for (there, here, subject, local) in [
            ("a", "x.a", "a", "x.a"),
            ("a.*", "", "a.b", "a.b"),
            ("a.*.*", "$2.$1", "a.b.c", "c.b"),
            ("a.>", "p.>", "a.b.c", "p.b.c"),
            ("*.a.*.b.*", "$3.$1.$2", "1.a.2.b.3", "3.1.2"),
        ] {
            let route = route(there, here);
            let (mut inward, mut outward) = (Vec::new(), Vec::new());
            route.rewrite(subject.as_bytes(), &mut inward);
            route.crossing.outward.apply(local.as_bytes(), &mut outward);
            assert_eq!(String::from_utf8(inward).unwrap(), local, "{there} as {here:?}");
            assert_eq!(
                String::from_utf8(outward).unwrap(),
                subject,
                "{there} as {here:?}"
            );
        }
    }
}
