//! Tells every process to pass over a record, durably: a control on the bindings topic.
//!
//! For a record that crashes an operator whenever it is folded. It may be bound already, so no
//! process that folds can say it: this one folds nothing. It claims the right to bind, says it, and
//! leaves; whoever binds now stops, and folds without the record once it is started again.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::{Append, EventLog};
use eddyline_schemas::binding::{
    Accepted, BindingRecord, Control, ControlAction, Fence, Term, WriterId,
};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

use crate::bindings::{BINDINGS, BindingReader, skips};
use crate::error::EngineError;

/// Passes over a record from now on, in every fold of this log. Saying it twice is harmless.
pub fn skip_record(
    log: &Arc<dyn EventLog>,
    partition: TopicPartition,
    offset: Offset,
) -> Result<(), EngineError> {
    let writer = WriterId(eddyline_connect::random::bytes());
    let mut bindings = BindingReader::new(Arc::clone(log));
    let known = read_all(&mut bindings)?;
    if skips(&known).any(|skip| skip == (partition, offset)) {
        return Ok(());
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
        true => Ok(()),
        false => Err(EngineError::Fenced(bindings.fold.term())),
    }
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
