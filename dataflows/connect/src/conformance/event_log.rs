//! The conformance suite of [`EventLog`]. Implementations are made with the default
//! [`LogLayout`]. What not every log can promise ([`EventLog::guarantees`]) is checked where it is
//! promised; offsets are checked to be dense, since nothing in the suite makes a gap.

mod concurrent;
mod reading;
pub mod stamps;
pub mod trimming;
mod writing;

use bytes::Bytes;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::layout::LogLayout;
use crate::log::{Append, EventLog, ReadLimit};

/// Makes a fresh, empty log.
pub type MakeLog<'a> = &'a dyn Fn() -> Box<dyn EventLog>;

/// A limit that no test reaches.
pub const NO_LIMIT: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

/// Runs the whole suite.
pub fn run(make: MakeLog<'_>) {
    writing::run(make);
    reading::run(make);
    concurrent::run(make);
}

/// All records of `partition`, in as many reads as it takes.
#[must_use]
pub fn read_all(log: &dyn EventLog, partition: TopicPartition) -> Vec<(Offset, Record)> {
    let mut all = Vec::new();
    let mut next = log.start_offset(partition).expect("the partition exists");
    loop {
        let batch = log.read(partition, next, NO_LIMIT).expect("the records are there");
        if batch.records.is_empty() {
            return all;
        }
        assert!(batch.next > next, "a read gets on");
        next = batch.next;
        all.extend(batch.records);
    }
}

/// All records of all partitions of the default layout, in their order.
#[must_use]
pub fn read_everything(log: &dyn EventLog) -> Vec<(TopicPartition, Offset, Record)> {
    let of = |partition| {
        let records = read_all(log, partition);
        records.into_iter().map(move |(offset, record)| (partition, offset, record))
    };
    LogLayout::default().all().flat_map(of).collect()
}

/// A record for `partition` without headers.
#[must_use]
pub fn append_to(partition: TopicPartition, key: &str, value: &str) -> Append {
    Append {
        partition,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: Vec::new(),
    }
}

/// Partition `partition` of the user events.
#[must_use]
pub fn user_events(partition: u32) -> TopicPartition {
    TopicPartition { topic: Topic::UserEvents, partition }
}

fn bindings() -> TopicPartition {
    TopicPartition { topic: Topic::Bindings, partition: 0 }
}

fn values(records: &[(Offset, Record)]) -> Vec<&str> {
    records
        .iter()
        .map(|(_, record)| std::str::from_utf8(&record.value).expect("tests write text"))
        .collect()
}
