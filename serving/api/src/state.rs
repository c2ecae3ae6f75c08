//! Everything that answers are computed from, as of one epoch, behind one guard.
//!
//! [`ServingState::apply`] prepares an epoch beside the readers, then takes the exclusive side for
//! the time of writing it (target: 2 ms for 1,024 events); [`ServingState::tables`] is the shared
//! side, under which a whole answer is computed. User documents live behind the feature store's
//! port and are written inside the same exclusive section, so an answer sees one epoch (I6).
//!
//! Epochs of one lineage are applied in order, once; the first may be any. Anything else is an
//! error that leaves the state as it was. No wall clock enters the state but [`Progress::applied_at`].

pub mod items;
pub mod labels;
pub mod prepare;
pub mod reindex;
pub mod restore;
pub mod standing;
pub mod tables;

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::features::{EmbeddedFeatureStore, FeatureStore, FeatureStoreError};
use eddyline_index::exact::ExactScan;
use eddyline_index::graph::GraphIndex;
use eddyline_index::policy::IndexPolicy;
use eddyline_index::search::ItemIndex;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::time::TimestampMs;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;

use crate::state::prepare::prepare;
use crate::state::tables::Tables;

/// How far serving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `None` before the first epoch.
    pub lineage: Option<Lineage>,
    /// The last applied epoch; 0 before the first.
    pub epoch: Epoch,
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// Where every record ended up.
    pub counts: PipelineCounts,
    /// Items that can be recommended.
    pub items: usize,
    /// When that epoch was applied here.
    pub applied_at: Instant,
    /// How long answers had to wait for it: the exclusive side of the guard. Told to subscribers;
    /// zero under the guard itself.
    pub exclusive: Duration,
}

impl Progress {
    fn start() -> Self {
        Self {
            lineage: None,
            epoch: Epoch(0),
            logical_time: TimestampMs(0),
            counts: PipelineCounts::default(),
            items: 0,
            applied_at: Instant::now(),
            exclusive: Duration::ZERO,
        }
    }
}

/// Why an epoch was not applied. The tables are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A gap, a repeat or a step back: the stream of deltas is broken.
    #[error("epoch {got} does not follow applied epoch {applied}")]
    NotNext {
        /// The last applied epoch.
        applied: Epoch,
        /// What was offered.
        got: Epoch,
    },
    /// Another history: start with empty state.
    #[error("the state is of lineage {held}, the deltas are of lineage {offered}")]
    OtherLineage {
        /// What is served.
        held: Lineage,
        /// What was offered.
        offered: Lineage,
    },
    /// The deltas contradict the state or themselves: a bug of who made them.
    #[error("the deltas of epoch {epoch} cannot be applied: {detail}")]
    Malformed {
        /// Their epoch.
        epoch: Epoch,
        /// What is wrong.
        detail: String,
    },
    /// The feature store refused; the same epoch may be offered again.
    #[error("the users of epoch {epoch} were not stored")]
    Users {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        #[source]
        source: FeatureStoreError,
    },
}

/// What serving must know.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingConfig {
    /// The `[core]` table that the deltas were made with.
    pub core: CoreConfig,
    /// Which index, and when it is rebuilt.
    pub index: IndexPolicy,
    /// Time since the request began after which candidate sources that may scan are skipped.
    pub source_budget: Duration,
    /// Weight of content for an item that nobody touched, beside the gate's; it halves when the
    /// item has had [`Self::content_prior_events`] positive events.
    pub content_prior: f32,
    /// The same for an item among the newest arrivals.
    pub content_prior_new: f32,
    /// See [`Self::content_prior`].
    pub content_prior_events: f32,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            core: CoreConfig::default(),
            index: IndexPolicy::default(),
            source_budget: Duration::from_millis(20),
            content_prior: 1.0,
            content_prior_new: 2.0,
            content_prior_events: 5.0,
        }
    }
}

/// The index in force.
pub(crate) enum Installed {
    Exact(ExactScan),
    Graph(Box<GraphIndex>),
}

impl Installed {
    pub(crate) fn index(&self) -> &dyn ItemIndex {
        match self {
            Self::Exact(scan) => scan,
            Self::Graph(graph) => graph.as_ref(),
        }
    }

    fn graph(&self) -> Option<&GraphIndex> {
        match self {
            Self::Exact(_) => None,
            Self::Graph(graph) => Some(graph),
        }
    }
}

