//! A client whose network stands still: the server closes it as a slow consumer, and it comes back by itself.
//!
//! An unmodified `async-nats` client reads whatever comes, so a proxy between the two stops forwarding. With
//! `PINION_TEST_SERVER=peer` the same test runs against the peer.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use futures_util::StreamExt;
use pinion_tests::server::Program;
use pinion_tests::wire::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::timeout;

/// Forwards connections to `server`; what the server says waits while `is_open` is false.
async fn start_proxy(server: SocketAddr, is_open: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(server).await else {
                continue;
            };
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            tokio::spawn(forward(client_in, server_out, None));
            tokio::spawn(forward(server_in, client_out, Some(is_open.clone())));
        }
    });
    address
}

/// Until one side ends; dropping the halves tells the other.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_open: Option<watch::Receiver<bool>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Some(is_open) = &mut is_open {
            if is_open.wait_for(|is_open| *is_open).await.is_err() {
                return;
            }
        }
        let size = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(size) => size,
        };
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}

/// The client is closed as a slow consumer, hears of it when its network moves again, reconnects, and gets what is
/// published then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_consumer_is_closed_and_comes_back() {
    let Some(program) = Program::under_test(env!("CARGO_BIN_EXE_pinion-under-test")) else {
        return;
    };
    let mut server = program.start("max_pending: 1100000\nno_fast_producer_stall: true\n");
    let (gate, is_open) = watch::channel(true);
    let proxy = start_proxy(server.address(), is_open).await;
    let (sender, mut events) = unbounded_channel();
    let options = ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .event_callback(move |event| {
            // The test may have ended: then nobody listens to the last events.
            sender.send(event).unwrap_or_default();
            async {}
        });
    let consumer = timeout(PATIENCE, options.connect(format!("nats://{proxy}"))).await;
    let consumer = consumer.expect("in time").expect("the client connects");
    let _flood = consumer.subscribe("flood").await.expect("subscribed");
    let mut news = consumer.subscribe("news").await.expect("subscribed");
    let publisher = async_nats::connect(server.url()).await.expect("it connects");
    let mut expected = 0;
    while expected == 0 {
        // Until the subscription is known.
        publisher.publish("news", "0".into()).await.expect("published");
        if let Ok(Some(message)) = timeout(Duration::from_millis(100), news.next()).await {
            assert_eq!(message.payload, "0");
            expected += 1;
        }
    }
    gate.send(false).expect("the proxy listens");
    let payload = bytes::Bytes::from(vec![b'x'; 1_000_000]);
    let is_slow = |log: Vec<String>| log.iter().any(|line| line.contains("Slow Consumer Detected"));
    let flood = async {
        while !is_slow(server.log()) {
            publisher
                .publish("flood", payload.clone())
                .await
                .expect("published");
            publisher.flush().await.expect("flushed");
        }
    };
    timeout(PATIENCE, flood)
        .await
        .expect("the server sees that it is slow");
    gate.send(true).expect("the proxy listens");
    let mut seen = Vec::new();
    while seen.last() != Some(&Event::Connected) || !seen.contains(&Event::Disconnected) {
        let event = timeout(PATIENCE, events.recv()).await.expect("an event comes");
        seen.push(event.expect("the client lives"));
    }
    // Its subscriptions are sent again; the server has them once it answers.
    consumer.flush().await.expect("flushed");
    let after = async {
        loop {
            publisher.publish("news", "1".into()).await.expect("published");
            if let Ok(Some(message)) = timeout(Duration::from_millis(100), news.next()).await {
                if message.payload == "1" {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, after)
        .await
        .expect("it gets what is published now");
    assert!(server.is_running());
}
