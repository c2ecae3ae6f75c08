//! What can go wrong with snapshots, by what happens next.

use eddyline_connect::objects::{ObjectError, ObjectName};
use eddyline_schemas::codec::{InvalidManifest, InvalidPart};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use crate::state::section::InvalidSection;

/// Why a snapshot was not written, or none was read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed; nothing is known of the snapshots in it. Try again.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// There are snapshots and none can be used: a person is needed.
    #[error(
        "none of the {tried} snapshots of lineage {lineage} can be used; restore the newest from a \
         copy of the object store, or delete the folder {folder} to fold the log from its start"
    )]
    NoneValid {
        /// Whose.
        lineage: Lineage,
        /// How many there are.
        tried: usize,
        /// Where they lie.
        folder: ObjectName,
        /// What is wrong with the newest.
        #[source]
        newest: Box<InvalidSnapshot>,
    },
    /// The caller's position is not that of the exported epoch: a bug.
    #[error("the position is that of epoch {position}, the state that of epoch {state}")]
    OtherEpoch {
        /// Epoch of the fold of the bindings.
        position: Epoch,
        /// Epoch of the state.
        state: Epoch,
    },
    /// The state is that of another configuration, which no snapshot of it can be.
    #[error(
        "the snapshot is of a [core] configuration with hash {held}, not {wanted}; use the \
         configuration that it was made with, or fold the log from its start"
    )]
    OtherCore {
        /// Of the snapshot.
        held: Digest,
        /// Of this process.
        wanted: Digest,
    },
    /// What was written cannot be read again: a bug. The snapshot was not completed.
    #[error("the state of shard {shard} does not survive being written and read")]
    Unreadable {
        /// Which.
        shard: u8,
        /// Why.
        #[source]
        source: InvalidSection,
    },
    /// Somebody else deleted parts while the snapshot was written. Write another one.
    #[error("part {0} was deleted while the snapshot that needs it was written")]
    PartVanished(ObjectName),
    /// The state has no place for what it was given: a bug.
    #[error("the gate of the snapshot has {0} numbers, which do not fit the configuration")]
    Gate(usize),
}

/// Why a snapshot cannot be used. One reaction: take an older one.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSnapshot {
    /// A manifest that cannot be trusted.
    #[error("manifest {name} is corrupt")]
    Manifest {
        /// Which.
        name: ObjectName,
        /// Why.
        #[source]
        source: InvalidManifest,
    },
    /// A manifest that is sound but belongs elsewhere.
    #[error("manifest {name} is of another {what}: {held}, not {wanted}")]
    Foreign {
        /// Which.
        name: ObjectName,
        /// Such as `lineage`.
        what: &'static str,
        /// Its own.
        held: String,
        /// What it should be.
        wanted: String,
    },
    /// A manifest whose parts are not all state.
    #[error("manifest {0} does not name each shard once")]
    Shards(ObjectName),
    /// An object that is listed or named, and not there.
    #[error("object {0} is missing")]
    Missing(ObjectName),
    /// A part that cannot be trusted.
    #[error("part {name} is corrupt")]
    Part {
        /// Which.
        name: ObjectName,
        /// Why.
        #[source]
        source: InvalidPart,
    },
    /// A section that is what was written and makes no sense.
    #[error("shard {shard} of part {name} was written wrongly")]
    Section {
        /// Of which part.
        name: ObjectName,
        /// Which shard.
        shard: u8,
        /// Why.
        #[source]
        source: InvalidSection,
    },
    /// The gate does not fit the configuration.
    #[error("the gate in manifest {0} does not fit the configuration")]
    Gate(ObjectName),
}
