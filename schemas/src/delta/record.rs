//! The topic `deltas.v1`: what each epoch changed, for everybody who keeps state that follows it.
//!
//! # Format, version 1, fixed forever
//! * `cleanup.policy=delete`; P partitions, fixed when the topic is made; a row belongs to the
//!   partition (logical shard of its key) mod P.
//! * Within (epoch, partition) rows are ranked by (kind, key) from 0: their *seq*.
//! * A **rows** record holds a run of rows of one kind with consecutive seq. Its key is
//!   `kind/id` of its first row ([`super::placement`]). How rows are grouped means nothing: a
//!   reader takes row by row, so a repeat may be grouped in another way.
//! * A **close** record, key `epoch/<epoch>`, ends every epoch in every partition, an empty one
//!   too, with the count and the digest of its rows. The close of partition 0 also carries what
//!   belongs to the whole epoch: logical time, chain, counts.
//! * A row holds the absolute value of its key; an erased user's is null.
//! * Every record names lineage and epoch and ends with a check of key and value, so that a record
//!   that was changed is never mistaken for one of another epoch or lineage.
//!
//! A writer begins epoch e + 1 in a partition when all of e is acknowledged there. So in a
//! partition the records of a lineage are whole epochs in order, but for repeats: of a writer that
//! started again, and of one that should be dead. Repeats are equal row by row.
//!
//! Why runs: an event of the benchmark's stream (epochs of 1,024, 128 numbers a vector, P = 4)
//! changes 7.8 rows, 3,065 bytes of which nine tenths are vectors. In runs that is 0.07 records; one
//! by one it would be 7.8 records and 3,595 bytes, and 390,000 records/s at 50,000 events/s, which
//! costs brokers and clients more than the bytes do.

use super::{Delta, PipelineCounts};
use crate::lineage::{Epoch, Lineage};
use crate::record::Digest;
use crate::time::TimestampMs;

/// A record of the topic, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaRecord {
    /// Whose history.
    pub lineage: Lineage,
    /// Which epoch.
    pub epoch: Epoch,
    /// Rows or the end of them.
    pub content: DeltaContent,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum DeltaContent {
    /// Row k has seq `first_seq` + k.
    Rows {
        /// Of the first row.
        first_seq: u32,
        /// At least one.
        rows: Vec<Delta>,
    },
    /// The epoch has no more rows in this partition than these.
    Close(PartitionClose),
}

/// The end of an epoch in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionClose {
    /// The partition, so that a record that lies in another one is noticed.
    pub partition: u32,
    /// P.
    pub partitions: u32,
    /// Number of rows: their seq are 0..count.
    pub count: u32,
    /// [`super::placement::rows_digest`] of them.
    pub digest: Digest,
    /// In partition 0 only.
    pub facts: Option<EpochFacts>,
}

/// What belongs to an epoch as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochFacts {
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// The chain hash after it.
    pub chain: Digest,
    /// Sums since epoch 0.
    pub counts: PipelineCounts,
}
