//! Follows the topic of deltas: reads the partitions evenly and gives epoch after epoch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Lineage;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::Topic;

use super::assembler::{Assembler, Position, Tallies};
use super::deltas;
use super::error::DeltaError;
use super::tail::{NEWEST, seek};
use crate::log::{AppendVersion, EventLog, ReadError, ReadLimit};

/// Of one partition at a time.
const READ: ReadLimit = ReadLimit { records: 256, bytes: 4 << 20 };

/// See the module doc.
pub struct DeltaReader {
    log: Arc<dyn EventLog>,
    assembler: Assembler,
    cursors: Vec<Cursor>,
    version: AppendVersion,
}

/// Where the reader is in a partition.
#[derive(Debug)]
struct Cursor {
    /// Where it began; moved back when that proves too late.
    began: Offset,
    /// How far to move it back next.
    stride: u64,
    /// Behind what was read.
    next: Offset,
    /// Read and not yet offered.
    read: VecDeque<(Offset, Record)>,
}

impl DeltaReader {
    /// Follows `lineage` from behind `at`: what a snapshot says, or the default for all epochs.
    pub fn open(
        log: Arc<dyn EventLog>,
        lineage: Lineage,
        at: Position,
    ) -> Result<Self, DeltaError> {
        let partitions = log.partitions(Topic::Deltas);
        let cursor = |partition| {
            let began = seek(&*log, partition, (lineage, at.epoch))?;
            Ok(Cursor { began, stride: NEWEST, next: began, read: VecDeque::new() })
        };
        let cursors = (0..partitions).map(cursor).collect::<Result<_, DeltaError>>()?;
        let assembler = Assembler::new(lineage, partitions, at);
        Ok(Self { log, assembler, cursors, version: AppendVersion::default() })
    }

    /// How far it has given out epochs.
    #[must_use]
    pub fn at(&self) -> Position {
        self.assembler.at()
    }

    /// What was passed over.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.assembler.tallies()
    }

    /// Records of the topic that were not read yet.
    pub fn lag_records(&self) -> Result<u64, DeltaError> {
        let mut lag = 0;
        for (partition, cursor) in (0..).zip(&self.cursors) {
            let end = self.log.end_offset(deltas(partition))?;
            lag += end.saturating_sub(cursor.next) + cursor.read.len() as u64;
        }
        Ok(lag)
    }

    /// The next epoch, waiting for it at most so long.
    pub fn next_epoch(&mut self, timeout: Duration) -> Result<Option<EpochDeltas>, DeltaError> {
        let seen = self.log.wait(self.version, Duration::ZERO);
        if let Some(epoch) = self.poll()? {
            return Ok(Some(epoch));
        }
        self.version = self.log.wait(seen, timeout);
        self.poll()
    }

    /// The next epoch, if the log has it whole.
    pub fn poll(&mut self) -> Result<Option<EpochDeltas>, DeltaError> {
        loop {
            if let Some(epoch) = self.assembler.next_epoch()? {
                return Ok(Some(epoch));
            }
            let mut has_moved = false;
            for partition in 0..self.cursors.len() {
                has_moved |= self.advance(partition as u32)?;
            }
            if !has_moved {
                return Ok(None);
            }
        }
    }

    /// Offers what one read gives of a partition, as far as it is wanted; false when that is
    /// nothing.
    fn advance(&mut self, partition: u32) -> Result<bool, DeltaError> {
        if !self.assembler.wants(partition) {
            return Ok(false);
        }
        let cursor = &mut self.cursors[partition as usize];
        if cursor.read.is_empty() && !cursor.fill(&*self.log, partition)? {
            return Ok(false);
        }
        while self.assembler.wants(partition)
            && let Some((offset, record)) = cursor.read.front()
        {
            match self.assembler.offer(partition, *offset, record) {
                Ok(()) => drop(cursor.read.pop_front()),
                Err(gap @ DeltaError::NeedSnapshot { .. }) => {
                    let start = self.log.start_offset(deltas(partition))?;
                    if !cursor.step_back(start) {
                        return Err(gap);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Cursor {
    /// Reads on; false at the end.
    fn fill(&mut self, log: &dyn EventLog, partition: u32) -> Result<bool, DeltaError> {
        let batch = match log.read(deltas(partition), self.next, READ) {
            // Retention went past us. Whether something is missing, the next record shows.
            Err(ReadError::OutOfRange { start, end, .. }) if self.next < start && start <= end => {
                (self.began, self.next) = (start, start);
                log.read(deltas(partition), start, READ)?
            }
            read => read?,
        };
        let has_moved = batch.next > self.next;
        self.next = batch.next;
        self.read.extend(batch.records);
        Ok(has_moved)
    }

    /// Begins earlier; false when that is where the partition begins.
    fn step_back(&mut self, start: Offset) -> bool {
        if self.began <= start {
            return false;
        }
        self.began = start.max(self.began.saturating_sub(self.stride));
        self.stride *= 2;
        self.next = self.began;
        self.read.clear();
        true
    }
}
