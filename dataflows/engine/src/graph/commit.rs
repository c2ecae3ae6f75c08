//! The way out: one batch per epoch, once every part of the epoch has arrived.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use eddyline_schemas::delta::Delta;
use timely::dataflow::operators::generic::operator::Operator;

use super::work::DeltaBatch;
use crate::bound::Header;
use crate::cluster::Pulse;
use crate::rank::RankedEvent;
use crate::wire::parcel::{Parcel, Sent, by_route};

/// Everything that an epoch changed, in no particular order yet.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) epoch: u64,
    pub(crate) header: Header,
    pub(crate) duplicates: u64,
    pub(crate) deltas: Vec<Delta>,
    pub(crate) ranked: Vec<RankedEvent>,
}

/// Gathers all batches of an epoch at worker 0 and sends them on. Every epoch has a header, so an
/// epoch without changes commits too.
pub(super) fn commit(batches: Sent<'_, DeltaBatch>, to: Sender<Commit>, pulse: Arc<Pulse>) {
    let pact = by_route(|_: &DeltaBatch| 0);
    let mut waiting: std::collections::BTreeMap<u64, Commit> = std::collections::BTreeMap::new();
    batches.sink(pact, "Commit", move |(input, frontier)| {
        input.for_each_stamp(|stamp, data| {
            let Some(&epoch) = stamp.least() else { return };
            let commit = waiting.entry(epoch).or_default();
            for batch in data.flat_map(Parcel::drain) {
                add(commit, batch);
            }
        });
        while let Some(entry) = waiting.first_entry() {
            if frontier.less_equal(entry.key()) {
                break;
            }
            let (epoch, commit) = entry.remove_entry();
            pulse.ended.store(epoch, Ordering::Relaxed);
            // The receiver is gone only when the engine is being dropped.
            let _ = to.send(Commit { epoch, ..commit });
        }
    });
}

fn add(commit: &mut Commit, batch: DeltaBatch) {
    commit.deltas.extend(batch.deltas);
    commit.ranked.extend(batch.ranked);
    commit.duplicates += batch.duplicates;
    if let Some(header) = batch.header {
        commit.header = header;
    }
}
