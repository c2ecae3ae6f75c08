//! The new values of this worker's items that changed in an epoch.

use std::sync::Arc;

use eddyline_model::gate::GateState;
use eddyline_model::popularity::Decayed;
use eddyline_schemas::delta::Delta;
use eddyline_schemas::features::{CovisitationList, DecayedSum, ItemPopularity};
use eddyline_schemas::id::ItemRef;

use super::apply::{Owned, Touched};
use crate::state::items::{ItemRow, ItemShard};

/// Empties `touched`. Each key comes once.
pub(super) fn item_deltas(owned: &Owned<'_>, touched: &mut Touched, dim: usize) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let shard = |item: ItemRef| owned[usize::from(item.shard())].as_deref();
    for item in std::mem::take(&mut touched.rows) {
        deltas.extend(
            shard(item)
                .and_then(|shard| Some(item_delta(item, shard.rows.get(item.rank() as usize)?))),
        );
    }
    for item in once_each(&mut touched.vectors) {
        let vector = |shard: &ItemShard| Arc::from(shard.vector(item.rank(), dim));
        deltas.extend(shard(item).map(|shard| Delta::ItemVector { item, vector: vector(shard) }));
    }
    for item in once_each(&mut touched.contexts) {
        let context = |shard: &ItemShard| Arc::from(shard.context(item.rank(), dim));
        deltas
            .extend(shard(item).map(|shard| Delta::ItemContext { item, context: context(shard) }));
    }
    let row = |item: ItemRef| shard(item).and_then(|shard| shard.rows.get(item.rank() as usize));
    for item in once_each(&mut touched.popularity) {
        deltas.extend(row(item).map(|row| Delta::Popularity { item, popularity: popularity(row) }));
    }
    for item in once_each(&mut touched.covisitation) {
        deltas.extend(row(item).map(|row| Delta::Covisitation { item, list: Arc::new(list(row)) }));
    }
    deltas
}

fn once_each(items: &mut Vec<ItemRef>) -> Vec<ItemRef> {
    items.sort_unstable();
    items.dedup();
    std::mem::take(items)
}

/// What is said of an item.
pub(crate) fn item_delta(item: ItemRef, row: &ItemRow) -> Delta {
    Delta::Item {
        item,
        id: row.id.clone(),
        document: row.document.clone(),
        first_seen: row.first_seen,
        deleted: row.deleted,
    }
}

/// How much it is wanted.
pub(crate) fn popularity(row: &ItemRow) -> ItemPopularity {
    let sum = |decayed: &Decayed| {
        let (mantissa, exponent) = decayed.parts();
        DecayedSum { mantissa, exponent }
    };
    let (short, long) = (sum(&row.popularity.short), sum(&row.popularity.long));
    ItemPopularity { short, long, events: row.events }
}

/// What follows it.
pub(crate) fn list(row: &ItemRow) -> CovisitationList {
    let (total, exponent) = row.covisitation.parts();
    let neighbours = row.covisitation.entries().iter().map(|entry| (entry.target, entry.weight));
    CovisitationList { neighbours: neighbours.collect(), total, exponent }
}

/// What the gate has learned.
pub(crate) fn gate_delta(gate: &GateState) -> Delta {
    let (gains, examples) = gate.parts();
    Delta::Gate { values: gains.iter().chain(examples).copied().collect() }
}
