//! The monitoring port by itself: many connections, slow and broken HTTP clients, metrics by the format's rules.

#![expect(clippy::disallowed_methods, reason = "deadlines of a test need the clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use pinion_tests::http::{connect, exchange, get, monitor_address, Reply};
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::{Wire, PATIENCE};

fn start(config: &str) -> Option<(Server, SocketAddr)> {
    let program = Program::pinion_or_reason(env!("CARGO_BIN_EXE_pinion-under-test"))?;
    let mut server = program.start(&format!("http: \"127.0.0.1:-1\"\n{config}"));
    let monitor = monitor_address(&mut server);
    // The start looked whether the port is open, with a connection of its own.
    until("that one is gone", || closed_total(monitor) == 1);
    Some((server, monitor))
}

fn closed_total(monitor: SocketAddr) -> u64 {
    let connz = get(monitor, "/connz?state=closed&limit=1").json();
    connz["total"].as_u64().expect("a number")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
    }
}

/// More connections than a page of each shard holds: all are counted, listed once and in order, open and closed.
#[test]
fn connections_of_several_pages_are_all_shown() {
    const COUNT: usize = 1_300;
    let Some((server, monitor)) = start("") else {
        return;
    };
    let mut clients: Vec<Wire> = Vec::new();
    for index in 0..COUNT {
        let mut client = Wire::open(
            server.address(),
            &format!("{{\"verbose\":false,\"name\":\"c{index}\"}}"),
        );
        client.line("PUB nobody 2\r\nhi");
        clients.push(client);
    }
    clients.iter_mut().for_each(Wire::barrier);
    let names_of = |path: &str, total: usize| -> Vec<String> {
        let connz = get(monitor, path).json();
        assert_eq!(connz["total"], total, "{path}");
        let rows = connz["connections"].as_array().expect("a list");
        assert_eq!(connz["num_connections"], rows.len());
        rows.iter()
            .filter_map(|row| row["name"].as_str().map(str::to_owned))
            .collect()
    };
    let all: Vec<String> = (0..COUNT).map(|index| format!("c{index}")).collect();
    assert_eq!(names_of("/connz?limit=5000", COUNT), all);
    assert_eq!(names_of("/connz", COUNT), all[..1024]);
    assert_eq!(names_of("/connz?offset=1200&limit=20", COUNT), all[1200..1220]);
    let varz = get(monitor, "/varz").json();
    assert_eq!(
        (&varz["connections"], &varz["in_msgs"], &varz["in_bytes"]),
        (&COUNT.into(), &COUNT.into(), &(2 * COUNT).into())
    );
    drop(clients);
    until("all are closed", || closed_total(monitor) == COUNT as u64 + 1);
    let mut closed = names_of("/connz?state=closed&limit=5000", COUNT + 1);
    closed.sort_by_key(|name| name[1..].parse::<usize>().expect("a number"));
    assert_eq!(closed, all);
    let varz = get(monitor, "/varz").json();
    assert_eq!(
        (&varz["connections"], &varz["in_msgs"]),
        (&0.into(), &COUNT.into())
    );
}

/// The server remembers as many closed connections as it is told to, the newest, over all shards.
#[test]
fn closed_connections_are_bounded_over_all_shards() {
    let Some((server, monitor)) = start("max_closed_clients: 5\n") else {
        return;
    };
    for index in 0..12 {
        drop(Wire::open(
            server.address(),
            &format!("{{\"verbose\":false,\"name\":\"c{index}\"}}"),
        ));
        until("it is gone", || get(monitor, "/varz").json()["connections"] == 0);
    }
    let connz = get(monitor, "/connz?state=closed").json();
    let rows = connz["connections"].as_array().expect("a list");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["c7", "c8", "c9", "c10", "c11"]);
    assert_eq!(connz["total"], 5);
}

