//! The lineages beside the configured one: a thread reads the registry, follows every lineage that
//! is kept, and lets the one answer that is recorded as active.
//!
//! * A lineage is activated in the registry first and here after that; other processes, and this one
//!   after a restart, find it there.
//! * The one writer of bindings stays the configured lineage: what is followed binds nothing.
//! * One that is not at the head of the log is not let in front of users, but after a restart: then
//!   it answers from its snapshot, and the process is not ready until it has caught up.

mod follower;
mod port;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_connect::clock::{Clock, SystemClock};
use eddyline_connect::log::with_sources;
use eddyline_connect::objects::Access;
use eddyline_replay::lineages::{Action, Entry, Lineages, LineagesError, Registered, Registry};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::http::operations::PipelineReport;
use parking_lot::{Mutex, RwLock};

use super::snapshots::open_place;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};
use follower::Follower;

pub(super) use follower::{Role, Surroundings};
pub(super) use port::lineages;

/// How often the registry is read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Bound epochs that a lineage may lack and be at the head: a fraction of a second of full load.
const CAUGHT_UP: u64 = 32;

/// Bound epochs from which on the lineage that answers is too old to be asked.
const TOO_OLD: u64 = 100;

/// How long a close lets the followers fold what is bound.
const FLUSH: Duration = Duration::from_secs(10);

/// How far the configured lineage is.
pub(super) type Pipeline = Box<dyn Fn() -> PipelineReport + Send + Sync>;

/// See the module doc. Dropping it leaves all lineages.
pub(super) struct Beside {
    inner: Arc<Inner>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the HTTP layer share.
pub(super) struct Inner {
    config: Config,
    own: Registered,
    around: Surroundings,
    pipeline: Pipeline,
    /// Held while the store is asked.
    registry: Mutex<Registry>,
    /// As the registry was when it was read last.
    known: RwLock<Lineages>,
    followers: Mutex<BTreeMap<Lineage, Followed>>,
    /// Why the registry cannot be read, if so.
    trouble: Mutex<Option<String>>,
}

/// A lineage that is to be followed.
struct Followed {
    /// As it was when it began.
    entry: Entry,
    /// Or why it cannot be.
    follower: Result<Follower, String>,
}

impl Followed {
    fn well(&self) -> Option<&Follower> {
        self.follower.as_ref().ok()
    }
}

impl Beside {
    /// Reads the registry where there is a place for one. What is recorded as active answers when
    /// this returns, from its snapshot, unless it cannot.
    pub(super) fn open(
        config: &Config,
        around: Surroundings,
        pipeline: Pipeline,
    ) -> Outcome<Option<Self>> {
        // A replica may only read there; then it says so when it is asked to activate one.
        let access = if around.role == Role::Serve { Access::Read } else { Access::Write };
        let Some(objects) = open_place(config, access)? else { return Ok(None) };
        let registry = Registry::open(objects)
            .or_stop(Exit::Io, || "reading the lineages of snapshots.url".into())?;
        let inner = Arc::new(Inner {
            own: Registered::of(&config.core),
            config: config.clone(),
            around,
            pipeline,
            known: RwLock::new(registry.lineages().clone()),
            registry: Mutex::new(registry),
            followers: Mutex::default(),
            trouble: Mutex::default(),
        });
        inner.tend();
        inner.serve_recorded();
        let (stop, stopped) = channel();
        let run = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("eddyline-lineages".into())
            .spawn(move || {
                while matches!(stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
                    run.look();
                }
            })
            .or_stop(Exit::Io, || "starting a thread".into())?;
        Ok(Some(Self { inner, stop: Some(stop), thread: Some(thread) }))
    }

    /// What the HTTP layer asks.
    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Lets the lineages at the head fold what is bound up to `epoch`, and leaves them all.
    pub(super) fn close(mut self, epoch: Epoch) {
        self.end_thread();
        let (followers, until) = (self.inner.followers.lock(), Instant::now() + FLUSH);
        let well = || followers.values().filter_map(Followed::well);
        // One that is far behind goes on at the next start.
        let near = well().filter(|follower| follower.has_caught_up());
        near.for_each(|follower| follower.wait(epoch, until));
        well().for_each(Follower::stop);
    }

    fn end_thread(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads the lineages panicked");
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.end_thread();
        let followers = std::mem::take(&mut *self.inner.followers.lock());
        // All at once, then one after the other.
        followers.values().filter_map(Followed::well).for_each(Follower::stop);
    }
}

impl Inner {
    /// Reads what others recorded, and does what it says.
    fn look(&self) {
        let read = self.read();
        if let Err(error) = &read {
            let said = with_sources(error);
            let mut trouble = self.trouble.lock();
            if trouble.as_ref() != Some(&said) {
                tracing::error!(error = said, "the lineages cannot be read; what was read counts");
                *trouble = Some(said);
            }
        } else {
            *self.trouble.lock() = None;
        }
        self.tend();
        self.switch();
    }

