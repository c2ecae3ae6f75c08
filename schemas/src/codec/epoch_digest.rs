//! Recorded digests as protobuf: strict in both directions.

use prost::Message;

use super::binding::digest;
use super::{InvalidBinding, wire};
use crate::delta::PipelineCounts;
use crate::delta::digest::EpochDigest;
use crate::lineage::{Epoch, Lineage};
use crate::time::TimestampMs;

/// Bytes of a shard in [`wire::EpochDigest::shards`].
const SHARD_BYTES: usize = 5;

/// Why bytes are not a recorded digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEpochDigest {
    /// Not an `eddyline.v1.EpochDigest`.
    #[error("not an eddyline.v1.EpochDigest")]
    Malformed(#[source] prost::DecodeError),
    /// A field has the wrong length.
    #[error(transparent)]
    Field(#[from] InvalidBinding),
    /// Readable, but not the bytes that this version writes.
    #[error("not the canonical bytes of a recorded digest of this version")]
    NotCanonical,
}

/// The canonical bytes of a recorded digest.
#[must_use]
pub fn encode_epoch_digest(recorded: &EpochDigest) -> Vec<u8> {
    let mut shards = Vec::with_capacity(SHARD_BYTES * recorded.shards.len());
    for (shard, digest) in &recorded.shards {
        shards.push(*shard);
        shards.extend_from_slice(&digest.to_le_bytes());
    }
    let counts = recorded.counts;
    let message = wire::EpochDigest {
        lineage: recorded.lineage.0.0.to_vec(),
        epoch: recorded.epoch.0,
        logical_time_ms: recorded.logical_time.0,
        delta_digest: recorded.delta_digest.0.to_vec(),
        deltas: recorded.deltas,
        accepted: counts.accepted,
        applied: counts.applied,
        duplicate: counts.duplicate,
        late: counts.late,
        dead_letter: counts.dead_letter,
        shards,
    };
    message.encode_to_vec()
}

/// Reads what [`encode_epoch_digest`] wrote, and nothing else.
pub fn decode_epoch_digest(bytes: &[u8]) -> Result<EpochDigest, InvalidEpochDigest> {
    let message = wire::EpochDigest::decode(bytes).map_err(InvalidEpochDigest::Malformed)?;
    let shard = |bytes: &[u8]| match *bytes {
        [shard, a, b, c, d] => (shard, u32::from_le_bytes([a, b, c, d])),
        // Shorter than it must be, which the comparison of bytes finds.
        _ => (0, 0),
    };
    let shards: Vec<(u8, u32)> = message.shards.chunks(SHARD_BYTES).map(shard).collect();
    if !shards.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(InvalidEpochDigest::NotCanonical);
    }
    let recorded = EpochDigest {
        lineage: Lineage(digest("lineage", &message.lineage)?),
        epoch: Epoch(message.epoch),
        logical_time: TimestampMs(message.logical_time_ms),
        delta_digest: digest("delta_digest", &message.delta_digest)?,
        deltas: message.deltas,
        counts: PipelineCounts {
            accepted: message.accepted,
            applied: message.applied,
            duplicate: message.duplicate,
            late: message.late,
            dead_letter: message.dead_letter,
        },
        shards,
    };
    if encode_epoch_digest(&recorded) != bytes {
        return Err(InvalidEpochDigest::NotCanonical);
    }
    Ok(recorded)
}
