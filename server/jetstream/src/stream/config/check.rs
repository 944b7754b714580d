//! What a configuration may be, in the order the peer looks at it: the first thing wrong is what is answered.
//!
//! Owns: defaults, adjustments that a client did not ask for, refusals. Not here: limits of accounts by bytes and count
//! (`api`), changes of a stream that exists (`update`).

use std::collections::BTreeSet;

use pinion_shard::subject;
use pinion_shard::subject::transform::{check_mapping, Transform, Use};
use pinion_shard::subject::wildcard::{collides, is_subset};

use super::{Discard, PersistMode, Retention, Storage, StreamConfig, StreamSource, SubjectTransform};
use crate::error::{self, ApiError};

/// Bytes of a name.
pub(crate) const NAME_SIZE_MAX: usize = 255;
/// Bytes of a description.
const DESCRIPTION_SIZE_MAX: usize = 4 * 1024;
/// Bytes of all keys and values of the metadata.
const METADATA_SIZE_MAX: usize = 128 * 1024;
/// Servers that keep a stream.
const REPLICAS_MAX: i64 = 5;
/// How long message ids are remembered when nothing is said, in nanoseconds.
const DUPLICATE_WINDOW_DEFAULT: i64 = 120_000_000_000;
/// The least `max_age` and `duplicate_window`, in nanoseconds.
const WINDOW_MIN: i64 = 100_000_000;
/// The least TTL of markers, in nanoseconds.
const MARKER_TTL_MIN: i64 = 1_000_000_000;
const API_PREFIX: &str = "$JS.API";

/// What a configuration is checked against.
pub struct Neighbours<'a> {
    /// The streams of the account, by name.
    pub find: &'a dyn Fn(&str) -> Option<&'a StreamConfig>,
    /// The server's bound of `duplicate_window` in nanoseconds; 0 is none.
    pub duplicate_window_max: i64,
    /// Whether the account wants every stream to have a `max_bytes`.
    pub max_bytes_required: bool,
    /// The account's bound of one stream's `max_bytes` in memory; not above 0 is none.
    pub memory_max_stream_bytes: i64,
    /// The account's bound of one stream's `max_bytes` on disk; not above 0 is none.
    pub storage_max_stream_bytes: i64,
}

/// A configuration with its defaults, or why it cannot be.
pub type Checked = Result<StreamConfig, ApiError>;

fn invalid<T>(text: impl std::fmt::Display) -> Result<T, ApiError> {
    Err(error::STREAM_INVALID_CONFIG.with(text))
}

fn pedantic_error<T>(text: &str) -> Result<T, ApiError> {
    Err(error::PEDANTIC.with(text))
}

/// Whether a stream or consumer may be called this.
pub(crate) fn is_valid_name(name: &str) -> bool {
    let forbidden = [' ', '\t', '\r', '\n', '\u{c}', '.', '*', '>', '\\', '/'];
    !name.is_empty() && !name.contains(forbidden)
}

/// Checks a configuration and fills in its defaults.
pub fn check(config: &StreamConfig, neighbours: &Neighbours<'_>, pedantic: bool) -> Checked {
    let mut config = config.clone();
    texts(&config)?;
    counts(&mut config, pedantic)?;
    windows(&mut config, neighbours, pedantic)?;
    features(&mut config, pedantic)?;
    let mut upstream = Upstream::default();
    mirror(&mut config, neighbours, pedantic, &mut upstream)?;
    sources(&config, neighbours, &mut upstream)?;
    upstream.check_prefixes()?;
    cycles(&config, neighbours)?;
    subjects(&mut config)?;
    max_bytes(&config, neighbours)?;
    transforms(&mut config, pedantic)?;
    if config
        .placement
        .as_ref()
        .is_some_and(|placement| *placement == Default::default())
    {
        config.placement = None;
    }
    if config
        .placement
        .as_ref()
        .is_some_and(|placement| !placement.preferred.is_empty())
    {
        return invalid("preferred server not permitted in placement");
    }
    Ok(config)
}

