//! The event log as one simulated process sees it.

use std::sync::Arc;
use std::time::Duration;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::{Fault, Injector, Operation, SimDisk};
use crate::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit, check_batch,
    check_offset,
};

/// See the module doc.
pub struct SimLog {
    disk: Arc<SimDisk>,
    faults: Arc<Injector>,
}

impl SimLog {
    /// The handle of the process whose faults these are.
    #[must_use]
    pub fn new(disk: Arc<SimDisk>, faults: Arc<Injector>) -> Self {
        Self { disk, faults }
    }

    /// What goes wrong with its operations.
    #[must_use]
    pub fn faults(&self) -> &Injector {
        &self.faults
    }

    fn write(&self, batch: Vec<Append>, fault: Fault) -> Result<Vec<Offset>, AppendError> {
        let unknown = || AppendError::Unknown("the reply was lost".into());
        match fault {
            Fault::None | Fault::Stale => Ok(self.disk.append(batch)),
            Fault::Duplicate => {
                self.disk.send_later(batch.clone());
                Ok(self.disk.append(batch))
            }
            Fault::LoseReply => {
                self.disk.append(batch);
                Err(unknown())
            }
            Fault::Vanish => Err(unknown()),
            Fault::Delay => {
                self.disk.send_later(batch);
                Err(unknown())
            }
            Fault::Tear => {
                self.disk.append(self.prefix(batch));
                Err(unknown())
            }
            Fault::Unavailable => Err(AppendError::Unavailable("simulated".into())),
            Fault::CrashBefore => Err(self.die()),
            Fault::CrashAfter => {
                self.disk.append(batch);
                Err(self.die())
            }
            Fault::TearAndCrash => {
                self.disk.append(self.prefix(batch));
                Err(self.die())
            }
        }
    }

    fn prefix(&self, mut batch: Vec<Append>) -> Vec<Append> {
        batch.truncate(self.faults.below(batch.len() as u64) as usize);
        batch
    }

    fn die(&self) -> AppendError {
        self.faults.kill();
        AppendError::Stopped(DEAD.into())
    }

    /// Whether a read sees everything; what kills or fails is an error.
    fn read_fault(&self, partition: TopicPartition) -> Result<bool, ReadError> {
        let layout = self.disk.layout();
        if !layout.has(partition) {
            let partitions = layout.partitions(partition.topic);
            return Err(ReadError::UnknownPartition { partition, partitions });
        }
        match self.faults.decide(Operation::Read) {
            Fault::CrashBefore => {
                self.faults.kill();
                Err(ReadError::Stopped(DEAD.into()))
            }
            Fault::Unavailable => {
                Err(ReadError::Unavailable { partition, source: "simulated".into() })
            }
            fault => Ok(fault != Fault::Stale),
        }
    }
}

const DEAD: &str = "the simulated process is dead";

impl EventLog for SimLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        check_batch(&batch, &self.disk.layout())?;
        let operation = if batch.len() > 1 { Operation::WriteMany } else { Operation::Write };
        let fault = self.faults.decide(operation);
        self.write(batch, fault)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let sees_all = self.read_fault(partition)?;
        check_offset(partition, from, 0, self.disk.end(partition))?;
        let limit = match sees_all {
            true => limit.records,
            false => limit.records.min(self.faults.below(3) as usize),
        };
        let records = self.disk.records(partition, from, limit);
        let records: Vec<_> = (from..).zip(records).collect();
        let next = from + records.len() as Offset;
        Ok(ReadBatch { records, next })
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.read_fault(partition).map(|_| 0)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.read_fault(partition).map(|_| self.disk.end(partition))
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.disk.layout().partitions(topic)
    }

    /// Given, not drawn, so that one seed makes one world.
    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        let mut id = [0; 16];
        id[..topic.name().len()].copy_from_slice(topic.name().as_bytes());
        id
    }

    /// Never blocks: a simulated process has all the time that it is given.
    fn wait(&self, _: AppendVersion, _: Duration) -> AppendVersion {
        AppendVersion(self.disk.appends())
    }
}
