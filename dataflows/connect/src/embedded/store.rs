//! The database under the embedded log: opening it, writing chunks, finding chunks.

mod create;
mod trim;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use fjall::{Database, Guard, Keyspace, PersistMode};
use parking_lot::Mutex;

use super::chunk::{Chunk, Place};
use crate::layout::{LogLayout, TOPICS};
use crate::log::{BoxError, OpenError, ReadError};

/// How much a cold read loads ahead, per partition.
const READ_AHEAD_BYTES: usize = 512 << 10;

/// See the module doc. Partitions are named by their place in the layout.
pub(super) struct Store {
    database: Database,
    meta: Keyspace,
    partitions: Vec<Partition>,
    topic_ids: [[u8; 16]; TOPICS.len()],
}

struct Partition {
    name: TopicPartition,
    chunks: Keyspace,
    /// The first offset that is kept.
    start: AtomicU64,
    /// What the last cold read loaded, contiguous.
    ahead: Mutex<Vec<Arc<Chunk>>>,
}

/// Where a partition ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) end: Offset,
    pub(super) append_time: TimestampMs,
}

impl Store {
    /// Opens the database in `folder`, or makes it, with at least the partitions of `layout`.
    pub(super) fn open(folder: &Path, layout: LogLayout) -> Result<Self, OpenError> {
        let (database, topic_ids) = create::open_or_create(folder, layout)?;
        let meta = create::meta(&database).map_err(|error| create::open_error(folder, error))?;
        let partition = |name: TopicPartition| {
            let chunks = create::keyspace(&database, name);
            let chunks = chunks.map_err(|error| create::open_error(folder, error))?;
            let start = AtomicU64::new(trim::start(&meta, name, folder)?);
            Ok(Partition { name, chunks, start, ahead: Mutex::default() })
        };
        let partitions: Result<Vec<Partition>, OpenError> = layout.all().map(partition).collect();
        let partitions = partitions?;
        Ok(Self { database, meta, partitions, topic_ids })
    }

    /// Where each partition ends: behind its last chunk.
    pub(super) fn heads(&self, folder: &Path) -> Result<Vec<Head>, OpenError> {
        let head = |partition: &Partition| {
            partition.head().map_err(|source| OpenError::Damaged {
                folder: folder.to_path_buf(),
                what: format!("the last records of {} cannot be read", partition.name),
                source: Some(source),
            })
        };
        self.partitions.iter().map(head).collect()
    }

    /// Identity of `topic`.
    pub(super) fn topic_id(&self, topic: Topic) -> [u8; 16] {
        let at = TOPICS.iter().position(|known| *known == topic);
        self.topic_ids[at.expect("TOPICS has all topics")]
    }

    /// Writes all chunks or none; when it returns they are durable.
    pub(super) fn commit(&self, chunks: &[(usize, Chunk)]) -> Result<(), BoxError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (index, chunk) in chunks {
            let key = key(chunk.offsets().start);
            batch.insert(&self.partitions[*index].chunks, key, &**chunk.value());
        }
        batch.commit().map_err(BoxError::from)
    }

    /// Overwrites a chunk, or removes it.
    #[cfg(test)]
    pub(super) fn tamper(&self, index: usize, first: Offset, value: Option<&[u8]>) {
        let chunks = &self.partitions[index].chunks;
        let done = match value {
            Some(value) => chunks.insert(key(first), value),
            None => chunks.remove(key(first)),
        };
        done.expect("the database is open");
    }

    /// The chunk with the record at `offset` of a partition that ends at `end`.
    pub(super) fn chunk(
        &self,
        index: usize,
        offset: Offset,
        end: Offset,
    ) -> Result<Arc<Chunk>, ReadError> {
        debug_assert!(offset < end, "the caller stays below the end");
        let partition = &self.partitions[index];
        let mut ahead = partition.ahead.lock();
        let at = ahead.partition_point(|chunk| chunk.offsets().end <= offset);
        if let Some(chunk) = ahead.get(at)
            && chunk.offsets().contains(&offset)
        {
            return Ok(Arc::clone(chunk));
        }
        ahead.clear();
        let found = partition.find(offset).map_err(|fault| fault.at(partition, offset, end))?;
        let found = Arc::new(found);
        ahead.push(Arc::clone(&found));
        partition.load_ahead(&mut ahead);
        Ok(found)
    }
}

