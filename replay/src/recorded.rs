//! The digests that live recorded of its epochs, read from a log or its archive.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_schemas::codec::decode_epoch_digest;
use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::ReplayError;

const DIGESTS: TopicPartition = TopicPartition { topic: Topic::Digests, partition: 0 };
const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 16 << 20 };

/// What was recorded of one lineage. Of the records of an epoch the last one counts.
#[derive(Debug, Default)]
pub struct Recorded {
    epochs: BTreeMap<Epoch, (Digest, Offset)>,
    others: BTreeSet<Lineage>,
}

impl Recorded {
    /// Reads the whole topic.
    pub fn read(log: &dyn EventLog, lineage: Lineage) -> Result<Self, ReplayError> {
        let mut recorded = Self::default();
        let (mut next, end) = (log.start_offset(DIGESTS)?, log.end_offset(DIGESTS)?);
        while next < end {
            let batch = log.read(DIGESTS, next, READ)?;
            for (offset, record) in &batch.records {
                let digest = decode(*offset, record)?;
                if digest.lineage == lineage {
                    recorded.epochs.insert(digest.epoch, (digest.delta_digest, *offset));
                } else {
                    recorded.others.insert(digest.lineage);
                }
            }
            if batch.next == next {
                break;
            }
            next = batch.next;
        }
        Ok(recorded)
    }

    /// The delta digest of an epoch, if it was recorded.
    #[must_use]
    pub fn delta_digest(&self, epoch: Epoch) -> Option<Digest> {
        self.epochs.get(&epoch).map(|(digest, _)| *digest)
    }

    /// All that was recorded of an epoch.
    pub fn whole(
        &self,
        log: &dyn EventLog,
        epoch: Epoch,
    ) -> Result<Option<EpochDigest>, ReplayError> {
        let Some(&(_, offset)) = self.epochs.get(&epoch) else { return Ok(None) };
        let batch = log.read(DIGESTS, offset, ReadLimit { records: 1, ..READ })?;
        batch.records.first().map(|(offset, record)| decode(*offset, record)).transpose()
    }

    /// How many epochs were recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.epochs.len()
    }

    /// Whether nothing was recorded of the lineage.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }

    /// Of which other lineages there are digests.
    #[must_use]
    pub fn other_lineages(&self) -> &BTreeSet<Lineage> {
        &self.others
    }
}

fn decode(offset: Offset, record: &Record) -> Result<EpochDigest, ReplayError> {
    decode_epoch_digest(&record.value).map_err(|source| ReplayError::Recorded { offset, source })
}
