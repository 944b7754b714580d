//! What the server does in time: holds fast producers, closes slow consumers, PINGs, lets clients go at a pace.
//!
//! Every test runs a whole server in simulation: hours pass in moments, and a time is exact up to the slack of the
//! server's timers. Not here: bad weather and many seeds (`tests/sim`), real sockets (the other tests).

mod requests;
mod rules;
mod rules_model;
mod stage;
mod users;

use std::future::Future as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pinion_shard::proto::CloseReason;
use pinion_shard::runtime::{LameDuck, WriteTimeout};

use stage::{Client, Stage, MOMENT, SOCKET_SIZE};

/// How early or late a timer of the server may be.
const SLACK: Duration = Duration::from_millis(12);
const PENDING_SIZE_MAX: usize = 64 << 10;
/// Bytes of a message beside its payload: the line `MSG s 1 10000`, and two line ends.
const MESSAGE_OVERHEAD: usize = 13 + 4;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn assert_about(got: Duration, wanted: Duration, slack: Duration, what: &str) {
    let (low, high) = (wanted.saturating_sub(slack), wanted + slack);
    assert!(low <= got && got <= high, "{what}: {got:?}, not about {wanted:?}");
}

/// A consumer that does not read, then a publisher; on one shard when there is one, else on two.
fn consumer_and_publisher(stage: &Stage) -> (Rc<Client>, Rc<Client>) {
    let consumer = stage.client();
    consumer.send("SUB s 1\r\n");
    let publisher = stage.client();
    consumer.stop_reading();
    (consumer, publisher)
}

/// Publishes until the consumer (connection 0) has more than three quarters of `max_pending`; returns how many it took.
fn publish_until_behind(stage: &Stage, publisher: &Client) -> usize {
    let connection = stage.connection(0);
    let mut count = 0;
    while connection.pending_size() <= PENDING_SIZE_MAX / 4 * 3 {
        publisher.publish("s", 1000);
        let round_trip = stage.round_trip(publisher);
        assert!(
            round_trip < MOMENT,
            "held with {} pending",
            connection.pending_size()
        );
        count += 1;
    }
    count
}

/// A publisher whose consumer has three quarters of max_pending waiting is held after each read: 2 ms at a time, looking
/// whether the consumer has caught up, 5 ms at a time once all of max_pending waits, 10 ms together. Nothing is lost.
#[test]
fn fast_producer_is_held_while_its_consumer_is_behind() {
    let stage = Stage::start(1, |settings| settings.pending_size_max = PENDING_SIZE_MAX);
    let (consumer, publisher) = consumer_and_publisher(&stage);
    let mut count = publish_until_behind(&stage, &publisher);
    let stalls = || {
        (
            stage.sum(|shard| shard.counters().stalled_clients.get()),
            stage.connection(0).stalls(),
        )
    };
    // The read that brought the consumer over the mark is answered, then its publisher is held.
    assert_about(stage.round_trip(&publisher), ms(10), ms(1), "held for a read");
    assert_eq!(stalls(), (5, 5));
    assert!(
        stage.round_trip(&publisher) < MOMENT,
        "a PING is no reason to be held"
    );
    // A consumer that catches up lets its publisher go at the next look.
    publisher.publish("s", 1000);
    count += 1;
    stage.round_trip(&publisher);
    consumer.read_on(Duration::ZERO);
    assert_about(
        stage.round_trip(&publisher),
        ms(2),
        ms(1),
        "held until the next look",
    );
    assert_eq!(stalls(), (6, 6));
    stage.pass(MOMENT);
    assert_eq!(consumer.count("MSG s 1 1000"), count, "nothing is lost");
    // All that may wait waits: the looks are further apart.
    consumer.stop_reading();
    count += publish_until_behind(&stage, &publisher);
    stage.pass(ms(20));
    let left = PENDING_SIZE_MAX - stage.connection(0).pending_size() - MESSAGE_OVERHEAD;
    assert!((10_000..100_000).contains(&left));
    publisher.publish("s", left);
    count += 1;
    stage.round_trip(&publisher);
    assert_eq!(stage.connection(0).pending_size(), PENDING_SIZE_MAX);
    consumer.read_on(Duration::ZERO);
    assert_about(
        stage.round_trip(&publisher),
        ms(5),
        ms(1),
        "held until the next look",
    );
    stage.pass(MOMENT);
    assert_eq!(consumer.count("MSG s 1 "), count, "nothing is lost");
    assert_eq!(stage.close_reasons(), []);
}