/// More subscriptions than a page holds, of open and closed connections.
/// Covers: TestMonitorSubszWithOffsetAndLimit
#[test]
fn subscriptions_of_several_pages_are_all_shown() {
    const COUNT: usize = 2_500;
    let Some((server, monitor)) = start("") else {
        return;
    };
    let mut clients: Vec<Wire> = (0..2).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for index in 0..COUNT {
            client.line(&format!("SUB s.{number}.{index} {index}"));
        }
        client.line("SUB common.* 9999");
        client.barrier();
    }
    let expected = 2 * (COUNT + 1);
    let subsz = get(monitor, "/subsz?subs=1&limit=100000").json();
    assert_eq!(
        (&subsz["num_subscriptions"], &subsz["total"]),
        (&expected.into(), &expected.into())
    );
    let rows = subsz["subscriptions_list"].as_array().expect("a list");
    let distinct: BTreeSet<String> = rows
        .iter()
        .map(|row| format!("{} {}", row["cid"], row["sid"]))
        .collect();
    assert_eq!((rows.len(), distinct.len()), (expected, expected));
    let mut paged = BTreeSet::new();
    for offset in (0..expected).step_by(1_000) {
        let page = get(monitor, &format!("/subsz?subs=1&limit=1000&offset={offset}")).json();
        let rows = page["subscriptions_list"].as_array().expect("a list");
        assert_eq!(rows.len(), 1_000.min(expected - offset));
        paged.extend(rows.iter().map(|row| format!("{} {}", row["cid"], row["sid"])));
    }
    assert_eq!(paged, distinct);
    assert_eq!(get(monitor, "/subsz?subs=1&test=common.x").json()["total"], 2);
    assert_eq!(get(monitor, "/varz").json()["subscriptions"], expected);
    let lists = |state: &str| -> Vec<usize> {
        let connz = get(monitor, &format!("/connz?subs=1&state={state}")).json();
        let rows = connz["connections"].as_array().expect("a list").clone();
        rows.iter()
            .map(|row| row["subscriptions_list"].as_array().map_or(0, Vec::len))
            .collect()
    };
    assert_eq!(lists("open"), [COUNT + 1, COUNT + 1]);
    clients.truncate(1);
    until("one is closed", || closed_total(monitor) == 2);
    assert_eq!(
        (lists("open"), lists("closed")),
        (vec![COUNT + 1], vec![0, COUNT + 1])
    );
}

/// One connection serves several requests; pages are one JSON document whatever their length.
#[test]
fn connections_are_kept_for_more_requests() {
    let Some((_server, monitor)) = start("") else {
        return;
    };
    let mut stream = connect(monitor);
    let mut bytes = Vec::new();
    for round in 1..=3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("the port reads");
        let body = b"{\"status\":\"ok\"}";
        let wanted =
            |bytes: &[u8]| bytes.windows(body.len()).filter(|window| window == body).count() == round;
        while !wanted(&bytes) {
            let mut chunk = [0; 4096];
            let size = stream.read(&mut chunk).expect("an answer comes");
            assert!(size > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..size]);
        }
    }
    assert_eq!(get(monitor, "/varz").json()["http_req_stats"]["/healthz"], 3);
}

