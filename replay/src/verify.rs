//! Folds recorded history again and holds every epoch against what live recorded of it.
//!
//! The delta digest is a chain over all deltas, so the first epoch that differs is the first whose
//! deltas do; the digests of its shards say where. The fold stops there: what comes after differs
//! for that reason alone.
//!
//! Where rows were erased, live had folded what is gone: only what comes before can be held against
//! it. From there on history is a child lineage, of which there are digests if somebody ran it.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::snapshot::Restored;
use eddyline_dataflows::{Committed, Folder, History, StateDigest, Workers};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::Mutex;

use crate::recorded::Recorded;
use crate::{ReplayError, descended, erased_from};

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
    /// Where history is no longer what live folded.
    pub erased: Option<ErasedHistory>,
}

/// The part of history from which rows were erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedHistory {
    /// Its first epoch.
    pub from: Epoch,
    /// What it is now.
    pub lineage: Lineage,
    /// Epochs of it that were folded.
    pub epochs: u64,
    /// Those of them of which the child's own digest was recorded; all are equal.
    pub equal: u64,
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
    erased_epochs: u64,
    erased_equal: u64,
}

/// What was recorded: before the first erased row, and from there on.
struct Sides {
    live: Recorded,
    child: Option<(Epoch, Recorded)>,
}

impl Sides {
    fn read(
        log: &dyn EventLog,
        lineage: Lineage,
        child: Option<(Epoch, Lineage)>,
    ) -> Result<Self, ReplayError> {
        let child =
            child.map(|(from, child)| Ok::<_, ReplayError>((from, Recorded::read(log, child)?)));
        Ok(Self { live: Recorded::read(log, lineage)?, child: child.transpose()? })
    }

    /// What counts for an epoch, and whether that is the child's.
    fn of(&self, epoch: Epoch) -> (&Recorded, bool) {
        match &self.child {
            Some((from, child)) if epoch >= *from => (child, true),
            Some(_) | None => (&self.live, false),
        }
    }
}

/// See the module doc. `told` hears of every epoch that is read.
pub fn verify(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    how: Verify,
    told: impl FnMut(Epoch, u64),
) -> Result<Verified, ReplayError> {
    verify_erased(core, log, (how, &[]), told)
}

/// As [`verify`], of a history of which these are the first epochs that erasures changed.
pub fn verify_erased(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    (Verify { from, until, workers }, erasures): (Verify, &[Epoch]),
    mut told: impl FnMut(Epoch, u64),
) -> Result<Verified, ReplayError> {
    let lineage = core.lineage();
    let core = &descended(core, erasures, until);
    let is_in = |from: &Epoch| until.is_none_or(|until| *from <= until);
    let child = erased_from(erasures).filter(is_in).map(|from| (from, core.lineage()));
    let recorded = Arc::new(Sides::read(&**log, lineage, child)?);
    if recorded.live.is_empty() {
        let others = recorded.live.other_lineages().iter().map(ToString::to_string).collect();
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
    let Found { equal, unrecorded, differs, erased_epochs, erased_equal } =
        std::mem::take(&mut *found.lock());
    let erased = child.map(|(from, lineage)| ErasedHistory {
        from,
        lineage,
        epochs: erased_epochs,
        equal: erased_equal,
    });
    let mismatch = match differs {
        Some(folded) => recorded
            .of(folded.epoch)
            .0
            .whole(&**log, folded.epoch)?
            .map(|recorded| Mismatch { recorded, folded }),
        None => None,
    };
    Ok(Verified { lineage, equal, unrecorded, mismatch, state, erased })
}

fn comparing(
    recorded: Arc<Sides>,
    found: Arc<Mutex<Found>>,
) -> impl FnMut(Committed) + Send + 'static {
    move |committed| {
        let mut found = found.lock();
        if found.differs.is_some() {
            return;
        }
        let (recorded, is_erased) = recorded.of(committed.digest.epoch);
        let was = recorded.delta_digest(committed.digest.epoch);
        let is_equal = was == Some(committed.digest.delta_digest);
        if was.is_some() && !is_equal {
            found.differs = Some(committed.digest);
        } else if is_erased {
            found.erased_epochs += 1;
            found.erased_equal += u64::from(is_equal);
        } else if is_equal {
            found.equal += 1;
        } else {
            found.unrecorded += 1;
        }
    }
}
