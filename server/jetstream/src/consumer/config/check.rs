//! What a configuration may be, in the order the peer looks at it: the first thing wrong is what is answered.
//!
//! Owns: defaults, adjustments that a client did not ask for, refusals. Not here: changes of a consumer that exists
//! (`update`), how many consumers there may be (`api`).

use pinion_shard::proto::duration::format_duration_ns;
use pinion_shard::subject;
use pinion_shard::subject::wildcard::{collides, is_subset};

use super::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy};
use crate::error::{self, ApiError, ErrorKind};
use crate::stream::config::check::is_valid_name;
use crate::stream::config::{Retention, StreamConfig};

/// Bytes of a description.
const DESCRIPTION_SIZE_MAX: usize = 4 * 1024;
/// Bytes of all keys and values of the metadata.
const METADATA_SIZE_MAX: usize = 128 * 1024;
/// Bytes of a priority group's name.
const GROUP_SIZE_MAX: usize = 16;
/// Pull requests that wait, when nothing is said.
const MAX_WAITING_DEFAULT: i64 = 512;
/// Deliveries that wait for an ack, when nothing is said.
const MAX_ACK_PENDING_DEFAULT: i64 = 1000;
/// Nanoseconds that a delivery waits for its ack, when nothing is said.
const ACK_WAIT_DEFAULT: i64 = 30_000_000_000;
/// Nanoseconds that a pinned client may be silent, when nothing is said.
const PINNED_TTL_DEFAULT: i64 = 120_000_000_000;
/// Nanoseconds between heartbeats of a consumer that is acked by flow control; no other value is allowed.
const FLOW_CONTROL_HEARTBEAT: i64 = 1_000_000_000;
/// Nanoseconds between heartbeats at least.
const HEARTBEAT_MIN: i64 = 100_000_000;
/// Nanoseconds that a pull request may wait, at least.
const MAX_EXPIRES_MIN: i64 = 1_000_000;

/// What the server and the account allow; not above 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerBounds {
    /// `jetstream.limits.max_ack_pending`.
    pub server_max_ack_pending: i64,
    /// The account's limit.
    pub account_max_ack_pending: i64,
    /// `jetstream.limits.max_request_batch`.
    pub server_max_request_batch: i64,
}

fn pedantic_error<T>(text: &str) -> Result<T, ApiError> {
    Err(error::PEDANTIC.with(text))
}

fn refuse<T>(kind: ErrorKind) -> Result<T, ApiError> {
    Err(kind.into())
}

/// Fills in what was not said and mends what makes no sense; `pedantic` refuses instead.
pub fn set_defaults(
    config: &mut ConsumerConfig,
    stream: &StreamConfig,
    bounds: &ConsumerBounds,
    pedantic: bool,
) -> Result<(), ApiError> {
    mend_negatives(config, pedantic)?;
    if config.is_pull() && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING_DEFAULT;
    }
    if config.ack_wait == 0 && matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
        config.ack_wait = ACK_WAIT_DEFAULT;
    }
    if let Some(first) = config.backoff.first() {
        if pedantic && config.ack_wait != first.0 {
            return pedantic_error("first backoff value has to equal batch AckWait");
        }
        config.ack_wait = first.0;
    }
    let limits = &stream.consumer_limits;
    if config.max_ack_pending == 0 {
        if pedantic && limits.max_ack_pending > 0 {
            return pedantic_error("max_ack_pending must be set if it's configured in stream limits");
        }
        config.max_ack_pending = limits.max_ack_pending;
    }
    if config.inactive_threshold == 0 {
        if pedantic && limits.inactive_threshold > 0 {
            return pedantic_error("inactive_threshold must be set if it's configured in stream limits");
        }
        config.inactive_threshold = limits.inactive_threshold;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        config.max_ack_pending = [bounds.server_max_ack_pending, bounds.account_max_ack_pending]
            .into_iter()
            .filter(|bound| *bound > 0)
            .fold(MAX_ACK_PENDING_DEFAULT, i64::min);
    }
    if config.is_pull() && config.max_batch == 0 && bounds.server_max_request_batch > 0 {
        if pedantic {
            return pedantic_error("max_request_batch must be set if it's JetStream limits are set");
        }
        config.max_batch = bounds.server_max_request_batch;
    }
    if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout == 0 {
        config.priority_timeout = PINNED_TTL_DEFAULT;
    }
    if config.ack_policy == AckPolicy::FlowControl && !pedantic {
        config.flow_control = true;
        config.idle_heartbeat = FLOW_CONTROL_HEARTBEAT;
    }
    Ok(())
}

