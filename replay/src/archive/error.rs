//! What can go wrong with an archive, by what the caller may do next.

use eddyline_connect::objects::{ObjectError, ObjectName};
use eddyline_schemas::topic::TopicPartition;

/// Why an archive was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The object store did not do it; its own error says what may be repeated.
    #[error("the archive's object store did not do it")]
    Objects(#[from] ObjectError),
    /// An object that the archive names is gone: restore it from a copy.
    #[error("{name} is missing from the archive; restore it from a copy")]
    Missing {
        /// Which.
        name: ObjectName,
    },
    /// An object is not what was written: restore it from a copy.
    #[error("{name} is damaged: {reason}; restore it from a copy")]
    Damaged {
        /// Which.
        name: ObjectName,
        /// How it shows.
        reason: String,
    },
    /// Written by another version of the format: use a newer build.
    #[error(
        "{name} has format version {found}, this build reads {}; use a newer one",
        super::VERSION
    )]
    Version {
        /// Which.
        name: ObjectName,
        /// As it says.
        found: u64,
    },
    /// Somebody else wrote the next manifest: certainly not committed. Open the catalogue again;
    /// if its nonce is not one's own, there is another archiver, and one of the two must leave.
    #[error("manifest {number} is another writer's: only one archiver may run")]
    Superseded {
        /// The number that was lost.
        number: u64,
    },
    /// What was to be archived does not continue what is: nothing was written.
    #[error("{partition} cannot be archived: {reason}")]
    Discontinuous {
        /// Of which partition.
        partition: TopicPartition,
        /// What does not fit.
        reason: String,
    },
    /// The Parquet layer refused rows of ours: a bug, the file was not written.
    #[error("cannot encode rows of {partition}")]
    Encode {
        /// Of which partition.
        partition: TopicPartition,
        /// What it said.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

impl ArchiveError {
    pub(super) fn damaged(name: &ObjectName, reason: impl Into<String>) -> Self {
        Self::Damaged { name: name.clone(), reason: reason.into() }
    }

    pub(super) fn discontinuous(partition: TopicPartition, reason: impl Into<String>) -> Self {
        Self::Discontinuous { partition, reason: reason.into() }
    }
}
