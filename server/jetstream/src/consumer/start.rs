//! Where a new consumer begins.

use pinion_storage::stream_store::StreamStore;

use super::config::{ConsumerConfig, DeliverPolicy};

/// More subjects than this are not looked at one by one: the consumer begins at the first message.
pub(super) const LAST_PER_SUBJECT_MAX: usize = 1 << 24;

/// The first message that a consumer looks at, and up to where only the last of each subject counts (0: nowhere).
pub(super) fn start(
    config: &ConsumerConfig,
    messages_per_subject_max: i64,
    store: &StreamStore,
) -> (u64, u64) {
    let state = store.state();
    let filters = config.filters();
    let mut until = 0;
    let wanted = match config.deliver_policy {
        DeliverPolicy::All => state.first_seq,
        DeliverPolicy::New => state.last_seq + 1,
        DeliverPolicy::ByStartSequence => {
            // A sequence that is not there yet is waited for.
            return (config.opt_start_seq.max(state.first_seq).max(1), 0);
        }
        DeliverPolicy::Last if filters.is_empty() => state.last_seq,
        DeliverPolicy::Last => {
            let lasts = filters.iter().filter_map(|filter| store.last(filter));
            lasts.max().unwrap_or(0)
        }
        DeliverPolicy::LastPerSubject if messages_per_subject_max == 1 => state.first_seq,
        DeliverPolicy::LastPerSubject => {
            match store.last_per_subject(&filters, state.last_seq, LAST_PER_SUBJECT_MAX) {
                Ok(lasts) => {
                    until = if lasts.is_empty() { 0 } else { state.last_seq };
                    lasts.first().copied().unwrap_or(state.last_seq)
                }
                Err(_) => state.first_seq,
            }
        }
        DeliverPolicy::ByStartTime => {
            let from = store.seq_at(config.opt_start_time.unwrap_or_default());
            // Close to the first message that is wanted, as far as that is not the stream's last.
            match store.next(&filters, from) {
                Some(next) if !filters.is_empty() && next < state.last_seq => next,
                _ => from,
            }
        }
    };
    (
        wanted.clamp(
            state.first_seq.max(1),
            state.last_seq.max(state.first_seq.max(1) - 1) + 1,
        ),
        until,
    )
}
