//! Keys: what each value does, what is wrong with it, and that every key of the table does what its status says.

use super::super::options::Options;
use super::super::parser::parse_text;
use super::super::table::Status;
use super::*;

fn applied(text: &str) -> Applied {
    applied_by(&Table::new(), text)
}

fn applied_by(table: &Table, text: &str) -> Applied {
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let map = parse_text("t.conf", text.as_bytes(), &no_file, &|_: &str| None)
        .unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"));
    apply(&map, table)
}

fn options(text: &str) -> Options {
    let applied = applied(text);
    assert_eq!(applied.diagnostics, [], "{text:?}");
    applied
        .raw
        .resolve()
        .unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"))
}

fn complaints(text: &str) -> Vec<String> {
    applied(text)
        .diagnostics
        .iter()
        .map(Diagnostic::to_string)
        .collect()
}

/// A value of each effective key that differs from its default.
const SAMPLES: &[(&str, &str)] = &[
    ("listen", "\"127.0.0.1:4333\""),
    ("port", "4333"),
    ("host", "127.0.0.1"),
    ("server_name", "S1"),
    ("client_advertise", "\"nats.example.com:4222\""),
    ("http", "\"127.0.0.1:8222\""),
    ("http_port", "8222"),
    ("http_base_path", "/nats"),
    ("tls", "{ verify: true }"),
    ("allow_non_tls", "true"),
    ("debug", "true"),
    ("trace", "true"),
    ("trace_verbose", "true"),
    ("trace_headers", "true"),
    ("logtime", "false"),
    ("logtime_utc", "true"),
    ("log_format", "json"),
    ("log_file", "/tmp/x.log"),
    ("log_size_limit", "10mb"),
    ("log_max_num", "5"),
    ("syslog", "true"),
    ("remote_syslog", "\"udp://127.0.0.1:514\""),
    ("pid_file", "/tmp/x.pid"),
    ("ports_file_dir", "/tmp"),
    ("max_control_line", "8k"),
    ("max_payload", "2MB"),
    ("max_pending", "128MB"),
    ("max_connections", "100"),
    ("max_subscriptions", "100"),
    ("max_sub_tokens", "16"),
    ("max_traced_msg_len", "64"),
    ("max_closed_clients", "10"),
    ("ping_interval", "\"1m\""),
    ("ping_max", "5"),
    ("write_deadline", "\"3s\""),
    ("write_timeout", "retry"),
    ("no_fast_producer_stall", "true"),
    ("proxy_protocol", "true"),
    ("lame_duck_duration", "\"4m\""),
    ("lame_duck_grace_period", "5s"),
    ("connect_error_reports", "2"),
    ("reconnect_error_reports", "2"),
    ("disable_sublist_cache", "true"),
    ("no_header_support", "true"),
    ("server_tags", "[a, b]"),
    ("server_metadata", "{ zone: a }"),
    ("shards", "3"),
    ("pin", "on"),
];

