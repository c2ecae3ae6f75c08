//! The dataflow of Eddyline: durable bindings, exact dedupe, the folds and online learning, and
//! one batch of deltas per epoch.
//!
//! What must hold: same log + same bindings + same lineage ⇒ same state and same deltas, whatever
//! the batching, the number of workers, the crashes or the CPU (I2). So the folds read no clock,
//! draw counted random numbers, sum in canonical orders, and never iterate a hash map.

mod at_work;
mod bindings;
pub mod bound;
mod cluster;
mod committer;
mod driver;
mod engine;
mod error;
mod flow;
mod folder;
mod graph;
mod history;
mod intake;
mod known;
mod outputs;
mod positions;
pub mod rank;
mod recording;
mod records;
mod refold;
mod sequencer;
pub mod sim;
mod skip;
pub mod snapshot;
pub mod state;
mod view;
mod wire;

pub use at_work::{AtWork, RecordAt, Stage, at_work, newest_epoch};
pub use cluster::{ClusterConfig, ClusterError, Patience, Workers};
pub use committer::{Committed, StateDigest};
pub use driver::CRASH_POINTS;
pub use driver::snapshots::{Fed, NoSnapshots, SnapshotPoint, Snapshots};
pub use engine::{
    Engine, EngineConfig, EngineOutputs, EngineStatus, EpochLimits, Output, start, start_with,
};
pub use error::EngineError;
pub use flow::{Arrival, FlowError};
pub use folder::{CommittedState, Folder, Sink, follow};
pub use graph::Folds;
pub use history::{History, epoch_at};
pub use known::KnownDigests;
pub use outputs::{EmitError, Outputs};
pub use positions::{BoundFollower, BoundPositions};
pub use recording::DigestRecorder;
pub use records::{BoundContent, BoundRecord, for_each_record};
pub use refold::{
    Refold, Replay, for_each_bound, last_bound_epoch, refold, refold_on, replay, replay_on,
};
pub use skip::{BoundEpoch, bound_epoch, skip_record};
