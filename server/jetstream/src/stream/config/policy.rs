//! The words of a configuration: one enum each, with the peer's texts.

use crate::json::{quote, Value};

/// Defines an enum of words. The first is the default.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),* $(,)? } $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::json::Decode for $name {
            fn decode(&mut self, value: &$crate::json::Value, context: &mut $crate::json::Context) {
                match value {
                    $($crate::json::Value::String(text) if text == $word => *self = Self::$variant,)*
                    _ => context.fail(|| $error(value)),
                }
            }
        }
    };
}

pub(crate) use words;

pub(crate) fn cannot_unmarshal(value: &Value) -> String {
    format!("can not unmarshal {}", quote(&value.to_json()))
}

fn unknown_compression(_: &Value) -> String {
    "unknown compression algorithm".to_owned()
}

words! {
    /// When messages go.
    Retention {
        /// At the limits.
        #[default]
        Limits "limits",
        /// When all consumers that want it have acked it.
        Interest "interest",
        /// When one consumer has acked it.
        WorkQueue "workqueue",
    } cannot_unmarshal
}

words! {
    /// What happens at a limit.
    Discard {
        /// The oldest message goes.
        #[default]
        Old "old",
        /// The new message is refused.
        New "new",
    } cannot_unmarshal
}

words! {
    /// Where messages are kept.
    Storage {
        /// On disk.
        #[default]
        File "file",
        /// In memory.
        Memory "memory",
    } cannot_unmarshal
}

words! {
    /// How blocks on disk are compressed.
    Compression {
        /// Not.
        #[default]
        None "none",
        /// Yes.
        S2 "s2",
    } unknown_compression
}

words! {
    /// When acks are sent.
    PersistMode {
        /// When the message is safe.
        #[default]
        Default "default",
        /// When the message is written.
        Async "async",
    } cannot_unmarshal
}

impl PersistMode {
    /// Whether JSON leaves it out.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::Default
    }
}