/// A connection that broke while nobody read it is found by who writes to it.
#[test]
fn broken_connection_is_found_by_a_write() {
    let stage = Stage::start(1, |settings| settings.pending_size_max = PENDING_SIZE_MAX);
    let (_consumer, publisher) = consumer_and_publisher(&stage);
    let other = stage.client();
    publisher.send("SUB news 1\r\n");
    publish_until_behind(&stage, &publisher);
    // Held for this read: the server does not look at what the connection says.
    publisher.publish("s", 1000);
    stage.pass(ms(1));
    publisher.reset();
    stage.pass(ms(1));
    assert_eq!(stage.close_reasons(), []);
    other.publish("news", 10);
    assert!(stage.round_trip(&other) < MOMENT);
    assert_eq!(stage.close_reasons(), [CloseReason::WriteError]);
}

/// The round trip of a connection is first guessed from its CONNECT, then measured from PING to PONG.
#[test]
fn round_trip_is_measured() {
    let stage = Stage::start(1, |_| ());
    let client = stage.connect();
    stage.pass(ms(70));
    client.send("CONNECT {\"verbose\":false}\r\n");
    stage.pass(MOMENT);
    let guess = stage.connection(0).rtt();
    assert_about(guess, ms(71), ms(1), "from the accept to CONNECT");
    stage.pass(s(3));
    assert_eq!(client.count("PING"), 1);
    let kept = stage.now() - client.times_of("PING")[0];
    assert_eq!(stage.connection(0).rtt(), guess);
    client.send("PONG\r\n");
    stage.pass(MOMENT);
    assert_about(stage.connection(0).rtt(), kept, MOMENT, "from PING to PONG");
}

/// The same over two shards: the consumer's shard asks the publisher's to hold it.
#[test]
fn fast_producer_on_another_shard_is_held() {
    let stage = Stage::start(2, |settings| settings.pending_size_max = PENDING_SIZE_MAX);
    let (consumer, publisher) = consumer_and_publisher(&stage);
    assert_eq!(
        stage.shards[1].connection_count(),
        1,
        "each has a shard of its own"
    );
    let count = publish_until_behind(&stage, &publisher);
    stage.pass(MOMENT);
    // The hold comes with the read after the one that did it.
    stage.round_trip(&publisher);
    assert_about(stage.round_trip(&publisher), ms(2), ms(1), "held when asked");
    assert_eq!(stage.shards[1].counters().stalled_clients.get(), 1);
    assert_eq!(stage.connection(0).stalls(), 1);
    consumer.read_on(Duration::ZERO);
    stage.pass(MOMENT);
    assert_eq!(consumer.count("MSG s 1 1000"), count, "nothing is lost");
}

/// A flood to a consumer that reads on slowly: held back, it all arrives; with `no_fast_producer_stall` the consumer is
/// closed instead and no publisher is held.
#[test]
fn flood_arrives_whole_because_its_producer_is_held() {
    const MESSAGES: usize = 500;
    for shard_count in [1, 2] {
        for stalls_producers in [true, false] {
            let stage = Stage::start(shard_count, |settings| {
                settings.pending_size_max = PENDING_SIZE_MAX;
                settings.stalls_producers = stalls_producers;
            });
            let (consumer, publisher) = consumer_and_publisher(&stage);
            for _ in 0..MESSAGES {
                publisher.publish("s", 1000);
            }
            consumer.read_on(ms(1));
            stage.pass(s(5));
            let stalls = stage.sum(|shard| shard.counters().stalled_clients.get());
            if stalls_producers {
                assert_eq!(consumer.count("MSG s 1 1000"), MESSAGES, "{shard_count} shards");
                assert_eq!(stage.close_reasons(), []);
                assert!(stalls > 0);
            } else {
                assert_eq!(stage.close_reasons(), [CloseReason::SlowConsumerPendingBytes]);
                assert!(consumer.count("MSG s 1 1000") < MESSAGES);
                assert_eq!(stalls, 0);
            }
            assert!(stage.round_trip(&publisher) < MOMENT, "the publisher goes on");
        }
    }
}

