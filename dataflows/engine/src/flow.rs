//! The running dataflow of one process: its workers, what they are fed, what they commit.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use eddyline_model::config::CoreConfig;
use timely::scheduling::SyncActivator;

use crate::bound::{Bound, EpochInput};
use crate::graph::{self, Commit, Context, Feed, Folds};
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
    _workers: timely::communication::WorkerGuards<()>,
    /// See [`Arrival`].
    pub(crate) arrival: Arrival,
    /// The state, to be read while no epoch is in flight.
    pub(crate) tables: Arc<Tables>,
}

/// Why the workers did not start.
#[derive(Debug, thiserror::Error)]
#[error("timely workers did not start: {0}")]
pub struct FlowError(String);

impl Flow {
    /// Starts `workers` threads on this state. Commits arrive on the receiver in epoch order.
    pub(crate) fn start(
        config: &Arc<CoreConfig>,
        workers: usize,
        folds: Folds,
        tables: Tables,
    ) -> Result<(Self, Receiver<Commit>), FlowError> {
        let tables = Arc::new(tables);
        // Bounded by the feeder, which keeps the number of epochs in flight small.
        let (commit_to, commits) = unbounded();
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
        let (activator_to, activators) = unbounded();
        let shared = (Arc::clone(config), Arc::clone(&tables));
        let timely_config = timely::Config::process(workers);
        let guards = timely::execute(timely_config, move |worker| {
            let _abort = AbortOnPanic;
            let (config, tables) = shared.clone();
            let index = worker.index();
            let context = Context { config, tables, worker: index, workers, folds };
            let feed = receivers[index].clone();
            let commit_to = commit_to.clone();
            let activator = worker
                .dataflow::<u64, _, _>(|scope| graph::build(scope, &context, feed, commit_to));
            // The starter waits for every worker's activator, so the receiver is there.
            let _ = activator_to.send((index, activator));
            while worker.step_or_park(None) {}
        })
        .map_err(FlowError)?;
        let mut woken: Vec<(usize, SyncActivator)> = activators.iter().take(workers).collect();
        woken.sort_by_key(|(index, _)| *index);
        let feeds = feeds.into_iter().zip(woken.into_iter().map(|(_, activator)| activator));
        Ok((
            Self { feeds: feeds.collect(), _workers: guards, arrival: Arrival::default(), tables },
            commits,
        ))
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
        for ((feed, activator), share) in self.feeds.iter().zip(shares) {
            // A worker that is gone has aborted the process; there is nobody to tell.
            let _ = feed.send(Feed::Epoch(epoch, input.header, share));
            let _ = activator.activate();
        }
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
/// must stop, loudly and at once.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a thread of the dataflow panicked; stopping the process");
            std::process::abort();
        }
    }
}
