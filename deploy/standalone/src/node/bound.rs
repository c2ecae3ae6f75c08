//! Which epoch covers a position of the log, for a process without a dataflow: it folds the
//! bindings topic itself, by the same pure fold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Context;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_schemas::binding::{Accepted, BindingFold};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };
const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// Bindings remembered per partition; an older position is covered by the oldest of them.
const REMEMBERED: usize = 8_192;

/// See the module doc.
pub(super) struct BoundPositions {
    log: Arc<dyn EventLog>,
    next: Offset,
    fold: BindingFold,
    /// (end, epoch), ascending.
    ends: BTreeMap<TopicPartition, VecDeque<(Offset, Epoch)>>,
}

impl BoundPositions {
    /// Of the bindings from the start of their topic on.
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, next: 0, fold: BindingFold::default(), ends: BTreeMap::new() }
    }

    /// Folds what was appended since.
    pub(super) fn read_on(&mut self) -> anyhow::Result<()> {
        while self.next < self.log.end_offset(BINDINGS)? {
            let batch = self.log.read(BINDINGS, self.next, READ)?;
            for (offset, record) in &batch.records {
                let binding = decode_binding(&record.value)
                    .with_context(|| format!("bindings offset {offset} is not a binding record"))?;
                if let Ok(Accepted::Binding(binding)) = self.fold.step(binding, &record.value)? {
                    for range in &binding.ranges {
                        self.add(range.partition, (range.end, binding.epoch));
                    }
                }
            }
            if batch.next == self.next {
                break;
            }
            self.next = batch.next;
        }
        Ok(())
    }

    fn add(&mut self, partition: TopicPartition, end: (Offset, Epoch)) {
        let ends = self.ends.entry(partition).or_default();
        ends.push_back(end);
        if ends.len() > REMEMBERED {
            ends.pop_front();
        }
    }

    /// The last epoch that is bound.
    pub(super) fn epoch(&self) -> Epoch {
        self.fold.epoch()
    }

    /// The epoch that covers an offset; `None` when it is not bound yet.
    pub(super) fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        let ends = self.ends.get(&partition)?;
        let at = ends.partition_point(|&(end, _)| end <= offset);
        ends.get(at).map(|&(_, epoch)| epoch)
    }

    /// Records of the inputs that no binding covers yet.
    pub(super) fn lag_records(&self) -> u64 {
        let mut lag = 0;
        for topic in Topic::INPUTS {
            for partition in 0..self.log.partitions(topic) {
                let at = TopicPartition { topic, partition };
                let bound = self.fold.bound().get(&at).copied().unwrap_or(0);
                lag += self.log.end_offset(at).unwrap_or(0).saturating_sub(bound);
            }
        }
        lag
    }
}