/// More than a socket holds, for a consumer that does not read.
fn block(stage: &Stage) -> (Rc<Client>, Rc<Client>) {
    let (consumer, publisher) = consumer_and_publisher(stage);
    for _ in 0..20 {
        publisher.publish("s", 1000);
    }
    stage.round_trip(&publisher);
    assert!(stage.connection(0).pending_size() > SOCKET_SIZE);
    (consumer, publisher)
}

/// A socket that takes nothing for write_deadline ends its connection, not before; the others notice nothing.
#[test]
fn write_deadline_closes_who_takes_nothing() {
    let stage = Stage::start(2, |settings| settings.write_deadline = s(2));
    let (consumer, publisher) = block(&stage);
    let blocked = stage.now();
    let slow = || stage.sum(|shard| shard.counters().slow_consumers_deadline.get());
    stage.pass_until(blocked + s(2) - SLACK);
    assert_eq!((slow(), stage.close_reasons()), (0, vec![]));
    stage.pass_until(blocked + s(2) + SLACK);
    assert_eq!(slow(), 1);
    assert_eq!(stage.close_reasons(), [CloseReason::SlowConsumerWriteDeadline]);
    assert_eq!(stage.connection(1).pending_size(), 0);
    assert!(stage.round_trip(&publisher) < MOMENT);
    consumer.read_on(Duration::ZERO);
    stage.pass(MOMENT);
    assert!(consumer.ended().is_some());
}

/// A socket that takes a little now and then is alive.
#[test]
fn write_deadline_begins_anew_when_something_was_taken() {
    let stage = Stage::start(1, |settings| settings.write_deadline = s(2));
    let (consumer, _publisher) = block(&stage);
    // Some four reads empty the queue, each nearly too late.
    consumer.read_on(ms(1_900));
    stage.pass(s(30));
    assert_eq!(consumer.count("MSG s 1 1000"), 20);
    assert_eq!(stage.close_reasons(), []);
}

/// `write_timeout: retry`: counted each time, kept open, and what waits arrives when the socket takes it.
#[test]
fn write_timeout_retry_keeps_the_connection() {
    let stage = Stage::start(1, |settings| {
        settings.write_deadline = s(2);
        settings.write_timeout = WriteTimeout::Retry;
    });
    let (consumer, _publisher) = block(&stage);
    let blocked = stage.now();
    for count in 1..4u32 {
        stage.pass_until(blocked + s(2) * count + SLACK * count);
        let slow = stage.sum(|shard| shard.counters().slow_consumers_deadline.get());
        assert_eq!(slow, u64::from(count));
    }
    assert_eq!(stage.close_reasons(), []);
    consumer.read_on(Duration::ZERO);
    stage.pass(MOMENT);
    assert_eq!(consumer.count("MSG s 1 1000"), 20, "nothing is lost");
    assert_eq!(consumer.ended(), None);
}

/// A PING each: INFO at any time goes to who has had the one after the first PONG.
fn greet(stage: &Stage, clients: &[Rc<Client>]) {
    for client in clients {
        assert!(stage.round_trip(client) < MOMENT);
    }
    stage.pass(MOMENT);
}

/// Leaves in lame duck mode; returns when each client's connection ended, after the begin, by shard.
fn leave(stage: &Stage, clients: &[Rc<Client>], plan: LameDuck) -> Vec<Vec<Duration>> {
    let began = stage.now();
    stage
        .handle
        .run_on_all(move |shard| shard.start_lame_duck(plan, || ()));
    stage.pass(plan.grace_period + plan.duration + s(2));
    let shard_count = stage.shards.len();
    let mut ends = vec![Vec::new(); shard_count];
    for (index, client) in clients.iter().enumerate() {
        let ended = client.ended().expect("every client is let go");
        ends[index % shard_count].push(ended - began);
        let told = client
            .times_of("INFO {")
            .into_iter()
            .filter(|at| *at >= began)
            .count();
        assert_eq!(told, 1, "INFO says that the server goes");
    }
    ends.iter_mut().for_each(|ends| ends.sort());
    ends
}

