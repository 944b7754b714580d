//! Mappings: the subject published to becomes another one.

use std::sync::Arc;

use pinion_shard::subject::is_valid;
use pinion_shard::subject::mapping::{Destination, Mappings, WHOLE};

use super::Mapping;
use crate::config::block::Reader;
use crate::config::value::{Map, Node, Value};

/// The mappings of a block whose keys are subjects.
pub(super) fn read(reader: &mut Reader<'_>, map: &Map) -> Vec<Mapping> {
    map.iter()
        .filter_map(|(source, node)| read_one(reader, source, node))
        .collect()
}

fn read_one(reader: &mut Reader<'_>, source: &str, node: &Node) -> Option<Mapping> {
    if !is_valid(source.as_bytes()) {
        reader.error(&node.at, format!("Subject {source:?} is not a valid subject"));
        return None;
    }
    let (destinations, shown) = match &node.value {
        Value::Text(subject) => (
            vec![Destination::whole(subject.as_bytes())],
            format!("{source:?} to {subject:?} "),
        ),
        Value::List(items) => (
            items
                .iter()
                .filter_map(|item| read_destination(reader, item))
                .collect(),
            format!("{source:?} "),
        ),
        Value::Map(_) => (vec![read_destination(reader, node)?], format!("{source:?} ")),
        other => {
            let text = format!("Unknown type {} for mapping destination", other.peer_kind());
            reader.error(&node.at, text);
            return None;
        }
    };
    if let Err(error) = Mappings::default().add(source.as_bytes(), &destinations) {
        reader.error(&node.at, format!("Error adding mapping for {shown}: {error}"));
        return None;
    }
    Some(Mapping {
        source: Arc::from(source),
        destinations,
    })
}

fn read_destination(reader: &mut Reader<'_>, node: &Node) -> Option<Destination> {
    let Value::Map(map) = &node.value else {
        reader.error(&node.at, "Expected an entry for the mapping destination");
        return None;
    };
    let (mut subject, mut cluster, mut weight) = (None, None, None);
    let mut is_whole = true;
    for field in reader.fields("mappings.<subject>[]", map) {
        match field.name() {
            "destination" => subject = reader.text(field.written, field.node),
            "cluster" => cluster = reader.text(field.written, field.node),
            "weight" => {
                weight = read_weight(reader, field.node);
                is_whole &= weight.is_some();
            }
            name => unreachable!("mappings.<subject>[].{name} is effective but nothing stores it"),
        }
    }
    let subject = subject.unwrap_or_default();
    let Some(weight) = weight else {
        if is_whole {
            let text = format!("Missing weight for mapping destination {subject:?}");
            reader.error(&node.at, text);
        }
        return None;
    };
    Some(Destination {
        subject: subject.as_bytes().to_vec(),
        weight,
        cluster: cluster.unwrap_or_default().as_bytes().to_vec(),
    })
}

/// Percent, with or without the sign.
fn read_weight(reader: &mut Reader<'_>, node: &Node) -> Option<u8> {
    let (weight, shown) = match &node.value {
        Value::Integer(weight) => (Some(*weight), weight.to_string()),
        Value::Text(text) => {
            let text = text.strip_suffix('%').unwrap_or(text);
            (text.parse().ok(), format!("{text:?}"))
        }
        other => {
            let text = format!("Unknown entry type for weight of {}", other.kind());
            reader.error(&node.at, text);
            return None;
        }
    };
    let weight = weight
        .and_then(|weight| u8::try_from(weight).ok())
        .filter(|weight| *weight <= WHOLE);
    if weight.is_none() {
        reader.error(
            &node.at,
            format!("Invalid weight {shown} for mapping destination"),
        );
    }
    weight
}