/// The state that answers are computed from.
pub struct ServingState {
    config: ServingConfig,
    /// Replaced only together with the tables.
    users: RwLock<Arc<dyn FeatureStore>>,
    store: Option<Arc<dyn FeatureStore>>,
    tables: RwLock<Tables>,
    index: RwLock<Arc<Installed>>,
    /// One epoch at a time.
    writer: Mutex<()>,
    progress: watch::Sender<Progress>,
}

impl std::fmt::Debug for ServingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingState").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl ServingState {
    /// Empty state with users in memory.
    #[must_use]
    pub fn new(config: ServingConfig) -> Self {
        Self::with_users(config, Arc::new(EmbeddedFeatureStore::new()))
    }

    /// Empty state with users behind `users`.
    #[must_use]
    pub fn with_users(config: ServingConfig, users: Arc<dyn FeatureStore>) -> Self {
        let tables = Tables::new(&config);
        let progress = watch::Sender::new(*tables.progress());
        let index = RwLock::new(Arc::new(Installed::Exact(ExactScan)));
        let (tables, users) = (RwLock::new(tables), RwLock::new(users));
        let writer = Mutex::new(());
        Self { config, users, store: None, tables, index, writer, progress }
    }

    /// With a feature store beside it, which is read on demand and never written here.
    #[must_use]
    pub fn beside(self, store: Option<Arc<dyn FeatureStore>>) -> Self {
        Self { store, ..self }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServingConfig {
        &self.config
    }

    /// User documents. Read them under [`Self::tables`] to see one epoch.
    #[must_use]
    pub fn users(&self) -> Arc<dyn FeatureStore> {
        Arc::clone(&self.users.read())
    }

    /// The feature store beside this process. Its documents are of epochs of their own, and reading
    /// it may take its whole budget: never under [`Self::tables`].
    #[must_use]
    pub fn store(&self) -> Option<&dyn FeatureStore> {
        self.store.as_deref()
    }

    /// The shared side of the guard: everything under it is of one epoch.
    pub fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read()
    }

    /// Applies a whole epoch; all or nothing.
    pub fn apply(&self, deltas: EpochDeltas) -> Result<(), ApplyError> {
        let _one_at_a_time = self.writer.lock();
        let (lineage, epoch) = (deltas.lineage, deltas.epoch);
        let (logical_time, counts) = (deltas.logical_time, deltas.counts);
        let mut prepared = {
            let tables = self.tables.read();
            check_order(tables.progress(), lineage, epoch)?;
            prepare(&tables, &self.config.core.gate, deltas)?
        };
        let mut tables = self.tables.write();
        let applied_at = Instant::now();
        self.users()
            .apply(lineage, epoch, &prepared.users)
            .map_err(|source| ApplyError::Users { epoch, source })?;
        let lineage = Some(lineage);
        let (items, exclusive) = (tables.progress().items, Duration::ZERO);
        let progress =
            Progress { lineage, epoch, logical_time, counts, items, applied_at, exclusive };
        tables.commit(&mut prepared, progress);
        let items = tables.progress().items;
        drop(tables);
        let exclusive = applied_at.elapsed();
        self.progress.send_replace(Progress { items, exclusive, ..progress });
        Ok(())
    }

    /// How far serving has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Tells each applied epoch. To wait for one: `rx.wait_for(|p| p.epoch >= epoch)`.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Does at once what the background thread would do about the index: builds it, drops it or
    /// leaves it. For tools that do not run the thread.
    pub fn refresh_index(&self) {
        let never = &mut |_| std::ops::ControlFlow::Continue(());
        let done = reindex::refresh(self, never);
        debug_assert!(done.is_continue(), "nothing asked to give up");
    }

    /// Name of the index in force: `exact` or `hnsw`.
    #[must_use]
    pub fn index_name(&self) -> &'static str {
        self.installed().index().name()
    }

    pub(crate) fn installed(&self) -> Arc<Installed> {
        Arc::clone(&self.index.read())
    }

    fn install(&self, index: Installed) {
        *self.index.write() = Arc::new(index);
    }
}

fn check_order(applied: &Progress, lineage: Lineage, epoch: Epoch) -> Result<(), ApplyError> {
    let Some(held) = applied.lineage else { return Ok(()) };
    if held != lineage {
        return Err(ApplyError::OtherLineage { held, offered: lineage });
    }
    if epoch != applied.epoch.next() {
        return Err(ApplyError::NotNext { applied: applied.epoch, got: epoch });
    }
    Ok(())
}
