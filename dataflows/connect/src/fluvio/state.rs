//! What is known of a partition: its edges, and what was fetched ahead.
//!
//! Offsets here only grow. A partition's end is known from what was acknowledged to us and from
//! asking; it may lag behind others' appends, never behind ours.

use std::sync::atomic::{AtomicU64, Ordering};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use super::reader::Ahead;
use crate::known::Known;

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

/// What is known of all topics.
pub(super) type State = Known<Slot>;

impl Known<Slot> {
    /// The end of `partition`, as far as is known; 0 for one that does not exist.
    pub(super) fn known_end(&self, partition: TopicPartition) -> Offset {
        self.find(partition).map_or(0, |slot| slot.end())
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
}
