//! Which part of history: the snapshot to begin with, and the epoch to end at.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_dataflows::last_bound_epoch;
use eddyline_dataflows::snapshot::{Restored, SnapshotStore, newest_on_log_until};
use eddyline_replay::ReplayError;
use eddyline_schemas::lineage::Epoch;

use super::of_replay;
use crate::config::Config;
use crate::exit::{Exit, Outcome, Stop, of_engine};
use crate::node::open_snapshots;

/// What was chosen.
pub(super) struct Span {
    pub(super) from: Option<Restored>,
    pub(super) until: Epoch,
}

impl Span {
    /// Up to `until`, from the newest snapshot before it if one may be used and is there.
    pub(super) fn choose(
        config: &Config,
        log: &Arc<dyn EventLog>,
        until: Epoch,
        may_use_snapshots: bool,
    ) -> Outcome<Self> {
        let store = open_snapshots(config, Access::Read)?.filter(|_| may_use_snapshots);
        let from = match store {
            Some(store) => newest(config, &store, log, until)?,
            None => None,
        };
        Ok(Self { from, until })
    }

    /// Up to `until`, from the very snapshot of `epoch`.
    pub(super) fn behind(
        config: &Config,
        log: &Arc<dyn EventLog>,
        until: Epoch,
        epoch: Epoch,
    ) -> Outcome<Self> {
        if epoch > until {
            let message = format!("the snapshot of epoch {epoch} is behind {until}, the last one");
            return Err(Stop::new(Exit::Usage, message));
        }
        let from = match open_snapshots(config, Access::Read)? {
            Some(store) => newest(config, &store, log, epoch)?,
            None => None,
        };
        let from = from.filter(|from| from.epoch() == epoch);
        if from.is_none() {
            let message =
                format!("no snapshot of epoch {epoch} is kept that history can go on from");
            return Err(Stop::new(Exit::Usage, message)
                .remedy("leave --from-snapshot out, or name the epoch of one that is kept"));
        }
        Ok(Self { from, until })
    }
}

/// The epoch that was asked for, or the last one of the history, which must have it.
pub(super) fn last_epoch(asked: Option<u64>, log: &Arc<dyn EventLog>) -> Outcome<Epoch> {
    let last = last_bound_epoch(Arc::clone(log)).map_err(of_engine)?;
    let until = asked.map_or(last, Epoch);
    if until > last {
        let asked = until;
        return Err(of_replay(ReplayError::NoSuchEpoch { asked, last }));
    }
    if until == Epoch(0) {
        return Err(Stop::new(Exit::BadData, "there is no history: no epoch was ever bound")
            .remedy("name the archive with --archive URL, or the data folder with --data DIR"));
    }
    Ok(until)
}

/// The newest snapshot that is not behind `until`.
fn newest(
    config: &Config,
    store: &SnapshotStore,
    log: &Arc<dyn EventLog>,
    until: Epoch,
) -> Outcome<Option<Restored>> {
    let lineage = config.core.lineage();
    let from = newest_on_log_until(store, log, lineage, Some(until)).map_err(of_engine)?;
    if let Some(from) = &from {
        tracing::info!(epoch = from.epoch().0, "begins with a snapshot");
    }
    Ok(from)
}
