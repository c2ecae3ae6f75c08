//! A shop whose items fall into categories that the learned rows reflect: item k is of category
//! k mod the number of categories, and v and c point along the axis of the category.

use std::sync::Arc;

use eddyline_model::config::CoreConfig;
use eddyline_model::covisit::CovisitList;
use eddyline_model::philox::philox4x32;
use eddyline_model::popularity::{Decayed, Popularity};
use eddyline_schemas::delta::{Delta, EpochDeltas, PipelineCounts};
use eddyline_schemas::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use eddyline_schemas::id::{ItemId, ItemRef, UserId};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::{DAY_MS, TimestampMs};
use eddyline_serving::state::{ServingConfig, ServingState};

/// Logical time of every epoch of the shop.
pub(crate) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Categories, the items' by turns.
pub(crate) const CATEGORIES: [&str; 4] = ["Books", "Garden", "Music > Vinyl", "Toys"];

/// What a shop is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shop {
    /// Items, numbered from 0.
    pub(crate) items: u32,
    /// Length of rows.
    pub(crate) dim: usize,
}

/// Number of item k.
pub(crate) fn item(k: u32) -> ItemRef {
    ItemRef::new((k % 256) as u8, k / 256)
}

/// Id of item k.
pub(crate) fn item_id(k: u32) -> ItemId {
    ItemId::new(&format!("item-{k}")).expect("a short name is an id")
}

/// A user.
pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).expect("a short name is an id")
}

/// The only lineage of the shop.
pub(crate) fn lineage() -> Lineage {
    Lineage::root(Digest::of(b"shop"))
}

/// An epoch of these deltas, sorted as the dataflow sorts them.
pub(crate) fn epoch(number: u64, mut deltas: Vec<Delta>) -> EpochDeltas {
    deltas.sort_by(Delta::cmp_key);
    EpochDeltas {
        lineage: lineage(),
        epoch: Epoch(number),
        logical_time: NOW,
        deltas,
        chain: Digest::default(),
        counts: PipelineCounts::default(),
    }
}

/// A number in [-1, 1) that depends on nothing but its place.
pub(crate) fn noise(a: u32, b: u32) -> f32 {
    (philox4x32([a, b, 0, 0], [3, 5])[0] >> 8) as f32 / 8_388_608.0 - 1.0
}

impl Shop {
    /// The configuration: rows of the shop's length, no deadline that a busy machine could miss,
    /// everything else as shipped.
    pub(crate) fn config(&self) -> ServingConfig {
        let mut core = CoreConfig::default();
        core.factors.dim = self.dim;
        let source_budget = std::time::Duration::MAX;
        ServingConfig { core, source_budget, ..ServingConfig::default() }
    }

    /// State after epoch 1, which made all items.
    pub(crate) fn open(&self) -> ServingState {
        self.open_with(self.config())
    }

    /// The same under another configuration.
    pub(crate) fn open_with(&self, config: ServingConfig) -> ServingState {
        let state = ServingState::new(config);
        state.apply(self.first()).expect("the shop's first epoch is sound");
        state
    }

    /// Epoch 1, which makes all items.
    pub(crate) fn first(&self) -> EpochDeltas {
        let all: Vec<u32> = (0..self.items).collect();
        let mut deltas: Vec<Delta> = all.iter().map(|k| catalogue(*k)).collect();
        for k in all {
            deltas.extend(self.rows(k));
            deltas.push(popularity(k, self.items - k));
            deltas.push(self.followers(k));
        }
        epoch(1, deltas)
    }

    /// A row along the axis of a category.
    pub(crate) fn row(&self, category: u32, seed: u32) -> Arc<[f32]> {
        let value = |d: usize| {
            let axis = if d as u32 == category { 1.0 } else { 0.0 };
            axis + 0.1 * noise(seed, d as u32)
        };
        (0..self.dim).map(value).collect()
    }

    /// v and c of an item.
    pub(crate) fn rows(&self, k: u32) -> [Delta; 2] {
        self.rows_of(k, k % CATEGORIES.len() as u32)
    }

