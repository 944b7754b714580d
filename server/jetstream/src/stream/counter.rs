//! Counters: messages whose payload is the sum of all increments of their subject.
//!
//! Owns: the payload, the header that holds the totals of sources, adding. Not here: who may publish what (`check`).

use std::collections::BTreeMap;

use pinion_shard::proto::headers as block;
use pinion_storage::stream_store::StoredMessage;

use super::decimal::Decimal;
use super::headers::{self, PublishHeaders};
use super::pending::CounterSources;
use crate::json::{parse_all, to_vec, Value};

/// A stored counter that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A total, and what it is made of as far as it comes from other streams.
pub(super) type Total = (Decimal, CounterSources);

/// The text of a counter's value.
pub(super) fn value_of(payload: &[u8]) -> Option<String> {
    let (values, end) = parse_all(payload);
    end.ok()?;
    let [Value::Object(members)] = values.as_slice() else {
        return None;
    };
    match members.iter().find(|(key, _)| key.eq_ignore_ascii_case("val")) {
        Some((_, Value::String(value))) => Some(value.clone()),
        Some(_) => None,
        None => Some(String::new()),
    }
}

fn decimal_of(payload: &[u8]) -> Result<Decimal, Broken> {
    let value = value_of(payload).ok_or(Broken)?;
    Ok(Decimal::parse(value.as_bytes()).unwrap_or_default())
}

/// The total that a stored message holds.
pub(super) fn stored_total(message: &StoredMessage) -> Result<Total, Broken> {
    let found = PublishHeaders::parse(message.headers());
    let sources = match found.counter_sources {
        Some(json) => read_sources(json).ok_or(Broken)?,
        None => CounterSources::new(),
    };
    Ok((decimal_of(message.payload())?, sources))
}

fn read_sources(json: &[u8]) -> Option<CounterSources> {
    let (values, end) = parse_all(json);
    end.ok()?;
    let [Value::Object(streams)] = values.as_slice() else {
        return None;
    };
    let mut sources = CounterSources::new();
    for (stream, subjects) in streams {
        let Value::Object(subjects) = subjects else {
            return None;
        };
        let subjects: Option<BTreeMap<String, String>> = subjects
            .iter()
            .map(|(subject, value)| match value {
                Value::String(value) => Some((subject.clone(), value.clone())),
                _ => None,
            })
            .collect();
        sources.insert(stream.clone(), subjects?);
    }
    Some(sources)
}

/// Adds an increment to a total, and writes payload and headers of the message that holds the sum.
pub(super) fn add(
    (total, mut sources): Total,
    increment: Decimal,
    found: &PublishHeaders<'_>,
    subject: &[u8],
    payload: &[u8],
    message_headers: &mut Vec<u8>,
) -> Result<(Total, Vec<u8>), Broken> {
    let mut increment = increment;
    let mut new_increment = None;
    if let Some(source) = found.stream_source {
        // The message holds the total of another stream: what counts here is by how much it grew since the last one.
        let source = String::from_utf8_lossy(source).into_owned();
        let fields: Vec<&str> = source.split(' ').collect();
        let subject = String::from_utf8_lossy(subject).into_owned();
        let subject = fields.get(4).map_or(subject, |subject| (*subject).to_owned());
        let now = decimal_of(payload)?;
        let before = sources
            .entry(fields[0].to_owned())
            .or_default()
            .insert(subject, now.to_string());
        let before = before
            .and_then(|before| Decimal::parse(before.as_bytes()))
            .unwrap_or_default();
        increment = now.minus(&before);
        new_increment = Some(increment.to_string());
    }
    if let Some(increment) = new_increment {
        block::set(message_headers, headers::INCR, increment.as_bytes());
    }
    let total = total.plus(&increment);
    if !sources.is_empty() {
        block::set(message_headers, headers::COUNTER_SOURCES, &to_vec(&sources));
    }
    let payload = format!(r#"{{"val":"{total}"}}"#).into_bytes();
    Ok(((total, sources), payload))
}
