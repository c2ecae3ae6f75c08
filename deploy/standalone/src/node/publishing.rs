//! The dataflow of a fleet: the engine, with the topic of deltas behind it.

use std::sync::Arc;

use eddyline_connect::deltas::DeltaPublisher;
use eddyline_connect::log::EventLog;
use eddyline_dataflows::{EngineError, EngineOutputs, Output, StateDigest, start_with};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::http::Operations;
use eddyline_serving::http::operations::{
    Dependency, DigestReport, Erasure, NotAvailable, PipelineReport,
};
use eddyline_serving::metrics::store::StoreMetrics;
use eddyline_serving::state::ServingState;
use eddyline_serving::switch::Switch;
use parking_lot::Mutex;

use super::beside::{Beside, Role, Surroundings};
use super::bound::{bound_epoch, patiently};
use super::emission::{Closing, DeltaOutputs};
use super::engine_config;
use super::mirror::{Mirroring, open_store};
use super::running::RunningEngine;
use super::snapshots::Kept;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, of_start};

/// See the module doc.
pub(crate) struct Publishing {
    pub(super) engine: Arc<RunningEngine>,
    closing: Closing,
    /// `None` once closed, or where there is no place for a registry.
    beside: Mutex<Option<Beside>>,
}

impl Publishing {
    /// Starts the engine on `log`, once the deltas that are there are known to be of its bindings.
    pub(crate) fn open(config: &Config, log: Arc<dyn EventLog>) -> Outcome<Self> {
        let lineage = config.core.lineage();
        let mut publisher = open_publisher(&log, lineage)?;
        let mirroring = open_store(config)?
            .map(|store| Mirroring::start(store, lineage, &log))
            .transpose()?
            .map(Arc::new);
        let Kept { from, writer: snapshots, .. } = Kept::open(config, &log)?;
        from.iter().for_each(|from| publisher.go_on_from(from.epoch()));
        if let (Some(mirroring), Some(from)) = (&mirroring, &from) {
            mirroring.seed(config, from);
        }
        let closing = Closing::default();
        let outputs = DeltaOutputs::start(publisher, mirroring.clone(), closing.clone())
            .or_stop(Exit::Io, || "starting a thread".into())?;
        let output = Output::Port(Box::new(outputs));
        let outputs = EngineOutputs { output, snapshots, from };
        let engine =
            start_with(engine_config(config), Arc::clone(&log), outputs).map_err(of_start)?;
        let engine = Arc::new(RunningEngine::new(engine, mirroring));
        let beside = beside(config, log, Arc::clone(&engine))?;
        Ok(Self { engine, closing, beside: Mutex::new(beside) })
    }

    /// Why no further epoch will be published, if so.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<String> {
        self.engine.failure()
    }

    /// Stops when what is bound is published; an error says what cannot be.
    pub(crate) fn close(&self) -> Result<StateDigest, EngineError> {
        self.closing.begin();
        let digest = self.engine.shutdown();
        if let (Some(beside), Ok(digest)) = (self.beside.lock().take(), &digest) {
            beside.close(digest.epoch);
        }
        digest
    }
}

impl Drop for Publishing {
    /// Whoever leaves without a close does not wait for a topic that takes nothing.
    fn drop(&mut self) {
        self.closing.begin();
    }
}

#[cfg(test)]
impl Publishing {
    pub(super) fn status(&self) -> eddyline_dataflows::EngineStatus {
        self.engine.status().expect("it is not closed")
    }
}

/// The lineages beside the configured one, whose deltas are published too.
fn beside(
    config: &Config,
    log: Arc<dyn EventLog>,
    engine: Arc<RunningEngine>,
) -> Outcome<Option<Beside>> {
    // Nobody asks a dataflow: its state stays empty.
    let switch = Switch::new(Arc::new(ServingState::new(config.serving.clone())));
    let around = Surroundings { role: Role::Dataflow, log, switch, store: None, receipts: None };
    Beside::open(config, around, Box::new(move || engine.pipeline()))
}

/// A topic ahead of the bindings has deltas of events that the log does not have. The engine looks
/// too, once it has folded all; this look is before any of that.
pub(super) fn open_publisher(log: &Arc<dyn EventLog>, lineage: Lineage) -> Outcome<DeltaPublisher> {
    let cannot = || "cannot go on behind the published deltas".to_owned();
    let publisher = patiently(|| DeltaPublisher::open(Arc::clone(log), lineage))
        .or_stop(Exit::Failure, cannot)?;
    let accepted = bound_epoch(log, publisher.found())?;
    publisher.check_not_ahead(accepted).or_stop(Exit::Failure, cannot)?;
    Ok(publisher)
}

impl Operations for Publishing {
    fn pipeline(&self) -> PipelineReport {
        self.engine.pipeline()
    }

    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.engine.epoch_of(partition, offset)
    }

    fn erasure(&self, _: TopicPartition, _: Offset) -> Erasure {
        Erasure::NoArchive
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        self.engine.digest_report()
    }

    fn readiness(&self) -> Vec<Dependency> {
        let status = self.engine.status();
        let is_recovered = status.as_ref().is_some_and(|status| status.is_recovered);
        let failure = status.and_then(|status| status.failure);
        let ready = failure.is_none() && is_recovered;
        let detail = match failure {
            Some(failure) => failure,
            None if is_recovered => "folds and publishes what is bound".into(),
            None => "folds history again".into(),
        };
        let mut all = vec![Dependency { name: "dataflow", ready, detail }];
        all.extend(self.engine.store_dependency());
        all.extend(self.beside.lock().as_ref().map(|beside| beside.inner().followed()));
        all
    }

    fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.engine.store_metrics()
    }
}
