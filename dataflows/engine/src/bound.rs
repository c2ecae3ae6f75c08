//! An event as the folds see it: decoded once, hashed once, bound to an epoch.

use std::sync::Arc;

use eddyline_schemas::event::Event;
use eddyline_schemas::id::IdHash;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use crate::at_work::RecordAt;

/// A valid event that is not late, with everything that routes it.
#[derive(Debug)]
pub struct DecodedEvent {
    /// Where it lies on the log.
    pub at: TopicPartition,
    /// Where in its partition.
    pub offset: Offset,
    /// Its timestamp, or its append time.
    pub event_time: TimestampMs,
    /// Hour of its partition's clock once it is read: the dedupe run it belongs to.
    pub clock_hour: i64,
    /// Hash of (topic, event id).
    pub dedupe: IdHash,
    /// Hash of the actor's id.
    pub user: Option<IdHash>,
    /// Hashes of the items' ids.
    pub items: Vec<IdHash>,
    /// The event.
    pub event: Event,
}

impl DecodedEvent {
    /// The record that it is.
    pub(crate) fn record(&self) -> RecordAt {
        RecordAt { partition: self.at, offset: self.offset }
    }

    /// Hashes and wraps a valid event.
    #[must_use]
    pub fn new(at: TopicPartition, offset: Offset, times: EventTimes, event: Event) -> Self {
        Self {
            at,
            offset,
            event_time: times.event_time,
            clock_hour: times.clock_hour,
            dedupe: dedupe_hash(at.topic.name(), event.event_id.as_str()),
            user: event.actor().map(eddyline_schemas::id::UserId::hash),
            items: event.items.iter().map(eddyline_schemas::id::ItemId::hash).collect(),
            event,
        }
    }
}

/// The times that intake gives an event.
#[derive(Clone, Copy, Debug)]
pub struct EventTimes {
    /// See [`DecodedEvent::event_time`].
    pub event_time: TimestampMs,
    /// See [`DecodedEvent::clock_hour`].
    pub clock_hour: i64,
}

/// The dedupe key: the first 128 bits of BLAKE3(topic name, 0, event id).
#[must_use]
pub fn dedupe_hash(topic: &str, event_id: &str) -> IdHash {
    let mut hasher = eddyline_schemas::record::KeyHasher::default();
    hasher.update(topic.as_bytes());
    hasher.update(&[0]);
    hasher.update(event_id.as_bytes());
    hasher.finish()
}

/// An event and its rank in its epoch by (topic name, partition, offset).
#[derive(Clone, Debug)]
pub struct Bound {
    /// The rank.
    pub seq: u32,
    /// The event.
    pub event: Arc<DecodedEvent>,
}

/// What every worker learns of an epoch besides its share of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Logical time of the epoch.
    pub logical_time: TimestampMs,
    /// Records bound.
    pub accepted: u64,
    /// Of these, late.
    pub late: u64,
    /// Of these, refused by the validator.
    pub dead_letter: u64,
}

/// One epoch, ready to be folded.
#[derive(Clone, Debug, Default)]
pub struct EpochInput {
    /// Shared by all workers.
    pub header: Header,
    /// Valid events in the order of `seq`.
    pub events: Vec<Bound>,
}
