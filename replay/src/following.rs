//! Keeps a lineage at the head of a log that somebody else binds: folds every epoch that is bound,
//! at the exact next offset, and every later one as it comes.
//!
//! It binds nothing: bindings know no lineage, so the one who writes them serves all. What it folds
//! is recorded on the topic of digests, and held against what was recorded before, as live does it.
//! A snapshot is made only when the digests up to its epoch are durable (I5). It blocks: whoever
//! follows gives it a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline_connect::log::{AppendVersion, BoxError, EventLog, with_sources};
use eddyline_dataflows::snapshot::Restored;
use eddyline_dataflows::{
    Committed, DigestRecorder, EngineError, Fed, Folder, History, SnapshotPoint, Snapshots,
    StateDigest,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::EpochDeltas;
use parking_lot::Mutex;

use crate::ReplayError;

/// Longest sleep at the end of what is bound.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Rest before the log is asked again.
const RETRY: Duration = Duration::from_millis(100);

/// How long a log may give nothing where something was bound: a server that just started may.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to begin and how to fold.
pub struct Follow {
    /// A snapshot that the log can go on from; `None` folds from the start.
    pub from: Option<Restored>,
    /// Threads.
    pub workers: usize,
    /// Where its own snapshots go.
    pub snapshots: Box<dyn Snapshots>,
}

/// Takes each epoch, in order. An error ends the following.
pub type Take = Box<dyn FnMut(EpochDeltas) -> Result<(), BoxError> + Send>;

/// Folds until `is_over`; the state then. Outages of the log are waited out.
pub fn follow(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    follow: Follow,
    take: Take,
    is_over: &AtomicBool,
) -> Result<StateDigest, ReplayError> {
    let mut follower = Follower::start(core, log, follow, take)?;
    let followed = follower.run(is_over);
    if followed.is_ok() {
        follower.last_snapshot()?;
    }
    let digest = follower.folder.end();
    followed.map(|()| digest)
}

struct Follower {
    log: Arc<dyn EventLog>,
    history: History,
    folder: Folder,
    snapshots: Box<dyn Snapshots>,
    records: u64,
    recorder: Arc<DigestRecorder>,
    /// Why an epoch was not taken.
    refused: Arc<Mutex<Option<BoxError>>>,
}

impl Follower {
    fn start(
        core: &CoreConfig,
        log: &Arc<dyn EventLog>,
        Follow { from, workers, snapshots }: Follow,
        take: Take,
    ) -> Result<Self, ReplayError> {
        let recorder = Arc::new(DigestRecorder::start(Arc::clone(log), core.lineage())?);
        let refused = Arc::new(Mutex::new(None));
        let sink = Box::new(sink(Arc::clone(&recorder), Arc::clone(&refused), take));
        let position = from.as_ref().map(|from| from.position().clone());
        let records = from.as_ref().map_or(0, |from| from.counts().accepted);
        let history = History::open(core, Arc::clone(log), position.as_ref(), None)?;
        let folder = match from {
            Some(from) => Folder::start_from(core, workers, from, sink)?,
            None => Folder::start(core, workers, sink)?,
        };
        let log = Arc::clone(log);
        Ok(Self { log, history, folder, snapshots, records, recorder, refused })
    }

    fn run(&mut self, is_over: &AtomicBool) -> Result<(), ReplayError> {
        let (mut seen, mut failing_since) = (AppendVersion::default(), None);
        while !is_over.load(Ordering::Acquire) {
            self.check()?;
            match self.history.next_epoch() {
                Ok(Some((epoch, input))) => {
                    failing_since = None;
                    self.records += input.header.accepted;
                    let fed = self.folder.feed(input);
                    debug_assert_eq!(fed, epoch, "no epoch is left out, none comes twice");
                    let at = self.fed();
                    if self.snapshots.is_due(at) {
                        self.write(is_over)?;
                    }
                }
                Ok(None) => {
                    // One may be wanted while nothing is bound.
                    if self.snapshots.is_due(self.fed()) {
                        self.write(is_over)?;
                    }
                    seen = self.log.wait(seen, LOOK_EVERY);
                }
                Err(error) => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if !may_pass(&error, since) {
                        return Err(error.into());
                    }
                    tracing::warn!(error = with_sources(&error), "will follow on");
                    std::thread::sleep(RETRY);
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ReplayError> {
        let refused = self.refused.lock().take().or_else(|| self.recorder.failure());
        refused.map_or(Ok(()), |refused| Err(EngineError::Refused(refused).into()))
    }

    fn fed(&self) -> Fed {
        Fed { epoch: self.history.epoch(), records: self.records }
    }

    fn write(&mut self, is_over: &AtomicBool) -> Result<(), ReplayError> {
        self.folder.wait();
        while !self.recorder.has_recorded(self.history.epoch()) {
            self.check()?;
            if is_over.load(Ordering::Acquire) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let point = SnapshotPoint { position: self.history.position(), folder: &self.folder };
        self.snapshots.write(&point).map_err(|error| EngineError::Snapshot(error).into())
    }

    /// What nobody needs: it saves folding the same again.
    fn last_snapshot(&mut self) -> Result<(), ReplayError> {
        let at = self.fed();
        if !self.snapshots.is_due_at_end(at) {
            return Ok(());
        }
        self.folder.wait();
        let until = Instant::now() + PATIENCE;
        while !self.recorder.has_recorded(at.epoch) {
            self.check()?;
            if Instant::now() >= until {
                tracing::warn!("digests are not durable: no last snapshot");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.write(&AtomicBool::new(false))?;
        self.snapshots.finish().map_err(|error| EngineError::Snapshot(error).into())
    }
}

fn sink(
    recorder: Arc<DigestRecorder>,
    refused: Arc<Mutex<Option<BoxError>>>,
    mut take: Take,
) -> impl FnMut(Committed) + Send {
    let mut is_over = false;
    move |committed| {
        if is_over {
            return;
        }
        let recorded = recorder.record(committed.digest);
        if let Err(error) = recorded.and_then(|()| take(committed.deltas)) {
            is_over = true;
            *refused.lock() = Some(error);
        }
    }
}

fn may_pass(error: &EngineError, since: Instant) -> bool {
    let is_nothing_there = matches!(error, EngineError::BoundRecordsChanged { .. });
    error.is_transient() || (is_nothing_there && since.elapsed() < PATIENCE)
}