fn texts(config: &StreamConfig) -> Result<(), ApiError> {
    if !is_valid_name(&config.name) {
        return invalid("stream name is required and can not contain '.', '*', '>', '\\', '/'");
    }
    if config.name.len() > NAME_SIZE_MAX {
        return invalid(format_args!(
            "stream name is too long, maximum allowed is {NAME_SIZE_MAX}"
        ));
    }
    if config.description.len() > DESCRIPTION_SIZE_MAX {
        return invalid(format_args!(
            "stream description is too long, maximum allowed is {DESCRIPTION_SIZE_MAX}"
        ));
    }
    let metadata: usize = config
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if metadata > METADATA_SIZE_MAX {
        return invalid(format_args!(
            "stream metadata exceeds maximum size of {METADATA_SIZE_MAX} bytes"
        ));
    }
    Ok(())
}

/// A count where 0 and less than -1 mean no limit.
fn no_limit<T: PartialOrd + Copy + From<i8>>(
    value: &mut T,
    name: &str,
    pedantic: bool,
) -> Result<(), ApiError> {
    let none = T::from(-1);
    if *value < none && pedantic {
        return pedantic_error(&format!("{name} must be set to -1"));
    }
    if *value == T::from(0) || *value < none {
        *value = none;
    }
    Ok(())
}

fn counts(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if config.num_replicas == 0 {
        config.num_replicas = 1;
    }
    if config.num_replicas > REPLICAS_MAX {
        return invalid(format_args!("maximum replicas is {REPLICAS_MAX}"));
    }
    if config.num_replicas < 0 {
        return Err(error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.into());
    }
    no_limit(&mut config.max_msgs, "max_msgs", pedantic)?;
    no_limit(&mut config.max_msgs_per_subject, "max_msgs_per_subject", pedantic)?;
    no_limit(&mut config.max_bytes, "max_bytes", pedantic)?;
    no_limit(&mut config.max_msg_size, "max_msg_size", pedantic)?;
    no_limit(&mut config.max_consumers, "max_consumers", pedantic)
}

fn windows(config: &mut StreamConfig, neighbours: &Neighbours<'_>, pedantic: bool) -> Result<(), ApiError> {
    let server_max = neighbours.duplicate_window_max;
    if config.max_age < 0 {
        return invalid("max age can not be negative");
    }
    if config.max_age != 0 && config.max_age < WINDOW_MIN {
        return invalid("max age needs to be >= 100ms");
    }
    if config.duplicate_window == 0 && config.mirror.is_none() && config.sources.is_empty() {
        let mut window = DUPLICATE_WINDOW_DEFAULT;
        if server_max > 0 && window > server_max {
            if pedantic {
                return pedantic_error("duplicate window limits are higher than current limits");
            }
            window = server_max;
        }
        if config.max_age != 0 && config.max_age < window {
            if pedantic {
                return pedantic_error("duplicate window cannot be bigger than max age");
            }
            window = config.max_age;
        }
        config.duplicate_window = window;
    }
    if config.duplicate_window < 0 {
        return invalid("duplicates window can not be negative");
    }
    if config.max_age != 0 && config.duplicate_window > config.max_age {
        return invalid("duplicates window can not be larger then max age");
    }
    if server_max > 0 && config.duplicate_window > server_max {
        let limit = pinion_shard::proto::duration::format_duration_ns(server_max);
        return invalid(format_args!(
            "duplicates window can not be larger then server limit of {limit}"
        ));
    }
    if config.duplicate_window > 0 && config.duplicate_window < WINDOW_MIN {
        return invalid("duplicates window needs to be >= 100ms");
    }
    Ok(())
}

