//! Why deltas cannot be written or followed, by what the caller may do next.

use eddyline_schemas::codec::InvalidDeltaRecord;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

use crate::log::{AppendError, ReadError};

/// One variant per reaction.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// The log cannot be read: what the source says.
    #[error("cannot read the deltas")]
    Read(#[from] ReadError),
    /// Not known to be written whole: publish the same epoch again, once the log can be written.
    #[error("cannot append the deltas of epoch {epoch}")]
    Append {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        #[source]
        source: AppendError,
    },
    /// The topic ends before what is to be followed: load a snapshot of `first_available - 1` or
    /// later.
    #[error(
        "epoch {applied} is applied and the deltas begin at epoch {first_available}: \
         a snapshot of epoch {} or later is needed", first_available.0 - 1
    )]
    NeedSnapshot {
        /// The last applied epoch.
        applied: Epoch,
        /// The first one that the topic still has whole.
        first_available: Epoch,
    },
    /// The record was changed since it was written, or is of a newer version: halt.
    #[error("{partition} offset {offset} is no record of deltas")]
    Damaged {
        /// Where.
        partition: TopicPartition,
        /// Where.
        offset: Offset,
        /// How it shows.
        #[source]
        source: InvalidDeltaRecord,
    },
    /// Two writers made two histories of one lineage: halt.
    #[error(
        "epoch {epoch} partition {partition} seq {seq} was written twice, with different values; \
         two dataflows of one lineage disagree"
    )]
    RowsDiffer {
        /// Which epoch.
        epoch: Epoch,
        /// Which partition.
        partition: u32,
        /// Which row.
        seq: u32,
    },
    /// An epoch contradicts itself: halt.
    #[error("epoch {epoch} partition {partition}: {what}")]
    Contradiction {
        /// Which epoch.
        epoch: Epoch,
        /// Which partition.
        partition: u32,
        /// What does not fit.
        what: String,
    },
    /// Whole, and not what follows from the epoch before: halt.
    #[error("the deltas of epoch {epoch} do not continue the chain of the epoch before")]
    WrongChain {
        /// Which epoch.
        epoch: Epoch,
    },
    /// The bindings lost what was derived from them: halt.
    #[error(
        "{partition} has deltas of epoch {published} of lineage {lineage}, but the last accepted \
         binding is of epoch {accepted}; restore the bindings topic, or start a new namespace"
    )]
    Ahead {
        /// Whose deltas.
        lineage: Lineage,
        /// Where they lie.
        partition: TopicPartition,
        /// The greatest epoch found.
        published: Epoch,
        /// The last one that the bindings know.
        accepted: Epoch,
    },
    /// A caller's bug: epochs are published in order.
    #[error("epoch {got} of lineage {lineage} cannot be published behind epoch {last}")]
    NotNext {
        /// Whose.
        lineage: Lineage,
        /// The last published epoch.
        last: Epoch,
        /// What was offered.
        got: Epoch,
    },
}
