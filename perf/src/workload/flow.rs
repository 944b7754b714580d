//! Flow: publishes to subscribers.
//!
//! Owns: who publishes what and who subscribes where, sending at saturation and at a fixed rate, the tally.
//! Not here: the shapes of the rows (`row`), sockets (`generator`).
//!
//! At saturation the deliveries under way are bounded (`Flow::room`): enough to keep every buffer busy, too little to
//! make a reader slow enough to be dropped. Without subscribers TCP alone holds the publishers back.
//!
//! Invariant: a publisher stops at the end of its block, so `published = blocks x entries`; then the tally must show
//! exactly `published x deliveries_per_publish`, and the sum of their indices.

use std::time::Duration;

use crate::block::{Block, Mark};
use crate::clock::duration_ns;
use crate::failure::Failure;
use crate::frame::Message;
use crate::generator::{Generator, Wait, POLL_WAIT};
use crate::histogram::Histogram;
use crate::measure::Meter;
use crate::phase::{Phase, Schedule, Stopwatch};

/// Clients of a flow and what must come of their publishes.
#[derive(Debug)]
pub struct FlowPlan {
    /// One per connection, in order of opening.
    pub clients: Vec<ClientPlan>,
    /// How many deliveries one publish causes; 0 without subscribers.
    pub deliveries_per_publish: u32,
    /// Size of each payload.
    pub payload_size: usize,
    /// What order can be checked.
    pub check: Check,
}

/// One connection of a flow.
#[derive(Debug, Default)]
pub struct ClientPlan {
    /// SUB lines sent once, before the load.
    pub subscriptions: Vec<u8>,
    /// What it publishes.
    pub block: Option<Block>,
}

/// What a receiver can check beyond counts and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Each receiver gets every message of a publisher it hears, in order.
    Sequence,
    /// Receivers share the messages or get them twice over: only their number and the sum of their indices is known.
    Sum,
}

/// A flow on its connections.
#[derive(Debug)]
pub struct Flow {
    plan: FlowPlan,
    publishers: Vec<usize>,
    tally: Tally,
}

/// What arrived in this phase.
#[derive(Debug)]
struct Tally {
    check: Check,
    payload_size: usize,
    entry_counts: Vec<u32>,
    received: u64,
    index_sum: u64,
    /// Per client and publisher: the index that comes next.
    next_index: Vec<Vec<u32>>,
    latency: Histogram,
}

/// A publisher's place in its block.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    offset: usize,
    block_count: u64,
    done: bool,
}

impl Flow {
    /// Subscribes the opened connections as planned: client `n` of the generator follows plan `n`.
    pub fn subscribe(plan: FlowPlan, generator: &mut Generator) -> Result<Self, Failure> {
        assert_eq!(plan.clients.len(), generator.client_count());
        for (index, client) in plan.clients.iter().enumerate() {
            generator.client(index).queue(&client.subscriptions);
        }
        generator.round_trip(0, plan.clients.len(), |_, _| {
            Err(Failure::Message(String::from(
                "arrived before anything was published",
            )))
        })?;
        let publishers: Vec<usize> = (0..plan.clients.len())
            .filter(|&index| plan.clients[index].block.is_some())
            .collect();
        assert!(!publishers.is_empty());
        let tally = Tally::new(&plan, &publishers);
        Ok(Self {
            plan,
            publishers,
            tally,
        })
    }

    /// Messages counted per publish: its deliveries, or itself where nobody subscribes.
    pub fn messages_per_publish(&self) -> u64 {
        u64::from(self.plan.deliveries_per_publish.max(1))
    }

    /// Publishes as fast as the server takes it for `duration`, then until all arrived.
    pub fn saturate(
        &mut self,
        generator: &mut Generator,
        meter: Option<Meter>,
        duration: Duration,
    ) -> Result<Phase, Failure> {
        self.tally.reset();
        let pongs = self.pong_counts(generator);
        let watch = Stopwatch::start(meter, generator.clock())?;
        let stop_ns = watch.start_ns() + duration_ns(duration);
        let mut cursors = vec![Cursor::default(); self.publishers.len()];
        let mut deadline = generator.deadline_ns();
        loop {
            let stopping = generator.clock().now_ns() >= stop_ns;
            let sent = self.send_chunks(generator, &mut cursors, stopping)?;
            if cursors.iter().all(|cursor| cursor.done) {
                break;
            }
            let wait = if sent { Wait::No } else { POLL_WAIT };
            let events = self.poll(generator, wait)?;
            if sent || events > 0 {
                deadline = generator.deadline_ns();
            }
            generator.check_deadline(deadline, || String::from("room to publish"))?;
        }
        let mut published = 0;
        let mut index_sum = 0;
        for (cursor, &publisher) in cursors.iter().zip(&self.publishers) {
            let entry_count = to_u64(block_of(&self.plan, publisher).entry_count());
            published += cursor.block_count * entry_count;
            index_sum += cursor.block_count * (entry_count * (entry_count - 1) / 2);
        }
        self.drain(generator, &pongs, published)?;
        let phase = watch.finish(
            published * self.messages_per_publish(),
            Histogram::default(),
            None,
        )?;
        self.verify(generator, published, index_sum)?;
        Ok(phase)
    }

