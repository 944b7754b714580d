//! Requests about what one stream holds: info, purge, reading and removing messages. They go to the stream's shard.

use std::rc::Rc;

use pinion_shard::io::WallTime;
use pinion_storage::index::Filter;
use pinion_storage::stream_store::{Load, StoredMessage};

use super::request::{DeleteRequest, GetRequest, InfoRequest, PurgeRequest};
use super::response::{
    base64, ClusterInfo, Kind, Message, MessageFound, Page, PurgedMessages, StreamInfo, StreamState, Success,
};
use super::{Body, Facts};
use crate::error::{self, ApiError};
use crate::stream::{Applied, Entry, Stream};

/// Subjects in one answer.
const SUBJECTS_MAX: usize = 100_000;

/// What a read comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// The answer.
    Answer(T),
    /// Ask again when this message is in the cache.
    Cold(u64),
}

/// What a stream holds, with the removed sequences if wanted.
fn state(stream: &Stream, with_deleted: bool) -> StreamState {
    let store = stream.store();
    let figures = store.state();
    let mut deleted = Vec::new();
    if with_deleted {
        store.deleted_ranges(&mut |first, last| {
            deleted.extend(first..=last);
            true
        });
    }
    StreamState {
        messages: figures.messages,
        bytes: figures.bytes,
        first_seq: figures.first_seq,
        first_ts: figures.first_time,
        last_seq: figures.last_seq,
        last_ts: figures.last_time,
        num_subjects: store.subject_count(),
        num_deleted: figures.deleted(),
        deleted,
        ..StreamState::default()
    }
}

/// The info of a stream as `STREAM.CREATE` and `STREAM.UPDATE` answer it.
pub fn info_of(stream: &Stream, now: WallTime) -> StreamInfo {
    StreamInfo {
        config: stream.config().with_dynamic_metadata(),
        created: stream.created(),
        state: state(stream, false),
        domain: String::new(),
        cluster: None,
        ts: now,
    }
}

/// The info of a stream as `STREAM.LIST` has it.
pub fn listed_info_of(stream: &Stream, now: WallTime) -> StreamInfo {
    StreamInfo {
        config: stream.config().clone(),
        domain: stream.domain().to_owned(),
        ..info_of(stream, now)
    }
}

/// `STREAM.INFO`
pub fn info(facts: &Facts, stream: &Stream, body: Body<'_>, now: WallTime) -> Result<Vec<u8>, ApiError> {
    #[derive(serde::Serialize)]
    struct Info {
        #[serde(flatten)]
        page: Page,
        #[serde(flatten)]
        info: StreamInfo,
    }
    body.check_api_level()?;
    let request: InfoRequest = if body.is_json() {
        body.decode(facts, "JSApiStreamInfoRequest")?
    } else {
        InfoRequest::default()
    };
    let mut info = info_of(stream, now);
    info.state = state(stream, request.deleted_details);
    facts.domain.clone_into(&mut info.domain);
    info.cluster = Some(ClusterInfo {
        name: facts.cluster_name.clone(),
        leader: facts.server_name.clone(),
    });
    let mut page = Page::default();
    if !request.subjects_filter.is_empty() {
        let wanted = usize::try_from(request.offset).unwrap_or(0);
        let mut total = 0;
        let filter = Filter::new(request.subjects_filter.as_bytes());
        let subjects = &mut info.state.subjects;
        stream.store().subjects(&filter, &mut |subject, figures| {
            if total >= wanted && subjects.len() < SUBJECTS_MAX {
                subjects.insert(String::from_utf8_lossy(subject).into_owned(), figures.messages);
            }
            total += 1;
            true
        });
        if total > 0 {
            page = Page {
                total,
                offset: wanted.min(total),
                limit: SUBJECTS_MAX,
            };
        }
    }
    Ok(Kind::StreamInfo.answer(&Info { page, info }))
}

