//! From the folds to the outside: what is committed is emitted, then acknowledged; snapshots are
//! written in between.

use std::sync::atomic::Ordering;

use eddyline_connect::crash_point;
use eddyline_connect::log::with_sources;
use eddyline_schemas::snapshot::{LogPosition, PartitionPosition};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use super::rules::{Breach, Rules};
use super::snapshots::{Fed, SnapshotPoint};
use super::{Driver, FOLDS_MS, Pace, Phase, Step};
use crate::committer::Committed;
use crate::error::EngineError;
use crate::folder::CommittedState;
use crate::outputs::EmitError;

impl<R: Rules> Driver<R> {
    /// The next committed epoch, if it is time for it.
    pub(super) fn harvest(&mut self) -> Result<Option<Box<Committed>>, EngineError> {
        let is_due = match self.pace {
            Pace::Free => return Ok(self.commits.try_recv().ok().map(|one| self.received(one))),
            Pace::Lockstep(most) => self.fed.0 >= self.received.0 + most,
        };
        if is_due { self.await_commit() } else { Ok(None) }
    }

    pub(super) fn await_commit(&mut self) -> Result<Option<Box<Committed>>, EngineError> {
        if self.received >= self.fed {
            return Ok(None);
        }
        let gone = |_| EngineError::Stopped("the folds have stopped".into());
        let committed = self.commits.recv().map_err(gone)?;
        Ok(Some(self.received(committed)))
    }

    pub(super) fn received(&mut self, committed: Committed) -> Box<Committed> {
        self.received = committed.deltas.epoch;
        Box::new(committed)
    }

    pub(super) fn emit(&mut self, committed: Box<Committed>) -> Result<Step, EngineError> {
        let state =
            CommittedState { epoch: committed.deltas.epoch, counts: committed.deltas.counts };
        crash_point!("emit");
        match self.ports.outputs.emit(committed) {
            Ok(()) => {
                crash_point!("emitted");
                self.backoff.succeeded();
                self.emitted.push_back(state);
                Ok(Step::Did)
            }
            Err(EmitError::Unavailable { committed, source }) => {
                self.unemitted = Some(committed);
                Err(EngineError::Emit(source))
            }
            Err(EmitError::Refused(source)) => Err(EngineError::Refused(source)),
        }
    }

    pub(super) fn note_acknowledged(&mut self) {
        let acknowledged = self.acknowledged();
        while let Some(state) = self.emitted.front().copied() {
            if state.epoch > acknowledged {
                return;
            }
            self.emitted.pop_front();
            self.shared.progress.raise(state);
            crash_point!("acknowledged");
        }
    }

    /// Little can be done before an epoch has come out of the folds or is acknowledged; more in
    /// `patience_ms`.
    pub(super) fn wait_for_folds(&mut self, patience_ms: i64) -> Result<Step, EngineError> {
        if matches!(self.pace, Pace::Lockstep(_)) {
            self.unemitted = self.await_commit()?;
            if self.unemitted.is_some() {
                return Ok(Step::Did);
            }
        }
        Ok(Step::Idle(patience_ms.min(FOLDS_MS)))
    }

    /// Whether a snapshot is due as of the last epoch fed.
    pub(super) fn is_snapshot_due(&mut self) -> bool {
        let written = self.ports.snapshots.written();
        self.shared.snapshot_epoch.store(written.0, Ordering::Release);
        self.ports.snapshots.is_due(self.fed())
    }

    fn fed(&self) -> Fed {
        Fed { epoch: self.fed, records: self.fed_records }
    }

    /// I5: only once all deltas are acknowledged. No proposal is on its way, so the fold of the
    /// bindings ends with the last epoch fed.
    pub(super) fn write_snapshot(&mut self) -> Result<Step, EngineError> {
        let is_early = self.rules.breaks(Breach::SnapshotBeforeAcknowledgement);
        if !self.is_settled() && !is_early {
            return self.wait_for_folds(FOLDS_MS);
        }
        crash_point!("snapshot");
        let point = SnapshotPoint { position: self.position(), folder: &self.folder };
        self.ports.snapshots.write(&point).map_err(EngineError::Snapshot)?;
        crash_point!("snapshotted");
        Ok(Step::Did)
    }

    /// Where the log is to be read on after the last epoch fed.
    fn position(&self) -> LogPosition {
        let fold = &self.bindings.fold;
        let partition = |at: &TopicPartition| {
            let waiting = self.waiting.get(at);
            let clock = match self.rules.breaks(Breach::SnapshotClockOfLastRead) {
                true => self.bound.clock(*at),
                // What was read and is not bound yet will be judged again.
                false => waiting.map_or(TimestampMs(i64::MIN), |waiting| waiting.clock),
            };
            let topic_id = self.ports.log.topic_id(at.topic);
            let clock = (clock.0 > i64::MIN).then_some(clock);
            (*at, PartitionPosition { topic_id, clock })
        };
        LogPosition {
            partitions: fold.bound().keys().map(partition).collect(),
            skipped: self.bound.skipped().clone(),
            next_binding: self.bindings.next(),
            fold: fold.clone(),
        }
    }

    /// The driver ends; all that was fed is acknowledged. A last snapshot saves the next one from
    /// folding again.
    pub(super) fn write_last_snapshot(&mut self) {
        let fed = self.fed();
        let snapshots = &mut self.ports.snapshots;
        // Before it is live, the fold of the bindings may be ahead of what was fed.
        let is_possible = matches!(self.phase, Phase::Live) && self.proposal.is_none();
        if !is_possible || !snapshots.is_due_at_end(fed) {
            return;
        }
        let written = self.write_snapshot().map_err(|error| with_sources(&error));
        let ended = self.ports.snapshots.finish().map_err(|error| with_sources(&*error));
        if let Err(error) = written.and(ended) {
            tracing::error!(error, "the next start folds again what came after the last snapshot");
        }
    }
}
