//! Tells every process to pass over a record, durably: a control on the bindings topic.
//!
//! For a record that crashes an operator whenever it is folded. It may be bound already, so no
//! process that folds can say it: this one folds nothing. It claims the right to bind, says it, and
//! leaves; whoever binds now stops, and folds without the record once it is started again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::{Append, EventLog};
use eddyline_schemas::binding::{
    Accepted, BindingRecord, Control, ControlAction, Fence, Term, WriterId,
};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

use crate::bindings::{BINDINGS, BindingReader, skips};
use crate::error::EngineError;

/// Passes over a record from now on, in every fold of this log. Saying it twice is harmless: false
/// when it was said before.
pub fn skip_record(
    log: &Arc<dyn EventLog>,
    partition: TopicPartition,
    offset: Offset,
) -> Result<bool, EngineError> {
    let writer = WriterId(eddyline_connect::random::bytes());
    let mut bindings = BindingReader::new(Arc::clone(log));
    let known = read_all(&mut bindings)?;
    if skips(&known).any(|skip| skip == (partition, offset)) {
        return Ok(false);
    }
    let term = Term(bindings.fold.term().0 + 1);
    append(&**log, &BindingRecord::Fence(Fence { term, writer }))?;
    read_all(&mut bindings)?;
    if bindings.fold.writer() != writer {
        return Err(EngineError::Fenced(bindings.fold.term()));
    }
    let control = Control {
        term,
        writer,
        epoch: bindings.fold.epoch().next(),
        prev_hash: bindings.fold.chain(),
        action: ControlAction::Skip { partition, offset },
    };
    append(&**log, &BindingRecord::Control(control))?;
    let accepted = read_all(&mut bindings)?;
    match skips(&accepted).any(|skip| skip == (partition, offset)) {
        true => Ok(true),
        false => Err(EngineError::Fenced(bindings.fold.term())),
    }
}

/// What the log says of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundEpoch {
    /// The records that it binds.
    pub ranges: Vec<(TopicPartition, Range<Offset>)>,
    /// Those among them that are to be passed over.
    pub skipped: BTreeSet<(TopicPartition, Offset)>,
}

/// Which records `epoch` binds; none when it is not bound.
pub fn bound_epoch(log: &Arc<dyn EventLog>, epoch: Epoch) -> Result<BoundEpoch, EngineError> {
    let accepted = read_all(&mut BindingReader::new(Arc::clone(log)))?;
    let of_epoch = |one: &Accepted| match one {
        Accepted::Binding(binding) if binding.epoch == epoch => Some(binding.ranges.clone()),
        Accepted::Binding(_) | Accepted::Control(_) | Accepted::Fence(_) => None,
    };
    let ranges = accepted.iter().find_map(of_epoch).unwrap_or_default();
    let ranges = ranges.into_iter().filter(|range| range.start < range.end);
    let ranges: Vec<_> = ranges.map(|range| (range.partition, range.start..range.end)).collect();
    let is_in = |(at, offset): &(TopicPartition, Offset)| {
        ranges.iter().any(|(partition, range)| partition == at && range.contains(offset))
    };
    let skipped = skips(&accepted).filter(is_in).collect();
    Ok(BoundEpoch { ranges, skipped })
}

fn read_all(bindings: &mut BindingReader) -> Result<Vec<Accepted>, EngineError> {
    let mut accepted = Vec::new();
    while !bindings.is_at_end()? {
        accepted.extend(bindings.read()?);
    }
    Ok(accepted)
}

fn append(log: &dyn EventLog, record: &BindingRecord) -> Result<(), EngineError> {
    let value = Bytes::from(encode_binding(record));
    log.append(vec![Append {
        partition: BINDINGS,
        key: Bytes::new(),
        value,
        headers: Vec::new(),
    }])?;
    Ok(())
}
