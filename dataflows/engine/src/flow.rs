//! The running dataflow of one process: its workers, what they are fed, what they commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, unbounded};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::record::Digest;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, WorkerGuards};
use timely::scheduling::SyncActivator;
use timely::worker::Worker;

use crate::at_work::{self, RecordAt};
use crate::bound::{Bound, EpochInput};
use crate::cluster::stop::{Code, stop};
use crate::cluster::{
    ClusterConfig, Identity, Leading, Link, Pulse, Workers, begun, followed, meet, watch,
};
use crate::error::EngineError;
use crate::graph::{self, Commit, Context, Feed, Folds};
use crate::snapshot::sections_of;
use crate::state::Tables;

/// The order in which an epoch's events arrive at the workers. State must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    /// Each partition's events at one worker, in order.
    #[default]
    ByPartition,
    /// Each event at any worker, in any order, as this seed says.
    Shuffled(u64),
}

/// The feeding side. Dropping it lets the workers finish what they were fed and joins them.
pub(crate) struct Flow {
    feeds: Vec<(Sender<Feed>, SyncActivator)>,
    /// Joins the workers when dropped.
    _workers: WorkerGuards<()>,
    /// See [`Arrival`].
    pub(crate) arrival: Arrival,
    /// The state of this process, to be read while no epoch is in flight.
    pub(crate) tables: Arc<Tables>,
    pulse: Arc<Pulse>,
    /// The other processes; they are told after the workers have ended.
    leading: Option<Leading>,
}

/// Why the workers did not start.
#[derive(Debug, thiserror::Error)]
#[error("timely workers did not start: {0}")]
pub struct FlowError(String);

impl Flow {
    /// Starts the workers on restored state or on none, here and, in a cluster, as soon as all processes have met.
    /// Commits arrive on the receiver in epoch order.
    pub(crate) fn start(
        config: &Arc<CoreConfig>,
        workers: &Workers,
        folds: Folds,
        restored: Option<Tables>,
    ) -> Result<(Self, Receiver<Commit>), EngineError> {
        let pulse = Arc::new(Pulse::default());
        let (place, leading) = match workers {
            Workers::Threads(threads) => (Place::threads(*threads), None),
            Workers::Cluster(cluster) => {
                let met = meet(cluster, &Identity::new(cluster, config))?;
                let leading = Leading::start(cluster, met.control, restored.as_ref())
                    .map_err(EngineError::Thread)?;
                let seconds = cluster.patience.stall_seconds;
                watch(Arc::downgrade(&pulse), seconds).map_err(EngineError::Thread)?;
                (Place::cluster(cluster, met.links), Some(leading))
            }
        };
        let tables = Arc::new(restored.unwrap_or_else(|| Tables::new(config)));
        // Bounded by the feeder, which keeps the number of epochs in flight small.
        let (commit_to, commits) = unbounded();
        let shared = Shared { config: Arc::clone(config), tables, folds, pulse };
        let (tables, pulse) = (Arc::clone(&shared.tables), Arc::clone(&shared.pulse));
        let (feeds, workers) = shared.run(place, commit_to)?;
        let arrival = Arrival::default();
        Ok((Self { feeds, _workers: workers, arrival, tables, pulse, leading }, commits))
    }

    /// Feeds a whole epoch; epochs ascend.
    pub(crate) fn feed(&self, epoch: u64, input: EpochInput) {
        let workers = self.feeds.len();
        let mut shares: Vec<Vec<Bound>> = vec![Vec::new(); workers];
        match self.arrival {
            Arrival::ByPartition => {
                for bound in input.events {
                    shares[bound.event.at.partition as usize % workers].push(bound);
                }
            }
            Arrival::Shuffled(seed) => shuffle(seed ^ epoch, input.events, &mut shares),
        }
        self.pulse.fed.store(epoch, Ordering::Relaxed);
        for ((feed, activator), share) in self.feeds.iter().zip(shares) {
            // A worker that is gone has ended the process; there is nobody to tell.
            let _ = feed.send(Feed::Epoch(epoch, input.header, share));
            let _ = activator.activate();
        }
    }

    /// The digest of all state, wherever it lies; call it only while no epoch is in flight.
    pub(crate) fn digest(&self, config: &CoreConfig) -> Digest {
        match &self.leading {
            None => self.tables.digest(config),
            Some(leading) => self.tables.digest_of(leading.shard_digests(config, &self.tables)),
        }
    }

    /// The section of each shard, wherever it lies; call it only while no epoch is in flight.
    pub(crate) fn sections(&self, config: &CoreConfig) -> Vec<Vec<u8>> {
        match &self.leading {
            None => sections_of(&self.tables),
            Some(leading) => leading.sections(config, &self.tables),
        }
    }

    /// Says that nothing went wrong; dropping it without lets the other processes end as failed.
    pub(crate) fn done(&self) {
        self.leading.iter().for_each(Leading::done);
    }
}

impl Drop for Flow {
    /// Parked workers do not notice that their feed is gone, and whoever drops the guards waits
    /// for them: an engine that stops for an error would hang here, its error untold.
    fn drop(&mut self) {
        for (feed, activator) in &self.feeds {
            let _ = feed.send(Feed::End);
            let _ = activator.activate();
        }
    }
}

