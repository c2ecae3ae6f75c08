//! The tables behind the guard, all of one epoch.

use std::sync::Arc;

use eddyline_index::store::{Slot, VectorStore};
use eddyline_model::blend::Weights;
use eddyline_model::gate::{BUCKETS, GateState};
use eddyline_model::item::ItemRows;
use eddyline_schemas::id::ItemRef;

use crate::state::items::{ItemRow, Items};
use crate::state::labels::{LabelId, Labels};
use crate::state::prepare::{Prepared, PreparedItem, PreparedPopularity, served_weights};
use crate::state::standing::{OrderKey, Standing, StandingKeys};
use crate::state::{Progress, ServingConfig};

/// See the module doc.
#[derive(Debug)]
pub struct Tables {
    progress: Progress,
    items: Items,
    vectors: VectorStore,
    contexts: VectorStore,
    labels: Labels,
    standing: Standing,
    weights: [Weights; BUCKETS],
}

impl Tables {
    /// Before the first epoch.
    pub(super) fn new(config: &ServingConfig) -> Self {
        let (dim, gate) = (config.core.factors.dim, &config.core.gate);
        Self {
            progress: Progress::start(),
            items: Items::default(),
            vectors: VectorStore::new(dim),
            contexts: VectorStore::new(dim),
            labels: Labels::default(),
            standing: Standing::default(),
            weights: served_weights(gate, &GateState::new(gate)),
        }
    }

    /// Which epoch this is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What is known of each item.
    #[must_use]
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// v rows by slot.
    #[must_use]
    pub fn vectors(&self) -> &VectorStore {
        &self.vectors
    }

    /// c rows by slot.
    #[must_use]
    pub fn contexts(&self) -> &VectorStore {
        &self.contexts
    }

    /// Categories, brands and tags.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The most popular items of all.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The blend for a user with so long a history.
    #[must_use]
    pub fn weights(&self, history_length: u64) -> Weights {
        self.weights[eddyline_model::gate::bucket(history_length)]
    }

    /// Live slots, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = Slot> + '_ {
        self.items.iter().rev().filter(|(_, row)| !row.deleted).map(|(slot, _)| slot)
    }

    /// Applies what was prepared for these tables. What is left of it is freed by the caller, when
    /// answers no longer wait.
    pub(super) fn commit(&mut self, prepared: &mut Prepared, progress: Progress) {
        let mut refill = Vec::new();
        for item in prepared.items.drain(..) {
            match self.items.slot(item.item) {
                Some(slot) => refill.extend(self.replace_item(slot, item)),
                None => self.add_item(item),
            }
        }
        for (item, row) in &prepared.vectors {
            let slot = self.slot_of(*item);
            self.vectors.overwrite(slot, row).expect("prepared rows are checked");
        }
        for (item, row) in &prepared.contexts {
            let slot = self.slot_of(*item);
            self.contexts.overwrite(slot, row).expect("prepared rows are checked");
        }
        for popularity in &prepared.popularity {
            self.set_popularity(popularity);
        }
        for (item, list) in &mut prepared.lists {
            let slot = self.slot_of(*item);
            // The old list goes where the new one came from, to be freed later.
            if let Some(old) = self.items.row_mut(slot).covisited.replace(Arc::clone(list)) {
                *list = old;
            }
        }
        if let Some(weights) = prepared.weights {
            self.weights = weights;
        }
        self.refill(refill);
        self.progress = Progress { items: self.vectors.live(), ..progress };
    }

    fn slot_of(&self, item: ItemRef) -> Slot {
        self.items.slot(item).expect("prepared deltas name items that exist")
    }

    fn add_item(&mut self, new: PreparedItem) {
        let (labels, main) = self.intern(&new);
        let slot = self.vectors.push_zero();
        let context = self.contexts.push_zero();
        debug_assert!(slot == context, "both stores give out the same slots");
        self.vectors.set_live(slot, !new.deleted);
        if !new.deleted {
            self.labels.attach(&labels, slot, StandingKeys::NONE);
        }
        let pushed = self.items.push(ItemRow {
            item: new.item,
            id: new.id,
            document: new.document,
            labels,
            main,
            first_seen: new.first_seen,
            deleted: new.deleted,
            popularity: eddyline_model::popularity::Popularity::default(),
            keys: StandingKeys::NONE,
            events: 0,
            covisited: None,
        });
        debug_assert!(pushed == slot, "the table and the stores give out the same slots");
    }

    /// Replaces the catalogue row. Names the categories that want a refill.
    fn replace_item(&mut self, slot: Slot, new: PreparedItem) -> Vec<LabelId> {
        let (labels, main) = self.intern(&new);
        let row = self.items.row_mut(slot);
        let (was_deleted, keys) = (row.deleted, row.keys);
        let old = std::mem::replace(&mut row.labels, labels.clone());
        (row.main, row.document, row.deleted) = (main, new.document, new.deleted);
        let mut refill = Vec::new();
        if !was_deleted {
            refill = self.labels.detach(&old, slot, keys);
        }
        if !new.deleted {
            self.labels.attach(&labels, slot, keys);
        }
        match (was_deleted, new.deleted) {
            (false, true) => self.standing.update(slot, keys, StandingKeys::NONE),
            (true, false) => self.standing.update(slot, StandingKeys::NONE, keys),
            (true, true) | (false, false) => {}
        }
        self.vectors.set_live(slot, !new.deleted);
        refill
    }

    fn intern(&mut self, item: &PreparedItem) -> (Box<[LabelId]>, Option<LabelId>) {
        let ids = item.labels.iter().map(|(kind, text)| self.labels.intern(*kind, text));
        let ids: Box<[LabelId]> = ids.collect();
        let has_category =
            item.document.as_ref().is_some_and(|document| !document.categories.is_empty());
        let main = ids.first().copied().filter(|_| has_category);
        (ids, main)
    }

    fn set_popularity(&mut self, new: &PreparedPopularity) {
        let slot = self.slot_of(new.item);
        let row = self.items.row_mut(slot);
        let old = std::mem::replace(&mut row.keys, new.keys);
        row.popularity = new.popularity;
        row.events = new.events;
        if !row.deleted {
            self.standing.update(slot, old, new.keys);
            self.labels.update_standing(&row.labels, slot, (old, new.keys));
        }
    }

    /// Fills lists that deletions have left short.
    fn refill(&mut self, mut categories: Vec<LabelId>) {
        categories.sort_unstable();
        categories.dedup();
        for category in categories {
            self.labels.refill(category, |slot| self.items.row(slot).keys);
        }
        let live = |key: fn(&StandingKeys) -> OrderKey| {
            let rows = self.items.iter().filter(|(_, row)| !row.deleted);
            rows.map(move |(slot, row)| (slot, key(&row.keys)))
        };
        if self.standing.short.needs_refill() {
            self.standing.short.refill(live(|keys| keys.short));
        }
        if self.standing.long.needs_refill() {
            self.standing.long.refill(live(|keys| keys.long));
        }
    }
}

impl ItemRows for Tables {
    fn count(&self) -> u64 {
        self.items.len() as u64
    }

    fn nth(&self, k: u64) -> ItemRef {
        self.items.nth(k).expect("k is below the count")
    }

    fn vector(&self, item: ItemRef) -> Option<&[f32]> {
        let slot = self.items.slot(item)?;
        (!self.items.row(slot).deleted).then(|| self.vectors.row(slot))
    }

    fn context(&self, item: ItemRef) -> Option<&[f32]> {
        self.items.slot(item).map(|slot| self.contexts.row(slot))
    }
}
