//! Items, users and model as the documents of the interface.

use eddyline_connect::features::UserDocument;
use eddyline_index::store::Slot;
use eddyline_schemas::id::{ItemId, ItemRef, UserId};
use eddyline_schemas::lineage::Epoch;
use serde_json::{Map, Value};

use crate::contract::{
    ItemView, ModelInfo, PreferencesDocument, SessionDocument, UserFeaturesDocument,
};
use crate::recommend::taste::current;
use crate::state::ServingConfig;
use crate::state::items::ItemRow;
use crate::state::tables::Tables;

/// Which state answers.
#[must_use]
pub fn model(tables: &Tables, user_epoch: Option<Epoch>) -> ModelInfo {
    let progress = tables.progress();
    let staleness_ms = u64::try_from(progress.applied_at.elapsed().as_millis()).unwrap_or(u64::MAX);
    ModelInfo { lineage: progress.lineage, epoch: progress.epoch, user_epoch, staleness_ms }
}

/// The whole catalogue row; empty for an item known from events alone.
#[must_use]
pub fn attributes(row: &ItemRow) -> Map<String, Value> {
    let Some(document) = &row.document else { return Map::new() };
    let value = serde_json::to_value(document.as_ref()).expect("text and finite numbers are JSON");
    let Value::Object(mut members) = value else { return Map::new() };
    members.retain(|_, value| !value.is_null());
    members
}

/// The asked members of the catalogue row, free attributes by their own name.
#[must_use]
pub fn asked_attributes(row: &ItemRow, names: &[String]) -> Map<String, Value> {
    if names.is_empty() {
        return Map::new();
    }
    let all = attributes(row);
    let free = all.get("attributes").and_then(Value::as_object);
    let find = |name: &String| {
        let value = all.get(name).or_else(|| free.and_then(|free| free.get(name)))?;
        Some((name.clone(), value.clone()))
    };
    names.iter().filter_map(find).collect()
}

/// An item of the catalogue.
#[must_use]
pub fn item(tables: &Tables, slot: Slot) -> ItemView {
    let row = tables.items().row(slot);
    ItemView {
        item_id: row.id.clone(),
        attributes: attributes(row),
        events: row.events,
        first_seen_epoch: row.first_seen.0,
        model: model(tables, None),
    }
}

/// What is known of a user; what has expired is left out, what is for ever stays.
#[must_use]
pub fn user(
    tables: &Tables,
    config: &ServingConfig,
    user_id: &UserId,
    document: &UserDocument,
) -> UserFeaturesDocument {
    let now = tables.progress().logical_time;
    let all = document.features.as_deref();
    let fresh = current(all, now);
    UserFeaturesDocument {
        user_id: user_id.clone(),
        recent_views: fresh.map_or_else(Vec::new, |f| item_ids(tables, &f.recent_views)),
        recent_searches: fresh.map_or_else(Vec::new, |f| f.recent_searches.clone()),
        preferences: PreferencesDocument {
            price_range: fresh.and_then(|f| f.price_range).map(|(low, high)| [low, high]),
            ..preferences(document)
        },
        demographics: all.map_or_else(Default::default, |f| f.demographics.clone()),
        session_context: fresh.and_then(|f| f.session.as_ref()).and_then(|session| {
            let ended = now.since(session.last_event) > config.core.users.session_gap_ms();
            (!ended).then(|| SessionDocument {
                session_id: session.session_id.clone(),
                current_category: session.current_category.as_deref().map(str::to_owned),
                session_start: session.session_start,
                page_views_in_session: session.page_views_in_session,
            })
        }),
        last_updated: all.map_or_else(Default::default, |f| f.last_updated),
        history_length: all.map_or(0, |f| f.history_length),
        model: model(tables, Some(document.epoch)),
        fallback: None,
    }
}

fn preferences(document: &UserDocument) -> PreferencesDocument {
    let Some(preferences) = &document.preferences else { return PreferencesDocument::default() };
    let names = |counts: &[(std::sync::Arc<str>, i64)]| {
        counts.iter().map(|(name, _)| name.to_string()).collect()
    };
    PreferencesDocument {
        categories: names(&preferences.categories),
        brands: names(&preferences.brands),
        price_range: None,
    }
}

fn item_ids(tables: &Tables, items: &[ItemRef]) -> Vec<ItemId> {
    let slots = items.iter().filter_map(|item| tables.items().slot(*item));
    slots.map(|slot| tables.items().row(slot).id.clone()).collect()
}
