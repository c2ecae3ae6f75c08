//! Folds epochs that somebody else has bound: the workers, the committing thread, and how far
//! they are. The live driver, replay and evaluation all fold through this one type.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::Epoch;
use parking_lot::{Condvar, Mutex};

use crate::bound::EpochInput;
use crate::cluster::{ClusterConfig, Workers};
use crate::committer::{Committed, Committer, StateDigest};
use crate::error::EngineError;
use crate::flow::{AbortOnPanic, Arrival, Flow};
use crate::graph::{Commit, Folds};
use crate::known::KnownDigests;
use crate::snapshot::{Export, Restored};
use crate::state::Tables;

/// Epochs that may be between feed and sink.
const IN_FLIGHT: u64 = 8;

/// Takes each committed epoch, in order. May block: the folder waits.
pub type Sink = Box<dyn FnMut(Committed) + Send>;

/// The last committed epoch, and the sums up to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommittedState {
    /// The epoch.
    pub epoch: Epoch,
    /// The sums.
    pub counts: PipelineCounts,
}

/// How far the sink is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    committed: Mutex<CommittedState>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn committed(&self) -> CommittedState {
        *self.committed.lock()
    }

    fn set(&self, state: CommittedState) {
        *self.committed.lock() = state;
        self.changed.notify_all();
    }

    /// As `set`, unless it is further already.
    pub(crate) fn raise(&self, state: CommittedState) {
        let mut committed = self.committed.lock();
        if committed.epoch < state.epoch {
            *committed = state;
            drop(committed);
            self.changed.notify_all();
        }
    }

    /// Wakes everybody who waits, to look at something else.
    pub(crate) fn nudge(&self) {
        self.changed.notify_all();
    }

    /// Blocks until `epoch` is committed; false when the time is over first.
    pub(crate) fn wait(&self, epoch: Epoch, timeout: Duration) -> bool {
        let mut committed = self.committed.lock();
        let is_behind = |committed: &mut CommittedState| committed.epoch < epoch;
        self.changed.wait_while_for(&mut committed, is_behind, timeout);
        committed.epoch >= epoch
    }

    fn wait_for_ever(&self, epoch: Epoch) {
        let mut committed = self.committed.lock();
        self.changed.wait_while(&mut committed, |committed| committed.epoch < epoch);
    }
}

/// See the module doc.
pub struct Folder {
    core: Arc<CoreConfig>,
    flow: Flow,
    progress: Arc<Progress>,
    digests: Sender<Sender<Committer>>,
    committing: JoinHandle<()>,
    fed: Epoch,
}

impl Folder {
    /// Starts the workers on empty state: so many threads, or this process as the leader of several.
    pub fn start(
        core: &CoreConfig,
        workers: impl Into<Workers>,
        sink: Sink,
    ) -> Result<Self, EngineError> {
        Self::start_with(core, (workers.into(), Folds::All), Arc::default(), sink)
    }

    /// Starts with some of the folds only; the state is then not that of any lineage.
    pub fn start_partly(
        core: &CoreConfig,
        workers: usize,
        folds: Folds,
        sink: Sink,
    ) -> Result<Self, EngineError> {
        Self::start_with(core, (workers.into(), folds), Arc::default(), sink)
    }

    /// Starts the workers on the state of a snapshot, which any number of workers may have written:
    /// so many threads, or this process as the leader of several. The epoch to feed next is the one after the snapshot's.
    pub fn start_from(
        core: &CoreConfig,
        workers: impl Into<Workers>,
        restored: Restored,
        sink: Sink,
    ) -> Result<Self, EngineError> {
        Self::resume(core, workers.into(), restored, (Arc::default(), sink))
    }

    /// Starts on the state of a snapshot or on none, and holds what it folds against what was
    /// recorded of it. The sink gets no deltas of epochs whose deltas are not made.
    pub(crate) fn start_against(
        core: &CoreConfig,
        workers: Workers,
        (from, known): (Option<Restored>, Option<Arc<KnownDigests>>),
        sink: Sink,
    ) -> Result<Self, EngineError> {
        let folds = known.as_ref().map_or(Folds::All, |known| known.folds());
        let (tables, committer) = match from {
            Some(from) => {
                let (tables, committer) = from.into_parts(core)?;
                (Some(tables), committer)
            }
            None => (None, Committer::new(core.lineage())),
        };
        let state = (tables, committer.against(known));
        Self::run(core, (workers, folds), state, (Arc::default(), sink))
    }

    /// [`Self::start_from`], telling of its progress.
    pub(crate) fn resume(
        core: &CoreConfig,
        workers: Workers,
        restored: Restored,
        (progress, sink): (Arc<Progress>, Sink),
    ) -> Result<Self, EngineError> {
        let (tables, committer) = restored.into_parts(core)?;
        Self::run(core, (workers, Folds::All), (Some(tables), committer), (progress, sink))
    }

