//! What is written to the stream's log for its consumers: everything that must survive, and nothing else.
//!
//! Owns: the entries and their bytes; docs/formats/consumer-entries.md describes them. Not here: what an entry does
//! (`progress`), the log.
//! An entry is the decision, not the request: applying the same entries in the same order makes the same state.

use pinion_shard::io::WallTime;

use crate::bytes::{put_bytes, Reader};
use crate::stream::entry::EntryError;

/// The version that this code writes.
const VERSION: u8 = 1;

const CREATE: u8 = 1;
const CONFIGURE: u8 = 2;
const DELETE: u8 = 3;
const DELIVER: u8 = 4;
const ACK: u8 = 5;
const WAIT: u8 = 6;
const GIVE_UP: u8 = 7;
const RESET: u8 = 8;
const PIN: u8 = 9;
const PLACE: u8 = 10;

/// A change of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The consumer's name.
    pub consumer: String,
    /// What happens to it.
    pub change: Change,
}

/// What happens to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It begins.
    Create(Create),
    /// Its configuration changes.
    Configure {
        /// The whole new configuration, as JSON.
        config: Vec<u8>,
    },
    /// It ends.
    Delete,
    /// Messages were delivered.
    Deliver(Vec<Delivery>),
    /// A message is done, or with it all before it; the ack policy says which.
    Ack {
        /// Its sequence in the stream.
        stream_seq: u64,
        /// The sequence of its delivery.
        delivery_seq: u64,
        /// What would have been delivered next.
        next_seq: u64,
    },
    /// The wait for an ack begins anew.
    Wait {
        /// The message.
        stream_seq: u64,
        /// When the wait counts as begun.
        since: WallTime,
    },
    /// A message was delivered as often as it may be: its ack is not waited for any more.
    GiveUp {
        /// The message.
        stream_seq: u64,
        /// What would have been delivered next.
        next_seq: u64,
    },
    /// It goes on from another message, with nothing delivered.
    Reset {
        /// That message.
        next_seq: u64,
    },
    /// A client is pinned, or none any more.
    Pin(Option<Pin>),
    /// Another server serves it.
    Place(Placement),
}

/// A consumer that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its configuration as JSON.
    pub config: Vec<u8>,
    /// When it was made.
    pub created: WallTime,
    /// The first message it looks at.
    pub next_seq: u64,
    /// Up to here only the last message of each subject counts; 0 where that is not its policy.
    pub last_per_subject_until: u64,
    /// Who keeps and serves it.
    pub placement: Placement,
}

/// Who keeps and serves a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The server that serves it; 0 is this one.
    pub serving_peer: u64,
    /// Rises with every change of the serving peer: what an older one says does not count.
    pub fencing_epoch: u64,
    /// How many servers keep its state; 0 is as the stream.
    pub replicas: u8,
    /// Whether its state is in memory only.
    pub is_memory: bool,
}

/// One delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub stream_seq: u64,
    /// The sequence of the delivery.
    pub delivery_seq: u64,
    /// How often the message was delivered, with this one.
    pub count: u64,
    /// When.
    pub at: WallTime,
}

/// The client that gets everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The id it was given.
    pub id: String,
    /// When.
    pub since: WallTime,
}

impl Entry {
    /// Appends the bytes of the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let kind = match &self.change {
            Change::Create(_) => CREATE,
            Change::Configure { .. } => CONFIGURE,
            Change::Delete => DELETE,
            Change::Deliver(_) => DELIVER,
            Change::Ack { .. } => ACK,
            Change::Wait { .. } => WAIT,
            Change::GiveUp { .. } => GIVE_UP,
            Change::Reset { .. } => RESET,
            Change::Pin(_) => PIN,
            Change::Place(_) => PLACE,
        };
        out.push(kind);
        put_bytes(out, self.consumer.as_bytes());
        self.change.encode(out);
    }

    /// Reads an entry; all bytes belong to it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            VERSION => {}
            version => return Err(EntryError::UnknownVersion(version)),
        }
        let kind = reader.u8()?;
        let consumer = reader.text()?;
        let change = Change::decode(kind, &mut reader)?;
        reader.end()?;
        Ok(Self { consumer, change })
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, EntryError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(EntryError::Unknown(other)),
    }
}

