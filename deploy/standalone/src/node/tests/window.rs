//! A log whose topic of deltas shows a part only: what retention took, what has not arrived.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

/// See the module doc.
pub(super) struct Window {
    log: Arc<dyn EventLog>,
    shown: Mutex<Vec<Range<Offset>>>,
}

pub(super) fn deltas_end(log: &dyn EventLog) -> Vec<Offset> {
    let end = |partition| log.end_offset(TopicPartition { topic: Topic::Deltas, partition });
    (0..log.partitions(Topic::Deltas)).map(|p| end(p).expect("it exists")).collect()
}

impl Window {
    /// Shows everything from `start` on.
    pub(super) fn from(log: &Arc<dyn EventLog>, start: Vec<Offset>) -> Arc<Self> {
        let shown = start.into_iter().map(|start| start..Offset::MAX).collect();
        Arc::new(Self { log: Arc::clone(log), shown: Mutex::new(shown) })
    }

    /// Hides what is written from now on.
    pub(super) fn close(&self) {
        let ends = deltas_end(&*self.log);
        self.shown.lock().iter_mut().zip(ends).for_each(|(shown, end)| shown.end = end);
    }

    /// Shows everything from `start` on, and nothing before.
    pub(super) fn move_to(&self, start: Vec<Offset>) {
        *self.shown.lock() = start.into_iter().map(|start| start..Offset::MAX).collect();
    }

    fn shown(&self, at: TopicPartition) -> Range<Offset> {
        match at.topic {
            Topic::Deltas => self.shown.lock()[at.partition as usize].clone(),
            _ => 0..Offset::MAX,
        }
    }
}

impl EventLog for Window {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.log.append(batch)
    }

    fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let shown = self.shown(at);
        if from < shown.start {
            let (start, end) = (shown.start, self.end_offset(at)?);
            return Err(ReadError::OutOfRange { partition: at, missing: from..start, start, end });
        }
        let mut batch = self.log.read(at, from, limit)?;
        batch.records.retain(|(offset, _)| *offset < shown.end);
        batch.next = batch.next.min(shown.end.max(from));
        Ok(batch)
    }

    fn start_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.shown(at).start)
    }

    fn end_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.log.end_offset(at)?.min(self.shown(at).end))
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.log.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.log.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.log.wait(seen, timeout)
    }
}
