//! The words of a consumer's configuration: one enum each, with the peer's texts.

use crate::json::Value;
use crate::stream::config::policy::{cannot_unmarshal, words};

fn unknown_priority(value: &Value) -> String {
    format!("unknown priority policy: {}", value.to_json())
}

fn unknown_action(value: &Value) -> String {
    format!("unknown consumer action: {}", value.to_json())
}

words! {
    /// Which message is the first.
    DeliverPolicy {
        /// The first that there is.
        #[default]
        All "all",
        /// The last that there is.
        Last "last",
        /// The next that comes.
        New "new",
        /// The one with a given sequence.
        ByStartSequence "by_start_sequence",
        /// The first from a given time on.
        ByStartTime "by_start_time",
        /// The last of each subject.
        LastPerSubject "last_per_subject",
    } cannot_unmarshal
}

words! {
    /// What an ack means.
    AckPolicy {
        /// A message is done when it is delivered.
        #[default]
        None "none",
        /// All up to the acked one are done.
        All "all",
        /// Each is acked.
        Explicit "explicit",
        /// As `All`, by the answers to flow control.
        FlowControl "flow_control",
    } cannot_unmarshal
}

words! {
    /// How fast old messages are delivered.
    ReplayPolicy {
        /// At once.
        #[default]
        Instant "instant",
        /// As far apart as they came in.
        Original "original",
    } cannot_unmarshal
}

words! {
    /// How a priority group's pull requests are chosen.
    PriorityPolicy {
        /// There are no groups.
        #[default]
        None "none",
        /// Some take part only when much is pending.
        Overflow "overflow",
        /// One client gets everything as long as it is there.
        PinnedClient "pinned_client",
        /// The lowest number first.
        Prioritized "prioritized",
    } unknown_priority
}

words! {
    /// Whether a consumer may exist already.
    Action {
        /// It may.
        #[default]
        CreateOrUpdate "",
        /// It must.
        Update "update",
        /// It must not, or be the same.
        Create "create",
    } unknown_action
}

impl PriorityPolicy {
    /// Whether JSON leaves it out.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::None
    }
}
