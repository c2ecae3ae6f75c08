//! The composition root: log, dataflow and serving in one process ([`Node`]), or in two that share
//! a log ([`Publishing`], [`Replica`]).
//!
//! ```text
//! producers → door → log → engine (epochs, folds, learning) → deltas → serving state → answers
//! ```
//! The only module that knows all parts. It owns their lives: opened in this order, closed from
//! the outside in, so that nothing that was acknowledged is lost. While it runs, `digest.json` is
//! absent; a clean close leaves it with the digest of the last epoch.

mod archiving;
mod beside;
mod bootstrap;
mod bound;
pub(crate) mod crashes;
mod dataflow;
mod emission;
mod erasing;
mod mirror;
mod past;
mod publishing;
mod replica;
mod running;
mod snapshots;
#[cfg(test)]
mod tests;
mod trimming;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::clock::SystemClock;
use eddyline_connect::features::FeatureStore;
use eddyline_connect::log::{EventLog, OpenError};
use eddyline_connect::objects::open_objects;
use eddyline_connect::url::open_log;
use eddyline_dataflows::{EngineConfig, StateDigest, Workers};
use eddyline_replay::archive::{ArchiveLog, SplicedLog};
use eddyline_serving::door::{Door, DoorLimits};
use eddyline_serving::http::{
    Access, AppState, DemoInfo, HashedKey, HttpConfig, Operations, serve,
};
use eddyline_serving::metrics::Metrics;
use eddyline_serving::state::reindex::Reindexer;
use eddyline_serving::state::{Progress, ServingState};
use eddyline_serving::switch::Switch;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::roles::workers;
use crate::server_file;
use archiving::Archived;
use beside::{Beside, Role, Surroundings, lineages};
use dataflow::Dataflow;
use mirror::{Mirroring, open_store};
use snapshots::{Kept, restore};

pub(crate) use archiving::Archiving;
pub(crate) use past::Past;
pub(crate) use publishing::Publishing;
pub(crate) use replica::Replica;
pub(crate) use snapshots::{exit_of_objects, open_place, open_snapshots};

/// How long a close waits for acknowledged events to become state.
const FLUSH: Duration = Duration::from_secs(10);

/// A running system without its HTTP server.
pub(crate) struct Node {
    config: Config,
    door: Arc<Door>,
    dataflow: Arc<Dataflow>,
    state: Arc<ServingState>,
    mirroring: Option<Arc<Mirroring>>,
    archiving: Option<Archiving>,
    switch: Switch,
    beside: Option<Beside>,
    /// Ends its thread when dropped.
    _reindexer: Reindexer,
}

/// Opens the log of `config`, creating the data folder.
pub(crate) fn open_event_log(config: &Config) -> Outcome<Arc<dyn EventLog>> {
    let dir = &config.data_dir;
    std::fs::create_dir_all(dir).or_stop(Exit::Io, || format!("creating {}", dir.display()))?;
    let opened = open_log(&config.log.url, config.log.layout);
    let (exit, remedy) = opened.as_ref().err().map_or((Exit::Io, None), reaction);
    let stopped = opened.or_stop(exit, || format!("cannot open the log {}", config.log.url));
    let log = stopped
        .map_err(|stop| remedy.into_iter().fold(stop, |stop, remedy| stop.remedy(remedy)))?;
    Ok(in_front_of(log, config))
}

/// The log with its archive, where it has one, in front of what was trimmed.
fn in_front_of(log: Arc<dyn EventLog>, config: &Config) -> Arc<dyn EventLog> {
    let Some(url) = config.archive.url.clone() else { return log };
    let open = move || {
        let objects = open_objects(&url, eddyline_connect::objects::Access::Read)?;
        Ok(ArchiveLog::open(objects)?)
    };
    Arc::new(SplicedLog::new(log, Box::new(open)))
}