/// `STREAM.PURGE`
pub fn purge(facts: &Facts, stream: Option<&Stream>, body: Body<'_>) -> Result<Entry, ApiError> {
    body.check_api_level()?;
    let request: PurgeRequest = if body.is_json() {
        body.decode(facts, "JSApiStreamPurgeRequest")?
    } else {
        PurgeRequest::default()
    };
    if request.seq > 0 && request.keep > 0 {
        return Err(error::BAD_REQUEST.into());
    }
    let config = stream.ok_or(error::STREAM_NOT_FOUND)?.config();
    if config.sealed {
        return Err(error::STREAM_SEALED.into());
    }
    if config.deny_purge {
        return Err(error::STREAM_PURGE_FAILED.with("stream purge not permitted"));
    }
    Ok(Entry::Purge {
        filter: request.filter.into_bytes(),
        below_seq: request.seq,
        keep: request.keep,
    })
}

/// `STREAM.MSG.DELETE`
pub fn delete(facts: &Facts, stream: Option<&Stream>, body: Body<'_>) -> Result<Entry, ApiError> {
    body.check_api_level()?;
    if body.is_empty() {
        return Err(error::BAD_REQUEST.into());
    }
    let request: DeleteRequest = body.decode(facts, "JSApiMsgDeleteRequest")?;
    let config = stream.ok_or(error::STREAM_NOT_FOUND)?.config();
    if config.sealed {
        return Err(error::STREAM_SEALED.into());
    }
    if config.deny_delete {
        return Err(error::STREAM_MSG_DELETE_FAILED.with("message delete not permitted"));
    }
    Ok(Entry::Delete {
        seq: request.seq,
        erase: !request.no_erase,
    })
}

/// The answer to a request whose entry was applied.
pub fn applied_answer(entry: &Entry, applied: Applied) -> Vec<u8> {
    match (entry, applied) {
        (_, Applied::Purged(purged)) => Kind::StreamPurge.answer(&PurgedMessages {
            success: true,
            purged: purged.messages,
        }),
        (Entry::Delete { seq, .. }, Applied::Deleted(false)) => {
            Kind::MessageDelete.refusal(&error::SEQUENCE_NOT_FOUND.with(seq))
        }
        (_, Applied::Deleted(_)) => Kind::MessageDelete.answer(&Success { success: true }),
        (_, other) => unreachable!("no request asks for {other:?}"),
    }
}

/// `STREAM.MSG.GET`
pub fn get(facts: &Facts, stream: Option<&Stream>, body: Body<'_>) -> Result<Read<Vec<u8>>, ApiError> {
    body.check_api_level()?;
    if body.is_empty() {
        return Err(error::BAD_REQUEST.into());
    }
    let request: GetRequest = body.decode(facts, "JSApiMsgGetRequest")?;
    let has_last = !request.last_by_subj.is_empty();
    let has_next = !request.next_by_subj.is_empty();
    let has_start = request.start_time.is_some();
    let is_bad = request.batch > 0
        || request.max_bytes > 0
        || (request.seq > 0 && has_last)
        || (request.seq == 0 && !has_last && !has_next && !has_start)
        || (request.seq > 0 && has_start)
        || (has_start && has_last)
        || (has_last && has_next);
    if is_bad {
        return Err(error::BAD_REQUEST.into());
    }
    let stream = stream.ok_or(error::STREAM_NOT_FOUND)?;
    let seq = find(stream, &request).ok_or(error::NO_MESSAGE_FOUND)?;
    let found = match stream.store().load(seq) {
        Load::Found(message) => message,
        Load::Missing => return Err(error::NO_MESSAGE_FOUND.into()),
        Load::Cold => return Ok(Read::Cold(seq)),
    };
    let message = Message {
        subject: String::from_utf8_lossy(found.subject()).into_owned(),
        seq: found.seq,
        hdrs: if request.no_hdr {
            String::new()
        } else {
            base64(found.headers())
        },
        data: base64(found.payload()),
        time: found.time,
    };
    Ok(Read::Answer(Kind::MessageGet.answer(&MessageFound { message })))
}

/// The one message that a request names.
fn find(stream: &Stream, request: &GetRequest) -> Option<u64> {
    let store = stream.store();
    let seq = match request.start_time {
        Some(time) => store.seq_at(time),
        None => request.seq,
    };
    if !request.next_by_subj.is_empty() {
        let filter = Filter::new(request.next_by_subj.as_bytes());
        store.next(&[filter], seq)
    } else if seq > 0 {
        Some(seq)
    } else {
        store.last(&Filter::new(request.last_by_subj.as_bytes()))
    }
}

/// A message, shared.
pub(super) type Shared = Rc<StoredMessage>;
