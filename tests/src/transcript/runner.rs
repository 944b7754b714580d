//! Runs one transcript against one server.
//!
//! Owns: the connections of the named clients and the comparison of what came with what was expected.
//! A client that is first named by a `>` or `<` line is opened quietly: INFO read, `DEFAULT_CONNECT` sent.
//! "Nothing more arrives" is proved by PING: what comes before its PONG had arrived.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::pattern::{matches, rewrite, Captures};
use super::script::{Line, Script, Step};
use crate::server::Server;
use crate::wire::{Event, Frame, Wire, PATIENCE};

/// What a client says that a transcript does not open itself.
pub const DEFAULT_CONNECT: &str = r#"{"verbose":false,"pedantic":false,"headers":true}"#;
/// How long `UPDATE_GOLDEN` waits for a frame that may no longer come.
const UPDATE_PATIENCE: Duration = Duration::from_secs(4);

/// How the bytes of a client reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Each line with its payload in one write.
    Whole,
    /// In pieces of 1, 2, ... 7 bytes, each in a packet of its own.
    Pieces,
}

/// What a run brought.
#[derive(Debug)]
pub enum Outcome {
    /// Everything was as written.
    Same,
    /// A difference, told in full.
    Different(String),
    /// With `update`: the file as the server wants it.
    Rewritten(String),
}

struct Client {
    wire: Wire,
    open: bool,
    left: bool,
}

struct Runner<'a> {
    server: &'a mut Server,
    delivery: Delivery,
    clients: BTreeMap<String, Client>,
    captures: Captures,
    update: bool,
    patience: Duration,
    output: Vec<String>,
}

/// Runs `script` against `server`; with `update`, expectations are rewritten from what comes.
pub fn run(script: &Script, server: &mut Server, delivery: Delivery, update: bool) -> Outcome {
    let patience = if update { UPDATE_PATIENCE } else { PATIENCE };
    Runner::new(server, delivery, update, patience).run(script)
}

/// As `run`, but what does not come within `patience` is missing.
pub fn run_with_patience(
    script: &Script,
    server: &mut Server,
    delivery: Delivery,
    patience: Duration,
) -> Outcome {
    Runner::new(server, delivery, false, patience).run(script)
}

impl<'a> Runner<'a> {
    fn new(server: &'a mut Server, delivery: Delivery, update: bool, patience: Duration) -> Self {
        Self {
            server,
            delivery,
            clients: BTreeMap::new(),
            captures: Captures::new(),
            update,
            patience,
            output: Vec::new(),
        }
    }

    fn run(mut self, script: &Script) -> Outcome {
        let mut index = 0;
        while index < script.lines.len() {
            let line = &script.lines[index];
            let size = line.group.map_or(1, |group| {
                script.lines[index..]
                    .iter()
                    .take_while(|line| line.group == Some(group))
                    .count()
            });
            let result = match line.group {
                Some(_) => self.any_order(&script.lines[index..index + size]),
                None => self.step(line),
            };
            if let Err(difference) = result {
                let heading = format!("{}:{}: {}", script.name, index + 1, line.text);
                return Outcome::Different(format!("{heading}\n    {difference}{}", self.told()));
            }
            index += size;
        }
        if let Err(difference) = self.finish() {
            return Outcome::Different(format!(
                "{}: at the end\n    {difference}{}",
                script.name,
                self.told()
            ));
        }
        if self.update {
            return Outcome::Rewritten(self.output.join("\n") + "\n");
        }
        Outcome::Same
    }
}

