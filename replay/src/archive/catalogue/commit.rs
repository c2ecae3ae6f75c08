//! The next manifest: checked against what is there, written, and only then taken over.

use bytes::Bytes;
use eddyline_connect::objects::{ObjectError, ObjectName, ObjectStore};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::super::entry::FileEntry;
use super::super::erase::Erasure;
use super::super::error::ArchiveError;
use super::super::manifest::{self, Manifest, Nonce, PartitionState, TopicState};
use super::{Catalogue, Files};

/// Every so many manifests one is full.
const FULL_EVERY: u64 = 64;

/// What the next manifest changes. The files must be stored already.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The last archived epoch once it stands; never falls.
    pub epoch: Epoch,
    /// How far the topics are archived once it stands. One that is left out stays as it is.
    pub topics: Vec<TopicAdvance>,
    /// New files, those of a partition in offset order.
    pub added: Vec<FileEntry>,
    /// Files that no longer count.
    pub removed: Vec<ObjectName>,
    /// Erasures that the files carry out.
    pub erased: Vec<Erasure>,
    /// Whether to list all live files, which every 64th manifest does anyway.
    pub full: bool,
}

/// How far a topic is archived.
#[derive(Clone, Debug)]
pub struct TopicAdvance {
    /// Which.
    pub topic: Topic,
    /// Its identity, which never changes.
    pub id: [u8; 16],
    /// The first offset that is not archived, of every partition: the end of what is bound, which
    /// a log with holes may have beyond the last row.
    pub next: Vec<Offset>,
}

