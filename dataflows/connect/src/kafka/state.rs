//! What is known of the topics: names, ids, partitions and their edges; and whether the log stopped.
//!
//! Offsets here only grow. A partition's end is known from what was acknowledged to us, from what
//! was read, and from asking; it may lag behind others' appends, never behind ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::{Mutex, RwLock};

use super::reader::Reader;
use crate::layout::{LogLayout, MAX_PARTITIONS, TOPICS};
use crate::log::{ReadError, Signal};

/// One partition.
#[derive(Default)]
pub(super) struct Slot {
    start: AtomicU64,
    /// Next offset behind all that was acknowledged to us.
    acknowledged: AtomicU64,
    /// Next offset behind all that readers may see (transactions that are open end it).
    readable: AtomicU64,
    /// Next offset of the partition itself.
    high: AtomicU64,
    /// Where reads are.
    pub(super) reader: Mutex<Reader>,
}

impl Slot {
    /// First offset that is there.
    pub(super) fn start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    /// Next offset behind all that is known.
    pub(super) fn end(&self) -> Offset {
        self.readable().max(self.acknowledged.load(Ordering::Acquire))
    }

    /// Next offset behind all that readers may see, as far as is known.
    pub(super) fn readable(&self) -> Offset {
        self.readable.load(Ordering::Acquire)
    }

    /// Least that the partition's own end must be.
    pub(super) fn least_end(&self) -> Offset {
        self.end().max(self.high.load(Ordering::Acquire))
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

    /// Every partition there is.
    pub(super) fn all(&self) -> Vec<TopicPartition> {
        self.layout().all().collect()
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

    /// Adds partitions until `topic` has `count`.
    pub(super) fn grow(&self, topic: Topic, count: u32) {
        let mut slots = self.slots.write();
        slots[index(topic)].resize_with(count as usize, Arc::default);
        drop(slots);
        self.signal.raise();
    }

    /// The record before `end` was acknowledged to us.
    pub(super) fn acknowledge(&self, partition: TopicPartition, end: Offset) {
        self.raise(partition, end, |slot| &slot.acknowledged);
    }

    /// Readers may see everything before `end`.
    pub(super) fn may_read(&self, partition: TopicPartition, end: Offset) {
        self.raise(partition, end, |slot| &slot.readable);
    }

    /// The partition itself ends at `end`.
    pub(super) fn note_high(&self, partition: TopicPartition, end: Offset) {
        if let Some(slot) = self.find(partition) {
            slot.high.fetch_max(end, Ordering::AcqRel);
        }
    }

    /// Nothing before `start` is there any more.
    pub(super) fn trim(&self, partition: TopicPartition, start: Offset) {
        if let Some(slot) = self.find(partition) {
            slot.start.fetch_max(start, Ordering::AcqRel);
        }
    }

    fn raise(&self, partition: TopicPartition, end: Offset, of: fn(&Slot) -> &AtomicU64) {
        let Some(slot) = self.find(partition) else { return };
        let before = slot.end();
        of(&slot).fetch_max(end, Ordering::AcqRel);
        if end > before {
            self.signal.raise();
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

fn index(topic: Topic) -> usize {
    TOPICS.iter().position(|known| *known == topic).expect("TOPICS has all topics")
}
