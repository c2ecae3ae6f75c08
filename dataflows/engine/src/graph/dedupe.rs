//! Drops every event whose id was seen within the horizon, and takes the rest apart into lines.

use std::sync::Arc;

use eddyline_schemas::lineage::Epoch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use super::stash::Stash;
use super::work::{Fresh, Line};
use super::{Context, Folds};
use crate::at_work::{self, Stage};
use crate::bound::Bound;
use crate::state::dedupe::DedupeLimits;
use crate::wire::parcel::{Parcel, Sent, by_route};

type Output = CapacityContainerBuilder<Parcel<Fresh>>;

/// Of events with the same id, the first in `seq` passes.
pub(super) fn dedupe<'s>(events: Sent<'s, Bound>, context: Context) -> Sent<'s, Fresh> {
    let pact = by_route(|bound: &Bound| u64::from(bound.event.dedupe.shard()));
    events.unary_frontier::<Output, _, _, _>(pact, "Dedupe", move |capability, _| {
        drop(capability);
        let mut stash = Stash::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|stamp, data| {
                if let Some(capability) = stamp.retain_least(output.output_index()) {
                    stash.add(capability, data.flat_map(Parcel::drain));
                }
            });
            while let Some((capability, mut bound)) = stash.next_complete(&[frontier]) {
                bound.sort_unstable_by_key(|bound: &Bound| bound.seq);
                let epoch = Epoch(*capability.time());
                let pass = || pass_fresh(&context, bound);
                let fresh = at_work::within(Stage::Dedupe, Some(epoch), pass);
                output.session(&capability).give_iterator(fresh.into_iter());
            }
        }
    })
}

fn pass_fresh(context: &Context, bound: Vec<Bound>) -> Vec<Fresh> {
    let config = &context.config.dedupe;
    let limits = DedupeLimits {
        horizon_hours: i64::from(config.horizon_hours),
        ids: usize::try_from(config.max_ids / eddyline_schemas::id::SHARDS as u64)
            .unwrap_or(usize::MAX),
    };
    let mut fresh = Vec::with_capacity(bound.len());
    let mut duplicates = 0;
    for Bound { seq, event } in bound {
        at_work::on_record(event.record());
        let mut shard = context.tables.dedupe[usize::from(event.dedupe.shard())].lock();
        if context.folds == Folds::FactorsOnly
            || shard.insert(limits, (event.at, event.clock_hour), event.dedupe)
        {
            let lines = event.items.len().max(1) as u16;
            let line = |line| Fresh::Line(Line { seq, line, event: Arc::clone(&event) });
            fresh.extend((0..lines).map(line));
        } else {
            duplicates += 1;
        }
    }
    if duplicates > 0 {
        fresh.push(Fresh::Duplicates(duplicates));
    }
    fresh
}
