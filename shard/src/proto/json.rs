//! JSON as the peer reads and writes it: the rules that CONNECT and INFO share.
//!
//! Reading: keys match in any case, unknown keys are skipped, `null` leaves a value as it was, bytes that are not
//! UTF-8 become U+FFFD, a value of the wrong type is an error, nothing may follow the document. Reading into a document
//! that has values keeps those that are not named.
//! Writing: keys in the order of the fields, empty values left out where the table says so, `<`, `>`, `&` and the two
//! Unicode line separators escaped.

use std::fmt;
use std::io;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// A document that is not JSON, or not the JSON that was expected. The peer closes without an answer.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON: {}", self.0)
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A value that a JSON text can be read into, over what it holds.
pub(super) trait Merge {
    fn merge<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error>;

    /// Whether `omitempty` leaves it out.
    fn is_empty(&self) -> bool;
}

/// Reads `json` over `value`.
pub(super) fn merge_json<T: Merge>(value: &mut T, json: &[u8]) -> Result<(), JsonError> {
    check_control_characters(json)?;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    value
        .merge(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(JsonError)
}

/// Refuses control characters inside strings: strings are read as bytes, where nobody looks at them any more.
fn check_control_characters(json: &[u8]) -> Result<(), JsonError> {
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // What follows a backslash does not end the string.
            b'\\' if in_string && matches!(bytes.as_slice().first(), Some(b'"' | b'\\')) => {
                bytes.next();
            }
            0..=0x1f if in_string => {
                return Err(JsonError(serde::de::Error::custom(
                    "control character in a string",
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Appends `value` as JSON.
pub fn write_json<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(out, HtmlSafe);
    value
        .serialize(&mut serializer)
        .expect("keys are strings and a Vec takes every byte");
}

/// Merges the value that comes next.
pub(super) struct MergeSeed<'a, T>(pub(super) &'a mut T);

impl<'de, T: Merge> DeserializeSeed<'de> for MergeSeed<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.merge(deserializer)
    }
}

macro_rules! merge_scalar {
    ($($scalar:ty),*) => {$(
        impl Merge for $scalar {
            fn merge<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
                let value: Option<$scalar> = serde::Deserialize::deserialize(deserializer)?;
                *self = value.unwrap_or(*self);
                Ok(())
            }

            fn is_empty(&self) -> bool {
                *self == <$scalar>::default()
            }
        }
    )*};
}

merge_scalar!(bool, i32, i64, u8, u16, u64);

impl Merge for String {
    fn merge<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        struct Text<'a>(&'a mut String);

        impl<'de> Visitor<'de> for Text<'_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_unit<E>(self) -> Result<(), E> {
                Ok(())
            }

            fn visit_none<E>(self) -> Result<(), E> {
                Ok(())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_bytes(self)
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
                *self.0 = text_of(bytes);
                Ok(())
            }

            fn visit_str<E>(self, text: &str) -> Result<(), E> {
                text.clone_into(self.0);
                Ok(())
            }
        }

        deserializer.deserialize_option(Text(self))
    }

    fn is_empty(&self) -> bool {
        String::is_empty(self)
    }
}

/// The text of a JSON string; what is not UTF-8 becomes U+FFFD, once for each byte and for each half of a
/// surrogate pair that stands alone.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        rest = &rest[chunk.valid().len()..];
        rest = match rest {
            [] => break,
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] | [_, after @ ..] => after,
        };
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

impl<T: Merge + Default> Merge for Vec<T> {
    fn merge<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        struct List<'a, T>(&'a mut Vec<T>);

        impl<'de, T: Merge + Default> Visitor<'de> for List<'_, T> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_unit<E>(self) -> Result<(), E> {
                self.0.clear();
                Ok(())
            }

            fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
                self.visit_unit()
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_seq(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
                self.0.clear();
                loop {
                    let mut item = T::default();
                    if list.next_element_seed(MergeSeed(&mut item))?.is_none() {
                        return Ok(());
                    }
                    self.0.push(item);
                }
            }
        }

        deserializer.deserialize_option(List(self))
    }

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<T: Merge + Default> Merge for Option<T> {
    fn merge<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        struct Maybe<'a, T>(&'a mut Option<T>);

        impl<'de, T: Merge + Default> Visitor<'de> for Maybe<'_, T> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E>(self) -> Result<(), E> {
                *self.0 = None;
                Ok(())
            }

            fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
                self.visit_unit()
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                self.0.get_or_insert_default().merge(deserializer)
            }
        }

        deserializer.deserialize_option(Maybe(self))
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

