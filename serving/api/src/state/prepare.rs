//! Turns the deltas of an epoch into what the tables take, outside the lock.
//!
//! Everything that can fail or costs time happens here: unknown items, rows of a wrong length or
//! not finite, logarithms, the text of labels. What is prepared can then be applied whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_connect::features::{FeatureWrite, stored_preferences};
use eddyline_model::blend::Weights;
use eddyline_model::covisit::{CovisitList, Entry};
use eddyline_model::gate::{BUCKETS, GateConfig, GateState};
use eddyline_model::popularity::{Decayed, Popularity};
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::features::{CovisitationList, DecayedSum, ItemPopularity};
use eddyline_schemas::id::{ItemId, ItemRef};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;

use crate::state::ApplyError;
use crate::state::labels::{LabelKind, labels_of};
use crate::state::standing::{OrderKey, StandingKeys};
use crate::state::tables::Tables;

/// An item as its delta says.
#[derive(Debug)]
pub struct PreparedItem {
    /// Its number.
    pub item: ItemRef,
    /// Its id.
    pub id: ItemId,
    /// Catalogue row.
    pub document: Option<Arc<ItemDocument>>,
    /// Labels of the row, the main category first.
    pub labels: Vec<(LabelKind, String)>,
    /// When it was first seen.
    pub first_seen: (Epoch, u32),
    /// Whether it is out of the catalogue.
    pub deleted: bool,
}

/// The popularity of an item.
#[derive(Debug)]
pub struct PreparedPopularity {
    /// Whose.
    pub item: ItemRef,
    /// Decayed counts.
    pub popularity: Popularity,
    /// Their order.
    pub keys: StandingKeys,
    /// Positive events, undecayed.
    pub events: u64,
}

/// What an epoch changes, checked.
#[derive(Debug, Default)]
pub struct Prepared {
    /// By age.
    pub items: Vec<PreparedItem>,
    /// v rows.
    pub vectors: Vec<(ItemRef, Arc<[f32]>)>,
    /// c rows.
    pub contexts: Vec<(ItemRef, Arc<[f32]>)>,
    /// Counts.
    pub popularity: Vec<PreparedPopularity>,
    /// Items that follow items.
    pub lists: Vec<(ItemRef, Arc<CovisitList>)>,
    /// For the feature store.
    pub users: Vec<FeatureWrite>,
    /// Weights of the blend by length of history.
    pub weights: Option<[Weights; BUCKETS]>,
}

/// Checks and prepares `deltas` for `tables`, which are of the epoch before.
pub fn prepare(
    tables: &Tables,
    gate: &GateConfig,
    deltas: EpochDeltas,
) -> Result<Prepared, ApplyError> {
    let epoch = deltas.epoch;
    let mut prepared = Prepared::default();
    for delta in deltas.deltas {
        let refused = take(&mut prepared, tables, gate, delta).err();
        if let Some(detail) = refused {
            return Err(ApplyError::Malformed { epoch, detail });
        }
    }
    prepared.items.sort_by_key(|item| item.first_seen);
    check_references(&prepared, tables)
        .map_err(|detail| ApplyError::Malformed { epoch, detail })?;
    Ok(prepared)
}

fn take(
    prepared: &mut Prepared,
    tables: &Tables,
    gate: &GateConfig,
    delta: Delta,
) -> Result<(), String> {
    match delta {
        Delta::Item { item, id, document, first_seen, deleted } => {
            let labels = document.as_deref().map(labels_of).unwrap_or_default();
            prepared.items.push(PreparedItem { item, id, document, labels, first_seen, deleted });
        }
        Delta::ItemVector { item, vector } => {
            check_row(tables, item, &vector)?;
            prepared.vectors.push((item, vector));
        }
        Delta::ItemContext { item, context } => {
            check_row(tables, item, &context)?;
            prepared.contexts.push((item, context));
        }
        Delta::Popularity { item, popularity } => {
            prepared.popularity.push(prepare_popularity(item, &popularity));
        }
        Delta::Covisitation { item, list } => prepared.lists.push((item, covisit_list(&list))),
        Delta::UserVector { user, vector } => {
            if let Some(row) = &vector {
                tables.vectors().check(row).map_err(|why| format!("vector of {user}: {why}"))?;
            }
            prepared.users.push(FeatureWrite::Vector(user, vector));
        }
        Delta::UserFeatures { user, features } => {
            prepared.users.push(FeatureWrite::Features(user, features));
        }
        Delta::UserPreferences { user, preferences } => {
            let preferences = stored_preferences(preferences);
            prepared.users.push(FeatureWrite::Preferences(user, preferences));
        }
        Delta::Gate { values } => prepared.weights = Some(gate_weights(gate, &values)?),
    }
    Ok(())
}

fn check_row(tables: &Tables, item: ItemRef, row: &[f32]) -> Result<(), String> {
    tables.vectors().check(row).map_err(|why| format!("row of item {item:?}: {why}"))
}

/// Every delta names an item that is known or made by the same epoch.
fn check_references(prepared: &Prepared, tables: &Tables) -> Result<(), String> {
    let made: BTreeSet<ItemRef> = prepared.items.iter().map(|item| item.item).collect();
    let named = (prepared.vectors.iter().map(|(item, _)| *item))
        .chain(prepared.contexts.iter().map(|(item, _)| *item))
        .chain(prepared.popularity.iter().map(|popularity| popularity.item))
        .chain(prepared.lists.iter().map(|(item, _)| *item));
    for item in named {
        if tables.items().slot(item).is_none() && !made.contains(&item) {
            return Err(format!("item {item:?} is named before it exists"));
        }
    }
    Ok(())
}

fn prepare_popularity(item: ItemRef, given: &ItemPopularity) -> PreparedPopularity {
    let popularity = Popularity { short: decayed(given.short), long: decayed(given.long) };
    let keys = StandingKeys {
        short: OrderKey(popularity.short.order_key()),
        long: OrderKey(popularity.long.order_key()),
    };
    PreparedPopularity { item, popularity, keys, events: given.events }
}

fn decayed(sum: DecayedSum) -> Decayed {
    Decayed::from_parts(sum.mantissa, sum.exponent)
}

fn covisit_list(list: &CovisitationList) -> Arc<CovisitList> {
    let entries = list.neighbours.iter().map(|&(target, weight)| Entry { target, weight });
    Arc::new(CovisitList::from_parts(entries.collect(), list.total, list.exponent))
}

/// The served weights of a gate's learned state: gains by bucket and blend, then examples.
fn gate_weights(config: &GateConfig, values: &[f64]) -> Result<[Weights; BUCKETS], String> {
    let wrong = || format!("a gate of {} values does not fit its configuration", values.len());
    let (gains, examples) =
        values.split_at_checked(values.len().wrapping_sub(BUCKETS)).ok_or_else(wrong)?;
    let examples: [f64; BUCKETS] = examples.try_into().map_err(|_| wrong())?;
    let state = GateState::from_parts(config, gains.to_vec(), examples).ok_or_else(wrong)?;
    Ok(served_weights(config, &state))
}

/// The weights of every bucket of history.
#[must_use]
pub fn served_weights(config: &GateConfig, state: &GateState) -> [Weights; BUCKETS] {
    std::array::from_fn(|bucket| state.weights(config, bucket))
}