/// Lame duck: nobody is closed in the grace period, then one after the other over the duration, half to full steps apart.
#[test]
fn lame_duck_closes_one_after_the_other() {
    let stage = Stage::start(2, |_| ());
    let clients: Vec<_> = (0..40).map(|_| stage.client()).collect();
    greet(&stage, &clients);
    let plan = LameDuck {
        grace_period: s(3),
        duration: s(10),
    };
    for (shard, ends) in (0..).zip(leave(&stage, &clients, plan)) {
        // Each begins a server's step, 250 ms, after the one before; there may be one client less by then.
        let first = s(3) + ms(250) * shard;
        assert_about(ends[0], first, ms(10), "the first");
        assert!(
            ends[19] >= first + s(10) * 19 / 40,
            "the last after {:?}",
            ends[19]
        );
        assert!(ends[19] <= s(13), "the last after {:?}", ends[19]);
        for pair in ends.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(ms(249) <= apart && apart <= ms(502), "{apart:?} apart");
        }
    }
    let reasons = stage.close_reasons();
    assert!(reasons
        .iter()
        .all(|reason| *reason == CloseReason::ServerShutdown));
}

/// Few clients are closed at most a second apart; with more clients than milliseconds several go at once.
#[test]
fn lame_duck_pace_has_bounds() {
    let stage = Stage::start(1, |_| ());
    let clients: Vec<_> = (0..4).map(|_| stage.client()).collect();
    greet(&stage, &clients);
    let plan = LameDuck {
        grace_period: s(1),
        duration: s(120),
    };
    let ends = leave(&stage, &clients, plan).remove(0);
    for pair in ends.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(ms(499) <= apart && apart <= ms(1_002), "{apart:?} apart");
    }
    let stage = Stage::start(1, |_| ());
    let clients: Vec<_> = (0..60).map(|_| stage.client()).collect();
    greet(&stage, &clients);
    let plan = LameDuck {
        grace_period: s(1),
        duration: ms(20),
    };
    let ends = leave(&stage, &clients, plan).remove(0);
    assert!(ends[59] <= s(1) + ms(22), "the last after {:?}", ends[59]);
    assert!(ends[59] >= s(1) + ms(9), "the last after {:?}", ends[59]);
}

/// The pace is the server's, whatever the count of shards: few clients are closed up to a second apart all the same.
#[test]
fn lame_duck_pace_is_the_servers() {
    let plan = LameDuck {
        grace_period: s(1),
        duration: s(120),
    };
    for (shard_count, client_count) in [(1, 8), (2, 8), (4, 8), (8, 8), (4, 3)] {
        let stage = Stage::start(shard_count, |_| ());
        let clients: Vec<_> = (0..client_count).map(|_| stage.client()).collect();
        greet(&stage, &clients);
        let mut ends = leave(&stage, &clients, plan).concat();
        ends.sort();
        let what = format!("{shard_count} shards: {ends:?}");
        assert_about(ends[0], s(1), ms(5), &what);
        // Half to full seconds apart, as seen over the whole.
        let steps = u32::try_from(ends.len() - 1).expect("few");
        let took = ends[ends.len() - 1] - ends[0];
        assert!(ms(499) * steps <= took && took <= ms(1_002) * steps, "{what}");
    }
}

/// The first PING comes 2 s after CONNECT, up to a fifth later so that many clients do not answer at once; with a
/// shorter interval, after that.
#[test]
fn first_ping_comes_two_seconds_after_connect() {
    let stage = Stage::start(2, |_| ());
    let late = stage.connect();
    stage.pass(ms(1_500));
    late.send("CONNECT {\"verbose\":false}\r\n");
    let mut connected = vec![stage.now()];
    let mut clients = vec![late];
    for _ in 0..20 {
        connected.push(stage.now());
        clients.push(stage.client());
    }
    stage.pass(s(3));
    let mut delays = Vec::new();
    for (client, connected) in clients.iter().zip(connected) {
        let pings = client.times_of("PING");
        assert_eq!(pings.len(), 1);
        delays.push(pings[0] - connected);
    }
    let (first, last) = (delays.iter().min(), delays.iter().max());
    let (first, last) = (*first.expect("some"), *last.expect("some"));
    assert!(first >= s(2) - SLACK && last <= ms(2_400) + SLACK, "{delays:?}");
    assert!(last - first > ms(100), "they are spread: {delays:?}");

    let stage = Stage::start(1, |settings| settings.ping_interval = s(1));
    let client = stage.client();
    stage.pass(s(2));
    let first = client.times_of("PING")[0] - client.connected;
    assert!(first >= s(1) - SLACK && first <= ms(1_200) + SLACK, "{first:?}");
}

