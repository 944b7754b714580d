//! The memory store: a stream's messages in this shard's memory, gone with the process.
//!
//! Owns: messages by sequence (`slots`), sequences by subject (`sequences` in a subject tree), limits, what expires.
//! Not here: the contract's words (`stream_store`), whether a message may come in.
//!
//! Invariants: every message is in its subject's list and in no other; `expiry` holds exactly the messages with an
//! end; no message before `oldest_aging` has an age.

mod sequences;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::rc::Rc;

use pinion_shard::io::WallTime;

use crate::index::{Filter, SubjectTree};
use crate::stream_store::{
    Life, Load, NewMessage, OnDropped, Purge, Purged, StoreLimits, StoreState, StoredMessage, SubjectState,
    TooManySubjects,
};
use sequences::Sequences;
use slots::Slots;

/// What a message counts beside its subject, headers and payload: the peer's figure.
const MESSAGE_OVERHEAD: usize = 16;
/// So many messages are looked at for a wildcard before the subjects that match are asked one by one.
const SCAN_COUNT: usize = 256;

/// Messages of one stream.
#[derive(Debug, Default)]
pub struct MemoryStore {
    limits: StoreLimits,
    state: StoreState,
    slots: Slots,
    subjects: SubjectTree<Sequences>,
    /// End of life and sequence of the messages that have an end of their own.
    expiry: BTreeSet<(WallTime, u64)>,
    /// The first message that `max_age` counts for. It only moves on, so that a long run of messages that live forever is
    /// stepped over once.
    oldest_aging: Option<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    pub(crate) fn message_size(subject: usize, headers: usize, payload: usize) -> u64 {
        (subject + headers + payload + MESSAGE_OVERHEAD) as u64
    }

    pub(crate) fn state(&self) -> StoreState {
        self.state
    }

    pub(crate) fn subject_count(&self) -> usize {
        self.subjects.len()
    }

    pub(crate) fn append(&mut self, message: &NewMessage<'_>, on_dropped: OnDropped<'_>) -> u64 {
        let seq = self.state.last_seq + 1;
        let stored = Rc::new(StoredMessage::new(seq, message));
        if self.state.messages == 0 {
            self.state.first_seq = seq;
            self.state.first_time = Some(message.time);
        }
        self.state.messages += 1;
        self.state.bytes += size(&stored);
        self.state.last_seq = seq;
        self.state.last_time = Some(message.time);
        let mut new = false;
        let list = self.subjects.get_or_insert_with(message.subject, || {
            new = true;
            Sequences::One(seq)
        });
        if !new {
            list.push(seq);
        }
        if let Life::Until(end) = message.life {
            self.expiry.insert((end, seq));
        }
        if message.life != Life::Forever {
            self.oldest_aging.get_or_insert(seq);
        }
        self.slots.insert(stored);
        self.drop_over_subject_limit(message.subject, on_dropped);
        self.drop_over_limits(on_dropped);
        seq
    }

    pub(crate) fn skip(&mut self, time: WallTime) -> u64 {
        let seq = self.state.last_seq + 1;
        self.state.last_seq = seq;
        self.state.last_time = Some(time);
        if self.state.messages == 0 {
            self.state.first_seq = seq + 1;
            self.state.first_time = None;
        }
        seq
    }

    pub(crate) fn load(&self, seq: u64) -> Load {
        match self.slots.get(seq) {
            Some(message) => Load::Found(Rc::clone(message)),
            None => Load::Missing,
        }
    }

    pub(crate) fn last(&self, filter: &Filter) -> Option<u64> {
        if filter.is_literal() {
            return Some(self.subjects.get(filter.as_bytes())?.last());
        }
        let mut last = None;
        self.subjects.walk(filter, &mut |_, list| {
            last = last.max(Some(list.last()));
            true
        });
        last
    }

    pub(crate) fn last_per_subject(
        &self,
        filters: &[Filter],
        up_to: u64,
        count_max: usize,
    ) -> Result<Vec<u64>, TooManySubjects> {
        let mut found = BTreeSet::new();
        for filter in filters {
            let whole = self.subjects.walk(filter, &mut |_, list| {
                found.extend(list.last_up_to(up_to));
                found.len() <= count_max
            });
            if !whole {
                return Err(TooManySubjects);
            }
        }
        Ok(found.into_iter().collect())
    }

    pub(crate) fn next(&self, filters: &[Filter], from: u64) -> Option<u64> {
        if is_all(filters) {
            return Some(self.slots.iter_from(from).next()?.seq);
        }
        if !filters.iter().all(Filter::is_literal) {
            let mut next_unseen = None;
            for (count, message) in self.slots.iter_from(from).enumerate() {
                if count == SCAN_COUNT {
                    next_unseen = Some(message.seq);
                    break;
                }
                if filters.iter().any(|filter| filter.matches(message.subject())) {
                    return Some(message.seq);
                }
            }
            return self.next_of_subjects(filters, next_unseen?);
        }
        self.next_of_subjects(filters, from)
    }