    /// Reads on, and registers the configured lineage beside any other: it is the way back.
    fn read(&self) -> Result<(), LineagesError> {
        let mut registry = self.registry.lock();
        registry.read_on()?;
        *self.known.write() = registry.lineages().clone();
        let own = self.own.lineage;
        let has_other = |lineages: &Lineages| {
            lineages.entries().iter().any(|one| one.registered.lineage != own)
        };
        let may_write = self.around.role != Role::Serve;
        if may_write && has_other(registry.lineages()) && !registry.lineages().is_kept(own) {
            registry.change(SystemClock.now(), |lineages| {
                let is_new = !lineages.is_kept(own);
                Ok::<_, LineagesError>(is_new.then(|| Action::Registered(self.own.clone())))
            })?;
            *self.known.write() = registry.lineages().clone();
        }
        Ok(())
    }

    /// Follows what is kept and is not followed yet, and leaves what is not kept any more.
    fn tend(&self) {
        let known = self.known.read().clone();
        let is_wanted =
            |entry: &&Entry| !entry.is_retired && entry.registered.lineage != self.own.lineage;
        let wanted: Vec<&Entry> = known.entries().iter().filter(is_wanted).collect();
        self.leave_all_but(&wanted);
        let mut followers = self.followers.lock();
        for entry in wanted {
            followers.entry(entry.registered.lineage).or_insert_with(|| {
                let follower = self.follow(entry);
                if let Err(error) = &follower {
                    tracing::error!(lineage = %entry.registered.lineage, error, "is not followed");
                }
                Followed { entry: entry.clone(), follower }
            });
        }
    }

    /// One that was registered anew is left too, and begins anew.
    fn leave_all_but(&self, wanted: &[&Entry]) {
        let mut left = Vec::new();
        let mut followers = self.followers.lock();
        let lineages: Vec<Lineage> = followers.keys().copied().collect();
        for lineage in lineages {
            let stays = wanted.contains(&&followers[&lineage].entry);
            if !stays && self.around.switch.remove(lineage) {
                left.extend(followers.remove(&lineage).map(|followed| (lineage, followed)));
            }
        }
        drop(followers);
        for (lineage, followed) in left {
            // Ends its thread, which may take a while, and may have shown its state meanwhile.
            drop(followed);
            self.around.switch.remove(lineage);
        }
    }

    fn follow(&self, entry: &Entry) -> Result<Follower, String> {
        let core = entry.core().map_err(|error| error.to_string())?;
        let mut config = self.config.clone();
        config.serving.core = core.clone();
        config.core = core;
        config.dataflow.workers = config.lineage_workers;
        Follower::start(config, self.around.clone()).map_err(|error| error.to_string())
    }

    /// At the start nothing else was served yet: what is recorded answers at once.
    fn serve_recorded(&self) {
        let Some(active) = self.recorded().filter(|active| *active != self.own.lineage) else {
            return;
        };
        let followers = self.followers.lock();
        if let Some(follower) = followers.get(&active).and_then(Followed::well) {
            follower.wait_for_state();
            if follower.has_state() {
                self.around.switch.activate(active);
                tracing::info!(lineage = %active, "answers, as recorded");
            }
        }
    }

    /// The one that is recorded as active.
    fn recorded(&self) -> Option<Lineage> {
        self.known.read().active()
    }

    /// Lets the recorded lineage answer, once it is at the head.
    fn switch(&self) {
        self.note_progress();
        let Some(active) = self.recorded() else { return };
        if self.around.switch.active_lineage() == active || self.check_caught_up(active).is_err() {
            return;
        }
        if self.around.switch.activate(active) {
            tracing::info!(lineage = %active, "answers from now on");
        }
    }

    fn lag(&self, epoch: Epoch) -> u64 {
        (self.pipeline)().bound_epoch.0.saturating_sub(epoch.0)
    }

    /// Notes which of them are at the head.
    fn note_progress(&self) {
        let followers = self.followers.lock();
        let well = followers.values().filter_map(Followed::well);
        well.filter(|one| one.has_state() && self.lag(one.epoch()) <= CAUGHT_UP)
            .for_each(Follower::catch_up);
    }

    /// Why a lineage must not be let in front of users now, if so.
    fn check_caught_up(&self, lineage: Lineage) -> Result<(), String> {
        if lineage == self.own.lineage {
            return Ok(());
        }
        let followers = self.followers.lock();
        let Some(followed) = followers.get(&lineage) else {
            return Err(format!("lineage {lineage} is not followed by this process yet"));
        };
        let follower = followed.follower.as_ref().map_err(Clone::clone)?;
        if let Some(failure) = follower.failure() {
            return Err(format!("lineage {lineage} failed: {failure}"));
        }
        let lag = self.lag(follower.epoch());
        if follower.has_state() && lag <= CAUGHT_UP {
            return Ok(());
        }
        Err(format!(
            "lineage {lineage} is {lag} epochs behind; it can be activated when it lacks \
             {CAUGHT_UP} at most"
        ))
    }
}