/// A client that is active gets no PING but for the round trip: at first, and again once that is an hour old.
#[test]
fn active_client_is_pinged_once_an_hour() {
    let stage = Stage::start(1, |_| ());
    let client = stage.client();
    let mut answered = 0;
    for _ in 0..3 * 60 + 10 {
        stage.pass(s(60));
        client.send("PUB x 0\r\n\r\n");
        if client.count("PING") > answered {
            client.send("PONG\r\n");
            answered += 1;
        }
    }
    let pings: Vec<_> = client
        .times_of("PING")
        .into_iter()
        .map(|at| at - client.connected)
        .collect();
    assert_eq!(pings.len(), 4, "{pings:?}");
    for pair in pings.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(s(3_600) <= apart && apart <= s(3_600 + 130), "{apart:?} apart");
    }
}

/// Two PINGs that are not answered, one interval apart, then the connection is stale; one that answers stays.
#[test]
fn silent_client_is_stale_after_two_pings() {
    let stage = Stage::start(2, |_| ());
    let silent = stage.client();
    let alive = stage.client();
    let mut answered = 0;
    for _ in 0..500 {
        stage.pass(s(1));
        if alive.count("PING") > answered {
            alive.send("PONG\r\n");
            answered += 1;
        }
    }
    assert!(answered > 2);
    let pings = silent.times_of("PING");
    assert_eq!(silent.said(), ["PING", "PING", "-ERR 'Stale Connection'"]);
    assert_about(pings[1] - pings[0], s(120), SLACK, "the second PING");
    let ended = silent.ended().expect("the server closed it");
    assert_about(ended - pings[1], s(120), SLACK, "the end");
    assert_eq!(stage.close_reasons(), [CloseReason::StaleConnection]);
    assert_eq!(stage.sum(|shard| shard.counters().stale_connections.get()), 1);
    assert_eq!(alive.ended(), None);
}

/// A PROXY prefix has 5 s, however its bytes trickle; who is in time is served.
#[test]
fn proxy_prefix_has_five_seconds() {
    let stage = Stage::start(2, |settings| settings.proxy_protocol = true);
    let (silent, half, trickle, whole) = (stage.connect(), stage.connect(), stage.connect(), stage.connect());
    half.send("PROXY TCP4 192.0");
    for byte in "PROXY UNKN".chars() {
        trickle.send(&byte.to_string());
        whole.send(&byte.to_string());
        stage.pass(ms(490));
    }
    whole.send("OWN\r\n");
    stage.pass_until(silent.connected + s(5) - MOMENT);
    for client in [&silent, &half, &trickle] {
        assert_eq!(client.ended(), None);
    }
    stage.pass(MOMENT * 10);
    for client in [&silent, &half, &trickle] {
        let ended = client.ended().expect("the server closed it");
        assert_about(ended - client.connected, s(5), ms(2), "the limit");
    }
    assert_eq!(stage.close_reasons(), [CloseReason::ProtocolViolation; 3]);
    assert!(stage.round_trip(&whole) < MOMENT);
}

/// max_connections counts the whole server, wherever its connections are; a place that is left can be taken.
#[test]
fn connection_limit_counts_all_shards() {
    let stage = Stage::start(3, |settings| settings.connections_max = Some(4));
    let clients: Vec<_> = (0..4).map(|_| stage.client()).collect();
    let counts: Vec<_> = stage
        .shards
        .iter()
        .map(|shard| shard.connection_count())
        .collect();
    assert_eq!(counts, [2, 1, 1]);
    for _ in 0..3 {
        let refused = stage.connect();
        assert_eq!(refused.said(), ["-ERR 'maximum connections exceeded'"]);
        assert!(refused.ended().is_some());
    }
    // It breaks the protocol: the server closes it.
    clients[1].send("NONSENSE\r\n");
    stage.pass(MOMENT);
    assert!(clients[1].ended().is_some());
    let next = stage.client();
    assert!(stage.round_trip(&next) < MOMENT);
    let refused = stage.connect();
    assert_eq!(refused.said(), ["-ERR 'maximum connections exceeded'"]);
    for client in [&clients[0], &clients[2], &clients[3]] {
        assert!(stage.round_trip(client) < MOMENT);
    }
}

