//! The table of items: what is known of each, by slot, by number and by id.
//!
//! Slots are given out by age (first seen), so a lower slot is an older item everywhere.

use std::collections::HashMap;
use std::sync::Arc;

use eddyline_index::store::Slot;
use eddyline_model::covisit::CovisitList;
use eddyline_model::popularity::Popularity;
use eddyline_schemas::id::{ItemId, ItemRef, SHARDS};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;

use crate::state::labels::LabelId;
use crate::state::standing::StandingKeys;

/// One item.
#[derive(Clone, Debug)]
pub struct ItemRow {
    /// Its number in deltas.
    pub item: ItemRef,
    /// Its id.
    pub id: ItemId,
    /// Catalogue row.
    pub document: Option<Arc<ItemDocument>>,
    /// Labels of the catalogue row.
    pub labels: Box<[LabelId]>,
    /// The main category.
    pub main: Option<LabelId>,
    /// When it was first seen.
    pub first_seen: (Epoch, u32),
    /// Never to be recommended.
    pub deleted: bool,
    /// Decayed counts.
    pub popularity: Popularity,
    /// Their order.
    pub keys: StandingKeys,
    /// Positive events, undecayed.
    pub events: u64,
    /// Items that followed.
    pub covisited: Option<Arc<CovisitList>>,
}

/// All items.
#[derive(Debug)]
pub struct Items {
    rows: Vec<ItemRow>,
    by_id: HashMap<ItemId, Slot>,
    /// By shard, then by rank within the shard, which is dense.
    by_number: Box<[Vec<Option<Slot>>]>,
}

impl Default for Items {
    fn default() -> Self {
        let by_number = vec![Vec::new(); SHARDS].into_boxed_slice();
        Self { rows: Vec::new(), by_id: HashMap::new(), by_number }
    }
}

impl Items {
    /// How many slots are given out, deleted items included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no slot is given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a slot that is given out.
    #[must_use]
    pub fn row(&self, slot: Slot) -> &ItemRow {
        &self.rows[slot.place()]
    }

    /// The same, to change it.
    pub fn row_mut(&mut self, slot: Slot) -> &mut ItemRow {
        &mut self.rows[slot.place()]
    }

    /// The slot of a number.
    #[must_use]
    pub fn slot(&self, item: ItemRef) -> Option<Slot> {
        let shard = &self.by_number[usize::from(item.shard())];
        shard.get(item.rank() as usize).copied().flatten()
    }

    /// The slot of an id.
    #[must_use]
    pub fn find(&self, id: &ItemId) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    /// The item at place `k` in the order of numbers.
    #[must_use]
    pub fn nth(&self, mut k: u64) -> Option<ItemRef> {
        for shard in &self.by_number {
            let given = shard.iter().flatten();
            match given.clone().nth(usize::try_from(k).ok()?) {
                Some(slot) => return Some(self.row(*slot).item),
                None => k -= given.count() as u64,
            }
        }
        None
    }

    /// Appends a row whose number and id are new; the next slot.
    pub fn push(&mut self, row: ItemRow) -> Slot {
        let slot = Slot(u32::try_from(self.rows.len()).expect("an item number has 32 bits"));
        let shard = &mut self.by_number[usize::from(row.item.shard())];
        let rank = row.item.rank() as usize;
        if shard.len() <= rank {
            shard.resize(rank + 1, None);
        }
        shard[rank] = Some(slot);
        self.by_id.insert(row.id.clone(), slot);
        self.rows.push(row);
        slot
    }

    /// Rows with their slots, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Slot, &ItemRow)> {
        self.rows.iter().enumerate().map(|(at, row)| (Slot(at as u32), row))
    }
}