    /// Publishes `rate` messages a second for `duration`, each at its time whatever the server does, then waits until
    /// all arrived. Latency counts from the intended time.
    pub fn pace(
        &mut self,
        generator: &mut Generator,
        meter: Option<Meter>,
        rate: f64,
        duration: Duration,
    ) -> Result<Phase, Failure> {
        self.tally.reset();
        let pongs = self.pong_counts(generator);
        let clock = generator.clock();
        let watch = Stopwatch::start(meter, clock)?;
        let schedule = Schedule::new(watch.start_ns(), rate, duration_ns(duration));
        let mut sent = vec![0usize; self.publishers.len()];
        let mut published = 0;
        let mut index_sum = 0;
        let mut worked_ns = 0;
        let mut turn_start_ns = watch.start_ns();
        let mut touched = Vec::new();
        while published < schedule.message_count() {
            let mut worked = false;
            let turn_end = published + TURN_MESSAGE_COUNT_MAX;
            while published < schedule.message_count().min(turn_end) {
                let due_ns = schedule.due_ns(published);
                if due_ns > turn_start_ns {
                    break;
                }
                let slot = to_usize(published % to_u64(self.publishers.len()));
                let publisher = self.publishers[slot];
                let block = block_of(&self.plan, publisher);
                let index = sent[slot] % block.entry_count();
                let client = generator.client(publisher);
                if client.pending_size() == 0 {
                    touched.push(publisher);
                }
                block.append_stamped(index, due_ns, client.out());
                sent[slot] += 1;
                index_sum += to_u64(index);
                published += 1;
                worked = true;
            }
            // A publisher whose socket was full is sent by the poller.
            for publisher in touched.drain(..) {
                generator.client(publisher).flush()?;
            }
            let wait = if generator.spins() || worked {
                Wait::No
            } else {
                let due_ns = schedule.due_ns(published);
                Wait::AtMost(Duration::from_nanos(due_ns.saturating_sub(clock.now_ns())))
            };
            worked |= self.poll(generator, wait)? > 0;
            let now_ns = clock.now_ns();
            if worked {
                worked_ns += now_ns - turn_start_ns;
            }
            turn_start_ns = now_ns;
        }
        for &publisher in &self.publishers {
            generator.client(publisher).queue_ping();
            generator.client(publisher).flush()?;
        }
        self.drain(generator, &pongs, published)?;
        let latency = std::mem::take(&mut self.tally.latency);
        let worked_ns = generator.spins().then_some(worked_ns);
        let phase = watch.finish(published * self.messages_per_publish(), latency, worked_ns)?;
        self.verify(generator, published, index_sum)?;
        Ok(phase)
    }

    /// Gives every publisher with room one chunk of its block; says whether any byte left.
    fn send_chunks(
        &self,
        generator: &mut Generator,
        cursors: &mut [Cursor],
        stopping: bool,
    ) -> Result<bool, Failure> {
        let mut room = self.room(cursors);
        let mut sent_any = false;
        for (cursor, &publisher) in cursors.iter_mut().zip(&self.publishers) {
            if cursor.done {
                continue;
            }
            let client = generator.client(publisher);
            if stopping && cursor.offset == 0 {
                cursor.done = true;
                client.queue_ping();
                client.flush()?;
                continue;
            }
            if !client.writable() || room <= 0 {
                continue;
            }
            let bytes = block_of(&self.plan, publisher).bytes();
            let chunk = &bytes[cursor.offset..bytes.len().min(cursor.offset + CHUNK_SIZE)];
            let sent = client.send_direct(chunk, cursor.offset + chunk.len() == bytes.len())?;
            sent_any |= sent > 0;
            cursor.offset += sent;
            room -= i64::try_from(sent).expect("a chunk is small");
            if cursor.offset == bytes.len() {
                cursor.offset = 0;
                cursor.block_count += 1;
            }
        }
        Ok(sent_any)
    }

