//! Merging small files into larger ones, at a higher level, with the same rows and row digests.
//!
//! New files first, then one manifest that adds them and removes the old ones, then the old
//! objects are deleted: wherever this dies, what the newest manifest names is whole, and what else
//! lies there is an orphan. An archiver may add files meanwhile. Erased rows stay erased.

use std::collections::BTreeSet;

use bytes::Bytes;
use eddyline_connect::crash_point;
use eddyline_connect::objects::{ObjectName, ObjectStore};

use super::build::{FileBuilder, LEVEL_COMPACTED};
use super::catalogue::{Catalogue, Change};
use super::entry::FileEntry;
use super::error::ArchiveError;
use super::manifest::Nonce;
use super::read::{HashCheck, OpenFile};

/// How often a commit that loses the race against an archiver is tried again.
const TRIES: usize = 8;

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// New files.
    pub added: Vec<FileEntry>,
    /// Objects that were merged into them and deleted.
    pub removed: Vec<ObjectName>,
}

/// Merges adjacent files of each partition into ones of at most `target_bytes`. Memory is that of
/// one input and one output. After an error of the last step, the deletions, the manifest stands
/// and `catalogue` says so; what was not deleted is an orphan.
pub fn compact(
    store: &dyn ObjectStore,
    catalogue: &mut Catalogue,
    target_bytes: u64,
    nonce: Nonce,
) -> Result<Compacted, ArchiveError> {
    let mut done = Compacted::default();
    let begun_at = catalogue.number();
    let files: Vec<FileEntry> = catalogue.all_files().cloned().collect();
    for run in files.chunk_by(|a, b| a.partition == b.partition) {
        for merged in plan(run, target_bytes) {
            crash_point!("compact-merge");
            done.added.push(merge(store, merged, begun_at)?);
            crash_point!("compact-file");
            done.removed.extend(merged.iter().map(|file| file.name.clone()));
        }
    }
    if done.added.is_empty() {
        catalogue.delete_removed(store)?;
        return Ok(done);
    }
    crash_point!("compact-commit");
    if let Err(error) = replace(store, catalogue, &done, nonce) {
        if matches!(error, ArchiveError::Superseded { .. }) {
            withdraw(store, catalogue, &done)?;
        }
        return Err(error);
    }
    crash_point!("compact-committed");
    // The last look before the last other copy goes.
    done.added.iter().try_for_each(|file| fetch(store, file).map(drop))?;
    for name in &done.removed {
        store.delete(name)?;
        crash_point!("compact-deleted");
    }
    catalogue.delete_removed(store)?;
    Ok(done)
}

/// Deletes files that nobody can commit any more: the archive was claimed, or some of the files that
/// they were to replace are gone. Another compaction that began at the same manifest has given the
/// same files the same names, and may have been first.
fn withdraw(
    store: &dyn ObjectStore,
    catalogue: &Catalogue,
    done: &Compacted,
) -> Result<(), ArchiveError> {
    let since = catalogue.since(store)?;
    let live: BTreeSet<&ObjectName> = since.newest.all_files().map(|file| &file.name).collect();
    if !since.is_claimed && done.removed.iter().all(|name| live.contains(name)) {
        return Ok(());
    }
    since.newest.withdraw(store, &done.added)
}

/// Commits files in the place of others, on top of what an archiver has added meanwhile.
fn replace(
    store: &dyn ObjectStore,
    catalogue: &mut Catalogue,
    done: &Compacted,
    nonce: Nonce,
) -> Result<(), ArchiveError> {
    for _ in 0..TRIES {
        let change = Change {
            epoch: catalogue.epoch(),
            added: done.added.clone(),
            removed: done.removed.clone(),
            ..Change::default()
        };
        let superseded = match catalogue.commit(store, change, nonce) {
            Err(superseded @ ArchiveError::Superseded { .. }) => superseded,
            done => return done,
        };
        let since = catalogue.since(store)?;
        let still = |name: &ObjectName| since.newest.all_files().any(|file| file.name == *name);
        if since.is_claimed || !done.removed.iter().all(still) {
            return Err(superseded);
        }
        *catalogue = since.newest;
    }
    Err(ArchiveError::Superseded { number: catalogue.number() + 1 })
}

/// Which neighbours to merge. A group must fit the target, and no member may be most of it: else a
/// file would be written again for every small one that comes after it.
fn plan(files: &[FileEntry], target_bytes: u64) -> Vec<&[FileEntry]> {
    let mut groups = Vec::new();
    let mut rest = files;
    while !rest.is_empty() {
        let most = longest_within(rest, target_bytes);
        let found = (2..=most).rev().find(|&length| is_balanced(&rest[..length]));
        if let Some(length) = found {
            groups.push(&rest[..length]);
        }
        rest = &rest[found.unwrap_or(1)..];
    }
    groups
}

fn longest_within(files: &[FileEntry], target_bytes: u64) -> usize {
    let sums = files.iter().scan(0_u64, |sum, file| {
        *sum = sum.saturating_add(file.bytes);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= target_bytes).count()
}

fn is_balanced(files: &[FileEntry]) -> bool {
    let sizes = || files.iter().map(|file| file.bytes);
    let (all, largest) = (sizes().sum::<u64>(), sizes().max().unwrap_or(0));
    largest <= all - all / 4
}

fn merge(
    store: &dyn ObjectStore,
    files: &[FileEntry],
    begun_at: u64,
) -> Result<FileEntry, ArchiveError> {
    let first = &files[0];
    let mut builder =
        FileBuilder::new(first.partition, first.chain_before, LEVEL_COMPACTED)?.begun_at(begun_at);
    for file in files {
        let bytes = fetch(store, file)?;
        let open = OpenFile::open(file, &bytes)?;
        for group in 0..open.groups().len() {
            for row in open.rows(group, HashCheck::Recompute)? {
                builder.push(row)?;
            }
        }
        if builder.chain() != file.chain_after {
            return Err(ArchiveError::damaged(&file.name, "its rows give another row digest"));
        }
    }
    let built = builder.finish()?;
    let declared = files.iter().filter_map(|file| file.erased).map(|erased| erased.rows);
    if declared.sum::<u64>() != built.entry.erased.map_or(0, |erased| erased.rows) {
        return Err(ArchiveError::damaged(&first.name, "it lacks rows that no erasure took"));
    }
    built.store(store)
}

/// The bytes of a live file.
pub(super) fn fetch(store: &dyn ObjectStore, file: &FileEntry) -> Result<Bytes, ArchiveError> {
    store.get(&file.name)?.ok_or_else(|| ArchiveError::Missing { name: file.name.clone() })
}
