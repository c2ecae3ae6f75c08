//! The feature store beside the process: opened by `features.url`, and kept equal to what the
//! dataflow commits.
//!
//! Answers never need it: while it is down, epochs go on, and it is refilled when it is back.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::features::mirror::{Mirror, MirrorEvent, MirrorStart, user_writes};
use eddyline_connect::features::open::{OpenFeaturesError, open_redis};
use eddyline_connect::features::redis::RedisFeatureStore;
use eddyline_connect::features::{
    FeatureStore, FeatureStoreError, FeatureStoreOptions, FeatureWrite, Watermarks,
};
use eddyline_connect::log::EventLog;
use eddyline_dataflows::snapshot::Restored;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::http::operations::Dependency;
use eddyline_serving::metrics::Histogram;
use eddyline_serving::metrics::store::{StoreMetrics, StoreReport};

use super::bound::bound_epoch;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};

/// How long a close waits for the store to take what is committed.
const FLUSH: Duration = Duration::from_secs(10);

/// The store that `features.url` names; `None` where users are in the memory of the process only.
pub(super) fn open_store(config: &Config) -> Outcome<Option<Arc<RedisFeatureStore>>> {
    let features = &config.features;
    if features.is_in_process() {
        return Ok(None);
    }
    let options = FeatureStoreOptions {
        namespace: features.namespace.clone(),
        encoding: features.encoding,
        ..FeatureStoreOptions::default()
    };
    let opened = open_redis(&features.url, &options);
    let exit = opened.as_ref().err().map_or(Exit::Io, exit_of_open);
    let store = opened.or_stop(exit, || "cannot use the feature store".into())?;
    check_lineage(&watermarks(&store)?, config.core.lineage())?;
    Ok(Some(store))
}

fn exit_of_open(error: &OpenFeaturesError) -> Exit {
    match error {
        OpenFeaturesError::Url { .. }
        | OpenFeaturesError::Login { .. }
        | OpenFeaturesError::Unfit { .. } => Exit::Config,
        OpenFeaturesError::Unreachable { .. } => Exit::Unavailable,
        OpenFeaturesError::Store(error) => exit_of_store(error),
        OpenFeaturesError::Thread(_) => Exit::Io,
    }
}

fn exit_of_store(error: &FeatureStoreError) -> Exit {
    match error {
        FeatureStoreError::OtherLineage { .. } | FeatureStoreError::Corrupt { .. } => Exit::Config,
        FeatureStoreError::Unavailable(_)
        | FeatureStoreError::BreakerOpen
        | FeatureStoreError::Behind(_) => Exit::Unavailable,
    }
}

fn watermarks(store: &RedisFeatureStore) -> Outcome<Watermarks> {
    let marks = store.watermarks();
    let exit = marks.as_ref().err().map_or(Exit::Unavailable, exit_of_store);
    marks.or_stop(exit, || "cannot read how far the feature store is".into())
}

fn check_lineage(marks: &Watermarks, offered: Lineage) -> Outcome {
    match marks.lineage() {
        Some(held) if held != offered => Err(FeatureStoreError::OtherLineage { held, offered })
            .or_stop(Exit::Config, || "cannot use the feature store".into()),
        Some(_) | None => Ok(()),
    }
}

/// A store ahead of the log has documents of events that the log does not have.
fn check_not_ahead(marks: &Watermarks, head: Epoch) -> Outcome {
    let Some(held) = marks.greatest().filter(|held| *held > head) else { return Ok(()) };
    let message = format!(
        "the feature store is at epoch {held}, the log is bound to epoch {head} only: it was \
         written from another log of the same configuration, or this log was wiped"
    );
    let remedy = "bring that log back, or set another features.namespace, \
                  or empty this Redis if nothing else needs it";
    Err(Stop::new(Exit::Config, message).remedy(remedy))
}

/// What reads of `store` did, for a process that does not write it.
pub(super) fn reader_metrics(store: Arc<RedisFeatureStore>) -> StoreMetrics {
    StoreMetrics::new(Arc::default(), move || report(&store, None))
}

