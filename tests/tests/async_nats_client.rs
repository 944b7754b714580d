//! An unmodified `async-nats` client against the server: what its users do every day.
//!
//! Each test starts a server of its own. With `PINION_TEST_SERVER=peer` the same tests run against the peer.

use std::future::Future;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use pinion_tests::server::{Program, Server};
use pinion_tests::wire::PATIENCE;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

fn start(config: &str) -> Option<Server> {
    Some(Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test"))?.start(config))
}

/// Waits, but not for ever.
#[track_caller]
fn soon<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let Ok(value) = tokio::time::timeout(PATIENCE, work).await else {
            panic!("{caller}: nothing came")
        };
        value
    }
}

async fn connect(server: &Server) -> Client {
    soon(async_nats::connect(server.url()))
        .await
        .expect("the client connects")
}

/// A client that tells its events.
async fn connect_watched(server: &Server) -> (Client, UnboundedReceiver<Event>) {
    let (sender, events) = unbounded_channel();
    let options = ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .event_callback(move |event| {
            // The test may have ended: then nobody listens to the last events.
            sender.send(event).unwrap_or_default();
            async {}
        });
    let client = soon(options.connect(server.url()))
        .await
        .expect("the client connects");
    (client, events)
}

async fn wait_for(events: &mut UnboundedReceiver<Event>, wanted: &Event) {
    loop {
        let event = soon(events.recv()).await.expect("the client lives");
        if event == *wanted {
            return;
        }
    }
}

/// A round trip: the server has taken all that this client sent before (`flush` only empties the client's buffer).
async fn settle(client: &Client) {
    let error = soon(client.request("settle.nobody", Bytes::new()))
        .await
        .expect_err("nobody listens there");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    soon(subscriber.next()).await.expect("a message comes")
}

/// What one publishes, the other gets: whole, once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_messages_arrive_in_order() {
    let Some(server) = start("") else { return };
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut messages = receiver.subscribe("orders.*").await.expect("subscribed");
    settle(&receiver).await;
    for index in 0..2_000_u32 {
        let payload = Bytes::from(index.to_string());
        publisher
            .publish(format!("orders.{}", index % 7), payload)
            .await
            .expect("published");
    }
    for index in 0..2_000_u32 {
        let message = next(&mut messages).await;
        assert_eq!(message.payload, index.to_string());
        assert_eq!(message.subject.as_str(), format!("orders.{}", index % 7));
    }
}

/// Request and reply, many at once over one inbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_get_their_own_replies() {
    let Some(server) = start("") else { return };
    let (requester, service) = (connect(&server).await, connect(&server).await);
    let mut requests = service.subscribe("double").await.expect("subscribed");
    settle(&service).await;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let number: u32 = std::str::from_utf8(&request.payload)
                .expect("text")
                .parse()
                .expect("a number");
            let reply = request.reply.expect("a request has a reply subject");
            service
                .publish(reply, (number * 2).to_string().into())
                .await
                .expect("published");
        }
    });
    let asked = (0..100_u32).map(|number| {
        let requester = requester.clone();
        async move {
            (
                number,
                requester
                    .request("double", number.to_string().into())
                    .await
                    .expect("answered"),
            )
        }
    });
    for (number, reply) in soon(futures_util::future::join_all(asked)).await {
        assert_eq!(reply.payload, (number * 2).to_string());
    }
    answering.abort();
}

/// Each message goes to one member of the group; every member works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_group_shares_the_work() {
    let Some(server) = start("") else { return };
    let mut members = Vec::new();
    let mut streams = futures_util::stream::SelectAll::new();
    for member in 0..3_usize {
        let client = connect(&server).await;
        let messages = client
            .queue_subscribe("jobs", "workers".into())
            .await
            .expect("subscribed");
        settle(&client).await;
        streams.push(messages.map(move |message| (member, message)));
        members.push(client);
    }
    let publisher = connect(&server).await;
    for index in 0..300_u32 {
        publisher
            .publish("jobs", index.to_string().into())
            .await
            .expect("published");
    }
    let mut seen = Vec::new();
    let mut by_member = [0; 3];
    while seen.len() < 300 {
        let (member, message) = soon(streams.next()).await.expect("a message comes");
        by_member[member] += 1;
        seen.push(String::from_utf8(message.payload.to_vec()).expect("text"));
    }
    assert!(
        by_member.iter().all(|&count| count > 0),
        "a member got nothing: {by_member:?}"
    );
    let mut numbers: Vec<u32> = seen.iter().map(|text| text.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<u32>>(), "each message once");
}

/// Headers arrive as they were sent, several values of a name included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_travel_with_the_message() {
    let Some(server) = start("") else { return };
    let client = connect(&server).await;
    let mut messages = client.subscribe("with.headers").await.expect("subscribed");
    let mut headers = HeaderMap::new();
    headers.append("Trace", "1");
    headers.append("Trace", "2");
    headers.insert("Kind", "test: with colon");
    client
        .publish_with_headers("with.headers", headers.clone(), "body".into())
        .await
        .expect("published");
    let message = next(&mut messages).await;
    assert_eq!(message.headers, Some(headers));
    assert_eq!(message.payload, "body");
}

