//! What the archiving thread does about users who asked to be forgotten: the archive, then the
//! snapshots, then the receipt.
//!
//! All of it can be taken up again anywhere: what is to be erased stands in the archive, what has no
//! receipt stands in its manifests. A pass reads the whole archive, so it takes all requests that are
//! there by then, and is followed by nine times as long without one.

mod kept;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::objects::ObjectStore;
use eddyline_dataflows::snapshot::SnapshotWish;
use eddyline_replay::archive::{
    ArchiveError, Catalogue, Outstanding, Surroundings, outstanding, receipts, write_receipt,
};
use eddyline_replay::archiver::{Archiver, ArchiverError};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use eddyline_serving::http::operations::Erasure;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::Config;
use crate::exit::Outcome;
use kept::Kept;

/// Rest after a pass, in times of what it took.
const REST: u32 = 9;

/// How often it is looked whether a newer snapshot is there, where one can be asked for …
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// … and where another process writes them.
const LOOK_EVERY_ELSEWHERE: Duration = Duration::from_secs(10);

type ByRequest = BTreeMap<(TopicPartition, Offset), Arc<Value>>;

/// The receipts that are there, by the event that asked, for whoever does not own the archive.
#[derive(Clone, Default)]
pub(super) struct Receipts {
    by_request: Arc<Mutex<ByRequest>>,
    wishes: Arc<Mutex<BTreeMap<Lineage, SnapshotWish>>>,
}

impl Receipts {
    /// Those of an archive.
    pub(super) fn read(objects: &dyn ObjectStore) -> Result<Self, ArchiveError> {
        let all = Self::default();
        all.take(receipts(objects)?);
        Ok(all)
    }

    fn take(&self, receipts: Vec<Value>) {
        let mut by_request = self.by_request.lock();
        for receipt in receipts {
            if let Some(request) = request_of(&receipt) {
                by_request.insert(request, Arc::new(receipt));
            }
        }
    }

    /// How far the erasure of a request is.
    pub(super) fn of(&self, partition: TopicPartition, offset: Offset) -> Erasure {
        let found = self.by_request.lock().get(&(partition, offset)).cloned();
        found.map_or(Erasure::Pending, Erasure::Done)
    }

    /// Lets erasures ask for a snapshot of a lineage that this process folds.
    pub(super) fn may_wish(&self, lineage: Lineage, wish: SnapshotWish) {
        self.wishes.lock().insert(lineage, wish);
    }

    /// The lineage is folded here no more.
    pub(super) fn wishes_no_more(&self, lineage: Lineage) {
        self.wishes.lock().remove(&lineage);
    }

    /// Asks for a snapshot as of `epoch` or later, if this process folds the lineage.
    fn wish(&self, lineage: Lineage, epoch: Epoch) {
        self.wishes.lock().get(&lineage).into_iter().for_each(|wish| wish.want(epoch));
    }

    fn folds(&self, lineage: Lineage) -> bool {
        self.wishes.lock().contains_key(&lineage)
    }
}

fn request_of(receipt: &Value) -> Option<(TopicPartition, Offset)> {
    let request = &receipt["request"];
    let topic = Topic::from_name(request["topic"].as_str()?)?;
    let partition = u32::try_from(request["partition"].as_u64()?).ok()?;
    Some((TopicPartition { topic, partition }, request["offset"].as_u64()?))
}

/// See the module doc.
pub(super) struct Erasing {
    objects: Arc<dyn ObjectStore>,
    snapshots: Option<Kept>,
    lineage: Lineage,
    around: Surroundings,
    receipts: Receipts,
    /// What has no receipt yet; `None` when that is not known.
    outstanding: Option<VecDeque<Outstanding>>,
    /// Objects of older snapshots that were deleted for the first one.
    deleted: usize,
    rests_until: Option<Instant>,
    looks_at: Option<Instant>,
    /// For the snapshots of the first one.
    waits_since: Option<Instant>,
}

impl Erasing {
    pub(super) fn new(
        config: &Config,
        objects: Arc<dyn ObjectStore>,
        receipts: Receipts,
    ) -> Outcome<Self> {
        Ok(Self {
            objects,
            snapshots: Kept::open(config)?,
            lineage: config.core.lineage(),
            around: surroundings(config),
            receipts,
            outstanding: None,
            deleted: 0,
            rests_until: None,
            looks_at: None,
            waits_since: None,
        })
    }