/// The key of a member, as it came.
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                Ok(Key(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.as_bytes().to_vec()))
            }
        }

        deserializer.deserialize_bytes(KeyVisitor)
    }
}

/// Skips a member that nobody knows.
pub(super) fn skip_member<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Whether the value of a key must not be seen in logs.
pub(super) fn is_secret(key: &str) -> bool {
    matches!(key, "pass" | "auth_token" | "jwt" | "sig" | "proxy_sig" | "nonce")
}

/// Escapes what would be harmful inside HTML, as the peer does.
struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut written = 0;
        for (at, character) in fragment.char_indices() {
            if matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                writer.write_all(&fragment.as_bytes()[written..at])?;
                write!(writer, "\\u{:04x}", u32::from(character))?;
                written = at + character.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

/// Serialises only what is not empty, for `omitempty`.
pub(super) fn is_written<T: Merge>(always: bool, value: &T) -> bool {
    always || !value.is_empty()
}

/// Defines a document: a struct with its keys, their order, and which of them are left out when empty.
macro_rules! document {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $key:literal $presence:ident $field:ident: $type:ty $(= $default:expr)?,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $field_doc])*
                #[doc = concat!("\n\nJSON: `", $key, "`, ", stringify!($presence), ".")]
                pub $field: $type,
            )*
        }

        impl $name {
            /// Reads a JSON text over this document; what it does not name stays.
            pub fn merge_json(&mut self, json: &[u8]) -> Result<(), $crate::proto::json::JsonError> {
                $crate::proto::json::merge_json(self, json)
            }

            /// Appends the document as JSON.
            pub fn write_json(&self, out: &mut Vec<u8>) {
                $crate::proto::json::write_json(self, out);
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $crate::proto::json::default_of!($type $(, $default)?),)*
                }
            }
        }

        /// Secrets are left out.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut out = f.debug_struct(stringify!($name));
                $(
                    if $crate::proto::json::Merge::is_empty(&self.$field) {
                        // An empty value tells nothing.
                    } else if $crate::proto::json::is_secret($key) {
                        out.field($key, &"[REDACTED]");
                    } else {
                        out.field($key, &self.$field);
                    }
                )*
                out.finish_non_exhaustive()
            }
        }

        impl $crate::proto::json::Merge for $name {
            fn merge<'de, D: serde::Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
                struct Members<'a>(&'a mut $name);

                impl<'de> serde::de::Visitor<'de> for Members<'_> {
                    type Value = ();

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_unit<E>(self) -> Result<(), E> {
                        Ok(())
                    }

                    fn visit_none<E>(self) -> Result<(), E> {
                        Ok(())
                    }

                    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                        deserializer.deserialize_map(self)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                        while let Some(key) = map.next_key::<$crate::proto::json::Key>()? {
                            $(
                                if key.is($key) {
                                    map.next_value_seed($crate::proto::json::MergeSeed(&mut self.0.$field))?;
                                    continue;
                                }
                            )*
                            $crate::proto::json::skip_member(&mut map)?;
                        }
                        Ok(())
                    }
                }

                deserializer.deserialize_option(Members(self))
            }

            fn is_empty(&self) -> bool {
                false
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $(
                    let always = stringify!($presence) == "always";
                    if $crate::proto::json::is_written(always, &self.$field) {
                        map.serialize_entry($key, &self.$field)?;
                    }
                )*
                map.end()
            }
        }
    };
}
pub(super) use document;

/// The value of a field before anything was read.
macro_rules! default_of {
    ($type:ty) => {
        <$type>::default()
    };
    ($type:ty, $default:expr) => {
        $default
    };
}
pub(super) use default_of;

document! {
    /// Subjects that a link may and may not carry.
    pub struct SubjectPermission {
        /// The only subjects allowed; none named: all.
        "allow" omitempty allow: Vec<String>,
        /// Subjects denied.
        "deny" omitempty deny: Vec<String>,
    }
}