impl Runner<'_> {
    fn step(&mut self, line: &Line) -> Result<(), String> {
        let Some(step) = &line.step else {
            self.output.push(line.text.clone());
            return Ok(());
        };
        match step {
            Step::Open(client) => {
                self.connect(client)?;
                self.read_info(client)?;
            }
            Step::Raw(client) => self.connect(client)?,
            Step::Send(client, bytes) => {
                self.ensure_open(client)?;
                self.send(client, bytes);
            }
            Step::Expect(client, pattern) => return self.expect(client, pattern, &line.text),
            Step::ExpectOneOf(clients, pattern) => self.expect_one_of(clients, pattern)?,
            Step::ExpectClosed(client) => return self.expect_closed(client, &line.text),
            Step::Close(client) => {
                self.client(client)?;
                self.clients.remove(client);
            }
            Step::Leave(client) => self.client(client)?.left = true,
            Step::Signal(name) => self.server.signal(name),
            Step::ServerExits(code) => {
                let Some(status) = self.server.exit_within(self.patience) else {
                    return Err("the server did not end".into());
                };
                if status.code() != Some(*code) {
                    return Err(format!("the server ended with {status}"));
                }
            }
        }
        self.output.push(line.text.clone());
        Ok(())
    }

    fn connect(&mut self, name: &str) -> Result<(), String> {
        let wire =
            Wire::connect(self.server.address()).map_err(|error| format!("cannot connect: {error}"))?;
        self.clients.insert(
            name.into(),
            Client {
                wire,
                open: true,
                left: false,
            },
        );
        Ok(())
    }

    fn read_info(&mut self, name: &str) -> Result<(), String> {
        match self.client(name)?.wire.next(PATIENCE) {
            Event::Frame(frame) if frame.line.starts_with("INFO ") => Ok(()),
            other => Err(format!("INFO should come first, got {}", told(&other))),
        }
    }

    fn ensure_open(&mut self, name: &str) -> Result<(), String> {
        if self.clients.contains_key(name) {
            return Ok(());
        }
        self.connect(name)?;
        self.read_info(name)?;
        self.send(name, format!("CONNECT {DEFAULT_CONNECT}\r\n").as_bytes());
        Ok(())
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients
            .get_mut(name)
            .ok_or_else(|| format!("client {name} is not open"))
    }

    /// A write error is not a difference: the server may have closed already, which the next line must expect.
    fn send(&mut self, name: &str, bytes: &[u8]) {
        let delivery = self.delivery;
        let client = self.clients.get_mut(name).expect("opened before");
        if delivery == Delivery::Whole || bytes.len() > 4096 {
            client.wire.send(bytes).unwrap_or_default();
            return;
        }
        let mut rest = bytes;
        let mut size = 1;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            client.wire.send(piece).unwrap_or_default();
            rest = tail;
            size = size % 7 + 1;
        }
    }

    /// What comes next. The server's own PING comes when its timer says so: it counts only where expected.
    fn next(&mut self, name: &str, ping_expected: bool, patience: Duration) -> Result<Event, String> {
        let wire = &mut self.client(name)?.wire;
        loop {
            match wire.next(patience) {
                Event::Frame(frame) if frame.line == "PING" && !ping_expected => {}
                event => return Ok(event),
            }
        }
    }

    fn expect(&mut self, name: &str, pattern: &str, line: &str) -> Result<(), String> {
        self.ensure_open(name)?;
        let patience = self.patience;
        match self.next(name, pattern == "PING", patience)? {
            Event::Frame(frame) if self.update => {
                let text = rewrite(pattern, &frame.to_text(), &mut self.captures);
                self.output.push(format!("{name}< {text}"));
            }
            Event::Frame(frame) => {
                if !matches(pattern, &frame.to_text(), &mut self.captures) {
                    return Err(format!("{name}< {}", frame.to_text()));
                }
                self.output.push(line.to_owned());
            }
            Event::Closed if self.update => self.note_closed(name),
            Event::Silence if self.update => {}
            other => return Err(format!("{name}: {}", told(&other))),
        }
        Ok(())
    }

    fn note_closed(&mut self, name: &str) {
        let line = format!("{name} closed");
        let client = self.clients.get_mut(name).expect("opened before");
        if client.open {
            client.open = false;
            self.output.push(line);
        }
    }

    fn expect_closed(&mut self, name: &str, line: &str) -> Result<(), String> {
        self.ensure_open(name)?;
        loop {
            let patience = self.patience;
            match self.next(name, false, patience)? {
                Event::Closed => {
                    let client = self.client(name)?;
                    if client.open {
                        client.open = false;
                        self.output.push(line.to_owned());
                    }
                    return Ok(());
                }
                Event::Frame(frame) if self.update => {
                    self.output.push(format!("{name}< {}", frame.to_text()))
                }
                Event::Silence if self.update => return Ok(()),
                other => return Err(format!("{name}: {}", told(&other))),
            }
        }
    }

    fn expect_one_of(&mut self, names: &[String], pattern: &str) -> Result<(), String> {
        for name in names {
            self.ensure_open(name)?;
        }
        let deadline = Instant::now() + self.patience;
        let winner = loop {
            let ready = names
                .iter()
                .find(|name| self.clients.get_mut(*name).is_some_and(|c| c.wire.is_ready()));
            match ready {
                Some(name) => break name,
                None if Instant::now() > deadline => return Err("none of them got anything".into()),
                None => {}
            }
        };
        match self.next(winner, false, PATIENCE)? {
            Event::Frame(frame) if matches(pattern, &frame.to_text(), &mut self.captures) => {}
            other => return Err(format!("{winner}: {}", told(&other))),
        }
        for name in names {
            if let Some(extra) = self.barrier(name)?.first() {
                return Err(format!("{winner} had it, and {name} got {}", extra.to_text()));
            }
        }
        Ok(())
    }

    fn any_order(&mut self, lines: &[Line]) -> Result<(), String> {
        let mut waiting: Vec<&Line> = lines.iter().collect();
        while let Some(first) = waiting.first() {
            let Some(Step::Expect(name, _)) = &first.step else {
                unreachable!("checked by the parser")
            };
            self.ensure_open(name)?;
            let patience = self.patience;
            let frame = match self.next(name, false, patience)? {
                Event::Frame(frame) => frame,
                Event::Silence if self.update => {
                    waiting.remove(0);
                    continue;
                }
                other => return Err(format!("{name}: {}", told(&other))),
            };
            let text = frame.to_text();
            let taken = waiting.iter().position(|line| match &line.step {
                Some(Step::Expect(other, pattern)) => {
                    other == name && matches(pattern, &text, &mut self.captures)
                }
                _ => false,
            });
            match taken {
                Some(index) => self.output.push(waiting.remove(index).text.clone()),
                None if self.update => {
                    waiting.remove(0);
                    self.output.push(format!("{name}< {text}"));
                }
                None => return Err(format!("{name}< {text}")),
            }
        }
        Ok(())
    }

    /// PING; gives what came before its PONG.
    fn barrier(&mut self, name: &str) -> Result<Vec<Frame>, String> {
        let wire = &mut self.client(name)?.wire;
        wire.send(b"PING\r\n").unwrap_or_default();
        let mut extra = Vec::new();
        loop {
            match wire.next(PATIENCE) {
                Event::Frame(frame) if frame.line == "PONG" => return Ok(extra),
                Event::Frame(frame) if frame.line == "PING" => {}
                Event::Frame(frame) => extra.push(frame),
                other => return Err(format!("{name}: at its last PING: {}", told(&other))),
            }
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in names {
            if self.clients[&name].left {
                continue;
            }
            if !self.clients[&name].open {
                continue;
            }
            match self.barrier(&name) {
                Ok(extra) if self.update => {
                    self.output
                        .extend(extra.iter().map(|frame| format!("{name}< {}", frame.to_text())));
                }
                Ok(extra) => {
                    if let Some(frame) = extra.first() {
                        return Err(format!("{name}< {} was not expected", frame.to_text()));
                    }
                }
                Err(_) if self.update => self.note_closed(&name),
                Err(difference) => return Err(difference),
            }
        }
        Ok(())
    }

    /// The last lines of the server's log, for the message of a difference.
    fn told(&mut self) -> String {
        let log = self.server.log();
        let tail: Vec<String> = log
            .iter()
            .rev()
            .take(6)
            .rev()
            .map(|line| format!("\n    log: {line}"))
            .collect();
        tail.concat()
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Frame(frame) => frame.to_text(),
        Event::Closed => "the server closed the connection".into(),
        Event::Silence => "nothing came".into(),
    }
}
