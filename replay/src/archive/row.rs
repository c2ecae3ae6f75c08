//! A row of the archive, and the digest that chains the rows of a partition.
//!
//! c₀ = zero, cₙ = BLAKE3(cₙ₋₁ ‖ offset ‖ epoch ‖ record hash), integers as u64 little-endian. The
//! chain knows nothing of files, so merging them leaves it as it is, and so does erasure, which
//! keeps all three members.

use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, DigestBuilder, Offset, Record};
use eddyline_schemas::time::TimestampMs;

/// One record of a partition as the archive keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedRow {
    /// Its place in the partition.
    pub offset: Offset,
    /// The epoch that bound it. In a topic that is not bound: the last epoch bound once the record
    /// was read, so that an accepted binding carries the epoch it made.
    pub epoch: Epoch,
    /// Hash of the record as it was appended.
    pub record_hash: Digest,
    /// The record, or what an erasure left of it.
    pub content: Content,
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Record(Record),
    /// Only when it was appended: a file's folder is the day of its first row, and `as-of` asks
    /// for times; neither says anything of a user.
    Erased {
        /// As stamped by the log.
        append_time: TimestampMs,
    },
}

impl ArchivedRow {
    /// The row of a record.
    #[must_use]
    pub fn new(offset: Offset, epoch: Epoch, record: Record) -> Self {
        Self { offset, epoch, record_hash: record.hash(), content: Content::Record(record) }
    }

    /// When the record was appended.
    #[must_use]
    pub fn append_time(&self) -> TimestampMs {
        match &self.content {
            Content::Record(record) => record.append_time,
            Content::Erased { append_time } => *append_time,
        }
    }

    /// The record, unless it was erased.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Record(record) => Some(record),
            Content::Erased { .. } => None,
        }
    }

    /// What an erasure leaves of the row.
    #[must_use]
    pub fn erased(&self) -> Self {
        let content = Content::Erased { append_time: self.append_time() };
        Self { content, ..self.clone() }
    }

    /// The chain once this row follows `chain`.
    #[must_use]
    pub fn chain_after(&self, chain: Digest) -> Digest {
        let mut digest = DigestBuilder::default();
        digest.update(&chain.0);
        digest.update(&self.offset.to_le_bytes());
        digest.update(&self.epoch.0.to_le_bytes());
        digest.update(&self.record_hash.0);
        digest.finish()
    }

    /// Bytes of key, value and headers.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.record().map_or(0, |record| {
            let headers = record.headers.iter().map(|(name, value)| name.len() + value.len());
            record.key.len() + record.value.len() + headers.sum::<usize>()
        })
    }
}