/// Half a head, silence, garbage and a reader that reads nothing: each is ended, and clients of the NATS port notice nothing.
#[test]
fn bad_http_clients_are_ended_and_harm_nobody() {
    let Some((server, monitor)) = start("") else {
        return;
    };
    let started = Instant::now();
    let mut half = connect(monitor);
    half.write_all(b"GET /varz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .expect("the port reads");
    let mut silent = connect(monitor);
    let mut greedy: Vec<_> = (0..20).map(|_| connect(monitor)).collect();
    for stream in &mut greedy {
        stream
            .write_all("GET /connz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20).as_bytes())
            .expect("the port reads");
    }
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /varz HTTP/9.9\r\n\r\n",
        "PUB foo 5\r\nhello\r\n\r\n",
    ] {
        assert_eq!(
            Reply::parse(&exchange(monitor, request.as_bytes())).status,
            400,
            "{request:?}"
        );
    }
    let large = format!("GET /varz HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(2 << 20));
    assert_eq!(Reply::parse(&exchange(monitor, large.as_bytes())).status, 431);
    for stream in [&mut half, &mut silent] {
        // A new client each time: an older one is PINGed meanwhile.
        let mut client = server.client();
        client.line("SUB foo 1");
        client.line("PUB foo 2\r\nhi");
        client.expect("MSG foo 1 2 | hi");
        let mut bytes = Vec::new();
        // Reset or end: it is over.
        stream.read_to_end(&mut bytes).unwrap_or_default();
        assert!(
            started.elapsed() >= std::time::Duration::from_secs(4),
            "ended too early: {:?}",
            started.elapsed()
        );
        assert!(started.elapsed() < PATIENCE, "not ended: {:?}", started.elapsed());
    }
    server.client().barrier();
    assert_eq!(get(monitor, "/healthz").status, 200);
}

/// Connections beyond the bound are told so; when others go, there is room again.
#[test]
fn monitoring_connections_are_bounded() {
    const MAX: usize = 128;
    let Some((server, monitor)) = start("") else {
        return;
    };
    let mut client = server.client();
    let mut held: Vec<_> = (0..MAX).map(|_| connect(monitor)).collect();
    // Each has spoken, so each is served.
    for stream in &mut held {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("the port reads");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer comes");
    }
    let mut bytes = Vec::new();
    connect(monitor).read_to_end(&mut bytes).unwrap_or_default();
    let refused = Reply::parse(&bytes);
    assert_eq!(
        (refused.status, refused.text()),
        (503, "too many monitoring connections")
    );
    assert_eq!(refused.header("content-length"), refused.body.len().to_string());
    client.barrier();
    drop(held);
    until("there is room again", || {
        let mut stream = connect(monitor);
        stream
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .unwrap_or_default();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap_or_default();
        bytes.starts_with(b"HTTP/1.0 200")
    });
}

/// The server ends although the monitoring port has open connections.
/// Covers: TestMonitorStop
#[test]
fn server_ends_with_open_monitoring_connections() {
    let Some((mut server, monitor)) = start("") else {
        return;
    };
    let mut idle = connect(monitor);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("the port reads");
    idle.read_exact(&mut [0]).expect("an answer comes");
    let mut half = connect(monitor);
    half.write_all(b"GET /var").expect("the port reads");
    server.signal("TERM");
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// What the text format of Prometheus allows, and no more.
#[derive(Default)]
struct Metrics {
    types: BTreeMap<String, String>,
    samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

impl Metrics {
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut metrics = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("HELP has a text");
                assert!(is_name(name) && !text.is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "one HELP each: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("TYPE has a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "HELP comes first: {line}");
                let other = metrics.types.insert(name.to_owned(), kind.to_owned());
                assert!(
                    other.is_none(),
                    "one TYPE each, before its samples, in one group: {line}"
                );
                assert_eq!(
                    name.ends_with("_total"),
                    kind == "counter",
                    "counters are totals: {line}"
                );
                name.clone_into(&mut family);
            } else {
                metrics.sample(line, &family);
            }
        }
        metrics
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        assert!(is_name(name), "{line}");
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("outside its family {family}: {line}"));
        let is_histogram = self.types[family] == "histogram";
        assert!(
            if is_histogram {
                ["_bucket", "_sum", "_count"].contains(&suffix)
            } else {
                suffix.is_empty()
            },
            "{line}"
        );
        let mut pairs = Vec::new();
        if !labels.is_empty() {
            let labels = labels
                .strip_suffix('}')
                .unwrap_or_else(|| panic!("not closed: {line}"));
            for label in labels.split(',') {
                let (label, value) = label
                    .split_once('=')
                    .unwrap_or_else(|| panic!("no label: {line}"));
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                let value = value.unwrap_or_else(|| panic!("not quoted: {line}"));
                assert!(is_name(label) && !value.contains(['"', '\\', '\n']), "{line}");
                pairs.push((label.to_owned(), value.to_owned()));
            }
        }
        let other = self.samples.insert((name.to_owned(), pairs), value);
        assert!(other.is_none(), "twice: {line}");
    }

    /// Sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        let mut found = self
            .samples
            .iter()
            .filter(|((other, _), _)| other == name)
            .peekable();
        assert!(found.peek().is_some(), "no metric {name}");
        found.map(|(_, value)| value).sum()
    }

    fn check_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let count_name = format!("{name}_count");
            let counts = self.samples.iter().filter(|((other, _), _)| *other == count_name);
            let mut found = 0;
            for ((_, labels), count) in counts {
                found += 1;
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for ((other, of), value) in &self.samples {
                    let Some(((le, bound), rest)) = of.split_last() else {
                        continue;
                    };
                    if *other == format!("{name}_bucket") && rest == labels {
                        assert_eq!(le, "le");
                        buckets.push((bound.parse().expect("a bound is a number"), *value));
                    }
                }
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(buckets.len() > 2, "{name}");
                assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{name}");
                assert!(
                    buckets.windows(2).all(|two| two[0].1 <= two[1].1),
                    "{name}: {buckets:?}"
                );
                assert!(
                    self.samples
                        .contains_key(&(format!("{name}_sum"), labels.clone())),
                    "{name}"
                );
            }
            assert!(found > 0, "{name} has no samples");
        }
    }
}

