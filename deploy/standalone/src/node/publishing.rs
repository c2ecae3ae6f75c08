//! The dataflow of a fleet: the engine, with the topic of deltas behind it.
//!
//! An epoch is handed on when the whole of it is acknowledged on the topic. A log that is not sure
//! of an append is asked again, since a repeat is harmless; one that refuses ends the process,
//! which starts again behind what the topic holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use eddyline_connect::deltas::{DeltaError, DeltaPublisher};
use eddyline_connect::features::mirror::user_writes;
use eddyline_connect::log::{AppendError, EventLog, with_sources};
use eddyline_dataflows::{Committed, Engine, EngineError, StateDigest, last_bound_epoch, start};
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::http::Operations;
use eddyline_serving::http::operations::{Dependency, DigestReport, NotAvailable, PipelineReport};
use eddyline_serving::metrics::store::StoreMetrics;
use parking_lot::{Mutex, RwLock};

use super::engine_config;
use super::mirror::{Mirroring, open_store};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, of_start};

/// Rest between two attempts at one epoch.
const RETRY: Duration = Duration::from_millis(100);

/// See the module doc.
pub(crate) struct Publishing {
    /// `None` once shut down.
    engine: RwLock<Option<Engine>>,
    mirroring: Option<Arc<Mirroring>>,
    shared: Arc<Shared>,
}

/// What the publishing thread tells.
#[derive(Default)]
struct Shared {
    published: AtomicU64,
    failure: Mutex<Option<String>>,
    is_closing: AtomicBool,
}

impl Publishing {
    /// Starts the engine on `log`, once the deltas that are there are known to be of its bindings.
    pub(crate) fn open(config: &Config, log: Arc<dyn EventLog>) -> Outcome<Self> {
        let lineage = Lineage::root(config.core.hash());
        let cannot = || "cannot go on behind the published deltas".to_owned();
        let publisher =
            DeltaPublisher::open(Arc::clone(&log), lineage).or_stop(Exit::Failure, cannot)?;
        let accepted = last_bound_epoch(Arc::clone(&log))
            .or_stop(Exit::Failure, || "reading the bindings".into())?;
        publisher.check_not_ahead(accepted).or_stop(Exit::Failure, cannot)?;
        let mirroring = open_store(config)?
            .map(|store| Mirroring::start(store, lineage, Arc::clone(&log)))
            .transpose()?
            .map(Arc::new);
        let shared = Arc::new(Shared::default());
        let sink = sink(publisher, Arc::clone(&shared), mirroring.clone());
        let engine = start(engine_config(config), log, Box::new(sink)).map_err(of_start)?;
        Ok(Self { engine: RwLock::new(Some(engine)), mirroring, shared })
    }

    /// Why no further epoch will be published, if so.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<String> {
        let of_topic = self.shared.failure.lock().clone();
        let of_engine = || self.engine.read().as_ref().and_then(|engine| engine.status().failure);
        of_topic.or_else(of_engine)
    }

    /// Stops when what is bound is published, or cannot be.
    pub(crate) fn close(&self) -> Result<StateDigest, EngineError> {
        self.shared.is_closing.store(true, Ordering::Release);
        let Some(engine) = self.engine.write().take() else {
            return Err(EngineError::Stopped("it was shut down".into()));
        };
        let digest = engine.shutdown();
        if let Some(mirroring) = &self.mirroring {
            mirroring.close();
        }
        digest
    }
}

fn sink(
    mut publisher: DeltaPublisher,
    shared: Arc<Shared>,
    mirroring: Option<Arc<Mirroring>>,
) -> impl FnMut(Committed) + Send {
    move |committed: Committed| {
        // Behind a failure nothing is published: the topic has no gap, and the process ends.
        if shared.failure.lock().is_some() {
            return;
        }
        match publish(&mut publisher, &committed.deltas, &shared.is_closing) {
            Ok(()) => {
                shared.published.store(committed.deltas.epoch.0, Ordering::Release);
                if let Some(mirroring) = &mirroring {
                    mirroring.offer(committed.deltas.epoch, user_writes(&committed.deltas));
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "deltas are not published"
                );
                *shared.failure.lock() = Some(with_sources(&error));
            }
        }
    }
}

fn publish(
    publisher: &mut DeltaPublisher,
    deltas: &EpochDeltas,
    is_closing: &AtomicBool,
) -> Result<(), DeltaError> {
    loop {
        match publisher.publish(deltas) {
            Err(DeltaError::Append { source, .. })
                if (source.may_pass() || matches!(source, AppendError::Unknown(_)))
                    && !is_closing.load(Ordering::Acquire) =>
            {
                let epoch = deltas.epoch.0;
                tracing::warn!(
                    epoch,
                    error = &source as &dyn std::error::Error,
                    "publishing again"
                );
                std::thread::sleep(RETRY);
            }
            done => return done.map(|_| ()),
        }
    }
}

impl Operations for Publishing {
    fn pipeline(&self) -> PipelineReport {
        let status = self.engine.read().as_ref().map(Engine::status);
        PipelineReport {
            counts: status.as_ref().map(|status| status.counts).unwrap_or_default(),
            bound_epoch: status.as_ref().map_or(Epoch(0), |status| status.bound_epoch),
            committed_epoch: Epoch(self.shared.published.load(Ordering::Acquire)),
            lineage: status.as_ref().map(|status| status.lineage),
            lag: status.map_or(0, |status| status.lag_records),
        }
    }

    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.engine.read().as_ref()?.epoch_of(partition, offset)
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        let gone = || NotAvailable("the dataflow is shut down".into());
        let engine = self.engine.read();
        let digest = engine.as_ref().ok_or_else(gone)?.state_digest();
        let StateDigest { lineage, epoch, state_digest, .. } =
            digest.map_err(|error| NotAvailable(error.to_string()))?;
        Ok(DigestReport { lineage, epoch, state_digest })
    }

    fn readiness(&self) -> Vec<Dependency> {
        let status = self.engine.read().as_ref().map(Engine::status);
        let failure = self.failure();
        let is_recovered = status.is_some_and(|status| status.is_recovered);
        let detail = match &failure {
            Some(failure) => failure.clone(),
            None if is_recovered => "folds and publishes what is bound".into(),
            None => "folds history again".into(),
        };
        let ready = failure.is_none() && is_recovered;
        let mut all = vec![Dependency { name: "dataflow", ready, detail }];
        all.extend(self.mirroring.as_ref().map(|mirroring| mirroring.dependency()));
        all
    }

    fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.mirroring.as_ref().map(|mirroring| mirroring.metrics())
    }
}
