//! Requests that make, change, delete and list streams: they go to the table of streams.
//!
//! Owns: what is checked against the account and its other streams. Not here: what a stream holds (`messages`).

use pinion_shard::ids::ShardId;
use pinion_shard::io::WallTime;
use pinion_shard::subject::wildcard::collides;

use super::account::{check_room, check_stream_count, Account, Before, ServerRoom};
use super::request::StreamsRequest;
use super::response::{Kind, List, Names, Page, StreamInfo, Success};
use super::{Body, Facts};
use crate::error::{self, ApiError};
use crate::json::to_vec;
use crate::meta::{Meta, MetaEntry};
use crate::stream::config::{
    check, check_update, Neighbours, StreamConfig, StreamConfigRequest, REQUIRED_LEVEL_KEY,
};

/// Names in one answer.
const NAMES_MAX: usize = 1024;
/// Streams in one answer.
const LIST_MAX: usize = 256;

/// What the handlers look at.
pub struct Table<'a> {
    /// The server.
    pub facts: &'a Facts,
    /// All streams, with what is pending.
    pub meta: &'a Meta,
    /// The account's name.
    pub account_name: &'a str,
    /// The account; `None` where JetStream is not for it.
    pub account: Option<&'a Account>,
    /// The server's room.
    pub room: ServerRoom,
}

/// What a request for the table comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This goes into the log; the answer follows when it is applied.
    Propose(MetaEntry),
    /// Nothing changes; the answer is the stream's info.
    Unchanged,
}

