//! Reading the newest manifest, and as many before it as it takes.

use eddyline_connect::objects::{ObjectName, ObjectStore};
use eddyline_schemas::record::Digest;

use super::super::error::ArchiveError;
use super::super::manifest::{self, Manifest};
use super::{Catalogue, broken_link};

impl Catalogue {
    /// The catalogue of an archive; an empty one where there is none.
    pub fn open(store: &dyn ObjectStore) -> Result<Self, ArchiveError> {
        let listed = store.list(&manifest::folder())?;
        let newest = listed.iter().filter_map(|object| manifest::number(&object.name)).max();
        let Some(newest) = newest else { return Ok(Self::default()) };
        Self::open_at(store, newest)
    }

    /// As of a manifest.
    pub(in super::super) fn open_at(
        store: &dyn ObjectStore,
        number: u64,
    ) -> Result<Self, ArchiveError> {
        let (newest, digest) = read_manifest(store, number)?;
        let mut chain = vec![newest];
        loop {
            let earliest = chain.last().expect("it begins with one");
            if earliest.files.is_some() || earliest.number <= 1 {
                break;
            }
            let (before, hash) = read_manifest(store, earliest.number - 1)?;
            check_link(earliest, hash)?;
            chain.push(before);
        }
        let mut catalogue = Self::default();
        for manifest in chain.iter().rev() {
            catalogue.take(manifest)?;
        }
        catalogue.digest = digest;
        catalogue.check(&manifest::name(number))?;
        Ok(catalogue)
    }

    /// Deletes the manifests before the newest full one, which no reader needs; how many.
    pub fn prune(&self, store: &dyn ObjectStore) -> Result<usize, ArchiveError> {
        let old = |name: &ObjectName| manifest::number(name).is_some_and(|one| one < self.full);
        let mut pruned = 0;
        // From the oldest on: whatever dies in between leaves no hole among those that stay.
        for object in store.list(&manifest::folder())?.iter().filter(|object| old(&object.name)) {
            store.delete(&object.name)?;
            pruned += 1;
        }
        Ok(pruned)
    }

    fn take(&mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let name = manifest::name(manifest.number);
        let broken = |error: ArchiveError| ArchiveError::damaged(&name, error.to_string());
        match &manifest.files {
            Some(files) => {
                self.files.clear();
                self.full = manifest.number;
                files.iter().try_for_each(|file| self.add(file)).map_err(broken)?;
            }
            None => {
                self.remove(&manifest.removed).map_err(broken)?;
                manifest.added.iter().try_for_each(|file| self.add(file)).map_err(broken)?;
            }
        }
        self.number = manifest.number;
        self.nonce = manifest.nonce;
        self.epoch = manifest.epoch;
        self.erasures.clone_from(&manifest.erasures);
        self.topics.clone_from(&manifest.topics);
        Ok(())
    }

    /// That the module's invariant holds.
    fn check(&self, newest: &ObjectName) -> Result<(), ArchiveError> {
        for (partition, files) in &self.files {
            if let Some(reason) = broken_link(files) {
                return Err(ArchiveError::damaged(newest, format!("{partition}: {reason}")));
            }
            let Some(last) = files.values().next_back() else { continue };
            let ends = |state: super::PartitionState| {
                state.chain == last.chain_after && state.next > last.last
            };
            if !self.position(*partition).is_some_and(ends) {
                let reason = format!("{partition}: {} is not where it ends", last.name);
                return Err(ArchiveError::damaged(newest, reason));
            }
        }
        Ok(())
    }
}

fn check_link(after: &Manifest, hash: Digest) -> Result<(), ArchiveError> {
    if after.previous == hash {
        return Ok(());
    }
    let reason =
        format!("it follows a manifest {} whose BLAKE3 is {}", after.number - 1, after.previous);
    Err(ArchiveError::damaged(&manifest::name(after.number), reason))
}

/// A manifest and the hash of its bytes.
pub(in super::super) fn read_manifest(
    store: &dyn ObjectStore,
    number: u64,
) -> Result<(Manifest, Digest), ArchiveError> {
    let name = manifest::name(number);
    let bytes = store.get(&name)?.ok_or_else(|| ArchiveError::Missing { name: name.clone() })?;
    Ok((Manifest::decode(&name, &bytes)?, Digest::of(&bytes)))
}