    /// Bytes that may still be published, by estimate: a block's bytes are taken as spread evenly over its entries.
    fn room(&self, cursors: &[Cursor]) -> i64 {
        let per_publish = u64::from(self.plan.deliveries_per_publish);
        if per_publish == 0 {
            return i64::MAX;
        }
        let (mut published, mut block_size, mut entry_count) = (0, 0, 0);
        for (cursor, &publisher) in cursors.iter().zip(&self.publishers) {
            let block = block_of(&self.plan, publisher);
            let (entries, size) = (block.entry_count(), block.bytes().len());
            published += cursor.block_count * to_u64(entries) + to_u64(cursor.offset * entries / size);
            block_size += size;
            entry_count += entries;
        }
        let by_count = IN_FLIGHT_COUNT_MAX.max(IN_FLIGHT_PUBLISH_COUNT_MAX * per_publish);
        let by_size = IN_FLIGHT_SIZE_MAX / to_u64(self.plan.payload_size);
        let under_way = (published * per_publish).saturating_sub(self.tally.received);
        let room = by_count.min(by_size).saturating_sub(under_way) / per_publish;
        let entry_size = to_u64(block_size / entry_count);
        i64::try_from(room * entry_size).expect("far below 2^63 bytes")
    }

    /// PONGs each publisher has had; no PING is under way between phases.
    fn pong_counts(&self, generator: &mut Generator) -> Vec<u32> {
        self.publishers
            .iter()
            .map(|&publisher| generator.client(publisher).pong_count())
            .collect()
    }

    /// Waits until all deliveries and one more PONG for each publisher than `before` are in.
    fn drain(&mut self, generator: &mut Generator, before: &[u32], published: u64) -> Result<(), Failure> {
        let expected = published * u64::from(self.plan.deliveries_per_publish);
        let mut deadline = generator.deadline_ns();
        loop {
            let now = self.pong_counts(generator);
            let missing = now
                .iter()
                .zip(before)
                .filter(|(now, before)| now <= before)
                .count();
            if missing == 0 && self.tally.received >= expected {
                return Ok(());
            }
            if self.poll(generator, POLL_WAIT)? > 0 {
                deadline = generator.deadline_ns();
            }
            let stalled = generator.check_deadline(deadline, || format!("{missing} PONGs of publishers"));
            if stalled.is_err() && missing == 0 {
                return Err(Failure::Count {
                    expected,
                    got: self.tally.received,
                });
            }
            stalled?;
        }
    }

    /// One more round trip on every connection, so that a doubled message shows, then the exact comparison.
    fn verify(&mut self, generator: &mut Generator, published: u64, index_sum: u64) -> Result<(), Failure> {
        let tally = &mut self.tally;
        let count = generator.client_count();
        generator.round_trip(0, count, |client, message| tally.on_message(client, message, 0))?;
        let deliveries = u64::from(self.plan.deliveries_per_publish);
        let expected = published * deliveries;
        if self.tally.received != expected {
            return Err(Failure::Count {
                expected,
                got: self.tally.received,
            });
        }
        if self.tally.index_sum != index_sum * deliveries {
            return Err(Failure::Message(String::from(
                "the number is right, but some came twice and others never",
            )));
        }
        Ok(())
    }

    fn poll(&mut self, generator: &mut Generator, wait: Wait) -> Result<usize, Failure> {
        let tally = &mut self.tally;
        generator.poll(wait, &mut |client, message, now_ns, _| {
            tally.on_message(client, message, now_ns)
        })
    }
}

impl Tally {
    fn new(plan: &FlowPlan, publishers: &[usize]) -> Self {
        let entry_counts = publishers
            .iter()
            .map(|&publisher| {
                u32::try_from(block_of(plan, publisher).entry_count()).expect("blocks are small")
            })
            .collect();
        Self {
            check: plan.check,
            payload_size: plan.payload_size,
            entry_counts,
            received: 0,
            index_sum: 0,
            next_index: vec![Vec::new(); plan.clients.len()],
            latency: Histogram::default(),
        }
    }

    /// Every phase starts its blocks anew.
    fn reset(&mut self) {
        self.received = 0;
        self.index_sum = 0;
        self.next_index.iter_mut().for_each(Vec::clear);
        self.latency = Histogram::default();
    }