    pub(crate) fn start_with(
        core: &CoreConfig,
        (workers, folds): (Workers, Folds),
        progress: Arc<Progress>,
        sink: Sink,
    ) -> Result<Self, EngineError> {
        let committer = Committer::new(core.lineage());
        Self::run(core, (workers, folds), (None, committer), (progress, sink))
    }

    fn run(
        core: &CoreConfig,
        (workers, folds): (Workers, Folds),
        (restored, committer): (Option<Tables>, Committer),
        (progress, sink): (Arc<Progress>, Sink),
    ) -> Result<Self, EngineError> {
        check(core, workers.here())?;
        let core = Arc::new(core.clone());
        let fed = committer.epoch();
        progress.set(CommittedState { epoch: fed, counts: committer.counts() });
        let (flow, commits) = Flow::start(&core, &workers, folds, restored)?;
        let (digests, asked) = unbounded();
        let told = Arc::clone(&progress);
        let run = move || {
            // Else a sink that panics would leave the feeder waiting for ever.
            let _abort = AbortOnPanic;
            commit_all(committer, &commits, &asked, (&told, sink));
        };
        let thread = std::thread::Builder::new().name("eddyline-commit".into());
        let committing = thread.spawn(run).map_err(EngineError::Thread)?;
        Ok(Self { core, flow, progress, digests, committing, fed })
    }

    /// Lets events arrive at the workers in another order, which must change nothing.
    pub fn set_arrival(&mut self, arrival: Arrival) {
        self.flow.arrival = arrival;
    }

    /// Feeds the next epoch, once few enough are in flight.
    pub fn feed(&mut self, input: EpochInput) -> Epoch {
        self.fed = self.fed.next();
        self.progress.wait_for_ever(Epoch(self.fed.0.saturating_sub(IN_FLIGHT)));
        self.flow.feed(self.fed.0, input);
        self.fed
    }

    /// Waits until nothing is in flight.
    pub fn wait(&self) {
        self.progress.wait_for_ever(self.fed);
    }

    /// Waits until nothing is in flight, then digests the state.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.committer().digest_of(self.flow.digest(&self.core))
    }

    /// Waits until nothing is in flight, then copies the state, ready to be written. Nothing may be
    /// fed meanwhile, which the borrow says; the copy is all that the folding has to wait for.
    #[must_use]
    pub fn export(&self) -> Export {
        let committer = self.committer();
        let sections = self.flow.sections(&self.core);
        Export::new(&self.core, committer, sections, &self.flow.tables.gate.read())
    }

    /// The committer's sums, once nothing is in flight.
    fn committer(&self) -> Committer {
        self.progress.wait_for_ever(self.fed);
        let (to, committer) = bounded(1);
        self.digests.send(to).expect("the committing thread lives as long as the folder");
        committer.recv().expect("the committing thread answers")
    }

    /// Finishes what was fed, and gives the digest as of then.
    #[must_use]
    pub fn end(self) -> StateDigest {
        let digest = self.digest();
        self.flow.done();
        drop(self.flow);
        drop(self.digests);
        drop(self.committing.join());
        digest
    }
}

/// Takes part in the dataflow that process 0 leads, from its first epoch until it says that it is
/// over. The process ends with exit code 69, saying why, when another one is lost meanwhile.
pub fn follow(core: &CoreConfig, cluster: &ClusterConfig) -> Result<(), EngineError> {
    check(core, cluster.workers)?;
    if cluster.index == 0 {
        return Err(EngineError::Config("process 0 leads, it cannot follow".into()));
    }
    crate::flow::follow(&Arc::new(core.clone()), cluster)
}

fn check(core: &CoreConfig, workers: usize) -> Result<(), EngineError> {
    let dim = core.factors.dim;
    if workers == 0 || workers > eddyline_schemas::id::SHARDS {
        return Err(EngineError::Config("dataflow.workers must be 1 to 256".into()));
    }
    if dim == 0 || !dim.is_multiple_of(eddyline_model::kernel::LANES) {
        return Err(EngineError::Config("core.factors.dim must be a multiple of 16".into()));
    }
    Ok(())
}

fn commit_all(
    mut committer: Committer,
    commits: &Receiver<Commit>,
    asked: &Receiver<Sender<Committer>>,
    (progress, mut sink): (&Progress, Sink),
) {
    loop {
        select! {
            recv(commits) -> commit => {
                let Ok(commit) = commit else { break };
                sink(committer.commit(commit));
                let (epoch, counts) = (committer.epoch(), committer.counts());
                progress.set(CommittedState { epoch, counts });
            }
            recv(asked) -> to => {
                let Ok(to) = to else { break };
                // Whoever asked may have given up.
                let _ = to.send(committer.clone());
            }
        }
    }
}