impl Partition {
    fn head(&self) -> Result<Head, BoxError> {
        let Some(last) = self.chunks.last_key_value() else {
            return Ok(Head { end: 0, append_time: TimestampMs(0) });
        };
        let chunk = self.verify(last).map_err(|fault| match fault {
            Fault::Corrupt { reason, .. } => BoxError::from(reason),
            Fault::Database(error) => BoxError::from(error),
        })?;
        Ok(Head { end: chunk.offsets().end, append_time: chunk.append_time() })
    }

    /// The chunk with the record at `offset`.
    fn find(&self, offset: Offset) -> Result<Chunk, Fault> {
        let missing = |first| Fault::Corrupt { first, reason: "the records are missing" };
        let at_or_before = self.chunks.range(..=key(offset)).next_back();
        let chunk = self.verify(at_or_before.ok_or_else(|| missing(0))?)?;
        let Range { end, .. } = chunk.offsets();
        if offset < end { Ok(chunk) } else { Err(missing(end)) }
    }

    /// Adds the chunks that follow, until it is enough or one of them has a fault: that is told
    /// to whoever gets there.
    fn load_ahead(&self, ahead: &mut Vec<Arc<Chunk>>) {
        let Some(mut next) = ahead.last().map(|chunk| chunk.offsets().end) else { return };
        let mut bytes = 0;
        for entry in self.chunks.range(key(next)..) {
            let Ok(chunk) = self.verify(entry) else { return };
            bytes += chunk.value().len();
            if chunk.offsets().start != next || bytes > READ_AHEAD_BYTES {
                return;
            }
            next = chunk.offsets().end;
            ahead.push(Arc::new(chunk));
        }
    }

    fn verify(&self, entry: Guard) -> Result<Chunk, Fault> {
        let (key, value) = entry.into_inner().map_err(Fault::Database)?;
        let Ok(first) = key[..].try_into().map(Offset::from_be_bytes) else {
            return Err(Fault::Corrupt { first: 0, reason: "a key is no offset" });
        };
        let place = Place { partition: self.name, first };
        let corrupt = |reason| Fault::Corrupt { first, reason };
        Chunk::open(place, value.to_vec().into()).map_err(corrupt)
    }

    /// The first offset of the chunk behind `offset`, or `end`.
    fn next_chunk(&self, offset: Offset, end: Offset) -> Offset {
        let behind = self.chunks.range(key(offset + 1)..).next();
        let found = behind.and_then(|entry| entry.key().ok());
        let first = found.and_then(|key| key[..].try_into().ok().map(Offset::from_be_bytes));
        first.unwrap_or(end)
    }
}

/// Why a chunk cannot be had.
enum Fault {
    /// From `first` on.
    Corrupt {
        first: Offset,
        reason: &'static str,
    },
    Database(fjall::Error),
}

impl Fault {
    fn at(self, partition: &Partition, offset: Offset, end: Offset) -> ReadError {
        let name = partition.name;
        let (first, reason) = match self {
            Self::Corrupt { first, reason } => (first, reason.to_owned()),
            Self::Database(error) if is_damage(&error) => (offset, error.to_string()),
            Self::Database(error) => {
                return ReadError::Unavailable { partition: name, source: error.into() };
            }
        };
        let offsets = first..partition.next_chunk(offset, end);
        ReadError::Corrupt { partition: name, offsets, reason }
    }
}

/// Whether the database found its own files damaged, rather than failed to read them.
fn is_damage(error: &fjall::Error) -> bool {
    !matches!(
        error,
        fjall::Error::Io(_)
            | fjall::Error::Storage(fjall::LsmError::Io(_))
            | fjall::Error::Poisoned
            | fjall::Error::Locked
    )
}

fn key(first: Offset) -> [u8; 8] {
    first.to_be_bytes()
}
