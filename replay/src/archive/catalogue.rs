//! Which files are live: the newest manifest, and how the next one is written.
//!
//! A catalogue is a value: it changes only when its own commit stands. What it vouches for per
//! partition: the files are in offset order, none overlaps, the chain of each begins where that of
//! the one before ends, and the last ends in the partition's state.

mod commit;
mod open;
mod since;
mod sweep;

use std::collections::BTreeMap;

use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};

pub use commit::{Change, TopicAdvance};
pub use since::Since;
pub use sweep::objects;

use super::entry::FileEntry;
use super::manifest::{Nonce, PartitionState, TopicState};

pub(super) use commit::broken_link;
pub(super) use open::read_manifest;

/// See the module doc. The default is an empty archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    number: u64,
    /// Number of the newest full manifest.
    full: u64,
    digest: Digest,
    nonce: Nonce,
    epoch: Epoch,
    topics: Vec<TopicState>,
    files: BTreeMap<TopicPartition, Files>,
    erasures: Vec<Epoch>,
}

/// The files of a partition by their first offset.
pub(super) type Files = BTreeMap<Offset, FileEntry>;

impl Catalogue {
    /// Number of the newest manifest; 0 when there is none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The nonce of its writer.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Every record bound up to this epoch is archived.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The topics, in the order of their names.
    #[must_use]
    pub fn topics(&self) -> &[TopicState] {
        &self.topics
    }

    /// One of them.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> Option<&TopicState> {
        self.topics.iter().find(|state| state.topic == topic)
    }

    /// How far a partition is archived; `None` when the archive does not have it.
    #[must_use]
    pub fn position(&self, partition: TopicPartition) -> Option<PartitionState> {
        let at = usize::try_from(partition.partition).ok()?;
        self.topic(partition.topic)?.partitions.get(at).copied()
    }

    /// The first epoch that each erasure so far has changed, in their order; 0 of one that found
    /// nothing.
    #[must_use]
    pub fn erasures(&self) -> &[Epoch] {
        &self.erasures
    }

    /// Events that ask for an erasure which is not carried out.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.all_files().map(|file| file.requests).sum()
    }

    /// The live files of a partition, in offset order.
    pub fn files(&self, partition: TopicPartition) -> impl Iterator<Item = &FileEntry> {
        self.files.get(&partition).into_iter().flat_map(BTreeMap::values)
    }

    /// All live files, by partition and offset.
    pub fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.values().flat_map(BTreeMap::values)
    }

    /// The file that holds `offset` or, where that is a hole of the log, the next one after it.
    #[must_use]
    pub fn file_at(&self, partition: TopicPartition, offset: Offset) -> Option<&FileEntry> {
        let files = self.files.get(&partition)?;
        let before = files.range(..=offset).next_back().map(|(_, file)| file);
        before.filter(|file| file.last >= offset).or_else(|| {
            let (_, after) = files.range(offset..).next()?;
            Some(after)
        })
    }

    /// The file of a partition after this one.
    #[must_use]
    pub fn file_after(&self, file: &FileEntry) -> Option<&FileEntry> {
        let files = self.files.get(&file.partition)?;
        files.range(file.last + 1..).next().map(|(_, after)| after)
    }

    /// The file of a partition before this one.
    #[must_use]
    pub fn file_before(&self, file: &FileEntry) -> Option<&FileEntry> {
        let files = self.files.get(&file.partition)?;
        files.range(..file.first).next_back().map(|(_, before)| before)
    }
}