fn mend_negatives(config: &mut ConsumerConfig, pedantic: bool) -> Result<(), ApiError> {
    if pedantic && config.max_deliver < -1 {
        return pedantic_error("max_deliver must be set to -1");
    }
    if config.max_deliver == 0 || config.max_deliver < -1 {
        config.max_deliver = -1;
    }
    let fields = [
        (&mut config.max_waiting, 0, "max_waiting must not be negative"),
        (
            &mut config.max_ack_pending,
            -1,
            "max_ack_pending must be set to -1",
        ),
        (&mut config.max_batch, 0, "max_batch must not be negative"),
        (&mut config.max_expires, 0, "max_expires must not be negative"),
        (&mut config.max_bytes, 0, "max_bytes must not be negative"),
        (
            &mut config.idle_heartbeat,
            0,
            "idle_heartbeat must not be negative",
        ),
        (
            &mut config.inactive_threshold,
            0,
            "inactive_threshold must not be negative",
        ),
        (
            &mut config.priority_timeout,
            0,
            "priority_timeout must not be negative",
        ),
    ];
    for (field, least, text) in fields {
        if *field < least {
            if pedantic {
                return pedantic_error(text);
            }
            *field = least;
        }
    }
    Ok(())
}

/// Whether what is pushed there would come back into the stream.
pub fn forms_cycle(stream: &StreamConfig, deliver_subject: &str) -> bool {
    let mut subjects = stream.subjects.iter();
    subjects.any(|subject| is_subset(deliver_subject.as_bytes(), subject.as_bytes()))
}

/// Checks a configuration with its defaults.
pub fn check(
    config: &ConsumerConfig,
    stream: &StreamConfig,
    bounds: &ConsumerBounds,
) -> Result<(), ApiError> {
    names_and_replicas(config, stream)?;
    if config.backoff.iter().any(|wait| wait.0 < 0) {
        return refuse(error::CONSUMER_BACK_OFF_NEGATIVE);
    }
    if config.ack_wait < 0 {
        return refuse(error::CONSUMER_ACK_WAIT_NEGATIVE);
    }
    if config.ack_policy == AckPolicy::FlowControl {
        flow_control_ack(config)?;
    }
    let backoff_count = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if backoff_count > 0 && config.max_deliver != -1 && backoff_count > config.max_deliver {
        return refuse(error::CONSUMER_MAX_DELIVER_BACKOFF);
    }
    if config.description.len() > DESCRIPTION_SIZE_MAX {
        return Err(error::CONSUMER_DESCRIPTION_TOO_LONG.with(DESCRIPTION_SIZE_MAX));
    }
    if config.is_pull() {
        pull(config, stream, bounds)?;
    } else {
        push(config, stream)?;
    }
    limits(config, stream, bounds)?;
    if config.direct {
        if config.is_pull() {
            return refuse(error::CONSUMER_DIRECT_REQUIRES_PUSH);
        }
        if config.is_durable() {
            return refuse(error::CONSUMER_DIRECT_REQUIRES_EPHEMERAL);
        }
    }
    filters(config)?;
    start(config)?;
    sampling(config)?;
    if config.flow_control && config.idle_heartbeat == 0 {
        return refuse(error::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS);
    }
    if config.is_durable() && !config.name.is_empty() && config.name != config.durable_name {
        return refuse(error::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH);
    }
    let pairs = config.metadata.iter();
    let size: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
    if size > METADATA_SIZE_MAX {
        return Err(error::CONSUMER_METADATA_LENGTH.with(format_args!("{}KB", METADATA_SIZE_MAX / 1024)));
    }
    priority(config)
}

fn names_and_replicas(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let names = [
        (
            &config.name,
            "consumer name can not contain '.', '*', '>', '\\', '/'",
        ),
        (
            &config.durable_name,
            "consumer durable name can not contain '.', '*', '>', '\\', '/'",
        ),
    ];
    for (name, text) in names {
        if !name.is_empty() && !is_valid_name(name) {
            return Err(error::STREAM_INVALID_CONFIG.with(text));
        }
    }
    if config.num_replicas > 0 && config.num_replicas > stream.num_replicas {
        return refuse(error::CONSUMER_REPLICAS_EXCEEDS_STREAM);
    }
    if config.num_replicas < 0 {
        return refuse(error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE);
    }
    if stream.retention != Retention::Limits
        && config.num_replicas != 0
        && config.num_replicas != stream.num_replicas
    {
        return refuse(error::CONSUMER_REPLICAS_SHOULD_MATCH_STREAM);
    }
    Ok(())
}

