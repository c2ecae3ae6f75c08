//! The serving of a fleet: the door, and serving state that follows the topic of deltas.
//!
//! ```text
//! producers → door → log ⇢ (a dataflow elsewhere) ⇢ deltas → reader → serving state → answers
//! ```
//! It begins with the newest snapshot, where there is one, and is ready once every epoch that was
//! bound at the start is applied, and while it stays close to the bindings. Deltas that cannot be
//! applied leave it answering from where it is, and not ready, until there is a snapshot of a later
//! epoch to go on from.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use eddyline_connect::clock::SystemClock;
use eddyline_connect::deltas::DeltaReader;
use eddyline_connect::features::FeatureStore;
use eddyline_connect::log::EventLog;
use eddyline_dataflows::{BoundFollower, BoundPositions};
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::door::{Door, DoorLimits};
use eddyline_serving::http::operations::{
    Dependency, DigestReport, Erasure, NotAvailable, PipelineReport,
};
use eddyline_serving::http::{AppState, Operations, serve};
use eddyline_serving::metrics::Metrics;
use eddyline_serving::metrics::store::StoreMetrics;
use eddyline_serving::state::ServingState;
use eddyline_serving::state::reindex::Reindexer;
use eddyline_serving::switch::Switch;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::beside::{Beside, Role, Surroundings, lineages};
use super::bootstrap::Source;
use super::bound::{is_passing, patiently};
use super::http_config;
use super::mirror::{open_store, reader_metrics};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};

/// Longest wait for deltas without a look at the bindings.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Rest before the log is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Ready while fewer bound epochs than this are not applied: a second of full load.
const READY_BEHIND: u64 = 100;

/// See the module doc.
pub(crate) struct Replica {
    config: Config,
    door: Arc<Door>,
    following: Arc<Following>,
    thread: Option<JoinHandle<()>>,
    switch: Switch,
    beside: Option<Beside>,
    _reindexer: Reindexer,
}