impl Catalogue {
    /// Writes the next manifest. On an error the catalogue is as it was; after one of the store
    /// that may pass, the same call with the same nonce may be repeated.
    pub fn commit(
        &mut self,
        store: &dyn ObjectStore,
        change: Change,
        nonce: Nonce,
    ) -> Result<(), ArchiveError> {
        let (next, manifest) = self.changed(change, nonce)?;
        let bytes = Bytes::from(manifest.encode());
        let digest = Digest::of(&bytes);
        match store.put_if_absent(&manifest::name(next.number), bytes) {
            Ok(()) => {
                *self = Self { digest, ..next };
                Ok(())
            }
            Err(ObjectError::Conflict { .. }) => {
                Err(ArchiveError::Superseded { number: next.number })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the change would make of the catalogue, but for the hash of its manifest.
    fn changed(&self, change: Change, nonce: Nonce) -> Result<(Self, Manifest), ArchiveError> {
        let mut next = self.clone();
        next.number += 1;
        next.nonce = nonce;
        next.apply(&change)?;
        let is_full = change.full || next.number.is_multiple_of(FULL_EVERY);
        if is_full {
            next.full = next.number;
        }
        let manifest = Manifest {
            number: next.number,
            previous: self.digest,
            nonce,
            epoch: next.epoch,
            topics: next.topics.clone(),
            added: change.added,
            removed: change.removed,
            files: is_full.then(|| next.all_files().cloned().collect()),
            erasures: next.erasures.clone(),
            erased: change.erased,
        };
        Ok((next, manifest))
    }

    fn apply(&mut self, change: &Change) -> Result<(), ArchiveError> {
        self.remove(&change.removed)?;
        for file in &change.added {
            self.add(file)?;
        }
        for topic in &change.topics {
            self.advance(topic)?;
        }
        let touched = change.added.iter().map(|file| file.partition);
        let removed = change.removed.iter().filter_map(|name| self.once_at(name));
        for partition in touched.chain(removed).collect::<std::collections::BTreeSet<_>>() {
            self.settle(partition)?;
        }
        if change.epoch < self.epoch {
            let reason = format!("epoch {} is before {}", change.epoch, self.epoch);
            return Err(ArchiveError::discontinuous(BINDINGS, reason));
        }
        self.epoch = change.epoch;
        self.erasures.extend(change.erased.iter().map(|erasure| erasure.first_epoch));
        Ok(())
    }

    /// Takes files out.
    pub(super) fn remove(&mut self, names: &[ObjectName]) -> Result<(), ArchiveError> {
        for name in names {
            let holder = self.files.values_mut().find_map(|files| {
                let first = files.values().find(|file| file.name == *name)?.first;
                Some((files, first))
            });
            let Some((files, first)) = holder else {
                return Err(ArchiveError::Missing { name: name.clone() });
            };
            files.remove(&first);
        }
        Ok(())
    }

    /// Puts a file in.
    pub(super) fn add(&mut self, file: &FileEntry) -> Result<(), ArchiveError> {
        let files = self.files.entry(file.partition).or_default();
        if let Some(other) = files.insert(file.first, file.clone()) {
            let reason = format!("{} and {} begin at the same offset", other.name, file.name);
            return Err(ArchiveError::discontinuous(file.partition, reason));
        }
        Ok(())
    }

    fn advance(&mut self, to: &TopicAdvance) -> Result<(), ArchiveError> {
        let at = self.topics.partition_point(|state| state.topic.name() < to.topic.name());
        if self.topics.get(at).is_none_or(|state| state.topic != to.topic) {
            let state = TopicState { topic: to.topic, id: to.id, partitions: Vec::new() };
            self.topics.insert(at, state);
        }
        let state = &mut self.topics[at];
        let whole = TopicPartition { topic: to.topic, partition: 0 };
        if state.id != to.id {
            return Err(ArchiveError::discontinuous(whole, "the topic was deleted and made again"));
        }
        if to.next.len() < state.partitions.len() {
            return Err(ArchiveError::discontinuous(whole, "the topic has lost partitions"));
        }
        state.partitions.resize(to.next.len(), PartitionState::default());
        for (partition, (state, next)) in (0..).zip(state.partitions.iter_mut().zip(&to.next)) {
            if *next < state.next {
                let at = TopicPartition { topic: to.topic, partition };
                let reason = format!("offset {next} is before {}, the archive's end", state.next);
                return Err(ArchiveError::discontinuous(at, reason));
            }
            state.next = *next;
        }
        Ok(())
    }

    /// Checks the links of a partition and takes its chain over.
    fn settle(&mut self, partition: TopicPartition) -> Result<(), ArchiveError> {
        let Some(files) = self.files.get(&partition) else { return Ok(()) };
        if let Some(reason) = broken_link(files) {
            return Err(ArchiveError::discontinuous(partition, reason));
        }
        let Some(last) = files.values().next_back().cloned() else {
            return Err(ArchiveError::discontinuous(partition, "all its files would be gone"));
        };
        let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
        let topic = self.topics.iter_mut().find(|state| state.topic == partition.topic);
        let state = topic.and_then(|state| state.partitions.get_mut(index));
        match state {
            Some(state) if state.next > last.last => {
                state.chain = last.chain_after;
                Ok(())
            }
            _ => {
                let reason = format!("{} lies beyond the archive's end", last.name);
                Err(ArchiveError::discontinuous(partition, reason))
            }
        }
    }

    /// The partition of a file that is being removed, by its folder.
    fn once_at(&self, name: &ObjectName) -> Option<TopicPartition> {
        let named = |partition: &&TopicPartition| {
            let folder = format!("/p={:04}/", partition.partition);
            let topic = format!("{}/", partition.topic);
            name.as_str().starts_with(&topic) && name.as_str().contains(&folder)
        };
        self.files.keys().find(named).copied()
    }
}

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

/// Where the files of a partition do not continue each other.
pub(in super::super) fn broken_link(files: &Files) -> Option<String> {
    let mut chain = Digest::default();
    let mut before: Option<&FileEntry> = None;
    for file in files.values() {
        if let Some(before) = before.filter(|before| before.last >= file.first) {
            return Some(format!("{} and {} overlap", before.name, file.name));
        }
        if file.chain_before != chain {
            let before = before.map_or("the beginning", |before| before.name.as_str());
            return Some(format!("{} does not continue {before}", file.name));
        }
        (chain, before) = (file.chain_after, Some(file));
    }
    None
}
