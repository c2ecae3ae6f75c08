//! Serving as of a past epoch: everything can be asked, nothing is taken in.
//!
//! State comes from the newest snapshot that is not behind the epoch, and from folding what
//! followed. Nothing is written anywhere.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::clock::SystemClock;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_dataflows::snapshot::Restored;
use eddyline_dataflows::{Committed, NoSnapshots, Replay, StateDigest, replay};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use eddyline_serving::door::{Door, DoorLimits};
use eddyline_serving::http::lineages::OneLineage;
use eddyline_serving::http::operations::{
    Dependency, DigestReport, Erasure, NotAvailable, PipelineReport,
};
use eddyline_serving::http::{AppState, Operations, serve};
use eddyline_serving::metrics::Metrics;
use eddyline_serving::state::ServingState;
use eddyline_serving::switch::Switch;
use tokio::net::TcpListener;

use super::http_config;
use super::snapshots::restore;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};

/// See the module doc.
pub(crate) struct Past {
    config: Config,
    log: Arc<dyn EventLog>,
    state: Arc<ServingState>,
    digest: StateDigest,
}

impl Past {
    /// Folds `log` up to the end of `until`; `told` hears of every epoch.
    pub(crate) fn open(
        config: Config,
        log: Arc<dyn EventLog>,
        (from, until): (Option<Restored>, Epoch),
        mut told: impl FnMut(Epoch) + Send + 'static,
    ) -> Outcome<Self> {
        let state = Arc::new(ServingState::new(config.serving.clone()));
        if let Some(from) = &from {
            restore(&state, &config, from)?;
        }
        let broken = Arc::new(parking_lot::Mutex::new(None));
        let (serving, noted) = (Arc::clone(&state), Arc::clone(&broken));
        let sink = move |committed: Committed| {
            told(committed.deltas.epoch);
            if let Err(error) = serving.apply(committed.deltas) {
                noted.lock().get_or_insert(error);
            }
        };
        let workers = config.dataflow.workers;
        let how = Replay {
            from,
            until: Some(until),
            workers,
            snapshots: Box::new(NoSnapshots),
            known: None,
        };
        let digest =
            replay(&config.core, Arc::clone(&log), how, Box::new(sink)).map_err(of_engine)?;
        if let Some(error) = broken.lock().take() {
            return Err(error).or_stop(Exit::Bug, || "serving cannot apply an epoch".into());
        }
        if digest.epoch != until {
            let message = format!("history ends at epoch {}, not at {until}", digest.epoch);
            return Err(Stop::new(Exit::Bug, message));
        }
        state.refresh_index();
        Ok(Self { config, log, state, digest })
    }

    /// Digest of the state.
    #[must_use]
    pub(crate) fn digest(&self) -> StateDigest {
        self.digest
    }

    /// Answers requests on `listener` until `shutdown` ends.
    pub(crate) async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        let log = Arc::new(Sealed(Arc::clone(&self.log)));
        let door = Door::new(log, Arc::new(SystemClock), DoorLimits::default())
            .or_stop(Exit::Io, || "starting the door".into())?;
        let standing = Standing { state: Arc::clone(&self.state), digest: self.digest };
        let operations: Arc<dyn Operations> = Arc::new(standing);
        let app = AppState {
            switch: Switch::new(Arc::clone(&self.state)),
            lineages: Arc::new(OneLineage {
                core: self.config.core.clone(),
                operations: Arc::clone(&operations),
                why: "this answers as of the past, of one lineage: nothing can be changed",
            }),
            door: Arc::new(door),
            operations,
            metrics: Arc::new(Metrics::default()),
            config: http_config(&self.config),
            demo: None,
        };
        serve(listener, app, shutdown).await.or_stop(Exit::Io, || "serving HTTP".into())
    }
}

#[cfg(test)]
impl Past {
    pub(super) fn state(&self) -> &Arc<ServingState> {
        &self.state
    }
}

/// A log that takes nothing: history is not written.
struct Sealed(Arc<dyn EventLog>);

impl EventLog for Sealed {
    fn append(&self, _: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        Err(AppendError::Stopped("this answers as of the past and takes no events".into()))
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.0.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.0.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.0.end_offset(partition)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        // An archive has only what was bound; whatever is sent is refused wherever it belongs.
        self.0.partitions(topic).max(1)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.0.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.0.wait(seen, timeout)
    }
}

/// What never moves.
struct Standing {
    state: Arc<ServingState>,
    digest: StateDigest,
}

impl Operations for Standing {
    fn pipeline(&self) -> PipelineReport {
        let progress = self.state.progress();
        PipelineReport {
            counts: progress.counts,
            bound_epoch: progress.epoch,
            committed_epoch: progress.epoch,
            snapshot_epoch: Epoch(0),
            archived_epoch: Epoch(0),
            lineage: progress.lineage,
            lag: 0,
        }
    }

    fn bound_epoch_of(&self, _: TopicPartition, _: Offset) -> Option<Epoch> {
        None
    }

    fn erasure(&self, _: TopicPartition, _: Offset) -> Erasure {
        Erasure::NoArchive
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        let StateDigest { lineage, epoch, state_digest, .. } = self.digest;
        Ok(DigestReport { lineage, epoch, state_digest })
    }

    fn readiness(&self) -> Vec<Dependency> {
        let detail = format!("answers as of epoch {}", self.digest.epoch);
        vec![Dependency { name: "history", ready: true, detail }]
    }
}
