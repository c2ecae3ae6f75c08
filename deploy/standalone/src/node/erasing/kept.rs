//! Snapshots from before an erasure, of every lineage: where one is gone on with, a newer one comes
//! first; all others go. The one exception is what belongs to another log.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::BoxError;
use eddyline_connect::objects::{Access, ObjectStore};
use eddyline_dataflows::snapshot::SnapshotStore;
use eddyline_replay::archive::Catalogue;
use eddyline_replay::lineages::Registry;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::snapshot::SnapshotManifest;

use super::super::snapshots::open_place;
use super::Receipts;
use crate::config::Config;
use crate::exit::Outcome;

/// How long a registered lineage may take to be folded, before it is taken for one that is not.
const BEGIN: Duration = Duration::from_secs(60);

/// The store of snapshots, and of what is registered beside them.
pub(super) struct Kept {
    objects: Arc<dyn ObjectStore>,
    store: SnapshotStore,
}

impl Kept {
    /// `None` where state is kept nowhere.
    pub(super) fn open(config: &Config) -> Outcome<Option<Self>> {
        let objects = open_place(config, Access::Write)?;
        Ok(objects.map(|objects| {
            let store = SnapshotStore::new(Arc::clone(&objects), &config.core);
            Self { objects, store }
        }))
    }

    /// Whether there is a snapshot at all.
    pub(super) fn has_any(&self) -> bool {
        self.store.lineages().is_ok_and(|all| !all.is_empty())
    }

    /// Deletes snapshots from before `epoch` and counts their objects; false while a newer one is
    /// waited for. `own` is the lineage of the configuration, `catalogue` the archive's; so long it
    /// has been waited for already.
    pub(super) fn forget(
        &self,
        epoch: Epoch,
        (own, catalogue): (Lineage, &Catalogue),
        (receipts, waited): (&Receipts, Duration),
        deleted: &mut usize,
    ) -> Result<bool, BoxError> {
        let mut all = self.store.lineages()?;
        all.insert(own);
        let mut is_done = true;
        let registry = Registry::open(Arc::clone(&self.objects))?;
        for lineage in all {
            if lineage != own && self.is_of_another_log(lineage, catalogue)? {
                tracing::warn!(%lineage, "its snapshots are of another log: left alone");
                continue;
            }
            // Who folds it elsewhere writes a snapshot by and by; here it may be about to begin.
            let is_kept = lineage == own || registry.lineages().is_kept(lineage);
            let is_folded = receipts.folds(lineage) || !receipts.folds(own) || waited < BEGIN;
            if !is_kept || !is_folded {
                let objects = self.store.give_up_before(lineage, epoch)?;
                if objects > 0 {
                    tracing::warn!(
                        %lineage, before_epoch = %epoch, objects,
                        "an erased user was in its snapshots, which nobody goes on with: deleted; \
                         `replay rebuild` makes its state again"
                    );
                }
                *deleted += objects;
            } else if let Some(objects) = self.store.forget_before(lineage, epoch)? {
                *deleted += objects;
            } else {
                receipts.wish(lineage, epoch);
                is_done = false;
            }
        }
        Ok(is_done)
    }

    fn is_of_another_log(&self, lineage: Lineage, of: &Catalogue) -> Result<bool, BoxError> {
        let kept = self.store.kept(lineage)?;
        let differs = |manifest: &SnapshotManifest| {
            manifest.position.partitions.iter().any(|(at, known)| {
                of.topic(at.topic).is_some_and(|archived| archived.id != known.topic_id)
            })
        };
        Ok(kept.iter().any(differs))
    }
}
