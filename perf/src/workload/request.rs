//! Request: requests and their answers.
//!
//! Owns: requesters, responders, closed loop (one request under way per requester) and open loop (a fixed rate).
//! Not here: which shards they sit on (`row` asks the generator).
//!
//! A request carries its intended send time, the responder sends the payload back, so the round trip is measured on
//! one clock. In both styles each requester numbers its requests, and answers must come back in that order.

use std::collections::VecDeque;
use std::time::Duration;

use crate::block::{Mark, PAYLOAD_SIZE_MIN};
use crate::clock::duration_ns;
use crate::failure::Failure;
use crate::frame::Message;
use crate::generator::{Generator, Wait, POLL_WAIT};
use crate::histogram::Histogram;
use crate::measure::Meter;
use crate::phase::{Phase, Schedule, Stopwatch};

/// Requesters (the first connections) and one responder (the last).
#[derive(Debug)]
pub struct Requests {
    requesters: Vec<Requester>,
    inbox: Inbox,
}

/// Where answers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbox {
    /// One wildcard subscription per requester, as clients do by default.
    Standing,
    /// A new subscription for each request, gone after its answer.
    PerRequest,
}

#[derive(Debug)]
struct Requester {
    number: u32,
    request_count: u32,
    /// Numbers of the requests without an answer yet, oldest first.
    under_way: VecDeque<u32>,
}

impl Requests {
    /// Subscribes the opened connections: all but the last are requesters, the last one answers.
    pub fn subscribe(inbox: Inbox, generator: &mut Generator) -> Result<Self, Failure> {
        let responder = generator
            .client_count()
            .checked_sub(1)
            .expect("connections were opened");
        assert!(responder > 0);
        generator
            .client(responder)
            .queue(format!("SUB {SERVICE} 1\r\n").as_bytes());
        for index in 0..responder {
            if inbox == Inbox::Standing {
                generator
                    .client(index)
                    .queue(format!("SUB _INBOX.{index}.* 1\r\n").as_bytes());
            }
        }
        generator.round_trip(0, responder + 1, |_, _| {
            Err(Failure::Message(String::from(
                "arrived before anything was requested",
            )))
        })?;
        let numbers = 0..u32::try_from(responder).expect("few requesters");
        let requesters = numbers
            .map(|number| Requester {
                number,
                request_count: 0,
                under_way: VecDeque::new(),
            })
            .collect();
        Ok(Self { requesters, inbox })
    }

    /// Each requester sends its next request when the answer came, for `duration`.
    pub fn closed_loop(
        &mut self,
        generator: &mut Generator,
        meter: Option<Meter>,
        duration: Duration,
    ) -> Result<Phase, Failure> {
        let clock = generator.clock();
        let watch = Stopwatch::start(meter, clock)?;
        let stop_ns = watch.start_ns() + duration_ns(duration);
        for index in 0..self.requesters.len() {
            let now_ns = clock.now_ns();
            let inbox = self.inbox;
            self.requesters[index].append_request(inbox, now_ns, generator.client(index).out());
            generator.client(index).flush()?;
        }
        let mut latency = Histogram::default();
        let mut answered = 0;
        let mut worked_ns = 0;
        let mut deadline = generator.deadline_ns();
        while self
            .requesters
            .iter()
            .any(|requester| !requester.under_way.is_empty())
        {
            let before_ns = clock.now_ns();
            let wait = if generator.spins() { Wait::No } else { POLL_WAIT };
            let Self { requesters, inbox } = self;
            let events = generator.poll(wait, &mut |client, message, now_ns, out| {
                let Some(requester) = requesters.get_mut(client) else {
                    return answer(message, out);
                };
                latency.record(now_ns.saturating_sub(requester.on_answer(message)?));
                answered += 1;
                if now_ns < stop_ns {
                    requester.append_request(*inbox, now_ns, out);
                }
                Ok(())
            })?;
            if events > 0 {
                worked_ns += clock.now_ns() - before_ns;
                deadline = generator.deadline_ns();
            }
            generator.check_deadline(deadline, || String::from("answers"))?;
        }
        let phase = watch.finish(answered, latency, generator.spins().then_some(worked_ns))?;
        self.verify(generator)?;
        Ok(phase)
    }

