//! The engine as its users see it: start it on a log, watch it, ask for its digest, stop it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use eddyline_connect::clock::SteadyClock;
use eddyline_connect::log::{EventLog, with_sources};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::WriterId;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::snapshot::LogPosition;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use crate::cluster::Workers;
use crate::committer::StateDigest;
use crate::driver::rules::Sound;
use crate::driver::snapshots::{NoSnapshots, Snapshots};
use crate::driver::{Driver, Pace, Ports};
use crate::error::EngineError;
use crate::folder::{CommittedState, Progress, Sink};
use crate::outputs::{Handoff, Outputs};
use crate::recording::Recording;
use crate::snapshot::Restored;

/// How epochs are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochLimits {
    /// Records that close an epoch.
    pub events: usize,
    /// Time after which an epoch is closed with what there is.
    pub wait: Duration,
    /// Records of an epoch while there is a backlog.
    pub backlog_events: usize,
}

impl Default for EpochLimits {
    fn default() -> Self {
        Self { events: 1_024, wait: Duration::from_millis(10), backlog_events: 4_096 }
    }
}

/// What an engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Everything that changes state.
    pub core: CoreConfig,
    /// Where the workers are; changes speed, never state.
    pub workers: Workers,
    /// How epochs are cut.
    pub epoch: EpochLimits,
}

impl EngineConfig {
    fn check(&self) -> Result<(), EngineError> {
        if self.epoch.events == 0 || self.epoch.backlog_events < self.epoch.events {
            let rule = "dataflow.epoch_events must be at least 1 and at most dataflow.backlog_epoch_events";
            return Err(EngineError::Config(rule.into()));
        }
        Ok(())
    }
}

/// Where the engine is.
#[derive(Clone, Debug)]
pub struct EngineStatus {
    /// The history that is being written.
    pub lineage: Lineage,
    /// Last epoch that is bound.
    pub bound_epoch: Epoch,
    /// Last epoch whose deltas were handed to the sink.
    pub committed_epoch: Epoch,
    /// Epoch of the newest snapshot that is durable; 0 when there is none.
    pub snapshot_epoch: Epoch,
    /// Sums up to the committed epoch.
    pub counts: PipelineCounts,
    /// Records on the log that are not bound yet.
    pub lag_records: u64,
    /// All epochs that were bound before the start are folded again.
    pub is_recovered: bool,
    /// Why the engine stopped, if it did.
    pub failure: Option<String>,
}

/// What driver and committer tell the outside.
pub(crate) struct Shared {
    pub(crate) lineage: Lineage,
    pub(crate) bound_epoch: AtomicU64,
    pub(crate) snapshot_epoch: AtomicU64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) bound_ends: Mutex<BoundEnds>,
    pub(crate) is_recovered: std::sync::atomic::AtomicBool,
    pub(crate) failure: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            lineage: config.core.lineage(),
            bound_epoch: AtomicU64::new(0),
            snapshot_epoch: AtomicU64::new(0),
            progress: Arc::default(),
            bound_ends: Mutex::default(),
            is_recovered: false.into(),
            failure: Mutex::default(),
        }
    }

    /// What is known before anything is folded.
    pub(crate) fn begin(&self, begin: &Beginning) {
        let epoch = begin.committed.epoch;
        let mut ends = self.bound_ends.lock();
        for (&partition, &end) in begin.position.fold.bound() {
            ends.add(partition, end, epoch);
        }
        drop(ends);
        self.bound_epoch.store(epoch.0, Ordering::Release);
        self.snapshot_epoch.store(epoch.0, Ordering::Release);
        self.progress.raise(begin.committed);
    }
}

/// What a driver begins with; `Default` is the start of the log.
#[derive(Default)]
pub(crate) struct Beginning {
    pub(crate) position: LogPosition,
    pub(crate) committed: CommittedState,
}

impl Beginning {
    pub(crate) fn of(restored: &Restored) -> Self {
        let committed = CommittedState { epoch: restored.epoch(), counts: restored.counts() };
        Self { position: restored.position().clone(), committed }
    }
}

/// The newest bindings of each partition: (end, epoch), ascending.
#[derive(Debug, Default)]
pub(crate) struct BoundEnds(BTreeMap<TopicPartition, VecDeque<(Offset, Epoch)>>);

/// Bindings remembered per partition for read-your-writes.
const REMEMBERED: usize = 8_192;

impl BoundEnds {
    pub(crate) fn add(&mut self, partition: TopicPartition, end: Offset, epoch: Epoch) {
        let ends = self.0.entry(partition).or_default();
        ends.push_back((end, epoch));
        if ends.len() > REMEMBERED {
            ends.pop_front();
        }
    }

    /// The epoch that covers an offset; `None` when it is not bound yet. An offset older than what
    /// is remembered is covered by the oldest remembered epoch at the latest.
    pub(crate) fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        let ends = self.0.get(&partition)?;
        let at = ends.partition_point(|&(end, _)| end <= offset);
        ends.get(at).map(|&(_, epoch)| epoch)
    }

    fn end(&self, partition: TopicPartition) -> Offset {
        self.0.get(&partition).and_then(|ends| ends.back()).map_or(0, |&(end, _)| end)
    }

    /// Records of the inputs on `log` that are not bound.
    pub(crate) fn lag_records(&self, log: &dyn EventLog) -> u64 {
        let mut lag = 0;
        for topic in eddyline_schemas::topic::Topic::INPUTS {
            for partition in 0..log.partitions(topic) {
                let at = TopicPartition { topic, partition };
                lag += log.end_offset(at).unwrap_or(0).saturating_sub(self.end(at));
            }
        }
        lag
    }
}