/// How the process ends when the log does not open, and what to try where the error does not say.
fn reaction(error: &OpenError) -> (Exit, Option<&'static str>) {
    match error {
        OpenError::Unreachable { .. } | OpenError::Brokers { .. } => (Exit::Unavailable, None),
        OpenError::Credentials { .. } | OpenError::Topics { .. } | OpenError::Url { .. } => {
            (Exit::Config, None)
        }
        OpenError::InUse { .. }
        | OpenError::FewerPartitions { .. }
        | OpenError::FixedPartitions { .. }
        | OpenError::Damaged { .. }
        | OpenError::Lost { .. }
        | OpenError::Io { .. } => {
            (Exit::Io, Some("stop the process that uses it, or choose another --data DIR"))
        }
    }
}

impl Node {
    /// Opens the log, starts the dataflow on it and serving behind the dataflow. What was bound
    /// before is folded again while the node already takes events.
    pub(crate) fn open(config: Config) -> Outcome<Self> {
        check_alone(&config)?;
        let engine = engine_config(&config);
        Self::open_with(config, engine)
    }

    /// As [`Self::open`], with workers elsewhere too.
    pub(crate) fn open_on(config: Config, workers: Workers) -> Outcome<Self> {
        let engine = EngineConfig { workers, ..engine_config(&config) };
        Self::open_with(config, engine)
    }

    fn open_with(config: Config, engine: EngineConfig) -> Outcome<Self> {
        let log = open_event_log(&config)?;
        let crashed = crashes::begin(&config, || Ok(Arc::clone(&log)))?;
        forget_digest(&config.data_dir)?;
        let (lineage, store) = (config.core.lineage(), open_store(&config)?);
        let mirroring = store.clone().map(|store| Mirroring::start(store, lineage, &log));
        let mirroring = mirroring.transpose()?.map(Arc::new);
        let store: Option<Arc<dyn FeatureStore>> = store.map(|store| store as _);
        let state = ServingState::new(config.serving.clone()).beside(store.clone());
        let state = Arc::new(state);
        let archiving = Archiving::start(&config, &log)?;
        let kept = Kept::open(&config, &log)?;
        if let (Some(archiving), Some(wish)) = (&archiving, kept.wish.clone()) {
            archiving.receipts().may_wish(lineage, wish);
        }
        if let Some(from) = &kept.from {
            restore(&state, &config, from)?;
            mirroring.iter().for_each(|mirroring| mirroring.seed(&config, from));
        }
        let dataflow = Dataflow::start(
            engine,
            Arc::clone(&log),
            (Arc::clone(&state), mirroring.clone()),
            (kept, Archived::of(archiving.as_ref()), config.ready_lag_records),
        )?;
        let switch = Switch::new(Arc::clone(&state));
        let door = Door::new(Arc::clone(&log), Arc::new(SystemClock), DoorLimits::default())
            .or_stop(Exit::Io, || "starting the door".into())?;
        let reindexer = Reindexer::start(Arc::clone(&state))
            .or_stop(Exit::Io, || "starting the index builder".into())?;
        let (door, dataflow) = (Arc::new(door), Arc::new(dataflow));
        let committing: Arc<dyn Operations> = Arc::clone(&dataflow) as _;
        crashed.until_committed(Arc::downgrade(&committing))?;
        let receipts = archiving.as_ref().map(|archiving| archiving.receipts().clone());
        let around = Surroundings { role: Role::Up, log, switch: switch.clone(), store, receipts };
        let beside = Beside::open(&config, around, Box::new(move || committing.pipeline()))?;
        let _reindexer = reindexer;
        Ok(Self { config, door, dataflow, state, mirroring, archiving, switch, beside, _reindexer })
    }

    /// The configuration that it runs on.
    #[must_use]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The way in.
    #[must_use]
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// How far serving has come.
    #[must_use]
    pub(crate) fn progress(&self) -> Progress {
        self.state.progress()
    }

    /// The digest of all state now.
    pub(crate) fn digest(&self) -> Outcome<StateDigest> {
        self.dataflow.state_digest().or_stop(Exit::Failure, || "hashing the state".into())
    }

