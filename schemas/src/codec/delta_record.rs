//! Records of `deltas.v1` as protobuf: a whole epoch of one partition out, one record in.
//!
//! Equal epochs give equal records, keys and grouping included. Reading trusts nothing: the check
//! at the end of a value covers key and value, and is looked at before anything else.

use bytes::Bytes;
use prost::Message;
use wire::delta_record::Content;

use super::delta::{InvalidDelta, from_wire, required, to_wire};
use super::wire;
use crate::delta::placement::rows_digest;
use crate::delta::record::{DeltaContent, DeltaRecord, EpochFacts, PartitionClose};
use crate::delta::{Delta, EpochDeltas, PipelineCounts};
use crate::lineage::{Epoch, Lineage};
use crate::record::Digest;
use crate::time::TimestampMs;

/// Rows are put into one record up to about so many bytes; a larger row has one to itself.
pub const RECORD_BYTES: usize = 64 << 10;

/// Field 15 as fixed64.
const CHECK_TAG: u8 = 15 << 3 | 1;
/// Tag and value of the check.
const CHECK_BYTES: usize = 9;

/// Key and value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// What can be told of a record without reading its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Whose history.
    pub lineage: Lineage,
    /// Which epoch.
    pub epoch: Epoch,
}

/// Why bytes are not a record of `deltas.v1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeltaRecord {
    /// Not the bytes that were written.
    #[error("key and value do not fit the check at the end of the value")]
    Damaged,
    /// Written so, and no record that this version knows.
    #[error("not a record of deltas.v1")]
    Unknown(#[source] InvalidDelta),
    /// Written so, and wrong.
    #[error("{field}: {detail}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
}

fn invalid(field: &'static str, detail: impl Into<String>) -> InvalidDeltaRecord {
    InvalidDeltaRecord::Field { field, detail: detail.into() }
}

/// The records of one partition of an epoch: its `rows` in the order of seq, then the close.
#[must_use]
pub fn encode_partition(
    epoch: &EpochDeltas,
    (partition, partitions): (u32, u32),
    rows: &[&Delta],
) -> Vec<EncodedRecord> {
    let mut records = Vec::new();
    let mut run = Run::default();
    for (seq, row) in rows.iter().enumerate() {
        let message = wire::Delta { kind: Some(to_wire(row)) };
        let bytes = message.encoded_len();
        if !run.rows.is_empty() && (run.kind != row.kind() || run.bytes + bytes > RECORD_BYTES) {
            records.push(std::mem::take(&mut run).encode(epoch));
        }
        if run.rows.is_empty() {
            run.kind = row.kind();
            run.key = row.topic_key();
            run.first_seq = seq as u32;
        }
        run.bytes += bytes;
        run.rows.push(message);
    }
    if !run.rows.is_empty() {
        records.push(run.encode(epoch));
    }
    let close = PartitionClose {
        partition,
        partitions,
        count: u32::try_from(rows.len()).expect("an epoch has fewer than 2^32 rows"),
        digest: rows_digest(rows.iter().copied()),
        facts: (partition == 0).then_some(EpochFacts {
            logical_time: epoch.logical_time,
            chain: epoch.chain,
            counts: epoch.counts,
        }),
    };
    let content = Content::Close(close_to_wire(&close));
    records.push(seal(epoch, close_key(epoch.epoch), content));
    records
}

/// Rows on their way into one record.
#[derive(Default)]
struct Run {
    kind: u8,
    key: String,
    first_seq: u32,
    bytes: usize,
    rows: Vec<wire::Delta>,
}

impl Run {
    fn encode(self, epoch: &EpochDeltas) -> EncodedRecord {
        let rows = wire::DeltaRows { first_seq: self.first_seq, rows: self.rows };
        seal(epoch, self.key, Content::Rows(rows))
    }
}

fn close_key(epoch: Epoch) -> String {
    format!("epoch/{epoch}")
}

fn seal(epoch: &EpochDeltas, key: String, content: Content) -> EncodedRecord {
    let message = wire::DeltaRecord {
        lineage: epoch.lineage.0.0.to_vec(),
        epoch: epoch.epoch.0,
        content: Some(content),
        check: 0,
    };
    let mut value = Vec::with_capacity(message.encoded_len() + CHECK_BYTES);
    message.encode(&mut value).expect("a vector grows");
    let check = check(key.as_bytes(), &value);
    value.push(CHECK_TAG);
    value.extend_from_slice(&check);
    EncodedRecord { key: key.into(), value: value.into() }
}

fn check(key: &[u8], body: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    let length = u32::try_from(key.len()).expect("a key has fewer than 2^32 bytes");
    hasher.update(&length.to_le_bytes());
    hasher.update(key);
    hasher.update(body);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    first
}

/// The value without its check, which holds.
fn checked<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], InvalidDeltaRecord> {
    let (body, sealed) =
        value.split_last_chunk::<CHECK_BYTES>().ok_or(InvalidDeltaRecord::Damaged)?;
    let holds = sealed[0] == CHECK_TAG
        && u32::try_from(key.len()).is_ok()
        && sealed[1..] == check(key, body);
    if holds { Ok(body) } else { Err(InvalidDeltaRecord::Damaged) }
}

