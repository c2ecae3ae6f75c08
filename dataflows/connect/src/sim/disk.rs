//! What lies on the log's disk, and what is still on its way there.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::layout::LogLayout;
use crate::log::Append;

use super::Dice;

/// See the module doc.
pub struct SimDisk {
    layout: LogLayout,
    clock: Arc<dyn Clock>,
    /// A sound log writes through before it acknowledges; one that does so only at every n-th
    /// append is a planted bug.
    sync_every: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    partitions: BTreeMap<TopicPartition, Vec<Record>>,
    /// How much of each partition survives a power loss.
    synced: BTreeMap<TopicPartition, usize>,
    /// Appends that somebody sent and that have not arrived.
    on_the_way: Vec<Vec<Append>>,
    appends: u64,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(layout: LogLayout, clock: Arc<dyn Clock>, sync_every: u64) -> Self {
        Self { layout, clock, sync_every, inner: Mutex::default() }
    }

    /// Its partitions.
    #[must_use]
    pub fn layout(&self) -> LogLayout {
        self.layout
    }

    /// How often it was appended to.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.inner.lock().appends
    }

    /// Writes a batch.
    pub fn append(&self, batch: Vec<Append>) -> Vec<Offset> {
        let mut inner = self.inner.lock();
        let now = self.clock.now();
        inner.appends += 1;
        let mut offsets = Vec::with_capacity(batch.len());
        for Append { partition, key, value, headers } in batch {
            let records = inner.partitions.entry(partition).or_default();
            let append_time = records.last().map_or(now, |last| last.append_time.max(now));
            offsets.push(records.len() as Offset);
            records.push(Record { append_time, key, value, headers, erased: None });
        }
        if inner.appends.is_multiple_of(self.sync_every) {
            let ends = inner.partitions.iter().map(|(at, records)| (*at, records.len()));
            inner.synced = ends.collect();
        }
        offsets
    }

    /// A batch that arrives later, or never.
    pub fn send_later(&self, batch: Vec<Append>) {
        self.inner.lock().on_the_way.push(batch);
    }

    /// Lets one of the late batches arrive, whichever the dice say; false when none is left.
    pub fn arrive(&self, dice: &mut Dice) -> bool {
        let mut inner = self.inner.lock();
        if inner.on_the_way.is_empty() {
            return false;
        }
        let at = dice.below(inner.on_the_way.len() as u64) as usize;
        let batch = inner.on_the_way.swap_remove(at);
        drop(inner);
        self.append(batch);
        true
    }

    /// What was not written through is gone.
    pub fn lose_power(&self) {
        let mut inner = self.inner.lock();
        let Inner { partitions, synced, .. } = &mut *inner;
        for (at, records) in partitions {
            records.truncate(synced.get(at).copied().unwrap_or(0));
        }
    }

    /// Records of a partition from `from` on, `limit` at most.
    #[must_use]
    pub fn records(&self, at: TopicPartition, from: Offset, limit: usize) -> Vec<Record> {
        let inner = self.inner.lock();
        let records = inner.partitions.get(&at).map_or(&[][..], Vec::as_slice);
        records.iter().skip(from as usize).take(limit).cloned().collect()
    }

    /// The next offset of a partition.
    #[must_use]
    pub fn end(&self, at: TopicPartition) -> Offset {
        self.inner.lock().partitions.get(&at).map_or(0, Vec::len) as Offset
    }
}
