//! What the HTTP layer must be told of the dataflow, which it never sees itself.
//!
//! The composition root implements [`Operations`] over the running engine; a process without one
//! (a serving replica) over what its delta stream says.

use std::sync::Arc;

use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::TopicPartition;
use serde::Serialize;

use crate::metrics::store::StoreMetrics;

/// How far the dataflow has come: the body of `GET /v1/pipeline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PipelineReport {
    /// Where every bound record ended up.
    #[serde(flatten)]
    pub counts: PipelineCounts,
    /// Last epoch that was bound.
    pub bound_epoch: Epoch,
    /// Last epoch whose deltas were handed on.
    pub committed_epoch: Epoch,
    /// Epoch of the newest snapshot: a restart folds again what came after it; 0 when there is none.
    pub snapshot_epoch: Epoch,
    /// Last epoch that this process has archived; 0 when it archives nothing.
    pub archived_epoch: Epoch,
    /// Whose history; null before the first epoch.
    pub lineage: Option<Lineage>,
    /// Records on the log that no binding covers yet.
    pub lag: u64,
}

/// Digest of the state at an epoch: the body of `GET /v1/digest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DigestReport {
    /// Whose history.
    pub lineage: Lineage,
    /// At the end of this epoch.
    pub epoch: Epoch,
    /// BLAKE3 of the canonical state rows.
    pub state_digest: Digest,
}

/// One thing that must be well before requests are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Such as `log` or `dataflow`.
    pub name: &'static str,
    /// Whether it is well.
    pub ready: bool,
    /// For people: what is so, and what is waited for.
    pub detail: String,
}

/// How far an erasure is beyond state and answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Erasure {
    /// This process archives nothing: whoever archives writes the receipt.
    NoArchive,
    /// Not all is done.
    Pending,
    /// All is done; what was, and what remains.
    Done(Arc<serde_json::Value>),
}

/// The dataflow did not answer. The message is shown to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAvailable(pub String);

/// The dataflow, as seen by the HTTP layer. All but `digest` are quick and never block.
pub trait Operations: Send + Sync {
    /// How far the dataflow has come.
    fn pipeline(&self) -> PipelineReport;

    /// The epoch that binds this position; `None` while it is not bound. It must be known before
    /// that epoch's deltas are handed to serving.
    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch>;

    /// How far the erasure is that the event at this position asks for.
    fn erasure(&self, partition: TopicPartition, offset: Offset) -> Erasure;

    /// Digest of the state now; may block for as long as all state takes to be hashed.
    fn digest(&self) -> Result<DigestReport, NotAvailable>;

    /// Every dependency, well or not.
    fn readiness(&self) -> Vec<Dependency>;

    /// Of the feature store beside this process, if there is one.
    fn store_metrics(&self) -> Option<&StoreMetrics> {
        None
    }
}
