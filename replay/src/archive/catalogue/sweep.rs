//! Objects that no manifest names: what is left behind, and who may delete it.

use std::collections::BTreeSet;

use eddyline_connect::objects::{ObjectInfo, ObjectName, ObjectStore};
use eddyline_schemas::topic::Topic;

use super::super::entry::{FileEntry, topic_folder};
use super::super::error::ArchiveError;
use super::super::manifest::Nonce;
use super::{Catalogue, Change, read_manifest};

impl Catalogue {
    /// Data objects that no live manifest entry names: left by a crash between file and manifest,
    /// or between a compaction's manifest and its deletions.
    ///
    /// Our own readers never see them, but DuckDB and its like read by pattern
    /// (`user_events/v1/**/*.parquet`) and would count their rows twice, and find there what was
    /// erased: whoever is the only writer deletes them before it goes on, and before it writes a file
    /// under the same name that a newer build would encode otherwise.
    pub fn orphans(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectInfo>, ArchiveError> {
        Ok(self.unnamed(objects(store)?))
    }

    /// Deletes what manifests since the newest full one have taken out and a death has left behind;
    /// how much. Nobody puts such an object again, so anybody may delete it at any time.
    pub fn delete_removed(&self, store: &dyn ObjectStore) -> Result<usize, ArchiveError> {
        let mut removed = BTreeSet::new();
        for number in self.full.max(1)..=self.number {
            removed.extend(read_manifest(store, number)?.0.removed);
        }
        let left: Vec<_> =
            self.orphans(store)?.into_iter().filter(|one| removed.contains(&one.name)).collect();
        left.iter().try_for_each(|orphan| store.delete(&orphan.name))?;
        Ok(left.len())
    }

    /// Deletes all that no manifest names; how much. Whoever else is at work on the archive has to
    /// leave, since that may be what it has stored and not yet committed: see [`Since`](super::Since).
    pub fn sweep(&mut self, store: &dyn ObjectStore, nonce: Nonce) -> Result<usize, ArchiveError> {
        let listed = objects(store)?;
        if self.unnamed(listed.clone()).is_empty() {
            return Ok(0);
        }
        self.claim(store, nonce)?;
        self.delete_unnamed(store, listed)
    }

    /// Writes a manifest that changes nothing: whoever else is at work loses the next number.
    pub fn claim(&mut self, store: &dyn ObjectStore, nonce: Nonce) -> Result<(), ArchiveError> {
        self.commit(store, Change { epoch: self.epoch, ..Change::default() }, nonce)
    }

    /// Deletes what lay in the archive before it was claimed and is not named; how much. What was
    /// stored later may be that of somebody who has begun since.
    pub fn delete_unnamed(
        &self,
        store: &dyn ObjectStore,
        before_claim: Vec<ObjectInfo>,
    ) -> Result<usize, ArchiveError> {
        let unnamed = self.unnamed(before_claim);
        for orphan in &unnamed {
            tracing::info!(object = %orphan.name, "no manifest names it: removed");
            store.delete(&orphan.name)?;
        }
        Ok(unnamed.len())
    }

    /// Deletes files that were stored and can never be committed, but for those that are named:
    /// somebody else's under the same names.
    pub fn withdraw(
        &self,
        store: &dyn ObjectStore,
        files: &[FileEntry],
    ) -> Result<(), ArchiveError> {
        let live: BTreeSet<&ObjectName> = self.all_files().map(|file| &file.name).collect();
        let mut unnamed = files.iter().filter(|file| !live.contains(&file.name));
        unnamed.try_for_each(|file| Ok(store.delete(&file.name)?))
    }

    fn unnamed(&self, mut listed: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        let live: BTreeSet<&ObjectName> = self.all_files().map(|file| &file.name).collect();
        listed.retain(|object| !live.contains(&object.name));
        listed
    }
}

/// Everything in the folders of an archive's files.
pub fn objects(store: &dyn ObjectStore) -> Result<Vec<ObjectInfo>, ArchiveError> {
    let mut all = Vec::new();
    for topic in Topic::ALL {
        all.extend(store.list(&topic_folder(topic))?);
    }
    Ok(all)
}
