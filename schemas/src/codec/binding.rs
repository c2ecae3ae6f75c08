//! Binding records as protobuf: strict in both directions, since every process must read the same
//! from the same bytes.

use prost::Message;

use super::wire;
use crate::binding::{
    Binding, BindingRecord, BoundRange, Control, ControlAction, Fence, Term, WriterId,
};
use crate::id::IdHash;
use crate::lineage::Epoch;
use crate::record::Digest;
use crate::time::TimestampMs;
use crate::topic::{Topic, TopicPartition};

/// Why bytes are not a binding record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinding {
    /// Not an `eddyline.v1.BindingRecord`.
    #[error("not an eddyline.v1.BindingRecord")]
    Malformed(#[source] prost::DecodeError),
    /// A field is missing, has the wrong length, or names what does not exist.
    #[error("{field}: {detail}")]
    Field {
        /// Such as `ranges[2].digest`.
        field: String,
        /// What is wrong.
        detail: String,
    },
    /// Readable, but not the bytes that this version writes: unknown fields, or another order.
    #[error("not the canonical bytes of a binding record of this version")]
    NotCanonical,
}

fn invalid(field: impl Into<String>, detail: impl Into<String>) -> InvalidBinding {
    InvalidBinding::Field { field: field.into(), detail: detail.into() }
}

/// The canonical bytes of a record.
#[must_use]
pub fn encode_binding(record: &BindingRecord) -> Vec<u8> {
    use wire::binding_record::Record;
    let record = match record {
        BindingRecord::Fence(fence) => {
            Record::Fence(wire::Fence { term: fence.term.0, writer: fence.writer.0.to_vec() })
        }
        BindingRecord::Binding(binding) => Record::Binding(binding_to_wire(binding)),
        BindingRecord::Control(control) => Record::Control(control_to_wire(control)),
    };
    wire::BindingRecord { record: Some(record) }.encode_to_vec()
}

/// Reads what [`encode_binding`] wrote, and nothing else.
pub fn decode_binding(bytes: &[u8]) -> Result<BindingRecord, InvalidBinding> {
    use wire::binding_record::Record;
    let message = wire::BindingRecord::decode(bytes).map_err(InvalidBinding::Malformed)?;
    let record = message.record.ok_or_else(|| invalid("record", "is absent"))?;
    let record = match record {
        Record::Fence(fence) => BindingRecord::Fence(Fence {
            term: Term(fence.term),
            writer: writer("fence.writer", &fence.writer)?,
        }),
        Record::Binding(binding) => BindingRecord::Binding(binding_from_wire(&binding)?),
        Record::Control(control) => BindingRecord::Control(control_from_wire(control)?),
    };
    if encode_binding(&record) != bytes {
        return Err(InvalidBinding::NotCanonical);
    }
    Ok(record)
}

fn binding_to_wire(binding: &Binding) -> wire::Binding {
    let range = |range: &BoundRange| wire::BoundRange {
        topic: range.partition.topic.name().to_owned(),
        partition: range.partition.partition,
        topic_id: range.topic_id.to_vec(),
        start: range.start,
        end: range.end,
        count: range.count,
        digest: range.digest.0.to_vec(),
    };
    wire::Binding {
        term: binding.term.0,
        writer: binding.writer.0.to_vec(),
        epoch: binding.epoch.0,
        prev_hash: binding.prev_hash.0.to_vec(),
        logical_time_ms: binding.logical_time.0,
        ranges: binding.ranges.iter().map(range).collect(),
    }
}

fn control_to_wire(control: &Control) -> wire::Control {
    use wire::control::Action;
    let action = match &control.action {
        ControlAction::Snapshot => Action::Snapshot(wire::Snapshot {}),
        ControlAction::Skip { partition, offset } => Action::Skip(wire::Skip {
            topic: partition.topic.name().to_owned(),
            partition: partition.partition,
            offset: *offset,
        }),
        ControlAction::Erasure { user } => Action::Erasure(user.0.to_vec()),
    };
    wire::Control {
        term: control.term.0,
        writer: control.writer.0.to_vec(),
        epoch: control.epoch.0,
        prev_hash: control.prev_hash.0.to_vec(),
        action: Some(action),
    }
}

fn binding_from_wire(message: &wire::Binding) -> Result<Binding, InvalidBinding> {
    let ranges: Vec<BoundRange> =
        message.ranges.iter().enumerate().map(range_from_wire).collect::<Result<_, _>>()?;
    let unordered = ranges.windows(2).position(|pair| pair[0].partition >= pair[1].partition);
    if let Some(at) = unordered {
        let detail = "must be ordered by topic name and partition, each once";
        return Err(invalid(format!("ranges[{}]", at + 1), detail));
    }
    Ok(Binding {
        term: Term(message.term),
        writer: writer("binding.writer", &message.writer)?,
        epoch: Epoch(message.epoch),
        prev_hash: digest("binding.prev_hash", &message.prev_hash)?,
        logical_time: TimestampMs(message.logical_time_ms),
        ranges,
    })
}

fn range_from_wire((at, range): (usize, &wire::BoundRange)) -> Result<BoundRange, InvalidBinding> {
    let field = |name: &str| format!("ranges[{at}].{name}");
    let (start, end, count) = (range.start, range.end, range.count);
    if end < start {
        return Err(invalid(field("end"), format!("{end} is before start {start}")));
    }
    if end == start && start > 0 {
        return Err(invalid(field("end"), "a range is empty only where its partition begins"));
    }
    if count > end - start {
        return Err(invalid(field("count"), format!("{count} records in [{start}, {end})")));
    }
    Ok(BoundRange {
        partition: partition(&field("topic"), &range.topic, range.partition)?,
        topic_id: fixed(&field("topic_id"), &range.topic_id)?,
        start,
        end,
        count,
        digest: digest(&field("digest"), &range.digest)?,
    })
}

fn control_from_wire(message: wire::Control) -> Result<Control, InvalidBinding> {
    use wire::control::Action;
    let action = match message.action.ok_or_else(|| invalid("control.action", "is absent"))? {
        Action::Snapshot(wire::Snapshot {}) => ControlAction::Snapshot,
        Action::Skip(skip) => ControlAction::Skip {
            partition: partition("control.skip.topic", &skip.topic, skip.partition)?,
            offset: skip.offset,
        },
        Action::Erasure(user) => {
            ControlAction::Erasure { user: IdHash(fixed("control.erasure", &user)?) }
        }
    };
    Ok(Control {
        term: Term(message.term),
        writer: writer("control.writer", &message.writer)?,
        epoch: Epoch(message.epoch),
        prev_hash: digest("control.prev_hash", &message.prev_hash)?,
        action,
    })
}

pub(super) fn partition(
    field: &str,
    topic: &str,
    partition: u32,
) -> Result<TopicPartition, InvalidBinding> {
    match Topic::from_name(topic).filter(|topic| Topic::INPUTS.contains(topic)) {
        Some(topic) => Ok(TopicPartition { topic, partition }),
        None => Err(invalid(field, format!("{topic:?} is not an input topic"))),
    }
}

pub(super) fn fixed<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], InvalidBinding> {
    bytes.try_into().map_err(|_| invalid(field, format!("must be {N} bytes, got {}", bytes.len())))
}

pub(super) fn writer(field: &str, bytes: &[u8]) -> Result<WriterId, InvalidBinding> {
    fixed(field, bytes).map(WriterId)
}

pub(super) fn digest(field: &str, bytes: &[u8]) -> Result<Digest, InvalidBinding> {
    fixed(field, bytes).map(Digest)
}
