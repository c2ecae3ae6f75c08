//! Puts binding records on a log as they lay on another.

use bytes::Bytes;
use eddyline_connect::log::{Append, EventLog};
use eddyline_schemas::topic::{Topic, TopicPartition};

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

/// Appends values of the bindings topic.
pub(crate) fn rebind(log: &dyn EventLog, values: impl IntoIterator<Item = Bytes>) {
    for value in values {
        let append = Append { partition: BINDINGS, key: Bytes::new(), value, headers: Vec::new() };
        log.append(vec![append]).expect("memory never fails");
    }
}
