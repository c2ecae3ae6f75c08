//! Folds recorded history again and holds every epoch against what live recorded of it.
//!
//! The delta digest is a chain over all deltas, so the first epoch that differs is the first whose
//! deltas do; the digests of its shards say where. The fold stops there: what comes after differs
//! for that reason alone.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::snapshot::Restored;
use eddyline_dataflows::{Committed, Folder, History, StateDigest, Workers};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::Mutex;

use crate::ReplayError;
use crate::recorded::Recorded;

/// What to verify.
pub struct Verify {
    /// Where to begin; `None` at the start of history.
    pub from: Option<Restored>,
    /// The last epoch; `None` goes on to the end.
    pub until: Option<Epoch>,
    /// Threads, or several processes of which this one leads.
    pub workers: Workers,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The history that was folded.
    pub lineage: Lineage,
    /// Epochs whose digest was compared and is equal.
    pub equal: u64,
    /// Epochs that were folded and of which nothing was recorded.
    pub unrecorded: u64,
    /// The first epoch that differs.
    pub mismatch: Option<Mismatch>,
    /// The state at the last epoch folded.
    pub state: StateDigest,
}

/// An epoch of which live and the replay made something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What live recorded.
    pub recorded: EpochDigest,
    /// What the replay finds.
    pub folded: EpochDigest,
}

#[derive(Default)]
struct Found {
    equal: u64,
    unrecorded: u64,
    differs: Option<EpochDigest>,
}

/// See the module doc. `told` hears of every epoch that is read.
pub fn verify(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    Verify { from, until, workers }: Verify,
    mut told: impl FnMut(Epoch, u64),
) -> Result<Verified, ReplayError> {
    let lineage = core.lineage();
    let recorded = Arc::new(Recorded::read(&**log, lineage)?);
    if recorded.is_empty() {
        let others = recorded.other_lineages().iter().map(ToString::to_string).collect();
        return Err(ReplayError::NothingRecorded { lineage, others });
    }
    let found = Arc::new(Mutex::new(Found::default()));
    let sink = comparing(Arc::clone(&recorded), Arc::clone(&found));
    let position = from.as_ref().map(|from| from.position().clone());
    let mut history = History::open(core, Arc::clone(log), position.as_ref(), until)?;
    let mut folder = match from {
        Some(from) => Folder::start_from(core, workers, from, Box::new(sink))?,
        None => Folder::start(core, workers, Box::new(sink))?,
    };
    while found.lock().differs.is_none()
        && let Some((epoch, input)) = history.next_epoch()?
    {
        told(epoch, input.header.accepted);
        folder.feed(input);
    }
    let state = folder.end();
    let Found { equal, unrecorded, differs } = std::mem::take(&mut *found.lock());
    let mismatch = match differs {
        Some(folded) => {
            recorded.whole(&**log, folded.epoch)?.map(|recorded| Mismatch { recorded, folded })
        }
        None => None,
    };
    Ok(Verified { lineage, equal, unrecorded, mismatch, state })
}

fn comparing(
    recorded: Arc<Recorded>,
    found: Arc<Mutex<Found>>,
) -> impl FnMut(Committed) + Send + 'static {
    move |committed| {
        let mut found = found.lock();
        if found.differs.is_some() {
            return;
        }
        match recorded.delta_digest(committed.digest.epoch) {
            None => found.unrecorded += 1,
            Some(digest) if digest == committed.digest.delta_digest => found.equal += 1,
            Some(_) => found.differs = Some(committed.digest),
        }
    }
}
