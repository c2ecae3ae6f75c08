//! Bound records as they lie on a log, in the order of (epoch, topic name, partition, offset), with
//! what becomes of each before any fold: for whoever lists or exports, not for folds.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_schemas::binding::{Accepted, Binding, BoundRange};
use eddyline_schemas::decode::{Refusal, decode_record};
use eddyline_schemas::event::Event;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::TopicPartition;

use crate::bindings::{BindingReader, skips};
use crate::error::EngineError;

const READ: ReadLimit = ReadLimit { records: 1_024, bytes: 4 << 20 };

/// A bound record.
#[derive(Clone, Debug)]
pub struct BoundRecord {
    /// The epoch that bound it.
    pub epoch: Epoch,
    /// Where it lies.
    pub at: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// As it was appended.
    pub record: Record,
    /// What the dataflow makes of it.
    pub content: BoundContent,
}

/// What the dataflow makes of a record; the rule is the one that folds follow.
#[derive(Clone, Debug)]
pub enum BoundContent {
    /// An event, folded unless it is late or was seen before.
    Event(Box<Event>),
    /// A dead letter, for this reason.
    DeadLetter(Box<Refusal>),
    /// Passed over because an operator said so; a dead letter too.
    Skipped,
    /// Erased: nothing is left but its hash and its append time.
    Erased,
}

/// Gives `take` every record of the epochs behind `after`, up to `until` or the last one that is
/// bound, until it fails. Memory is that of the bindings' controls and of one read.
pub fn for_each_record<E: From<EngineError>>(
    log: &Arc<dyn EventLog>,
    (after, until): (Epoch, Option<Epoch>),
    mut take: impl FnMut(BoundRecord) -> Result<(), E>,
) -> Result<(), E> {
    let skipped = all_skips(log)?;
    let mut bindings = BindingReader::new(Arc::clone(log));
    while !bindings.is_at_end().map_err(E::from)? {
        for accepted in bindings.read().map_err(E::from)? {
            let Accepted::Binding(binding) = accepted else { continue };
            if until.is_some_and(|until| binding.epoch > until) {
                return Ok(());
            }
            if binding.epoch > after {
                epoch(log, &binding, &skipped, &mut take)?;
            }
        }
    }
    Ok(())
}

/// Said at any time, of a record of any epoch: so all of the topic is read first.
fn all_skips(log: &Arc<dyn EventLog>) -> Result<BTreeSet<(TopicPartition, Offset)>, EngineError> {
    let mut bindings = BindingReader::new(Arc::clone(log));
    let mut all = BTreeSet::new();
    while !bindings.is_at_end()? {
        all.extend(skips(&bindings.read()?));
    }
    Ok(all)
}

fn epoch<E: From<EngineError>>(
    log: &Arc<dyn EventLog>,
    binding: &Binding,
    skipped: &BTreeSet<(TopicPartition, Offset)>,
    take: &mut impl FnMut(BoundRecord) -> Result<(), E>,
) -> Result<(), E> {
    for range in &binding.ranges {
        let (at, mut next, mut count) = (range.partition, range.start, 0);
        while next < range.end {
            let batch = log.read(at, next, READ).map_err(|error| E::from(error.into()))?;
            if batch.next == next {
                break;
            }
            next = batch.next;
            for (offset, record) in batch.records {
                if offset >= range.end {
                    break;
                }
                count += 1;
                let content = content_of(at, offset, &record, skipped);
                take(BoundRecord { epoch: binding.epoch, at, offset, record, content })?;
            }
        }
        if count != range.count {
            return Err(E::from(changed(binding, range)));
        }
    }
    Ok(())
}

fn changed(binding: &Binding, range: &BoundRange) -> EngineError {
    let (partition, offsets) = (range.partition, range.start..range.end);
    EngineError::BoundRecordsChanged { epoch: binding.epoch, partition, range: offsets }
}

fn content_of(
    at: TopicPartition,
    offset: Offset,
    record: &Record,
    skipped: &BTreeSet<(TopicPartition, Offset)>,
) -> BoundContent {
    if record.erased.is_some() {
        return BoundContent::Erased;
    }
    if skipped.contains(&(at, offset)) {
        return BoundContent::Skipped;
    }
    match decode_record(at, offset, record) {
        Ok(event) => BoundContent::Event(Box::new(event)),
        Err(refusal) => BoundContent::DeadLetter(Box::new(refusal)),
    }
}
