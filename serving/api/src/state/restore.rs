//! Serving from a snapshot: all rows as of one epoch, then every later epoch of the deltas.
//!
//! A snapshot is read as one large epoch: the newest [`Delta`] of each item and of the gate, those of
//! kind [`Delta::Item`] first, then the users, each as of the epoch that changed it last. Items are
//! needed together, because a slot is a place in the order of age; all else is written piece by
//! piece. The state is as if every epoch up to then had been applied: the same questions have the
//! same answers.

use std::time::Instant;

use eddyline_connect::features::{ShardRefill, UserRow};
use eddyline_schemas::delta::{Delta, EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;

use crate::state::prepare::{Prepared, prepare};
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
        users: impl IntoIterator<Item = UserRow>,
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
            self.write(head, std::mem::take(&mut piece))?;
            piece.extend(rows.by_ref().take(PIECE));
            if piece.is_empty() {
                break;
            }
        }
        let mut users = users.into_iter();
        loop {
            let rows: Vec<UserRow> = users.by_ref().take(PIECE).collect();
            if rows.is_empty() {
                break;
            }
            self.write_users(head, rows)?;
        }
        self.show(head)
    }

    /// Takes over what was restored beside this state: of the same history, and further on. An answer
    /// is of the one or of the other. Items are old in one order, so slots keep their meaning, and
    /// the index stays.
    pub fn adopt(&self, restored: Self) -> Result<(), ApplyError> {
        let _one_at_a_time = self.writer.lock();
        let (held, next) = (self.progress(), restored.progress());
        match (held.lineage, next.lineage) {
            (Some(held), Some(offered)) if held != offered => {
                return Err(ApplyError::OtherLineage { held, offered });
            }
            _ if next.epoch <= held.epoch => {
                return Err(ApplyError::NotNext { applied: held.epoch, got: next.epoch });
            }
            _ => {}
        }
        let (tables, users) = (restored.tables.into_inner(), restored.users.into_inner());
        let mut held = self.tables.write();
        let old_users = std::mem::replace(&mut *self.users.write(), users);
        let old_tables = std::mem::replace(&mut *held, tables);
        drop(held);
        self.progress.send_replace(next);
        drop((old_tables, old_users));
        Ok(())
    }

    fn write(&self, head: &SnapshotHead, deltas: Vec<Delta>) -> Result<(), ApplyError> {
        let SnapshotHead { lineage, epoch, logical_time, counts } = *head;
        let chain = Digest::default();
        let deltas = EpochDeltas { lineage, epoch, logical_time, deltas, chain, counts };
        let mut prepared = prepare(&self.tables.read(), &self.config.core.gate, deltas)?;
        if !prepared.users.is_empty() {
            let detail = "users of a snapshot come as rows, not as deltas".to_owned();
            return Err(ApplyError::Malformed { epoch, detail });
        }
        let mut tables = self.tables.write();
        let progress = *tables.progress();
        tables.commit(&mut prepared, progress);
        Ok(())
    }

    fn write_users(&self, head: &SnapshotHead, rows: Vec<UserRow>) -> Result<(), ApplyError> {
        let (lineage, epoch) = (head.lineage, head.epoch);
        let tables = self.tables.read();
        for (user, vector) in rows.iter().filter_map(|row| Some((&row.user, row.vector.as_ref()?)))
        {
            tables.vectors().check(vector).map_err(|why| ApplyError::Malformed {
                epoch,
                detail: format!("vector of {user}: {why}"),
            })?;
        }
        drop(tables);
        let refill = ShardRefill { rows, ..ShardRefill::default() };
        let filled = self.users().refill(lineage, epoch, &[refill]);
        filled.map_err(|source| ApplyError::Users { epoch, source })
    }

    /// Everything is written: answers are of the snapshot's epoch from here on.
    fn show(&self, head: &SnapshotHead) -> Result<(), ApplyError> {
        let SnapshotHead { lineage, epoch, logical_time, counts } = *head;
        // A snapshot may hold no user at all.
        self.users()
            .apply(lineage, epoch, &[])
            .map_err(|source| ApplyError::Users { epoch, source })?;
        let mut tables = self.tables.write();
        let (lineage, applied_at) = (Some(lineage), Instant::now());
        let progress = *tables.progress();
        let progress = Progress { lineage, epoch, logical_time, counts, applied_at, ..progress };
        tables.commit(&mut Prepared::default(), progress);
        let progress = *tables.progress();
        drop(tables);
        self.progress.send_replace(progress);
        Ok(())
    }
}
