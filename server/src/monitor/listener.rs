//! The port: accepts, and serves each connection in a task of its own until it ends, is too slow, or the server stops.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use pinion_shard::io::{Accepted, Listener, Queue, Stream};

use super::wire::{Watch, Wire};
use super::Monitor;

/// Bytes of a request's head. Beyond: 431 and closed.
const HEAD_SIZE_MAX: usize = 1 << 20;
/// The wait after an accept that failed, growing from the first to the second as long as it fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// What a connection beyond the bound is told.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 31\r\nConnection: close\r\n\r\ntoo many monitoring connections";

/// Accepts until the server stops.
pub(super) async fn run(monitor: Rc<Monitor>, listener: Listener) {
    or(accept_loop(&monitor, &listener), monitor.shard.wait_stopping()).await;
}

async fn accept_loop(monitor: &Rc<Monitor>, listener: &Listener) {
    let mut back_off = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                back_off = BACK_OFF.0;
                serve(monitor, accepted);
            }
            Err(error) => {
                tracing::error!("Error accepting a monitoring connection: {error}; next try in {back_off:?}");
                monitor.shard.io().sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

fn serve(monitor: &Rc<Monitor>, accepted: Accepted) {
    let stream = match monitor.shard.io().adopt(accepted) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!("a monitoring connection died before it was served: {error}");
            return;
        }
    };
    let monitor = Rc::clone(monitor);
    let shard = Rc::clone(&monitor.shard);
    shard.spawn(Queue::Control, async move {
        let Some(_permit) = monitor.connections.try_take() else {
            let peer = stream.peer_addr();
            tracing::warn!(
                "monitoring: {peer} turned away, {} connections are open",
                super::CONNECTIONS_MAX
            );
            if let Err(error) = stream.try_write(BUSY) {
                tracing::debug!("monitoring: {peer} could not be told so: {error}");
            }
            return;
        };
        or(serve_http(&monitor, stream), monitor.shard.wait_stopping()).await;
    });
}

async fn serve_http(monitor: &Rc<Monitor>, stream: Stream) {
    let peer = stream.peer_addr();
    let watch = Watch::new(monitor.shard.io().clone());
    let service = service_fn(|request| {
        let (monitor, watch) = (Rc::clone(monitor), Rc::clone(&watch));
        async move {
            watch.request();
            let response = monitor.respond(&request).await;
            watch.answered();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(HEAD_SIZE_MAX)
        .serve_connection(Wire::new(stream, Rc::clone(&watch)), service);
    let served = async {
        if let Err(error) = connection.await {
            tracing::debug!("monitoring: {peer}: {error}");
        }
    };
    let late = async {
        watch.expired().await;
        tracing::debug!("monitoring: {peer} took too long and was closed");
    };
    or(served, late).await;
}