/// New settings bind those who are connected from their next operation on, up and down; a message that has begun goes
/// through, and nobody is told but who connects later.
#[test]
fn changed_limits_bind_connected_clients() {
    let stage = Stage::start(2, |_| ());
    let clients: Vec<_> = (0..4).map(|_| stage.client()).collect();
    greet(&stage, &clients);
    let [under_way, large, long, receiver] = &clients[..] else {
        panic!("four clients")
    };
    receiver.send("SUB s 1\r\n");
    under_way.send(&format!("PUB s 900\r\n{}", "x".repeat(500)));
    stage.pass(MOMENT);
    let change = |payload_size_max, control_line_size_max| {
        let mut settings = (*stage.shards[0].settings()).clone();
        settings.payload_size_max = payload_size_max;
        settings.info.max_payload = payload_size_max;
        settings.control_line_size_max = control_line_size_max;
        let settings = Arc::new(settings);
        stage
            .handle
            .run_on_all(move |shard| shard.set_settings(Arc::clone(&settings)));
        stage.pass(MOMENT);
    };
    change(10, 100);
    under_way.send(&format!("{}\r\nPUB s 10\r\n0123456789\r\n", "x".repeat(400)));
    large.send("PUB s 10\r\n0123456789\r\nPUB s 11\r\n01234567890\r\n");
    long.send(&format!("SUB {} 1\r\n", "a".repeat(99)));
    stage.pass(MOMENT);
    assert_eq!(receiver.count("MSG s 1 900"), 1);
    assert_eq!(receiver.count("MSG s 1 10"), 2);
    assert_eq!(receiver.count("MSG s 1 11"), 0);
    assert_eq!(under_way.ended(), None);
    assert_eq!(
        large.said().last().map(String::as_str),
        Some("-ERR 'Maximum Payload Violation'")
    );
    assert_eq!(
        long.said().last().map(String::as_str),
        Some("-ERR 'maximum control line exceeded'")
    );
    change(20, 4096);
    under_way.publish("s", 20);
    under_way.send(&format!("SUB {} 1\r\n", "a".repeat(99)));
    assert!(stage.round_trip(under_way) < MOMENT);
    stage.pass(MOMENT);
    assert_eq!(receiver.count("MSG s 1 20"), 1);
    assert_eq!(
        receiver.count("INFO "),
        2,
        "at the start and after the first PONG"
    );
    let infos = stage.client().infos();
    assert_eq!(infos.len(), 1);
    assert!(infos[0].contains("\"max_payload\":20,"), "{infos:?}");
    let mut reasons = stage.close_reasons();
    reasons.sort_by_key(|reason| *reason as u8);
    assert_eq!(
        reasons,
        [
            CloseReason::MaxPayloadExceeded,
            CloseReason::MaxControlLineExceeded
        ]
    );
}

/// More work than a shard may have out at a time is done all the same, some of it after a wait; the shard serves its
/// clients meanwhile, and what nobody waits for any more is skipped.
#[test]
fn work_done_elsewhere_holds_no_shard_up() {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pinion_shard::io::Queue;
    use pinion_shard::limits::OFFLOADS_OPEN_MAX;

    let stage = Stage::start(1, |_| {});
    let shard = &stage.shards[0];
    let wanted = 3 * OFFLOADS_OPEN_MAX;
    let worked = Arc::new(AtomicUsize::new(0));
    let sum = Rc::new(Cell::new(0));
    for number in 0..wanted {
        let (asker, worked, sum) = (Rc::clone(shard), Arc::clone(&worked), Rc::clone(&sum));
        shard.spawn(Queue::Control, async move {
            let work = move || {
                worked.fetch_add(1, Ordering::Relaxed);
                number
            };
            let result = asker.offload(work).await.expect("the server does not stop");
            sum.set(sum.get() + result);
        });
    }
    let (asker, unwanted) = (Rc::clone(shard), Arc::clone(&worked));
    shard.spawn(Queue::Control, async move {
        let mut work = Box::pin(asker.offload(move || unwanted.fetch_add(1, Ordering::Relaxed)));
        let is_ready = std::future::poll_fn(|cx| std::task::Poll::Ready(work.as_mut().poll(cx).is_ready()));
        assert!(!is_ready.await, "work takes time");
    });
    let client = stage.client();
    assert!(stage.round_trip(&client) < MOMENT, "the shard is held up");
    stage.pass(s(10));
    assert_eq!(worked.load(Ordering::Relaxed), wanted);
    assert_eq!(sum.get(), (0..wanted).sum::<usize>());
    assert!(stage.hits("offloads_full") > 0, "all of them at once");
}
