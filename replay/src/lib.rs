//! Everything that folds recorded history again: the digest of a log's state from nothing, and
//! prequential evaluation; and the archive that keeps the history.
//!
//! Replay uses recorded bindings and never cuts epochs anew. It knows no HTTP.

pub mod archive;
pub mod archiver;
mod crash;
mod descent;
pub mod evaluate;
pub mod export;
pub mod following;
pub mod lineages;
pub mod quality;
mod recompute;
pub mod recorded;
mod report;
pub mod trim;
pub mod verify;

pub use crash::CRASH_POINTS;
pub use descent::{descended, erased_from};
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
    /// The log or its archive cannot be read.
    #[error("cannot read recorded history")]
    Read(#[from] eddyline_connect::log::ReadError),
    /// The topic of digests holds something that no dataflow writes.
    #[error("digests offset {offset} is not the digest of an epoch")]
    Recorded {
        /// Where.
        offset: eddyline_schemas::record::Offset,
        /// Why.
        #[source]
        source: eddyline_schemas::codec::InvalidEpochDigest,
    },
    /// There is nothing to hold a fold against.
    #[error("no digest of lineage {lineage} was recorded{}", of_others(others))]
    NothingRecorded {
        /// That of the configuration.
        lineage: eddyline_schemas::lineage::Lineage,
        /// Of which there are digests.
        others: Vec<String>,
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

fn of_others(lineages: &[String]) -> String {
    if lineages.is_empty() {
        return ", nor of any other".into();
    }
    format!("; there are digests of lineage {}: use its [core]", lineages.join(", "))
}
