//! What accounts offer to each other and take from each other: `exports` and `imports`.
//!
//! Owns: the shape of single entries. Not here: whether an import is granted by an export, cycles (`auth`).

use std::sync::Arc;
use std::time::Duration;

use pinion_shard::subject::is_valid;

use super::{Export, ExportKind, Import, ImportKind, Latency, ResponseType, Sampling};
use crate::config::block::{Field, Reader, Written};
use crate::config::diagnostic::Position;
use crate::config::value::{Map, Node, Value};
use pinion_shard::proto::duration::parse_duration_ns;

const EXPORTS: &str = "accounts.<account>.exports[]";
const IMPORTS: &str = "accounts.<account>.imports[]";

/// The entries of `exports`.
pub(super) fn read_exports(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<Written<Export>> {
    let items = reader.list(written, node).unwrap_or_default();
    let read = |item: &Node| {
        let map = reader.map("an entry of exports", item)?;
        let value = read_export(reader, map, &item.at)?;
        Some(Written {
            value,
            at: item.at.clone(),
        })
    };
    items.iter().filter_map(read).collect()
}

fn read_export(reader: &mut Reader<'_>, map: &Map, at: &Position) -> Option<Export> {
    let (mut stream, mut service, mut accounts, mut position) = (None, None, None, None);
    let (mut response, mut threshold, mut latency, mut allow_trace) = (None, None, None, None);
    let mut service_only: Option<(&str, &Node)> = None;
    for field in reader.fields(EXPORTS, map) {
        let Field { written, node, .. } = field;
        match field.name() {
            "stream" => stream = subject(reader, written, node),
            "service" => service = subject(reader, written, node),
            "accounts" => {
                let names = reader.texts(written, node).unwrap_or_default();
                accounts = Some(names.into_iter().map(|name| name.value).collect());
            }
            "account_token_position" => {
                position = reader
                    .integer(written, node)
                    .and_then(|place| u32::try_from(place).ok())
                    .filter(|place| *place > 0);
            }
            name => {
                service_only = Some((if name == "threshold" { "response" } else { name }, node));
                match name {
                    "response" => response = read_response(reader, written, node),
                    "threshold" => threshold = read_threshold(reader, node),
                    "latency" => latency = read_latency(reader, node),
                    "allow_trace" => allow_trace = reader.boolean(written, node),
                    name => unreachable!("{EXPORTS}.{name} is effective but nothing stores it"),
                }
            }
        }
    }
    let (subject, kind) = match (stream, service) {
        (Some(stream), Some(_)) => {
            reader.error(
                at,
                format!("Detected stream {stream:?} but already saw a service"),
            );
            return None;
        }
        (None, None) => {
            reader.error(at, "an entry of exports needs a stream or a service");
            return None;
        }
        (Some(stream), None) => {
            if let Some((name, node)) = service_only {
                reader.error(&node.at, format!("Detected {name} directive on non-service"));
            }
            (stream, ExportKind::Stream)
        }
        (None, Some(service)) => {
            let kind = ExportKind::Service {
                response: response.unwrap_or_default(),
                threshold,
                latency,
                allow_trace: allow_trace.unwrap_or(false),
            };
            (service, kind)
        }
    };
    Some(Export {
        subject,
        accounts,
        account_token_position: position,
        kind,
    })
}

fn subject(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<Arc<str>> {
    let subject = reader.text(written, node)?;
    if !is_valid(subject.as_bytes()) {
        reader.error(&node.at, format!("Subject {subject:?} is not a valid subject"));
    }
    Some(subject)
}

fn read_response(reader: &mut Reader<'_>, written: &str, node: &Node) -> Option<ResponseType> {
    let kind = reader.text(written, node)?;
    Some(match kind.to_lowercase().as_str() {
        "single" | "singleton" => ResponseType::Singleton,
        "stream" => ResponseType::Stream,
        "chunk" | "chunked" => ResponseType::Chunked,
        _ => {
            reader.error(&node.at, format!("Unknown response type: {kind:?}"));
            return None;
        }
    })
}

fn read_threshold(reader: &mut Reader<'_>, node: &Node) -> Option<Duration> {
    let found = match &node.value {
        Value::Text(text) => parse_duration_ns(text)
            .ok()
            .and_then(|duration_ns| u64::try_from(duration_ns).ok())
            .ok_or_else(|| format!("{text:?}")),
        other => Err(other.kind().to_owned()),
    };
    match found {
        Ok(duration_ns) => Some(Duration::from_nanos(duration_ns)).filter(|threshold| !threshold.is_zero()),
        Err(shown) => {
            let text = format!("Expected response threshold to be a parseable time duration, got {shown}");
            reader.error(&node.at, text);
            None
        }
    }
}

/// A subject, or a map with a sampling as well.
fn read_latency(reader: &mut Reader<'_>, node: &Node) -> Option<Latency> {
    let map = match &node.value {
        Value::Text(subject) => {
            return Some(Latency {
                subject: subject.to_string(),
                sampling: Sampling::Percent(100),
            })
        }
        Value::Map(map) => map,
        other => {
            let text = format!(
                "Expected latency entry to be a map/struct or string, got {}",
                other.kind()
            );
            reader.error(&node.at, text);
            return None;
        }
    };
    let (mut subject, mut sampling) = (None, Some(Sampling::Percent(100)));
    for field in reader.fields(&format!("{EXPORTS}.latency"), map) {
        match field.name() {
            "subject" => subject = reader.text(field.written, field.node),
            "sampling" => sampling = read_sampling(reader, field.node),
            name => unreachable!("{EXPORTS}.latency.{name} is effective but nothing stores it"),
        }
    }
    let Some(subject) = subject else {
        reader.error(&node.at, "Latency subject required, but missing");
        return None;
    };
    Some(Latency {
        subject: subject.to_string(),
        sampling: sampling?,
    })
}

/// Percent, or `headers`.
fn read_sampling(reader: &mut Reader<'_>, node: &Node) -> Option<Sampling> {
    let percent = match &node.value {
        Value::Integer(percent) => Some(*percent),
        Value::Text(text) if text.trim().eq_ignore_ascii_case("headers") => return Some(Sampling::Headers),
        Value::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        _ => None,
    };
    let percent = percent
        .and_then(|percent| u8::try_from(percent).ok())
        .filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        reader.error(&node.at, "bad sampling percentage, should be 1-100");
    }
    percent.map(Sampling::Percent)
}

/// The entries of `imports`.
pub(super) fn read_imports(reader: &mut Reader<'_>, written: &str, node: &Node) -> Vec<Written<Import>> {
    let items = reader.list(written, node).unwrap_or_default();
    let mut imports: Vec<Written<Import>> = Vec::new();
    for item in items {
        let Some(map) = reader.map("an entry of imports", item) else {
            continue;
        };
        let Some(value) = read_import(reader, map, &item.at) else {
            continue;
        };
        let same = |other: &&Written<Import>| {
            let to = |import: &Import| match &import.kind {
                ImportKind::Service { to, .. } => Some(Arc::clone(to)),
                ImportKind::Stream { .. } => None,
            };
            other.account == value.account && to(other).is_some() && to(other) == to(&value)
        };
        if let Some(other) = imports.iter().find(same) {
            let ImportKind::Service { to, .. } = &value.kind else {
                unreachable!("only services are compared")
            };
            let text = format!(
                "Duplicate service import subject {to:?}, previously used in import for account {:?}, subject {:?}",
                other.account, other.subject
            );
            reader.error(&item.at, text);
            continue;
        }
        imports.push(Written {
            value,
            at: item.at.clone(),
        });
    }
    imports
}

fn read_import(reader: &mut Reader<'_>, map: &Map, at: &Position) -> Option<Import> {
    let (mut stream, mut service) = (None, None);
    let (mut prefix, mut to, mut share, mut allow_trace) = (None, None, None, None);
    for field in reader.fields(IMPORTS, map) {
        let Field { written, node, .. } = field;
        match field.name() {
            "stream" => stream = Some(read_source(reader, &field)),
            "service" => service = Some(read_source(reader, &field)),
            "prefix" => prefix = reader.text(written, node),
            "to" => to = reader.text(written, node),
            "share" => share = reader.boolean(written, node),
            "allow_trace" => allow_trace = reader.boolean(written, node).map(|on| (on, &node.at)),
            name => unreachable!("{IMPORTS}.{name} is effective but nothing stores it"),
        }
    }
    let [prefix, to] = [prefix, to].map(|subject| subject.filter(|subject| !subject.is_empty()));
    let ((account, subject), kind) = match (stream, service) {
        (Some(_), Some(_)) => {
            reader.error(at, "Detected stream but already saw a service");
            return None;
        }
        (None, None) => {
            reader.error(at, "an entry of imports needs a stream or a service");
            return None;
        }
        (Some(source), None) => {
            if prefix.is_some() && to.is_some() {
                reader.error(at, "Stream import can not have a 'prefix' and a 'to' property");
            }
            let kind = ImportKind::Stream {
                prefix,
                to,
                allow_trace: allow_trace.is_some_and(|(on, _)| on),
            };
            (source?, kind)
        }
        (None, Some(source)) => {
            if let Some((_, at)) = allow_trace {
                reader.error(at, "Detected allow_trace directive on a non-stream");
            }
            let (account, subject) = source?;
            let to = to.unwrap_or_else(|| Arc::clone(&subject));
            let kind = ImportKind::Service {
                to,
                share: share.unwrap_or(false),
            };
            ((account, subject), kind)
        }
    };
    Some(Import {
        account,
        subject,
        kind,
    })
}

/// The account and its subject.
fn read_source(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let map = reader.map(field.written, field.node)?;
    let (mut account, mut subject) = (None, None);
    for part in reader.fields(field.key.path, map) {
        let text = reader.text(part.written, part.node);
        match part.name() {
            "account" => account = text,
            "subject" => subject = text,
            name => unreachable!("{}.{name} is effective but nothing stores it", field.key.path),
        }
    }
    let source = account.zip(subject);
    let source = source.filter(|(account, subject)| !account.is_empty() && !subject.is_empty());
    if source.is_none() {
        reader.error(&field.node.at, "Expect an account name and a subject");
    }
    source
}
