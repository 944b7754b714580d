//! What a reload refuses, by the table of keys.

use std::path::Path;

use super::{check, told};
use crate::config::options::Options;
use crate::config::{load, Loaded};

fn options(text: &str) -> Options {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded: Loaded = load(Path::new("a.conf"), &read, &|_: &str| None).expect(text);
    loaded.options
}

/// Each of these keys needs a restart, said in the peer's words, which are recorded from it.
#[test]
fn refusals_are_the_peers() {
    let cases = [
        (
            "max_subscriptions: 5",
            "max_subscriptions: 6",
            "MaxSubs: old=5, new=6",
        ),
        (
            "lame_duck_duration: \"100s\"",
            "lame_duck_duration: \"1m\"",
            "LameDuckDuration: old=1m40s, new=1m0s",
        ),
        (
            "write_timeout: close",
            "write_timeout: default",
            "WriteTimeout: old=close, new=",
        ),
        (
            "write_timeout: close",
            "write_timeout: retry",
            "WriteTimeout: old=close, new=retry",
        ),
        (
            "accounts {S: {users: [{user: s}]}}",
            "accounts {S: {users: [{user: s}]}}, system_account: S",
            "SystemAccount: old=, new=S",
        ),
        (
            "",
            "no_system_account: true",
            "NoSystemAccount: old=false, new=true",
        ),
        ("", "max_sub_tokens: 3", "MaxSubTokens: old=0, new=3"),
        ("port: 4000", "port: 4001", "Port: old=4000, new=4001"),
        (
            "authorization {users: [{user: a}]}, no_auth_user: a",
            "authorization {users: [{user: a}]}",
            "NoAuthUser: old=a, new=",
        ),
    ];
    for (old, new, said) in cases {
        let expected = Err(format!("config reload not supported for {said}"));
        assert_eq!(check(&options(old), &options(new)), expected, "{old} to {new}");
        assert_eq!(check(&options(new), &options(new)), Ok(()), "{new} to itself");
    }
}

/// Every key is named when there are several.
#[test]
fn all_refusals_are_named() {
    let said = check(
        &options(""),
        &options("max_pending: 2000000, max_closed_clients: 7, server_name: n, debug: true"),
    );
    let expected = "config reload not supported for ServerName: old=, new=n; \
                    config reload not supported for MaxPending: old=67108864, new=2000000; \
                    config reload not supported for MaxClosedClients: old=10000, new=7";
    assert_eq!(said, Err(expected.to_owned()));
}

/// `no_auth_user` may go together with its user.
#[test]
fn no_auth_user_goes_with_its_user() {
    let old = options("authorization {users: [{user: a}, {user: b}]}, no_auth_user: a");
    assert_eq!(
        check(&old, &options("authorization {users: [{user: b}]}")),
        Ok(())
    );
}

/// The lines of hot keys, as the peer logs them.
#[test]
fn hot_changes_are_told() {
    let new = options(
        "max_connections: 0, debug: true, ping_interval: 10, ping_max: 4, write_deadline: 3, server_tags: [a, b]\n\
         server_metadata {a: b}, max_payload: 100, max_control_line: 5000, client_advertise: \"a:1\"\n\
         no_fast_producer_stall: true, connect_error_reports: 4, reconnect_error_reports: 5, max_traced_msg_len: 7\n\
         authorization {timeout: 1.5}",
    );
    assert_eq!(check(&options(""), &new), Ok(()));
    let expected = [
        "Reload: client_advertise = a:1",
        "Reloaded: debug = true",
        "Reloaded: max_connections = -1",
        "Reloaded: authorization users",
        "Reloaded: accounts",
        "Reloaded: ping_interval = 10s",
        "Reloaded: ping_max = 4",
        "Reloaded: authorization timeout = 1.5",
        "Reloaded: max_control_line = 5000",
        "Reloaded: max_payload = 100",
        "Reloaded: fast producers will not be stalled",
        "Reloaded: write_deadline = 3s",
        "Reloaded: max_traced_msg_len = 7",
        "Reloaded: connect_error_reports = 4",
        "Reloaded: reconnect_error_reports = 5",
        "Reloaded: tags",
        "Reloaded: metadata",
    ];
    assert_eq!(told(&options(""), &new), expected);
}
