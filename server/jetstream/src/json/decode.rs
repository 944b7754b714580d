//! Values to structs, as the peer's library fills them.
//!
//! Owns: the rules of kinds and the error texts. Not here: which fields there are (each struct says so by
//! `decode_struct!`).

use std::collections::BTreeMap;

use pinion_shard::io::WallTime;

use super::parse::Value;

/// A type that a value can be read into, over what it holds.
pub trait Decode {
    /// Reads the value. What does not fit is noted in the context and leaves things as they were.
    fn decode(&mut self, value: &Value, context: &mut Context);
}

/// Where the reader is, and the first thing that was wrong.
#[derive(Debug)]
pub struct Context {
    root: &'static str,
    strict: bool,
    path: Vec<String>,
    error: Option<String>,
    /// The peer's name of the number that is read next, where it is not that of its size.
    pub(crate) kind: Option<&'static str>,
}

impl Context {
    /// For a document of the struct that the peer calls `root`.
    pub fn new(root: &'static str, strict: bool) -> Self {
        Self {
            root,
            strict,
            path: Vec::new(),
            error: None,
            kind: None,
        }
    }

    /// The first error.
    pub fn into_error(self) -> Option<String> {
        self.error
    }

    /// Notes an error, if it is the first.
    pub fn fail(&mut self, error: impl FnOnce() -> String) {
        if self.error.is_none() {
            self.error = Some(error());
        }
    }

    /// Notes that a value is of the wrong kind.
    pub fn mismatch(&mut self, value: &Value, wanted: &str) {
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(text) if is_number(wanted) => format!("number {text}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let (root, path) = (self.root, self.path.join("."));
        self.fail(|| match path.is_empty() {
            true => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
            false => {
                format!("json: cannot unmarshal {found} into Go struct field {root}.{path} of type {wanted}")
            }
        });
    }

    /// Notes that the whole document is of the wrong kind.
    pub(crate) fn mismatch_root(&mut self, value: &Value) {
        let wanted = format!("server.{}", self.root);
        self.mismatch(value, &wanted);
    }

    pub(crate) fn unknown(&mut self, key: &str) {
        if self.strict {
            self.fail(|| format!("json: unknown field {}", quote(key)));
        }
    }

    pub(crate) fn within(&mut self, key: &str, read: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        read(self);
        self.path.pop();
    }

    /// Reads what is inside a struct of another name; the path stays whole.
    pub(crate) fn inside(&mut self, root: &'static str, read: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.root, root);
        read(self);
        self.root = outer;
    }
}

fn is_number(wanted: &str) -> bool {
    wanted.starts_with("int") || wanted.starts_with("uint") || wanted == "time.Duration"
}

/// Text in quotes, as the peer's `%q` shows it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl Decode for bool {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => {}
            Value::Bool(given) => *self = *given,
            _ => context.mismatch(value, "bool"),
        }
    }
}

impl Decode for String {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => {}
            Value::String(given) => self.clone_from(given),
            _ => context.mismatch(value, "string"),
        }
    }
}

macro_rules! decode_numbers {
    ($($type:ty => $name:literal),*) => {$(
        impl Decode for $type {
            fn decode(&mut self, value: &Value, context: &mut Context) {
                let kind = context.kind.take().unwrap_or($name);
                match value {
                    Value::Null => {}
                    Value::Number(text) => match text.parse() {
                        Ok(number) => *self = number,
                        Err(_) => context.mismatch(value, kind),
                    },
                    _ => context.mismatch(value, kind),
                }
            }
        }
    )*};
}

decode_numbers!(i64 => "int64", i32 => "int32", u64 => "uint64");

impl<T: Decode + Default> Decode for Option<T> {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => *self = None,
            _ => self.get_or_insert_with(T::default).decode(value, context),
        }
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        (**self).decode(value, context);
    }
}

/// How the peer names a list of these.
pub(crate) trait ListItem {
    /// The name, with `[]` before it.
    const LIST: &'static str;
}

impl ListItem for String {
    const LIST: &'static str = "[]string";
}

impl<T: Decode + Default + ListItem> Decode for Vec<T> {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => self.clear(),
            Value::Array(items) => {
                self.clear();
                for item in items {
                    let mut decoded = T::default();
                    decoded.decode(item, context);
                    self.push(decoded);
                }
            }
            _ => context.mismatch(value, T::LIST),
        }
    }
}

impl Decode for BTreeMap<String, String> {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => self.clear(),
            Value::Object(members) => {
                for (key, value) in members {
                    let mut decoded = String::new();
                    decoded.decode(value, context);
                    self.insert(key.clone(), decoded);
                }
            }
            _ => context.mismatch(value, "map[string]string"),
        }
    }
}

impl Decode for Option<WallTime> {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        match value {
            Value::Null => *self = None,
            Value::String(text) => match crate::time::parse(text) {
                Some(time) => *self = Some(time),
                None => context.fail(|| {
                    let text = quote(text);
                    format!("parsing time {text} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text} as \"2006\"")
                }),
            },
            _ => context.fail(|| "Time.UnmarshalJSON: input is not a JSON string".to_owned()),
        }
    }
}

/// Says which fields a struct has in JSON, so that it can be read: `"key" => field`, and after a colon the peer's name of a
/// number's type where it is not that of its size.
macro_rules! decode_struct {
    ($struct:ty, $name:literal, { $($key:literal => $field:ident $(: $kind:literal)?),* $(,)? }) => {
        impl $struct {
            /// Reads one member; says whether there is such a field.
            pub(crate) fn decode_member(
                &mut self,
                key: &str,
                value: &$crate::json::Value,
                context: &mut $crate::json::Context,
            ) -> bool {
                let index = [$($key),*]
                    .iter()
                    .position(|name| *name == key)
                    .or_else(|| [$($key),*].iter().position(|name| name.eq_ignore_ascii_case(key)));
                let mut field = 0;
                $(
                    if index == Some(field) {
                        context.within($key, |context| {
                            $(context.kind = Some($kind);)?
                            $crate::json::Decode::decode(&mut self.$field, value, context);
                            context.kind = None;
                        });
                    }
                    field += 1;
                )*
                assert!(index.is_none_or(|index| index < field), "an index is of a field");
                index.is_some()
            }
        }

        impl $crate::json::Decode for $struct {
            fn decode(&mut self, value: &$crate::json::Value, context: &mut $crate::json::Context) {
                match value {
                    $crate::json::Value::Null => {}
                    $crate::json::Value::Object(members) => context.inside($name, |context| {
                        for (key, value) in members {
                            if !self.decode_member(key, value, context) {
                                context.unknown(key);
                            }
                        }
                    }),
                    _ => context.mismatch(value, concat!("server.", $name)),
                }
            }
        }
    };
}

pub(crate) use decode_struct;
