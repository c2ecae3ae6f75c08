//! A lineage that is followed on a thread of its own, in the way of the process that it is in.
//!
//! It begins with the newest snapshot of the lineage, else with the start of history. Whatever goes
//! wrong is its own: it is logged, it shows in the report, and nobody else hears of it.

mod folding;
mod replica;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_connect::features::FeatureStore;
use eddyline_connect::log::EventLog;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::state::ServingState;
use eddyline_serving::state::reindex::Reindexer;
use eddyline_serving::switch::Switch;
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::erasing::Receipts;

/// Rest before a store that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// What a process does with a lineage that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Role {
    /// Folds it and answers from it.
    Up,
    /// Folds it and publishes its deltas.
    Dataflow,
    /// Follows its deltas and answers from it.
    Serve,
}

/// What all followers of a process share.
#[derive(Clone)]
pub(in crate::node) struct Surroundings {
    pub(in crate::node) role: Role,
    pub(in crate::node) log: Arc<dyn EventLog>,
    /// Of a dataflow: nobody asks it.
    pub(in crate::node) switch: Switch,
    /// Read on demand; its documents are of the configured lineage, which an answer will say.
    pub(in crate::node) store: Option<Arc<dyn FeatureStore>>,
    /// Erasures ask for snapshots of what is followed, where this process archives too.
    pub(in crate::node) receipts: Option<Receipts>,
}

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

    /// Blocks until it goes on from where it was left, or never will.
    pub(super) fn wait_for_state(&self) {
        let mut begun = self.told.begun.lock();
        let is_open = |begun: &mut Begun| !begun.has_state && begun.failure.is_none();
        self.told.changed.wait_while(&mut begun, is_open);
    }

    /// Whether it goes on from where it was left.
    pub(super) fn has_state(&self) -> bool {
        self.told.begun.lock().has_state
    }

    /// Its last epoch here.
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
        let ended = match around.role {
            Role::Up | Role::Dataflow => folding::run(self, config, around),
            Role::Serve => replica::run(self, config, around),
        };
        if let Err(stop) = ended {
            let error = format!("{:#}", stop.error);
            tracing::error!(lineage = %self.lineage, error, "a lineage is not followed any more");
            self.fail(Some(error));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn reach(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Release);
    }

    fn fail(&self, failure: Option<String>) {
        self.begun.lock().failure = failure;
        self.changed.notify_all();
    }

    /// It goes on from `epoch`.
    fn begin(&self, epoch: Epoch) {
        self.reach(epoch);
        self.begun.lock().has_state = true;
        self.changed.notify_all();
        tracing::info!(lineage = %self.lineage, epoch = epoch.0, "follows a lineage");
    }

    /// It can be asked, as of `epoch`, while the index builder lives.
    fn show(&self, state: &Arc<ServingState>, epoch: Epoch, on: &Switch) -> Outcome<Reindexer> {
        let reindexer = Reindexer::start(Arc::clone(state))
            .or_stop(Exit::Io, || "starting the index builder".into())?;
        on.add(Arc::clone(state));
        self.begin(epoch);
        Ok(reindexer)
    }

    /// What it begins with, once the stores are there; `None` when it is over before.
    fn patiently<T>(&self, open: impl Fn() -> Outcome<T>) -> Outcome<Option<T>> {
        while !self.is_over() {
            match open() {
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
