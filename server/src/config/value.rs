//! Values of the configuration language, each with the place where it was written.
//!
//! Owns: the tree a file becomes, its printed form, and the JSON that the digest of a configuration hashes.
//! Not here: how text becomes values (`lexer`, `parser`).
//!
//! Invariants
//!   a tree is at most `DEPTH_MAX` deep (kept by the parser), so walking it by recursion is safe
//!   a map holds a key once; the value written last stands

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::diagnostic::Position;

/// Maps and lists nest this deep at most; deeper ones are refused.
pub const DEPTH_MAX: usize = 128;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// The place of its key, or of the value itself inside a list.
    pub at: Position,
    /// Some `$name` referred to it: as a key that the server does not know, it is then no mistake.
    pub used_as_variable: bool,
}

/// What can be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true`, `yes`, `on` and their opposites, in any case.
    Bool(bool),
    /// Digits, with or without a suffix for thousands.
    Integer(i64),
    /// Digits on both sides of a dot.
    Float(f64),
    /// Everything else, with or without quotes.
    Text(Arc<str>),
    /// `2006-01-02T15:04:05Z` and nothing else, checked.
    Date(Arc<str>),
    /// `[ ... ]`
    List(Vec<Node>),
    /// `{ ... }`
    Map(Map),
}

impl PartialEq for Node {
    /// Equal in value; where it was written does not count.
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

/// Keys and their values, in the order in which each key was first written.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Arc<str>, Node)>,
    index: BTreeMap<Arc<str>, usize>,
}

impl PartialEq for Map {
    /// Equal in keys and values, whatever their order.
    fn eq(&self, other: &Map) -> bool {
        self.entries.len() == other.entries.len()
            && self
                .index
                .iter()
                .all(|(key, index)| other.get(key) == Some(&self.entries[*index].1))
    }
}

impl Map {
    /// Sets `key`, replacing an earlier value.
    pub fn insert(&mut self, key: Arc<str>, node: Node) {
        match self.index.get(&key) {
            Some(index) => self.entries[*index].1 = node,
            None => {
                self.index.insert(Arc::clone(&key), self.entries.len());
                self.entries.push((key, node));
            }
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.index.get(key).map(|index| &self.entries[*index].1)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.index.get(key).map(|index| &mut self.entries[*index].1)
    }

    /// All entries, in the order in which the keys were first written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (&**key, node))
    }

    pub(super) fn into_entries(self) -> Vec<(Arc<str>, Node)> {
        self.entries
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// How large a value is, to bound what references to it may add up to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Measure {
    /// Values inside, itself included; long texts count more than once.
    pub(super) weight: usize,
    /// 0 for what is no list and no map.
    pub(super) depth: usize,
}

impl Value {
    /// The name of its type, for messages: "a map", "an integer".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The type's name in the peer's messages.
    pub fn peer_kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Integer(_) => "int64",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Date(_) => "time.Time",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    pub(super) fn measure(&self) -> Measure {
        let mut inside = Measure { weight: 1, depth: 0 };
        let mut add = |child: &Node| {
            let measure = child.value.measure();
            inside.weight += measure.weight;
            inside.depth = inside.depth.max(measure.depth);
        };
        match self {
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Date(_) => return inside,
            Value::Text(text) => {
                inside.weight += text.len() / 64;
                return inside;
            }
            Value::List(items) => items.iter().for_each(&mut add),
            Value::Map(map) => map.iter().for_each(|(_, node)| add(node)),
        }
        inside.depth += 1;
        inside
    }

    /// The value as configuration text that parses back to it. A key that holds both kinds of quotes cannot be
    /// written and is printed as it is.
    pub fn to_config(&self) -> String {
        let mut text = String::new();
        self.print(&mut text);
        text
    }

    fn print(&self, out: &mut String) {
        match self {
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Integer(value) => push(out, format_args!("{value}")),
            Value::Float(value) => push(out, format_args!("{}", dotted(*value))),
            Value::Date(text) => out.push_str(text),
            Value::Text(text) => print_text(text, out),
            Value::List(items) => {
                out.push_str("[\n");
                for item in items {
                    item.value.print(out);
                    // A comma would do as well, but a number must not touch the closing bracket.
                    out.push('\n');
                }
                out.push(']');
            }
            Value::Map(map) => {
                out.push_str("{\n");
                for (key, node) in map.iter() {
                    let quote = if key.contains('"') { '\'' } else { '"' };
                    push(out, format_args!("{quote}{key}{quote}: "));
                    node.value.print(out);
                    out.push('\n');
                }
                out.push('}');
            }
        }
    }

    /// The value as the JSON that the peer hashes: keys sorted, numbers and escapes as Go prints them.
    pub fn to_digest_json(&self) -> String {
        let mut json = String::new();
        self.push_json(&mut json);
        json
    }

    fn push_json(&self, out: &mut String) {
        match self {
            Value::Bool(value) => push(out, format_args!("{value}")),
            Value::Integer(value) => push(out, format_args!("{value}")),
            Value::Float(value) => out.push_str(&json_float(*value)),
            Value::Text(text) | Value::Date(text) => push_json_text(text, out),
            Value::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.value.push_json(out);
                }
                out.push(']');
            }
            Value::Map(map) => map.push_json(out),
        }
    }
}

impl Map {
    fn push_json(&self, out: &mut String) {
        out.push('{');
        for (place, (key, index)) in self.index.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            push_json_text(key, out);
            out.push(':');
            self.entries[*index].1.value.push_json(out);
        }
        out.push('}');
    }

    /// The map as the JSON that the peer hashes, with the newline that its encoder adds.
    pub fn to_digest_json(&self) -> String {
        let mut json = String::new();
        self.push_json(&mut json);
        json.push('\n');
        json
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

fn dotted(value: f64) -> String {
    let text = value.to_string();
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

fn print_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => push(out, format_args!("\\x{:02x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Shortest form, with an exponent below 1e-6 and from 1e21 on.
fn json_float(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn push_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                push(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