    /// Requests at `rate` a second for `duration`, in turn over the requesters, each at its time whatever the server
    /// does. Latency counts from the intended time to the answer.
    pub fn open_loop(
        &mut self,
        generator: &mut Generator,
        meter: Option<Meter>,
        rate: f64,
        duration: Duration,
    ) -> Result<Phase, Failure> {
        let clock = generator.clock();
        let watch = Stopwatch::start(meter, clock)?;
        let schedule = Schedule::new(watch.start_ns(), rate, duration_ns(duration));
        let mut latency = Histogram::default();
        let (mut sent, mut answered) = (0, 0);
        let mut worked_ns = 0;
        let mut deadline = generator.deadline_ns();
        while answered < schedule.message_count() {
            let turn_start_ns = clock.now_ns();
            let mut worked = false;
            while sent < schedule.message_count() && schedule.due_ns(sent) <= turn_start_ns {
                let index = self.turn(sent);
                let inbox = self.inbox;
                let client = generator.client(index);
                self.requesters[index].append_request(inbox, schedule.due_ns(sent), client.out());
                client.flush()?;
                sent += 1;
                worked = true;
            }
            let wait = if generator.spins() || worked {
                Wait::No
            } else if sent < schedule.message_count() {
                Wait::AtMost(Duration::from_nanos(
                    schedule.due_ns(sent).saturating_sub(clock.now_ns()),
                ))
            } else {
                POLL_WAIT
            };
            let requesters = &mut self.requesters;
            let events = generator.poll(wait, &mut |client, message, now_ns, out| {
                let Some(requester) = requesters.get_mut(client) else {
                    return answer(message, out);
                };
                latency.record(now_ns.saturating_sub(requester.on_answer(message)?));
                answered += 1;
                Ok(())
            })?;
            if worked || events > 0 {
                worked_ns += clock.now_ns() - turn_start_ns;
                deadline = generator.deadline_ns();
            }
            generator.check_deadline(deadline, || String::from("answers"))?;
        }
        let phase = watch.finish(answered, latency, generator.spins().then_some(worked_ns))?;
        self.verify(generator)?;
        Ok(phase)
    }

    /// Which requester sends request `number`.
    fn turn(&self, number: u64) -> usize {
        let count = u64::try_from(self.requesters.len()).expect("usize fits u64");
        usize::try_from(number % count).expect("below the number of requesters")
    }

    /// After a round trip on every connection nothing more may have come.
    fn verify(&self, generator: &mut Generator) -> Result<(), Failure> {
        assert!(self
            .requesters
            .iter()
            .all(|requester| requester.under_way.is_empty()));
        let count = generator.client_count();
        generator.round_trip(0, count, |_, _| {
            Err(Failure::Message(String::from(
                "a request or an answer came twice",
            )))
        })
    }
}

impl Requester {
    fn append_request(&mut self, inbox: Inbox, stamp_ns: u64, out: &mut Vec<u8>) {
        let Self {
            number,
            request_count,
            ..
        } = *self;
        // A new sid each time, as clients do; the standing inbox has sid 1.
        let lines = match inbox {
            Inbox::Standing => String::new(),
            Inbox::PerRequest => {
                let sid = u64::from(request_count) + 2;
                format!("SUB _INBOX.{number}.{request_count} {sid}\r\nUNSUB {sid} 1\r\n")
            }
        };
        out.extend_from_slice(lines.as_bytes());
        let publish = format!("PUB {SERVICE} _INBOX.{number}.{request_count} {PAYLOAD_SIZE_MIN}\r\n");
        out.extend_from_slice(publish.as_bytes());
        out.extend_from_slice(&stamp_ns.to_le_bytes());
        out.extend_from_slice(
            &Mark {
                publisher: number,
                index: request_count,
            }
            .encode(),
        );
        out.extend_from_slice(b"\r\n");
        self.under_way.push_back(request_count);
        self.request_count += 1;
    }

    /// Checks that this answers the oldest request; returns when that was to be sent.
    fn on_answer(&mut self, message: Message<'_>) -> Result<u64, Failure> {
        let (stamp_ns, mark) = Mark::decode(message.payload)
            .filter(|_| message.payload.len() == PAYLOAD_SIZE_MIN)
            .ok_or_else(|| Failure::Message(format!("an answer of {} bytes", message.payload.len())))?;
        let expected = self.under_way.pop_front().map(|index| Mark {
            publisher: self.number,
            index,
        });
        if expected != Some(mark) {
            return Err(Failure::Message(format!(
                "answer {mark:?} in place of {expected:?}"
            )));
        }
        Ok(stamp_ns)
    }
}

fn answer(message: Message<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let reply = message
        .reply
        .ok_or_else(|| Failure::Message(String::from("a request came without its reply")))?;
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(reply);
    out.extend_from_slice(format!(" {}\r\n", message.payload.len()).as_bytes());
    out.extend_from_slice(message.payload);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

const SERVICE: &str = "service.echo";

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer out of turn, or twice, is refused.
    #[test]
    fn answers_come_once_and_in_turn() {
        let mut requester = Requester {
            number: 4,
            request_count: 0,
            under_way: VecDeque::new(),
        };
        let mut out = Vec::new();
        requester.append_request(Inbox::PerRequest, 77, &mut out);
        assert!(
            out.starts_with(b"SUB _INBOX.4.0 2\r\nUNSUB 2 1\r\nPUB service.echo _INBOX.4.0 16\r\n\x4d\0\0\0")
        );
        let payload = &out[out.len() - 18..out.len() - 2];
        let message = Message {
            subject: b"_INBOX.4.0",
            sid: b"2",
            reply: None,
            payload,
        };
        assert_eq!(requester.on_answer(message).unwrap(), 77);
        assert!(matches!(requester.on_answer(message), Err(Failure::Message(_))));
    }

    /// The responder sends the payload to the reply subject.
    #[test]
    fn responder_echoes() {
        let mut out = Vec::new();
        let mut message = Message {
            subject: b"s",
            sid: b"1",
            reply: Some(b"r.1"),
            payload: b"hello",
        };
        answer(message, &mut out).unwrap();
        assert_eq!(out, b"PUB r.1 5\r\nhello\r\n");
        message.reply = None;
        assert!(answer(message, &mut out).is_err());
    }
}