    /// Waits until `records` records are visible to requests.
    pub(crate) fn wait_visible(&self, records: u64, patience: Duration) -> Outcome {
        let started = Instant::now();
        while self.progress().counts.accepted < records {
            if let Some(failure) = self.dataflow.failure() {
                return Err(Stop::new(Exit::Failure, format!("the dataflow stopped: {failure}")));
            }
            if started.elapsed() > patience {
                let visible = self.progress().counts.accepted;
                let message = format!("{visible} of {records} records are visible in {patience:?}");
                return Err(Stop::new(Exit::Failure, message));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Waits until the feature store, where there is one, has acknowledged all that is visible now.
    pub(crate) fn wait_mirrored(&self, patience: Duration) -> Outcome {
        let Some(mirroring) = &self.mirroring else { return Ok(()) };
        let (started, epoch) = (Instant::now(), self.progress().epoch);
        while !mirroring.has(epoch) {
            if started.elapsed() > patience {
                let message = format!("the feature store is not at epoch {epoch} in {patience:?}");
                return Err(Stop::new(Exit::Unavailable, message));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Answers requests on `listener` until `shutdown` ends.
    pub(crate) async fn serve(
        &self,
        listener: TcpListener,
        demo: Option<DemoInfo>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        let dataflow = Arc::clone(&self.dataflow) as _;
        let (operations, lineages) = lineages(self.beside.as_ref(), dataflow, &self.config.core);
        let app = AppState {
            switch: self.switch.clone(),
            lineages,
            door: Arc::clone(&self.door),
            operations,
            metrics: Arc::new(Metrics::default()),
            config: http_config(&self.config),
            demo,
        };
        serve(listener, app, shutdown).await.or_stop(Exit::Io, || "serving HTTP".into())
    }

    /// Takes nothing more in, lets what was acknowledged become state, and notes its digest.
    pub(crate) fn close(self) -> Outcome<StateDigest> {
        self.door.close();
        let started = Instant::now();
        let is_behind = || self.dataflow.status().is_some_and(|at| at.lag_records > 0);
        while is_behind() && self.dataflow.failure().is_none() && started.elapsed() < FLUSH {
            std::thread::sleep(Duration::from_millis(5));
        }
        let digest =
            self.dataflow.shutdown().or_stop(Exit::Failure, || "stopping the dataflow".into())?;
        crashes::closed(&self.config, digest.epoch)?;
        note_digest(&self.config.data_dir, &digest)?;
        if let Some(beside) = self.beside {
            beside.close(digest.epoch);
        }
        if let Some(archiving) = self.archiving {
            // The log has what the archive lacks: the next start goes on with it.
            if let Err(error) = archiving.close() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "not all that is bound is archived");
            }
        }
        Ok(digest)
    }
}

fn http_config(config: &Config) -> HttpConfig {
    HttpConfig {
        access: access(config),
        budget: config.server.request_budget,
        grace: config.server.grace,
        ..HttpConfig::default()
    }
}

/// A node has everything in it: it leads no other process.
fn check_alone(config: &Config) -> Outcome {
    if config.dataflow.processes.is_none() {
        return Ok(());
    }
    let message = "dataflow.processes: `eddyline up` is one process with everything in it";
    let remedy = "unset the key, or run `eddyline dataflow` and `eddyline serve`";
    Err(Stop::new(Exit::Config, message).remedy(remedy))
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        core: config.core.clone(),
        workers: workers(config),
        epoch: config.dataflow.epoch,
    }
}

fn access(config: &Config) -> Access {
    let server = &config.server;
    if !server.api_key_hashes.is_empty() {
        let keys = server.api_key_hashes.iter().map(|hash| HashedKey::from_hash(hash.0));
        return Access::Keys(keys.collect());
    }
    match server.insecure {
        true => Access::Insecure,
        false => Access::Loopback,
    }
}

/// `DIR/digest.json`: the digest at the last clean close, absent while a node runs or has crashed.
#[must_use]
pub(crate) fn digest_path(data_dir: &Path) -> PathBuf {
    data_dir.join("digest.json")
}

fn forget_digest(data_dir: &Path) -> Outcome {
    let path = digest_path(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).or_stop(Exit::Io, || format!("removing {}", path.display()))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

fn note_digest(data_dir: &Path, digest: &StateDigest) -> Outcome {
    let path = digest_path(data_dir);
    let text = serde_json::to_vec(digest).or_stop(Exit::Bug, || "writing JSON".into())?;
    server_file::replace(&path, &text).or_stop(Exit::Io, || format!("writing {}", path.display()))
}
