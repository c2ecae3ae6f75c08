//! Why the engine stops. Bad records never do: they are dead letters.

use std::ops::Range;

use eddyline_connect::log::{AppendError, BoxError, ReadError};
use eddyline_schemas::binding::{BrokenRange, Term};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

/// One variant per reaction.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be read: halt, nothing may be skipped.
    #[error("cannot read the event log")]
    Read(#[from] ReadError),
    /// A binding was not written for certain: let the fold of the bindings decide.
    #[error("cannot append a binding")]
    Append(#[from] AppendError),
    /// Another writer is in force: leave.
    #[error("another process writes bindings under term {0:?}; only one may")]
    Fenced(Term),
    /// The bindings topic holds something that no writer writes: halt.
    #[error("bindings offset {offset} is not a binding record")]
    InvalidBinding {
        /// Where.
        offset: Offset,
        /// Why.
        #[source]
        source: eddyline_schemas::codec::InvalidBinding,
    },
    /// The topic of digests holds something that no dataflow writes: halt.
    #[error("digests offset {offset} is not the digest of an epoch")]
    InvalidDigest {
        /// Where.
        offset: Offset,
        /// Why.
        #[source]
        source: eddyline_schemas::codec::InvalidEpochDigest,
    },
    /// The bindings contradict themselves: halt.
    #[error("bindings do not continue their partitions")]
    BrokenRange(#[from] BrokenRange),
    /// The log no longer holds what was bound: halt.
    #[error(
        "epoch {epoch} bound {partition} offsets {range:?}, but the log now holds other records \
         there; restore the log from its archive or remove the data folder to start anew"
    )]
    BoundRecordsChanged {
        /// The epoch.
        epoch: Epoch,
        /// The partition.
        partition: TopicPartition,
        /// The bound offsets.
        range: Range<Offset>,
    },
    /// A topic was deleted and made again: halt.
    #[error("{partition} belongs to a topic that was made anew since epoch {epoch} was bound")]
    TopicRecreated {
        /// The epoch.
        epoch: Epoch,
        /// The partition.
        partition: TopicPartition,
    },
    /// A control that this version cannot follow: halt.
    #[error("epoch {epoch} begins with a control that this version cannot follow: {control}")]
    UnknownControl {
        /// Takes effect before it.
        epoch: Epoch,
        /// Its name.
        control: &'static str,
    },
    /// A record was folded before anybody said that it is to be passed over: start again, which
    /// folds without it.
    #[error(
        "offset {offset} of {partition} is to be passed over and was read already: start again, \
         and it will be"
    )]
    SkipTooLate {
        /// The partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
    },
    /// A partition that was bound is not there any more: halt.
    #[error(
        "{partition} was bound up to offset {bound}, but its topic has {partitions} partitions \
         now: partitions can be added, never removed"
    )]
    PartitionGone {
        /// The partition.
        partition: TopicPartition,
        /// How many there are.
        partitions: u32,
        /// Up to where it was bound.
        bound: Offset,
    },
    /// The log lost its end: halt.
    #[error(
        "offsets {}..{} of {partition} were bound and are gone: the log was truncated; restore it \
         from its archive",
        missing.start, missing.end
    )]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// What is gone.
        missing: Range<Offset>,
    },
    /// The log no longer holds what comes next: halt.
    #[error(
        "offsets {}..{} of {partition} were never bound and are gone: the log keeps its records \
         for too short a time; restore it from a copy",
        missing.start, missing.end
    )]
    Trimmed {
        /// The partition.
        partition: TopicPartition,
        /// What is gone.
        missing: Range<Offset>,
    },
    /// Something left the process that the bindings do not know: the log is older than it: halt.
    #[error(
        "{what} is at epoch {at}, but the bindings on the log end at epoch {bound}: the log is \
         older than what was derived from it; restore it from its archive"
    )]
    Ahead {
        /// What is ahead.
        what: &'static str,
        /// Its epoch.
        at: Epoch,
        /// The last epoch bound.
        bound: Epoch,
    },
    /// A snapshot was made of another log: halt.
    #[error(
        "the snapshot of epoch {epoch} was made of another log: the bindings in front of offset \
         {offset} do not lead to it; restore the log that it belongs to, or remove the snapshots \
         of this lineage to fold the log from its start"
    )]
    OtherLog {
        /// Of the snapshot.
        epoch: Epoch,
        /// Where it would have read on.
        offset: Offset,
    },
    /// A fold of recorded history makes something else than live did: halt.
    #[error("epoch {epoch}: the fold makes other deltas than those that live recorded")]
    Differs {
        /// The first epoch compared that differs.
        epoch: Epoch,
    },
    /// An epoch could not be emitted: a retry may help.
    #[error("cannot emit deltas")]
    Emit(#[source] BoxError),
    /// An epoch will never be taken: halt.
    #[error("deltas were refused")]
    Refused(#[source] BoxError),
    /// A snapshot could not be taken: a retry may help.
    #[error("cannot take a snapshot")]
    Snapshot(#[source] BoxError),
    /// The workers did not start.
    #[error(transparent)]
    Flow(#[from] crate::flow::FlowError),
    /// No snapshot can be used, or this one cannot: halt.
    #[error(transparent)]
    InvalidSnapshot(Box<crate::snapshot::SnapshotError>),
    /// The processes of the dataflow did not meet, or parted in anger.
    #[error(transparent)]
    Cluster(#[from] crate::cluster::ClusterError),
    /// The configuration cannot be run.
    #[error("{0}")]
    Config(String),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The engine stopped before it could answer.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

impl EngineError {
    /// Whether the same operation may work later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Read(error) => matches!(error, ReadError::Unavailable { .. }),
            Self::Append(error) => error.may_pass() || matches!(error, AppendError::Unknown(_)),
            Self::Emit(_) | Self::Snapshot(_) => true,
            Self::Fenced(_)
            | Self::InvalidBinding { .. }
            | Self::BrokenRange(_)
            | Self::BoundRecordsChanged { .. }
            | Self::TopicRecreated { .. }
            | Self::UnknownControl { .. }
            | Self::SkipTooLate { .. }
            | Self::PartitionGone { .. }
            | Self::Truncated { .. }
            | Self::Trimmed { .. }
            | Self::Ahead { .. }
            | Self::OtherLog { .. }
            | Self::Differs { .. }
            | Self::Refused(_)
            | Self::Flow(_)
            | Self::Cluster(_)
            | Self::InvalidSnapshot(_)
            | Self::Config(_)
            | Self::Thread(_)
            | Self::InvalidDigest { .. }
            | Self::Stopped(_) => false,
        }
    }
}

impl From<crate::snapshot::SnapshotError> for EngineError {
    fn from(error: crate::snapshot::SnapshotError) -> Self {
        Self::InvalidSnapshot(Box::new(error))
    }
}