/// A key inside a block: what the block is without it, and with it at the place of `KEY`. The options differ.
const INSIDE: &[(&str, &str, &str)] = &[
    ("authorization", "", "KEY { users: [ { user: a, password: b } ] }"),
    (
        "authorization.user",
        "authorization { password: b }",
        "authorization { password: b, KEY: a }",
    ),
    (
        "authorization.password",
        "authorization { user: a }",
        "authorization { user: a, KEY: b }",
    ),
    (
        "authorization.token",
        "authorization {}",
        "authorization { KEY: t }",
    ),
    (
        "authorization.timeout",
        "authorization {}",
        "authorization { KEY: 5 }",
    ),
    (
        "authorization.users",
        "authorization {}",
        "authorization { KEY: [ { user: a } ] }",
    ),
    (
        "authorization.default_permissions",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { user: a } ], KEY: { publish: x } }",
    ),
    (
        "authorization.users[].user",
        "authorization { users: [ { user: b } ] }",
        "authorization { users: [ { KEY: a } ] }",
    ),
    (
        "authorization.users[].password",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { user: a, KEY: b } ] }",
    ),
    (
        "authorization.users[].nkey",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { KEY: UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK } ] }",
    ),
    (
        "authorization.users[].permissions",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { user: a, KEY: { publish: x } } ] }",
    ),
    (
        "authorization.users[].allowed_connection_types",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { user: a, KEY: [ STANDARD ] } ] }",
    ),
    ("accounts", "", "KEY { A {} }"),
    (
        "accounts.<account>.nkey",
        "accounts { A {} }",
        "accounts { A { KEY: ACGVCB7DP62QVKXEUS544HSDM7WRABDDWNQMD5BZIZUKJWAWMER55R3E } }",
    ),
    (
        "accounts.<account>.users",
        "accounts { A {} }",
        "accounts { A { KEY: [ { user: a } ] } }",
    ),
    (
        "accounts.<account>.default_permissions",
        "accounts { A { users: [ { user: a } ] } }",
        "accounts { A { users: [ { user: a } ], KEY: { publish: x } } }",
    ),
    (
        "accounts.<account>.mappings",
        "accounts { A {} }",
        "accounts { A { KEY: { a: b } } }",
    ),
    (
        "accounts.<account>.limits",
        "accounts { A {} }",
        "accounts { A { KEY: { max_subs: 5 } } }",
    ),
    ("mappings", "", "KEY: { a: b }"),
    ("accounts.<account>.exports", "accounts { A {} }", "accounts { A { KEY: [ { stream: s } ] } }"),
    (
        "accounts.<account>.imports",
        "accounts { A { exports: [ { stream: s } ] }, B {} }",
        "accounts { A { exports: [ { stream: s } ] }, B { KEY: [ { stream: { account: A, subject: s } } ] } }",
    ),
    (
        "accounts.<account>.exports[].stream",
        "accounts { A { exports: [ { stream: b } ] }, B {} }",
        "accounts { A { exports: [ { KEY: s } ] }, B {} }",
    ),
    (
        "accounts.<account>.exports[].service",
        "accounts { A { exports: [ { service: b } ] }, B {} }",
        "accounts { A { exports: [ { KEY: s } ] }, B {} }",
    ),
    (
        "accounts.<account>.exports[].accounts",
        "accounts { A { exports: [ { stream: s } ] }, B {} }",
        "accounts { A { exports: [ { stream: s, KEY: [ B ] } ] }, B {} }",
    ),
    (
        "accounts.<account>.exports[].response",
        "accounts { A { exports: [ { service: s } ] }, B {} }",
        "accounts { A { exports: [ { service: s, KEY: chunked } ] }, B {} }",
    ),
    (
        "accounts.<account>.exports[].threshold",
        "accounts { A { exports: [ { service: s } ] }, B {} }",
        "accounts { A { exports: [ { service: s, KEY: '5s' } ] }, B {} }",
    ),
    (
        "accounts.<account>.exports[].account_token_position",
        "accounts { A { exports: [ { stream: \"s.*\" } ] }, B {} }",
        "accounts { A { exports: [ { stream: \"s.*\", KEY: 2 } ] }, B {} }",
    ),
    (
        "accounts.<account>.imports[].stream",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: A, subject: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { KEY: { account: A, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].service",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { KEY: { account: A, subject: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].prefix",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: s }, KEY: p } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].to",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: s }, KEY: p } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].share",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: A, subject: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: A, subject: q }, KEY: true } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].stream.account",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: C, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { KEY: A, subject: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].stream.subject",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, subject: t } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { stream: { account: A, KEY: s } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].service.account",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: C, subject: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { KEY: A, subject: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    (
        "accounts.<account>.imports[].service.subject",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: A, subject: r } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
        "accounts { A { exports: [ { stream: s }, { service: q }, { stream: t }, { service: r } ] }, B { imports: [ { service: { account: A, KEY: q } } ] }, C { exports: [ { stream: s }, { service: q } ] } }",
    ),
    ("system_account", "accounts { S {} }", "accounts { S {} }, KEY: S"),
    ("no_system_account", "", "KEY: true"),
    (
        "no_auth_user",
        "authorization { users: [ { user: a } ] }",
        "authorization { users: [ { user: a } ] }, KEY: a",
    ),
];

