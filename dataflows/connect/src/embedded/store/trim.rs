//! Forgetting the oldest chunks of a partition.
//!
//! `meta` holds, for each partition that was ever trimmed, `start/<topic>-<partition>` → its first
//! offset (u64, little-endian). That is durable before the first chunk goes; chunks in front of it
//! that a crash left behind go with the next trim.

use std::sync::atomic::Ordering;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use fjall::{Keyspace, PersistMode};

use super::create::open_error;
use super::{Partition, Store, key};
use crate::log::{BoxError, OpenError};

/// Chunks that go with one write batch.
const AT_ONCE: usize = 4_096;

fn name(partition: TopicPartition) -> String {
    format!("start/{}-{}", partition.topic, partition.partition)
}

/// Where `partition` starts.
pub(super) fn start(
    meta: &Keyspace,
    partition: TopicPartition,
    folder: &std::path::Path,
) -> Result<Offset, OpenError> {
    let found = meta.get(name(partition)).map_err(|error| open_error(folder, error))?;
    let Some(bytes) = found else { return Ok(0) };
    bytes[..].try_into().map(Offset::from_le_bytes).map_err(|_| OpenError::Damaged {
        folder: folder.to_path_buf(),
        what: format!("where {partition} starts is no offset"),
        source: None,
    })
}

impl Store {
    /// The first offset of a partition that is kept.
    pub(crate) fn start(&self, index: usize) -> Offset {
        self.partitions[index].start.load(Ordering::Acquire)
    }

    /// Forgets the chunks of a partition that lie below `before` as a whole, but for its last one.
    pub(crate) fn trim(&self, index: usize, before: Offset) -> Result<(), BoxError> {
        let partition = &self.partitions[index];
        let kept = partition.chunks.range(..=key(before)).next_back();
        let Some(kept) = kept else { return Ok(()) };
        let start = partition.first_of(kept)?;
        if start <= self.start(index) {
            return Ok(());
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.meta, name(partition.name), start.to_le_bytes());
        batch.commit()?;
        partition.start.store(start, Ordering::Release);
        loop {
            let oldest: Vec<Offset> = partition
                .chunks
                .range(..key(start))
                .take(AT_ONCE)
                .map(|entry| partition.first_of(entry))
                .collect::<Result<_, _>>()?;
            let mut batch = self.database.batch();
            oldest.iter().for_each(|first| batch.remove(&partition.chunks, key(*first)));
            batch.commit()?;
            if oldest.len() < AT_ONCE {
                return Ok(());
            }
        }
    }
}

impl Partition {
    fn first_of(&self, entry: fjall::Guard) -> Result<Offset, BoxError> {
        let key = entry.key()?;
        let broken = |_| format!("a key of {} is no offset", self.name);
        Ok(Offset::from_be_bytes(key[..].try_into().map_err(broken)?))
    }
}