impl Change {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(create) => {
                let positions = [create.created.0, create.next_seq, create.last_per_subject_until];
                put_numbers(out, &positions);
                create.placement.encode(out);
                put_bytes(out, &create.config);
            }
            Self::Configure { config } => put_bytes(out, config),
            Self::Delete => {}
            Self::Deliver(deliveries) => {
                for delivery in deliveries {
                    let numbers = [
                        delivery.stream_seq,
                        delivery.delivery_seq,
                        delivery.count,
                        delivery.at.0,
                    ];
                    put_numbers(out, &numbers);
                }
            }
            Self::Ack {
                stream_seq,
                delivery_seq,
                next_seq,
            } => put_numbers(out, &[*stream_seq, *delivery_seq, *next_seq]),
            Self::Wait { stream_seq, since } => put_numbers(out, &[*stream_seq, since.0]),
            Self::GiveUp { stream_seq, next_seq } => put_numbers(out, &[*stream_seq, *next_seq]),
            Self::Reset { next_seq } => put_numbers(out, &[*next_seq]),
            Self::Pin(None) => out.push(0),
            Self::Pin(Some(pin)) => {
                out.push(1);
                put_numbers(out, &[pin.since.0]);
                put_bytes(out, pin.id.as_bytes());
            }
            Self::Place(placement) => placement.encode(out),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        Ok(match kind {
            CREATE => Self::Create(Create {
                created: WallTime(reader.u64()?),
                next_seq: reader.u64()?,
                last_per_subject_until: reader.u64()?,
                placement: Placement::decode(reader)?,
                config: reader.bytes()?,
            }),
            CONFIGURE => Self::Configure {
                config: reader.bytes()?,
            },
            DELETE => Self::Delete,
            DELIVER => {
                let mut deliveries = Vec::new();
                while !reader.0.is_empty() {
                    deliveries.push(Delivery {
                        stream_seq: reader.u64()?,
                        delivery_seq: reader.u64()?,
                        count: reader.u64()?,
                        at: WallTime(reader.u64()?),
                    });
                }
                Self::Deliver(deliveries)
            }
            ACK => Self::Ack {
                stream_seq: reader.u64()?,
                delivery_seq: reader.u64()?,
                next_seq: reader.u64()?,
            },
            WAIT => Self::Wait {
                stream_seq: reader.u64()?,
                since: WallTime(reader.u64()?),
            },
            GIVE_UP => Self::GiveUp {
                stream_seq: reader.u64()?,
                next_seq: reader.u64()?,
            },
            RESET => Self::Reset {
                next_seq: reader.u64()?,
            },
            PIN => match flag(reader)? {
                false => Self::Pin(None),
                true => Self::Pin(Some(Pin {
                    since: WallTime(reader.u64()?),
                    id: reader.text()?,
                })),
            },
            PLACE => Self::Place(Placement::decode(reader)?),
            other => return Err(EntryError::Unknown(other)),
        })
    }
}

impl Placement {
    fn encode(self, out: &mut Vec<u8>) {
        put_numbers(out, &[self.serving_peer, self.fencing_epoch]);
        out.push(self.replicas);
        out.push(u8::from(self.is_memory));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        Ok(Self {
            serving_peer: reader.u64()?,
            fencing_epoch: reader.u64()?,
            replicas: reader.u8()?,
            is_memory: flag(reader)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes() -> Vec<Change> {
        let placement = Placement {
            serving_peer: 4,
            fencing_epoch: 5,
            replicas: 3,
            is_memory: true,
        };
        let delivery = Delivery {
            stream_seq: 9,
            delivery_seq: 8,
            count: 2,
            at: WallTime(7),
        };
        vec![
            Change::Create(Create {
                config: b"{}".to_vec(),
                created: WallTime(1),
                next_seq: 2,
                last_per_subject_until: 3,
                placement,
            }),
            Change::Configure {
                config: b"{}".to_vec(),
            },
            Change::Delete,
            Change::Deliver(vec![delivery, delivery]),
            Change::Ack {
                stream_seq: 9,
                delivery_seq: 8,
                next_seq: 10,
            },
            Change::Wait {
                stream_seq: 9,
                since: WallTime(6),
            },
            Change::GiveUp {
                stream_seq: 9,
                next_seq: 10,
            },
            Change::Reset { next_seq: 3 },
            Change::Pin(None),
            Change::Pin(Some(Pin {
                id: "x".to_owned(),
                since: WallTime(5),
            })),
            Change::Place(placement),
        ]
    }

    #[test]
    fn entries_survive_their_bytes() {
        for change in changes() {
            let consumer = "C".to_owned();
            let entry = Entry { consumer, change };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
            for end in 0..bytes.len() {
                // Deliveries go on to the end of the entry: cut between two of them they are fewer.
                let cut = Entry::decode(&bytes[..end]);
                assert!(cut != Ok(entry.clone()), "{entry:?} cut at {end}");
            }
        }
    }

    /// The format does not change by accident: these bytes are of version 1.
    #[test]
    fn bytes_of_version_1() {
        let mut bytes = Vec::new();
        let change = Change::Wait {
            stream_seq: 0x0102,
            since: WallTime(3),
        };
        let consumer = "C".to_owned();
        Entry { consumer, change }.encode(&mut bytes);
        assert_eq!(
            bytes,
            b"\x01\x06\x01\0\0\0C\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"
        );
    }

    /// Foreign bytes make an entry that gives the same bytes again, or an error.
    #[test]
    fn foreign_bytes_do_not_panic() {
        proptest!(|(tail in proptest::collection::vec(any::<u8>(), 0..80), kind in 0..12_u8)| {
            let bytes = [&[1, kind, 1, 0, 0, 0, b'C'][..], &tail].concat();
            if let Ok(entry) = Entry::decode(&bytes) {
                let mut again = Vec::new();
                entry.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        });
    }
}
