//! Folds a log again under the bindings it records, from nothing: recovery without a writer.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::Epoch;

use crate::bindings::BindingReader;
use crate::bound::EpochInput;
use crate::cluster::Workers;
use crate::committer::StateDigest;
use crate::driver::snapshots::{Fed, SnapshotPoint, Snapshots};
use crate::error::EngineError;
use crate::flow::Arrival;
use crate::folder::{Folder, Sink};
use crate::history::History;
use crate::known::KnownDigests;
use crate::snapshot::Restored;

/// How to fold again. None of it may change the result.
#[derive(Clone, Copy, Debug)]
pub struct Refold {
    /// Threads.
    pub workers: usize,
    /// Stop after this epoch; `None` goes on to the last one bound.
    pub until: Option<Epoch>,
    /// The order in which events arrive at the workers.
    pub arrival: Arrival,
}

/// Where a fold of recorded history begins, where it ends, and where its snapshots go.
pub struct Replay {
    /// A snapshot that the log can go on from; `None` folds from the start.
    pub from: Option<Restored>,
    /// Stop after this epoch; `None` goes on to the last one bound.
    pub until: Option<Epoch>,
    /// Threads.
    pub workers: usize,
    /// Asked after every epoch and at the end. What is written is valid without any receiver having
    /// seen the deltas: they are those that live emitted (I2).
    pub snapshots: Box<dyn Snapshots>,
    /// What live recorded; `None` compares nothing and makes all deltas. Several processes make all
    /// of them too.
    pub known: Option<KnownDigests>,
}

/// Folds what `log` records, which may be an archive, and writes snapshots on the way, so that a
/// fold that is interrupted goes on from the newest one, and a live engine from the last.
pub fn replay(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    how: Replay,
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    replay_on(core, log, (how.workers.into(), how), sink)
}

/// As [`replay`], on these workers instead, of several processes maybe, of which this one leads.
pub fn replay_on(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    (workers, how): (Workers, Replay),
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    let Replay { from, until, mut snapshots, known, .. } = how;
    let is_alone = matches!(workers, Workers::Threads(_));
    let known = known.map(|known| Arc::new(if is_alone { known } else { known.of_all() }));
    let position = from.as_ref().map(|from| from.position().clone());
    let mut records = from.as_ref().map_or(0, |from| from.counts().accepted);
    let mut history = History::open(core, log, position.as_ref(), until)?;
    let against = (from, known.as_ref().map(Arc::clone));
    let mut folder = Folder::start_against(core, workers, against, sink)?;
    while let Some((epoch, input)) = history.next_epoch()? {
        records += input.header.accepted;
        folder.feed(input);
        is_equal(known.as_deref())?;
        if snapshots.is_due(Fed { epoch, records }) {
            folder.wait();
            is_equal(known.as_deref())?;
            write(&mut *snapshots, &history, &folder)?;
        }
    }
    folder.wait();
    is_equal(known.as_deref())?;
    if snapshots.is_due_at_end(Fed { epoch: history.epoch(), records }) {
        write(&mut *snapshots, &history, &folder)?;
    }
    snapshots.finish().map_err(EngineError::Snapshot)?;
    Ok(folder.end())
}

/// A state that is not what live had is not written anywhere.
fn is_equal(known: Option<&KnownDigests>) -> Result<(), EngineError> {
    known
        .and_then(KnownDigests::differs)
        .map_or(Ok(()), |epoch| Err(EngineError::Differs { epoch }))
}

fn write(
    snapshots: &mut dyn Snapshots,
    history: &History,
    folder: &Folder,
) -> Result<(), EngineError> {
    let point = SnapshotPoint { position: history.position(), folder };
    snapshots.write(&point).map_err(EngineError::Snapshot)
}

/// The state after the last epoch folded. Epochs are those that the log records, never cut anew.
pub fn refold(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    how: Refold,
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    refold_on(core, log, (how.workers.into(), how), sink)
}

/// As [`refold`], on these workers instead, of several processes maybe.
pub fn refold_on(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    (workers, how): (Workers, Refold),
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    let mut folder = Folder::start(core, workers, sink)?;
    folder.set_arrival(how.arrival);
    for_each_bound(core, log, how.until, |_, input| {
        folder.feed(input);
    })?;
    Ok(folder.end())
}

/// Reads every epoch that the log's bindings make, up to `until`, and checks that the log still
/// holds what was bound.
pub fn for_each_bound(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    until: Option<Epoch>,
    mut take: impl FnMut(Epoch, EpochInput),
) -> Result<(), EngineError> {
    let mut history = History::open(core, log, None, until)?;
    while let Some((epoch, input)) = history.next_epoch()? {
        take(epoch, input);
    }
    Ok(())
}

/// The last epoch that the log's bindings make.
pub fn last_bound_epoch(log: Arc<dyn EventLog>) -> Result<Epoch, EngineError> {
    let mut bindings = BindingReader::new(log);
    while !bindings.is_at_end()? {
        bindings.read()?;
    }
    Ok(bindings.fold.epoch())
}
