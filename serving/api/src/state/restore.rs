//! Serving from a snapshot: all rows as of one epoch, then every later epoch of the deltas.
//!
//! A snapshot is read as one large epoch: the newest [`Delta`] of every key, in the order of deltas
//! (by kind, then key), so items come first. They are needed together, because a slot is a place
//! in the order of age; all else is written piece by piece. The state is as if every epoch up to
//! then had been applied: the same questions have the same answers.

use std::time::Instant;

use eddyline_schemas::delta::{Delta, EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;

use crate::state::prepare::prepare;
use crate::state::{ApplyError, Progress, ServingState};

/// Rows written at once.
const PIECE: usize = 8_192;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// Whose history.
    pub lineage: Lineage,
    /// As of the end of which epoch.
    pub epoch: Epoch,
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// Sums since epoch 0.
    pub counts: PipelineCounts,
}

impl ServingState {
    /// Fills empty state with the rows of a snapshot. After an error the state holds a part of
    /// them: drop it.
    pub fn restore(
        &self,
        head: &SnapshotHead,
        rows: impl IntoIterator<Item = Delta>,
    ) -> Result<(), ApplyError> {
        let _one_at_a_time = self.writer.lock();
        let before = *self.tables.read().progress();
        if before.lineage.is_some() {
            return Err(ApplyError::NotNext { applied: before.epoch, got: head.epoch });
        }
        let mut rows = rows.into_iter().peekable();
        let mut piece = Vec::new();
        while let Some(item) = rows.next_if(|row| matches!(row, Delta::Item { .. })) {
            piece.push(item);
        }
        loop {
            let is_last = rows.peek().is_none();
            self.write(head, std::mem::take(&mut piece), is_last)?;
            if is_last {
                return Ok(());
            }
            piece.extend(rows.by_ref().take(PIECE));
        }
    }

    /// Writes some rows; the last ones make the snapshot visible.
    fn write(
        &self,
        head: &SnapshotHead,
        deltas: Vec<Delta>,
        is_last: bool,
    ) -> Result<(), ApplyError> {
        let SnapshotHead { lineage, epoch, logical_time, counts } = *head;
        let chain = Digest::default();
        let deltas = EpochDeltas { lineage, epoch, logical_time, deltas, chain, counts };
        let mut prepared = prepare(&self.tables.read(), &self.config.core.gate, deltas)?;
        let mut tables = self.tables.write();
        self.users
            .apply(lineage, epoch, &prepared.users)
            .map_err(|source| ApplyError::Users { epoch, source })?;
        let mut progress = *tables.progress();
        if is_last {
            let (lineage, applied_at) = (Some(lineage), Instant::now());
            progress = Progress { lineage, epoch, logical_time, counts, applied_at, ..progress };
        }
        tables.commit(&mut prepared, progress);
        let progress = *tables.progress();
        drop(tables);
        if is_last {
            self.progress.send_replace(progress);
        }
        Ok(())
    }
}
