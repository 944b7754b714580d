//! What an account offers others: services and streams, as written.
//!
//! Owns: the types. Not here: whether an import may use them (`snapshot`), what a request does (`router::service`).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::subject::wildcard::is_subset;

/// Who may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every account.
    Public,
    /// The accounts of this list, by name.
    Accounts(BTreeSet<String>),
    /// Whose activation token or account token position was checked by the one who wrote the import
    /// ([`super::ServiceImport::is_activated`]).
    Activation,
}

/// How many answers a request may get. Config: `response`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Singleton,
    /// Any number, until the threshold passes without one.
    Stream,
    /// Any number, until an empty one.
    Chunked,
}

/// Which requests are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// So many percent of them.
    Percent(u8),
    /// Those whose headers ask for it.
    Headers,
}

/// Latency of a service is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Of which requests.
    pub sampling: Sampling,
    /// Where, in the exporting account.
    pub subject: String,
}

/// A service others may send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceExport {
    /// The subject, wildcards included.
    pub subject: String,
    /// Who may.
    pub access: Access,
    /// How many answers.
    pub response: ResponseType,
    /// How long an answer may take, from the request or the answer before; `None`: [`RESPONSE_THRESHOLD`]. Config: `threshold`.
    pub threshold: Option<Duration>,
    /// Measured, and how.
    pub latency: Option<Latency>,
    /// Message traces go on in this account.
    pub allow_trace: bool,
}

/// How long a service may take to answer where its export does not say.
pub const RESPONSE_THRESHOLD: Duration = Duration::from_secs(120);

/// A stream of messages others may listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExport {
    /// The subject, wildcards included.
    pub subject: String,
    /// Who may.
    pub access: Access,
}

/// Everything an account exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// Services.
    pub services: Vec<ServiceExport>,
    /// Streams.
    pub streams: Vec<StreamExport>,
}

impl ServiceExport {
    /// A public service with one answer a request.
    pub fn public(subject: &str) -> ServiceExport {
        ServiceExport {
            subject: subject.to_owned(),
            access: Access::Public,
            response: ResponseType::Singleton,
            threshold: None,
            latency: None,
            allow_trace: false,
        }
    }
}

impl Access {
    pub(super) fn admits(&self, importer: &str, is_activated: bool) -> bool {
        match self {
            Access::Public => true,
            Access::Accounts(names) => names.contains(importer),
            Access::Activation => is_activated,
        }
    }
}

impl Exports {
    /// The service export that covers a subject: the one of the same text, else the first whose pattern takes it.
    pub fn service(&self, subject: &str) -> Option<&ServiceExport> {
        let exact = self.services.iter().find(|export| export.subject == subject);
        exact.or_else(|| {
            let mut all = self.services.iter();
            all.find(|export| is_subset(subject.as_bytes(), export.subject.as_bytes()))
        })
    }

    /// The stream export that covers a subject, likewise.
    pub fn stream(&self, subject: &str) -> Option<&StreamExport> {
        let exact = self.streams.iter().find(|export| export.subject == subject);
        exact.or_else(|| {
            let mut all = self.streams.iter();
            all.find(|export| is_subset(subject.as_bytes(), export.subject.as_bytes()))
        })
    }
}