fn flow_control_ack(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.is_pull() {
        return refuse(error::CONSUMER_ACK_FC_REQUIRES_PUSH);
    }
    if !config.flow_control {
        return refuse(error::CONSUMER_ACK_FC_REQUIRES_FC);
    }
    if config.idle_heartbeat != FLOW_CONTROL_HEARTBEAT {
        return Err(error::STREAM_INVALID_CONFIG.with("flow control ack policy heartbeat needs to be 1s"));
    }
    if config.max_ack_pending <= 0 {
        return refuse(error::CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING);
    }
    if config.ack_wait != 0 || !config.backoff.is_empty() {
        return refuse(error::CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT);
    }
    if config.max_deliver > 0 {
        return refuse(error::CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER);
    }
    Ok(())
}

fn push(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), ApiError> {
    let deliver = config.deliver_subject.as_bytes();
    if !subject::is_literal(deliver) {
        return refuse(error::CONSUMER_DELIVER_TO_WILDCARDS);
    }
    if !subject::is_valid(deliver) {
        return refuse(error::CONSUMER_INVALID_DELIVER_SUBJECT);
    }
    if forms_cycle(stream, &config.deliver_subject) {
        return refuse(error::CONSUMER_DELIVER_CYCLE);
    }
    if config.max_waiting != 0 {
        return refuse(error::CONSUMER_PUSH_MAX_WAITING);
    }
    if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
        return refuse(error::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED);
    }
    if config.idle_heartbeat > 0 && config.idle_heartbeat < HEARTBEAT_MIN {
        return refuse(error::CONSUMER_SMALL_HEARTBEAT);
    }
    Ok(())
}

fn pull(config: &ConsumerConfig, stream: &StreamConfig, bounds: &ConsumerBounds) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::None && stream.retention == Retention::WorkQueue {
        return refuse(error::CONSUMER_PULL_REQUIRES_ACK);
    }
    if config.rate_limit_bps > 0 {
        return refuse(error::CONSUMER_PULL_WITH_RATE_LIMIT);
    }
    if config.idle_heartbeat > 0 {
        return refuse(error::CONSUMER_HB_REQUIRES_PUSH);
    }
    if config.flow_control {
        return refuse(error::CONSUMER_FC_REQUIRES_PUSH);
    }
    if config.max_expires != 0 && config.max_expires < MAX_EXPIRES_MIN {
        return refuse(error::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL);
    }
    let batch_max = bounds.server_max_request_batch;
    if batch_max > 0 && config.max_batch > batch_max {
        return Err(error::CONSUMER_MAX_REQUEST_BATCH_EXCEEDED.with(batch_max));
    }
    Ok(())
}

fn limits(config: &ConsumerConfig, stream: &StreamConfig, bounds: &ConsumerBounds) -> Result<(), ApiError> {
    let pending_bounds = [
        bounds.server_max_ack_pending,
        bounds.account_max_ack_pending,
        stream.consumer_limits.max_ack_pending,
    ];
    for bound in pending_bounds {
        if bound > 0 && config.max_ack_pending > bound {
            return Err(error::CONSUMER_MAX_PENDING_ACK_EXCESS.with(bound));
        }
    }
    let threshold_max = stream.consumer_limits.inactive_threshold;
    if threshold_max > 0 && config.inactive_threshold > threshold_max {
        // The peer puts a duration where its text has a place for texts and numbers only.
        return Err(error::CONSUMER_INACTIVE_THRESHOLD_EXCESS.with(format_duration_ns(threshold_max)));
    }
    Ok(())
}

fn filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return refuse(error::CONSUMER_DUPLICATE_FILTER_SUBJECTS);
    }
    let malformed = || error::STREAM_INVALID_CONFIG.with("malformed subject");
    if !config.filter_subject.is_empty() && !subject::is_valid(config.filter_subject.as_bytes()) {
        return Err(malformed());
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return refuse(error::CONSUMER_EMPTY_FILTER);
    }
    let list = config.filter_list();
    for (index, filter) in list.iter().enumerate() {
        if !subject::is_valid(filter.as_bytes()) {
            return Err(malformed());
        }
        for (other_index, other) in list.iter().enumerate() {
            if other_index != index && is_subset(filter.as_bytes(), other.as_bytes()) {
                return refuse(error::CONSUMER_OVERLAPPING_SUBJECT_FILTERS);
            }
        }
    }
    Ok(())
}