/// What goes with what.
fn features(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if config.deny_purge && config.allow_rollup_hdrs {
        return invalid("roll-ups require the purge permission");
    }
    if config.allow_msg_counter {
        if config.discard == Discard::New {
            return invalid("counter stream cannot use discard new");
        }
        if config.allow_msg_ttl {
            return invalid("counter stream cannot use message TTLs");
        }
        if config.allow_msg_schedules {
            return invalid("counter stream cannot use message schedules");
        }
        if config.retention != Retention::Limits {
            return invalid("counter stream can only use limits retention");
        }
    }
    discard_new_per_subject(config)?;
    if config.subject_delete_marker_ttl > 0 {
        if config.subject_delete_marker_ttl < MARKER_TTL_MIN {
            return invalid("subject delete marker TTL must be at least 1 second");
        }
        if !config.allow_msg_ttl {
            if pedantic {
                return invalid("subject delete marker cannot be set if message TTLs are disabled");
            }
            config.allow_msg_ttl = true;
        }
        if !config.allow_rollup_hdrs {
            if pedantic {
                return invalid("subject delete marker cannot be set if roll-ups are disabled");
            }
            (config.allow_rollup_hdrs, config.deny_purge) = (true, false);
        }
    } else if config.subject_delete_marker_ttl < 0 {
        return invalid("subject delete marker TTL must not be negative");
    }
    if config.allow_msg_schedules {
        if config.discard == Discard::New {
            return invalid("message scheduling cannot use discard new");
        }
        if !config.allow_rollup_hdrs {
            if pedantic {
                return invalid("message scheduling cannot be set if roll-ups are disabled");
            }
            (config.allow_rollup_hdrs, config.deny_purge) = (true, false);
        }
    }
    if config.persist_mode == PersistMode::Async {
        if config.storage != Storage::File {
            return invalid("async persist mode is only supported on file storage");
        }
        if config.num_replicas > 1 {
            return invalid("async persist mode is not supported on replicated streams");
        }
        if config.allow_atomic {
            return invalid("async persist mode is not supported with atomic batch publish");
        }
    }
    Ok(())
}

pub(super) fn discard_new_per_subject(config: &StreamConfig) -> Result<(), ApiError> {
    if !config.discard_new_per_subject {
        return Ok(());
    }
    if config.discard != Discard::New {
        return invalid("discard new per subject requires discard new policy to be set");
    }
    if config.max_msgs_per_subject <= 0 {
        return invalid("discard new per subject requires max msgs per subject > 0");
    }
    Ok(())
}

/// What is known of the streams that messages come from.
#[derive(Default)]
struct Upstream {
    subjects: Vec<String>,
    deliver_prefixes: Vec<String>,
    api_prefixes: Vec<String>,
}

impl Upstream {
    fn add_external(&mut self, source: &StreamSource) {
        if let Some(external) = &source.external {
            if !external.deliver.is_empty() {
                self.deliver_prefixes.push(external.deliver.clone());
            }
            if !external.api.is_empty() {
                self.api_prefixes.push(external.api.clone());
            }
        }
    }

    fn check_prefixes(&self) -> Result<(), ApiError> {
        for prefix in &self.deliver_prefixes {
            if !subject::is_valid_publish(prefix.as_bytes()) {
                return Err(error::STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ.with(prefix));
            }
            for sub in &self.subjects {
                if collides(sub.as_bytes(), format!("{prefix}.{sub}").as_bytes()) {
                    return Err(error::STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS.with_two(prefix, sub));
                }
            }
        }
        for prefix in &self.api_prefixes {
            if !subject::is_valid_publish(prefix.as_bytes()) {
                return invalid(format_args!(
                    "stream external api prefix {} must be a valid subject without wildcards",
                    crate::json::quote(prefix)
                ));
            }
            if collides(prefix.as_bytes(), API_PREFIX.as_bytes()) {
                return Err(error::STREAM_EXTERNAL_API_OVERLAP.with_two(prefix, API_PREFIX));
            }
        }
        Ok(())
    }
}

