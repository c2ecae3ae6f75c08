//! The event log in a folder of this machine, on the LSM tree of `fjall`.
//!
//! # Layout
//! `log/` the database; `log.lock` an advisory lock that holds the owner's pid;
//! `log.acknowledged` how many records were acknowledged (below). A new log is built in
//! `log.creating/` and renamed, so that it exists whole or not at all.
//!
//! One keyspace per partition; key = first offset (big-endian), value = a *chunk*: the records
//! that one commit wrote to that partition, with a checksum. Keys of a keyspace only grow, so the
//! tables of a partition never overlap and compaction moves them instead of rewriting them: each
//! record is written once to the journal and once to a table. That is why values are not separated
//! from keys. Tables are compressed (LZ4), the journal is not: it is short-lived, and compressing
//! it measured slower to append and to replay. Memtables are small (16 MiB per partition), because
//! the tail is served from memory of our own; there are no filters, because no read misses.
//!
//! # Durability
//! Callers that append at the same time share one commit (leader and followers). The commit is one
//! atomic write batch of the database, and `fdatasync` of its journal returns before any of them
//! does. `fdatasync` suffices: it also writes the metadata without which the data could not be read
//! again, size included; journals and folders are synced when they are created. When a commit
//! fails, its outcome is unknown and the log stops: appends and reads are refused until it is
//! opened again.
//!
//! # After a crash
//! kill -9 at any moment loses nothing that was acknowledged; what was not acknowledged is there as
//! a whole batch or not at all. A batch torn at the end of the journal is discarded when the log
//! is opened. Where the database cannot tell a torn batch from damage it refuses to open rather than
//! guess; after a power failure this can also hit a last batch that was never acknowledged. Damage
//! that cuts acknowledged records off is noticed by their number, kept beside the database without
//! a sync of its own, and refused by name. Damage within tables is noticed by checksums on read.
//! A log never returns a record that was not appended.
//!
//! # Forgetting
//! `meta` says where a trimmed partition starts, durably before the first chunk goes, so that what is
//! missing behind the start is damage and nothing else. Whole chunks go, never the last one of a
//! partition: the end is read from it.

mod acknowledged;
mod chunk;
mod committer;
pub(crate) mod folder;
mod group;
mod store;
mod tail;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::clock::Clock;
use crate::layout::LogLayout;
use crate::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, OpenError, ReadBatch, ReadError,
    ReadLimit, Signal, check_batch, check_offset, payload_bytes, with_sources,
};

use acknowledged::Acknowledged;
use chunk::Chunk;
use committer::{Committer, Request};
use folder::FolderLock;
use group::GroupCommit;
use store::Store;
use tail::Tail;

/// Most bytes of newest chunks kept in memory, over all partitions.
const TAIL_BYTES: usize = 32 << 20;

/// See the module doc.
pub struct EmbeddedLog {
    layout: LogLayout,
    clock: Arc<dyn Clock>,
    group: GroupCommit<Request, Result<Vec<Offset>, AppendError>>,
    committer: Committer,
    tail: Tail,
    stopped: OnceLock<String>,
    signal: Signal,
    store: Store,
    /// Released last.
    _lock: FolderLock,
}

impl EmbeddedLog {
    /// Opens the log in `folder`, creating both when they do not exist.
    pub fn open(
        folder: &Path,
        layout: LogLayout,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let lock = FolderLock::acquire(folder)?;
        let store = Store::open(folder, layout)?;
        let heads = store.heads(folder)?;
        let acknowledged = Acknowledged::open(folder, heads.iter().map(|head| head.end).sum())?;
        let ends = heads.iter().map(|head| head.end).collect();
        Ok(Self {
            layout,
            clock,
            group: GroupCommit::default(),
            committer: Committer::new(heads, acknowledged),
            tail: Tail::new(ends, TAIL_BYTES),
            stopped: OnceLock::new(),
            signal: Signal::default(),
            store,
            _lock: lock,
        })
    }

    fn index(&self, partition: TopicPartition) -> Result<usize, ReadError> {
        if let Some(reason) = self.stopped.get() {
            return Err(ReadError::Stopped(reason.clone()));
        }
        self.layout.index(partition).ok_or_else(|| ReadError::UnknownPartition {
            partition,
            partitions: self.layout.partitions(partition.topic),
        })
    }

    /// Run by the leader of a group, for all of it.
    fn commit(&self, group: Vec<Request>) -> Vec<Result<Vec<Offset>, AppendError>> {
        if let Some(reason) = self.stopped.get() {
            let refusal = |_| Err(AppendError::Stopped(reason.clone()));
            return group.into_iter().map(refusal).collect();
        }
        let members = group.len();
        let written = self.committer.write(group, self.clock.now(), &self.store);
        let results = match written {
            Ok(written) => {
                self.tail.publish(written.chunks);
                written.offsets.into_iter().map(Ok).collect()
            }
            Err(error) => {
                let reason = with_sources(&*error);
                // Only a leader sets it, and there is one leader at a time.
                let _ = self.stopped.set(format!("an earlier append failed: {reason}"));
                let unknown = || Err(AppendError::Unknown(reason.clone().into()));
                std::iter::repeat_with(unknown).take(members).collect()
            }
        };
        self.signal.raise();
        results
    }

