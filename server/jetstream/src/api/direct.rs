//! Direct get: messages as they are stored, without the API's JSON.
//!
//! Owns: all forms of it. Answers are header blocks and payloads; an error is a status. Not here: who may ask and
//! whether the stream allows it.

use pinion_shard::proto::headers as block;
use pinion_storage::index::Filter;
use pinion_storage::stream_store::Load;

use super::messages::{Read, Shared};
use super::request::GetRequest;
use super::{Body, Facts};
use crate::json::decode_request;
use crate::stream::Stream;

/// Subjects in one answer to `multi_last`.
const SUBJECTS_MAX: usize = 1024;

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its header block, or nothing.
    pub headers: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

fn status(text: &str) -> Vec<Reply> {
    vec![Reply {
        headers: format!("NATS/1.0 {text}\r\n\r\n").into_bytes(),
        payload: Vec::new(),
    }]
}

/// `DIRECT.GET.<stream>`
pub fn get(facts: &Facts, stream: &Stream, body: Body<'_>) -> Read<Vec<Reply>> {
    if body.check_api_level().is_err() {
        return Read::Answer(status("412 Required Api Level"));
    }
    if body.payload.is_empty() {
        return Read::Answer(status("408 Empty Request"));
    }
    let Some(request) = read(body.payload) else {
        return Read::Answer(status("408 Malformed Request"));
    };
    let has_last = !request.last_by_subj.is_empty();
    let has_next = !request.next_by_subj.is_empty();
    let has_multi = !request.multi_last.is_empty();
    let has_start = request.start_time.is_some();
    if request.seq == 0 && !has_last && !has_next && !has_multi && !has_start {
        return Read::Answer(status("408 Empty Request"));
    }
    let excludes_last = request.seq > 0 || has_start || has_next || request.batch > 0 || has_multi;
    let is_bad = (has_last && excludes_last)
        || (request.seq > 0 && has_start)
        || (has_next && has_multi)
        || (request.up_to_seq > 0 && request.up_to_time.is_some());
    if is_bad {
        return Read::Answer(status("408 Bad Request"));
    }
    if has_multi {
        multi_last(facts, stream, &request)
    } else {
        single_or_batch(facts, stream, &request)
    }
}

/// `DIRECT.GET.<stream>.<subject>`
pub fn get_last(facts: &Facts, stream: &Stream, subject: &str, body: Body<'_>) -> Read<Vec<Reply>> {
    if body.check_api_level().is_err() {
        return Read::Answer(status("412 Required Api Level"));
    }
    let Some(mut request) = (match body.payload {
        [] => Some(GetRequest::default()),
        payload => read(payload),
    }) else {
        return Read::Answer(status("408 Malformed Request"));
    };
    let allowed = GetRequest {
        no_hdr: request.no_hdr,
        max_bytes: request.max_bytes,
        ..GetRequest::default()
    };
    if subject.is_empty() || request != allowed {
        return Read::Answer(status("408 Bad Request"));
    }
    subject.clone_into(&mut request.last_by_subj);
    single_or_batch(facts, stream, &request)
}

/// Unknown fields are let pass here.
fn read(payload: &[u8]) -> Option<GetRequest> {
    let (values, end) = crate::json::parse_all(payload);
    if end.is_err() || values.len() != 1 {
        return None;
    }
    let mut request = GetRequest::default();
    decode_request(payload, false, &mut request, "JSApiMsgGetRequest").ok()?;
    Some(request)
}

fn bytes_max(facts: &Facts, request: &GetRequest) -> u64 {
    match u64::try_from(request.max_bytes) {
        Ok(0) => facts.max_pending,
        Ok(max) => max,
        Err(_) => 0,
    }
}

fn size(message: &Shared) -> u64 {
    (message.subject().len() + message.headers().len() + message.payload().len()) as u64
}

