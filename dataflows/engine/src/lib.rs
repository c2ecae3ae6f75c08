//! The dataflow of Eddyline: durable bindings, exact dedupe, the folds and online learning, and
//! one batch of deltas per epoch.
//!
//! What must hold: same log + same bindings + same lineage ⇒ same state and same deltas, whatever
//! the batching, the number of workers, the crashes or the CPU (I2). So the folds read no clock,
//! draw counted random numbers, sum in canonical orders, and never iterate a hash map.

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
mod intake;
pub mod rank;
mod refold;
mod sequencer;
pub mod state;
mod view;
mod wire;

pub use cluster::{ClusterConfig, ClusterError, Patience, Workers};
pub use committer::{Committed, StateDigest};
pub use engine::{Engine, EngineConfig, EngineStatus, EpochLimits, start};
pub use error::EngineError;
pub use flow::{Arrival, FlowError};
pub use folder::{CommittedState, Folder, Sink, follow};
pub use graph::Folds;
pub use refold::{Refold, last_bound_epoch, refold, refold_on};