/// Whether a consumer that exists can be read with: its name and subject are fine, and nothing else says where to begin.
fn is_consumer_usable(source: &StreamSource) -> bool {
    let Some(consumer) = &source.consumer else {
        return true;
    };
    is_valid_name(&consumer.name)
        && subject::is_literal(consumer.deliver_subject.as_bytes())
        && subject::is_valid(consumer.deliver_subject.as_bytes())
        && source.opt_start_seq == 0
        && source.opt_start_time.is_none()
        && source.filter_subject.is_empty()
}

fn bad_subject(src: &str) -> String {
    format!("invalid subject {src}")
}

fn is_bad_source(src: &str) -> bool {
    !src.is_empty() && !subject::is_valid(src.as_bytes())
}

fn mapping(transform: &SubjectTransform) -> Result<(), subject::transform::TransformError> {
    check_mapping(transform.src.as_bytes(), transform.dest.as_bytes())
}

fn mirror(
    config: &mut StreamConfig,
    neighbours: &Neighbours<'_>,
    pedantic: bool,
    upstream: &mut Upstream,
) -> Result<(), ApiError> {
    let Some(mirror) = &config.mirror else {
        return Ok(());
    };
    let excluded = [
        (config.first_seq > 0, error::MIRROR_WITH_FIRST_SEQ),
        (!config.subjects.is_empty(), error::MIRROR_WITH_SUBJECTS),
        (!config.sources.is_empty(), error::MIRROR_WITH_SOURCES),
        (config.allow_msg_counter, error::MIRROR_WITH_COUNTERS),
        (config.allow_atomic, error::MIRROR_WITH_ATOMIC_PUBLISH),
        (config.allow_batched, error::MIRROR_WITH_BATCH_PUBLISH),
        (config.allow_msg_schedules, error::MIRROR_WITH_MSG_SCHEDULES),
        (
            !is_consumer_usable(mirror),
            error::MIRROR_DURABLE_CONSUMER_CFG_INVALID,
        ),
        (
            !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty(),
            error::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED,
        ),
    ];
    if let Some((_, kind)) = excluded.into_iter().find(|(wrong, _)| *wrong) {
        return Err(kind.into());
    }
    if config.subject_delete_marker_ttl > 0 {
        return invalid("subject delete markers forbidden on mirrors");
    }
    for (index, transform) in mirror.subject_transforms.iter().enumerate() {
        if is_bad_source(&transform.src) {
            return Err(error::MIRROR_INVALID_SUBJECT_FILTER.with(bad_subject(&transform.src)));
        }
        mapping(transform).map_err(|fault| error::MIRROR_INVALID_TRANSFORM_DESTINATION.with(fault))?;
        for (other_index, other) in mirror.subject_transforms.iter().enumerate() {
            if other_index != index && collides(transform.src.as_bytes(), other.src.as_bytes()) {
                return Err(error::MIRROR_OVERLAPPING_SUBJECT_FILTERS.into());
            }
        }
    }
    if mirror.external.is_some() {
        upstream.add_external(mirror);
        return Ok(());
    }
    if !is_valid_name(&mirror.name) {
        return Err(error::MIRROR_INVALID_STREAM_NAME.into());
    }
    if let Some(origin) = (neighbours.find)(&mirror.name) {
        upstream.subjects.extend(origin.subjects.iter().cloned());
        if is_smaller(config.max_msg_size, origin.max_msg_size) {
            return Err(error::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG.into());
        }
        if pedantic && config.mirror_direct != origin.allow_direct {
            return pedantic_error("origin stream has direct get set, mirror has it disabled");
        }
        config.mirror_direct = origin.allow_direct;
    }
    Ok(())
}

/// Whether messages that fit there do not fit here.
fn is_smaller(here: i32, there: i32) -> bool {
    here > 0 && there > 0 && here < there
}

