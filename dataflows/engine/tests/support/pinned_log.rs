//! A log in memory whose append times and topic identities are given, not drawn: the same records
//! and the same bindings make the same log again. Owns no other behaviour than that.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::clock::ManualClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// A record and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) at: TopicPartition,
    pub(crate) record: Record,
}

/// See the module doc.
pub(crate) struct PinnedLog {
    inner: MemoryLog,
    clock: Arc<ManualClock>,
}

impl PinnedLog {
    /// A log that holds `records`, appended in this order.
    pub(crate) fn holding(records: &[Stored]) -> Arc<Self> {
        let clock = Arc::new(ManualClock::new(TimestampMs(0)));
        let inner = MemoryLog::new(LogLayout::default(), Arc::<ManualClock>::clone(&clock));
        let log = Self { inner, clock };
        records.iter().for_each(|stored| log.store(stored));
        Arc::new(log)
    }

    /// Appends a record at its own append time.
    pub(crate) fn store(&self, stored: &Stored) {
        self.clock.set(stored.record.append_time);
        let Record { key, value, headers, .. } = stored.record.clone();
        let append = Append { partition: stored.at, key, value, headers };
        self.inner.append(vec![append]).expect("memory never fails");
    }
}

impl EventLog for PinnedLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.inner.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.inner.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.end_offset(partition)
    }

    fn trim(&self, partition: TopicPartition, before: Offset) -> Result<(), BoxError> {
        self.inner.trim(partition, before)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        let mut id = [0; 16];
        id[..topic.name().len()].copy_from_slice(topic.name().as_bytes());
        id
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.inner.wait(seen, timeout)
    }
}