    fn next_of_subjects(&self, filters: &[Filter], from: u64) -> Option<u64> {
        let mut next = u64::MAX;
        self.walk_filters(filters, &mut |list| {
            next = next.min(list.next(from).unwrap_or(u64::MAX));
        });
        (next != u64::MAX).then_some(next)
    }

    pub(crate) fn pending(&self, filters: &[Filter], from: u64) -> u64 {
        if is_all(filters) {
            return if from <= self.state.first_seq {
                self.state.messages
            } else {
                self.slots.count_from(from)
            };
        }
        let mut pending = 0;
        self.walk_filters(filters, &mut |list| pending += list.count_from(from));
        pending
    }

    pub(crate) fn pending_last_per_subject(&self, filters: &[Filter], from: u64) -> u64 {
        let all = [Filter::all()];
        let filters = if is_all(filters) { &all } else { filters };
        let mut pending = 0;
        self.walk_filters(filters, &mut |list| pending += u64::from(list.last() >= from));
        pending
    }

    pub(crate) fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.subjects.get(subject).map(subject_state)
    }

    pub(crate) fn subjects(&self, filter: &Filter, visit: &mut dyn FnMut(&[u8], SubjectState) -> bool) {
        self.subjects
            .walk(filter, &mut |subject, list| visit(subject, subject_state(list)));
    }

    pub(crate) fn seq_at(&self, time: WallTime) -> u64 {
        let (mut low, mut high) = (self.state.first_seq, self.state.last_seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.slots.iter_from(middle).next() {
                Some(message) if message.time < time => low = message.seq + 1,
                _ => high = middle,
            }
        }
        match self.slots.iter_from(low).next() {
            Some(message) => message.seq,
            None => self.state.last_seq + 1,
        }
    }

    pub(crate) fn remove(&mut self, seq: u64, erase: bool) -> bool {
        match self.take(seq) {
            Some(mut message) => {
                if erase {
                    // A delivery that is under way holds its own share and goes out as it is.
                    if let Some(message) = Rc::get_mut(&mut message) {
                        message.erase();
                    }
                }
                true
            }
            None => false,
        }
    }

    pub(crate) fn purge(&mut self, purge: &Purge) -> Purged {
        if purge.below_seq == 1 {
            return Purged::default();
        }
        let everything = purge.filter.as_ref().is_none_or(Filter::is_all);
        if everything && purge.below_seq == 0 && purge.keep == 0 {
            return self.start_at(self.state.last_seq + 1);
        }
        if everything && purge.below_seq > self.state.last_seq {
            return if self.state.first_seq > purge.below_seq {
                Purged::default()
            } else {
                self.start_at(purge.below_seq)
            };
        }
        let below = if purge.below_seq == 0 {
            u64::MAX
        } else {
            purge.below_seq
        };
        let all = Filter::all();
        let filter = purge.filter.as_ref().unwrap_or(&all);
        let (mut seqs, mut matching) = (Vec::new(), 0);
        self.walk_filters(std::slice::from_ref(filter), &mut |list| {
            list.below(below, &mut seqs);
            matching += list.len();
        });
        seqs.sort_unstable();
        let keep = if everything && purge.below_seq > 0 {
            0
        } else {
            purge.keep
        };
        let count = usize::try_from(matching.saturating_sub(keep)).unwrap_or(usize::MAX);
        let mut purged = Purged::default();
        for seq in seqs.into_iter().take(count) {
            let message = self.take(seq).expect("the index knows every message");
            purged.messages += 1;
            purged.bytes += size(&message);
        }
        purged
    }

    pub(crate) fn start_at(&mut self, first_seq: u64) -> Purged {
        assert!(first_seq > self.state.last_seq, "a sequence is used once");
        let purged = Purged {
            messages: self.state.messages,
            bytes: self.state.bytes,
        };
        self.state = StoreState {
            first_seq,
            last_seq: first_seq - 1,
            last_time: self.state.last_time,
            ..StoreState::default()
        };
        self.slots.clear();
        self.subjects.clear();
        self.expiry.clear();
        self.oldest_aging = None;
        purged
    }

    pub(crate) fn set_limits(&mut self, limits: StoreLimits, on_dropped: OnDropped<'_>) {
        self.limits = limits;
        self.drop_over_limits(on_dropped);
        if let Some(max) = limits.messages_per_subject_max {
            let mut over = Vec::new();
            self.subjects.walk(&Filter::all(), &mut |subject, list| {
                if list.len() > max {
                    over.push(subject.to_vec());
                }
                true
            });
            for subject in over {
                self.drop_over_subject_limit(&subject, on_dropped);
            }
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<WallTime> {
        let by_end = self.expiry.first().map(|(end, _)| *end);
        let by_age = self.limits.age_max_ns.and_then(|age| {
            let oldest = self.slots.get(self.oldest_aging?).expect("it is live");
            Some(WallTime(oldest.time.0.saturating_add(age)))
        });
        match (by_end, by_age) {
            (Some(end), Some(age)) => Some(end.min(age)),
            (end, age) => end.or(age),
        }
    }

    pub(crate) fn expired(&self, now: WallTime, count_max: usize) -> Vec<u64> {
        let mut seqs = BTreeSet::new();
        if let (Some(age), Some(oldest)) = (self.limits.age_max_ns, self.oldest_aging) {
            let too_old = self
                .aging_from(oldest)
                .take_while(|message| message.time.0.saturating_add(age) <= now.0);
            seqs.extend(too_old.take(count_max).map(|message| message.seq));
        }
        let ended = self.expiry.iter().take_while(|(end, _)| *end <= now);
        seqs.extend(ended.take(count_max).map(|(_, seq)| *seq));
        seqs.into_iter().take(count_max).collect()
    }

    pub(crate) fn deleted_ranges(&self, visit: &mut dyn FnMut(u64, u64) -> bool) {
        let mut expected = self.state.first_seq;
        for message in self.slots.iter_from(self.state.first_seq) {
            if message.seq > expected && !visit(expected, message.seq - 1) {
                return;
            }
            expected = message.seq + 1;
        }
        if expected <= self.state.last_seq {
            visit(expected, self.state.last_seq);
        }
    }

    /// The messages that `max_age` counts for.
    fn aging_from(&self, from: u64) -> impl Iterator<Item = &Rc<StoredMessage>> {
        self.slots
            .iter_from(from)
            .filter(|message| message.life != Life::Forever)
    }

    fn walk_filters(&self, filters: &[Filter], visit: &mut dyn FnMut(&Sequences)) {
        for filter in filters {
            if filter.is_literal() {
                if let Some(list) = self.subjects.get(filter.as_bytes()) {
                    visit(list);
                }
            } else {
                self.subjects.walk(filter, &mut |_, list| {
                    visit(list);
                    true
                });
            }
        }
    }

    fn drop_over_subject_limit(&mut self, subject: &[u8], on_dropped: OnDropped<'_>) {
        let Some(max) = self.limits.messages_per_subject_max else {
            return;
        };
        while let Some(list) = self.subjects.get(subject).filter(|list| list.len() > max) {
            let seq = list.first();
            self.take(seq).expect("the index knows every message");
            on_dropped(seq, subject);
        }
    }

    fn drop_over_limits(&mut self, on_dropped: OnDropped<'_>) {
        let over = |limit: Option<u64>, value: u64| limit.is_some_and(|max| value > max);
        while over(self.limits.messages_max, self.state.messages)
            || over(self.limits.bytes_max, self.state.bytes)
        {
            let message = self.take(self.state.first_seq).expect("the first message exists");
            on_dropped(message.seq, message.subject());
        }
    }

    /// Takes a message out of everything.
    fn take(&mut self, seq: u64) -> Option<Rc<StoredMessage>> {
        let message = self.slots.remove(seq)?;
        let list = self.subjects.get_mut(message.subject());
        if list.expect("the index knows every message").remove(seq) {
            self.subjects.remove(message.subject());
        }
        if let Life::Until(end) = message.life {
            assert!(self.expiry.remove(&(end, seq)), "every end is noted");
        }
        if self.oldest_aging == Some(seq) {
            let oldest = self.aging_from(seq + 1).next().map(|message| message.seq);
            self.oldest_aging = oldest;
        }
        self.state.messages -= 1;
        self.state.bytes -= size(&message);
        if seq == self.state.first_seq {
            let first = self.slots.iter_from(seq + 1).next();
            self.state.first_seq = first.map_or(self.state.last_seq + 1, |message| message.seq);
            self.state.first_time = first.map(|message| message.time);
        }
        Some(message)
    }
}

fn size(message: &StoredMessage) -> u64 {
    MemoryStore::message_size(
        message.subject().len(),
        message.headers().len(),
        message.payload().len(),
    )
}

fn subject_state(list: &Sequences) -> SubjectState {
    SubjectState {
        messages: list.len(),
        first_seq: list.first(),
        last_seq: list.last(),
    }
}

fn is_all(filters: &[Filter]) -> bool {
    filters.is_empty() || filters.iter().any(Filter::is_all)
}
