//! The archive as the log that it was: read only, from the manifest it was opened with.
//!
//! Readers are taken to go on in order: per partition the row group they read is kept decoded, and
//! the one after it is decoded ahead on a thread of its own. So memory is that of two row groups
//! and one or two encoded files per partition, whatever the size of the archive.
//!
//! Offsets are those of the original log, holes included: a read returns no record at or beyond
//! `from` + the limit of records, so that a reader of a bound range never gets what lies behind it.
//! Of a row that was erased the record has nothing but its append time and its hash
//! ([`Record::erased`]), by which whoever folds counts it and passes over it. A row without record
//! of which the manifest does not say so is [`ReadError::Corrupt`].

mod cursor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, Guarantees, ReadBatch, ReadError, ReadLimit,
};
use eddyline_connect::objects::ObjectStore;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use super::catalogue::Catalogue;
use super::error::ArchiveError;
use super::manifest::PartitionState;
use super::row::ArchivedRow;
use cursor::{Cursor, Group, Source};

/// See the module doc.
pub struct ArchiveLog {
    source: Source,
    cursors: BTreeMap<TopicPartition, Mutex<Cursor>>,
}

impl ArchiveLog {
    /// The newest archive of a store.
    pub fn open(store: Arc<dyn ObjectStore>) -> Result<Self, ArchiveError> {
        let catalogue = Catalogue::open(&*store)?;
        Ok(Self::new(store, catalogue))
    }

    /// As a catalogue says.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, catalogue: Catalogue) -> Self {
        let partitions = catalogue.topics().iter().flat_map(|state| {
            let topic = state.topic;
            (0..)
                .zip(&state.partitions)
                .map(move |(partition, _)| TopicPartition { topic, partition })
        });
        let cursors = partitions.map(|at| (at, Mutex::default())).collect();
        Self { source: Source { store, catalogue: Arc::new(catalogue) }, cursors }
    }

    /// What it reads.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.source.catalogue
    }

    fn state(&self, partition: TopicPartition) -> Result<PartitionState, ReadError> {
        let partitions = self.partitions(partition.topic);
        let unknown = ReadError::UnknownPartition { partition, partitions };
        self.catalogue().position(partition).ok_or(unknown)
    }

    fn group_at(
        &self,
        partition: TopicPartition,
        offset: Offset,
    ) -> Result<Option<Arc<Group>>, ReadError> {
        let cursor = &self.cursors[&partition];
        let group = cursor.lock().group_at(&self.source, partition, offset);
        group.map_err(|error| self.read_error(partition, offset, error))
    }

    fn read_error(
        &self,
        partition: TopicPartition,
        offset: Offset,
        error: ArchiveError,
    ) -> ReadError {
        if let ArchiveError::Objects(_) = error {
            return ReadError::Unavailable { partition, source: Box::new(error) };
        }
        let file = self.catalogue().file_at(partition, offset);
        let offsets = file.map_or(offset..offset + 1, |file| file.first..file.last + 1);
        let reason = eddyline_connect::log::with_sources(&error);
        ReadError::Corrupt { partition, offsets, reason }
    }
}

impl EventLog for ArchiveLog {
    /// Refused: certainly not written.
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        Err(AppendError::Stopped("an archive is read only; append to the log itself".to_owned()))
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let end = self.state(partition)?.next;
        if from > end {
            return Err(ReadError::OutOfRange { partition, missing: end..from, start: 0, end });
        }
        let nothing = ReadBatch { records: Vec::new(), next: from };
        if from == end || limit.records == 0 {
            return Ok(nothing);
        }
        let stop = from.saturating_add(limit.records as u64).min(end);
        match self.group_at(partition, from)? {
            Some(group) => {
                let from_row = group.rows.partition_point(|row| row.offset < from);
                let is_last = self.source.is_last(partition, group.last);
                let after = if is_last { stop } else { stop.min(group.last + 1) };
                Ok(take(&group.rows[from_row..], after, limit))
            }
            None => Ok(ReadBatch { next: stop, ..nothing }),
        }
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.state(partition).map(|_| 0)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.state(partition).map(|state| state.next)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        let state = self.catalogue().topic(topic);
        state.map_or(0, |state| u32::try_from(state.partitions.len()).unwrap_or(u32::MAX))
    }

    /// Zeros for a topic that the archive does not have.
    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.catalogue().topic(topic).map_or([0; 16], |state| state.id)
    }

    /// Nothing is ever appended: after the first call it only waits.
    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        let all = AppendVersion(1);
        if seen >= all {
            std::thread::sleep(timeout);
        }
        all
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { whole_batches: true, dense_offsets: false, rising_append_time: false }
    }
}

/// Records of `rows` below offset `after`, up to the limit of bytes.
fn take(rows: &[ArchivedRow], after: Offset, limit: ReadLimit) -> ReadBatch {
    let mut batch = ReadBatch { records: Vec::new(), next: after };
    let mut bytes = 0_usize;
    for row in rows.iter().take_while(|row| row.offset < after) {
        bytes = bytes.saturating_add(row.payload_bytes());
        if bytes > limit.bytes && !batch.records.is_empty() {
            batch.next = row.offset;
            return batch;
        }
        let erased = || Record::erased(row.append_time(), row.record_hash);
        batch.records.push((row.offset, row.record().cloned().unwrap_or_else(erased)));
    }
    batch
}
