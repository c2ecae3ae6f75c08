//! A running engine with the feature store beside it, as the HTTP layer asks both, and their end.

use std::sync::Arc;

use eddyline_dataflows::{Engine, EngineError, EngineStatus, StateDigest};
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::http::operations::{Dependency, DigestReport, NotAvailable, PipelineReport};
use eddyline_serving::metrics::store::StoreMetrics;
use parking_lot::RwLock;

use super::mirror::Mirroring;

/// See the module doc.
pub(super) struct RunningEngine {
    /// `None` once shut down.
    engine: RwLock<Option<Engine>>,
    mirroring: Option<Arc<Mirroring>>,
}

impl RunningEngine {
    pub(super) fn new(engine: Engine, mirroring: Option<Arc<Mirroring>>) -> Self {
        Self { engine: RwLock::new(Some(engine)), mirroring }
    }

    /// Where the engine is; `None` once shut down.
    pub(super) fn status(&self) -> Option<EngineStatus> {
        self.engine.read().as_ref().map(Engine::status)
    }

    /// Why the engine stopped, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.status().and_then(|status| status.failure)
    }

    /// The epoch that covers an offset; `None` when it is not bound yet.
    pub(super) fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.engine.read().as_ref()?.epoch_of(partition, offset)
    }

    /// The digest of all state now.
    pub(super) fn state_digest(&self) -> Result<StateDigest, EngineError> {
        self.engine.read().as_ref().ok_or_else(shut_down)?.state_digest()
    }

    /// Stops when what is bound is committed, and the feature store has it or cannot take it.
    pub(super) fn shutdown(&self) -> Result<StateDigest, EngineError> {
        let engine = self.engine.write().take();
        let digest = engine.ok_or_else(shut_down)?.shutdown();
        if let Some(mirroring) = &self.mirroring {
            mirroring.close();
        }
        digest
    }

    pub(super) fn pipeline(&self) -> PipelineReport {
        match self.status() {
            Some(status) => PipelineReport {
                counts: status.counts,
                bound_epoch: status.bound_epoch,
                committed_epoch: status.committed_epoch,
                snapshot_epoch: status.snapshot_epoch,
                archived_epoch: Epoch(0),
                lineage: Some(status.lineage),
                lag: status.lag_records,
            },
            None => PipelineReport {
                counts: PipelineCounts::default(),
                bound_epoch: Epoch(0),
                committed_epoch: Epoch(0),
                snapshot_epoch: Epoch(0),
                archived_epoch: Epoch(0),
                lineage: None,
                lag: 0,
            },
        }
    }

    pub(super) fn digest_report(&self) -> Result<DigestReport, NotAvailable> {
        let digest = self.state_digest().map_err(|error| NotAvailable(error.to_string()))?;
        let StateDigest { lineage, epoch, state_digest, .. } = digest;
        Ok(DigestReport { lineage, epoch, state_digest })
    }

    /// Of the feature store, if there is one.
    pub(super) fn store_dependency(&self) -> Option<Dependency> {
        self.mirroring.as_ref().map(|mirroring| mirroring.dependency())
    }

    pub(super) fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.mirroring.as_ref().map(|mirroring| mirroring.metrics())
    }
}

fn shut_down() -> EngineError {
    EngineError::Stopped("it was shut down".into())
}
