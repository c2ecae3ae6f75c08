//! Manifests of snapshots as bytes: strict in both directions, and under a checksum.

use prost::Message;

use super::binding::{digest, fixed, partition, writer};
use super::{InvalidBinding, wire};
use crate::binding::{BindingFold, FoldState, Term};
use crate::delta::PipelineCounts;
use crate::lineage::{Epoch, Lineage};
use crate::record::Digest;
use crate::snapshot::{
    LogPosition, PartitionPosition, SnapshotGate, SnapshotManifest, SnapshotPart,
};
use crate::time::TimestampMs;
use crate::topic::TopicPartition;

const MAGIC: &[u8; 8] = b"EDYSNAP\x01";
const BODY: usize = MAGIC.len() + 32;

/// Why bytes are not a manifest. One reaction: use another snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Another format, or another version of it.
    #[error("not a snapshot manifest of version 1")]
    Magic,
    /// Cut off or changed.
    #[error("its body does not have its digest")]
    Checksum,
    /// Not an `eddyline.v1.SnapshotManifest`.
    #[error("not an eddyline.v1.SnapshotManifest")]
    Malformed(#[source] prost::DecodeError),
    /// A field has the wrong length, or names what does not exist.
    #[error(transparent)]
    Field(#[from] InvalidBinding),
    /// A message is absent.
    #[error("{0} is absent")]
    Missing(&'static str),
    /// Readable, but not the bytes that this version writes.
    #[error("not the canonical bytes of a manifest of this version")]
    NotCanonical,
}

/// The canonical bytes of a manifest.
#[must_use]
pub fn encode_manifest(manifest: &SnapshotManifest) -> Vec<u8> {
    let body = to_wire(manifest).encode_to_vec();
    let mut bytes = Vec::with_capacity(BODY + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&Digest::of(&body).0);
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads what [`encode_manifest`] wrote, and nothing else.
pub fn decode_manifest(bytes: &[u8]) -> Result<SnapshotManifest, InvalidManifest> {
    if bytes.first_chunk::<8>() != Some(MAGIC) {
        return Err(InvalidManifest::Magic);
    }
    let checksum = bytes.get(MAGIC.len()..BODY).ok_or(InvalidManifest::Checksum)?;
    if Digest::of(&bytes[BODY..]).0 != checksum {
        return Err(InvalidManifest::Checksum);
    }
    let message =
        wire::SnapshotManifest::decode(&bytes[BODY..]).map_err(InvalidManifest::Malformed)?;
    let manifest = from_wire(message)?;
    if encode_manifest(&manifest) != bytes {
        return Err(InvalidManifest::NotCanonical);
    }
    Ok(manifest)
}

fn to_wire(manifest: &SnapshotManifest) -> wire::SnapshotManifest {
    let counts = manifest.counts;
    let part = |part: &SnapshotPart| wire::SnapshotPart {
        epoch: part.epoch.0,
        digest: part.digest.0.to_vec(),
        size: part.size,
        shards: part.shards.clone(),
    };
    wire::SnapshotManifest {
        lineage: manifest.lineage.0.0.to_vec(),
        epoch: manifest.epoch.0,
        algorithm_version: manifest.algorithm_version,
        core_config: manifest.core_config.0.to_vec(),
        state_digest: manifest.state_digest.0.to_vec(),
        delta_digest: manifest.delta_digest.0.to_vec(),
        logical_time_ms: manifest.logical_time.0,
        counts: Some(wire::SnapshotCounts {
            accepted: counts.accepted,
            applied: counts.applied,
            duplicate: counts.duplicate,
            late: counts.late,
            dead_letter: counts.dead_letter,
        }),
        gate: Some(wire::SnapshotGate {
            gains: manifest.gate.gains.clone(),
            examples: manifest.gate.examples.clone(),
        }),
        parts: manifest.parts.iter().map(part).collect(),
        position: Some(position_to_wire(&manifest.position)),
    }
}

fn position_to_wire(position: &LogPosition) -> wire::LogPosition {
    let fold = &position.fold;
    let of = |(at, known): (&TopicPartition, &PartitionPosition)| wire::PartitionPosition {
        topic: at.topic.name().to_owned(),
        partition: at.partition,
        topic_id: known.topic_id.to_vec(),
        bound: fold.bound().get(at).copied().unwrap_or(0),
        clock_ms: known.clock.map(|clock| clock.0),
    };
    let skip = |(at, offset): &(TopicPartition, u64)| wire::Skip {
        topic: at.topic.name().to_owned(),
        partition: at.partition,
        offset: *offset,
    };
    wire::LogPosition {
        term: fold.term().0,
        writer: fold.writer().0.to_vec(),
        chain: fold.chain().0.to_vec(),
        logical_time_ms: fold.logical_time().0,
        next_binding: position.next_binding,
        partitions: position.partitions.iter().map(of).collect(),
        skipped: position.skipped.iter().map(skip).collect(),
    }
}

fn from_wire(message: wire::SnapshotManifest) -> Result<SnapshotManifest, InvalidManifest> {
    let counts = message.counts.ok_or(InvalidManifest::Missing("counts"))?;
    let gate = message.gate.ok_or(InvalidManifest::Missing("gate"))?;
    let position = message.position.ok_or(InvalidManifest::Missing("position"))?;
    let part = |(at, part): (usize, wire::SnapshotPart)| {
        Ok(SnapshotPart {
            epoch: Epoch(part.epoch),
            digest: digest(&format!("parts[{at}].digest"), &part.digest)?,
            size: part.size,
            shards: part.shards,
        })
    };
    let epoch = Epoch(message.epoch);
    Ok(SnapshotManifest {
        lineage: Lineage(digest("lineage", &message.lineage)?),
        epoch,
        algorithm_version: message.algorithm_version,
        core_config: digest("core_config", &message.core_config)?,
        state_digest: digest("state_digest", &message.state_digest)?,
        delta_digest: digest("delta_digest", &message.delta_digest)?,
        logical_time: TimestampMs(message.logical_time_ms),
        counts: PipelineCounts {
            accepted: counts.accepted,
            applied: counts.applied,
            duplicate: counts.duplicate,
            late: counts.late,
            dead_letter: counts.dead_letter,
        },
        gate: SnapshotGate { gains: gate.gains, examples: gate.examples },
        parts: message
            .parts
            .into_iter()
            .enumerate()
            .map(part)
            .collect::<Result<_, InvalidBinding>>()?,
        position: position_from_wire(epoch, &position)?,
    })
}

fn position_from_wire(
    epoch: Epoch,
    message: &wire::LogPosition,
) -> Result<LogPosition, InvalidManifest> {
    let mut position = LogPosition { next_binding: message.next_binding, ..LogPosition::default() };
    let mut bound = std::collections::BTreeMap::new();
    for (at, one) in message.partitions.iter().enumerate() {
        let field = |name: &str| format!("position.partitions[{at}].{name}");
        let of = partition(&field("topic"), &one.topic, one.partition)?;
        let topic_id = fixed(&field("topic_id"), &one.topic_id)?;
        bound.insert(of, one.bound);
        let clock = one.clock_ms.map(TimestampMs);
        position.partitions.insert(of, PartitionPosition { topic_id, clock });
    }
    for skip in &message.skipped {
        let of = partition("position.skipped.topic", &skip.topic, skip.partition)?;
        position.skipped.insert((of, skip.offset));
    }
    position.fold = BindingFold::from(FoldState {
        term: Term(message.term),
        writer: writer("position.writer", &message.writer)?,
        epoch,
        chain: digest("position.chain", &message.chain)?,
        logical_time: TimestampMs(message.logical_time_ms),
        bound,
    });
    Ok(position)
}
