//! A log whose reads return few records at a time, as a broker with small fetches would.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// See the module doc.
pub(super) struct Narrow {
    pub(super) inner: Arc<dyn EventLog>,
    /// Most records of a read.
    pub(super) records: usize,
}

impl EventLog for Narrow {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.inner.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let records = limit.records.min(self.records);
        self.inner.read(partition, from, ReadLimit { records, ..limit })
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.end_offset(partition)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.inner.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.inner.wait(seen, timeout)
    }
}
