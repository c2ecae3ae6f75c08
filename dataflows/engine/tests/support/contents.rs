//! What lies on a log, read at once.

use bytes::Bytes;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_schemas::record::Record;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// The one partition of the bindings topic.
pub(crate) const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

/// Every record of a partition, in the order of offsets.
pub(crate) fn all_records(log: &dyn EventLog, at: TopicPartition) -> Vec<Record> {
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let batch = log.read(at, 0, all).expect("memory can be read");
    batch.records.into_iter().map(|(_, record)| record).collect()
}

/// Values of the bindings topic, in order.
pub(crate) fn binding_values(log: &dyn EventLog) -> Vec<Bytes> {
    all_records(log, BINDINGS).into_iter().map(|record| record.value).collect()
}