fn start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let (has_seq, has_time) = (config.opt_start_seq > 0, config.opt_start_time.is_some());
    let also = |policy: &str, what: &str| {
        Err(error::CONSUMER_INVALID_POLICY.with(format_args!(
            "consumer delivery policy is deliver {policy}, but optional start {what} is also set"
        )))
    };
    let missing = |policy: &str, what: &str| {
        Err(error::CONSUMER_INVALID_POLICY.with(format_args!(
            "consumer delivery policy is deliver {policy}, but optional {what} is not set"
        )))
    };
    let neither = |policy: &str| match (has_seq, has_time) {
        (true, _) => also(policy, "sequence"),
        (false, true) => also(policy, "time"),
        (false, false) => Ok(()),
    };
    match config.deliver_policy {
        DeliverPolicy::All => neither("all"),
        DeliverPolicy::Last => neither("last"),
        DeliverPolicy::New => neither("new"),
        DeliverPolicy::LastPerSubject => {
            neither("last per subject")?;
            if config.filter_list().is_empty() {
                return missing("last per subject", "filter subject");
            }
            Ok(())
        }
        DeliverPolicy::ByStartSequence if !has_seq => missing("by start sequence", "start sequence"),
        DeliverPolicy::ByStartSequence if has_time => also("by start sequence", "time"),
        DeliverPolicy::ByStartTime if !has_time => missing("by start time", "start time"),
        DeliverPolicy::ByStartTime if has_seq => also("by start time", "start sequence"),
        DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => Ok(()),
    }
}

fn sampling(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.sample_freq.is_empty() {
        return Ok(());
    }
    let digits = config
        .sample_freq
        .strip_suffix('%')
        .unwrap_or(&config.sample_freq);
    let fault = match digits.parse::<i64>() {
        Ok(0..) => return Ok(()),
        Ok(_) => "<nil>".to_owned(),
        Err(fault) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = match fault.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            format!("strconv.Atoi: parsing {}: {why}", crate::json::quote(digits))
        }
    };
    Err(error::CONSUMER_INVALID_SAMPLING.with(fault))
}

fn priority(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return refuse(error::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE);
        }
        if config.priority_timeout > 0 {
            return refuse(error::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE);
        }
        return Ok(());
    }
    if !config.is_pull() {
        return refuse(error::CONSUMER_PUSH_WITH_PRIORITY_GROUP);
    }
    if config.priority_groups.is_empty() {
        return refuse(error::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP);
    }
    for group in &config.priority_groups {
        if group.is_empty() {
            return refuse(error::CONSUMER_EMPTY_GROUP_NAME);
        }
        if !is_group_name(group) {
            return refuse(error::CONSUMER_INVALID_GROUP_NAME);
        }
    }
    Ok(())
}

/// Whether a priority group may be called this.
pub(crate) fn is_group_name(group: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_=-".contains(&byte);
    (1..=GROUP_SIZE_MAX).contains(&group.len()) && group.bytes().all(is_allowed)
}

/// Checks a new consumer of a work queue; `others` are the filters of those that exist, without direct ones.
pub fn check_workqueue(config: &ConsumerConfig, others: &[Vec<&str>]) -> Result<(), ApiError> {
    if !matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
        return refuse(error::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK);
    }
    if config.deliver_policy != DeliverPolicy::All {
        return refuse(error::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL);
    }
    if others.is_empty() {
        return Ok(());
    }
    let own = config.filter_list();
    if own.is_empty() {
        return refuse(error::CONSUMER_WQ_MULTIPLE_UNFILTERED);
    }
    if is_partition(&own, others) {
        Ok(())
    } else {
        refuse(error::CONSUMER_WQ_CONSUMER_NOT_UNIQUE)
    }
}

/// Whether no subject is wanted by others as well.
pub(crate) fn is_partition(own: &[&str], others: &[Vec<&str>]) -> bool {
    others.iter().all(|other| {
        let mut pairs = other
            .iter()
            .flat_map(|theirs| own.iter().map(move |ours| (theirs, ours)));
        !other.is_empty() && !pairs.any(|(theirs, ours)| collides(theirs.as_bytes(), ours.as_bytes()))
    })
}
