//! Ids of events whose producers gave none.
//!
//! *Derived*, with a timestamp: hex of the first 128 bits of BLAKE3(canonical protobuf without id,
//! occurrence number as u64 little-endian); the number counts equal records earlier in the same
//! request or file, so a retry repeats the ids and equal rows stay apart. *Random*, with neither:
//! 128 bits from the caller at the door, from the record's place on the log.

use std::collections::BTreeMap;

use crate::codec::encode_without_id;
use crate::event::{Event, IdOrigin};
use crate::id::EventId;
use crate::record::Offset;
use crate::topic::TopicPartition;

/// Makes ids for the events of one request, or of one file.
pub struct IdAssigner<'r> {
    occurrences: BTreeMap<[u8; 32], u64>,
    random: &'r mut dyn FnMut() -> [u8; 16],
}

impl<'r> IdAssigner<'r> {
    /// `random` gives 128 fresh random bits at each call.
    pub fn new(random: &'r mut dyn FnMut() -> [u8; 16]) -> Self {
        Self { occurrences: BTreeMap::new(), random }
    }

    pub(super) fn assign(&mut self, event: &mut Event) {
        event.event_id = match event.id_origin {
            IdOrigin::Random => hex_id(&(self.random)()),
            IdOrigin::Producer | IdOrigin::Derived => {
                let canonical = encode_without_id(event);
                let next =
                    self.occurrences.entry(*blake3::hash(&canonical).as_bytes()).or_default();
                let occurrence = *next;
                *next += 1;
                hash_with(&canonical, occurrence)
            }
        };
    }
}

impl std::fmt::Debug for IdAssigner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdAssigner").field("distinct", &self.occurrences.len()).finish()
    }
}

/// The id of the `occurrence`-th event equal to this one.
pub(super) fn derived(event: &Event, occurrence: u64) -> EventId {
    hash_with(&encode_without_id(event), occurrence)
}

/// The id of an event that only its place on the log tells from others.
pub(super) fn located(at: TopicPartition, offset: Offset) -> EventId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(at.topic.name().as_bytes());
    hasher.update(&at.partition.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hex_id(&hasher.finalize().as_bytes()[..16])
}

fn hash_with(canonical: &[u8], occurrence: u64) -> EventId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(canonical);
    hasher.update(&occurrence.to_le_bytes());
    hex_id(&hasher.finalize().as_bytes()[..16])
}

fn hex_id(bytes: &[u8]) -> EventId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    EventId::new(&text).expect("hexadecimal digits are an id")
}
