//! The event log in memory: for tests, and for runs whose input can be read again.
//!
//! "Durable" means until the process ends. All records stay in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::RwLock;

use crate::clock::Clock;
use crate::layout::{LogLayout, TOPICS};
use crate::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, ReadBatch, ReadError, ReadLimit,
    Signal, check_batch, check_offset, payload_bytes,
};

/// See the module doc.
pub struct MemoryLog {
    layout: LogLayout,
    clock: Arc<dyn Clock>,
    /// One per partition, in the order of [`LogLayout::all`].
    partitions: RwLock<Vec<Partition>>,
    topic_ids: [[u8; 16]; TOPICS.len()],
    signal: Signal,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Offset of the first record that is kept.
    start: Offset,
    records: VecDeque<Record>,
}

impl Partition {
    fn end(&self) -> Offset {
        self.start + self.records.len() as Offset
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new(layout: LogLayout, clock: Arc<dyn Clock>) -> Self {
        Self {
            layout,
            clock,
            partitions: RwLock::new(vec![Partition::default(); layout.all().count()]),
            topic_ids: TOPICS.map(|_| crate::random::bytes()),
            signal: Signal::default(),
        }
    }

    fn index(&self, partition: TopicPartition) -> Result<usize, ReadError> {
        self.layout.index(partition).ok_or_else(|| ReadError::UnknownPartition {
            partition,
            partitions: self.layout.partitions(partition.topic),
        })
    }
}

impl EventLog for MemoryLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        check_batch(&batch, &self.layout)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut partitions = self.partitions.write();
        let now = self.clock.now();
        let offsets = batch
            .into_iter()
            .map(|append| {
                let index = self.layout.index(append.partition).expect("the batch was checked");
                push(&mut partitions[index], append, now)
            })
            .collect();
        drop(partitions);
        self.signal.raise();
        Ok(offsets)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let index = self.index(partition)?;
        let partitions = self.partitions.read();
        let Partition { start, records } = &partitions[index];
        check_offset(partition, from, *start, partitions[index].end())?;
        let mut batch = ReadBatch { records: Vec::new(), next: from };
        let mut bytes = 0;
        for record in records.range((from - start) as usize..) {
            bytes += payload_bytes(&record.key, &record.value, &record.headers);
            let full = bytes > limit.bytes && !batch.records.is_empty();
            if full || batch.records.len() == limit.records {
                break;
            }
            batch.records.push((batch.next, record.clone()));
            batch.next += 1;
        }
        Ok(batch)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        let index = self.index(partition)?;
        Ok(self.partitions.read()[index].start)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        let index = self.index(partition)?;
        Ok(self.partitions.read()[index].end())
    }

    fn trim(&self, partition: TopicPartition, before: Offset) -> Result<(), BoxError> {
        let index = self.index(partition)?;
        let mut partitions = self.partitions.write();
        let Partition { start, records } = &mut partitions[index];
        let forgotten = before.saturating_sub(*start).min(records.len() as Offset);
        drop(records.drain(..forgotten as usize));
        *start += forgotten;
        Ok(())
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.layout.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        let at = TOPICS.iter().position(|known| *known == topic);
        self.topic_ids[at.expect("TOPICS has all topics")]
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.signal.wait(seen, timeout)
    }
}

fn push(partition: &mut Partition, append: Append, now: TimestampMs) -> Offset {
    let (offset, records) = (partition.end(), &mut partition.records);
    let append_time = records.back().map_or(now, |last| last.append_time.max(now));
    let Append { key, value, headers, .. } = append;
    records.push_back(Record { append_time, key, value, headers, erased: None });
    offset
}
