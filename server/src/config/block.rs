//! The keys of one block of a file, admitted by the one table of keys; typed reading of their values.
//!
//! Owns: what is said about an unknown, a refused and a warned key at any depth, and about a value of a wrong type.
//! Not here: what a key means (`apply`, `access`).
//! All findings of a block are collected; a value that is wrong reads as `None`, so that the others are still looked at.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Position};
use super::table::{Key, Status, Table};
use super::value::{Map, Node, Value};

/// A value and where it was written. Two are equal when the values are, wherever they stand.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// The place of its key.
    pub at: Position,
}

impl<T: PartialEq> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Written<T> {}

impl<T> std::ops::Deref for Written<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A key of a block that has an effect.
pub(super) struct Field<'m> {
    /// The key.
    pub(super) key: Key,
    /// As it was written, which may be an alias in any case.
    pub(super) written: &'m str,
    /// Its value.
    pub(super) node: &'m Node,
}

impl Field<'_> {
    /// The key's own name in its block.
    pub(super) fn name(&self) -> &'static str {
        self.key.name()
    }
}

/// Reads blocks and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    /// Which keys there are.
    pub(super) table: &'a Table,
    /// Everything that is to be said, in the order of the file.
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The keys of the block at `path` that have an effect, in the order of the file. The others are spoken of.
    pub(super) fn fields<'m>(&mut self, path: &str, map: &'m Map) -> Vec<Field<'m>> {
        let mut fields = Vec::new();
        for (written, node) in map.iter() {
            if let Some(key) = self.admit(path, written, node) {
                fields.push(Field { key, written, node });
            }
        }
        fields
    }

    fn admit(&mut self, path: &str, written: &str, node: &Node) -> Option<Key> {
        let Some(key) = self.table.find(path, written).cloned() else {
            // A key that only gives a variable its value is no mistake.
            if !node.used_as_variable {
                self.error(&node.at, format!("unknown field {written:?}"));
            }
            return None;
        };
        let complaint = || {
            let speaker = self.table.speaker_for(&key);
            key.complaint(speaker).expect("a key without effect has one")
        };
        match key.status {
            Status::Effective => return Some(key),
            Status::Warned | Status::Refused if asks_for_nothing(&key, &node.value) => {}
            Status::Warned if !fits(key.kind, &node.value) => {
                let text = format!("{written} must be {}, not {}", key.kind, node.value.kind());
                self.error(&node.at, text);
            }
            Status::Warned => {
                let text = complaint();
                self.diagnostics
                    .push(Diagnostic::notice(Some(node.at.clone()), text));
            }
            Status::Refused => {
                let text = complaint();
                self.error(&node.at, text);
                self.refuse_unknown_below(key.path, &node.value);
            }
        }
        None
    }

    /// Looks for unknown keys below one that is refused anyway, so that all mistakes come to light at once.
    fn refuse_unknown_below(&mut self, path: &str, value: &Value) {
        match value {
            Value::List(items) => {
                let path = format!("{path}[]");
                for item in items {
                    self.refuse_unknown_below(&path, &item.value);
                }
            }
            Value::Map(map) if self.table.knows_below(path) => {
                for (written, node) in map.iter() {
                    match self.table.step(path, written) {
                        Some(path) => self.refuse_unknown_below(path, &node.value),
                        None if node.used_as_variable => {}
                        None => self.error(&node.at, format!("unknown field {written:?}")),
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes what keeps the server from starting.
    pub(super) fn error(&mut self, at: &Position, text: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(Some(at.clone()), text));
    }

    /// Notes what the peer warns about.
    pub(super) fn warning(&mut self, at: &Position, text: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(Some(at.clone()), text));
    }

    fn wrong_type(&mut self, written: &str, expected: &str, node: &Node) {
        let text = format!("{written} must be {expected}, not {}", node.value.kind());
        self.error(&node.at, text);
    }

    /// The value as a text.
    pub(super) fn text(&mut self, written: &str, node: &Node) -> Option<Arc<str>> {
        match &node.value {
            Value::Text(text) => return Some(Arc::clone(text)),
            _ => self.wrong_type(written, "a string", node),
        }
        None
    }

    /// The value as a boolean.
    pub(super) fn boolean(&mut self, written: &str, node: &Node) -> Option<bool> {
        match node.value {
            Value::Bool(on) => return Some(on),
            _ => self.wrong_type(written, "a boolean", node),
        }
        None
    }

    /// The value as a whole number.
    pub(super) fn integer(&mut self, written: &str, node: &Node) -> Option<i64> {
        match node.value {
            Value::Integer(number) => return Some(number),
            _ => self.wrong_type(written, "an integer", node),
        }
        None
    }

    /// The value as a map.
    pub(super) fn map<'m>(&mut self, written: &str, node: &'m Node) -> Option<&'m Map> {
        match &node.value {
            Value::Map(map) => return Some(map),
            _ => self.wrong_type(written, "a map", node),
        }
        None
    }

    /// The value as a list.
    pub(super) fn list<'m>(&mut self, written: &str, node: &'m Node) -> Option<&'m [Node]> {
        match &node.value {
            Value::List(items) => return Some(items),
            _ => self.wrong_type(written, "a list", node),
        }
        None
    }

    /// The value as texts: one, or a list of them.
    pub(super) fn texts(&mut self, written: &str, node: &Node) -> Option<Vec<Written<Arc<str>>>> {
        let items = match &node.value {
            Value::Text(_) => std::slice::from_ref(node),
            Value::List(items) => items,
            _ => {
                self.wrong_type(written, "a string or a list of strings", node);
                return None;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push(Written {
                    value: Arc::clone(text),
                    at: item.at.clone(),
                }),
                other => {
                    let text = format!("{written} must list strings, not {}", other.kind());
                    self.error(&item.at, text);
                }
            }
        }
        Some(texts)
    }
}

/// Whether the value switches off what is not there anyway.
fn asks_for_nothing(key: &Key, value: &Value) -> bool {
    let is_off = |value: &Value| match value {
        Value::Bool(on) => key.off.contains(&if *on { "true" } else { "false" }),
        Value::Integer(number) => key.off.contains(&number.to_string().as_str()),
        Value::Text(text) => key.off.contains(&text.to_lowercase().as_str()),
        _ => false,
    };
    match value {
        Value::Map(map) => map
            .get("enabled")
            .or_else(|| map.get("enable"))
            .is_some_and(|node| is_off(&node.value)),
        value => is_off(value),
    }
}

/// Whether the value is of the type that the table names: a mistake stays one where the key has no effect.
fn fits(kind: &str, value: &Value) -> bool {
    kind.split(" or ")
        .flat_map(|kind| kind.split(", "))
        .any(|kind| match value {
            Value::Bool(_) => kind == "bool",
            Value::Integer(_) => kind == "int",
            Value::Text(_) => matches!(kind, "string" | "path" | "enum"),
            Value::Map(_) => kind.starts_with("map"),
            Value::Float(_) | Value::Date(_) | Value::List(_) => false,
        })
}