/// The first two fields.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(bytes = "vec", tag = "1")]
    lineage: Vec<u8>,
    #[prost(uint64, tag = "2")]
    epoch: u64,
}

fn malformed(error: prost::DecodeError) -> InvalidDeltaRecord {
    InvalidDeltaRecord::Unknown(InvalidDelta::Malformed(error))
}

/// Whose record it is, once the check holds.
pub fn decode_record_head(key: &[u8], value: &[u8]) -> Result<RecordHead, InvalidDeltaRecord> {
    let head = Head::decode(checked(key, value)?).map_err(malformed)?;
    let lineage = Lineage(digest("lineage", &head.lineage)?);
    Ok(RecordHead { lineage, epoch: Epoch(head.epoch) })
}

/// Reads one record of what [`encode_partition`] wrote.
pub fn decode_delta_record(key: &[u8], value: &[u8]) -> Result<DeltaRecord, InvalidDeltaRecord> {
    let message = wire::DeltaRecord::decode(checked(key, value)?).map_err(malformed)?;
    let (lineage, epoch) = (Lineage(digest("lineage", &message.lineage)?), Epoch(message.epoch));
    let content = required(message.content, "content").map_err(InvalidDeltaRecord::Unknown)?;
    let (content, expected) = match content {
        Content::Rows(message) => {
            let content = rows_from_wire(message)?;
            let DeltaContent::Rows { rows, .. } = &content else { unreachable!("just made") };
            let key = rows[0].topic_key();
            (content, key)
        }
        Content::Close(message) => {
            (DeltaContent::Close(close_from_wire(&message)?), close_key(epoch))
        }
    };
    if key != expected.as_bytes() {
        let found = String::from_utf8_lossy(key);
        return Err(invalid("key", format!("{found:?} instead of {expected:?}")));
    }
    Ok(DeltaRecord { lineage, epoch, content })
}

fn rows_from_wire(message: wire::DeltaRows) -> Result<DeltaContent, InvalidDeltaRecord> {
    let row = |row: wire::Delta| required(row.kind, "rows[].kind").and_then(from_wire);
    let rows: Result<Vec<Delta>, InvalidDelta> = message.rows.into_iter().map(row).collect();
    let rows = rows.map_err(InvalidDeltaRecord::Unknown)?;
    if !rows.is_sorted_by(|a, b| a.cmp_key(b).is_lt()) {
        return Err(invalid("rows", "must be in the order of kind and key, each once"));
    }
    let first_seq = message.first_seq;
    let ends = u32::try_from(rows.len()).ok().and_then(|count| first_seq.checked_add(count));
    if rows.is_empty() || ends.is_none() {
        return Err(invalid("rows", format!("{} rows from seq {first_seq}", rows.len())));
    }
    Ok(DeltaContent::Rows { first_seq, rows })
}

fn close_to_wire(close: &PartitionClose) -> wire::PartitionClose {
    let facts = |facts: &EpochFacts| wire::EpochFacts {
        logical_time_ms: facts.logical_time.0,
        chain: facts.chain.0.to_vec(),
        accepted: facts.counts.accepted,
        applied: facts.counts.applied,
        duplicate: facts.counts.duplicate,
        late: facts.counts.late,
        dead_letter: facts.counts.dead_letter,
    };
    wire::PartitionClose {
        partition: close.partition,
        partitions: close.partitions,
        count: close.count,
        digest: close.digest.0.to_vec(),
        facts: close.facts.as_ref().map(facts),
    }
}

fn close_from_wire(close: &wire::PartitionClose) -> Result<PartitionClose, InvalidDeltaRecord> {
    let (partition, partitions) = (close.partition, close.partitions);
    if partition >= partitions {
        return Err(invalid("close.partition", format!("{partition} of {partitions}")));
    }
    if close.facts.is_some() != (partition == 0) {
        return Err(invalid("close.facts", "belong into the close of partition 0, and only there"));
    }
    let facts = |facts: &wire::EpochFacts| {
        Ok(EpochFacts {
            logical_time: TimestampMs(facts.logical_time_ms),
            chain: digest("close.facts.chain", &facts.chain)?,
            counts: PipelineCounts {
                accepted: facts.accepted,
                applied: facts.applied,
                duplicate: facts.duplicate,
                late: facts.late,
                dead_letter: facts.dead_letter,
            },
        })
    };
    Ok(PartitionClose {
        partition,
        partitions,
        count: close.count,
        digest: digest("close.digest", &close.digest)?,
        facts: close.facts.as_ref().map(facts).transpose()?,
    })
}

fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, InvalidDeltaRecord> {
    let wrong = || invalid(field, format!("must be 32 bytes, got {}", bytes.len()));
    Digest::from_slice(bytes).ok_or_else(wrong)
}
