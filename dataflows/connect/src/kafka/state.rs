//! What is known of a partition: its edges, and where reads are.
//!
//! Offsets here only grow. A partition's end is known from what was acknowledged to us, from what
//! was read, and from asking; it may lag behind others' appends, never behind ours.

use std::sync::atomic::{AtomicU64, Ordering};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use super::reader::Reader;
use crate::known::Known;

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

/// What is known of all topics.
pub(super) type State = Known<Slot>;

impl Known<Slot> {
    /// Every partition there is.
    pub(super) fn all(&self) -> Vec<TopicPartition> {
        self.layout().all().collect()
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
}
