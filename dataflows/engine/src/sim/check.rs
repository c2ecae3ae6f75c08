//! The oracle: the same bindings folded again without a fault, a consumer that reads everything
//! anew, and the sums by the obvious loop over what the producer sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::EventLog;
use eddyline_connect::sim::{Injector, SimLog};
use eddyline_schemas::binding::{Accepted, Binding};
use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use super::receiver::{Consumer, Receiver, Store, records_of};
use super::stream::Meaning;
use super::world::{Process, World};
use super::{Outcome, Plant};
use crate::bindings::BindingReader;
use crate::flow::Arrival;
use crate::refold::{Refold, refold};

/// Compares what came out of a schedule with what should have.
pub(super) fn check(world: &mut World, left: Process, plant: Option<Plant>, out: &mut Outcome) {
    let lived = left.driver.digest();
    drop(left);
    let log: Arc<dyn EventLog> =
        Arc::new(SimLog::new(Arc::clone(&world.disk), Arc::new(Injector::harmless())));
    let epochs: Arc<Mutex<Vec<EpochDeltas>>> = Arc::default();
    let seen = Arc::clone(&epochs);
    let sink = Box::new(move |committed: crate::Committed| seen.lock().push(committed.deltas));
    let how = Refold { workers: 1, until: None, arrival: Arrival::Shuffled(1) };
    match refold(&world.config.core, Arc::clone(&log), how, sink) {
        Ok(again) if again == lived => {}
        Ok(again) => out.wrong(format!("state is {lived:?}, folded again {again:?}")),
        Err(error) => out.wrong(format!("the log cannot be folded again: {error}")),
    }
    let epochs = std::mem::take(&mut *epochs.lock());
    out.epochs = epochs.len() as u64;
    check_receivers(world, &epochs, plant, out);
    let bindings = match accepted(&log) {
        Ok(bindings) => bindings,
        Err(error) => return out.wrong(format!("the bindings cannot be read: {error}")),
    };
    let want = count(world, &bindings);
    let got = epochs.last().map(|epoch| epoch.counts).unwrap_or_default();
    if want != got {
        out.wrong(format!("sums are {got:?}, counted {want:?}"));
    }
    out.lost += want.applied.saturating_sub(got.applied) + lost(world, &bindings);
    out.doubled += got.applied.saturating_sub(want.applied);
}

fn check_receivers(
    world: &mut World,
    epochs: &[EpochDeltas],
    plant: Option<Plant>,
    out: &mut Outcome,
) {
    let receiver = world.receiver.lock();
    let mut perfect = (Receiver::new(None), Consumer::new(None), Store::new(plant));
    for epoch in epochs {
        let records = records_of(epoch);
        for record in &records {
            if let super::receiver::DeltaRecord::Row { epoch, row, .. } = record {
                perfect.2.write(*epoch, row);
            }
        }
        perfect.0.append(records);
    }
    perfect.1.poll(&perfect.0, |_| {});
    let mut fresh = Consumer::new(plant);
    fresh.poll(&receiver, |_| {});
    for (who, consumer) in [("a consumer", &world.consumer), ("a new consumer", &fresh)] {
        if consumer.applied != perfect.1.applied || consumer.table != perfect.1.table {
            let (got, want) = (consumer.applied.len(), perfect.1.applied.len());
            out.wrong(format!("{who} has other deltas: {got} epochs of {want}"));
        }
    }
    if fresh.conflicts > 0 {
        out.wrong("an epoch was emitted with other content".to_owned());
    }
    if receiver.store.values != perfect.2.values {
        out.wrong("the feature store holds other values".to_owned());
    }
}

fn accepted(log: &Arc<dyn EventLog>) -> Result<Vec<Binding>, crate::EngineError> {
    let mut reader = BindingReader::new(Arc::clone(log));
    let mut bindings = Vec::new();
    while !reader.is_at_end()? {
        bindings.extend(reader.read()?.into_iter().filter_map(|one| match one {
            Accepted::Binding(binding) => Some(binding),
            Accepted::Fence(_) | Accepted::Control(_) => None,
        }));
    }
    Ok(bindings)
}

/// Where every bound record must have ended up.
fn count(world: &World, bindings: &[Binding]) -> PipelineCounts {
    let meanings: BTreeMap<&Bytes, Meaning> =
        world.planned.iter().map(|one| (&one.append.value, one.meaning)).collect();
    let allowance = world.config.core.late_allowance_ms();
    let mut counts = PipelineCounts::default();
    let mut clocks: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut seen: BTreeSet<Bytes> = BTreeSet::new();
    for range in bindings.iter().flat_map(|binding| &binding.ranges) {
        let at = range.partition;
        let many = (range.end - range.start) as usize;
        for record in world.disk.records(at, range.start, many) {
            counts.accepted += 1;
            let Some(Meaning::Event(time)) = meanings.get(&record.value).copied() else {
                counts.dead_letter += 1;
                continue;
            };
            let clock = clocks.entry(at).or_insert(i64::MIN);
            if at.topic != Topic::ItemEvents {
                if *clock > i64::MIN && time < *clock - allowance {
                    counts.late += 1;
                    continue;
                }
                *clock = time.max(*clock);
            }
            match seen.insert(record.value) {
                true => counts.applied += 1,
                false => counts.duplicate += 1,
            }
        }
    }
    counts
}

/// Acknowledged records that are not on the log or not bound.
fn lost(world: &World, bindings: &[Binding]) -> u64 {
    let mut ends: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    for range in bindings.iter().flat_map(|binding| &binding.ranges) {
        ends.insert(range.partition, range.end);
    }
    let is_lost = |(at, offset, append): &&(TopicPartition, u64, _)| {
        let append: &eddyline_connect::log::Append = append;
        let found = world.disk.records(*at, *offset, 1);
        let is_there = found.first().is_some_and(|record| record.value == append.value);
        !is_there || ends.get(at).copied().unwrap_or(0) <= *offset
    };
    world.acknowledged.iter().filter(is_lost).count() as u64
}