/// Blocks that stand in several places mean the same in each: the block, and where it is written.
const EVERYWHERE: &[(&str, &str, &str)] = &[
    (
        "accounts.<account>.users[]",
        "authorization.users[]",
        "accounts { A { users: [ { user: b BLOCK } ] } }",
    ),
    (
        "authorization.users[].permissions",
        "permissions",
        "authorization { users: [ { user: a, permissions: { BLOCK } } ] }",
    ),
    (
        "accounts.<account>.users[].permissions",
        "permissions",
        "accounts { A { users: [ { user: a, permissions: { BLOCK } } ] } }",
    ),
    (
        "authorization.default_permissions",
        "permissions",
        "authorization { users: [ { user: a } ], permissions: { BLOCK } }",
    ),
    (
        "accounts.<account>.default_permissions",
        "permissions",
        "accounts { A { users: [ { user: a } ], default_permissions: { BLOCK } } }",
    ),
    (
        "accounts.<account>.limits",
        "limits",
        "accounts { A { limits { BLOCK } } }",
    ),
    ("mappings", "mappings", "mappings { BLOCK }"),
    (
        "accounts.<account>.mappings",
        "mappings",
        "accounts { A { mappings { BLOCK } } }",
    ),
];

/// Keys of such blocks, by the block's second name above: without the key, and with it.
const OF_BLOCKS: &[(&str, &str, &str, &str)] = &[
    ("authorization.users[]", "user", "", ", KEY: c"),
    ("authorization.users[]", "password", "", ", KEY: x"),
    ("authorization.users[]", "nkey", "", ""),
    (
        "authorization.users[]",
        "permissions",
        "",
        ", KEY: { publish: x }",
    ),
    (
        "authorization.users[]",
        "allowed_connection_types",
        "",
        ", KEY: STANDARD",
    ),
    ("permissions", "publish", "", "KEY: x"),
    (
        "permissions",
        "publish.allow",
        "publish: {}",
        "publish: { KEY: x }",
    ),
    (
        "permissions",
        "publish.deny",
        "publish: {}",
        "publish: { KEY: x }",
    ),
    ("permissions", "subscribe", "", "KEY: x"),
    (
        "permissions",
        "subscribe.allow",
        "subscribe: {}",
        "subscribe: { KEY: \"x q\" }",
    ),
    (
        "permissions",
        "subscribe.deny",
        "subscribe: {}",
        "subscribe: { KEY: [ x ] }",
    ),
    ("permissions", "allow_responses", "", "KEY: true"),
    (
        "permissions",
        "allow_responses.max",
        "allow_responses: {}",
        "allow_responses: { KEY: 9 }",
    ),
    (
        "permissions",
        "allow_responses.expires",
        "allow_responses: {}",
        "allow_responses: { KEY: '9s' }",
    ),
    ("limits", "max_connections", "", "KEY: 1"),
    ("limits", "max_subscriptions", "", "KEY: 1"),
    ("limits", "max_payload", "", "KEY: 1"),
    ("limits", "max_leafnodes", "", "KEY: 1"),
    ("mappings", "<subject>", "", "a: b"),
    (
        "mappings",
        "<subject>[].destination",
        "a: [ { weight: 1, dest: b } ]",
        "a: [ { weight: 1, KEY: c } ]",
    ),
    (
        "mappings",
        "<subject>[].weight",
        "a: [ { weight: 2, dest: b } ]",
        "a: [ { dest: b, KEY: 1% } ]",
    ),
    (
        "mappings",
        "<subject>[].cluster",
        "a: [ { weight: 1, dest: b } ]",
        "a: [ { weight: 1, dest: b, KEY: c } ]",
    ),
];

/// The keys of operator mode, with tokens that the reference tools made.
fn operator_mode_samples() -> Vec<(String, (String, String))> {
    use crate::auth::jwt::fixtures::{public, token};
    let operator = format!("operator: {}\nresolver: MEMORY\n", token("operator"));
    let account = public("A");
    [
        (
            "operator",
            String::new(),
            format!("KEY: {}\nresolver: MEMORY\n", token("operator")),
        ),
        ("trusted_keys", String::new(), format!("KEY: {}\n", public("O"))),
        (
            "resolver",
            format!("trusted_keys: {}\n", public("O")),
            format!("trusted_keys: {}\nKEY: MEMORY\n", public("O")),
        ),
        (
            "resolver.type",
            format!("trusted_keys: {}\n", public("O")),
            format!("trusted_keys: {}\nresolver: {{ KEY: MEM }}\n", public("O")),
        ),
        (
            "resolver_preload",
            operator.clone(),
            format!("{operator}KEY {{ {account}: {} }}\n", token("account A")),
        ),
        (
            "resolver_pinned_accounts",
            operator.clone(),
            format!("{operator}KEY: {account}\n"),
        ),
        (
            "default_sentinel",
            operator.clone(),
            format!("{operator}KEY: {}\n", token("user bearer")),
        ),
    ]
    .map(|(path, without, with)| (path.to_owned(), (without, with)))
    .into()
}