fn sources(
    config: &StreamConfig,
    neighbours: &Neighbours<'_>,
    upstream: &mut Upstream,
) -> Result<(), ApiError> {
    if !config.sources.is_empty() && config.allow_msg_schedules {
        return Err(error::SOURCE_WITH_MSG_SCHEDULES.into());
    }
    let mut identities = BTreeSet::new();
    let mut consumers = BTreeSet::new();
    for source in &config.sources {
        if !is_valid_name(&source.name) {
            return Err(error::SOURCE_INVALID_STREAM_NAME.into());
        }
        if !identities.insert(identity(source)) {
            return Err(error::SOURCE_DUPLICATE_DETECTED.into());
        }
        if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
            return Err(error::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED.into());
        }
        for transform in &source.subject_transforms {
            if is_bad_source(&transform.src) {
                return Err(error::SOURCE_INVALID_SUBJECT_FILTER.with(bad_subject(&transform.src)));
            }
            mapping(transform).map_err(|fault| error::SOURCE_INVALID_TRANSFORM_DESTINATION.with(fault))?;
        }
        for (index, transform) in source.subject_transforms.iter().enumerate() {
            for (other_index, other) in source.subject_transforms.iter().enumerate() {
                if other_index != index && is_subset(transform.src.as_bytes(), other.src.as_bytes()) {
                    return Err(error::SOURCE_OVERLAPPING_SUBJECT_FILTERS.into());
                }
            }
        }
        if let Some(consumer) = &source.consumer {
            if !is_consumer_usable(source) {
                return Err(error::SOURCE_DURABLE_CONSUMER_CFG_INVALID.into());
            }
            let api = source.external.as_ref().map(|external| &external.api);
            if !consumers.insert((&source.name, api, &consumer.name)) {
                return Err(error::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED.into());
            }
        }
        if source.external.is_some() {
            upstream.add_external(source);
        } else if let Some(origin) = (neighbours.find)(&source.name) {
            upstream.subjects.extend(origin.subjects.iter().cloned());
            if is_smaller(config.max_msg_size, origin.max_msg_size) {
                return Err(error::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG.into());
            }
        }
    }
    Ok(())
}

/// What tells two sources of the same stream apart.
pub(crate) fn identity(source: &StreamSource) -> Vec<&str> {
    let mut parts = vec![source.name.as_str()];
    parts.push(
        source
            .external
            .as_ref()
            .map_or("", |external| external.api.as_str()),
    );
    parts.push(
        source
            .consumer
            .as_ref()
            .map_or("", |consumer| consumer.name.as_str()),
    );
    if source.subject_transforms.is_empty() {
        parts.push(or_all(&source.filter_subject));
        parts.push(">");
    }
    for transform in &source.subject_transforms {
        parts.push(or_all(&transform.src));
        parts.push(or_all(&transform.dest));
    }
    parts
}

fn or_all(text: &str) -> &str {
    if text.is_empty() {
        ">"
    } else {
        text
    }
}

/// Messages must not come back to where they were.
fn cycles(config: &StreamConfig, neighbours: &Neighbours<'_>) -> Result<(), ApiError> {
    let mut to_visit = std::collections::VecDeque::from([config]);
    let mut visited = BTreeSet::new();
    let overlaps = |subjects: &[String], filter: &str| {
        filter.is_empty()
            || subjects
                .iter()
                .any(|subject| collides(subject.as_bytes(), filter.as_bytes()))
    };
    while let Some(stream) = to_visit.pop_front() {
        visited.insert(stream.name.clone());
        for source in stream.sources.iter().filter(|source| source.external.is_none()) {
            if visited.contains(&source.name) {
                if overlaps(&stream.subjects, &source.filter_subject) {
                    return invalid("detected cycle");
                }
            } else if let Some(origin) = (neighbours.find)(&source.name) {
                to_visit.push_back(origin);
            }
        }
        if let Some(mirror) = stream.mirror.as_ref().filter(|mirror| mirror.external.is_none()) {
            if visited.contains(&mirror.name) {
                return invalid("detected cycle");
            }
            to_visit.extend((neighbours.find)(&mirror.name));
        }
    }
    Ok(())
}