/// The message with what it needs to be understood alone.
fn reply(stream: &Stream, message: &Shared, in_batch: Option<(u64, u64)>, no_headers: bool) -> Reply {
    let payload = message.payload().to_vec();
    if no_headers {
        return Reply {
            headers: Vec::new(),
            payload,
        };
    }
    let mut headers = message.headers().to_vec();
    let time = crate::time::format(message.time);
    block::append(&mut headers, b"Nats-Stream", stream.config().name.as_bytes());
    block::append(&mut headers, b"Nats-Subject", message.subject());
    block::append(&mut headers, b"Nats-Sequence", message.seq.to_string().as_bytes());
    block::append(&mut headers, b"Nats-Time-Stamp", time.as_bytes());
    if let Some((pending, last_seq)) = in_batch {
        block::append(&mut headers, b"Nats-Num-Pending", pending.to_string().as_bytes());
        block::append(
            &mut headers,
            b"Nats-Last-Sequence",
            last_seq.to_string().as_bytes(),
        );
    }
    Reply { headers, payload }
}

fn single_or_batch(facts: &Facts, stream: &Stream, request: &GetRequest) -> Read<Vec<Reply>> {
    let store = stream.store();
    let mut seq = match request.start_time {
        Some(time) => store.seq_at(time),
        None => request.seq,
    };
    let has_next = !request.next_by_subj.is_empty();
    let filters = if has_next {
        vec![Filter::new(request.next_by_subj.as_bytes())]
    } else {
        Vec::new()
    };
    let is_batch = request.batch != 0;
    let count_max = if is_batch { request.batch } else { 1 };
    let mut pending = if is_batch { store.pending(&filters, seq) } else { 0 };
    let (mut last_seq, mut sent_bytes) = (0, 0);
    let mut replies = Vec::new();
    for index in 0..count_max {
        let found = if has_next || (seq > 0 && (index > 0 || is_batch)) {
            store.next(&filters, seq)
        } else if seq > 0 {
            Some(seq)
        } else {
            store.last(&Filter::new(request.last_by_subj.as_bytes()))
        };
        let message = match found.map_or(Load::Missing, |seq| store.load(seq)) {
            Load::Found(message) => message,
            Load::Cold => return Read::Cold(found.unwrap_or(seq)),
            Load::Missing if count_max > 1 && index > 0 => break,
            Load::Missing => return Read::Answer(status("404 Message Not Found")),
        };
        seq = message.seq + 1;
        // The peer counts down where it says so.
        pending = pending.saturating_sub(u64::from(!request.no_hdr));
        let in_batch = is_batch.then_some((pending, last_seq));
        replies.push(reply(stream, &message, in_batch, request.no_hdr));
        last_seq = message.seq;
        sent_bytes += size(&message);
        if sent_bytes >= bytes_max(facts, request) {
            break;
        }
    }
    if is_batch {
        replies.extend(status(&format!(
            "204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last_seq}"
        )));
    }
    Read::Answer(replies)
}

fn multi_last(facts: &Facts, stream: &Stream, request: &GetRequest) -> Read<Vec<Reply>> {
    let store = stream.store();
    let mut up_to = request.up_to_seq;
    if let Some(time) = request.up_to_time {
        up_to = store.seq_at(time);
        if up_to <= store.state().first_seq {
            return Read::Answer(status("404 No Results"));
        }
        up_to -= 1;
    }
    if up_to == 0 {
        up_to = store.state().last_seq;
    }
    let filters: Vec<Filter> = request
        .multi_last
        .iter()
        .map(|filter| Filter::new(filter.as_bytes()))
        .collect();
    let Ok(seqs) = store.last_per_subject(&filters, up_to, SUBJECTS_MAX) else {
        return Read::Answer(status("413 Too Many Results"));
    };
    if seqs.is_empty() {
        return Read::Answer(status("404 No Results"));
    }
    let mut pending = seqs.len() as u64;
    let (mut last_seq, mut sent_bytes, mut sent) = (0, 0, 0);
    let mut replies = Vec::new();
    for seq in seqs {
        pending -= 1;
        if seq < request.seq {
            continue;
        }
        let message = match store.load(seq) {
            Load::Found(message) => message,
            Load::Cold => return Read::Cold(seq),
            Load::Missing => unreachable!("the index named it"),
        };
        replies.push(reply(stream, &message, Some((pending, last_seq)), false));
        last_seq = seq;
        sent_bytes += size(&message);
        if sent_bytes >= bytes_max(facts, request) {
            break;
        }
        sent += 1;
        if request.batch > 0 && sent >= request.batch {
            break;
        }
    }
    replies.extend(status(&format!(
        "204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last_seq}\r\nNats-UpTo-Sequence: {up_to}"
    )));
    Read::Answer(replies)
}
