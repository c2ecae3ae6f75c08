//! The engine with serving behind it, as the HTTP layer sees it.
//!
//! An epoch that serving cannot apply is a bug that would leave answers behind for ever: it is
//! logged, readiness says so from then on, and no later epoch is offered.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{
    Committed, EngineConfig, EngineError, EngineOutputs, EngineStatus, Output, StateDigest,
    start_with,
};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::http::Operations;
use eddyline_serving::http::operations::{
    Dependency, DigestReport, Erasure, NotAvailable, PipelineReport,
};
use eddyline_serving::metrics::store::StoreMetrics;
use eddyline_serving::state::ServingState;
use parking_lot::Mutex;

use super::archiving::Archived;
use super::mirror::{Mirroring, writes_for};
use super::running::RunningEngine;
use super::snapshots::Kept;
use crate::exit::{Outcome, of_start};

/// See the module doc.
pub(super) struct Dataflow {
    engine: RunningEngine,
    state: Arc<ServingState>,
    broken: Arc<Mutex<Option<String>>>,
    archived: Archived,
    ready_lag_records: u64,
}

impl Dataflow {
    /// Starts an engine on `log` that feeds `state`, and the feature store beside it.
    pub(super) fn start(
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        (state, mirroring): (Arc<ServingState>, Option<Arc<Mirroring>>),
        (kept, archived, ready_lag_records): (Kept, Archived, u64),
    ) -> Outcome<Self> {
        let broken = Arc::new(Mutex::new(None));
        let sink = sink(Arc::clone(&state), Arc::clone(&broken), mirroring.clone());
        let Kept { from, writer: snapshots, .. } = kept;
        let outputs = EngineOutputs { output: Output::Sink(Box::new(sink)), snapshots, from };
        let engine = start_with(config, log, outputs).map_err(of_start)?;
        let engine = RunningEngine::new(engine, mirroring);
        Ok(Self { engine, state, broken, archived, ready_lag_records })
    }

    /// Where the engine is; `None` once shut down.
    pub(super) fn status(&self) -> Option<EngineStatus> {
        self.engine.status()
    }

    /// Why no further epoch will become visible, if so.
    pub(super) fn failure(&self) -> Option<String> {
        let of_serving = self.broken.lock().clone();
        of_serving.or_else(|| self.engine.failure())
    }

    /// The digest of all state now.
    pub(super) fn state_digest(&self) -> Result<StateDigest, EngineError> {
        self.engine.state_digest()
    }

    /// Stops when what is bound is committed.
    pub(super) fn shutdown(&self) -> Result<StateDigest, EngineError> {
        self.engine.shutdown()
    }
}

fn sink(
    state: Arc<ServingState>,
    broken: Arc<Mutex<Option<String>>>,
    mirroring: Option<Arc<Mirroring>>,
) -> impl FnMut(Committed) + Send {
    move |committed: Committed| {
        if broken.lock().is_some() {
            return;
        }
        let epoch = committed.deltas.epoch;
        let users = writes_for(mirroring.as_ref(), &committed.deltas);
        if let Err(error) = state.apply(committed.deltas) {
            tracing::error!(%error, "serving cannot apply an epoch and stays where it is");
            *broken.lock() = Some(format!("serving: {error}"));
            return;
        }
        if let Some(mirroring) = &mirroring {
            mirroring.offer(epoch, users);
        }
    }
}

impl Operations for Dataflow {
    fn pipeline(&self) -> PipelineReport {
        PipelineReport { archived_epoch: self.archived.epoch(), ..self.engine.pipeline() }
    }

    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.engine.epoch_of(partition, offset)
    }

    fn erasure(&self, partition: TopicPartition, offset: Offset) -> Erasure {
        self.archived.receipts().map_or(Erasure::NoArchive, |all| all.of(partition, offset))
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        self.engine.digest_report()
    }

    fn readiness(&self) -> Vec<Dependency> {
        let Some(status) = self.status() else {
            let detail = "is shut down".to_owned();
            return vec![Dependency { name: "dataflow", ready: false, detail }];
        };
        let applied = self.state.progress().epoch;
        let behind = status.committed_epoch.0.saturating_sub(applied.0);
        let failure = self.failure();
        let is_well = failure.is_none() && status.is_recovered;
        let dataflow = match &failure {
            Some(failure) => failure.clone(),
            None if status.is_recovered => "folds what is bound".into(),
            None => format!("folds history again, at epoch {}", status.committed_epoch),
        };
        let lag = status.lag_records;
        let mut all = vec![
            Dependency { name: "dataflow", ready: is_well, detail: dataflow },
            Dependency {
                name: "log",
                ready: lag < self.ready_lag_records,
                detail: format!("{lag} records wait to be bound"),
            },
            Dependency {
                name: "serving",
                ready: behind <= 1,
                detail: format!("is {behind} epochs behind the dataflow"),
            },
        ];
        all.extend(self.engine.store_dependency());
        all
    }

    fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.engine.store_metrics()
    }
}