/// Every key with a file that has it, by its path: without the key, and with `KEY` in its place.
fn samples() -> BTreeMap<String, (String, String)> {
    let mut samples = BTreeMap::new();
    for (path, value) in SAMPLES {
        // The base path shows only where there is a monitoring port.
        let rest = match *path {
            "http_base_path" => "http_port: 1\n",
            "allow_non_tls" => "tls {}\n",
            _ => "",
        };
        samples.insert(
            (*path).to_owned(),
            (rest.to_owned(), format!("{rest}KEY: {value}\n")),
        );
    }
    for (path, without, with) in INSIDE {
        samples.insert((*path).to_owned(), ((*without).to_owned(), (*with).to_owned()));
    }
    for (place, block, text) in EVERYWHERE {
        for (_, key, without, with) in OF_BLOCKS.iter().filter(|of| of.0 == *block) {
            let sample = (text.replace("BLOCK", without), text.replace("BLOCK", with));
            samples.entry(format!("{place}.{key}")).or_insert(sample);
        }
    }
    samples.extend(operator_mode_samples());
    let nkey =
        "accounts { A { users: [ { KEY: UCOSPCHHCWOMKMSQZKM5HXQQGDTXPQCZQAY3DP7U25A4OZQA6ZFVYTWK } ] } }";
    let without = "accounts { A {} }".to_owned();
    samples.insert(
        "accounts.<account>.users[].nkey".to_owned(),
        (without, nkey.to_owned()),
    );
    let user = "accounts { A { users: [ { KEY: c } ] } }";
    let without = "accounts { A {} }".to_owned();
    samples.insert(
        "accounts.<account>.users[].user".to_owned(),
        (without, user.to_owned()),
    );
    samples
}

/// The text of a file that writes `value` at a path of the table.
fn written_at(path: &str, value: &str) -> String {
    let mut text = value.to_owned();
    for part in path.rsplit('.') {
        let name = part.trim_end_matches("[]");
        if name != part {
            text = format!("[ {text} ]");
        }
        let name = if name.starts_with('<') { "a_name" } else { name };
        text = format!("{{ {name}: {text} }}");
    }
    // The braces left outermost stand around the whole file, which the language allows.
    text
}

/// Every effective key changes the options, by its name and by every alias, in any case.
/// Covers: TestMaxClosedClients, TestSublistNoCacheConfig
#[test]
fn effective_keys_change_the_options() {
    let table = Table::new();
    let samples = samples();
    let effective = table
        .keys()
        .iter()
        .filter(|key| key.status == Status::Effective && !key.is_syntax())
        .filter(|key| key.test == "effective_keys_change_the_options");
    for key in effective {
        let (without, with) = samples
            .get(key.path)
            .unwrap_or_else(|| panic!("{} is effective and has no sample", key.path));
        let written = |name: &str| options(&with.replace("KEY", name));
        let changed = written(key.name());
        assert_ne!(changed, options(without), "{} changes nothing", key.path);
        for alias in &key.aliases {
            assert_eq!(written(alias), changed, "{}: {alias}", key.path);
        }
        assert_eq!(written(&key.name().to_uppercase()), changed, "{}", key.path);
    }
}

/// A value of each key of a `tls` block that differs from its default; `insecure` and the two that allow something
/// change nothing by themselves.
const TLS_SAMPLES: &[(&str, &str, bool)] = &[
    ("cert_file", "\"a.pem\", key_file: \"a.key\"", true),
    ("key_file", "\"a.key\", cert_file: \"a.pem\"", true),
    ("ca_file", "\"ca.pem\"", true),
    ("insecure", "true", false),
    ("verify", "true", true),
    ("verify_cert_and_check_known_urls", "false", false),
    ("allow_insecure_cipher_suites", "true", false),
    ("cipher_suites", "[TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]", true),
    ("curve_preferences", "[CurveP256, X25519]", true),
    ("timeout", "\"1.5s\"", true),
    ("connection_rate_limit", "5", true),
    (
        "pinned_certs",
        "[\"a8f407340dcc719864214b85ed96f98d16cbffa8f509d9fa4ca237b7bb3f9c32\"]",
        true,
    ),
    ("handshake_first", "auto", true),
    ("certs", "[{ cert_file: \"b.pem\", key_file: \"b.key\" }]", true),
    ("min_version", "\"1.3\"", true),
];

