//! What an account takes from others, as written.
//!
//! Owns: the types. Not here: checking them against exports (`snapshot`), obeying them (`router`).

/// Requests to a subject here go to a service of another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImport {
    /// The exporting account, by name.
    pub account: String,
    /// The subject there, wildcards included.
    pub subject: String,
    /// The subject here; empty: the same. It names each wildcard of `subject`, by number where the order differs:
    /// `by-zone.$2.$1`. Config: `to`.
    pub local: String,
    /// The service is told who asks, in the header `Nats-Request-Info`.
    pub share: bool,
    /// An activation token or account token position allows it; checked by who writes this.
    pub is_activated: bool,
}

/// Messages of another account's stream come to subscriptions here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamImport {
    /// The exporting account, by name.
    pub account: String,
    /// The subject there, wildcards included.
    pub subject: String,
    /// The subject here, as with [`ServiceImport::local`]; empty: the same. Config: `to`; `prefix: p` is `p.<subject>`.
    pub local: String,
    /// An activation token or account token position allows it; checked by who writes this.
    pub is_activated: bool,
    /// Message traces go on here.
    pub allow_trace: bool,
}

/// Everything an account imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Services.
    pub services: Vec<ServiceImport>,
    /// Streams.
    pub streams: Vec<StreamImport>,
}
