//! What may change in the configuration of a consumer that exists.
//!
//! Not here: what may be at all (`check`).

use super::ConsumerConfig;
use crate::error::{self, ApiError};

/// Checks the step from one configuration to another that is fine by itself. `is_bound` says whether somebody listens on the
/// old deliver subject.
pub fn check_update(old: &ConsumerConfig, new: &ConsumerConfig, is_bound: bool) -> Result<(), ApiError> {
    let same = [
        (
            old.deliver_policy == new.deliver_policy,
            "deliver policy can not be updated",
        ),
        (
            old.mem_storage == new.mem_storage,
            "storage type can not be updated",
        ),
        (
            old.opt_start_seq == new.opt_start_seq,
            "start sequence can not be updated",
        ),
        (
            old.opt_start_time == new.opt_start_time,
            "start time can not be updated",
        ),
        (old.ack_policy == new.ack_policy, "ack policy can not be updated"),
        (
            old.replay_policy == new.replay_policy,
            "replay policy can not be updated",
        ),
        (
            old.idle_heartbeat == new.idle_heartbeat,
            "heart beats can not be updated",
        ),
        (
            old.flow_control == new.flow_control,
            "flow control can not be updated",
        ),
        (
            !old.is_pull() || new.is_pull(),
            "can not update pull consumer to push based",
        ),
        (
            old.is_pull() || !new.is_pull(),
            "can not update push consumer to pull based",
        ),
    ];
    if let Some((_, text)) = same.into_iter().find(|(is_same, _)| !is_same) {
        return Err(error::CONSUMER_CREATE.with(text));
    }
    if old.deliver_subject != new.deliver_subject && is_bound {
        return Err(error::CONSUMER_NAME_EXIST.into());
    }
    if old.max_waiting != new.max_waiting {
        return Err(error::CONSUMER_CREATE.with("max waiting can not be updated"));
    }
    Ok(())
}