    #[inline]
    fn on_message(&mut self, client: usize, message: Message<'_>, now_ns: u64) -> Result<(), Failure> {
        if message.payload.len() != self.payload_size {
            return Err(Failure::Message(format!(
                "{} payload bytes in place of {}",
                message.payload.len(),
                self.payload_size
            )));
        }
        let (stamp_ns, mark) = Mark::decode(message.payload).expect("payloads are at least 16 bytes");
        self.received += 1;
        self.index_sum += u64::from(mark.index);
        if self.check == Check::Sequence {
            self.check_sequence(client, mark)?;
        }
        if stamp_ns != 0 {
            self.latency.record(now_ns.saturating_sub(stamp_ns));
        }
        Ok(())
    }

    #[inline]
    fn check_sequence(&mut self, client: usize, mark: Mark) -> Result<(), Failure> {
        let publisher = usize::try_from(mark.publisher).expect("u32 fits usize");
        let Some(&entry_count) = self.entry_counts.get(publisher) else {
            return Err(Failure::Message(format!("publisher {publisher} does not exist")));
        };
        let expected = &mut self.next_index[client];
        if expected.len() <= publisher {
            expected.resize(publisher + 1, 0);
        }
        if mark.index != expected[publisher] {
            return Err(Failure::Message(format!(
                "index {} of publisher {publisher} in place of {}: lost, doubled or out of order",
                mark.index, expected[publisher]
            )));
        }
        expected[publisher] = if mark.index + 1 == entry_count {
            0
        } else {
            mark.index + 1
        };
        Ok(())
    }
}

fn block_of(plan: &FlowPlan, client: usize) -> &Block {
    plan.clients[client]
        .block
        .as_ref()
        .expect("publishers have a block")
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).expect("usize fits u64")
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("u64 fits usize on 64-bit machines")
}

/// Deliveries under way at saturation ...
const IN_FLIGHT_COUNT_MAX: u64 = 32 * 1024;
/// ... or, where one publish causes many, those of so many publishes ...
const IN_FLIGHT_PUBLISH_COUNT_MAX: u64 = 128;
/// ... and never more payload bytes than this.
const IN_FLIGHT_SIZE_MAX: u64 = 16 * 1024 * 1024;
/// One write at saturation.
const CHUNK_SIZE: usize = 64 * 1024;
/// Publishes appended before the sockets are looked at again, when the generator is behind its schedule.
const TURN_MESSAGE_COUNT_MAX: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(check: Check) -> Tally {
        let text = |_| crate::block::EntryText {
            subject: String::from("a"),
            ..Default::default()
        };
        let plan = FlowPlan {
            clients: vec![
                ClientPlan {
                    block: Some(Block::new(0, 16, 3, text)),
                    ..ClientPlan::default()
                },
                ClientPlan::default(),
            ],
            deliveries_per_publish: 1,
            payload_size: 16,
            check,
        };
        Tally::new(&plan, &[0])
    }

    fn deliver(tally: &mut Tally, index: u32, size: usize) -> Result<(), Failure> {
        let mut payload = 5u64.to_le_bytes().to_vec();
        payload.extend_from_slice(&Mark { publisher: 0, index }.encode());
        payload.resize(size, 0);
        let message = Message {
            subject: b"a",
            sid: b"1",
            reply: None,
            payload: &payload,
        };
        tally.on_message(1, message, 12)
    }

    /// A whole block and its start again is in order; its latency is arrival minus stamp.
    #[test]
    fn sequence_goes_round() {
        let mut tally = tally(Check::Sequence);
        for index in [0, 1, 2, 0, 1] {
            deliver(&mut tally, index, 16).unwrap();
        }
        assert_eq!(tally.received, 5);
        assert_eq!(tally.latency.at_per_mille(1000), Some(7));
    }

    /// A lost, a doubled and a resized message each fail at once.
    #[test]
    fn lost_doubled_and_resized_messages_fail() {
        for wrong in [2, 0] {
            let mut tally = tally(Check::Sequence);
            deliver(&mut tally, 0, 16).unwrap();
            assert!(matches!(deliver(&mut tally, wrong, 16), Err(Failure::Message(_))));
        }
        for check in [Check::Sequence, Check::Sum] {
            assert!(matches!(
                deliver(&mut tally(check), 0, 17),
                Err(Failure::Message(_))
            ));
        }
    }
}