/// Every key of `tls` that has an effect changes what is asked for, by every alias and in any case; the others are read.
#[test]
fn tls_keys_change_the_options() {
    let table = Table::new();
    let default = options("tls {}\n");
    let mut count = 0;
    for key in table.keys() {
        if key.test != "tls_keys_change_the_options" || key.parent() != "tls" {
            continue;
        }
        count += 1;
        let (name, value, changes) = TLS_SAMPLES
            .iter()
            .find(|(name, ..)| *name == key.name())
            .unwrap_or_else(|| panic!("{} has no sample", key.path));
        let changed = options(&format!("tls {{ {name}: {value} }}\n"));
        assert_eq!(changed != default, *changes, "{name}");
        for alias in &key.aliases {
            assert_eq!(
                options(&format!("tls {{ {alias}: {value} }}\n")),
                changed,
                "{alias}"
            );
        }
        assert_eq!(
            options(&format!("TLS {{ {}: {value} }}\n", name.to_uppercase())),
            changed,
            "{name}"
        );
        // Every key has a type of its own, and none of them is this.
        assert!(
            !complaints(&format!("tls {{ {name}: 2020-01-01T00:00:00Z }}\n")).is_empty(),
            "{name}"
        );
    }
    assert_eq!(count, TLS_SAMPLES.len());
}

/// A value of each key of `websocket` that differs from its default.
const WEBSOCKET_SAMPLES: &[(&str, &str)] = &[
    ("listen", "\"127.0.0.1:9999\""),
    ("port", "9999"),
    ("host", "\"127.0.0.1\""),
    ("advertise", "\"h:1\""),
    ("no_tls", "true"),
    ("tls", "{ verify: true }"),
    ("same_origin", "true"),
    ("allowed_origins", "[\"https://example.com\"]"),
    ("handshake_timeout", "\"2s\""),
    ("compression", "true"),
    ("headers", "{ X-Own: \"1\" }"),
];

/// Every key of `websocket` that has an effect changes the options, by every alias and in any case; so do those of its
/// `tls`.
#[test]
fn websocket_keys_change_the_options() {
    let table = Table::new();
    let start = "websocket { port: 8080, tls {}\n";
    let default = options(&format!("{start}}}"));
    let (mut count, mut tls_count) = (0, 0);
    for key in table.keys() {
        if key.test != "websocket_keys_change_the_options" {
            continue;
        }
        if key.parent() == "websocket.tls" {
            tls_count += 1;
            let (name, value, changes) = TLS_SAMPLES
                .iter()
                .find(|(name, ..)| *name == key.name())
                .unwrap_or_else(|| panic!("{} has no sample", key.path));
            let changed = options(&format!("{start} tls {{ {name}: {value} }} }}"));
            assert_eq!(changed != default, *changes, "{name}");
        }
        if key.parent() != "websocket" {
            continue;
        }
        count += 1;
        let (name, value) = WEBSOCKET_SAMPLES
            .iter()
            .find(|(name, _)| *name == key.name())
            .unwrap_or_else(|| panic!("{} has no sample", key.path));
        let written = |name: &str| options(&format!("{start} {name}: {value} }}"));
        let changed = written(name);
        assert_ne!(changed, default, "{name}");
        for alias in &key.aliases {
            assert_eq!(written(alias), changed, "{alias}");
        }
        assert_eq!(written(&name.to_uppercase()), changed, "{name}");
        let wrong = complaints(&format!("{start} {name}: 2020-01-01T00:00:00Z }}"));
        assert!(!wrong.is_empty(), "{name}");
    }
    assert_eq!((count, tls_count), (WEBSOCKET_SAMPLES.len(), TLS_SAMPLES.len()));
    assert_eq!(
        options("websocket { tls {} }").websocket,
        None,
        "without a port there is none"
    );
}

