//! Why an archiver stops, by what may be done next.

use std::ops::Range;

use eddyline_connect::log::ReadError;
use eddyline_connect::objects::ObjectError;
use eddyline_schemas::binding::BrokenRange;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::archive::ArchiveError;

/// One variant per reaction.
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    /// The log cannot be read: if it is out of reach, ask again.
    #[error("cannot read the event log")]
    Read(#[from] ReadError),
    /// The archive cannot be read or written: if its store is out of reach, ask again.
    #[error("cannot go on with the archive")]
    Archive(#[from] ArchiveError),
    /// The archive is that of another log: name another place.
    #[error(
        "the archive is of another log: the topic of {topic} was deleted and made again, or it is \
         the archive of another deployment; name an empty place"
    )]
    OtherLog {
        /// Whose identity differs.
        topic: Topic,
    },
    /// The log lost what is archived: halt.
    #[error(
        "offsets {}..{} of {partition} are archived and gone from the log: it was truncated",
        missing.start, missing.end
    )]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// What is gone.
        missing: Range<Offset>,
    },
    /// The log no longer holds what was bound: halt.
    #[error(
        "epoch {epoch} bound {partition} offsets {offsets:?}, but the log now holds other records \
         there: nothing of it is archived"
    )]
    BoundRecordsChanged {
        /// The epoch.
        epoch: Epoch,
        /// The partition.
        partition: TopicPartition,
        /// The bound offsets.
        offsets: Range<Offset>,
    },
    /// The bindings topic holds something that no writer writes: halt.
    #[error("bindings offset {offset} is not a binding record")]
    InvalidBinding {
        /// Where.
        offset: Offset,
        /// Why.
        #[source]
        source: eddyline_schemas::codec::InvalidBinding,
    },
    /// The bindings contradict themselves: halt.
    #[error("bindings do not continue their partitions")]
    BrokenRange(#[from] BrokenRange),
}

impl ArchiverError {
    /// Whether the same call may do it a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Read(ReadError::Unavailable { .. })
                | Self::Archive(ArchiveError::Objects(ObjectError::Unavailable { .. }))
        )
    }
}
