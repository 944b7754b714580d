//! The list of differences from the peer that are known and wanted: `tests/fixtures/known-differences.txt`.
//!
//! Owns: reading the list, comparing two JSON documents with it. A document is compared leaf by leaf: a key one side
//! lacks, a type that differs, a value that differs are differences; each must stand in the list, with its reason.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// How two documents differ at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Both have it, of the same type, and it says something else.
    Value,
    /// The types differ.
    Type,
    /// Only the peer has it.
    Missing,
    /// Only we have it.
    Extra,
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "value" => Some(Self::Value),
            "type" => Some(Self::Type),
            "missing" => Some(Self::Missing),
            "extra" => Some(Self::Extra),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Entry {
    document: String,
    path: String,
    kind: Kind,
}

/// The list.
#[derive(Debug)]
pub struct KnownDifferences {
    entries: Vec<Entry>,
    met: RefCell<BTreeSet<Entry>>,
}

impl KnownDifferences {
    /// Reads the list; a line that is none fails the test.
    pub fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/known-differences.txt");
        let text = std::fs::read_to_string(path).expect("the list is there");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let entries = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let parts: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
                let [document, path, kind, reason] = parts[..] else {
                    panic!("known-differences.txt: `document | path | kind | reason` expected: {line}");
                };
                let kind = Kind::parse(kind)
                    .unwrap_or_else(|| panic!("known-differences.txt: no kind {kind:?}: {line}"));
                assert!(!reason.is_empty(), "known-differences.txt: no reason: {line}");
                Entry {
                    document: document.to_owned(),
                    path: path.to_owned(),
                    kind,
                }
            })
            .collect();
        Self {
            entries,
            met: RefCell::default(),
        }
    }

    fn knows(&self, document: &str, path: &str, kind: Kind) -> bool {
        let found = self
            .entries
            .iter()
            .find(|entry| entry.document == document && entry.path == path && entry.kind == kind);
        if let Some(entry) = found {
            self.met.borrow_mut().insert(entry.clone());
        }
        found.is_some()
    }

    /// The differences between the peer's document and ours that are not known, one line each.
    pub fn compare(&self, document: &str, peer: &Value, ours: &Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.walk(document, "", Some(peer), Some(ours), &mut unknown);
        unknown
    }

    fn walk(
        &self,
        document: &str,
        path: &str,
        peer: Option<&Value>,
        ours: Option<&Value>,
        unknown: &mut Vec<String>,
    ) {
        let kind = match (peer, ours) {
            (Some(Value::Object(peer)), Some(Value::Object(ours))) => {
                let keys: BTreeSet<&String> = peer.keys().chain(ours.keys()).collect();
                for key in keys {
                    let below = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    self.walk(document, &below, peer.get(key), ours.get(key), unknown);
                }
                return;
            }
            (Some(Value::Array(peer)), Some(Value::Array(ours))) => {
                let below = format!("{path}[]");
                for index in 0..peer.len().max(ours.len()) {
                    self.walk(document, &below, peer.get(index), ours.get(index), unknown);
                }
                return;
            }
            (Some(_), None) => Kind::Missing,
            (None, Some(_)) => Kind::Extra,
            (Some(peer), Some(ours)) if type_of(peer) != type_of(ours) => Kind::Type,
            (Some(peer), Some(ours)) if peer != ours => Kind::Value,
            _ => return,
        };
        if !self.knows(document, path, kind) {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            unknown.push(format!(
                "{document} | {path} | {kind:?}: the peer says {}, we say {}",
                show(peer),
                show(ours)
            ));
        }
    }

    /// Entries for these documents about types, or about what only we have, that no comparison met: they are no longer
    /// true. Values may agree by chance, and what the peer has depends on how it was built; those are not looked at.
    pub fn unmet(&self, documents: &[&str]) -> Vec<String> {
        let met = self.met.borrow();
        self.entries
            .iter()
            .filter(|entry| documents.contains(&entry.document.as_str()))
            .filter(|entry| matches!(entry.kind, Kind::Type | Kind::Extra) && !met.contains(entry))
            .map(|entry| format!("{entry:?}"))
            .collect()
    }
}

/// `int` and `float` are one type in JSON.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every kind of difference is found, unless the list knows it.
    #[test]
    fn differences_are_found() {
        let known = KnownDifferences::parse(
            "# a comment\n/x | a | value | varies\n/x | gone | extra | never there\n",
        );
        for (peer, ours, found) in [
            (json!({"a": 1}), json!({"a": 1}), 0),
            (json!({"a": 1}), json!({"a": 2}), 0),
            (json!({"b": 1}), json!({"b": 2}), 1),
            (json!({"a": 1}), json!({"a": "1"}), 1),
            (json!({"a": 1}), json!({}), 1),
            (json!({}), json!({"c": null}), 1),
            (json!({"l": [1, {"d": 1}]}), json!({"l": [1]}), 1),
            (json!({"l": [{"d": 1}]}), json!({"l": [{"d": true, "e": 1}]}), 2),
        ] {
            let unknown = known.compare("/x", &peer, &ours);
            assert_eq!(unknown.len(), found, "{peer} {ours}: {unknown:?}");
        }
        assert_eq!(known.compare("/y", &json!({"a": 1}), &json!({"a": 2})).len(), 1);
        assert_eq!(known.unmet(&["/x"]).len(), 1);
        assert_eq!(known.unmet(&["/y"]).len(), 0);
    }
}
