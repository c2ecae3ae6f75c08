//! Which snapshot a log can go on from.
//!
//! The object store says which snapshots are whole; only the log can say whether one is of *its*
//! history. So the bindings around the snapshot's position are read:
//!
//! * the topic must reach it, else the log is older than what was derived from it: halt;
//! * the chain of bindings must lead to the very hash that the snapshot holds, else it is of
//!   another log: halt;
//! * no later control may say to pass over a record that the snapshot has folded already: such a
//!   snapshot is no longer that of any fold from the start, so an older one is taken, or none.

use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_schemas::binding::{BindingFold, BindingRecord, FoldState, chain_hash};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::snapshot::SnapshotManifest;

use super::{Restored, SnapshotStore};
use crate::bindings::{BINDINGS, BindingReader, skips};
use crate::error::EngineError;
use crate::refold::last_bound_epoch;

/// Records of the bindings topic that are read before a position to find the binding that led to
/// it: behind it there can be fences, controls, and what is void.
const LOOK_BACK: u64 = 4_096;

/// The newest valid snapshot of `lineage` that `log` can go on from; `None` when the log is to be
/// folded from its start.
pub fn newest_on_log(
    store: &SnapshotStore,
    log: &Arc<dyn EventLog>,
    lineage: Lineage,
) -> Result<Option<Restored>, EngineError> {
    newest_on_log_until(store, log, lineage, None)
}

/// As [`newest_on_log`], of those that are not behind `until`.
pub fn newest_on_log_until(
    store: &SnapshotStore,
    log: &Arc<dyn EventLog>,
    lineage: Lineage,
    until: Option<Epoch>,
) -> Result<Option<Restored>, EngineError> {
    let suits = |manifest: &SnapshotManifest| {
        let is_early = until.is_none_or(|until| manifest.epoch <= until);
        Ok(is_early && fits(log, manifest)?)
    };
    store.newest_where(lineage, suits)
}

/// See the module doc.
fn fits(log: &Arc<dyn EventLog>, manifest: &SnapshotManifest) -> Result<bool, EngineError> {
    let (epoch, position) = (manifest.epoch, &manifest.position);
    if position.next_binding > log.end_offset(BINDINGS)? {
        let bound = last_bound_epoch(Arc::clone(log))?;
        return Err(EngineError::Ahead { what: "a snapshot", at: epoch, bound });
    }
    if !is_of(&**log, manifest)? {
        return Err(EngineError::OtherLog { epoch, offset: position.next_binding });
    }
    for (&partition, known) in &position.partitions {
        if log.partitions(partition.topic) > partition.partition
            && log.topic_id(partition.topic) != known.topic_id
        {
            return Err(EngineError::TopicRecreated { epoch, partition });
        }
    }
    let mut later = BindingReader::at(Arc::clone(log), position);
    while !later.is_at_end()? {
        let accepted = later.read()?;
        let mut skips = skips(&accepted);
        let bound = position.fold.bound();
        if let Some((partition, offset)) =
            skips.find(|(at, offset)| *offset < bound.get(at).copied().unwrap_or(0))
        {
            tracing::warn!(
                epoch = epoch.0, %partition, offset,
                "a snapshot holds what is to be passed over: not used"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

impl Restored {
    /// Whether `log` can go on from it, as [`newest_on_log`] asks.
    pub(crate) fn fits(&self, log: &Arc<dyn EventLog>) -> Result<bool, EngineError> {
        fits(log, &self.manifest)
    }
}

/// Whether the bindings in front of a snapshot's position lead to its chain hash. What the log no
/// longer holds cannot contradict it.
fn is_of(log: &dyn EventLog, manifest: &SnapshotManifest) -> Result<bool, EngineError> {
    let end = manifest.position.next_binding;
    let start = log.start_offset(BINDINGS)?;
    if start >= end {
        return Ok(true);
    }
    let from = start.max(end.saturating_sub(LOOK_BACK));
    let records = read(log, from..end)?;
    for (at, (_, record, bytes)) in records.iter().enumerate() {
        let BindingRecord::Binding(binding) = record else { continue };
        if binding.epoch != manifest.epoch {
            continue;
        }
        let mut fold = BindingFold::from(FoldState {
            term: binding.term,
            writer: binding.writer,
            epoch: binding.epoch,
            chain: chain_hash(binding.prev_hash, bytes),
            logical_time: binding.logical_time,
            bound: manifest.position.fold.bound().clone(),
        });
        for (_, record, bytes) in &records[at + 1..] {
            // What is void changes nothing.
            let _ = fold.step(record.clone(), bytes)?;
        }
        if fold == manifest.position.fold {
            return Ok(true);
        }
    }
    Ok(false)
}

type Found = (Offset, BindingRecord, bytes::Bytes);

fn read(log: &dyn EventLog, range: std::ops::Range<Offset>) -> Result<Vec<Found>, EngineError> {
    let mut found = Vec::new();
    let mut next = range.start;
    while next < range.end {
        let records = (range.end - next) as usize;
        let batch = log.read(BINDINGS, next, ReadLimit { records, bytes: 8 << 20 })?;
        for (offset, record) in batch.records {
            if offset >= range.end {
                return Ok(found);
            }
            let invalid = |source| EngineError::InvalidBinding { offset, source };
            let decoded = decode_binding(&record.value).map_err(invalid)?;
            found.push((offset, decoded, record.value));
        }
        if batch.next == next {
            break;
        }
        next = batch.next;
    }
    Ok(found)
}
