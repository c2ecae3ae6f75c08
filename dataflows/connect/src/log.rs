//! The port to the event log: durable, ordered, partitioned.
//!
//! Invariants that every implementation keeps and the conformance suite checks:
//!
//! * offsets of a partition start at 0 and have no gap; a record never changes its offset;
//! * [`EventLog::append`] returns only when the batch is durable, and a batch is visible to
//!   readers as a whole or not at all;
//! * append time is stamped once, by the log: max(previous of that partition, clock), so it never
//!   goes backwards within a partition;
//! * a log that is not sure of what it wrote stops: it refuses everything from then on.
//!
//! All calls block; none may be made from an async task without a blocking section.

mod error;
mod signal;

use std::time::Duration;

use bytes::Bytes;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

pub use error::{AppendError, BoxError, OpenError, ReadError};
pub(crate) use signal::Signal;

/// Longest record, encoded: key, value and headers together.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// A record to be appended; the log adds offset and append time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub partition: TopicPartition,
    /// Partitioning key; may be empty.
    pub key: Bytes,
    /// The event; may be empty.
    pub value: Bytes,
    /// Name and value, kept in this order.
    pub headers: Vec<(String, Bytes)>,
}

/// How much one read may return. A read that can return anything returns at least one record,
/// even one larger than `bytes`, so that a reader always gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most records; 0 reads nothing.
    pub records: usize,
    /// Most bytes of keys, values and headers.
    pub bytes: usize,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBatch {
    /// In the order of offsets.
    pub records: Vec<(Offset, Record)>,
    /// Where to read next.
    pub next: Offset,
}

/// How often the log was appended to, as far as a reader knows. The default has seen nothing, so
/// that the first [`EventLog::wait`] returns at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppendVersion(pub u64);

/// A durable, partitioned, append-only log. See the module doc for what it promises.
pub trait EventLog: Send + Sync {
    /// Appends `batch` and returns the offset of each of its records, in the order of the batch,
    /// when all of them are durable. An empty batch is durable at once.
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError>;

    /// Reads on from `from`. At the end of the partition the batch is empty; below its start or
    /// beyond its end is an error that names the missing range.
    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError>;

    /// The first offset that can be read.
    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError>;

    /// The offset that the next record will get.
    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError>;

    /// Number of partitions of `topic`.
    fn partitions(&self, topic: Topic) -> u32;

    /// Random identity of `topic`, made when it was created: a topic that was deleted and made
    /// again has another one.
    fn topic_id(&self, topic: Topic) -> [u8; 16];

    /// Blocks until something was appended that `seen` does not cover, the log stopped, or
    /// `timeout` is over; returns what is covered now. A reader takes the version *before* it
    /// reads, so that no append is missed.
    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion;
}

impl Append {
    /// Bytes of key, value and headers: what limits are counted in.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        payload_bytes(&self.key, &self.value, &self.headers)
    }
}

/// Bytes of a record as [`ReadLimit::bytes`] counts them.
pub(crate) fn payload_bytes(key: &Bytes, value: &Bytes, headers: &[(String, Bytes)]) -> usize {
    let of_headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    key.len() + value.len() + of_headers
}

/// Refuses a batch that certainly cannot be written.
pub(crate) fn check_batch(
    batch: &[Append],
    layout: &crate::layout::LogLayout,
) -> Result<(), AppendError> {
    for (index, append) in batch.iter().enumerate() {
        let partition = append.partition;
        if !layout.has(partition) {
            let partitions = layout.partitions(partition.topic);
            return Err(AppendError::UnknownPartition { partition, partitions });
        }
        let bytes = append.payload_bytes();
        if bytes > MAX_RECORD_BYTES || append.headers.len() > usize::from(u16::MAX) {
            return Err(AppendError::TooLarge { index, bytes });
        }
    }
    Ok(())
}

/// Refuses an offset outside `start..=end`, naming what is missing.
pub(crate) fn check_offset(
    partition: TopicPartition,
    from: Offset,
    start: Offset,
    end: Offset,
) -> Result<(), ReadError> {
    if from < start {
        return Err(ReadError::OutOfRange { partition, missing: from..start, start, end });
    }
    if from > end {
        return Err(ReadError::OutOfRange { partition, missing: end..from, start, end });
    }
    Ok(())
}
