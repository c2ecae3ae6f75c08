//! Which epoch covers a position of the log, for a process without a dataflow: it folds the
//! bindings topic itself, by the same pure fold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Context;
use eddyline_connect::log::{EventLog, ReadError, ReadLimit};
use eddyline_schemas::binding::{Accepted, Binding, BindingFold};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };
const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// Bindings remembered per partition; an older position is covered by the oldest of them.
const REMEMBERED: usize = 8_192;

/// Reads the bindings, and tells what they say to everybody who has [`Self::positions`].
pub(super) struct BindingsReader {
    log: Arc<dyn EventLog>,
    next: Offset,
    fold: BindingFold,
    positions: Arc<BoundPositions>,
}

/// What the bindings say of positions. Never waits for the log.
#[derive(Default)]
pub(super) struct BoundPositions(Mutex<Known>);

#[derive(Default)]
struct Known {
    epoch: Epoch,
    lag_records: u64,
    /// (end, epoch), ascending.
    ends: BTreeMap<TopicPartition, VecDeque<(Offset, Epoch)>>,
}

impl BindingsReader {
    /// Of the bindings from the start of their topic on.
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, next: 0, fold: BindingFold::default(), positions: Arc::default() }
    }

    /// What is known so far, for other threads.
    pub(super) fn positions(&self) -> Arc<BoundPositions> {
        Arc::clone(&self.positions)
    }

    /// Folds what was appended since.
    pub(super) fn read_on(&mut self) -> anyhow::Result<()> {
        while self.next < self.log.end_offset(BINDINGS)? {
            let batch = self.log.read(BINDINGS, self.next, READ)?;
            for (offset, record) in &batch.records {
                let binding = decode_binding(&record.value)
                    .with_context(|| format!("bindings offset {offset} is not a binding record"))?;
                if let Ok(Accepted::Binding(binding)) = self.fold.step(binding, &record.value)? {
                    self.positions.0.lock().add(&binding);
                }
            }
            if batch.next == self.next {
                break;
            }
            self.next = batch.next;
        }
        let lag_records = self.lag_records()?;
        self.positions.0.lock().lag_records = lag_records;
        Ok(())
    }

    fn lag_records(&self) -> Result<u64, ReadError> {
        let mut lag = 0;
        for topic in Topic::INPUTS {
            for partition in 0..self.log.partitions(topic) {
                let at = TopicPartition { topic, partition };
                let bound = self.fold.bound().get(&at).copied().unwrap_or(0);
                lag += self.log.end_offset(at)?.saturating_sub(bound);
            }
        }
        Ok(lag)
    }
}

impl Known {
    fn add(&mut self, binding: &Binding) {
        self.epoch = binding.epoch;
        for range in &binding.ranges {
            let ends = self.ends.entry(range.partition).or_default();
            ends.push_back((range.end, binding.epoch));
            if ends.len() > REMEMBERED {
                ends.pop_front();
            }
        }
    }
}

impl BoundPositions {
    /// The last epoch that is bound.
    pub(super) fn epoch(&self) -> Epoch {
        self.0.lock().epoch
    }

    /// The epoch that covers an offset; `None` when it is not bound yet.
    pub(super) fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        let known = self.0.lock();
        let ends = known.ends.get(&partition)?;
        let at = ends.partition_point(|&(end, _)| end <= offset);
        ends.get(at).map(|&(_, epoch)| epoch)
    }

    /// Records of the inputs that no binding covered at the last look.
    pub(super) fn lag_records(&self) -> u64 {
        self.0.lock().lag_records
    }
}
