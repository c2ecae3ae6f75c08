//! A lineage that is followed on a thread of its own, with its own serving state and snapshots.
//!
//! It begins with the newest snapshot of the lineage, else with the start of history. Whatever goes
//! wrong is its own: it is logged, it shows in the report, and nobody else hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_connect::features::FeatureStore;
use eddyline_connect::log::EventLog;
use eddyline_replay::following::{Follow, follow};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::state::ServingState;
use eddyline_serving::state::reindex::Reindexer;
use eddyline_serving::switch::Switch;
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::snapshots::{Kept, restore};

/// Rest before a store that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// See the module doc. Dropping it ends it.
pub(super) struct Follower {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread tells.
struct Told {
    lineage: Lineage,
    is_over: AtomicBool,
    epoch: AtomicU64,
    has_caught_up: AtomicBool,
    begun: Mutex<Begun>,
    changed: Condvar,
}

#[derive(Default)]
struct Begun {
    has_state: bool,
    failure: Option<String>,
}

/// What all followers of a process share.
#[derive(Clone)]
pub(in crate::node) struct Surroundings {
    pub(in crate::node) log: Arc<dyn EventLog>,
    pub(in crate::node) switch: Switch,
    /// Read on demand; its documents are of the configured lineage, which an answer will say.
    pub(in crate::node) store: Option<Arc<dyn FeatureStore>>,
}

impl Follower {
    /// Follows the lineage of `config.core`.
    pub(super) fn start(config: Config, around: Surroundings) -> std::io::Result<Self> {
        let told = Arc::new(Told {
            lineage: config.core.lineage(),
            is_over: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            has_caught_up: AtomicBool::new(false),
            begun: Mutex::default(),
            changed: Condvar::new(),
        });
        let run = Arc::clone(&told);
        let thread = std::thread::Builder::new()
            .name("eddyline-lineage".into())
            .spawn(move || run.run(&config, &around))?;
        Ok(Self { told, thread: Some(thread) })
    }

    /// Blocks until it can be asked, or never will be.
    pub(super) fn wait_for_state(&self) {
        let mut begun = self.told.begun.lock();
        self.told
            .changed
            .wait_while(&mut begun, |begun| !begun.has_state && begun.failure.is_none());
    }

    /// Whether it can be asked.
    pub(super) fn has_state(&self) -> bool {
        self.told.begun.lock().has_state
    }

    /// The last epoch that can be asked.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.told.epoch.load(Ordering::Acquire))
    }

    /// Why it stays where it is, if so.
    pub(super) fn failure(&self) -> Option<String> {
        self.told.begun.lock().failure.clone()
    }

    /// Whether it was once at the head.
    pub(super) fn has_caught_up(&self) -> bool {
        self.told.has_caught_up.load(Ordering::Acquire)
    }

    /// Remembers that it was at the head.
    pub(super) fn catch_up(&self) {
        self.told.has_caught_up.store(true, Ordering::Release);
    }

    /// Gives it until then to reach an epoch.
    pub(super) fn wait(&self, epoch: Epoch, until: Instant) {
        while self.epoch() < epoch && self.failure().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks it to end, which dropping it waits for.
    pub(super) fn stop(&self) {
        self.told.is_over.store(true, Ordering::Release);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(lineage = %self.told.lineage, "the thread of a lineage panicked");
        }
    }
}

impl Told {
    fn run(self: &Arc<Self>, config: &Config, around: &Surroundings) {
        let lineage = self.lineage;
        let result = self.follow(config, around);
        if let Err(stop) = result {
            let error = format!("{:#}", stop.error);
            tracing::error!(%lineage, error, "a lineage is not followed any more");
            self.begun.lock().failure = Some(error);
            self.changed.notify_all();
        }
    }

    fn follow(self: &Arc<Self>, config: &Config, around: &Surroundings) -> Outcome {
        let Some(kept) = self.open(config, &around.log)? else { return Ok(()) };
        let state = ServingState::new(config.serving.clone()).beside(around.store.clone());
        let state = Arc::new(state);
        if let Some(from) = &kept.from {
            restore(&state, config, from)?;
            self.epoch.store(from.epoch().0, Ordering::Release);
        }
        let _reindexer = Reindexer::start(Arc::clone(&state))
            .or_stop(Exit::Io, || "starting the index builder".into())?;
        around.switch.add(Arc::clone(&state));
        self.begun.lock().has_state = true;
        self.changed.notify_all();
        tracing::info!(lineage = %self.lineage, epoch = self.epoch.load(Ordering::Acquire),
            "follows a lineage");
        let told = Arc::clone(self);
        let take = Box::new(move |deltas: eddyline_schemas::delta::EpochDeltas| {
            let epoch = deltas.epoch;
            state.apply(deltas)?;
            told.epoch.store(epoch.0, Ordering::Release);
            Ok(())
        });
        let Kept { from, writer: snapshots } = kept;
        let how = Follow { from, workers: config.dataflow.workers, snapshots };
        let followed = follow(&config.core, &around.log, how, take, &self.is_over);
        let digest = followed.or_stop(Exit::Failure, || "following it".into())?;
        let (epoch, digest) = (digest.epoch.0, digest.state_digest);
        tracing::info!(lineage = %self.lineage, epoch, state_digest = %digest, "a lineage is left");
        Ok(())
    }

    /// What it begins with; `None` when it is over before the store is back.
    fn open(&self, config: &Config, log: &Arc<dyn EventLog>) -> Outcome<Option<Kept>> {
        while !self.is_over.load(Ordering::Acquire) {
            match Kept::open(config, log) {
                Err(Stop { exit: Exit::Unavailable, error, .. }) => {
                    tracing::warn!(error = format!("{error:#}"), "will begin to follow later");
                    std::thread::sleep(RETRY);
                }
                opened => return opened.map(Some),
            }
        }
        Ok(None)
    }
}