/// What the following thread and the HTTP layer share.
struct Following {
    state: Arc<ServingState>,
    store_metrics: Option<StoreMetrics>,
    bound: Arc<BoundPositions>,
    /// The epoch to reach before the first readiness.
    head: Epoch,
    has_caught_up: AtomicBool,
    is_closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Replica {
    /// Follows the deltas of the configured lineage on `log`, behind the newest snapshot or from
    /// epoch 1 on.
    pub(crate) fn open(config: Config, log: Arc<dyn EventLog>) -> Outcome<Self> {
        let store = open_store(&config)?;
        let store_metrics = store.clone().map(reader_metrics);
        let store: Option<Arc<dyn FeatureStore>> = store.map(|store| store as _);
        let state = ServingState::new(config.serving.clone()).beside(store.clone());
        let state = Arc::new(state);
        let switch = Switch::new(Arc::clone(&state));
        let (source, reader) = Source::open(&config, &log, &state)?;
        let mut bindings = BoundFollower::new(Arc::clone(&log));
        patiently(|| bindings.read_on())
            .or_stop(Exit::Failure, || "reading the bindings".into())?;
        let bound = bindings.positions();
        let following = Arc::new(Following {
            head: bound.epoch(),
            bound,
            state: Arc::clone(&state),
            store_metrics,
            has_caught_up: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let run = Arc::clone(&following);
        let thread = std::thread::Builder::new()
            .name("eddyline-follow".into())
            .spawn(move || run.follow(Follower { source, reader, bindings, held: None }))
            .or_stop(Exit::Io, || "starting a thread".into())?;
        let (told, around) = (Arc::clone(&following), Arc::clone(&log));
        let around = Surroundings {
            role: Role::Serve,
            log: around,
            switch: switch.clone(),
            store,
            receipts: None,
        };
        let beside = Beside::open(&config, around, Box::new(move || told.pipeline()))?;
        let door = Door::new(log, Arc::new(SystemClock), DoorLimits::default())
            .or_stop(Exit::Io, || "starting the door".into())?;
        let reindexer =
            Reindexer::start(state).or_stop(Exit::Io, || "starting the index builder".into())?;
        let (door, thread) = (Arc::new(door), Some(thread));
        Ok(Self { config, door, following, thread, switch, beside, _reindexer: reindexer })
    }

    /// Answers requests on `listener` until `shutdown` ends.
    pub(crate) async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        let following = Arc::clone(&self.following) as _;
        let (operations, lineages) = lineages(self.beside.as_ref(), following, &self.config.core);
        let app = AppState {
            switch: self.switch.clone(),
            lineages,
            door: Arc::clone(&self.door),
            operations,
            metrics: Arc::new(Metrics::default()),
            config: http_config(&self.config),
            demo: None,
        };
        serve(listener, app, shutdown).await.or_stop(Exit::Io, || "serving HTTP".into())
    }

    /// Takes nothing more in; what was acknowledged is on the log.
    pub(crate) fn close(mut self) {
        self.door.close();
        self.end();
    }

    fn end(&mut self) {
        self.following.is_closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows the deltas panicked");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
impl Replica {
    pub(super) fn state(&self) -> &Arc<ServingState> {
        &self.following.state
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    pub(super) fn operations(&self) -> &dyn Operations {
        &*self.following
    }

    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    pub(super) fn lineages(&self) -> &super::beside::Inner {
        self.beside.as_ref().expect("there is a place for a registry").inner()
    }
}

/// What the following thread owns.
struct Follower {
    source: Source,
    reader: DeltaReader,
    bindings: BoundFollower,
    /// Read, and waiting for its binding to be read.
    held: Option<EpochDeltas>,
}

impl Following {
    fn follow(&self, mut follower: Follower) {
        while !self.is_closing.load(Ordering::Acquire) {
            match self.step(&mut follower) {
                Ok(()) => {}
                Err(error) if is_passing(&error) => {
                    tracing::warn!(error = format!("{error:#}"), "the log cannot be read now");
                    std::thread::sleep(RETRY);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "serving stays at the epoch that it has");
                    *self.failure.lock() = Some(error);
                    self.wait_for_snapshot(&mut follower);
                }
            }
        }
    }

    /// Returns with what to follow next, or at the end.
    fn wait_for_snapshot(&self, follower: &mut Follower) {
        while !self.is_closing.load(Ordering::Acquire) {
            match follower.source.resync(&self.state) {
                Ok(Some(reader)) => {
                    (follower.reader, follower.held) = (reader, None);
                    *self.failure.lock() = None;
                    return;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "no snapshot to go on from");
                }
            }
            // Whoever waits for a position learns that it is bound.
            if let Err(error) = follower.bindings.read_on() {
                tracing::warn!(error = format!("{error:#}"), "the bindings cannot be read now");
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Applies the next epoch if there is one. Its binding is read first: who waits for a position
    /// must find the epoch of it by then.
    fn step(&self, follower: &mut Follower) -> anyhow::Result<()> {
        if follower.held.is_none() {
            follower.held = follower.reader.next_epoch(LOOK_EVERY)?;
        }
        follower.bindings.read_on()?;
        if let Some(epoch) = follower.held.take() {
            self.state.apply(epoch)?;
        }
        if self.state.progress().epoch >= self.head {
            self.has_caught_up.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Operations for Following {
    fn pipeline(&self) -> PipelineReport {
        let progress = self.state.progress();
        PipelineReport {
            counts: progress.counts,
            bound_epoch: self.bound.epoch(),
            committed_epoch: progress.epoch,
            snapshot_epoch: Epoch(0),
            archived_epoch: Epoch(0),
            lineage: progress.lineage,
            lag: self.bound.lag_records(),
        }
    }

    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.bound.epoch_of(partition, offset)
    }

    fn erasure(&self, _: TopicPartition, _: Offset) -> Erasure {
        Erasure::NoArchive
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        Err(NotAvailable("a serving replica has no dataflow state: ask the dataflow".into()))
    }

    fn readiness(&self) -> Vec<Dependency> {
        let applied = self.state.progress().epoch;
        let behind = self.bound.epoch().0.saturating_sub(applied.0);
        let failure = self.failure.lock().clone();
        let has_caught_up = self.has_caught_up.load(Ordering::Acquire);
        let detail = match &failure {
            Some(failure) => failure.clone(),
            None => format!("is {behind} epochs behind the bindings, at epoch {applied}"),
        };
        let ready = failure.is_none() && has_caught_up && behind < READY_BEHIND;
        vec![Dependency { name: "deltas", ready, detail }]
    }

    fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.store_metrics.as_ref()
    }
}
