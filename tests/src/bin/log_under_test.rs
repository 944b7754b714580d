//! A commit log behind just enough of a JetStream server that a power-cut test can publish to it and read it back.
//!
//! Owns: one connection's dialogue over one log. Not here: JetStream; a stream is a log whose entries are the payloads,
//! and its sequence is the entry's index.
//! Started as a server is: `pinion-log-under-test -c FILE`, with `listen` and `store_dir` in the file.
#![expect(clippy::print_stdout, reason = "what a start found is for who started it")]
#![expect(clippy::disallowed_methods, reason = "the start of a real shard's clock")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use pinion_shard::io::disk::Disk;
use pinion_shard::io::{uring, Gate, Io, Queue, Stream};
use pinion_shard::proto::{ConnKind, Limits, Op, Parser};
use pinion_storage::commit_log::{CommitLog, LogId, LogOptions, Position};
use pinion_storage::recover::{open_store_dir, settle_former_shards, shard_dir, Replay};

/// The log that holds which streams there are; stream `S0` is log 1.
const STREAMS: LogId = LogId(0);
const READ_SIZE: usize = 256 * 1024;

/// The text between quotes behind a word.
fn quoted(text: &str, word: &str) -> Option<String> {
    let rest = text.split(word).nth(1)?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// The log of `S3` or `s3.x`.
fn log_of(name: &str) -> Option<LogId> {
    let number = name.get(1..)?.split('.').next()?;
    number.parse::<u64>().ok().map(|number| LogId(number + 1))
}

struct Connection {
    stream: Stream,
    out: RefCell<Vec<u8>>,
    is_flushing: Cell<bool>,
    /// Subject and sid of each subscription; a subject may end in `>`.
    subscriptions: RefCell<Vec<(String, String)>>,
}

impl Connection {
    fn message(&self, subject: &str, body: &[u8]) {
        let subscriptions = self.subscriptions.borrow();
        let Some((_, sid)) = subscriptions
            .iter()
            .rev()
            .find(|(wanted, _)| match wanted.strip_suffix('>') {
                Some(prefix) => subject.starts_with(prefix),
                None => subject == wanted,
            })
        else {
            return;
        };
        let mut out = self.out.borrow_mut();
        out.extend_from_slice(format!("MSG {subject} {sid} {}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    async fn flush(&self) {
        if self.is_flushing.replace(true) {
            return;
        }
        loop {
            let bytes = self.out.take();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match poll_fn(|cx| self.stream.poll_write(cx, rest)).await {
                    Ok(written) => rest = &rest[written..],
                    Err(_) => return,
                }
            }
            if self.out.borrow().is_empty() {
                break;
            }
        }
        self.is_flushing.set(false);
    }
}

/// An answer that waits until its entry is durable.
struct Owed {
    position: Position,
    connection: Rc<Connection>,
    reply: String,
    body: String,
}

#[derive(Clone)]
struct Server {
    log: CommitLog,
    owed: Rc<RefCell<BTreeMap<LogId, VecDeque<Owed>>>>,
}

impl Server {
    /// Answers what became durable.
    async fn acknowledge(self) {
        while let Ok(news) = self.log.next_durable().await {
            let mut touched: Vec<Rc<Connection>> = Vec::new();
            for durable in news {
                let mut owed = self.owed.borrow_mut();
                let Some(queue) = owed.get_mut(&durable.log) else {
                    continue;
                };
                while queue
                    .front()
                    .is_some_and(|owed| self.log.is_durable(owed.position))
                {
                    let owed = queue.pop_front().expect("looked at");
                    owed.connection.message(&owed.reply, owed.body.as_bytes());
                    if !touched.iter().any(|other| Rc::ptr_eq(other, &owed.connection)) {
                        touched.push(owed.connection);
                    }
                }
            }
            for connection in touched {
                connection.flush().await;
            }
        }
        if let Some(stopped) = self.log.stopped() {
            println!("{stopped}");
        }
    }

    async fn append(&self, connection: &Rc<Connection>, log: LogId, bytes: &[u8], reply: &str, stream: &str) {
        if self.log.room(log, bytes.len()).await.is_err() {
            return connection.message(reply, br#"{"error":{"code":503}}"#);
        }
        match self.log.append(log, bytes) {
            Ok(position) => {
                let body = format!(r#"{{"stream":"{stream}","seq":{}}}"#, position.index);
                let owed = Owed {
                    position,
                    connection: Rc::clone(connection),
                    reply: reply.to_owned(),
                    body,
                };
                self.owed.borrow_mut().entry(log).or_default().push_back(owed);
            }
            Err(error) => {
                println!("{error}");
                connection.message(reply, br#"{"error":{"code":503}}"#);
            }
        }
    }

    async fn publish(&self, connection: &Rc<Connection>, subject: &str, reply: &str, payload: &[u8]) {
        if let Some(name) = subject.strip_prefix("$JS.API.STREAM.CREATE.") {
            return self
                .append(connection, STREAMS, name.as_bytes(), reply, name)
                .await;
        }
        if let Some(log) = subject.strip_prefix("$JS.API.STREAM.INFO.").and_then(log_of) {
            let body = match self.log.range(log) {
                Some((base, last)) => format!(r#"{{"state":{{"messages":{}}}}}"#, last - base),
                None => r#"{"state":{"messages":0}}"#.to_owned(),
            };
            return connection.message(reply, body.as_bytes());
        }
        if let Some(log) = subject.strip_prefix("$JS.API.CONSUMER.CREATE.").and_then(log_of) {
            connection.message(reply, b"{}");
            let text = String::from_utf8_lossy(payload);
            let (Some(to), Some((base, last))) = (quoted(&text, "\"deliver_subject\":"), self.log.range(log))
            else {
                return;
            };
            for index in base + 1..=last {
                match self.log.read(log, index).await {
                    Ok(Some(entry)) => connection.message(&to, &entry),
                    missing => println!("{log:?} {index}: {missing:?}"),
                }
                if connection.out.borrow().len() > READ_SIZE {
                    connection.flush().await;
                }
            }
            return;
        }
        if subject.starts_with("$JS.API.") {
            return connection.message(reply, b"{}");
        }
        if let Some(log) = log_of(subject) {
            self.append(connection, log, payload, reply, "S").await;
        }
    }

    async fn serve(self, connection: Rc<Connection>) {
        let mut parser = Parser::new(ConnKind::Client, Limits::default());
        let mut buffer = vec![0; READ_SIZE];
        let info = "INFO {\"server_id\":\"LOG\",\"version\":\"2.14.5\",\"headers\":true,\"max_payload\":1048576}\r\n";
        connection.out.borrow_mut().extend_from_slice(info.as_bytes());
        loop {
            connection.flush().await;
            let Ok(size @ 1..) = poll_fn(|cx| connection.stream.poll_read(cx, &mut buffer)).await else {
                return;
            };
            let mut at = 0;
            loop {
                let Ok(step) = parser.next(&buffer[at..size]) else {
                    return;
                };
                at += step.consumed;
                match step.op {
                    None => break,
                    Some(Op::Ping) => connection.out.borrow_mut().extend_from_slice(b"PONG\r\n"),
                    Some(Op::Sub(sub)) => connection.subscriptions.borrow_mut().push((
                        String::from_utf8_lossy(sub.subject).into_owned(),
                        String::from_utf8_lossy(sub.sid).into_owned(),
                    )),
                    Some(Op::Pub(publish)) => {
                        let subject = String::from_utf8_lossy(publish.subject).into_owned();
                        let reply = String::from_utf8_lossy(publish.reply.unwrap_or_default()).into_owned();
                        let payload = publish.payload.to_vec();
                        self.publish(&connection, &subject, &reply, &payload).await;
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

async fn run(io: Io, address: SocketAddr, store: PathBuf) -> Result<(), Box<dyn Error>> {
    let disk = Disk::open(&io, &store).await?;
    open_store_dir(&disk).await?;
    let options = LogOptions::default();
    for finding in settle_former_shards(&io, &disk, 1, options).await? {
        println!("{finding}");
    }
    let mut entries = 0u64;
    let opened = CommitLog::open(&io, &disk, &shard_dir(0), options, &mut |replay| {
        entries += u64::from(matches!(replay, Replay::Entry { .. }));
    })
    .await?;
    for finding in &opened.findings {
        println!("{finding}");
    }
    println!(
        "{entries} entries, missing: {:?}, epoch {}",
        opened.missing,
        opened.log.epoch()
    );
    let server = Server {
        log: opened.log,
        owed: Rc::default(),
    };
    let gate = Gate::default();
    io.spawn(Queue::Hot, &gate, server.clone().acknowledge());
    let listener = io.listen(address)?;
    loop {
        let stream = io.adopt(listener.accept().await?)?;
        let connection = Rc::new(Connection {
            stream,
            out: RefCell::default(),
            is_flushing: Cell::new(false),
            subscriptions: RefCell::default(),
        });
        io.spawn(Queue::Hot, &gate, server.clone().serve(connection));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, file] = &arguments[..] else {
        return Err("usage: pinion-log-under-test -c FILE".into());
    };
    if flag != "-c" {
        return Err("the file comes with -c".into());
    }
    let text = std::fs::read_to_string(Path::new(file))?;
    let address: SocketAddr = quoted(&text, "listen:").ok_or("no listen")?.parse()?;
    let store = PathBuf::from(quoted(&text, "store_dir:").ok_or("no store_dir")?);
    let workers = uring::Workers::start(1)?;
    let plan = uring::ThreadPlan {
        name: "log".to_owned(),
        core: None,
        base: Instant::now(),
        workers: workers.queue(),
    };
    let failed = std::sync::Arc::new(std::sync::OnceLock::new());
    let failure = std::sync::Arc::clone(&failed);
    let thread = uring::start_shard_thread(plan, move |io| async move {
        if let Err(error) = run(io, address, store).await {
            let told = failure.set(error.to_string());
            told.expect("the thread fails once");
        }
    })
    .map_err(|error| io::Error::other(error.0))?;
    thread.join().map_err(|error| io::Error::other(error.0))?;
    match failed.get() {
        Some(error) => Err(error.clone().into()),
        None => Ok(()),
    }
}
