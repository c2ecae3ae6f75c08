//! Recorded history: the epochs of a log as its bindings make them, one at a time, and where the
//! log is read on after each. Whatever folds again reads through this: nothing is cut anew.
//!
//! The log may be the live one or its archive. It is checked that it holds what was bound.

use std::collections::VecDeque;
use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::{Accepted, BindingFold};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::snapshot::{LogPosition, PartitionPosition};
use eddyline_schemas::time::TimestampMs;

use crate::bindings::{BINDINGS, BindingReader, BoundReader, Progressed, Reading, skips};
use crate::bound::EpochInput;
use crate::error::EngineError;

const READ: ReadLimit = ReadLimit { records: 1_024, bytes: 4 << 20 };

/// See the module doc.
pub struct History {
    log: Arc<dyn EventLog>,
    bindings: Steps,
    bound: BoundReader,
    /// An epoch whose binding was followed and whose records are not all read yet.
    reading: Option<Reading>,
    until: Option<Epoch>,
}

/// The bindings topic, folded one record at a time, so that the fold is never ahead of an epoch.
struct Steps {
    read: VecDeque<(Offset, Record)>,
    /// Behind the last record that was folded.
    next: Offset,
    /// Behind the last record that was read.
    read_to: Offset,
    fold: BindingFold,
    /// When the binding of the last epoch was appended.
    bound_at: TimestampMs,
}

impl History {
    /// The history of `log` from its start, or behind a snapshot, up to the end of `until` or of
    /// what is bound.
    pub fn open(
        core: &CoreConfig,
        log: Arc<dyn EventLog>,
        from: Option<&LogPosition>,
        until: Option<Epoch>,
    ) -> Result<Self, EngineError> {
        let start = LogPosition::default();
        let position = from.unwrap_or(&start);
        let mut bound = BoundReader::at(Arc::clone(&log), core.late_allowance_ms(), position);
        let mut ahead = BindingReader::at(Arc::clone(&log), position);
        while !ahead.is_at_end()? {
            skips(&ahead.read()?).for_each(|(partition, offset)| bound.skip(partition, offset));
        }
        Ok(Self { log, bindings: Steps::at(position), bound, reading: None, until })
    }

    /// The next epoch; `None` behind the last one that is bound now, and asked again later, what was
    /// bound meanwhile. After an error that may pass it can be called again too.
    pub fn next_epoch(&mut self) -> Result<Option<(Epoch, EpochInput)>, EngineError> {
        if self.reading.is_none() && !self.follow_bindings()? {
            return Ok(None);
        }
        while let Some(reading) = &mut self.reading {
            match self.bound.read_more(reading)? {
                Progressed::Part => {}
                Progressed::Nothing => return Err(reading.changed()),
                Progressed::Whole(input) => {
                    self.reading = None;
                    return Ok(Some((self.epoch(), input)));
                }
            }
        }
        Ok(None)
    }

    /// Follows the bindings up to the one of the next epoch; false where there is none.
    fn follow_bindings(&mut self) -> Result<bool, EngineError> {
        if self.until.is_some_and(|until| self.epoch() >= until) {
            return Ok(false);
        }
        while let Some(accepted) = self.bindings.step(&*self.log)? {
            match accepted {
                Accepted::Binding(binding) => {
                    self.reading = Some(Reading::new(binding));
                    return Ok(true);
                }
                Accepted::Control(control) => self.bound.control(&control)?,
                Accepted::Fence(_) => {}
            }
        }
        Ok(false)
    }

    /// The last epoch that was read.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.bindings.fold.epoch()
    }

    /// Where the log is read on after the last epoch that was read.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        let fold = &self.bindings.fold;
        let partition = |at: &eddyline_schemas::topic::TopicPartition| {
            let clock = Some(self.bound.clock(*at)).filter(|clock| clock.0 > i64::MIN);
            (*at, PartitionPosition { topic_id: self.log.topic_id(at.topic), clock })
        };
        LogPosition {
            partitions: fold.bound().keys().map(partition).collect(),
            skipped: self.bound.skipped().clone(),
            next_binding: self.bindings.next,
            fold: fold.clone(),
        }
    }
}

/// The last epoch that was bound by `time`: whose binding was appended no later. 0 when there is
/// none.
pub fn epoch_at(log: &dyn EventLog, time: TimestampMs) -> Result<Epoch, EngineError> {
    let mut bindings = Steps::at(&LogPosition::default());
    let mut epoch = Epoch(0);
    while let Some(accepted) = bindings.step(log)? {
        if let Accepted::Binding(binding) = accepted {
            if bindings.bound_at > time {
                break;
            }
            epoch = binding.epoch;
        }
    }
    Ok(epoch)
}

impl Steps {
    fn at(position: &LogPosition) -> Self {
        let next = position.next_binding;
        let bound_at = TimestampMs(i64::MIN);
        Self { read: VecDeque::new(), next, read_to: next, fold: position.fold.clone(), bound_at }
    }

    /// Folds on to the next record that is accepted; `None` at the end of the topic.
    fn step(&mut self, log: &dyn EventLog) -> Result<Option<Accepted>, EngineError> {
        loop {
            while let Some((offset, record)) = self.read.pop_front() {
                self.next = offset + 1;
                let invalid = |source| EngineError::InvalidBinding { offset, source };
                let decoded = decode_binding(&record.value).map_err(invalid)?;
                // What is void changes nothing.
                if let Ok(accepted) = self.fold.step(decoded, &record.value)? {
                    if matches!(accepted, Accepted::Binding(_)) {
                        self.bound_at = record.append_time;
                    }
                    return Ok(Some(accepted));
                }
            }
            self.next = self.read_to;
            if self.read_to >= log.end_offset(BINDINGS)? {
                return Ok(None);
            }
            let batch = log.read(BINDINGS, self.read_to, READ)?;
            if batch.next == self.read_to {
                return Ok(None);
            }
            (self.read, self.read_to) = (batch.records.into(), batch.next);
        }
    }
}
