//! What may be deleted: nothing that one of the two newest snapshots needs, and nothing that a
//! snapshot in the making may need.
//!
//! Manifests go before parts, so that no manifest ever names a part that was deleted on purpose. A
//! part that nothing names may belong to a snapshot that is being written: its epoch is then above
//! that of every snapshot kept, and only parts from before the older of the two kept go.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connect::objects::{ObjectInfo, ObjectName};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::SnapshotManifest;

use super::load::LoadError;
use super::names::{Names, parse};
use super::{SnapshotError, SnapshotStore};

/// Snapshots kept.
const KEPT: usize = 2;

impl SnapshotStore {
    /// The newest snapshots whose manifest is sound and whose parts are all there, newest first,
    /// two at most. The log may be trimmed behind the last of them, if there are two.
    pub fn kept(&self, lineage: Lineage) -> Result<Vec<SnapshotManifest>, SnapshotError> {
        let names = Names::new(lineage);
        let parts = self.objects.list(&names.parts)?;
        let kept = self.newest(&names, lineage, &parts)?;
        Ok(kept.into_iter().map(|(_, manifest)| manifest).collect())
    }

    fn newest(
        &self,
        names: &Names,
        lineage: Lineage,
        parts: &[ObjectInfo],
    ) -> Result<Vec<(ObjectName, SnapshotManifest)>, SnapshotError> {
        let sizes: BTreeMap<&ObjectName, u64> =
            parts.iter().map(|info| (&info.name, info.bytes)).collect();
        let loader = self.loader(names, lineage);
        let mut kept: Vec<(ObjectName, SnapshotManifest)> = Vec::new();
        for info in self.objects.list(&names.manifests)?.into_iter().rev() {
            let manifest = match loader.any_manifest(&info.name) {
                Ok(manifest) => manifest,
                Err(LoadError::Invalid(_)) => continue,
                Err(LoadError::Objects(error)) => return Err(error.into()),
            };
            let is_there = manifest
                .parts
                .iter()
                .all(|part| sizes.get(&names.part(part)).is_some_and(|size| *size == part.size));
            // Two writers may have written the same epoch: that is one snapshot.
            let is_known = kept.iter().any(|(_, known)| known.epoch == manifest.epoch);
            if is_there && !is_known {
                kept.push((info.name, manifest));
            }
            if kept.len() == KEPT {
                break;
            }
        }
        Ok(kept)
    }

    /// Deletes what only older snapshots needed; how many objects. Nothing, while there are no two
    /// snapshots to keep.
    pub fn collect_garbage(&self, lineage: Lineage) -> Result<usize, SnapshotError> {
        let names = Names::new(lineage);
        let parts = self.objects.list(&names.parts)?;
        let kept = self.newest(&names, lineage, &parts)?;
        let Some((_, oldest)) = kept.get(KEPT - 1) else { return Ok(0) };
        self.delete_before(&names, lineage, (oldest.epoch, parts))
    }

    /// Deletes every snapshot from before `epoch`, of which an erasure says that it must go; how many
    /// objects. `None`, and nothing is deleted, while that would be all there are: a newer one is to
    /// be written first (I11).
    pub fn forget_before(
        &self,
        lineage: Lineage,
        epoch: Epoch,
    ) -> Result<Option<usize>, SnapshotError> {
        let names = Names::new(lineage);
        let parts = self.objects.list(&names.parts)?;
        let kept = self.newest(&names, lineage, &parts)?;
        let is_older = |info: &ObjectInfo| parse(&info.name).is_some_and(|(at, _)| at < epoch);
        let is_clean = !self.objects.list(&names.manifests)?.iter().any(is_older);
        match kept.first() {
            Some((_, newest)) if newest.epoch >= epoch => {
                self.delete_before(&names, lineage, (epoch, parts)).map(Some)
            }
            Some(_) | None => Ok(is_clean.then_some(0)),
        }
    }

    /// As [`Self::forget_before`] of a lineage that nobody goes on with: even all there are. What
    /// is lost with them can be folded again.
    pub fn give_up_before(&self, lineage: Lineage, epoch: Epoch) -> Result<usize, SnapshotError> {
        let names = Names::new(lineage);
        let parts = self.objects.list(&names.parts)?;
        self.delete_before(&names, lineage, (epoch, parts))
    }

    /// Every lineage of which something is there.
    pub fn lineages(&self) -> Result<BTreeSet<Lineage>, SnapshotError> {
        let all = self.objects.list(&Names::all())?;
        let lineage = |info: ObjectInfo| {
            let hex = info.name.as_str().split('/').nth(1)?;
            Some(Lineage(Digest::from_hex(hex)?))
        };
        Ok(all.into_iter().filter_map(lineage).collect())
    }

    fn delete_before(
        &self,
        names: &Names,
        lineage: Lineage,
        (before, parts): (Epoch, Vec<ObjectInfo>),
    ) -> Result<usize, SnapshotError> {
        let is_old = |info: &ObjectInfo| parse(&info.name).is_some_and(|(epoch, _)| epoch < before);
        let manifests = self.objects.list(&names.manifests)?;
        let (old, left): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_old);
        let mut deleted = 0;
        for info in &old {
            self.objects.delete(&info.name)?;
            deleted += 1;
        }
        let loader = self.loader(names, lineage);
        let mut needed: BTreeSet<ObjectName> = BTreeSet::new();
        for info in &left {
            match loader.any_manifest(&info.name) {
                Ok(manifest) => needed.extend(manifest.parts.iter().map(|part| names.part(part))),
                Err(LoadError::Invalid(_)) => {}
                Err(LoadError::Objects(error)) => return Err(error.into()),
            }
        }
        for info in parts.iter().filter(|info| is_old(info) && !needed.contains(&info.name)) {
            self.objects.delete(&info.name)?;
            deleted += 1;
        }
        Ok(deleted)
    }
}
