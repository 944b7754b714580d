//! What may change in the configuration of a stream that exists.
//!
//! Not here: what may be at all (`check`), limits of the account (`api`).

use super::check::{discard_new_per_subject, Checked};
use super::{Discard, Retention, StreamConfig};
use crate::error;

/// Checks the step from one configuration to another that is fine by itself; what a seal brings is set.
pub fn check_update(old: &StreamConfig, new: &StreamConfig) -> Checked {
    let mut new = new.clone();
    let refuse = |text: &str| Err(error::STREAM_INVALID_CONFIG.with(text));
    if new.name != old.name {
        return refuse("stream configuration name must match original");
    }
    if new.storage != old.storage {
        return refuse("stream configuration update can not change storage type");
    }
    if new.retention != old.retention && [old.retention, new.retention].contains(&Retention::WorkQueue) {
        return refuse("stream configuration update can not change retention policy to/from workqueue");
    }
    if old.sealed && !new.sealed {
        return refuse("stream configuration update can not unseal a sealed stream");
    }
    if old.deny_delete && !new.deny_delete {
        return refuse("stream configuration update can not cancel deny message deletes");
    }
    if old.deny_purge && !new.deny_purge {
        return refuse("stream configuration update can not cancel deny purge");
    }
    if new.mirror.is_some() && new.mirror != old.mirror {
        return Err(error::STREAM_MIRROR_NOT_UPDATABLE.into());
    }
    discard_new_per_subject(&new)?;
    if old.allow_msg_ttl && !new.allow_msg_ttl {
        return refuse("message TTL status can not be disabled");
    }
    if new.allow_msg_counter != old.allow_msg_counter {
        return refuse("stream configuration update can not change message counter setting");
    }
    if old.allow_msg_schedules && !new.allow_msg_schedules {
        return refuse("message schedules can not be disabled");
    }
    if new.persist_mode != old.persist_mode {
        return refuse("stream configuration update can not change persist mode");
    }
    if new.sealed {
        new.max_age = 0;
        new.discard = Discard::New;
        (new.deny_delete, new.deny_purge) = (true, true);
        new.allow_rollup_hdrs = false;
    }
    Ok(new)
}
