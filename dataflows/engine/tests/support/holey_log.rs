//! A log whose inputs have a hole after every record, as one that brokers keep may have for the
//! marks of transactions. A read goes on behind a hole, as theirs does.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, Guarantees, ReadBatch, ReadError, ReadLimit,
};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// See the module doc. The records are those of the log inside, at twice their offsets.
pub(crate) struct HoleyLog(pub(crate) Arc<dyn EventLog>);

impl EventLog for HoleyLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.0.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        if partition.topic == Topic::Bindings {
            return self.0.read(partition, from, limit);
        }
        let batch = self.0.read(partition, from.div_ceil(2), limit)?;
        let records: Vec<_> = batch.records.into_iter().map(|(at, one)| (2 * at, one)).collect();
        let next = records.last().map_or(from, |(at, _)| at + 1);
        Ok(ReadBatch { records, next })
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.0.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        let end = self.0.end_offset(partition)?;
        let is_dense = partition.topic == Topic::Bindings;
        Ok(if is_dense { end } else { (2 * end).saturating_sub(1) })
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.0.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.0.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.0.wait(seen, timeout)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { dense_offsets: false, ..Guarantees::ALL }
    }
}
