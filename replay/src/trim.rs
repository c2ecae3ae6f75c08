//! Forgetting on the log what has other copies (I11): records of inputs that are archived in files
//! that were just read whole and found sound, and that lie behind the older of two snapshots.
//!
//! Bindings and digests are never forgotten: they are small, and every fold begins with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use eddyline_connect::log::{BoxError, EventLog, ReadError};
use eddyline_connect::objects::ObjectStore;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::snapshot::SnapshotManifest;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::archive::{ArchiveError, Catalogue, FileEntry, verify_file};

/// Why nothing more is forgotten. The log keeps what it has.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// The archive is not what it says, or out of reach: nothing may be forgotten that it has.
    #[error("the archive cannot stand for the log")]
    Archive(#[from] ArchiveError),
    /// The log does not say where it starts.
    #[error("cannot read the event log")]
    Read(#[from] ReadError),
    /// The log does not forget.
    #[error("the log does not forget {partition} below offset {before}")]
    Log {
        /// Which partition.
        partition: TopicPartition,
        /// Below which offset.
        before: Offset,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// Forgets on a log what an archive has. See the module doc.
pub struct Trimmer {
    log: Arc<dyn EventLog>,
    archive: Arc<dyn ObjectStore>,
    /// Files that were found sound.
    verified: BTreeSet<Digest>,
}

/// Up to where every one of these lineages, each given by its newest snapshots, newest first, has
/// two of them; `None` when one has fewer, or there is no lineage.
#[must_use]
pub fn behind_two_snapshots(
    lineages: &[Vec<SnapshotManifest>],
) -> Option<BTreeMap<TopicPartition, Offset>> {
    let mut least: Option<BTreeMap<TopicPartition, Offset>> = None;
    for kept in lineages {
        let bound = kept.get(1)?.position.fold.bound();
        least = Some(match least {
            None => bound.clone(),
            // What one of them has not seen stays whole.
            Some(least) => {
                let both = |(at, end): (_, Offset)| Some((at, end.min(*bound.get(&at)?)));
                least.into_iter().filter_map(both).collect()
            }
        });
    }
    least
}

impl Trimmer {
    /// Forgets nothing yet.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, archive: Arc<dyn ObjectStore>) -> Self {
        Self { log, archive, verified: BTreeSet::new() }
    }

    /// Forgets, of every input partition, what is archived and lies below `behind`; where each one
    /// starts that starts later than before.
    pub fn trim(
        &mut self,
        behind: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<Vec<(TopicPartition, Offset)>, TrimError> {
        let catalogue = Catalogue::open(&*self.archive)?;
        let mut trimmed = Vec::new();
        for (&partition, &behind) in behind {
            let is_same_topic = catalogue
                .topic(partition.topic)
                .is_some_and(|state| state.id == self.log.topic_id(partition.topic));
            if !Topic::INPUTS.contains(&partition.topic) || !is_same_topic {
                continue;
            }
            let start = self.log.start_offset(partition)?;
            let before = behind.min(self.sound_until(&catalogue, partition, start..behind)?);
            if before <= start {
                continue;
            }
            let failed = |source| TrimError::Log { partition, before, source };
            self.log.trim(partition, before).map_err(failed)?;
            let now = self.log.start_offset(partition)?;
            trimmed.extend((now > start).then_some((partition, now)));
        }
        Ok(trimmed)
    }

    /// Up to where the files that hold these offsets were read and are sound.
    fn sound_until(
        &mut self,
        catalogue: &Catalogue,
        partition: TopicPartition,
        offsets: Range<Offset>,
    ) -> Result<Offset, TrimError> {
        let mut until = offsets.start;
        let holds = |file: &&FileEntry| file.first < offsets.end && file.last >= offsets.start;
        for file in catalogue.files(partition).filter(holds) {
            if !self.verified.contains(&file.blake3) {
                verify_file(&*self.archive, file)?;
                self.verified.insert(file.blake3);
            }
            until = file.last + 1;
        }
        Ok(until)
    }
}
