//! The port to the event log: durable, ordered, partitioned.
//!
//! Invariants that every implementation keeps and the conformance suite checks:
//!
//! * offsets of a partition ascend; a record never changes its offset;
//! * [`EventLog::append`] returns only when the batch is durable, and then this handle sees it;
//! * append time is stamped once, by the log;
//! * a log that is not sure of what it holds stops: it refuses everything from then on.
//!
//! What a log of our own promises beyond that, and one that brokers keep cannot, says
//! [`EventLog::guarantees`]; whoever relies on it asks.
//!
//! All calls block; none may be made from an async task without a blocking section.

mod error;
mod signal;

use std::time::Duration;

use bytes::Bytes;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

pub use error::{AppendError, BoxError, OpenError, ReadError, with_sources};
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

/// What a log promises beyond the module doc. The conformance suite checks what is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// A batch is visible to readers as a whole or not at all.
    pub whole_batches: bool,
    /// Offsets of a partition have no gap: they count its records.
    pub dense_offsets: bool,
    /// Append time never goes backwards within a partition: max(previous, clock).
    pub rising_append_time: bool,
}

impl Guarantees {
    /// Everything that can be promised.
    pub const ALL: Self =
        Self { whole_batches: true, dense_offsets: true, rising_append_time: true };
}

/// A durable, partitioned, append-only log. See the module doc for what it promises.
pub trait EventLog: Send + Sync {
    /// Appends `batch` and returns the offset of each of its records, in the order of the batch,
    /// when all of them are durable. An empty batch is durable at once. The error says whether the
    /// batch is certainly not written; if not, any part of it may be, and only a retry whose effect
    /// is idempotent is safe.
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

    /// The offset that the next record will get, as far as this handle knows: never before what it
    /// acknowledged or returned; appends of other processes may show a moment later.
    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError>;

    /// Number of partitions of `topic`; it may grow at run time, never shrink.
    fn partitions(&self, topic: Topic) -> u32;

    /// Random identity of `topic`, made when it was created: a topic that was deleted and made
    /// again has another one.
    fn topic_id(&self, topic: Topic) -> [u8; 16];

    /// Blocks until something was appended that `seen` does not cover, the log stopped, or
    /// `timeout` is over; returns what is covered now. A reader takes the version *before* it
    /// reads, so that no append is missed. What other processes append wakes it promptly in
    /// partitions that were read before. It may wake without news.
    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion;

    /// Forgets the records of a partition below `before`, which does not lie behind its end. It may
    /// keep some of them; [`Self::start_offset`] says from where on records can be read. Only what
    /// has another copy may be forgotten: that is the caller's to know.
    fn trim(&self, _partition: TopicPartition, _before: Offset) -> Result<(), BoxError> {
        Err("this log forgets nothing when asked: set the retention of its topics".into())
    }

    /// What the log promises beyond the module doc.
    fn guarantees(&self) -> Guarantees {
        Guarantees::ALL
    }

    /// Shows how far a reader has come to tools that watch lag, where the log has such: for each
    /// partition the offset to read next. Never read back: truth is in the bindings. It does not
    /// wait.
    fn commit_group(&self, _progress: &[(TopicPartition, Offset)]) -> Result<(), BoxError> {
        Ok(())
    }
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
            return Err(AppendError::TooLarge { index, bytes, most: MAX_RECORD_BYTES });
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