fn report(store: &RedisFeatureStore, mirror: Option<&Mirror>) -> StoreReport {
    StoreReport {
        mirror: mirror.map(Mirror::report),
        breaker_is_open: store.breaker_is_open(),
        counters: store.counters(),
    }
}

/// See the module doc.
pub(super) struct Mirroring {
    mirror: Arc<Mirror>,
    metrics: StoreMetrics,
}

impl Mirroring {
    /// Mirrors what will be committed from `log` into `store`.
    pub(super) fn start(
        store: Arc<RedisFeatureStore>,
        lineage: Lineage,
        log: &Arc<dyn EventLog>,
    ) -> Outcome<Self> {
        // The store first: whatever it shows is bound by then, whoever else writes it.
        let marks = watermarks(&store)?;
        check_lineage(&marks, lineage)?;
        let head = bound_epoch(log, marks.greatest().unwrap_or_default())?;
        check_not_ahead(&marks, head)?;
        let visible = Arc::new(Histogram::default());
        let tell = teller(Arc::clone(&visible));
        let mirror = Mirror::start(Arc::clone(&store) as _, MirrorStart::new(lineage, head), tell)
            .or_stop(Exit::Io, || "starting a thread".into())?;
        let mirror = Arc::new(mirror);
        let of_metrics = Arc::clone(&mirror);
        let metrics = StoreMetrics::new(visible, move || report(&store, Some(&*of_metrics)));
        Ok(Self { mirror, metrics })
    }

    /// Takes over what [`user_writes`] made of a committed epoch; never waits.
    pub(super) fn offer(&self, epoch: Epoch, writes: Vec<FeatureWrite>) {
        self.mirror.offer(epoch, writes);
    }

    /// Stands for every epoch up to the one that the dataflow goes on from; before any other.
    pub(super) fn seed(&self, config: &Config, restored: &Restored) {
        self.mirror.seed(restored.epoch(), restored.users(&config.core).collect());
    }

    /// Whether the store has acknowledged every epoch up to `epoch`.
    pub(super) fn has(&self, epoch: Epoch) -> bool {
        let at = self.mirror.report();
        at.is_whole && at.stored >= epoch
    }

    /// Ends when the store has all that was committed, or cannot take it now.
    pub(super) fn close(&self) {
        if !self.mirror.close(FLUSH) {
            let at = self.mirror.report();
            let (stored, committed) = (at.stored.0, at.offered.0);
            tracing::warn!(stored, committed, "the feature store is refilled at the next start");
        }
    }

    pub(super) fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Always well: answers do not need the store.
    pub(super) fn dependency(&self) -> Dependency {
        let at = self.mirror.report();
        let behind = at.offered.0.saturating_sub(at.stored.0);
        let detail = match at.is_whole {
            true => format!("is {behind} epochs behind the dataflow"),
            false => format!("is to be refilled, {behind} epochs behind; answers go on without it"),
        };
        Dependency { name: "feature_store", ready: true, detail }
    }
}

/// What an epoch changes of users, where a mirror wants it.
pub(super) fn writes_for(
    mirroring: Option<&Arc<Mirroring>>,
    deltas: &EpochDeltas,
) -> Vec<FeatureWrite> {
    mirroring.map_or_else(Vec::new, |_| user_writes(deltas))
}

/// Times go to the histogram, and the log says once that the store fails and once that it is well.
fn teller(visible: Arc<Histogram>) -> impl Fn(MirrorEvent<'_>) + Send {
    let is_failing = std::cell::Cell::new(false);
    move |event| match event {
        MirrorEvent::Visible(took) => visible.observe(took),
        MirrorEvent::Refilled(report, epoch) => {
            is_failing.set(false);
            tracing::info!(rows = report.rows, epoch = epoch.0, "the feature store is refilled");
        }
        MirrorEvent::Gap => {
            tracing::error!(
                "an epoch was not handed on: the feature store is not written any more"
            );
        }
        MirrorEvent::Failed(error) => {
            if !is_failing.replace(true) {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "the feature store does not take writes; epochs go on");
            }
        }
    }
}
