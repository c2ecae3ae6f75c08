//! From the folds to the outside: what is committed is emitted, then acknowledged; snapshots are
//! written in between.

use eddyline_connect::crash_point;

use super::rules::{Breach, Rules};
use super::snapshots::SnapshotPoint;
use super::{Driver, FOLDS_MS, Pace, Step};
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
    pub(super) fn is_snapshot_due(&self) -> bool {
        let every = self.ports.snapshots.interval();
        every > 0 && self.fed.0 >= self.snapshot.0 + every
    }

    /// I5: only once all deltas are acknowledged.
    pub(super) fn write_snapshot(&mut self) -> Result<Step, EngineError> {
        let is_early = self.rules.breaks(Breach::SnapshotBeforeAcknowledgement);
        if !self.is_settled() && !is_early {
            return self.wait_for_folds(FOLDS_MS);
        }
        crash_point!("snapshot");
        let point = SnapshotPoint {
            epoch: self.fed,
            fold: &self.bindings.fold,
            bindings_next: self.bindings.next(),
            folder: &self.folder,
        };
        self.ports.snapshots.write(&point).map_err(EngineError::Snapshot)?;
        self.snapshot = self.fed;
        crash_point!("snapshotted");
        Ok(Step::Did)
    }
}