/// A request that nobody hears fails at once, not by a timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_without_responders_fails_at_once() {
    let Some(server) = start("") else { return };
    let client = connect(&server).await;
    let error = soon(client.request("nobody.home", "x".into()))
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

/// `unsubscribe_after` ends a subscription after that many messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribe_after_a_count() {
    let Some(server) = start("") else { return };
    let client = connect(&server).await;
    let mut messages = client.subscribe("few").await.expect("subscribed");
    messages.unsubscribe_after(3).await.expect("set");
    for _ in 0..10 {
        client.publish("few", "x".into()).await.expect("published");
    }
    let mut count = 0;
    while soon(messages.next()).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
}

/// Draining a client hands over what is on the way, then closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_loses_nothing() {
    let Some(server) = start("") else { return };
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut messages = receiver.subscribe("flow").await.expect("subscribed");
    let mut end = receiver.subscribe("end").await.expect("subscribed");
    settle(&receiver).await;
    for index in 0..500_u32 {
        publisher
            .publish("flow", index.to_string().into())
            .await
            .expect("published");
    }
    publisher.publish("end", Bytes::new()).await.expect("published");
    next(&mut end).await;
    receiver.drain().await.expect("draining");
    let mut count = 0;
    while soon(messages.next()).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 500);
}

/// The server restarts on its port: the client comes back and its subscription works again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_reconnects_to_a_restarted_server() {
    let Some(program) = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start("");
    let address = server.address();
    let (client, mut events) = connect_watched(&server).await;
    let mut messages = client.subscribe("news").await.expect("subscribed");
    client.publish("news", "before".into()).await.expect("published");
    assert_eq!(next(&mut messages).await.payload, "before");
    server.signal("TERM");
    assert_eq!(server.wait_exit().code(), Some(0));
    wait_for(&mut events, &Event::Disconnected).await;
    let again = program.start(&format!("listen: \"{address}\"\n"));
    wait_for(&mut events, &Event::Connected).await;
    settle(&client).await;
    let publisher = connect(&again).await;
    publisher
        .publish("news", "after".into())
        .await
        .expect("published");
    assert_eq!(next(&mut messages).await.payload, "after");
}

/// Lame duck: clients are told, then closed one by one, and the server ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lame_duck_tells_clients_and_ends() {
    let config = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"50ms\"\n";
    let Some(mut server) = start(config) else { return };
    let (_first, mut first_events) = connect_watched(&server).await;
    let (_second, mut second_events) = connect_watched(&server).await;
    server.signal("USR2");
    wait_for(&mut first_events, &Event::LameDuckMode).await;
    wait_for(&mut second_events, &Event::LameDuckMode).await;
    wait_for(&mut first_events, &Event::Disconnected).await;
    wait_for(&mut second_events, &Event::Disconnected).await;
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// Payloads up to the limit pass unharmed; one more is refused by the client itself, as INFO told it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_payloads_arrive_unharmed() {
    let Some(server) = start("") else { return };
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut messages = receiver.subscribe("large").await.expect("subscribed");
    settle(&receiver).await;
    let sizes = [1_048_576, 1, 65_535, 65_536, 65_537, 0, 262_144, 1_048_575];
    let pattern: Vec<u8> = (0..1_048_576_u32)
        .map(|index| index.to_le_bytes()[(index % 3) as usize])
        .collect();
    for size in sizes {
        publisher
            .publish("large", Bytes::copy_from_slice(&pattern[..size]))
            .await
            .expect("published");
    }
    for size in sizes {
        assert!(
            next(&mut messages).await.payload == pattern[..size],
            "a payload of {size} bytes was harmed"
        );
    }
    let too_large = Bytes::from(vec![0; 1_048_577]);
    publisher
        .publish("large", too_large)
        .await
        .expect_err("above max_payload");
}

/// Subscriptions over wildcards: each client gets what it asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wildcard_subscriptions_match() {
    let Some(server) = start("") else { return };
    let client = connect(&server).await;
    let mut star = client.subscribe("a.*.c").await.expect("subscribed");
    let mut tail = client.subscribe("a.>").await.expect("subscribed");
    for subject in ["a.b.c", "a.b", "a", "a.b.c.d"] {
        client.publish(subject, subject.into()).await.expect("published");
    }
    client.publish("a.end.c", "end".into()).await.expect("published");
    assert_eq!(next(&mut star).await.payload, "a.b.c");
    assert_eq!(next(&mut star).await.payload, "end");
    for expected in ["a.b.c", "a.b", "a.b.c.d", "end"] {
        assert_eq!(next(&mut tail).await.payload, expected);
    }
}
