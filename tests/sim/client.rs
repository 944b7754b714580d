//! A scripted client: the protocol by hand, every event written into the history.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use pinion_shard::io::simulated::{SimIo, SimStream};
use pinion_shard::io::Queue;

use super::history::{ConnectionRecord, End, MessageRecord, SharedHistory, SubscriptionRecord};
use super::rules::User;

/// How a client reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes of one read at most.
    pub chunk: usize,
    /// The pause after each.
    pub pause: Duration,
    /// Not at all until the world is calm.
    pub asleep: bool,
}

/// What to publish.
pub(crate) struct Publication<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    /// The request it answers.
    pub cause: Option<usize>,
    pub with_headers: bool,
    pub padding: usize,
}

/// What a PONG will confirm.
struct Mark {
    at: u64,
    messages: usize,
}

/// A connected client.
pub(crate) struct Client {
    io: SimIo,
    history: SharedHistory,
    /// Who it is.
    pub user: User,
    /// Its record in the history.
    pub connection: usize,
    stream: SimStream,
    out: RefCell<VecDeque<u8>>,
    out_waker: RefCell<Option<Waker>>,
    marks: RefCell<VecDeque<Mark>>,
    pongs: Cell<u64>,
    pings: Cell<u64>,
    pong_waker: RefCell<Option<Waker>>,
    next_sid: Cell<u64>,
    is_over: Cell<bool>,
    pace: Pace,
    is_calm: Rc<Cell<bool>>,
}

