//! From `tracing` events to log lines.
//!
//! Owns: which events are wanted and how an event becomes a line. Spans are not kept: the Go server's lines
//! have no room for them and shards must not pay for them.
//!
//! The message is the text, other fields follow as `key=value`. An error event with `fatal = true` is a fatal
//! line. Debug and traced lines of libraries are not ours to show: `-V` is for the NATS protocol.

use std::fmt::{self, Write};
use std::sync::atomic::Ordering;

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::line::{Level, Line};
use super::writer::LogHandle;

/// Crates whose debug and traced lines are shown begin with this.
const OWN_TARGETS: &str = "pinion";

/// Modules whose errors, warnings and infos are about what strangers sent: they are limited (`flood`).
const FOREIGN_TARGETS: [&str; 2] = ["pinion_shard", "pinion::monitor"];

/// Hands events to the log. Make one with [`super::Log::subscriber`].
pub struct LogSubscriber {
    log: LogHandle,
}

impl LogSubscriber {
    pub(super) fn new(log: LogHandle) -> Self {
        LogSubscriber { log }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let own = || metadata.target().starts_with(OWN_TARGETS);
        metadata.is_event()
            && match *metadata.level() {
                tracing::Level::DEBUG => self.log.shared().debug.load(Ordering::Relaxed) && own(),
                tracing::Level::TRACE => self.log.shared().trace.load(Ordering::Relaxed) && own(),
                _ => true,
            }
    }
}

impl Subscriber for LogSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // `LogHandle::set_levels` has this asked again.
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<tracing::metadata::LevelFilter> {
        use tracing::metadata::LevelFilter;
        let shared = self.log.shared();
        Some(if shared.trace.load(Ordering::Relaxed) {
            LevelFilter::TRACE
        } else if shared.debug.load(Ordering::Relaxed) {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR if parts.fatal => Level::Fatal,
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        };
        let line = Line {
            level,
            time_us: self.log.shared().clock.now_us(),
            text: parts.text,
            fields: parts.fields,
        };
        let metadata = event.metadata();
        let is_foreign = FOREIGN_TARGETS
            .iter()
            .any(|target| metadata.target().starts_with(target));
        if is_foreign && matches!(level, Level::Error | Level::Warn | Level::Info) {
            self.log.push_limited(line, metadata.callsite());
        } else {
            self.log.push(line);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Parts {
    text: String,
    fields: Vec<(&'static str, String)>,
    fatal: bool,
}

impl Visit for Parts {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "fatal" {
            self.fatal = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.text, "{value:?}").expect("a string takes everything");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }
}