    /// The chunk with the record `at`, which is below `end`, from memory or from disk.
    fn chunk_at(&self, index: usize, at: Offset, end: Offset) -> Result<Arc<Chunk>, ReadError> {
        match self.tail.chunk(index, at) {
            Some(chunk) => Ok(chunk),
            None => self.store.chunk(index, at, end),
        }
    }
}

impl EventLog for EmbeddedLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        check_batch(&batch, &self.layout)?;
        if let Some(reason) = self.stopped.get() {
            return Err(AppendError::Stopped(reason.clone()));
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (request, places) = Request::encode(&batch, &self.layout);
        drop(batch);
        let leader_died = || Err(AppendError::Unknown("the thread that wrote has panicked".into()));
        let mut next =
            self.group.submit(request, |group| self.commit(group)).unwrap_or_else(leader_died)?;
        let place = |piece: usize| {
            next[piece] += 1;
            next[piece] - 1
        };
        Ok(places.into_iter().map(place).collect())
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let index = self.index(partition)?;
        let end = self.tail.end(index);
        check_offset(partition, from, self.store.start(index), end)?;
        let mut filler = Filler::new(from, limit);
        while filler.batch.next < end {
            match self.chunk_at(index, filler.batch.next, end) {
                Ok(chunk) if filler.take(&chunk) => {}
                Ok(_) => break,
                Err(error) if filler.batch.records.is_empty() => return Err(error),
                // What lies before the fault is given first; the next read runs into it.
                Err(_) => break,
            }
        }
        Ok(filler.batch)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.index(partition).map(|index| self.store.start(index))
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.index(partition).map(|index| self.tail.end(index))
    }

    fn trim(&self, partition: TopicPartition, before: Offset) -> Result<(), BoxError> {
        let index = self.index(partition)?;
        self.store.trim(index, before.min(self.tail.end(index)))
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.layout.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.store.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.signal.wait(seen, timeout)
    }
}

/// Collects a read up to its limit.
struct Filler {
    batch: ReadBatch,
    limit: ReadLimit,
    bytes: usize,
}

impl Filler {
    fn new(from: Offset, limit: ReadLimit) -> Self {
        Self { batch: ReadBatch { records: Vec::new(), next: from }, limit, bytes: 0 }
    }

    /// Takes what fits of `chunk`, from where the batch ends; whether there is room for more.
    fn take(&mut self, chunk: &Chunk) -> bool {
        while let Some(record) = chunk.record(self.batch.next) {
            self.bytes += payload_bytes(&record.key, &record.value, &record.headers);
            let full = self.bytes > self.limit.bytes && !self.batch.records.is_empty();
            if full || self.batch.records.len() >= self.limit.records {
                return false;
            }
            self.batch.records.push((self.batch.next, record));
            self.batch.next += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::conformance::event_log::{NO_LIMIT, append_to, user_events};

    fn open(folder: &Path) -> EmbeddedLog {
        EmbeddedLog::open(folder, LogLayout::default(), Arc::new(SystemClock)).expect("it opens")
    }

    /// Chunks 0..2, 2..4 and 4..6, then damage to the one in the middle, then a new open.
    fn damaged(damage: impl FnOnce(&Store)) -> (tempfile::TempDir, EmbeddedLog) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path());
        for _ in 0..3 {
            log.append(vec![append_to(user_events(0), "", "x"); 2]).expect("appended");
        }
        damage(&log.store);
        drop(log);
        let log = open(folder.path());
        (folder, log)
    }

    fn check_corrupt(damage: impl FnOnce(&Store)) {
        let (_folder, log) = damaged(damage);
        let read = |from| log.read(user_events(0), from, NO_LIMIT);
        for from in [2, 3] {
            let error = read(from).expect_err("a damaged chunk is in the way");
            let ReadError::Corrupt { partition, offsets, .. } = error else { panic!("{error}") };
            assert_eq!((partition, offsets), (user_events(0), 2..4));
        }
        assert_eq!(read(0).expect("before the damage").next, 2);
        assert_eq!(read(4).expect("behind the damage").records.len(), 2);
    }

    #[test]
    fn a_damaged_or_missing_chunk_is_named() {
        let index = LogLayout::default().index(user_events(0)).expect("it exists");
        for value in [None, Some(&b"short"[..]), Some(b"long enough for a chunk, but is none")] {
            check_corrupt(|store| store.tamper(index, 2, value));
        }
    }

    #[test]
    fn a_log_that_is_not_sure_stops() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path());
        log.append(vec![append_to(user_events(0), "", "x")]).expect("appended");
        let seen = log.wait(AppendVersion::default(), Duration::ZERO);
        log.committer.break_acknowledged(folder.path());
        let append = || log.append(vec![append_to(user_events(0), "", "y")]);
        let unknown = append().expect_err("the file cannot be written");
        assert!(matches!(unknown, AppendError::Unknown(_)), "{unknown}");
        assert!(log.wait(seen, Duration::ZERO) > seen, "readers are told");
        let stopped = append().expect_err("nothing is written any more");
        assert!(stopped.is_certainly_not_written(), "{stopped}");
        let read = log.read(user_events(0), 0, NO_LIMIT).expect_err("nothing is read either");
        assert!(matches!(read, ReadError::Stopped(_)), "{read}");
    }
}