fn subjects(config: &mut StreamConfig) -> Result<(), ApiError> {
    if config.subjects.is_empty() {
        if config.mirror.is_none() && config.sources.is_empty() {
            config.subjects.push(config.name.clone());
        }
        return Ok(());
    }
    if config.mirror.is_some() {
        return Err(error::MIRROR_WITH_SUBJECTS.into());
    }
    for (index, sub) in config.subjects.iter().enumerate() {
        let bytes = sub.as_bytes();
        if !subject::is_valid(bytes) {
            return invalid("invalid subject");
        }
        if config.subjects[..index].contains(sub) {
            return invalid("duplicate subjects detected");
        }
        if sub == ">" {
            if !config.no_ack {
                return invalid("capturing all subjects requires no-ack to be true");
            }
            if config.num_replicas != 1 {
                return invalid("capturing all subjects requires replicas of 1");
            }
        }
        if !config.no_ack {
            let in_api = ["$JS.>", "$JSC.>", "$NRG.>"]
                .iter()
                .any(|space| collides(bytes, space.as_bytes()));
            if in_api && !is_subset(bytes, b"$JS.EVENT.>") {
                return invalid("subjects that overlap with jetstream api require no-ack to be true");
            }
            if collides(bytes, b"$SYS.>") && !is_subset(bytes, b"$SYS.ACCOUNT.>") {
                return invalid("subjects that overlap with system api require no-ack to be true");
            }
        }
        for other in &config.subjects[index + 1..] {
            if collides(other.as_bytes(), bytes) {
                return invalid(format_args!(
                    "subject {} overlaps with {}",
                    crate::json::quote(sub),
                    crate::json::quote(other)
                ));
            }
        }
    }
    Ok(())
}

fn max_bytes(config: &StreamConfig, neighbours: &Neighbours<'_>) -> Result<(), ApiError> {
    let limit = match config.storage {
        Storage::Memory => neighbours.memory_max_stream_bytes,
        Storage::File => neighbours.storage_max_stream_bytes,
    };
    if neighbours.max_bytes_required && config.max_bytes <= 0 {
        return Err(error::STREAM_MAX_BYTES_REQUIRED.into());
    }
    if limit > 0 && config.max_bytes > limit {
        return Err(error::STREAM_MAX_STREAM_BYTES_EXCEEDED.into());
    }
    Ok(())
}

fn transforms(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if let Some(transform) = &config.subject_transform {
        if is_bad_source(&transform.src) {
            return Err(error::STREAM_TRANSFORM_INVALID_SOURCE.with(bad_subject(&transform.src)));
        }
        mapping(transform).map_err(|fault| error::STREAM_TRANSFORM_INVALID_DESTINATION.with(fault))?;
    }
    let Some(republish) = &mut config.republish else {
        return Ok(());
    };
    if republish.src.is_empty() {
        if pedantic {
            return pedantic_error("republish source can not be empty");
        }
        ">".clone_into(&mut republish.src);
    }
    if republish.src == ">" && republish.dest == ">" && config.subjects.len() == 1 {
        if let Some(transform) = config
            .subject_transform
            .as_ref()
            .filter(|transform| transform.src == config.subjects[0])
        {
            if pedantic {
                return pedantic_error("implicit republish based on subject transform");
            }
            republish.src.clone_from(&transform.dest);
            republish.dest.clone_from(&transform.dest);
        }
    }
    let dest = republish.dest.as_bytes();
    if config.subjects.iter().any(|sub| collides(dest, sub.as_bytes())) {
        return invalid("stream configuration for republish destination forms a cycle");
    }
    if Transform::compile(republish.src.as_bytes(), dest, Use::Mapping).is_err() {
        return invalid(format_args!(
            "stream configuration for republish with transform from '{}' to '{}' not valid",
            republish.src, republish.dest
        ));
    }
    Ok(())
}
