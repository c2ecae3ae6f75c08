//! What waits for its files, partition by partition, and the files once they are made.

use std::collections::BTreeMap;

use eddyline_connect::log::EventLog;
use eddyline_schemas::binding::BindingFold;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::archive::{
    ArchiveError, ArchivedRow, Built, Catalogue, Change, FileBuilder, LEVEL, Nonce, TopicAdvance,
};

/// Rows that wait.
pub(super) struct Files {
    /// The row digest of each partition behind its last file.
    chains: BTreeMap<TopicPartition, Digest>,
    /// The newest manifest before the archiver claimed the archive.
    begun_at: u64,
    builders: BTreeMap<TopicPartition, FileBuilder>,
}

/// Files, and the manifest that names them.
pub(super) struct Pending {
    pub(super) files: Vec<Built>,
    pub(super) change: Change,
    pub(super) nonce: Nonce,
}

impl Files {
    /// Nothing waits behind the end of the archive.
    pub(super) fn behind(catalogue: &Catalogue) -> Self {
        let mut chains = BTreeMap::new();
        for state in catalogue.topics() {
            for (partition, position) in (0..).zip(&state.partitions) {
                chains.insert(TopicPartition { topic: state.topic, partition }, position.chain);
            }
        }
        // Its claim is the catalogue's newest manifest, and nobody else's.
        let begun_at = catalogue.number().saturating_sub(1);
        Self { chains, begun_at, builders: BTreeMap::new() }
    }

    pub(super) fn rows(&self) -> u64 {
        self.builders.values().map(FileBuilder::rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.builders.values().map(FileBuilder::bytes).sum()
    }

    /// Events that ask for an erasure.
    pub(super) fn requests(&self) -> u64 {
        self.builders.values().map(FileBuilder::requests).sum()
    }

    pub(super) fn push(
        &mut self,
        partition: TopicPartition,
        rows: Vec<ArchivedRow>,
    ) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let builder = match self.builders.entry(partition) {
            std::collections::btree_map::Entry::Occupied(builder) => builder.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let chain = self.chains.get(&partition).copied().unwrap_or_default();
                place.insert(FileBuilder::new(partition, chain, LEVEL)?.begun_at(self.begun_at))
            }
        };
        rows.into_iter().try_for_each(|row| builder.push(row))
    }

    /// Makes files of all that waits.
    pub(super) fn finish(
        &mut self,
        epoch: Epoch,
        topics: Vec<TopicAdvance>,
    ) -> Result<Pending, ArchiveError> {
        let mut files = Vec::with_capacity(self.builders.len());
        for (partition, builder) in std::mem::take(&mut self.builders) {
            let file = builder.finish()?;
            self.chains.insert(partition, file.entry.chain_after);
            files.push(file);
        }
        let added = files.iter().map(|file| file.entry.clone()).collect();
        let change = Change { epoch, topics, added, ..Change::default() };
        Ok(Pending { files, change, nonce: Nonce(eddyline_connect::random::bytes()) })
    }
}

/// How far every topic is archived: the inputs up to what is bound, the others as `next` says.
pub(super) fn advances(
    log: &dyn EventLog,
    fold: &BindingFold,
    next: &[(TopicPartition, Offset)],
) -> Vec<TopicAdvance> {
    let mut ends: BTreeMap<Topic, Vec<Offset>> = BTreeMap::new();
    let bound = fold.bound().iter().map(|(partition, end)| (*partition, *end));
    for (partition, end) in bound.chain(next.iter().copied()) {
        let ends = ends.entry(partition.topic).or_default();
        let at = partition.partition as usize;
        ends.resize(ends.len().max(at + 1), 0);
        ends[at] = end;
    }
    let advance = |(topic, next)| TopicAdvance { topic, id: log.topic_id(topic), next };
    ends.into_iter().map(advance).collect()
}