pub(crate) enum Command {
    Digest(Sender<StateDigest>),
    Stop,
}

/// A running engine. Dropping it stops it.
pub struct Engine {
    shared: Arc<Shared>,
    log: Arc<dyn EventLog>,
    commands: Sender<Command>,
    driver: Option<JoinHandle<Result<StateDigest, EngineError>>>,
}

/// Takes an engine's epochs.
pub enum Output {
    /// Has a thread of its own and is believed: what it has returned from is acknowledged.
    Sink(Sink),
    /// Can fail and acknowledges.
    Port(Box<dyn Outputs>),
}

/// Where an engine's epochs and snapshots go, and what it starts from.
pub struct EngineOutputs {
    /// Deltas and features.
    pub output: Output,
    /// Snapshots.
    pub snapshots: Box<dyn Snapshots>,
    /// A snapshot that the log can go on from, see [`newest_on_log`](crate::snapshot::newest_on_log);
    /// `None` folds again all that was bound.
    pub from: Option<Restored>,
}

/// Starts an engine on `log`: folds again what was bound, then goes on. `sink` has a thread of its
/// own and is believed: what it has returned from is acknowledged.
pub fn start(
    config: EngineConfig,
    log: Arc<dyn EventLog>,
    sink: Sink,
) -> Result<Engine, EngineError> {
    let outputs =
        EngineOutputs { output: Output::Sink(sink), snapshots: Box::new(NoSnapshots), from: None };
    start_with(config, log, outputs)
}

/// As [`start`], with outputs that can fail and acknowledge, and with snapshots.
pub fn start_with(
    config: EngineConfig,
    log: Arc<dyn EventLog>,
    EngineOutputs { output, snapshots, from }: EngineOutputs,
) -> Result<Engine, EngineError> {
    config.check()?;
    let shared = Arc::new(Shared::new(&config));
    let outputs = match output {
        Output::Sink(sink) => Box::new(Handoff::start(sink, Arc::clone(&shared.progress))?),
        Output::Port(port) => port,
    };
    let outputs = Box::new(Recording::start(outputs, Arc::clone(&log), shared.lineage)?);
    let (commands, commanded): (Sender<Command>, Receiver<Command>) = bounded(16);
    let clock = Arc::new(SteadyClock::default());
    let ports = Ports { log: Arc::clone(&log), clock, outputs, snapshots };
    let writer = WriterId(eddyline_connect::random::bytes());
    let identity = (writer, Pace::Free, Sound);
    let driver = Driver::new(config, ports, Arc::clone(&shared), from, identity)?;
    let failure = Arc::clone(&shared);
    let run = move || {
        let result = driver.run(&commanded);
        if let Err(error) = &result {
            tracing::error!(error = error as &dyn std::error::Error, "the engine stopped");
            *failure.failure.lock() = Some(with_sources(error));
            failure.progress.nudge();
        }
        result
    };
    let thread = std::thread::Builder::new().name("eddyline-driver".into());
    let driver = thread.spawn(run).map_err(EngineError::Thread)?;
    Ok(Engine { shared, log, commands, driver: Some(driver) })
}

impl Engine {
    /// Where the engine is.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let committed = self.shared.progress.committed();
        EngineStatus {
            lineage: self.shared.lineage,
            bound_epoch: Epoch(self.shared.bound_epoch.load(Ordering::Acquire)),
            committed_epoch: committed.epoch,
            snapshot_epoch: Epoch(self.shared.snapshot_epoch.load(Ordering::Acquire)),
            counts: committed.counts,
            lag_records: self.shared.bound_ends.lock().lag_records(&*self.log),
            is_recovered: self.shared.is_recovered.load(Ordering::Acquire),
            failure: self.shared.failure.lock().clone(),
        }
    }

    /// The epoch that covers an offset; `None` when it is not bound yet.
    #[must_use]
    pub fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.shared.bound_ends.lock().epoch_of(partition, offset)
    }

    /// Blocks until `epoch` is committed; false when the time is over first.
    #[must_use]
    pub fn wait_committed(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.shared.progress.wait(epoch, timeout)
    }

    /// The digest of all state, as of the epoch at which nothing is in flight.
    pub fn state_digest(&self) -> Result<StateDigest, EngineError> {
        let (to, answer) = bounded(1);
        let gone = || EngineError::Stopped(self.failure());
        self.commands.send(Command::Digest(to)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }

    /// Stops after what is bound is committed, and gives the digest as of then.
    pub fn shutdown(mut self) -> Result<StateDigest, EngineError> {
        let _ = self.commands.send(Command::Stop);
        let driver = self.driver.take().expect("only shutdown and drop take it");
        driver.join().unwrap_or_else(|_| Err(EngineError::Stopped("its thread panicked".into())))
    }

    fn failure(&self) -> String {
        self.shared.failure.lock().clone().unwrap_or_else(|| "it was shut down".into())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.commands.send(Command::Stop);
            drop(driver.join());
        }
    }
}
