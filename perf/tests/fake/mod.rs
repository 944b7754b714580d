//! Fake: a server of one thread that knows just enough NATS for the generator, and can be told to misbehave.
//!
//! Exact subjects, `*` and `>`, queue groups (in turn), UNSUB with a count. No limits, no authorization.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// What the fake does wrong with its 100th delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    None,
    Lose,
    Double,
    /// Cuts a byte off the payload.
    Shorten,
}

/// A running fake; dropped, it ends.
pub(crate) struct Fake {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts a fake whose connections sit on `shard_count` shards in turn.
    pub(crate) fn start(mischief: Mischief, shard_count: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut state = State {
                listener,
                connections: Vec::new(),
                delivery_count: 0,
                turn: 0,
                mischief,
                shard_count,
            };
            while !seen.load(Ordering::Relaxed) {
                state.turn_once();
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

struct State {
    listener: TcpListener,
    connections: Vec<Connection>,
    delivery_count: u64,
    turn: usize,
    mischief: Mischief,
    shard_count: usize,
}

struct Connection {
    stream: TcpStream,
    open: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    subscriptions: Vec<Subscription>,
}

struct Subscription {
    subject: String,
    queue: Option<String>,
    sid: String,
    left: Option<u64>,
}

impl State {
    fn turn_once(&mut self) {
        let mut idle = true;
        if let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let shard = self.connections.len() % self.shard_count;
            let output = format!("INFO {{\"pinion_shard\":{shard}}}\r\n").into_bytes();
            let (input, subscriptions) = (Vec::new(), Vec::new());
            self.connections.push(Connection {
                stream,
                open: true,
                input,
                output,
                sent: 0,
                subscriptions,
            });
            idle = false;
        }
        for index in 0..self.connections.len() {
            idle &= !self.connections[index].read();
            self.serve(index);
        }
        for connection in &mut self.connections {
            connection.write();
        }
        if idle {
            thread::yield_now();
        }
    }

    fn serve(&mut self, index: usize) {
        let input = std::mem::take(&mut self.connections[index].input);
        let mut at = 0;
        while let Some(line_end) = input[at..].windows(2).position(|pair| pair == b"\r\n") {
            let line = std::str::from_utf8(&input[at..at + line_end]).unwrap();
            let after = at + line_end + 2;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["CONNECT", ..] | ["PONG"] => {}
                ["PING"] => self.connections[index].output.extend_from_slice(b"PONG\r\n"),
                ["SUB", subject, sid] => self.connections[index].subscribe(subject, None, sid),
                ["SUB", subject, queue, sid] => self.connections[index].subscribe(subject, Some(queue), sid),
                ["UNSUB", sid] => self.connections[index].subscriptions.retain(|sub| sub.sid != sid),
                ["UNSUB", sid, left] => {
                    let subscriptions = &mut self.connections[index].subscriptions;
                    subscriptions.iter_mut().find(|sub| sub.sid == sid).unwrap().left = left.parse().ok();
                }
                ["PUB", subject, ref rest @ ..] => {
                    let (reply, size) = match rest {
                        [size] => (None, size),
                        [reply, size] => (Some(*reply), size),
                        _ => panic!("{line}"),
                    };
                    let size: usize = size.parse().unwrap();
                    if input.len() < after + size + 2 {
                        break;
                    }
                    self.deliver(subject, reply, &input[after..after + size]);
                    assert_eq!(&input[after + size..after + size + 2], b"\r\n", "after {line}");
                    at = after + size + 2;
                    continue;
                }
                _ => panic!("unknown line {line:?}"),
            }
            at = after;
        }
        self.connections[index].input = input[at..].to_vec();
    }

    fn deliver(&mut self, subject: &str, reply: Option<&str>, payload: &[u8]) {
        let mut targets = Vec::new();
        let mut members = Vec::new();
        for (index, connection) in self.connections.iter().enumerate() {
            for subscription in &connection.subscriptions {
                if matches(&subscription.subject, subject) {
                    let target = (index, subscription.sid.clone());
                    match subscription.queue {
                        None => targets.push(target),
                        Some(_) => members.push(target),
                    }
                }
            }
        }
        if !members.is_empty() {
            self.turn += 1;
            targets.push(members[self.turn % members.len()].clone());
        }
        for (index, sid) in targets {
            self.delivery_count += 1;
            let wrong = self.delivery_count == 100;
            let copy_count = match self.mischief {
                Mischief::Lose if wrong => 0,
                Mischief::Double if wrong => 2,
                _ => 1,
            };
            let payload = match self.mischief {
                Mischief::Shorten if wrong => &payload[1..],
                _ => payload,
            };
            let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
            let connection = &mut self.connections[index];
            for _ in 0..copy_count {
                let header = format!("MSG {subject} {sid} {reply}{}\r\n", payload.len());
                connection.output.extend_from_slice(header.as_bytes());
                connection.output.extend_from_slice(payload);
                connection.output.extend_from_slice(b"\r\n");
            }
            connection.subscriptions.retain_mut(|sub| {
                if sub.sid == sid {
                    sub.left = sub.left.map(|left| left - 1);
                }
                sub.left != Some(0)
            });
        }
    }
}

impl Connection {
    fn subscribe(&mut self, subject: &str, queue: Option<&str>, sid: &str) {
        self.subscriptions.push(Subscription {
            subject: subject.to_owned(),
            queue: queue.map(str::to_owned),
            sid: sid.to_owned(),
            left: None,
        });
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            _ if !self.open => false,
            Ok(size) if size > 0 => {
                self.input.extend_from_slice(&buffer[..size]);
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            _ => {
                self.open = false;
                self.subscriptions.clear();
                false
            }
        }
    }

    fn write(&mut self) {
        if self.output.is_empty() || !self.open {
            return;
        }
        match self.stream.write(&self.output[self.sent..]) {
            Ok(size) => self.sent += size,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.open = false,
        }
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}
