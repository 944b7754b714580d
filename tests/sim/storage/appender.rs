//! What one shard does to its logs between two crashes.
//!
//! Owns: which steps, how fast; noting which were acknowledged. Not here: what they mean (`model`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use pinion_shard::io::simulated::{Dice, SimIo};
use pinion_storage::commit_log::{AppendError, CommitLog, LogId, Position};

use super::model::{Model, Step};

/// How a run appends.
#[derive(Clone, Copy)]
pub(crate) struct Character {
    /// Steps of one shard between two crashes, at most.
    pub(crate) steps_max: u64,
    /// The same steps give the same bytes in each life, as when a client publishes again.
    pub(crate) repeats: bool,
    /// Entries are long as a rule.
    pub(crate) is_long: bool,
    /// Nothing but entries.
    pub(crate) only_entries: bool,
    /// Pause between two steps, nanoseconds, at most.
    pub(crate) pause_ns_max: u64,
}

type Waiting = Rc<RefCell<VecDeque<(u64, usize, Position)>>>;

fn bytes(dice: &Dice, character: &Character, id: u64, index: u64, life: u64) -> Vec<u8> {
    let life = if character.repeats { 0 } else { life };
    let head = format!("{id}.{index}.{life}.");
    let size = if character.repeats {
        // The first ones are short and go alone, the next fill a commit.
        if index < 3 {
            100
        } else {
            3_000
        }
    } else if character.is_long || dice.one_in(20) {
        dice.size(1_000, 9_000)
    } else {
        dice.size(1, 300)
    };
    let mut bytes = head.into_bytes();
    let fill = bytes.clone();
    while bytes.len() < size {
        bytes.extend_from_slice(&fill);
    }
    bytes
}

/// Makes steps on the logs `ids` until enough are made or the log stops.
pub(crate) async fn append(
    io: SimIo,
    log: CommitLog,
    ids: Vec<u64>,
    model: Rc<RefCell<Model>>,
    character: Character,
    life: u64,
) {
    let waiting = Waiting::default();
    io.spawn(
        pinion_shard::io::Queue::Hot,
        listen(io.clone(), log.clone(), Rc::clone(&model), Rc::clone(&waiting)),
    );
    let dice = io.dice().clone();
    for made in 0..dice.between(1, character.steps_max) {
        let id = ids[dice.index(ids.len())];
        let (step, position) = match step(&io, &log, &dice, &character, id, life).await {
            Ok(Some(done)) => done,
            Ok(None) => continue,
            Err(AppendError::Stopped(_)) => return,
            Err(_) => {
                io.sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let count = {
            let mut model = model.borrow_mut();
            let steps = &mut model.logs.entry(id).or_default().steps;
            steps.push(step);
            steps.len()
        };
        waiting.borrow_mut().push_back((id, count, position));
        // A client that publishes again waits for nothing after the first.
        if character.pause_ns_max > 0 && !(character.repeats && made > 0 && made < 8) {
            io.sleep(Duration::from_nanos(dice.below(character.pause_ns_max)))
                .await;
        }
    }
}

async fn step(
    io: &SimIo,
    log: &CommitLog,
    dice: &Dice,
    character: &Character,
    id: u64,
    life: u64,
) -> Result<Option<(Step, Position)>, AppendError> {
    let log_id = LogId(id);
    let next = log.next_index(log_id);
    let kind = if character.only_entries {
        0
    } else {
        dice.below(100)
    };
    let durable = log.durable_index(log_id);
    Ok(match kind {
        0..=79 => {
            let bytes = bytes(dice, character, id, next, life);
            log.room(log_id, bytes.len()).await?;
            // Others may have come in while this waited for room.
            if log.next_index(log_id) != next {
                return Ok(None);
            }
            if bytes.len() > 4096 {
                io.hit("entry_in_parts");
            }
            let position = log.append(log_id, &bytes)?;
            Some((Step::Entry(next, bytes), position))
        }
        80..=82 if next > 2 => {
            let index = dice.between(next.saturating_sub(5).max(1), next - 1);
            // A raft log supersedes nothing that was checkpointed.
            let base = log
                .range(log_id)
                .map_or(0, |(base, _)| base)
                .max(durable.saturating_sub(5));
            if index <= base {
                return Ok(None);
            }
            let bytes = bytes(dice, character, id, index, life);
            let position = log.append_at(log_id, index, &bytes)?;
            Some((Step::Entry(index, bytes), position))
        }
        83 if next > 2 => {
            let base = log.range(log_id).map_or(0, |(base, _)| base);
            if base + 1 >= next {
                return Ok(None);
            }
            let position = log.truncate(log_id, next - 1)?;
            Some((Step::Truncate(next - 1), position))
        }
        84..=92 if durable > 0 => {
            let through = durable.min(next - 1);
            if through == 0 {
                return Ok(None);
            }
            let position = log.checkpoint(log_id, through)?;
            Some((Step::Checkpoint(through), position))
        }
        93 if dice.one_in(4) => Some((Step::Forget, log.forget(log_id)?)),
        94.. => {
            let slot = dice.below(3);
            let bytes = format!("{life}.{}", dice.next()).into_bytes();
            log.room(log_id, bytes.len()).await?;
            Some((
                Step::State(slot, bytes.clone()),
                log.set_state(log_id, slot, &bytes)?,
            ))
        }
        _ => None,
    })
}

/// Notes what was acknowledged.
async fn listen(io: SimIo, log: CommitLog, model: Rc<RefCell<Model>>, waiting: Waiting) {
    let mut told = std::collections::BTreeMap::new();
    loop {
        let news = log.next_durable().await;
        let mut model = model.borrow_mut();
        for known in model.logs.values_mut() {
            known.acknowledged_before = known.acknowledged;
        }
        let mut waiting = waiting.borrow_mut();
        while let Some((id, count, _)) = waiting
            .front()
            .filter(|(.., position)| log.is_durable(*position))
            .copied()
        {
            waiting.pop_front();
            io.hit("acknowledged");
            let known = model.logs.get_mut(&id).expect("it has steps");
            known.acknowledged = known.acknowledged.max(count);
        }
        match news {
            Ok(news) => told.extend(news.into_iter().map(|durable| (durable.log, durable.index))),
            Err(_) => return,
        }
    }
}
