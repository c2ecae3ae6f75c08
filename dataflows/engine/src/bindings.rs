//! Reading the bindings topic: what is accepted, and the records that an accepted epoch binds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadBatch, ReadLimit};
use eddyline_schemas::binding::{Accepted, Binding, BindingFold, Control, ControlAction};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::record::{Offset, RangeDigest};
use eddyline_schemas::snapshot::{LogPosition, PartitionPosition};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::at_work::{self, RecordAt, Stage};
use crate::bound::EpochInput;
use crate::error::EngineError;
use crate::intake::{Judged, PartitionClock, refused};
use crate::sequencer::epoch_input;

/// The one partition of the bindings topic.
pub(crate) const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// Follows the bindings topic from its start.
pub(crate) struct BindingReader {
    log: Arc<dyn EventLog>,
    next: Offset,
    /// State of the accepting fold.
    pub(crate) fold: BindingFold,
}

impl BindingReader {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, next: 0, fold: BindingFold::default() }
    }

    /// Goes on where a snapshot was made.
    pub(crate) fn at(log: Arc<dyn EventLog>, position: &LogPosition) -> Self {
        Self { log, next: position.next_binding, fold: position.fold.clone() }
    }

    /// Where to read next.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Whether the whole topic has been read.
    pub(crate) fn is_at_end(&self) -> Result<bool, EngineError> {
        Ok(self.next >= self.log.end_offset(BINDINGS)?)
    }

    /// What has been accepted since the last call.
    pub(crate) fn read(&mut self) -> Result<Vec<Accepted>, EngineError> {
        let batch = self.log.read(BINDINGS, self.next, READ)?;
        let mut accepted = Vec::new();
        for (offset, record) in &batch.records {
            let invalid = |source| EngineError::InvalidBinding { offset: *offset, source };
            let decoded = decode_binding(&record.value).map_err(invalid)?;
            match self.fold.step(decoded, &record.value)? {
                Ok(one) => accepted.push(one),
                Err(void) => tracing::info!(offset, ?void, "binding record is void"),
            }
        }
        self.next = batch.next;
        Ok(accepted)
    }
}

/// The records that the bindings say to pass over, anywhere in the topic.
pub(crate) fn skips(accepted: &[Accepted]) -> impl Iterator<Item = (TopicPartition, Offset)> {
    accepted.iter().filter_map(|one| match one {
        Accepted::Control(Control {
            action: ControlAction::Skip { partition, offset }, ..
        }) => Some((*partition, *offset)),
        Accepted::Control(_) | Accepted::Binding(_) | Accepted::Fence(_) => None,
    })
}

/// Judges bound records, and remembers each partition's clock.
pub(crate) struct BoundReader {
    log: Arc<dyn EventLog>,
    allowance_ms: i64,
    clocks: BTreeMap<TopicPartition, PartitionClock>,
    skipped: BTreeSet<(TopicPartition, Offset)>,
    /// Up to where each partition was judged.
    judged_to: BTreeMap<TopicPartition, Offset>,
}

impl BoundReader {
    /// Goes on where a snapshot was made; the default position is the start of the log.
    pub(crate) fn at(log: Arc<dyn EventLog>, allowance_ms: i64, position: &LogPosition) -> Self {
        let clock = |(&at, known): (&TopicPartition, &PartitionPosition)| {
            let clock = known.clock.unwrap_or(TimestampMs(i64::MIN));
            (at, PartitionClock::at(at, allowance_ms, clock))
        };
        let clocks = position.partitions.iter().map(clock).collect();
        let (skipped, judged_to) = (position.skipped.clone(), position.fold.bound().clone());
        Self { log, allowance_ms, clocks, skipped, judged_to }
    }

    /// Records to pass over.
    pub(crate) fn skipped(&self) -> &BTreeSet<(TopicPartition, Offset)> {
        &self.skipped
    }

    /// Passes over a record, wherever it is bound; to be said before the record is judged.
    pub(crate) fn skip(&mut self, partition: TopicPartition, offset: Offset) {
        self.skipped.insert((partition, offset));
    }

    /// Follows a control. A record to pass over may lie in an epoch that was bound long before:
    /// whoever folds reads all of the topic first, see [`Self::skip`]. One that is judged already
    /// is too late: the state would be another than that of a fold from the start.
    pub(crate) fn control(&mut self, control: &Control) -> Result<(), EngineError> {
        match &control.action {
            ControlAction::Skip { partition, offset } => {
                if self.skipped.insert((*partition, *offset))
                    && self.has_judged(*partition, *offset)
                {
                    return Err(EngineError::SkipTooLate {
                        partition: *partition,
                        offset: *offset,
                    });
                }
                Ok(())
            }
            // The writer of snapshots decides when it writes one; others need not.
            ControlAction::Snapshot => Ok(()),
            ControlAction::Erasure { .. } => {
                Err(EngineError::UnknownControl { epoch: control.epoch, control: "erasure" })
            }
        }
    }