/// The metrics follow the format's rules, count what happened, and their number does not grow with clients or subjects.
#[test]
fn metrics_follow_the_format_and_count() {
    let Some((server, monitor)) = start("") else {
        return;
    };
    let read = || {
        let reply = get(monitor, "/metrics");
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, "text/plain; version=0.0.4; charset=utf-8")
        );
        let metrics = Metrics::parse(reply.text());
        metrics.check_histograms();
        metrics
    };
    let before = read();
    let mut clients: Vec<Wire> = (0..6).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.line("SUB all 1");
        client.line(&format!("SUB own.{index} 2"));
        client.barrier();
    }
    clients[0].line("PUB all 5\r\nhello");
    for client in &mut clients {
        client.expect("MSG all 1 5 | hello");
    }
    // One batch in eight is timed.
    (0..16).for_each(|_| clients[0].barrier());
    let after = read();
    for (name, value) in [
        ("pinion_connections", 6.0),
        ("pinion_subscriptions", 12.0),
        ("pinion_connections_accepted_total", 1.0 + 6.0),
        ("pinion_messages_total", 1.0 + 6.0),
        ("pinion_message_bytes_total", 5.0 + 30.0),
        ("pinion_slow_consumers_total", 0.0),
        ("pinion_log_lines_dropped_total", 0.0),
        ("pinion_shards", 2.0),
        ("pinion_serving", 1.0),
    ] {
        assert_eq!(after.sum(name), value, "{name}");
    }
    for name in [
        "pinion_mesh_batches_total",
        "pinion_mesh_bytes_total",
        "pinion_batch_size_bytes_count",
        "pinion_batch_size_bytes_sum",
        "pinion_batch_duration_seconds_count",
        "pinion_cpu_seconds_total",
    ] {
        assert!(after.sum(name) > before.sum(name), "{name}");
    }
    // Half of the clients sit on the other shard; the message crossed once.
    assert_eq!(after.sum("pinion_mesh_messages_received_total"), 1.0);
    let busy: Vec<f64> = after
        .samples
        .iter()
        .filter(|((name, _), _)| name == "pinion_shard_busy_ratio")
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(busy.len(), 2);
    assert!(busy.iter().all(|busy| (0.0..=1.0).contains(busy)), "{busy:?}");
    let series = |metrics: &Metrics| metrics.samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(series(&before), series(&after));
}

/// Pages of the peer that are not there yet say so.
#[test]
fn pages_not_built_yet_say_so() {
    let Some((_server, monitor)) = start("") else {
        return;
    };
    for page in ["/jsz", "/routez", "/leafz", "/debug/vars"] {
        let reply = get(monitor, page);
        assert_eq!(
            (reply.status, reply.text()),
            (404, format!("{page} is not built yet\n").as_str())
        );
    }
    assert!(get(monitor, "/").text().contains("href=\"/connz\""));
}
