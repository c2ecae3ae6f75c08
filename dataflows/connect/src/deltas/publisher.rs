//! Writes the deltas of each epoch, whole and acknowledged before the next one.
//!
//! Because of that order any record of epoch e on the topic proves that all epochs before e are
//! whole, and a writer that starts again writes anew from the greatest epoch found on: equal
//! rows again, which readers pass over. It needs no producer idempotence and no fence.

use std::sync::Arc;

use eddyline_schemas::codec::encode_partition;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::deltas;
use super::error::DeltaError;
use super::tail::newest_epoch;
use crate::log::{Append, EventLog};

/// What one call wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Records; none for an epoch that was on the topic already.
    pub records: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
}

/// See the module doc.
pub struct DeltaPublisher {
    log: Arc<dyn EventLog>,
    lineage: Lineage,
    partitions: u32,
    /// The greatest epoch on the topic when it was opened, and where.
    found: Option<(Epoch, TopicPartition)>,
    /// The last epoch that is known to be whole on the topic.
    whole: Epoch,
}

impl DeltaPublisher {
    /// Reads the end of the topic, to go on behind what is there of `lineage`.
    pub fn open(log: Arc<dyn EventLog>, lineage: Lineage) -> Result<Self, DeltaError> {
        let partitions = log.partitions(Topic::Deltas);
        let mut found = None;
        for partition in 0..partitions {
            let newest = newest_epoch(&*log, partition, lineage)?;
            found = found.max(newest.map(|epoch| (epoch, deltas(partition))));
        }
        let whole = found.map_or(Epoch(0), |(epoch, _)| Epoch(epoch.0.saturating_sub(1)));
        Ok(Self { log, lineage, partitions, found, whole })
    }

    /// The greatest epoch that was on the topic when it was opened, whole or not.
    #[must_use]
    pub fn found(&self) -> Epoch {
        self.found.map_or(Epoch(0), |(epoch, _)| epoch)
    }

    /// The last epoch that is whole and acknowledged: what a snapshot may rely on (I5).
    #[must_use]
    pub fn acknowledged(&self) -> Epoch {
        self.whole
    }

    /// Halts a start whose bindings end before what was derived from them. `accepted` is the last
    /// epoch of the bindings' fold.
    pub fn check_not_ahead(&self, accepted: Epoch) -> Result<(), DeltaError> {
        match self.found {
            Some((published, partition)) if published > accepted => {
                Err(DeltaError::Ahead { lineage: self.lineage, partition, published, accepted })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Goes on behind a snapshot of `epoch`, which proves that every epoch up to it was whole on the
    /// topic (I5).
    pub fn go_on_from(&mut self, epoch: Epoch) {
        self.whole = self.whole.max(epoch);
    }

    /// Returns when the epoch is on the topic whole. After an error the same epoch may be
    /// published again, here or by a publisher that is opened anew.
    pub fn publish(&mut self, epoch: &EpochDeltas) -> Result<Published, DeltaError> {
        let (lineage, got, last) = (epoch.lineage, epoch.epoch, self.whole);
        // An empty topic may begin anywhere: a lineage that goes on from a snapshot.
        let is_first = self.found.is_none() && last == Epoch(0);
        if lineage != self.lineage || (got > last.next() && !is_first) {
            return Err(DeltaError::NotNext { lineage, last, got });
        }
        if got <= last {
            return Ok(Published::default());
        }
        let batch = batch_of(epoch, self.partitions);
        let bytes = batch.iter().map(Append::payload_bytes).sum();
        let published = Published { records: batch.len(), bytes };
        self.log.append(batch).map_err(|source| DeltaError::Append { epoch: got, source })?;
        self.whole = got;
        Ok(published)
    }
}

/// The records of an epoch on a topic of so many partitions; the same ones for equal epochs.
#[must_use]
pub fn batch_of(epoch: &EpochDeltas, partitions: u32) -> Vec<Append> {
    let mut batch = Vec::new();
    for (partition, rows) in (0..).zip(epoch.by_partition(partitions)) {
        for record in encode_partition(epoch, (partition, partitions), &rows) {
            let (key, value) = (record.key, record.value);
            batch.push(Append { partition: deltas(partition), key, value, headers: Vec::new() });
        }
    }
    batch
}
