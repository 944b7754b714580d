//! JetStream in one place: the table of streams and all streams, with a log that is durable at once.
//!
//! Owns: which handler a message goes to, applying what it proposes, collecting what is sent. That is all there is to streams
//! in memory; it is also how the handlers are tested against the peer. Not here: shards, files, sockets.

use std::collections::BTreeMap;

use pinion_shard::ids::ShardId;
use pinion_shard::io::WallTime;
use pinion_shard::subject::wildcard::matches;

use crate::api::account::{self, Account, ServerRoom, Usage};
use crate::api::advisory::Advisory;
use crate::api::messages::{self, Read};
use crate::api::response::Kind;
use crate::api::streams::{self, Step, Table};
use crate::api::{direct, Body, Facts, Route};
use crate::error::{self, ApiError};
use crate::meta::{Meta, MetaEffect, MetaEntry};
use crate::stream::config::Storage;
use crate::stream::{Effect, Entry, Next, Origin, Publish, PublishLimits, Stream};

/// The table of streams and all streams of one account.
#[derive(Debug)]
pub struct Local {
    facts: Facts,
    account_name: String,
    account: Account,
    room: ServerRoom,
    limits: PublishLimits,
    meta: Meta,
    streams: BTreeMap<String, Stream>,
}

/// Something to be published in the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A message.
    Message {
        /// Its subject.
        subject: Vec<u8>,
        /// Its header block, or nothing.
        headers: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// An advisory, which needs an id before it is sent.
    Advisory(Advisory),
}

