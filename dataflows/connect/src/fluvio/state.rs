//! What is known of the topics: ids, partitions and their edges; and whether the log stopped.
//!
//! Offsets here only grow. A partition's end is known from what was acknowledged to us and from
//! asking; it may lag behind others' appends, never behind ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::{Mutex, RwLock};

use super::reader::Ahead;
use crate::layout::{LogLayout, MAX_PARTITIONS, TOPICS};
use crate::log::{ReadError, Signal};

/// One partition.
#[derive(Default)]
pub(super) struct Slot {
    start: AtomicU64,
    end: AtomicU64,
    /// What was fetched ahead of reads.
    pub(super) ahead: Mutex<Ahead>,
}

impl Slot {
    /// First offset that is there.
    pub(super) fn start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    /// Next offset behind all that is known.
    pub(super) fn end(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }
}

/// See the module doc.
pub(super) struct State {
    ids: [[u8; 16]; TOPICS.len()],
    /// In the order of [`TOPICS`].
    slots: RwLock<[Vec<Arc<Slot>>; TOPICS.len()]>,
    stopped: OnceLock<String>,
    pub(super) signal: Signal,
}

impl State {
    /// Topics with `ids` and as many partitions as `counts` says.
    pub(super) fn new(ids: [[u8; 16]; TOPICS.len()], counts: [u32; TOPICS.len()]) -> Self {
        let slots = counts.map(|count| (0..count).map(|_| Arc::default()).collect());
        let slots = RwLock::new(slots);
        Self { ids, slots, stopped: OnceLock::new(), signal: Signal::default() }
    }

    /// The identity of `topic`.
    pub(super) fn id(&self, topic: Topic) -> [u8; 16] {
        self.ids[index(topic)]
    }

    /// How many partitions `topic` has.
    pub(super) fn partitions(&self, topic: Topic) -> u32 {
        self.slots.read()[index(topic)].len() as u32
    }

    /// The counts of all topics.
    pub(super) fn layout(&self) -> LogLayout {
        let of = |topic| self.partitions(topic).clamp(1, MAX_PARTITIONS);
        LogLayout::new(of(Topic::UserEvents), of(Topic::Feedback), of(Topic::ItemEvents))
            .and_then(|layout| layout.with_deltas(of(Topic::Deltas)))
            .unwrap_or_default()
    }

    /// The slot of `partition`; refuses when the log stopped.
    pub(super) fn slot(&self, partition: TopicPartition) -> Result<Arc<Slot>, ReadError> {
        if let Some(reason) = self.stopped() {
            return Err(ReadError::Stopped(reason.to_owned()));
        }
        self.find(partition).ok_or_else(|| ReadError::UnknownPartition {
            partition,
            partitions: self.partitions(partition.topic),
        })
    }

    fn find(&self, partition: TopicPartition) -> Option<Arc<Slot>> {
        let slots = self.slots.read();
        slots[index(partition.topic)].get(partition.partition as usize).cloned()
    }

    /// The end of `partition`, as far as is known; 0 for one that does not exist.
    pub(super) fn known_end(&self, partition: TopicPartition) -> Offset {
        self.find(partition).map_or(0, |slot| slot.end())
    }

    /// Adds partitions until `topic` has `count`.
    pub(super) fn grow(&self, topic: Topic, count: u32) {
        let mut slots = self.slots.write();
        slots[index(topic)].resize_with(count as usize, Arc::default);
        drop(slots);
        self.signal.raise();
    }

    /// The partition ends at `end`, or behind it.
    pub(super) fn reach(&self, partition: TopicPartition, end: Offset) {
        let Some(slot) = self.find(partition) else { return };
        if slot.end.fetch_max(end, Ordering::AcqRel) < end {
            self.signal.raise();
        }
    }

    /// Nothing before `start` is there any more.
    pub(super) fn trim(&self, partition: TopicPartition, start: Offset) {
        if let Some(slot) = self.find(partition) {
            slot.start.fetch_max(start, Ordering::AcqRel);
        }
    }

    /// Why nothing is read or written any more.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }

    /// Refuses everything from now on. The first reason stays.
    pub(super) fn stop(&self, reason: String) {
        let _ = self.stopped.set(reason);
        self.signal.raise();
    }
}

/// Place of `topic` in [`TOPICS`].
pub(super) fn index(topic: Topic) -> usize {
    TOPICS.iter().position(|known| *known == topic).expect("TOPICS has all topics")
}
