//! A log whose oldest records were trimmed, with the archive in front of it: one log again.
//!
//! Everything is the live log's but reads of inputs below its start. The archive is opened when the
//! first such read comes, and once more when one comes that it does not reach: the log is only ever
//! trimmed behind what is archived.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, Guarantees, ReadBatch, ReadError,
    ReadLimit,
};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use super::error::ArchiveError;
use super::log::ArchiveLog;

/// Opens the newest state of an archive.
pub type OpenArchive = Box<dyn Fn() -> Result<ArchiveLog, BoxError> + Send + Sync>;

/// See the module doc.
pub struct SplicedLog {
    live: Arc<dyn EventLog>,
    open: OpenArchive,
    archive: Mutex<Option<Arc<ArchiveLog>>>,
}

impl SplicedLog {
    /// `live`, and in front of it what `open` gives.
    #[must_use]
    pub fn new(live: Arc<dyn EventLog>, open: OpenArchive) -> Self {
        Self { live, open, archive: Mutex::default() }
    }

    /// Reads on in the archive, never beyond where the live log starts.
    fn read_archive(
        &self,
        partition: TopicPartition,
        from: Offset,
        (start, limit): (Offset, ReadLimit),
    ) -> Result<ReadBatch, ReadError> {
        let archive = self.reaching(partition, from)?;
        let records = usize::try_from(start - from).unwrap_or(usize::MAX).min(limit.records);
        archive.read(partition, from, ReadLimit { records, ..limit })
    }

    /// The archive, as it was opened if that has `from`.
    fn reaching(
        &self,
        partition: TopicPartition,
        from: Offset,
    ) -> Result<Arc<ArchiveLog>, ReadError> {
        let unavailable = |source| ReadError::Unavailable { partition, source };
        let reaches = |archive: &Arc<ArchiveLog>| {
            archive.catalogue().position(partition).is_some_and(|state| from < state.next)
        };
        let mut opened = self.archive.lock();
        if let Some(archive) = opened.as_ref().filter(|archive| reaches(archive)) {
            return Ok(Arc::clone(archive));
        }
        let archive = Arc::new((self.open)().map_err(unavailable)?);
        self.check_is_of_this_log(&archive, partition).map_err(|e| unavailable(Box::new(e)))?;
        if !reaches(&archive) {
            let (start, end) = (self.live.start_offset(partition)?, self.end_offset(partition)?);
            return Err(ReadError::OutOfRange { partition, missing: from..start, start, end });
        }
        *opened = Some(Arc::clone(&archive));
        Ok(archive)
    }

    fn check_is_of_this_log(
        &self,
        archive: &ArchiveLog,
        partition: TopicPartition,
    ) -> Result<(), ArchiveError> {
        let topic = archive.catalogue().topic(partition.topic);
        if topic.is_none_or(|state| state.id == self.live.topic_id(partition.topic)) {
            return Ok(());
        }
        Err(ArchiveError::discontinuous(partition, "the archive is of another log"))
    }
}

impl EventLog for SplicedLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.live.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        // What is trimmed while it is read says so, and then it is in the archive.
        match self.live.read(partition, from, limit) {
            Err(ReadError::OutOfRange { start, .. })
                if from < start && Topic::INPUTS.contains(&partition.topic) =>
            {
                self.read_archive(partition, from, (start, limit))
            }
            read => read,
        }
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.live.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.live.end_offset(partition)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.live.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.live.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.live.wait(seen, timeout)
    }

    fn trim(&self, partition: TopicPartition, before: Offset) -> Result<(), BoxError> {
        self.live.trim(partition, before)
    }

    fn guarantees(&self) -> Guarantees {
        self.live.guarantees()
    }

    fn commit_group(&self, progress: &[(TopicPartition, Offset)]) -> Result<(), BoxError> {
        self.live.commit_group(progress)
    }
}
