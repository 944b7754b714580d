//! From the options in force to those of a changed file: what a reload says of it, or why it is refused.
//!
//! Owns: which changes need a restart, in the peer's words, and the lines that tell the others. Pure.
//! Not here: reading the file (`cli::settings`), putting new options in force (`boot`).
//! Several refusals stand in one text, joined by `; `, in the order of the peer, which stops at the first.

#[cfg(test)]
mod tests;
mod told;

use std::fmt::Display;
use std::time::Duration;

use pinion_shard::proto::duration::format_duration_ns;

use crate::config::options::{MonitorListen, Options, TlsListen, WriteTimeout};
use crate::config::websocket::WebSocketListen;

pub use told::told;

/// What is said when the server was started without a file.
pub const NO_FILE: &str = "can only reload config when a file is provided using -c or --config";

/// The account that a file without `system_account` means.
const DEFAULT_SYSTEM_ACCOUNT: &str = "$SYS";

/// Whether the server can go from `old` to `new` while it runs.
///
/// # Errors
/// The text names every option that needs a restart.
pub fn check(old: &Options, new: &Options) -> Result<(), String> {
    let mut refused = Refused::default();
    refused.listening(old, new);
    refused.accounts(old, new);
    refused.monitoring(old.monitor.as_ref(), new.monitor.as_ref());
    refused.rest(old, new);
    refused.tls(old.tls.as_ref(), new.tls.as_ref());
    refused.own(old, new);
    if refused.texts.is_empty() {
        Ok(())
    } else {
        Err(refused.texts.join("; "))
    }
}

#[derive(Default)]
struct Refused {
    texts: Vec<String>,
}

impl Refused {
    /// `name` is the peer's.
    fn compare<T: PartialEq + Display>(&mut self, name: &str, old: T, new: T) {
        if old != new {
            self.texts.push(format!(
                "config reload not supported for {name}: old={old}, new={new}"
            ));
        }
    }

    /// For values that the text leaves out.
    fn same<T: PartialEq + ?Sized>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            self.texts.push(format!("config reload not supported for {name}"));
        }
    }

    fn listening(&mut self, old: &Options, new: &Options) {
        let name = |options: &Options| options.identity.server_name.clone().unwrap_or_default();
        self.compare("ServerName", name(old), name(new));
        self.compare("Host", &old.client.host, &new.client.host);
        self.compare("Port", old.client.port, new.client.port);
        let (before, after) = (&old.protocol, &new.protocol);
        self.compare("NoSublistCache", before.no_sublist_cache, after.no_sublist_cache);
        self.compare("NoHeaderSupport", before.no_headers, after.no_headers);
        self.compare("MaxSubs", old.limits.subscriptions, new.limits.subscriptions);
        self.compare(
            "MaxSubTokens",
            old.limits.subject_tokens,
            new.limits.subject_tokens,
        );
    }

    fn accounts(&mut self, old: &Options, new: &Options) {
        let id = |options: &Options| options.access.no_auth_user.clone().unwrap_or_default();
        let is_dropped_with_user = || {
            let mut users = new.access.users.iter();
            id(new).is_empty() && !users.any(|user| *user.id() == id(old))
        };
        if id(old) != id(new) && !is_dropped_with_user() {
            self.compare("NoAuthUser", id(old), id(new));
        }
        let system = |options: &Options| {
            let named = options.access.system_account.clone().unwrap_or_default();
            Some(named)
                .filter(|name| **name != *DEFAULT_SYSTEM_ACCOUNT)
                .unwrap_or_default()
        };
        self.compare("SystemAccount", system(old), system(new));
        let none = |options: &Options| options.access.system_account.is_none();
        if old.operator_mode.is_none() && new.operator_mode.is_none() {
            self.compare("NoSystemAccount", none(old), none(new));
        }
        self.compare(
            "ProxyProtocol",
            old.client.proxy_protocol,
            new.client.proxy_protocol,
        );
    }

    fn monitoring(&mut self, old: Option<&MonitorListen>, new: Option<&MonitorListen>) {
        if let Some((old, new)) = old.zip(new) {
            self.compare("HTTPHost", &old.host, &new.host);
        }
        let port = |listen: Option<&MonitorListen>| match listen {
            None => 0,
            Some(listen) if listen.port == 0 => -1,
            Some(listen) => i64::from(listen.port),
        };
        self.compare("HTTPPort", port(old), port(new));
        if let Some((old, new)) = old.zip(new) {
            self.compare("HTTPBasePath", &old.base_path, &new.base_path);
        }
    }

    fn rest(&mut self, old: &Options, new: &Options) {
        self.compare("MaxPending", old.limits.pending_size, new.limits.pending_size);
        self.websocket(old.websocket.as_ref(), new.websocket.as_ref());
        self.compare("LogSizeLimit", old.log.file_size_max, new.log.file_size_max);
        self.compare("LogMaxFiles", old.log.file_count_max, new.log.file_count_max);
    }

    fn websocket(&mut self, old: Option<&WebSocketListen>, new: Option<&WebSocketListen>) {
        let without_tls = |listen: Option<&WebSocketListen>| {
            let mut listen = listen.cloned()?;
            listen.block.tls = None;
            Some(listen)
        };
        self.same("Websocket", &without_tls(old), &without_tls(new));
        let pinned = |listen: Option<&WebSocketListen>| listen?.block.tls.as_ref()?.pinned_keys.clone();
        self.same("Websocket.TLSPinnedCerts", &pinned(old), &pinned(new));
    }

    fn tls(&mut self, old: Option<&TlsListen>, new: Option<&TlsListen>) {
        let pinned = |listen: Option<&TlsListen>| listen?.block.pinned_keys.clone();
        self.same("TLSPinnedCerts", &pinned(old), &pinned(new));
        if let Some((old, new)) = old.zip(new) {
            self.compare("TLSRateLimit", old.block.rate_limit, new.block.rate_limit);
            self.compare("AllowNonTLS", old.allows_plain, new.allows_plain);
        }
    }

    fn own(&mut self, old: &Options, new: &Options) {
        let timeout = |options: &Options| match options.liveness.write_timeout {
            WriteTimeout::Default => "",
            WriteTimeout::Close => "close",
            WriteTimeout::Retry => "retry",
        };
        self.compare("WriteTimeout", timeout(old), timeout(new));
        self.compare(
            "MaxClosedClients",
            old.limits.closed_clients,
            new.limits.closed_clients,
        );
        let (before, after) = (&old.operations, &new.operations);
        self.compare(
            "LameDuckDuration",
            go(before.lame_duck_duration),
            go(after.lame_duck_duration),
        );
        self.compare(
            "LameDuckGracePeriod",
            go(before.lame_duck_grace_period),
            go(after.lame_duck_grace_period),
        );
        self.same("operator mode", &old.operator_mode, &new.operator_mode);
        self.same("shards", &old.cores.shards, &new.cores.shards);
        self.same("pin", &old.cores.pin, &new.cores.pin);
        self.same("log_format", &old.log.format, &new.log.format);
    }
}

/// A duration as Go writes it.
fn go(duration: Duration) -> String {
    format_duration_ns(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