    fn has_judged(&self, partition: TopicPartition, offset: Offset) -> bool {
        self.judged_to.get(&partition).is_some_and(|&to| offset < to)
    }

    /// A partition's clock so far.
    pub(crate) fn clock(&self, partition: TopicPartition) -> TimestampMs {
        self.clocks.get(&partition).map_or(TimestampMs(i64::MIN), PartitionClock::now)
    }

    /// Judges the next records of a partition; the offset to read next.
    pub(crate) fn judge(
        &mut self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<(Vec<Judged>, Offset), EngineError> {
        let batch = self.log.read(partition, from, limit)?;
        Ok(self.judge_batch(partition, &batch))
    }

    fn judge_batch(
        &mut self,
        partition: TopicPartition,
        batch: &ReadBatch,
    ) -> (Vec<Judged>, Offset) {
        let new_clock = || PartitionClock::new(partition, self.allowance_ms);
        let clock = self.clocks.entry(partition).or_insert_with(new_clock);
        let judge = |(offset, record): &(Offset, eddyline_schemas::record::Record)| {
            if self.skipped.contains(&(partition, *offset)) {
                let why = "passed over by an operator's control";
                return clock.skip(*offset, record, refused(why));
            }
            at_work::on_record(RecordAt { partition, offset: *offset });
            clock.judge(*offset, record)
        };
        let judge_all = || batch.records.iter().map(judge).collect();
        let judged = at_work::within(Stage::Intake, None, judge_all);
        self.judged_to.insert(partition, batch.next);
        (judged, batch.next)
    }

    /// Reads once of what an accepted binding bound, and checks that it is what was bound. After an
    /// error `reading` is as it was.
    pub(crate) fn read_more(&mut self, reading: &mut Reading) -> Result<Progressed, EngineError> {
        let Some(range) = reading.binding.ranges.get(reading.range) else {
            return Ok(Progressed::Whole(reading.finish()));
        };
        let (partition, epoch) = (range.partition, reading.binding.epoch);
        if self.log.topic_id(partition.topic) != range.topic_id {
            return Err(EngineError::TopicRecreated { epoch, partition });
        }
        let next = reading.next.max(range.start);
        if next < range.end {
            let records = usize::try_from(range.end - next).unwrap_or(usize::MAX).min(READ.records);
            let mut batch = self.log.read(partition, next, ReadLimit { records, ..READ })?;
            // Where offsets have holes, so many records reach beyond the range.
            batch.records.retain(|(offset, _)| *offset < range.end);
            batch.next = batch.next.min(range.end);
            let (more, after) = self.judge_batch(partition, &batch);
            if after == next {
                return Ok(Progressed::Nothing);
            }
            more.iter().for_each(|judged| reading.digest.add(judged.offset, judged.hash));
            reading.judged.extend(more);
            reading.next = after;
            if after < range.end {
                return Ok(Progressed::Part);
            }
        }
        let digest = std::mem::take(&mut reading.digest);
        if digest.count() != range.count || digest.finish() != range.digest {
            return Err(reading.changed());
        }
        reading.range += 1;
        reading.next = 0;
        Ok(Progressed::Part)
    }

    /// A read that gave nothing may be asked again only if the log says that there is something.
    pub(crate) fn check_is_there(&self, reading: &Reading) -> Result<(), EngineError> {
        let Some(range) = reading.binding.ranges.get(reading.range) else { return Ok(()) };
        let end = self.log.end_offset(range.partition)?;
        if end < range.end { Err(reading.changed()) } else { Ok(()) }
    }
}

/// A bound epoch that is being read, range by range.
#[derive(Debug)]
pub(crate) struct Reading {
    binding: Binding,
    /// The range that is being read.
    range: usize,
    /// Where to read on in it, once that has begun.
    next: Offset,
    digest: RangeDigest,
    judged: Vec<Judged>,
}

/// What one read of a bound epoch came to.
#[derive(Debug)]
pub(crate) enum Progressed {
    /// The epoch is read and is what was bound.
    Whole(EpochInput),
    /// There is more to read.
    Part,
    /// The log gave nothing.
    Nothing,
}

impl Reading {
    pub(crate) fn new(binding: Binding) -> Self {
        Self { binding, range: 0, next: 0, digest: RangeDigest::default(), judged: Vec::new() }
    }

    pub(crate) fn binding(&self) -> &Binding {
        &self.binding
    }

    fn finish(&mut self) -> EpochInput {
        let logical_time = self.binding.logical_time;
        let mut input = epoch_input(std::mem::take(&mut self.judged), logical_time);
        input.header.logical_time = logical_time;
        input
    }

    /// Where a log gave nothing though it was bound.
    pub(crate) fn changed(&self) -> EngineError {
        let range = &self.binding.ranges[self.range];
        EngineError::BoundRecordsChanged {
            epoch: self.binding.epoch,
            partition: range.partition,
            range: range.start..range.end,
        }
    }
}