/// Folds what process 0 feeds, until it says that it is over.
pub(crate) fn follow(config: &Arc<CoreConfig>, cluster: &ClusterConfig) -> Result<(), EngineError> {
    let mut met = meet(cluster, &Identity::new(cluster, config))?;
    let (_, control) = met.control.remove(0);
    let tables = Arc::new(begun(cluster, &control, config)?);
    let pulse = Arc::new(Pulse::default());
    let (folds, config) = (Folds::All, Arc::clone(config));
    let shared = Shared { config: Arc::clone(&config), tables: Arc::clone(&tables), folds, pulse };
    let (feeds, workers) = shared.run(Place::cluster(cluster, met.links), unbounded().0)?;
    // Nothing is fed here.
    drop(Feeding(feeds));
    let ended = followed(cluster, &control, (&config, &tables));
    drop(workers);
    Ok(ended?)
}

/// Ends the sources when dropped.
struct Feeding(Vec<(Sender<Feed>, SyncActivator)>);

impl Drop for Feeding {
    fn drop(&mut self) {
        for (feed, activator) in self.0.drain(..) {
            drop(feed);
            let _ = activator.activate();
        }
    }
}

/// Where the workers of this process stand among all.
struct Place {
    locals: usize,
    workers: usize,
    first: usize,
    /// The connections to the other processes; empty for a single one.
    links: Vec<Option<Link>>,
}

impl Place {
    fn threads(threads: usize) -> Self {
        Self { locals: threads, workers: threads, first: 0, links: Vec::new() }
    }

    fn cluster(cluster: &ClusterConfig, links: Vec<Option<Link>>) -> Self {
        let locals = cluster.workers;
        let workers = locals * cluster.processes();
        Self { locals, workers, first: locals * cluster.index, links }
    }

    /// Values move by reference between the workers of this process, in their wire form to others.
    fn allocators(
        self,
    ) -> Result<(Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>), FlowError> {
        let config = timely::CommunicationConfig::Process(self.locals);
        if self.links.len() < 2 {
            return config.try_build().map_err(FlowError);
        }
        let hooks = Hooks::default();
        let refill = hooks.refill.clone();
        let inner = ProcessBuilder::new_typed_vector(self.locals, refill, None);
        let index = self.first / self.locals;
        let (builders, guard) =
            initialize_networking_from_sockets(inner, self.links, index, self.locals, hooks)
                .map_err(|error| FlowError(error.to_string()))?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }
}

type Feeds = Vec<(Sender<Feed>, SyncActivator)>;

/// What the workers of this process share.
#[derive(Clone)]
struct Shared {
    config: Arc<CoreConfig>,
    tables: Arc<Tables>,
    folds: Folds,
    pulse: Arc<Pulse>,
}

impl Shared {
    fn context(&self, worker: usize, workers: usize, locals: usize) -> Context {
        let Self { config, tables, folds, pulse } = self.clone();
        Context { config, tables, worker, workers, locals, folds, pulse }
    }

    /// Starts the workers; they run until their feeds end.
    fn run(
        self,
        place: Place,
        commit_to: Sender<Commit>,
    ) -> Result<(Feeds, WorkerGuards<()>), FlowError> {
        let (locals, workers, first) = (place.locals, place.workers, place.first);
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..locals).map(|_| unbounded()).unzip();
        let (activator_to, activators) = unbounded();
        let work = move |worker: &mut Worker| {
            at_work::thread_begins();
            let _abort = AbortOnPanic;
            let context = self.context(worker.index(), workers, locals);
            let local = worker.index() - first;
            let (feed, commit_to) = (receivers[local].clone(), commit_to.clone());
            let activator = worker
                .dataflow::<u64, _, _>(|scope| graph::build(scope, &context, feed, commit_to));
            // The starter waits for every worker's activator, so the receiver is there.
            let _ = activator_to.send((local, activator));
            while worker.step_or_park(None) {}
        };
        let (allocators, others) = place.allocators()?;
        let config = timely::WorkerConfig::default();
        let guards =
            timely::execute::execute_from(allocators, others, config, work).map_err(FlowError)?;
        let mut woken: Vec<(usize, SyncActivator)> = activators.iter().take(locals).collect();
        woken.sort_by_key(|(local, _)| *local);
        let feeds = feeds.into_iter().zip(woken.into_iter().map(|(_, activator)| activator));
        Ok((feeds.collect(), guards))
    }
}

fn shuffle(seed: u64, mut events: Vec<Bound>, shares: &mut [Vec<Bound>]) {
    use eddyline_model::philox::{Draws, Purpose, RecordKey};
    let key = RecordKey { seed, topic_hash: 0, partition: 0, offset: 0 };
    let mut draws = Draws::new(&key, Purpose::Initial);
    while !events.is_empty() {
        let at = draws.below(events.len() as u64) as usize;
        let share = draws.below(shares.len() as u64) as usize;
        shares[share].push(events.swap_remove(at));
    }
}

/// Timely leaves the other workers waiting for one that panicked; a process that cannot go on
/// must stop, loudly and at once, and in a cluster all others with it.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            let at = at_work::at_work();
            let what = at.map(|at| format!(": {at}")).unwrap_or_default();
            let why = format!("thread {name} of the dataflow panicked, for the reason above{what}");
            let record = at.and_then(|at| at.record);
            stop(Code::Bug, &why, &remedy(record));
        }
    }
}

fn remedy(record: Option<RecordAt>) -> String {
    let again = "report it; a restart folds again from the log";
    let Some(RecordAt { partition, offset }) = record else { return again.to_owned() };
    let (topic, partition) = (partition.topic, partition.partition);
    format!("{again}, without the record after `eddyline dlq skip {topic} {partition} {offset}`")
}