/// What is wrong in a `websocket` block is said.
#[test]
fn mistakes_in_a_websocket_block() {
    for (block, complaint) in [
        (
            "no_tls: true, allowed_origins: x",
            "unable to parse allowed origin \"x\"",
        ),
        (
            "no_tls: true, allowed_origins: \"ftp://x\"",
            "absolute URLs with http or https scheme",
        ),
        ("no_tls: true, allowed_origins: \"http://\"", "host is required"),
        (
            "no_tls: true, headers { Host: x }",
            "invalid header \"Host\" not allowed",
        ),
        (
            "no_tls: true, headers { Sec-WebSocket-X: x }",
            "\"Sec-WebSocket-\" prefix not allowed",
        ),
        (
            "no_tls: true, headers { X: \"a\\nb\" }",
            "cannot be written into an answer",
        ),
        (
            "no_tls: true, jwt_cookie: c",
            "websocket.jwt_cookie is not supported",
        ),
        (
            "no_tls: true, authorization { user: a }",
            "websocket.authorization is not supported",
        ),
        ("no_tls: true, handshake_timeout: soon", "invalid duration"),
        ("no_tls: true, listen: \"x\"", "could not parse address string"),
    ] {
        let found = complaints(&format!("websocket {{ port: 8080, {block} }}\n"));
        assert_eq!(found.len(), 1, "{block}: {found:?}");
        assert!(found[0].contains(complaint), "{block}: {found:?}");
    }
    let raw = applied("websocket { port: 8080 }").raw;
    assert_eq!(
        raw.resolve().unwrap_err()[0].text,
        "websocket requires TLS configuration"
    );
}

/// What is wrong in a `tls` block is said where it stands.
/// Covers: TestTLSConfigurationInvalid
#[test]
fn mistakes_in_a_tls_block() {
    for (block, complaint) in [
        ("cert_file: a", "missing 'key_file' in TLS configuration"),
        ("key_file: a", "missing 'cert_file' in TLS configuration"),
        (
            "cert_file: a, key_file: b, certs: [{ cert_file: a, key_file: b }]",
            "cannot combine 'cert_file' option with 'certs' option",
        ),
        ("certs: [{ cert_file: a }]", "both 'cert_file' and 'cert_key' options are required"),
        ("cipher_suites: []", "'cipher_suites' cannot be empty"),
        ("cipher_suites: [TLS_NONE]", "unrecognized cipher TLS_NONE"),
        (
            "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
            "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: \
             TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        (
            "allow_insecure_cipher_suites: true, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
            "cipher suite TLS_RSA_WITH_AES_128_CBC_SHA is not available in this server: possible are TLS_AES_128_GCM",
        ),
        (
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]",
            "cipher suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not available in this server",
        ),
        ("curve_preferences: [CurveP521]", "curve CurveP521 is not available in this server: possible are X25519"),
        ("curve_preferences: [CurveP1]", "unrecognized curve preference CurveP1"),
        ("timeout: soon", "'timeout' time: invalid duration"),
        ("timeout: -1", "timeout can not be negative"),
        ("pinned_certs: [abc]", "does not look like hex-encoded sha256"),
        ("handshake_first: maybe", "field \"handshake_first\"'s value \"maybe\" is invalid"),
        ("min_version: \"1.1\"", "unsupported TLS version: TLS 1.1"),
        ("min_version: \"1.4\"", "unknown version: 1.4"),
        ("verify_cert_and_check_known_urls: true", "not supported in this context"),
        ("verify_and_map: true", "tls.verify_and_map is not supported"),
        ("ocsp_peer: true", "tls.ocsp_peer is not supported"),
        ("cert_store: WindowsLocalMachine", "the store of Windows is not here"),
        ("no_such_key: 1", "unknown field \"no_such_key\""),
    ] {
        let found = complaints(&format!("tls {{ {block} }}\n"));
        assert_eq!(found.len(), 1, "{block}: {found:?}");
        assert!(found[0].contains(complaint), "{block}: {found:?}");
        assert!(found[0].starts_with("t.conf:1:"), "{found:?}");
    }
}

/// The highest key of the same status where `key` stands: what is below it is not looked at.
fn topmost<'a>(table: &'a Table, key: &'a Key) -> &'a Key {
    let above = table.above(key).filter(|above| above.status == key.status);
    above.map_or(key, |above| topmost(table, above))
}