impl<'a> Table<'a> {
    fn enabled(&self, body: &Body<'_>) -> Result<&'a Account, ApiError> {
        body.check_api_level()?;
        self.account.ok_or_else(|| error::NOT_ENABLED_FOR_ACCOUNT.into())
    }

    fn check_config(
        &self,
        account: &Account,
        config: &StreamConfig,
        pedantic: bool,
    ) -> Result<StreamConfig, ApiError> {
        let find = |name: &str| {
            self.meta
                .stream(self.account_name, name)
                .map(|record| &record.config)
        };
        let limits = account.limits(config.num_replicas).map(|(_, limits)| *limits);
        let neighbours = Neighbours {
            find: &find,
            duplicate_window_max: self.room.duplicate_window_max,
            max_bytes_required: limits.is_some_and(|limits| limits.max_bytes_required),
            memory_max_stream_bytes: limits.map_or(0, |limits| limits.memory_max_stream_bytes),
            storage_max_stream_bytes: limits.map_or(0, |limits| limits.storage_max_stream_bytes),
        };
        check(config, &neighbours, pedantic)
    }

    fn overlaps(&self, config: &StreamConfig) -> bool {
        self.meta
            .streams(self.account_name)
            .filter(|record| record.config.name != config.name)
            .flat_map(|record| &record.config.subjects)
            .any(|other| {
                config
                    .subjects
                    .iter()
                    .any(|own| collides(own.as_bytes(), other.as_bytes()))
            })
    }

    /// `STREAM.CREATE`; the new stream would live on `shard`.
    pub fn create(
        &self,
        name: &str,
        body: Body<'_>,
        now: WallTime,
        shard: ShardId,
    ) -> Result<Step, ApiError> {
        let account = self.enabled(&body)?;
        let owner = (self.account_name, account);
        let mut request: StreamConfigRequest = body.decode(self.facts, "StreamConfigRequest")?;
        request.config.set_static_metadata();
        let wanted = &request.config;
        if wanted.name != name {
            return Err(error::STREAM_MISMATCH.into());
        }
        if name.contains(['\\', '/']) {
            return Err(error::STREAM_NAME_CONTAINS_PATH_SEPARATORS.into());
        }
        let invalid = |text: &str| Err(error::STREAM_INVALID_CONFIG.with(text));
        if wanted.sealed {
            return invalid("stream configuration for create can not be sealed");
        }
        if wanted.mirror_direct && wanted.mirror.is_none() {
            return invalid("stream has no mirror but does have mirror direct");
        }
        check_stream_count(owner, self.meta, wanted)?;
        check_room(owner, self.meta, &self.room, wanted, None)?;
        let mut config = self.check_config(account, wanted, request.pedantic)?;
        if config.num_replicas > 1 {
            return Err(error::STREAM_REPLICAS_NOT_SUPPORTED.into());
        }
        if let Some(existing) = self.meta.stream(self.account_name, name) {
            keep_level(&mut config, &existing.config);
            return if config == existing.config {
                Ok(Step::Unchanged)
            } else {
                Err(error::STREAM_NAME_EXIST.into())
            };
        }
        check_room(owner, self.meta, &self.room, &config, None)?;
        if self.overlaps(&config) {
            return Err(error::STREAM_SUBJECT_OVERLAP.into());
        }
        Ok(Step::Propose(MetaEntry::Create {
            account: self.account_name.to_owned(),
            config: to_vec(&config),
            created: now,
            shard,
        }))
    }

    /// `STREAM.UPDATE`
    pub fn update(&self, name: &str, body: Body<'_>) -> Result<Step, ApiError> {
        let account = self.enabled(&body)?;
        let request: StreamConfigRequest = body.decode(self.facts, "StreamConfigRequest")?;
        let mut config = self.check_config(account, &request.config, request.pedantic)?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH.into());
        }
        let existing = self
            .meta
            .stream(self.account_name, name)
            .ok_or(error::STREAM_NOT_FOUND)?;
        config.set_static_metadata();
        let config = self.check_config(account, &config, request.pedantic)?;
        let config = check_update(&existing.config, &config)?;
        let before = Before {
            max_bytes: existing.config.max_bytes,
            replicas: existing.config.num_replicas,
        };
        check_room(
            (self.account_name, account),
            self.meta,
            &self.room,
            &config,
            Some(before),
        )?;
        if self.overlaps(&config) {
            return Err(error::STREAM_SUBJECT_OVERLAP.into());
        }
        if config == existing.config {
            return Ok(Step::Unchanged);
        }
        Ok(Step::Propose(MetaEntry::Update {
            account: self.account_name.to_owned(),
            config: to_vec(&config),
        }))
    }

    /// `STREAM.DELETE`
    pub fn delete(&self, name: &str, body: Body<'_>) -> Result<Step, ApiError> {
        self.enabled(&body)?;
        if !body.is_empty() {
            return Err(error::NOT_EMPTY_REQUEST.into());
        }
        self.meta
            .stream(self.account_name, name)
            .ok_or(error::STREAM_NOT_FOUND)?;
        Ok(Step::Propose(MetaEntry::Delete {
            account: self.account_name.to_owned(),
            name: name.to_owned(),
        }))
    }

    /// The streams that match the request, from its offset on.
    fn page(
        &self,
        body: &Body<'_>,
        request_name: &'static str,
        limit: usize,
    ) -> Result<(Page, Vec<&'a str>), ApiError> {
        self.enabled(body)?;
        let request: StreamsRequest = if body.is_json() {
            body.decode(self.facts, request_name)?
        } else {
            StreamsRequest::default()
        };
        let names: Vec<&str> = self
            .meta
            .streams(self.account_name)
            .map(|record| &record.config)
            .filter(|config| {
                let mut subjects = config.subjects.iter();
                request.subject.is_empty()
                    || subjects.any(|subject| collides(request.subject.as_bytes(), subject.as_bytes()))
            })
            .map(|config| config.name.as_str())
            .collect();
        let offset = usize::try_from(request.offset).unwrap_or(0).min(names.len());
        let page = Page {
            total: names.len(),
            offset,
            limit,
        };
        let shown = names[offset..].iter().copied().take(limit).collect();
        Ok((page, shown))
    }

    /// `STREAM.NAMES`
    pub fn names(&self, body: Body<'_>) -> Result<Vec<u8>, ApiError> {
        let (page, names) = self.page(&body, "JSApiStreamNamesRequest", NAMES_MAX)?;
        let streams: Vec<String> = names.into_iter().map(str::to_owned).collect();
        Ok(Kind::StreamNames.answer(&Names {
            page,
            streams: (!streams.is_empty()).then_some(streams),
        }))
    }

    /// `STREAM.LIST`: the streams whose info the answer holds, which is made by [`list_answer`].
    pub fn list(&self, body: Body<'_>) -> Result<(Page, Vec<&'a str>), ApiError> {
        self.page(&body, "JSApiStreamListRequest", LIST_MAX)
    }
}

/// The API level of a stream that exists stays what it was.
fn keep_level(config: &mut StreamConfig, existing: &StreamConfig) {
    match existing.metadata.get(REQUIRED_LEVEL_KEY) {
        Some(level) => {
            config
                .metadata
                .insert(REQUIRED_LEVEL_KEY.to_owned(), level.clone());
        }
        None => {
            config.metadata.remove(REQUIRED_LEVEL_KEY);
        }
    }
}

/// The answer to `STREAM.LIST`.
pub fn list_answer(page: Page, streams: Vec<StreamInfo>) -> Vec<u8> {
    Kind::StreamList.answer(&List { page, streams })
}

/// The answer to `STREAM.CREATE`.
pub fn create_answer(info: &StreamInfo) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Created<'a> {
        #[serde(flatten)]
        info: &'a StreamInfo,
        did_create: bool,
    }
    Kind::StreamCreate.answer(&Created {
        info,
        did_create: true,
    })
}

/// The answer to `STREAM.UPDATE`.
pub fn update_answer(info: &StreamInfo) -> Vec<u8> {
    Kind::StreamUpdate.answer(info)
}

/// The answer to `STREAM.DELETE`.
pub fn delete_answer() -> Vec<u8> {
    Kind::StreamDelete.answer(&Success { success: true })
}
