//! What the newest records of the topic say, for who must go on behind them.
//!
//! Epochs only grow within a partition, but for repeats of writers that started again or should be
//! dead. Those had few epochs in flight, so they are short: [`NEWEST`] records look past them.

use eddyline_schemas::codec::{RecordHead, decode_record_head};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;

use super::deltas;
use super::error::DeltaError;
use crate::log::{EventLog, ReadLimit};

/// Records at the end of a partition that are looked at.
pub(super) const NEWEST: u64 = 1_024;

/// How often so many records more are looked at, where all of them were of other lineages.
const WINDOWS: u64 = 16;

/// Records looked at from one offset on, to find one of the lineage.
const PROBED: usize = 64;

const READ: ReadLimit = ReadLimit { records: 256, bytes: 4 << 20 };

/// The greatest epoch of `lineage` among the newest records of `partition`. Lineages that are
/// published side by side may have written many since.
pub(super) fn newest_epoch(
    log: &dyn EventLog,
    partition: u32,
    lineage: Lineage,
) -> Result<Option<Epoch>, DeltaError> {
    let at = deltas(partition);
    let (start, mut end) = (log.start_offset(at)?, log.end_offset(at)?);
    for _ in 0..WINDOWS {
        let begin = start.max(end.saturating_sub(NEWEST));
        let newest = newest_within(log, partition, (lineage, begin..end))?;
        if newest.is_some() || begin == start {
            return Ok(newest);
        }
        end = begin;
    }
    Ok(None)
}

fn newest_within(
    log: &dyn EventLog,
    partition: u32,
    (lineage, offsets): (Lineage, std::ops::Range<Offset>),
) -> Result<Option<Epoch>, DeltaError> {
    let at = deltas(partition);
    let (mut next, mut newest) = (offsets.start, None);
    while next < offsets.end {
        let batch = log.read(at, next, READ)?;
        if batch.next == next {
            break;
        }
        next = batch.next;
        for (offset, record) in &batch.records {
            let head = head(partition, *offset, record)?;
            if head.lineage == lineage {
                newest = newest.max(Some(head.epoch));
            }
        }
    }
    Ok(newest)
}

/// An offset from which on all of the epochs behind `epoch` can be read, as far as the order of
/// epochs tells: a reader that misses something must begin earlier.
pub(super) fn seek(
    log: &dyn EventLog,
    partition: u32,
    (lineage, epoch): (Lineage, Epoch),
) -> Result<Offset, DeltaError> {
    let at = deltas(partition);
    let (start, end) = (log.start_offset(at)?, log.end_offset(at)?);
    let (mut before, mut behind) = (start, end);
    while behind - before > NEWEST {
        let middle = before + (behind - before) / 2;
        match probe(log, partition, (lineage, middle))? {
            Some(found) if found <= epoch => before = middle,
            Some(_) | None => behind = middle,
        }
    }
    Ok(start.max(before.saturating_sub(NEWEST)))
}

/// The epoch of the first record of `lineage` from `offset` on, if there is one nearby.
fn probe(
    log: &dyn EventLog,
    partition: u32,
    (lineage, offset): (Lineage, Offset),
) -> Result<Option<Epoch>, DeltaError> {
    let mut next = offset;
    for _ in 0..PROBED {
        let batch = log.read(deltas(partition), next, ReadLimit { records: 1, ..READ })?;
        let Some((offset, record)) = batch.records.first() else { return Ok(None) };
        let head = head(partition, *offset, record)?;
        if head.lineage == lineage {
            return Ok(Some(head.epoch));
        }
        next = batch.next;
    }
    Ok(None)
}

fn head(
    partition: u32,
    offset: Offset,
    record: &eddyline_schemas::record::Record,
) -> Result<RecordHead, DeltaError> {
    let partition = deltas(partition);
    decode_record_head(&record.key, &record.value).map_err(|source| DeltaError::Damaged {
        partition,
        offset,
        source,
    })
}