/// A message that was published in the account.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its subject.
    pub subject: &'a [u8],
    /// Where answers go; empty for none.
    pub reply: &'a [u8],
    /// Its header block, or nothing.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl Local {
    /// Without streams.
    pub fn new(
        facts: Facts,
        account_name: &str,
        account: Account,
        room: ServerRoom,
        limits: PublishLimits,
    ) -> Self {
        Self {
            facts,
            account_name: account_name.to_owned(),
            account,
            room,
            limits,
            meta: Meta::default(),
            streams: BTreeMap::new(),
        }
    }

    /// Takes a message: a request of the API, or one that streams store.
    pub fn publish(&mut self, message: Incoming<'_>, now: WallTime) -> Vec<Out> {
        let mut out = Vec::new();
        if message.subject.starts_with(b"$JS.API.") {
            self.request(message, now, &mut out);
        }
        let names: Vec<String> = self
            .streams
            .values()
            .map(Stream::config)
            .filter(|config| {
                let mut subjects = config.subjects.iter();
                subjects.any(|subject| matches(message.subject, subject.as_bytes()))
            })
            .map(|config| config.name.clone())
            .collect();
        for name in names {
            let publish = Publish {
                subject: message.subject,
                reply: message.reply,
                headers: message.headers,
                payload: message.payload,
                now,
                random: 0,
                origin: Origin::Client,
            };
            let limits = self.limits_of(&name);
            let stream = self.streams.get_mut(&name).expect("named by the line above");
            let mut effects = Vec::new();
            match stream.publish(&publish, &limits, &mut effects) {
                Next::Propose(entries) => {
                    for entry in entries {
                        stream.apply(entry, &mut effects);
                    }
                }
                Next::Done => {}
                Next::Wait | Next::Cold(_) => unreachable!("nothing is pending, and all is in memory"),
            }
            self.send(&name, effects, &mut out);
        }
        out
    }

    /// When [`Local::tick`] has something to do.
    pub fn next_due(&self) -> Option<WallTime> {
        self.streams.values().filter_map(Stream::next_due).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: WallTime) -> Vec<Out> {
        let mut out = Vec::new();
        let names: Vec<String> = self.streams.keys().cloned().collect();
        for name in names {
            let limits = self.limits_of(&name);
            let stream = self.streams.get_mut(&name).expect("named by the line above");
            let mut effects = Vec::new();
            for entry in stream.due(now, &limits, &mut effects) {
                stream.apply(entry, &mut effects);
            }
            self.send(&name, effects, &mut out);
        }
        out
    }

    fn send(&self, stream: &str, effects: Vec<Effect>, out: &mut Vec<Out>) {
        for effect in effects {
            out.push(match effect {
                Effect::Reply { subject, body } => Out::Message {
                    subject,
                    headers: Vec::new(),
                    payload: body,
                },
                Effect::Republish {
                    subject,
                    headers,
                    payload,
                } => Out::Message {
                    subject,
                    headers,
                    payload,
                },
                Effect::BatchAbandoned { id, reason } => Out::Advisory(Advisory::BatchAbandoned {
                    stream: stream.to_owned(),
                    account: String::new(),
                    batch: id,
                    reason,
                }),
                Effect::Stored { .. } | Effect::Removed { .. } | Effect::Purged => continue,
            });
        }
    }

    fn request(&mut self, message: Incoming<'_>, now: WallTime, out: &mut Vec<Out>) {
        let subject = message.subject.to_vec();
        let Some(route) = Route::of(&subject) else {
            return;
        };
        let body = Body {
            headers: message.headers,
            payload: message.payload,
        };
        if let Route::DirectGet(name) | Route::DirectGetLast(name, _) = route {
            self.direct_get(route, name, body, message.reply, out);
            return;
        }
        let (kind, answer) = self.answer(route, body, now, out);
        // Reading a message is not counted.
        let is_counted = kind != Kind::MessageGet || answer.is_err();
        self.account.api_total += u64::from(is_counted);
        self.account.api_errors += u64::from(answer.is_err());
        let payload = answer.unwrap_or_else(|error| kind.refusal(&error));
        if !message.reply.is_empty() {
            out.push(Out::Message {
                subject: message.reply.to_vec(),
                headers: Vec::new(),
                payload,
            });
        }
    }

    fn direct_get(&self, route: Route<'_>, name: &str, body: Body<'_>, reply: &[u8], out: &mut Vec<Out>) {
        let Some(stream) = self
            .streams
            .get(name)
            .filter(|stream| stream.config().allow_direct)
        else {
            return;
        };
        if reply.is_empty() {
            return;
        }
        let read = match route {
            Route::DirectGetLast(_, subject) => direct::get_last(&self.facts, stream, subject, body),
            _ => direct::get(&self.facts, stream, body),
        };
        let Read::Answer(replies) = read else {
            unreachable!("all is in memory")
        };
        out.extend(replies.into_iter().map(|answer| Out::Message {
            subject: reply.to_vec(),
            headers: answer.headers,
            payload: answer.payload,
        }));
    }

    fn answer(
        &mut self,
        route: Route<'_>,
        body: Body<'_>,
        now: WallTime,
        out: &mut Vec<Out>,
    ) -> (Kind, Result<Vec<u8>, ApiError>) {
        match route {
            Route::AccountInfo => (Kind::AccountInfo, self.account_info(body)),
            Route::StreamCreate(name) => {
                let step = self.table().create(name, body, now, ShardId(0));
                (
                    Kind::StreamCreate,
                    self.step(name, step, now, streams::create_answer, out),
                )
            }
            Route::StreamUpdate(name) => {
                let step = self.table().update(name, body);
                (
                    Kind::StreamUpdate,
                    self.step(name, step, now, streams::update_answer, out),
                )
            }
            Route::StreamDelete(name) => {
                let answer = self.table().delete(name, body).map(|step| {
                    self.take_step(step, out);
                    streams::delete_answer()
                });
                (Kind::StreamDelete, answer)
            }
            Route::StreamNames => (Kind::StreamNames, self.table().names(body)),
            Route::StreamList => {
                let list = self.table().list(body).map(|(page, names)| {
                    let infos = names.into_iter().filter_map(|name| self.streams.get(name));
                    let infos = infos.map(|stream| messages::listed_info_of(stream, now));
                    streams::list_answer(page, infos.collect())
                });
                (Kind::StreamList, list)
            }
            Route::StreamInfo(name) => {
                let stream = self
                    .streams
                    .get(name)
                    .ok_or_else(|| error::STREAM_NOT_FOUND.into());
                let info = stream.and_then(|stream| messages::info(&self.facts, stream, body, now));
                (Kind::StreamInfo, info)
            }
            Route::StreamPurge(name) => {
                let entry = messages::purge(&self.facts, self.streams.get(name), body);
                (Kind::StreamPurge, self.change(name, entry, out))
            }
            Route::MessageDelete(name) => {
                let entry = messages::delete(&self.facts, self.streams.get(name), body);
                (Kind::MessageDelete, self.change(name, entry, out))
            }
            Route::MessageGet(name) => {
                let read = messages::get(&self.facts, self.streams.get(name), body);
                let answer = read.map(|read| match read {
                    Read::Answer(answer) => answer,
                    Read::Cold(_) => unreachable!("all is in memory"),
                });
                (Kind::MessageGet, answer)
            }
            Route::DirectGet(_) | Route::DirectGetLast(..) => unreachable!("answered without JSON"),
        }
    }

    fn table(&self) -> Table<'_> {
        Table {
            facts: &self.facts,
            meta: &self.meta,
            account_name: &self.account_name,
            account: Some(&self.account),
            room: self.room,
        }
    }

    /// What a publish to this stream must fit into.
    fn limits_of(&self, stream: &str) -> PublishLimits {
        let config = self.streams[stream].config();
        let of_account = self.account.limits(config.num_replicas).map(|(_, limits)| limits);
        let max = of_account.map_or(0, |limits| match config.storage {
            Storage::Memory => limits.max_memory,
            Storage::File => limits.max_storage,
        });
        let used = self.bytes(config.storage);
        PublishLimits {
            account_bytes_left: u64::try_from(max).ok().map(|max| max.saturating_sub(used)),
            ..self.limits
        }
    }

    /// What the account's streams of this kind hold.
    fn bytes(&self, storage: Storage) -> u64 {
        let streams = self.streams.values();
        let streams = streams.filter(|stream| stream.config().storage == storage);
        streams.map(|stream| stream.store().state().bytes).sum()
    }

    fn account_info(&self, body: Body<'_>) -> Result<Vec<u8>, ApiError> {
        let usage = Usage {
            memory: self.bytes(Storage::Memory),
            storage: self.bytes(Storage::File),
            consumers: 0,
        };
        let account = Some(&self.account);
        account::info(&self.facts, &self.meta, &self.account_name, account, usage, body)
    }

    fn step(
        &mut self,
        name: &str,
        step: Result<Step, ApiError>,
        now: WallTime,
        answer: fn(&crate::api::response::StreamInfo) -> Vec<u8>,
        out: &mut Vec<Out>,
    ) -> Result<Vec<u8>, ApiError> {
        self.take_step(step?, out);
        let stream = self.streams.get(name).expect("it was made, or was there");
        Ok(answer(&messages::info_of(stream, now)))
    }

    fn take_step(&mut self, step: Step, out: &mut Vec<Out>) {
        let Step::Propose(entry) = step else {
            return;
        };
        // The log holds bytes; so does this way.
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let entry = MetaEntry::decode(&bytes).expect("written in the line above");
        match self.meta.apply(entry) {
            Some(MetaEffect::Start { record, .. }) => {
                let name = record.config.name.clone();
                let stream = Stream::new(record.config, record.created, &self.facts.domain);
                self.streams.insert(name.clone(), stream);
                out.push(Out::Advisory(Advisory::StreamCreated(name)));
            }
            Some(MetaEffect::Configure { record, .. }) => {
                let name = record.config.name.clone();
                let stream = self.streams.get_mut(&name).expect("the table knows it");
                let entry = Entry::Configure {
                    config: crate::json::to_vec(&record.config),
                };
                let mut effects = Vec::new();
                stream.propose(&entry);
                stream.apply(entry, &mut effects);
                self.send(&name, effects, out);
                out.push(Out::Advisory(Advisory::StreamUpdated(name)));
            }
            Some(MetaEffect::Stop { name, .. }) => {
                self.streams.remove(&name);
                out.push(Out::Advisory(Advisory::StreamDeleted(name)));
            }
            None => {}
        }
    }

    fn change(
        &mut self,
        name: &str,
        entry: Result<Entry, ApiError>,
        out: &mut Vec<Out>,
    ) -> Result<Vec<u8>, ApiError> {
        let entry = entry?;
        let stream = self.streams.get_mut(name).expect("the handler found it");
        let mut effects = Vec::new();
        stream.propose(&entry);
        let applied = stream.apply(entry.clone(), &mut effects);
        self.send(name, effects, out);
        Ok(messages::applied_answer(&entry, applied))
    }
}