    /// Whether the last pass is so recent that no other one begins.
    pub(super) fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Does one thing; false when there is nothing to do now. After an error that may pass it can be
    /// called again.
    pub(super) fn step(
        &mut self,
        archiver: &mut Archiver,
        is_closing: bool,
    ) -> Result<bool, ArchiverError> {
        if archiver.is_asked_to_erase() && (!self.rests() || is_closing) {
            let began = Instant::now();
            let done = archiver.erase()?;
            self.rests_until = Some(Instant::now() + began.elapsed() * REST);
            self.outstanding = None;
            let (erasures, files) = (done.erasures.len(), done.added.len());
            tracing::info!(erasures, files, "users are erased from the archive");
            return Ok(true);
        }
        if self.outstanding.is_none() {
            let found = outstanding(&*self.objects, archiver.catalogue())?;
            self.outstanding = Some(found.into());
        }
        let first = self.outstanding.as_ref().and_then(VecDeque::front).cloned();
        let Some(first) = first else { return Ok(false) };
        self.settle(&first, archiver.catalogue(), is_closing)
    }

    /// Snapshots, then the receipt.
    fn settle(
        &mut self,
        first: &Outstanding,
        catalogue: &Catalogue,
        is_closing: bool,
    ) -> Result<bool, ArchiverError> {
        if !is_closing && self.looks_at.is_some_and(|at| Instant::now() < at) {
            return Ok(false);
        }
        let is_here = self.receipts.folds(self.lineage);
        let pause = if is_here { LOOK_EVERY } else { LOOK_EVERY_ELSEWHERE };
        self.looks_at = Some(Instant::now() + pause);
        let epoch = first.erasure.until;
        let Some(snapshots) = self.forget_snapshots(epoch, catalogue) else { return Ok(false) };
        let around = Surroundings { snapshots, ..self.around.clone() };
        let receipt = write_receipt(&*self.objects, first, &around)?;
        self.receipts.take(vec![receipt]);
        if let Some(rest) = &mut self.outstanding {
            rest.pop_front();
        }
        (self.deleted, self.looks_at, self.waits_since) = (0, None, None);
        tracing::info!(number = first.erasure.number, "an erasure is over, its receipt written");
        Ok(true)
    }

    /// What was deleted of them; `None` while there is none that is new enough.
    fn forget_snapshots(
        &mut self,
        epoch: Epoch,
        catalogue: &Catalogue,
    ) -> Option<Option<(usize, Epoch)>> {
        let Some(kept) = &self.snapshots else { return Some(None) };
        let waited = self.waits_since.get_or_insert_with(Instant::now).elapsed();
        let (receipts, deleted) = ((&self.receipts, waited), &mut self.deleted);
        match kept.forget(epoch, (self.lineage, catalogue), receipts, deleted) {
            Ok(true) => Some((self.deleted > 0 || kept.has_any()).then_some((self.deleted, epoch))),
            Ok(false) => None,
            Err(error) => {
                let error = &*error as &dyn std::error::Error;
                tracing::warn!(error, "older snapshots still hold erased users: will try again");
                None
            }
        }
    }
}

fn surroundings(config: &Config) -> Surroundings {
    let url = &config.log.url;
    let is_embedded = url.starts_with("embedded:");
    let log = match (config.archive.trim_log, is_embedded) {
        (true, _) => {
            "the log keeps the user's records until it is trimmed: behind two snapshots from after \
             the request"
        }
        (false, true) => {
            "the embedded log keeps the user's records: it is never trimmed while archive.trim_log is \
             off"
        }
        (false, false) => {
            "the topics of the log keep the user's records until their retention ends; where it is \
             unlimited, for ever"
        }
    };
    let deltas = match is_embedded {
        true => "only in memory",
        false => {
            "the user's rows are null from the epoch of the request on; older records of the topic \
             stay until its retention ends"
        }
    };
    let has_store = !config.features.is_in_process();
    let forgot = "the user's document is deleted with the epoch of the request";
    Surroundings {
        snapshots: None,
        log: log.to_owned(),
        deltas: deltas.to_owned(),
        feature_store: has_store.then(|| forgot.to_owned()),
    }
}
