//! Serving state from a snapshot: at the start of a replica, and over a gap in the deltas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use eddyline_connect::deltas::{DeltaReader, Position};
use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_dataflows::snapshot::{Restored, SnapshotStore, newest_on_log};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::state::{ApplyError, ServingState};

use super::bound::patiently;
use super::snapshots::{head, newest, open_snapshots};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};

/// How often a replica that cannot go on looks for a newer snapshot.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Fills empty serving state with a snapshot, which gives up piece by piece what is taken over.
fn drain_into(
    state: &ServingState,
    core: &CoreConfig,
    mut restored: Restored,
) -> Result<(), ApplyError> {
    let head = head(&restored);
    let (rows, users) = restored.drain(core);
    state.restore(&head, rows, users)
}

fn behind(restored: &Restored) -> Position {
    Position { epoch: restored.epoch(), chain: restored.delta_digest() }
}

/// Where a replica takes its state from.
pub(super) struct Source {
    log: Arc<dyn EventLog>,
    core: CoreConfig,
    lineage: Lineage,
    /// `None` where no place is configured: every epoch comes from the deltas.
    snapshots: Option<SnapshotStore>,
    looked: Option<Instant>,
}

impl Source {
    /// Fills `state`, which is empty, with the newest snapshot, if there is one; what to follow
    /// from there.
    pub(super) fn open(
        config: &Config,
        log: &Arc<dyn EventLog>,
        state: &ServingState,
    ) -> Outcome<(Self, DeltaReader)> {
        let snapshots = open_snapshots(config, Access::Read)?;
        let restored = match &snapshots {
            Some(store) => newest(config, store, log)?,
            None => None,
        };
        let position = restored.as_ref().map_or_else(Position::default, behind);
        if let Some(restored) = restored {
            let began = Instant::now();
            drain_into(state, &config.core, restored)
                .or_stop(Exit::Failure, || "cannot serve from a snapshot".into())?;
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(epoch = position.epoch.0, seconds, "serves from a snapshot");
        }
        let (log, core) = (Arc::clone(log), config.core.clone());
        let lineage = core.lineage();
        let reader = patiently(|| DeltaReader::open(Arc::clone(&log), lineage, position))
            .or_stop(Exit::Failure, || "cannot follow the deltas".into())?;
        Ok((Self { log, core, lineage, snapshots, looked: None }, reader))
    }

    /// Moves `state` to the newest snapshot ahead of it, beside the answers that are given
    /// meanwhile; what to follow from there. `None` while there is no such snapshot, or none was
    /// looked for because that has just been done.
    pub(super) fn resync(&mut self, state: &ServingState) -> anyhow::Result<Option<DeltaReader>> {
        let Some(store) = &self.snapshots else { return Ok(None) };
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(None);
        }
        self.looked = Some(Instant::now());
        let at = state.progress().epoch;
        let is_ahead = |epoch: Epoch| epoch > at;
        if !store.kept(self.lineage)?.iter().any(|manifest| is_ahead(manifest.epoch)) {
            return Ok(None);
        }
        let found = newest_on_log(store, &self.log, self.lineage)?;
        let Some(restored) = found.filter(|restored| is_ahead(restored.epoch())) else {
            return Ok(None);
        };
        let position = behind(&restored);
        let beside = ServingState::new(state.config().clone());
        drain_into(&beside, &self.core, restored).context("cannot serve from a snapshot")?;
        let reader = DeltaReader::open(Arc::clone(&self.log), self.lineage, position)?;
        state.adopt(beside)?;
        tracing::warn!(
            from = at.0,
            to = position.epoch.0,
            "serving went on from a snapshot, over deltas that it could not apply"
        );
        Ok(Some(reader))
    }
}
