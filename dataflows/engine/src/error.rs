//! Why the engine stops. Bad records never do: they are dead letters.

use std::ops::Range;

use eddyline_connect::log::{AppendError, ReadError};
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
    /// A binding was not written for certain: restart and let the fold of the bindings decide.
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
    /// A control of a newer version: halt.
    #[error("epoch {epoch} holds a control that this version does not know: {control}")]
    UnknownControl {
        /// Takes effect before it.
        epoch: Epoch,
        /// Its name.
        control: &'static str,
    },
    /// The workers did not start.
    #[error(transparent)]
    Flow(#[from] crate::flow::FlowError),
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
