//! Everything that folds recorded history again: the digest of a log's state from nothing, and
//! prequential evaluation; and the archive that keeps the history.
//!
//! Replay uses recorded bindings and never cuts epochs anew. It knows no HTTP.

pub mod archive;
pub mod evaluate;
mod recompute;
mod report;

pub use evaluate::{Evaluation, evaluate};
pub use recompute::recompute;
pub use report::{ModelReport, Report};

/// Why a replay gave up.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The dataflow stopped.
    #[error("the dataflow stopped")]
    Engine(#[from] eddyline_dataflows::EngineError),
    /// An epoch was asked for that the log does not have yet.
    #[error("epoch {asked} is not bound; the log ends at epoch {last}")]
    NoSuchEpoch {
        /// What was asked for.
        asked: eddyline_schemas::lineage::Epoch,
        /// The last one.
        last: eddyline_schemas::lineage::Epoch,
    },
    /// An event that cannot be evaluated.
    #[error("event {index} {reason}")]
    Event {
        /// From 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}