impl Client {
    /// Connects and starts to read and write.
    pub(crate) async fn connect(
        io: &SimIo,
        address: SocketAddr,
        user: User,
        history: &SharedHistory,
        pace: Pace,
        is_calm: &Rc<Cell<bool>>,
    ) -> std::io::Result<Rc<Self>> {
        let stream = io.connect(address).await?;
        let echo = !io.dice().one_in(4);
        let connection = {
            let mut history = history.borrow_mut();
            history.connections.push(ConnectionRecord {
                user,
                echo,
                ended: None,
                closed_by_client: false,
                errors: Vec::new(),
                largest: 0,
            });
            history.connections.len() - 1
        };
        let client = Rc::new(Self {
            io: io.clone(),
            user,
            history: Rc::clone(history),
            connection,
            stream,
            out: RefCell::default(),
            out_waker: RefCell::default(),
            marks: RefCell::default(),
            pongs: Cell::new(0),
            pings: Cell::new(0),
            pong_waker: RefCell::default(),
            next_sid: Cell::new(1),
            is_over: Cell::new(false),
            pace,
            is_calm: Rc::clone(is_calm),
        });
        io.spawn(Queue::Hot, Rc::clone(&client).write_loop());
        io.spawn(Queue::Hot, Rc::clone(&client).read_loop());
        client.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"echo\":{echo},\"headers\":true,\"no_responders\":true,\"protocol\":1,\"user\":\"{}\"}}\r\n",
            user.name()
        ));
        client.subscribe(&format!("_INBOX.{connection}.*"), None, None);
        Ok(client)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether every PING was answered.
    pub(crate) fn is_in_step(&self) -> bool {
        self.pongs.get() == self.pings.get()
    }

    fn send(&self, text: &str) {
        if self.is_over.get() {
            return;
        }
        self.out.borrow_mut().extend(text.bytes());
        let waker = self.out_waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// SUB, with the UNSUB that counts in the same write.
    pub(crate) fn subscribe(&self, pattern: &str, queue: Option<&str>, max: Option<u64>) -> usize {
        let sid = self.next_sid.get();
        self.next_sid.set(sid + 1);
        let index = {
            let mut history = self.history.borrow_mut();
            let subscribed = history.tick();
            history.subscriptions.push(SubscriptionRecord {
                connection: self.connection,
                sid,
                pattern: pattern.to_owned(),
                queue: queue.map(str::to_owned),
                subscribed,
                active: None,
                end: self.is_over.get().then_some((subscribed, End::ConnectionGone)),
                over: None,
                max,
                received: Vec::new(),
            });
            history.subscriptions.len() - 1
        };
        match queue {
            Some(queue) => self.send(&format!("SUB {pattern} {queue} {sid}\r\n")),
            None => self.send(&format!("SUB {pattern} {sid}\r\n")),
        }
        if let Some(max) = max {
            self.send(&format!("UNSUB {sid} {max}\r\n"));
        }
        index
    }

    /// UNSUB of a subscription of this connection.
    pub(crate) fn unsubscribe(&self, subscription: usize) {
        let sid = {
            let mut history = self.history.borrow_mut();
            let at = history.tick();
            let record = &mut history.subscriptions[subscription];
            assert_eq!(record.connection, self.connection);
            if record.end.is_some() {
                return;
            }
            record.end = Some((at, End::Unsubscribed));
            record.sid
        };
        self.send(&format!("UNSUB {sid}\r\n"));
    }

    /// Publishes a request whose inbox is made for it, in the same write.
    pub(crate) fn request_with_new_inbox(&self, subject: &str, padding: usize) {
        let message = self.history.borrow().messages.len();
        let inbox = format!("_NEW.{}.{message}", self.connection);
        self.subscribe(&inbox, None, None);
        self.publish(&Publication {
            subject,
            reply: Some(&inbox),
            cause: None,
            with_headers: false,
            padding,
        });
    }

    /// Where answers to the next message may go: below the standing inbox.
    pub(crate) fn standing_inbox(&self) -> String {
        format!(
            "_INBOX.{}.{}",
            self.connection,
            self.history.borrow().messages.len()
        )
    }

    /// PUB or HPUB; the payload names the message in the history.
    pub(crate) fn publish(&self, publication: &Publication<'_>) {
        if self.is_over.get() {
            return;
        }
        let Publication {
            subject,
            reply,
            cause,
            with_headers,
            padding,
        } = *publication;
        let (message, payload) = {
            let mut history = self.history.borrow_mut();
            let published = history.tick();
            let message = history.messages.len();
            let versions = (history.rules.done, None);
            let payload = payload(message, padding);
            history.messages.push(MessageRecord {
                connection: self.connection,
                subject: subject.to_owned(),
                published,
                confirmed: false,
                versions,
                reply: reply.map(str::to_owned),
                cause,
                no_responders: 0,
                size: payload.len(),
            });
            (message, payload)
        };
        let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
        let header = format!("NATS/1.0\r\nn: {message}\r\n\r\n");
        let header_size = if with_headers { header.len() } else { 0 };
        let size = header_size + payload.len();
        {
            let largest = &mut self.history.borrow_mut().connections[self.connection].largest;
            *largest = size.max(*largest);
        }
        if with_headers {
            self.send(&format!(
                "HPUB {subject}{reply} {header_size} {size}\r\n{header}{payload}\r\n"
            ));
        } else {
            self.send(&format!(
                "PUB {subject}{reply} {}\r\n{payload}\r\n",
                payload.len()
            ));
        }
    }

    /// PING; the PONG confirms what was sent before.
    pub(crate) fn ping(&self) {
        if self.is_over.get() {
            return;
        }
        self.pings.set(self.pings.get() + 1);
        let mark = {
            let mut history = self.history.borrow_mut();
            Mark {
                at: history.tick(),
                messages: history.messages.len(),
            }
        };
        self.marks.borrow_mut().push_back(mark);
        self.send("PING\r\n");
    }

    /// PING and wait for its PONG, or for the end of the connection.
    pub(crate) async fn sync(&self) {
        self.ping();
        let want = self.pings.get();
        poll_fn(|cx| {
            if self.pongs.get() >= want || self.is_over.get() {
                return Poll::Ready(());
            }
            *self.pong_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Leaves: cleanly (what was sent is still delivered) or by a reset.
    pub(crate) fn close(&self, by_reset: bool) {
        self.history.borrow_mut().connections[self.connection].closed_by_client = true;
        if by_reset {
            self.stream.reset();
        }
        self.over();
    }

    fn over(&self) {
        if self.is_over.replace(true) {
            return;
        }
        self.history.borrow_mut().connection_ended(self.connection);
        self.stream.close();
        for slot in [&self.pong_waker, &self.out_waker] {
            let waker = slot.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    async fn write_loop(self: Rc<Self>) {
        loop {
            let chunk: Vec<u8> = poll_fn(|cx| {
                if self.is_over.get() {
                    return Poll::Ready(Vec::new());
                }
                let mut out = self.out.borrow_mut();
                if out.is_empty() {
                    *self.out_waker.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(out.drain(..).collect())
            })
            .await;
            if chunk.is_empty() {
                return;
            }
            let written = poll_all(&self, &chunk).await;
            if !written {
                return;
            }
        }
    }

    async fn read_loop(self: Rc<Self>) {
        let mut buffer = vec![0; self.pace.chunk];
        let mut unparsed = Vec::new();
        let mut wanted = 1;
        loop {
            while self.pace.asleep && !self.is_calm.get() && !self.is_over.get() {
                self.io.sleep(Duration::from_millis(1)).await;
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(size) => unparsed.extend_from_slice(&buffer[..size]),
            }
            if self.is_over.get() {
                break;
            }
            if unparsed.len() >= wanted {
                let (parsed, missing) = self.parse(&unparsed);
                unparsed.drain(..parsed);
                wanted = unparsed.len() + missing;
            }
            if !self.is_calm.get() && !self.pace.pause.is_zero() {
                self.io.sleep(self.pace.pause).await;
            }
        }
        self.over();
    }

    /// Parses whole operations; returns how many bytes they took, and how many more the next one needs at
    /// least.
    fn parse(&self, bytes: &[u8]) -> (usize, usize) {
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            let Some(line_size) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                return (done, 1);
            };
            let line = std::str::from_utf8(&rest[..line_size]).expect("the server's lines are ASCII here");
            let after = line_size + 2;
            let words: Vec<&str> = line.split(' ').collect();
            let body_size = match words[0] {
                "MSG" | "HMSG" => {
                    let size: usize = words.last().expect("a size").parse().expect("a size");
                    if rest.len() < after + size + 2 {
                        return (done, after + size + 2 - rest.len());
                    }
                    size + 2
                }
                _ => 0,
            };
            self.on_op(&words, line, &rest[after..after + body_size]);
            done += after + body_size;
        }
    }

    fn on_op(&self, words: &[&str], line: &str, body: &[u8]) {
        match words[0] {
            "INFO" => {}
            "PING" => self.send("PONG\r\n"),
            "PONG" => self.on_pong(),
            "MSG" => {
                self.on_message(words[1], words[2], &body[..body.len() - 2]);
                if words.len() == 5 {
                    self.answer(words[3], &body[..body.len() - 2]);
                }
            }
            "HMSG" => {
                let header_size: usize = words[words.len() - 2].parse().expect("a size");
                let (header, payload) = body[..body.len() - 2].split_at(header_size);
                if header.starts_with(b"NATS/1.0 503") {
                    self.on_no_responders(words[1]);
                } else {
                    self.on_message(words[1], words[2], payload);
                    if words.len() == 6 {
                        self.answer(words[3], payload);
                    }
                }
            }
            "-ERR" => self.history.borrow_mut().connections[self.connection]
                .errors
                .push(line.to_owned()),
            _ => self
                .history
                .borrow_mut()
                .violations
                .push(format!("a line no server sends: {line:?}")),
        }
    }

    fn on_pong(&self) {
        self.pongs.set(self.pongs.get() + 1);
        let mark = self.marks.borrow_mut().pop_front();
        let mut history = self.history.borrow_mut();
        let at = history.tick();
        let Some(mark) = mark else {
            history.violations.push("a PONG nobody asked for".to_owned());
            return;
        };
        let (connection, begun) = (self.connection, history.rules.begun);
        for record in history
            .subscriptions
            .iter_mut()
            .filter(|record| record.connection == connection)
        {
            if record.subscribed < mark.at && record.active.is_none() {
                record.active = Some(at);
            }
            if matches!(record.end, Some((end, End::Unsubscribed)) if end < mark.at) && record.over.is_none()
            {
                record.over = Some(at);
            }
        }
        for message in history.messages[..mark.messages]
            .iter_mut()
            .filter(|message| message.connection == connection)
        {
            message.confirmed = true;
            message.versions.1.get_or_insert(begun);
        }
        drop(history);
        let waker = self.pong_waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn on_message(&self, subject: &str, sid: &str, body: &[u8]) {
        let mut history = self.history.borrow_mut();
        let at = history.tick();
        let text = String::from_utf8_lossy(body);
        let Some(message) = message_of(body).filter(|message| *message < history.messages.len()) else {
            history
                .violations
                .push(format!("a message nobody published: {text:?}"));
            return;
        };
        let record = &history.messages[message];
        let subjects = history.subjects_in(record, self.user);
        let is_known = subjects.iter().flatten().any(|known| known == subject);
        if !is_known || payload(message, 0).len() > body.len() || record.size != body.len() {
            let what = format!("message {message} changed on its way: {subject} {text:?}");
            history.violations.push(what);
        }
        let sid: u64 = sid.parse().expect("our sids are numbers");
        let connection = self.connection;
        let subscription = history
            .subscriptions
            .iter_mut()
            .find(|record| record.connection == connection && record.sid == sid);
        match subscription {
            Some(record) => record.received.push((message, at)),
            None => history
                .violations
                .push(format!("a message for sid {sid}, never used")),
        }
    }

    /// Answers a request, mostly.
    fn answer(&self, reply: &str, body: &[u8]) {
        if self.io.dice().one_in(4) {
            return;
        }
        self.publish(&Publication {
            subject: reply,
            reply: None,
            cause: message_of(body),
            with_headers: false,
            padding: 0,
        });
    }

    fn on_no_responders(&self, reply: &str) {
        let mut history = self.history.borrow_mut();
        history.tick();
        let own = format!(".{}", self.connection);
        let message: Option<usize> = reply
            .rsplit_once('.')
            .filter(|(inbox, _)| inbox.ends_with(&own))
            .and_then(|(_, number)| number.parse().ok());
        match message {
            Some(message) => history.messages[message].no_responders += 1,
            None => history
                .violations
                .push(format!("503 for a foreign inbox {reply}")),
        }
    }
}

async fn poll_all(client: &Client, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if client.is_over() {
            return false;
        }
        let piece = bytes.len().min(4096);
        if client.stream.write_all(&bytes[..piece]).await.is_err() {
            client.over();
            return false;
        }
        bytes = &bytes[piece..];
    }
    true
}

/// The message a payload names.
fn message_of(payload: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(payload).ok()?;
    text.strip_prefix('m')?.split(' ').next()?.parse().ok()
}

/// The payload of a message: its number, then padding.
fn payload(message: usize, padding: usize) -> String {
    format!("m{message} {}", "p".repeat(padding))
}
