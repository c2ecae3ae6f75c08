//! The snapshots of `snapshots.url`: what a process starts from, and who writes the next one.

use std::sync::Arc;
use std::time::Instant;

use eddyline_connect::log::{EventLog, ReadError};
use eddyline_connect::objects::{Access, ObjectError, ObjectStore, open_objects};
use eddyline_dataflows::snapshot::{
    Restored, SnapshotError, SnapshotStore, SnapshotWish, SnapshotWriter, newest_on_log,
};
use eddyline_dataflows::{EngineError, NoSnapshots, Snapshots};
use eddyline_serving::state::ServingState;
use eddyline_serving::state::restore::SnapshotHead;

use super::bound::{LOOK_AGAIN, PATIENCE};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};

/// The snapshots in the store of [`open_place`].
pub(crate) fn open_snapshots(config: &Config, access: Access) -> Outcome<Option<SnapshotStore>> {
    let objects = open_place(config, access)?;
    Ok(objects.map(|objects| SnapshotStore::new(objects, &config.core)))
}

/// The store that `snapshots.url` names, of snapshots and of lineages; `None` where state is kept
/// nowhere.
pub(crate) fn open_place(config: &Config, access: Access) -> Outcome<Option<Arc<dyn ObjectStore>>> {
    let Some(url) = &config.snapshots.url else { return Ok(None) };
    let opened = open_objects(url, access);
    let exit = opened.as_ref().err().map_or(Exit::Io, exit_of_objects);
    let is_away = matches!(exit, Exit::Unavailable);
    let stopped = opened.or_stop(exit, || "cannot use the snapshots of snapshots.url".into());
    stopped.map(Some).map_err(|stop| match is_away {
        true => stop.remedy("start the object store, or correct snapshots.url"),
        false => stop,
    })
}

pub(crate) fn exit_of_objects(error: &ObjectError) -> Exit {
    match error {
        ObjectError::Url { .. } | ObjectError::Name(_) | ObjectError::Refused { .. } => {
            Exit::Config
        }
        ObjectError::Unavailable { .. } => Exit::Unavailable,
        ObjectError::Conflict { .. } | ObjectError::Stopped { .. } => Exit::Io,
    }
}

/// The newest snapshot of the configured lineage that `log` can go on from. The bindings of another
/// dataflow may show a moment later than its snapshot.
pub(super) fn newest(
    config: &Config,
    store: &SnapshotStore,
    log: &Arc<dyn EventLog>,
) -> Outcome<Option<Restored>> {
    let (lineage, started) = (config.core.lineage(), Instant::now());
    let found = loop {
        let found = newest_on_log(store, log, lineage);
        let may_pass = matches!(
            found,
            Err(EngineError::Ahead { .. } | EngineError::Read(ReadError::Unavailable { .. }))
        );
        if !may_pass || started.elapsed() >= PATIENCE {
            break found;
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    let exit = match found.as_ref().err() {
        Some(EngineError::InvalidSnapshot(error)) => match &**error {
            SnapshotError::Objects(error) => exit_of_objects(error),
            _ => Exit::Failure,
        },
        Some(_) | None => Exit::Failure,
    };
    found.or_stop(exit, || "cannot go on from a snapshot".into())
}

/// What a dataflow starts from, and the port that it writes snapshots to.
pub(super) struct Kept {
    /// `None` folds the log from its start.
    pub(super) from: Option<Restored>,
    pub(super) writer: Box<dyn Snapshots>,
    /// The way to ask the writer for one.
    pub(super) wish: Option<SnapshotWish>,
}

impl Kept {
    /// As `config` says. Nothing is read or written where it names no place.
    pub(super) fn open(config: &Config, log: &Arc<dyn EventLog>) -> Outcome<Self> {
        let Some(store) = open_snapshots(config, Access::Write)? else {
            return Ok(Self { from: None, writer: Box::new(NoSnapshots), wish: None });
        };
        let from = newest(config, &store, log)?;
        if let Some(from) = &from {
            tracing::info!(epoch = from.epoch().0, "goes on from a snapshot");
        }
        let writer = SnapshotWriter::start(store, config.snapshots.every_events, from.as_ref())
            .or_stop(Exit::Io, || "starting a thread".into())?;
        let wish = Some(writer.wish());
        Ok(Self { from, writer: Box::new(writer), wish })
    }
}

/// Fills empty serving state with what a snapshot holds.
pub(super) fn restore(state: &ServingState, config: &Config, from: &Restored) -> Outcome {
    let (rows, users) = (from.deltas(&config.core), from.users(&config.core));
    state.restore(&head(from), rows, users).or_stop(Exit::Bug, || "serving from a snapshot".into())
}

/// What it says of itself.
pub(super) fn head(of: &Restored) -> SnapshotHead {
    SnapshotHead {
        lineage: of.lineage(),
        epoch: of.epoch(),
        logical_time: of.logical_time(),
        counts: of.counts(),
    }
}
