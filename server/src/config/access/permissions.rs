//! Permissions of a user, in all their spellings.

use std::time::Duration;

use pinion_shard::subject::is_valid;

use super::{AllowDeny, PermissionSpec, ResponsePermission};
use crate::config::block::{Field, Reader, Written};
use crate::config::value::{Node, Value};
use pinion_shard::proto::duration::parse_duration_ns;

/// One answer, within two minutes.
const DEFAULT_RESPONSES: ResponsePermission = ResponsePermission {
    messages_max: Some(1),
    expires: Some(Duration::from_secs(120)),
};

/// Whether an entry may name a queue group beside the subject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    Allowed,
    Refused,
}

/// The permissions whose keys stand below `path`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    path: &str,
    written: &str,
    node: &Node,
) -> Option<PermissionSpec> {
    let map = reader.map(written, node)?;
    let mut permissions = PermissionSpec::default();
    for field in reader.fields(path, map) {
        match field.name() {
            "publish" => permissions.publish = rules(reader, &field, Queues::Refused),
            "subscribe" => permissions.subscribe = rules(reader, &field, Queues::Allowed),
            "allow_responses" => permissions.responses = responses(reader, &field),
            name => unreachable!("{path}.{name} is effective but nothing stores it"),
        }
    }
    if permissions.responses.is_some() {
        // Who may answer may publish nothing else unless it is allowed.
        let publish = permissions.publish.get_or_insert_default();
        publish.allow.get_or_insert_default();
    }
    Some(permissions)
}

/// A subject, a list of them, or `allow` and `deny`.
fn rules(reader: &mut Reader<'_>, field: &Field<'_>, queues: Queues) -> Option<AllowDeny> {
    let Value::Map(map) = &field.node.value else {
        let allow = subjects(reader, field.written, field.node, queues)?;
        return Some(AllowDeny {
            allow: none_is_all(allow),
            deny: Vec::new(),
        });
    };
    if map.is_empty() {
        return None;
    }
    let mut rules = AllowDeny::default();
    for part in reader.fields(field.key.path, map) {
        let subjects = subjects(reader, part.written, part.node, queues);
        match part.name() {
            "allow" => rules.allow = subjects.and_then(none_is_all),
            "deny" => rules.deny = subjects.unwrap_or_default(),
            name => unreachable!("{}.{name} is effective but nothing stores it", field.key.path),
        }
    }
    Some(rules)
}

/// An empty list allows everything, as at the peer.
fn none_is_all(subjects: Vec<String>) -> Option<Vec<String>> {
    Some(subjects).filter(|subjects| !subjects.is_empty())
}

fn subjects(reader: &mut Reader<'_>, written: &str, node: &Node, queues: Queues) -> Option<Vec<String>> {
    let subjects = reader.texts(written, node)?;
    for Written { value, at } in &subjects {
        if let Err(text) = check_subject(value, queues) {
            reader.error(at, text);
        }
    }
    Some(subjects.iter().map(|subject| subject.to_string()).collect())
}

fn check_subject(entry: &str, queues: Queues) -> Result<(), String> {
    if is_valid(entry.as_bytes()) {
        return Ok(());
    }
    let wrong = |subject: &str| Err(format!("subject {subject:?} is not a valid subject"));
    if queues == Queues::Refused {
        return wrong(entry);
    }
    match entry.split_whitespace().collect::<Vec<_>>()[..] {
        [subject, _] if !is_valid(subject.as_bytes()) => wrong(subject),
        [_, queue] if !is_valid(queue.as_bytes()) => Err(format!("queue {queue:?} is not a valid queue")),
        [_, _] => Ok(()),
        _ => wrong(entry),
    }
}

fn responses(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ResponsePermission> {
    let map = match &field.node.value {
        Value::Bool(on) => return on.then_some(DEFAULT_RESPONSES),
        Value::Map(map) => map,
        _ => {
            reader.error(
                &field.node.at,
                "error parsing response permissions, expected a boolean or a map",
            );
            return None;
        }
    };
    let mut responses = DEFAULT_RESPONSES;
    for part in reader.fields(field.key.path, map) {
        // Zero asks for the default, below it there is no limit.
        match part.name() {
            "max" => {
                if let Some(count) = reader
                    .integer(part.written, part.node)
                    .filter(|count| *count != 0)
                {
                    responses.messages_max = u64::try_from(count).ok();
                }
            }
            "expires" => {
                if let Some(duration_ns) = expires(reader, &part).filter(|duration_ns| *duration_ns != 0) {
                    responses.expires = u64::try_from(duration_ns).ok().map(Duration::from_nanos);
                }
            }
            name => unreachable!("{}.{name} is effective but nothing stores it", field.key.path),
        }
    }
    Some(responses)
}

fn expires(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<i64> {
    let Value::Text(text) = &field.node.value else {
        reader.error(&field.node.at, "error parsing expires, not a duration string");
        return None;
    };
    parse_duration_ns(text)
        .map_err(|error| reader.error(&field.node.at, format!("error parsing expires: {error}")))
        .ok()
}
