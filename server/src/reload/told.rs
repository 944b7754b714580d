//! The lines that tell what a reload changed, in the peer's words and order.
//!
//! Not here: the last line, with the digest of the file.

use std::path::PathBuf;

use super::go;
use crate::config::access::Login;
use crate::config::options::Options;

/// One line for each change, to be logged when it is in force.
pub fn told(old: &Options, new: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |changed: bool, text: String| {
        if changed {
            lines.push(text);
        }
    };
    let advertise = &new.client.advertise;
    tell(
        old.client.advertise != *advertise,
        format!(
            "Reload: client_advertise = {}",
            advertise.as_deref().unwrap_or_default()
        ),
    );
    let (before, after) = (&old.log, &new.log);
    let switches = [
        ("trace", before.trace, after.trace),
        ("debug", before.debug, after.debug),
        ("trace_verbose", before.trace_verbose, after.trace_verbose),
        ("trace_headers", before.trace_headers, after.trace_headers),
        ("logtime", before.time, after.time),
        ("logtime_utc", before.time_utc, after.time_utc),
    ];
    for (name, before, after) in switches {
        tell(before != after, format!("Reloaded: {name} = {after}"));
    }
    let connections = new.limits.connections;
    tell(
        old.limits.connections != connections,
        format!("Reloaded: max_connections = {connections}"),
    );
    let has_accounts = new.operator_mode.is_none();
    // As the peer, which does not compare them.
    tell(has_accounts, "Reloaded: authorization users".to_owned());
    tell(has_accounts, "Reloaded: accounts".to_owned());
    let login = old.access.login != new.access.login;
    let is = |login: &Login, token: bool| match login {
        Login::None => false,
        Login::User { .. } => !token,
        Login::Token(_) => true,
    };
    let either = |token| is(&old.access.login, token) || is(&new.access.login, token);
    tell(
        login && either(false),
        "Reloaded: authorization username and password".to_owned(),
    );
    tell(login && either(true), "Reloaded: authorization token".to_owned());
    let (before, after) = (&old.liveness, &new.liveness);
    tell(
        before.ping_interval != after.ping_interval,
        format!("Reloaded: ping_interval = {}", go(after.ping_interval)),
    );
    tell(
        before.ping_max != after.ping_max,
        format!("Reloaded: ping_max = {}", after.ping_max),
    );
    tell(
        before.auth_timeout != after.auth_timeout,
        format!(
            "Reloaded: authorization timeout = {}",
            after.auth_timeout.as_secs_f64()
        ),
    );
    let (before, after) = (&old.limits, &new.limits);
    tell(
        before.control_line_size != after.control_line_size,
        format!("Reloaded: max_control_line = {}", after.control_line_size),
    );
    tell(
        before.payload_size != after.payload_size,
        format!("Reloaded: max_payload = {}", after.payload_size),
    );
    let not = if new.protocol.no_fast_producer_stall {
        "not "
    } else {
        ""
    };
    tell(
        old.protocol.no_fast_producer_stall != new.protocol.no_fast_producer_stall,
        format!("Reloaded: fast producers will {not}be stalled"),
    );
    told_of_files(old, new, &mut tell);
    lines
}

fn told_of_files(old: &Options, new: &Options, tell: &mut impl FnMut(bool, String)) {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let (before, after) = (&old.operations, &new.operations);
    tell(
        before.pid_file != after.pid_file && after.pid_file.is_some(),
        format!(
            "Reloaded: pid_file = {}",
            path(&after.pid_file).unwrap_or_default()
        ),
    );
    tell(
        before.ports_file_dir != after.ports_file_dir,
        format!(
            "Reloaded: ports_file_dir = {}",
            path(&after.ports_file_dir).unwrap_or_default()
        ),
    );
    tell(
        old.log.file != new.log.file,
        format!("Reloaded: log_file = {}", path(&new.log.file).unwrap_or_default()),
    );
    tell(
        old.log.syslog != new.log.syslog,
        format!("Reloaded: syslog = {}", new.log.syslog),
    );
    // The address may hold a password.
    let shown = new.redacted().log.remote_syslog.unwrap_or_default();
    tell(
        old.log.remote_syslog != new.log.remote_syslog,
        format!("Reloaded: remote_syslog = {shown}"),
    );
    let state = if new.tls.is_some() { "enabled" } else { "disabled" };
    tell(old.tls != new.tls, format!("Reloaded: tls = {state}"));
    tell(
        old.liveness.write_deadline != new.liveness.write_deadline,
        format!("Reloaded: write_deadline = {}", go(new.liveness.write_deadline)),
    );
    tell(
        old.log.traced_msg_size_max != new.log.traced_msg_size_max,
        format!("Reloaded: max_traced_msg_len = {}", new.log.traced_msg_size_max),
    );
    tell(
        before.connect_error_reports != after.connect_error_reports,
        format!(
            "Reloaded: connect_error_reports = {}",
            after.connect_error_reports
        ),
    );
    tell(
        before.reconnect_error_reports != after.reconnect_error_reports,
        format!(
            "Reloaded: reconnect_error_reports = {}",
            after.reconnect_error_reports
        ),
    );
    tell(
        old.identity.tags != new.identity.tags,
        "Reloaded: tags".to_owned(),
    );
    tell(
        old.identity.metadata != new.identity.metadata,
        "Reloaded: metadata".to_owned(),
    );
}