/// Every refused key refuses, wherever it stands, with the place of the highest one that does.
#[test]
fn refused_keys_keep_the_server_from_starting() {
    let table = Table::new();
    let mut count = 0;
    for key in table.keys().iter().filter(|key| key.status == Status::Refused) {
        count += 1;
        let text = written_at(key.path, "some_value");
        let found = applied_by(&table, &text).diagnostics;
        let top = topmost(&table, key);
        assert!(!found.is_empty(), "{text}");
        assert_eq!(found[0].severity, super::super::Severity::Error, "{text}");
        assert_eq!(
            found[0].text,
            top.complaint(table.speaker_for(top)).unwrap(),
            "{text}"
        );
        assert!(found[0].at.is_some(), "{text}");
        // The rest of a block that is looked into may be missed.
        let unknown = found.iter().find(|found| found.text.starts_with("unknown field"));
        assert_eq!(unknown, None, "{} is not known where it stands: {text}", key.path);
        for alias in &top.aliases {
            let parent = top.parent();
            let path = if parent.is_empty() {
                (*alias).to_owned()
            } else {
                format!("{parent}.{alias}")
            };
            let again = applied_by(&table, &written_at(&path, "some_value")).diagnostics;
            assert_eq!(again[0].text, found[0].text, "{alias}");
        }
    }
    assert!(count > 380, "{count} refused keys");
}

/// Warned keys start with a notice and change nothing.
#[test]
fn warned_keys_are_let_pass_with_a_notice() {
    let table = Table::new();
    let warned: Vec<&Key> = table
        .keys()
        .iter()
        .filter(|key| key.status == Status::Warned)
        .collect();
    assert!(!warned.is_empty());
    for key in warned {
        // Keys below another one are never looked at.
        let value = match key.kind {
            "int" => "5",
            "path" => "/x",
            kind if kind.starts_with("map") => "{ x: true }",
            kind if kind.starts_with("string") => "x",
            _ => "true",
        };
        let text = written_at(key.path, value);
        let applied = applied_by(&table, &text);
        // The rest of a block that is looked into may be missed.
        let first = applied.diagnostics.first().map(|found| found.severity);
        assert_eq!(first, Some(super::super::Severity::Notice), "{text}");
        let block = topmost(&table, key).parent();
        let without = match block {
            "" => RawOptions::default(),
            block => applied_by(&table, &written_at(block, "{}")).raw,
        };
        assert_eq!(applied.raw.resolve(), without.resolve(), "{text}");
    }
}

/// A refused key that asks for what is so anyway does no harm.
#[test]
fn switched_off_keys_are_let_pass() {
    for text in [
        "jetstream: false",
        "jetstream: disabled",
        "jetstream { enabled: false, store_dir: /x }",
        "https_port: 0",
        "ocsp: off",
    ] {
        assert_eq!(options(text), Options::default(), "{text}");
    }
    for text in [
        "jetstream: true",
        "jetstream: enabled",
        "jetstream {}",
        "https_port: 8443",
        "tls: false",
    ] {
        assert_eq!(applied(text).diagnostics.len(), 1, "{text}");
    }
}

/// Unknown keys, at the top and below a key that is refused anyway; used as variables they are none.
#[test]
fn unknown_keys_are_refused_unless_a_variable_used_them() {
    assert_eq!(
        complaints("foo: 1\n bar: 2\n"),
        [
            "t.conf:1:1: unknown field \"foo\"",
            "t.conf:2:2: unknown field \"bar\"",
        ]
    );
    assert_eq!(complaints("P: 4333\nport: $P\n"), Vec::<String>::new());
    assert_eq!(complaints("allow_unknown_top_level_fields: true").len(), 1);
    let below = complaints(
        "cluster {\n nmae: x\n x: y\n name: $x\n routes: [ a ]\n}\naccounts { A { usres: [] } }\n",
    );
    assert_eq!(below.len(), 3, "{below:?}");
    assert_eq!(below[1], "t.conf:2:2: unknown field \"nmae\"");
    assert_eq!(below[2], "t.conf:7:16: unknown field \"usres\"");
}

