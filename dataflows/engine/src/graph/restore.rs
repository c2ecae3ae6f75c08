//! What the join of touches and facets held when a snapshot was taken, derived from the tables.
//!
//! It enters at time 0, which no epoch has; what the join makes of it is known already, and
//! dropped there. Everything is gathered while the graph is built: once epochs run, the tables are
//! ahead of the join.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eddyline_schemas::id::{ItemRef, SHARDS};
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::{Scope, StreamVec};

use super::Context;
use crate::state::preferences::Facet;

/// The time at which restored data enters.
pub(super) const RESTORED: u64 = 0;

type Update<D> = (D, u64, i64);
type TouchUpdate = Update<(u32, (u8, u32))>;
type FacetUpdate = Update<(u32, (Facet, Arc<str>))>;

fn owned(context: &Context) -> impl Iterator<Item = usize> + use<> {
    (context.worker..SHARDS).step_by(context.workers)
}

/// Touches of this worker's users.
pub(super) fn touches<'s>(
    scope: Scope<'s, u64>,
    context: &Context,
) -> StreamVec<'s, u64, TouchUpdate> {
    let mut updates: Vec<TouchUpdate> = Vec::new();
    for shard in owned(context) {
        let touches = context.tables.preferences[shard].lock().touches();
        let update = |((item, user), count): ((ItemRef, u32), i64)| {
            ((item.0, (shard as u8, user)), RESTORED, count)
        };
        updates.extend(touches.into_iter().map(update));
    }
    updates.to_stream(scope)
}

/// Facets of this worker's items.
pub(super) fn facets<'s>(
    scope: Scope<'s, u64>,
    context: &Context,
) -> StreamVec<'s, u64, FacetUpdate> {
    let mut updates: Vec<FacetUpdate> = Vec::new();
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    for shard in owned(context) {
        let items = context.tables.items[shard].read();
        for (rank, row) in (0..).zip(&items.rows) {
            let Some(document) = &row.document else { continue };
            let item = ItemRef::new(shard as u8, rank).0;
            let categories = document.categories.iter().map(|name| (Facet::Category, name));
            let brand = document.brand.iter().map(|name| (Facet::Brand, name));
            let mut counts: BTreeMap<(Facet, &String), i64> = BTreeMap::new();
            categories.chain(brand).for_each(|facet| *counts.entry(facet).or_default() += 1);
            for ((facet, name), count) in counts {
                let name = super::apply::interned(&mut names, name);
                updates.push(((item, (facet, name)), RESTORED, count));
            }
        }
    }
    updates.to_stream(scope)
}