    /// v and c of an item, along the axis of a category.
    pub(crate) fn rows_of(&self, k: u32, category: u32) -> [Delta; 2] {
        [
            Delta::ItemVector { item: item(k), vector: self.row(category, 2 * k) },
            Delta::ItemContext { item: item(k), context: self.row(category, 2 * k + 1) },
        ]
    }

    /// An item is followed by the next two of its category.
    fn followers(&self, k: u32) -> Delta {
        let config = self.config().core.covisitation;
        let mut list = CovisitList::default();
        for step in 1..=2 {
            let next = (k + step * CATEGORIES.len() as u32) % self.items;
            list.add(&config, item(next), 3.0 - step as f32, NOW.0);
        }
        let neighbours = list.entries().iter().map(|entry| (entry.target, entry.weight)).collect();
        let (total, exponent) = list.parts();
        let list = Arc::new(CovisitationList { neighbours, total, exponent });
        Delta::Covisitation { item: item(k), list }
    }
}

/// The catalogue row of item k: in stock unless k is a multiple of 10, price k.
pub(crate) fn document(k: u32) -> ItemDocument {
    ItemDocument {
        title: Some(format!("Item {k}")),
        categories: vec![CATEGORIES[k as usize % CATEGORIES.len()].to_owned()],
        brand: Some(format!("brand-{}", k % 7)),
        price: Some(f64::from(k)),
        in_stock: Some(!k.is_multiple_of(10)),
        ..ItemDocument::default()
    }
}

/// Item k as the catalogue knows it.
pub(crate) fn catalogue(k: u32) -> Delta {
    Delta::Item {
        item: item(k),
        id: item_id(k),
        document: Some(Arc::new(document(k))),
        first_seen: (Epoch(1), k),
        deleted: false,
    }
}

/// Item k taken out.
pub(crate) fn deletion(k: u32) -> Delta {
    let (item, id, first_seen) = (item(k), item_id(k), (Epoch(1), k));
    Delta::Item { item, id, document: Some(Arc::new(document(k))), first_seen, deleted: true }
}

/// So many positive events of item k, a day apart.
pub(crate) fn popularity(k: u32, events: u32) -> Delta {
    let config = CoreConfig::default().popularity;
    let mut counts = Popularity::default();
    counts.add(&config, f64::from(events), NOW.0 - DAY_MS);
    let sum = |decayed: Decayed| {
        let (mantissa, exponent) = decayed.parts();
        DecayedSum { mantissa, exponent }
    };
    let (short, long) = (sum(counts.short), sum(counts.long));
    let popularity = ItemPopularity { short, long, events: u64::from(events) };
    Delta::Popularity { item: item(k), popularity }
}

/// Features of a user who consumed these items, newest first, and viewed them too.
pub(crate) fn features(history: &[u32], seen: &[u32], disliked: &[u32]) -> UserFeatures {
    let ascending = |all: &[u32]| {
        let mut items: Vec<ItemRef> = all.iter().map(|k| item(*k)).collect();
        items.sort_unstable();
        items.dedup();
        items.into()
    };
    let history: Vec<ItemRef> = history.iter().map(|k| item(*k)).collect();
    UserFeatures {
        recent_views: history.clone(),
        history_length: history.len() as u64,
        history,
        seen: ascending(seen),
        disliked: ascending(disliked),
        recent_searches: vec!["lamp".to_owned()],
        session: Some(SessionContext {
            session_id: None,
            session_start: NOW.plus_ms(-60_000),
            last_event: NOW,
            page_views_in_session: 2,
            current_category: None,
        }),
        price_range: Some((1.0, 9.0)),
        last_updated: NOW,
        expires_at: NOW.plus_ms(DAY_MS),
        ..UserFeatures::default()
    }
}

/// The features of a user as a delta.
pub(crate) fn features_of(name: &str, features: UserFeatures) -> Delta {
    Delta::UserFeatures { user: user(name), features: Some(Arc::new(features)) }
}

/// Preferences of a user for one category.
pub(crate) fn prefers(name: &str, category: &str) -> Delta {
    let categories = vec![(Arc::from(category), 5)];
    let preferences = Arc::new(UserPreferences { categories, ..UserPreferences::default() });
    Delta::UserPreferences { user: user(name), preferences }
}