/// What is wrong with a value, in the peer's words where it has any.
/// Covers: TestLargeMaxPayload, TestLargeMaxControlLine, TestMalformedListenAddress
#[test]
fn wrong_values_are_named() {
    for (text, complaint) in [
        ("port: hello", "port must be an integer, not a string"),
        ("Port { a: 1 }", "Port must be an integer, not a map"),
        ("debug: 1", "debug must be a boolean, not an integer"),
        (
            "server_name: 2020-01-01T00:00:00Z",
            "server_name must be a string, not a date",
        ),
        ("server_name: 'a b'", "server name cannot contain spaces"),
        ("listen: foo", "could not parse address string \"foo\""),
        ("listen: ::1:4222", "could not parse address string \"::1:4222\""),
        ("listen: 'foo:bar'", "could not parse port \"bar\""),
        ("http: true", "expected port or host:port, got bool"),
        ("max_payload: 3g", "max_payload value is too big"),
        ("max_control_line: 3g", "max_control_line value is too big"),
        (
            "max_subscription_tokens: 256",
            "max_subscription_tokens value is too big",
        ),
        ("max_sub_tokens: 0", "max_sub_tokens value can not be negative"),
        (
            "ping_interval: '5'",
            "error parsing ping_interval: time: missing unit in duration \"5\"",
        ),
        (
            "ping_interval: true",
            "ping_interval must be a duration, as in \"2m30s\", not a boolean",
        ),
        (
            "write_deadline: '-1s'",
            "invalid write_deadline, needs to be positive",
        ),
        ("write_deadline: 9999999999999", "write_deadline value is too big"),
        ("log_format: xml", "log_format must be 'text' or 'json'"),
        (
            "write_timeout: x",
            "write_timeout must be 'default', 'close' or 'retry'",
        ),
        (
            "lame_duck_duration: 5s",
            "invalid lame_duck_duration of 5s, minimum is 30 seconds",
        ),
        (
            "lame_duck_duration: 5x",
            "error parsing lame_duck_duration: time: unknown unit \"x\" in duration \"5x\"",
        ),
        (
            "lame_duck_grace_period: '-1s'",
            "invalid lame_duck_grace_period, needs to be positive",
        ),
        ("server_tags: 5", "error parsing tags: unsupported type int64"),
        (
            "server_tags: [a, 5 ]",
            "error parsing tags: unsupported type int64 where string is expected",
        ),
        (
            "server_metadata: x",
            "error parsing metadata: unsupported type string",
        ),
        (
            "server_metadata { a: 1 }",
            "server_metadata: \"a\" must be a string, not an integer",
        ),
        ("prof_port: hello", "prof_port must be int, not a string"),
        (
            "feature_flags: true",
            "feature_flags must be map<string,bool>, not a boolean",
        ),
        ("shards: 0", "shards must be 1 to 64, not 0"),
        ("shards: 65", "shards must be 1 to 64, not 65"),
        ("pin: x", "pin must be auto, on, off or a list of cores"),
        ("pin: []", "pin lists no core"),
        ("pin: [1, 1]", "pin names core 1 twice"),
        ("pin: [-1 ]", "pin: -1 is no core"),
        ("pin: [a]", "pin must list cores by number, not a string"),
    ] {
        assert_eq!(
            complaints(text).last(),
            Some(&format!("t.conf:1:1: {complaint}")),
            "{text}"
        );
    }
}

/// Seconds in place of a duration are understood, with the peer's warning.
/// Covers: TestPingIntervalOld
#[test]
fn durations_in_seconds_draw_a_warning() {
    let applied = applied("ping_interval: 5\n");
    assert_eq!(applied.raw.ping_interval, Some(Duration::from_secs(5)));
    assert_eq!(applied.diagnostics[0].severity, super::super::Severity::Warning);
    assert_eq!(
        applied.diagnostics[0].to_string(),
        "t.conf:1:1: invalid use of field \"ping_interval\": ping_interval should be converted to a duration"
    );
}

/// Values that mean more than they say.
/// Covers: TestListenPortWithColonConfig, TestListenPortOnlyConfig, TestListenMonitoringDefault
#[test]
fn values_with_a_meaning_of_their_own() {
    assert_eq!(options("listen: 4333").client.host, "0.0.0.0");
    assert_eq!(options("listen: '[::1]:-1'").client.host, "::1");
    assert_eq!(options("listen: '[::1]:-1'").client.port, 0);
    assert_eq!(options("listen: ':4333'").client.port, 4333);
    assert_eq!(options("listen: 'a:1'\nport: 2").client.port, 2);
    assert_eq!(options("host: a\nhttp: 8222").monitor.unwrap().host, "a");
    assert_eq!(options("http_port: 0").monitor, None);
    assert_eq!(options("max_connections: 0").limits.connections, -1);
    assert_eq!(options("max_payload: 0").limits.payload_size, 1_048_576);
    assert!(options("trace_verbose: true\ntrace: false").log.trace);
    assert!(!options("trace_verbose: false").log.trace);
    assert_eq!(options("server_tags: [' A', b, a, '']").identity.tags, ["a", "b"]);
    assert_eq!(
        options("pin: [2, 0]\nshards: 2").cores.pin,
        Pin::Cores(vec![2, 0])
    );
    assert_eq!(options("pin: off").cores.pin, Pin::Off);
}
